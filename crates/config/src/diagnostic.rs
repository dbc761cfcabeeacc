//! A complaint with a place: file, line, column, what is wrong, and perhaps how to mend it.

use std::fmt;
use std::sync::Arc;

/// One complaint (or warning) about one place of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it can be lived with.
    pub severity: Severity,
    /// The file as it was named by the operator or by `include`.
    pub file: Arc<str>,
    /// Line, from 1; 0 when the complaint is about the configuration as a whole.
    pub line: usize,
    /// Column in characters, from 1; 0 when the complaint is about the configuration as a whole.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// How it could be mended.
    pub hint: Option<String>,
}

/// Whether a complaint can be lived with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is not used.
    Error,
    /// It is, but its author may want to hear this.
    Warning,
}

impl Diagnostic {
    /// An error at a place, without a hint.
    pub(crate) fn at(place: &Place, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            file: place.file.clone(),
            line: place.line,
            column: place.column,
            message: message.into(),
            hint: None,
        }
    }

    /// The same with a hint, if there is one.
    pub(crate) fn hint(self, hint: impl Into<Option<String>>) -> Diagnostic {
        Diagnostic { hint: hint.into(), ..self }
    }
}

/// `file:line:column: message`, or `file: message` without a place; warnings say so. Without the
/// hint.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}: ", self.file)?,
            (line, column) => write!(f, "{}:{line}:{column}: ", self.file)?,
        }
        match self.severity {
            Severity::Error => f.write_str(&self.message),
            Severity::Warning => write!(f, "warning: {}", self.message),
        }
    }
}

/// Everything wrong with a configuration. Never empty as an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

/// One complaint a line, a hint on a line of its own below.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            let newline = if index > 0 { "\n" } else { "" };
            write!(f, "{newline}{diagnostic}")?;
            if let Some(hint) = &diagnostic.hint {
                write!(f, "\n  hint: {hint}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Diagnostics {
        Diagnostics(vec![diagnostic])
    }
}

/// A place in one of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Position of the file in the order of reading, for sorting.
    pub file_index: usize,
    pub file: Arc<str>,
    pub line: usize,
    pub column: usize,
}

/// What was found wrong so far. Reading goes on after a complaint, so that all of them are told at
/// once.
#[derive(Default)]
pub(crate) struct Complaints {
    found: Vec<(Place, Diagnostic)>,
}

impl Complaints {
    pub fn error(&mut self, place: &Place, message: impl Into<String>) {
        self.found.push((place.clone(), Diagnostic::at(place, message)));
    }

    pub fn error_with_hint(&mut self, place: &Place, message: impl Into<String>, hint: &str) {
        let diagnostic = Diagnostic::at(place, message).hint(Some(hint.to_owned()));
        self.found.push((place.clone(), diagnostic));
    }

    pub fn warning(&mut self, place: &Place, message: impl Into<String>) {
        let diagnostic =
            Diagnostic { severity: Severity::Warning, ..Diagnostic::at(place, message) };
        self.found.push((place.clone(), diagnostic));
    }

    /// The errors and the warnings in the order of the files; those about the whole come last.
    pub fn finish(mut self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        let order = |place: &Place| (place.line == 0, place.file_index, place.line, place.column);
        self.found.sort_by_key(|(place, _)| order(place));
        let all = self.found.into_iter().map(|(_, diagnostic)| diagnostic);
        all.partition(|diagnostic| diagnostic.severity == Severity::Error)
    }
}
