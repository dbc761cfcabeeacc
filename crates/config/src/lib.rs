//! Words of odyssey.conf and odyssey.yaml into checked values, with file, line and column.
//!
//! Both formats become one raw tree, one table of options gives each word its type, default and
//! range, and what leaves this crate is either a [`Config`] that holds together or every complaint
//! about it at once. This crate knows words, not their effect: it opens no socket, starts nothing,
//! and no other crate of the workspace.

mod build;
mod conf;
mod diagnostic;
mod diff;
mod draft;
mod dump;
mod environment;
mod fields;
mod files;
mod hba;
mod import;
mod in_force;
mod inspect;
mod model;
mod options;
mod password_file;
mod raw;
mod secret;
#[cfg(test)]
mod tests;
mod watched;
mod yaml;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use diagnostic::{Complaints, Place, Purpose};
use files::Files;
use raw::Block;

pub use build::keepalive_gives_up_ms;
pub use diagnostic::{Diagnostic, Diagnostics, Excerpt, Severity};
pub use diff::{Diff, RuleChange, diff, lives_on};
pub use draft::{Section, Setting, Word, write};
pub use dump::{Secrets, dump};
#[doc(hidden)]
pub use hba::fuzz as fuzz_hba;
pub use import::{Fate, Imported, Note, Reader, Source, import};
pub use in_force::{
    Effective, Origin, ShownOption, effective, effective_global, is_option, shown_options,
};
pub use model::{
    AddressSelector, AffinityRule, AuthQuery, Authentication, Balancing, BalancingMethod, Checker,
    Config, ConnDrop, ConnectionType, CpuAffinity, Endpoint, FileMode, Global, GroupQuery, Hba,
    HbaLine, HbaName, Keepalive, LdapCover, LdapCredentials, LdapEndpoint, LdapEntry, LdapGrant,
    Listen, Name, PoolMode, PoolRouting, ProxyFrom, Quantile, Role, Rule, SessionAttrs,
    SessionState, SharedPool, SoftOom, SoftOomDrop, Storage, StorageKind, SyslogFacility,
    SyslogFormat, SyslogTarget, Tls, TlsMode, TlsVersion, TlsVersions, UserName, Watchdog,
};
pub use options::{compared as options_compared, page as options_page, schema as yaml_schema};
pub use secret::Secret;
pub use watched::{Seen, Watched};

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

/// Reads a file and everything it includes, to run it; the format follows the file's extension.
///
/// # Errors
/// Every complaint at once, except that a file whose syntax is broken is reported alone. What asks
/// for security that cannot be had is an error too.
pub fn load(path: &Path) -> Result<Loaded, Diagnostics> {
    read_file(path, Purpose::Run)
}

/// As [`load`], for those who say whether a file is right and do not run it: what a start refuses
/// only because running it would be less secure is a warning here, as Odyssey would take the file.
///
/// # Errors
/// Every complaint at once, except that a file whose syntax is broken is reported alone.
pub fn check(path: &Path) -> Result<Loaded, Diagnostics> {
    read_file(path, Purpose::Check)
}

/// Reads a text, to run it, as if it were the file `name`; the files it includes are read from
/// disk.
///
/// # Errors
/// As [`load`].
pub fn parse(name: &str, text: &str, format: Format) -> Result<Loaded, Diagnostics> {
    read_text(name, text, format, Purpose::Run)
}

/// As [`parse`], with the judgement of [`check`].
///
/// # Errors
/// As [`check`].
pub fn check_text(name: &str, text: &str, format: Format) -> Result<Loaded, Diagnostics> {
    read_text(name, text, format, Purpose::Check)
}

fn read_file(path: &Path, purpose: Purpose) -> Result<Loaded, Diagnostics> {
    let name = path.display().to_string();
    let text = files::read(path, &name)?;
    read_text(&name, &text, Format::of(path), purpose)
}

fn read_text(
    name: &str,
    text: &str,
    format: Format,
    purpose: Purpose,
) -> Result<Loaded, Diagnostics> {
    let mut complaints = Complaints::new(purpose);
    let mut root = Block::new(None, Place::whole(name));
    if let Err(broken) = Files::new(&mut complaints).text(name, text, format, &mut root) {
        return Err(Diagnostics(complaints.dress(broken.0)));
    }
    environment::expand(&mut root, &|name| std::env::var(name).ok(), &mut complaints);
    let files = watched::files(&root); // before they are read: who changes them then is seen
    password_file::read(&mut root, &mut complaints);
    inspect::inspect(&root, &mut complaints);
    let config = Config { files, ..build::config(&root, &mut complaints) };
    match complaints.finish() {
        (errors, warnings) if errors.is_empty() => {
            Ok(Loaded { config, warnings, written: Written(Arc::new(root)) })
        }
        (errors, _) => Err(Diagnostics(errors)),
    }
}
