//! Configurations of other poolers, as drafts of ours. What could not be carried over, or means
//! something else here, comes back as a list with reasons: nothing is dropped in silence.
//!
//! It is pure: texts in, a draft and notes out. It refuses to judge the draft; whoever writes it
//! has it read and checked like any other.

mod doorman;
mod ini;
mod known;
mod notes;
mod pairs;
mod pgbouncer;
mod pgcat;
mod pgdog;
mod pools;
pub(crate) mod tree;
mod userlist;

use std::path::Path;

use crate::diagnostic::{Diagnostic, Place};
use crate::{Section, files, yaml};

use notes::Notes;
pub use notes::{Fate, Note};

/// Whose configuration is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `pgbouncer.ini`, with the files it names.
    PgBouncer,
    /// `pgcat.toml`.
    PgCat,
    /// `pgdog.toml`, with the `users.toml` beside it.
    PgDog,
    /// `pg_doorman.toml`.
    PgDoormanToml,
    /// `pg_doorman.yaml`.
    PgDoormanYaml,
}

/// A configuration of another pooler in our words.
#[derive(Clone, Debug)]
pub struct Imported {
    /// To be written with [`crate::write`]; the notes are among its comments.
    pub draft: Section,
    /// What is not, or not quite, as it was; in the order of the files.
    pub notes: Vec<Note>,
}

/// Reads another file that belongs to a configuration (`%include`, `auth_file`, `users.toml`); what
/// is wrong with it otherwise.
pub type Reader<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Converts the text of a file of that name.
///
/// # Errors
/// Where the text is not one that its pooler would have read.
pub fn import(
    source: Source,
    name: &str,
    text: &str,
    reader: Reader<'_>,
) -> Result<Imported, Diagnostic> {
    let mut notes = Notes::default();
    let mut draft = match source {
        Source::PgBouncer => pgbouncer::convert(ini::read(name, text, reader)?, reader, &mut notes),
        Source::PgCat => pgcat::convert(&tree::toml(name, text)?, &mut notes),
        Source::PgDog => {
            let path = Path::new(name).with_file_name("users.toml").display().to_string();
            let wrong = |why| broken(&place(&path, 0), why);
            let users = tree::toml(&path, &reader(&path).map_err(wrong)?)?;
            pgdog::convert(&tree::toml(name, text)?, &users, &mut notes)
        }
        Source::PgDoormanToml => doorman::convert(&tree::toml(name, text)?, &mut notes),
        Source::PgDoormanYaml => {
            let source = files::Source { text, file: name.into(), file_index: 0 };
            doorman::convert(&yaml::plain(&source)?, &mut notes)
        }
    };
    let notes = notes.finish();
    head(&mut draft, name, &notes);
    Ok(Imported { draft, notes })
}

/// The comment at the top of the draft.
fn head(draft: &mut Section, name: &str, notes: &[Note]) {
    draft.comments.push(format!("Converted from {name}."));
    for (fate, title) in Fate::ALL {
        let mut those = notes.iter().filter(|note| note.fate == fate).peekable();
        if those.peek().is_some() {
            draft.comments.push("\n".to_owned());
            draft.comments.push(title.to_owned());
            draft.comments.extend(those.map(|note| format!("  {note}")));
        }
    }
}

fn place(file: &str, line: usize) -> Place {
    Place { file_index: 0, file: file.into(), line, column: usize::from(line > 0) }
}

fn broken(place: &Place, message: impl Into<String>) -> Diagnostic {
    Diagnostic::at(place, message)
}

#[cfg(test)]
mod tests;
