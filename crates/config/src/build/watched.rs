//! The files beside the configuration whose contents count: secrets, certificates, keys, lines of
//! `hba_file`. The configuration itself and what it includes are not among them.

use std::path::PathBuf;

use crate::files;
use crate::raw::{Block, Value};

/// What these options name is written by us, and not read.
const WRITTEN: [&str; 2] = ["pid_file", "log_file"];

/// Each once, in the order of their names.
pub(super) fn files(root: &Block) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    collect(root, &mut paths);
    paths.sort();
    paths.dedup();
    paths
}

fn collect(block: &Block, paths: &mut Vec<PathBuf>) {
    let named = block.settings.iter().filter_map(|setting| match &setting.value {
        Value::Text(path) if setting.row.name.ends_with("_file") => {
            let is_read = !WRITTEN.contains(&setting.row.name) && !path.is_empty();
            is_read.then(|| files::beside(path, &setting.place.file))
        }
        _ => None,
    });
    paths.extend(named);
    block.blocks.iter().for_each(|inner| collect(inner, paths));
}
