//! Words of odyssey.conf and odyssey.yaml into checked values, with file, line and column.
//!
//! Both formats become one raw tree, one table of options gives each word its type, default and range, and what
//! leaves this crate is either a [`Config`] that holds together or every complaint about it at once. This crate
//! knows words, not their effect: it opens no socket, starts nothing, and no other crate of the workspace.

mod diagnostic;
mod model;
mod secret;

use std::path::Path;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use model::{
    AddressSelector, Authentication, Config, ConnDrop, ConnectionType, Endpoint, Global, Listen,
    Name, PoolMode, Role, Rule, Storage, StorageKind, TlsMode, UserName,
};
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
}

/// Reads a file and everything it includes; the format follows the file's extension.
///
/// # Errors
/// Every complaint at once, except that a file whose syntax is broken is reported alone.
pub fn load(path: &Path) -> Result<Loaded, Diagnostics> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&name, &text, Format::of(path)),
        Err(error) => Err(Diagnostic::new(&name, 0, 0, format!("cannot read: {error}")).into()),
    }
}

/// Reads a text as if it were the file `name`; the files it includes are read from disk.
///
/// # Errors
/// As [`load`].
pub fn parse(name: &str, text: &str, format: Format) -> Result<Loaded, Diagnostics> {
    let _ = (text, format);
    Err(Diagnostic::new(name, 1, 1, "the reader is not written yet").into())
}
