//! A complaint with a place: file, line, column, what is wrong, and perhaps how to mend it.

use std::fmt;
use std::sync::Arc;

/// One complaint (or warning) about one place of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file as it was named by the operator or by `include`.
    pub file: Arc<str>,
    /// Line, from 1; 0 when the complaint is about the file as a whole.
    pub line: usize,
    /// Column in characters, from 1; 0 when the complaint is about the file as a whole.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// How it could be mended.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A complaint without a hint.
    pub fn new(file: &str, line: usize, column: usize, message: impl Into<String>) -> Diagnostic {
        Diagnostic { file: file.into(), line, column, message: message.into(), hint: None }
    }
}

/// `file:line:column: message`, or `file: message` without a place. The hint is left to the caller.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}: {}", self.file, self.message),
            (line, column) => write!(f, "{}:{line}:{column}: {}", self.file, self.message),
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
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{diagnostic}")?;
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
