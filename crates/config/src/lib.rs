//! Words of odyssey.conf and odyssey.yaml into checked values, with file, line and column.
//!
//! Both formats become one raw tree, one table of options gives each word its type, default and
//! range, and what leaves this crate is either a [`Config`] that holds together or every complaint
//! about it at once. This crate knows words, not their effect: it opens no socket, starts nothing,
//! and no other crate of the workspace.

mod build;
mod conf;
mod diagnostic;
mod draft;
mod dump;
mod fields;
mod files;
mod import;
mod in_force;
mod inspect;
mod model;
mod options;
mod raw;
mod secret;
#[cfg(test)]
mod tests;
mod yaml;

use std::path::Path;
use std::sync::Arc;
use std::{fmt, fs};

use diagnostic::{Complaints, Place};
use files::Files;
use raw::Block;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use draft::{Section, Setting, Word, write};
pub use dump::{Secrets, dump};
pub use import::{Fate, Imported, Note, Reader, Source, import};
pub use in_force::{Effective, Origin, effective, effective_global};
pub use model::{
    AddressSelector, Authentication, Config, ConnDrop, ConnectionType, Endpoint, Global,
    GroupQuery, Listen, Name, PoolMode, PoolRouting, Role, Rule, SessionAttrs, SessionState,
    SharedPool, Storage, StorageKind, TlsMode, UserName,
};
pub use options::{page as options_page, schema as yaml_schema};
pub use secret::Secret;

/// In which of the two languages a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Odyssey's own language, odyssey.conf.
    Conf,
    /// The same options as YAML, odyssey.yaml.
    Yaml,
}

impl Format {
    /// YAML for `.yaml` and `.yml`, else Odyssey's own language.
    pub fn of(path: &Path) -> Format {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("yaml" | "yml") => Format::Yaml,
            _ => Format::Conf,
        }
    }
}

/// A configuration that holds together, and what its author may want to hear.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The checked values.
    pub config: Config,
    /// What was accepted but deserves a line in the log, in the order of the files.
    pub warnings: Vec<Diagnostic>,
    /// What was written, for those who want to know where a value comes from.
    pub(crate) written: Written,
}

/// The raw tree, kept for dumps and explanations.
#[derive(Clone)]
pub(crate) struct Written(pub Arc<Block>);

/// It holds passwords.
impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Written(..)")
    }
}

/// Reads a file and everything it includes; the format follows the file's extension.
///
/// # Errors
/// Every complaint at once, except that a file whose syntax is broken is reported alone.
pub fn load(path: &Path) -> Result<Loaded, Diagnostics> {
    let name = path.display().to_string();
    let bytes = fs::read(path).map_err(|error| {
        let place = Place { file_index: 0, file: name.as_str().into(), line: 0, column: 0 };
        Diagnostic::at(&place, format!("cannot read the file: {error}"))
    })?;
    parse(&name, &files::utf8(&name, bytes)?, Format::of(path))
}

/// Reads a text as if it were the file `name`; the files it includes are read from disk.
///
/// # Errors
/// As [`load`].
pub fn parse(name: &str, text: &str, format: Format) -> Result<Loaded, Diagnostics> {
    let mut complaints = Complaints::default();
    let whole = Place { file_index: 0, file: name.into(), line: 0, column: 0 };
    let mut root = Block::new(None, whole);
    Files::new(&mut complaints).text(name, text, format, &mut root)?;
    inspect::inspect(&root, &mut complaints);
    let config = build::config(&root, &mut complaints);
    match complaints.finish() {
        (errors, warnings) if errors.is_empty() => {
            Ok(Loaded { config, warnings, written: Written(Arc::new(root)) })
        }
        (errors, _) => Err(Diagnostics(errors)),
    }
}
