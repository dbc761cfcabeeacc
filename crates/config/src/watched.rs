//! The files beside the configuration whose contents count: secrets, certificates, keys, lines of
//! `hba_file`. The configuration itself and what it includes are not among them.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::files;
use crate::raw::{Block, Value};

/// What these options name is written by us, and not read.
const WRITTEN: [&str; 2] = ["pid_file", "log_file"];

/// A file, and how it was just before it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Where it is.
    pub path: PathBuf,
    /// None: it was not there, or could not be seen.
    pub seen: Option<Seen>,
}

/// What tells one state of a file from another. Links are followed: one that is turned round to
/// another file is a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    file: (u64, u64),
    bytes: u64,
    changed: (i64, i64),
}

impl Seen {
    /// The file there as it is now. It may block.
    pub fn of(path: &Path) -> Option<Seen> {
        let seen = |it: Metadata| Seen {
            file: (it.dev(), it.ino()),
            bytes: it.size(),
            changed: (it.mtime(), it.mtime_nsec()),
        };
        std::fs::metadata(path).ok().map(seen)
    }
}

/// Each once, in the order of their names.
pub(crate) fn files(root: &Block) -> Vec<Watched> {
    let mut paths = Vec::new();
    collect(root, &mut paths);
    paths.sort();
    paths.dedup();
    let watched = |path: PathBuf| Watched { seen: Seen::of(&path), path };
    paths.into_iter().map(watched).collect()
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
