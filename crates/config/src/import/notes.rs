//! What becomes of the words that have no exact counterpart. A note names the option, never its
//! value: it may be a secret.

use std::fmt;
use std::sync::Arc;

use crate::diagnostic::Place;

/// One word of the other configuration that is not, or not quite, carried over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The file it stands in.
    pub file: Arc<str>,
    /// Its line, from 1; 0 if it stands nowhere (a default, or the file as a whole).
    pub line: usize,
    /// The option, with its section where that is not obvious.
    pub subject: String,
    /// What became of it.
    pub fate: Fate,
    /// The reason.
    pub why: String,
}

/// What became of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has no counterpart.
    Lost,
    /// Its counterpart is not quite the same.
    Changed,
    /// What it is for works without it.
    Needless,
}

impl Fate {
    /// All of them, with what their lists are called.
    pub const ALL: [(Fate, &'static str); 3] = [
        (Fate::Lost, "Not carried over:"),
        (Fate::Changed, "Carried over, but not quite the same:"),
        (Fate::Needless, "Not needed any more:"),
    ];
}

/// `pgbouncer.ini:12: query_timeout: the reason`
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}: {}", self.file, self.subject, self.why),
            line => write!(f, "{}:{line}: {}: {}", self.file, self.subject, self.why),
        }
    }
}

/// The notes of one conversion.
#[derive(Default)]
pub(super) struct Notes {
    all: Vec<(Place, Note)>,
}

impl Notes {
    pub fn lost(&mut self, place: &Place, subject: &str, why: impl Into<String>) {
        self.add(place, subject, Fate::Lost, why.into());
    }

    pub fn changed(&mut self, place: &Place, subject: &str, why: impl Into<String>) {
        self.add(place, subject, Fate::Changed, why.into());
    }

    pub fn add(&mut self, place: &Place, subject: &str, fate: Fate, why: String) {
        // The same is found anew in each rule that an option ends up in.
        let known = |(there, note): &(Place, Note)| {
            there.line == place.line
                && there.file == place.file
                && note.subject == subject
                && note.why == why
        };
        if self.all.iter().any(known) {
            return;
        }
        let (file, line) = (place.file.clone(), place.line);
        let note = Note { file, line, subject: subject.to_owned(), fate, why };
        self.all.push((place.clone(), note));
    }

    pub fn finish(mut self) -> Vec<Note> {
        let order = |place: &Place| (place.file_index, Arc::clone(&place.file), place.line);
        self.all.sort_by_key(|(place, _)| order(place));
        self.all.into_iter().map(|(_, note)| note).collect()
    }
}
