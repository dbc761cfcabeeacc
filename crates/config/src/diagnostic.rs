//! A complaint with a place: file, line, column, what is wrong, and perhaps how to mend it.
//!
//! It has two forms: one line for logs, and for people a picture with the line of the file and a
//! caret. It does not decide what is wrong.

mod excerpt;

use std::fmt;
use std::sync::Arc;

pub(crate) use excerpt::Sources;

const MESSAGE_CHARS_MAX: usize = 500; // messages quote the file, and a word there may be megabytes
const COMPLAINTS_MAX: usize = 100; // nobody mends more at once; of each severity

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
    /// The line it is about, where that may be shown.
    pub excerpt: Option<Excerpt>,
}

/// Part of a line of a file, without comments and with asterisks for secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// As in the file, tabs too; an end that was cut off is shown as `…`.
    pub text: String,
    /// How many characters of it stand in front of the place.
    pub caret: usize,
}

/// Whether a complaint can be lived with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is not used.
    Error,
    /// It is, but its author may want to hear this.
    Warning,
}

/// What a configuration is read for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To serve clients: what would make that less secure than the file asks for is an error.
    #[default]
    Run,
    /// To say whether it is right: what only a start refuses is a warning, however much it matters.
    Check,
}

impl Diagnostic {
    /// An error at a place, without a hint.
    pub(crate) fn at(place: &Place, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            file: place.file.clone(),
            line: place.line,
            column: place.column,
            message: cut(message.into()),
            hint: None,
            excerpt: None,
        }
    }

    /// The same with a hint, if there is one.
    pub(crate) fn hint(self, hint: impl Into<Option<String>>) -> Diagnostic {
        Diagnostic { hint: hint.into().map(cut), ..self }
    }

    /// All of it in one line, for a log.
    pub fn line(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{self}; hint: {hint}"),
            None => self.to_string(),
        }
    }

    /// All of it in up to four lines, for a terminal: what, the line of the file, a caret under the
    /// place, the hint.
    pub fn picture(&self) -> String {
        let mut picture = self.to_string();
        if let Some(Excerpt { text, caret }) = &self.excerpt {
            let margin = self.line.to_string();
            // Tabs stay, so that the caret stands where it should, however wide they are.
            let blank = |letter| if letter == '\t' { '\t' } else { ' ' };
            let indent: String = text.chars().take(*caret).map(blank).collect();
            picture.push_str(&format!("\n  {margin} | {text}"));
            picture.push_str(&format!("\n  {:1$} | {indent}^", "", margin.len()));
        }
        if let Some(hint) = &self.hint {
            picture.push_str(&format!("\n  hint: {hint}"));
        }
        picture
    }
}

/// At most [`MESSAGE_CHARS_MAX`] characters of it, in one line.
fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MESSAGE_CHARS_MAX) {
        text.truncate(end);
        text.push('…');
    }
    if text.contains(char::is_control) {
        text = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    }
    text
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

/// The pictures, one below the other.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            let newline = if index > 0 { "\n" } else { "" };
            write!(f, "{newline}{}", diagnostic.picture())?;
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

impl Place {
    /// The file as a whole.
    pub fn whole(name: &str) -> Place {
        Place { file_index: 0, file: name.into(), line: 0, column: 0 }
    }
}

/// What was found wrong so far. Reading goes on after a complaint, so that all of them are told at
/// once.
#[derive(Default)]
pub(crate) struct Complaints {
    purpose: Purpose,
    found: Vec<(Place, Diagnostic)>,
    errors: usize,
    warnings: usize,
    /// What stands in the file, and what came from the environment instead.
    expanded: Vec<(String, String)>,
    /// The texts that were read, to quote from.
    pub sources: Sources,
}

impl Complaints {
    pub fn new(purpose: Purpose) -> Complaints {
        Complaints { purpose, ..Complaints::default() }
    }

    pub fn error(&mut self, place: &Place, message: impl Into<String>) {
        self.add(place, Diagnostic::at(place, message));
    }

    pub fn error_with_hint(&mut self, place: &Place, message: impl Into<String>, hint: &str) {
        self.add(place, Diagnostic::at(place, message).hint(Some(hint.to_owned())));
    }

    pub fn warning(&mut self, place: &Place, message: impl Into<String>) {
        let severity = Severity::Warning;
        self.add(place, Diagnostic { severity, ..Diagnostic::at(place, message) });
    }

    pub fn warning_with_hint(&mut self, place: &Place, message: impl Into<String>, hint: &str) {
        let severity = Severity::Warning;
        let diagnostic = Diagnostic::at(place, message).hint(Some(hint.to_owned()));
        self.add(place, Diagnostic { severity, ..diagnostic });
    }

    /// What is right but cannot be had here, where running without it would be less secure than
    /// asked.
    pub fn refusal(&mut self, place: &Place, message: impl Into<String>) {
        match self.purpose {
            Purpose::Run => {
                let hint = "running without it would be less secure than this file asks for";
                self.error_with_hint(place, message, hint);
            }
            Purpose::Check => {
                let hint = "a start refuses this file: without it clients would be served less \
                            securely than asked";
                self.warning_with_hint(place, message, hint);
            }
        }
    }

    /// From here on `value` is called by what was written instead: it may be a secret.
    pub fn conceal(&mut self, written: &str, value: &str) {
        self.expanded.push((written.to_owned(), value.to_owned()));
    }

    /// Whether another error would be told; if not, its hint need not be looked for.
    pub fn have_room(&self) -> bool {
        self.errors < COMPLAINTS_MAX
    }

    pub fn add(&mut self, place: &Place, diagnostic: Diagnostic) {
        let count = match diagnostic.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count <= COMPLAINTS_MAX {
            self.found.push((place.clone(), diagnostic));
        }
    }

    /// The errors and the warnings in the order of the files; those about the whole come last.
    pub fn finish(mut self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        let order = |place: &Place| (place.line == 0, place.file_index, place.line, place.column);
        self.found.sort_by_key(|(place, _)| order(place));
        let found = std::mem::take(&mut self.found);
        let all = self.dress(found.into_iter().map(|(_, diagnostic)| diagnostic).collect());
        let (mut errors, mut warnings): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|diagnostic| diagnostic.severity == Severity::Error);
        self.say_how_many_more(&mut errors, self.errors);
        self.say_how_many_more(&mut warnings, self.warnings);
        (errors, warnings)
    }

    /// Adds what is shown of the files, and takes away what must not be.
    pub fn dress(&self, mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
        for diagnostic in &mut diagnostics {
            for (written, value) in &self.expanded {
                let quoted = format!("'{value}'");
                diagnostic.message = diagnostic.message.replace(&quoted, &format!("'{written}'"));
            }
        }
        self.sources.illustrate(&mut diagnostics);
        diagnostics
    }

    fn say_how_many_more(&self, told: &mut Vec<Diagnostic>, count: usize) {
        if let Some(last) = told.last().filter(|_| count > COMPLAINTS_MAX) {
            let more = format!("{} more of this kind are not shown", count - COMPLAINTS_MAX);
            told.push(Diagnostic {
                severity: last.severity,
                ..Diagnostic::at(&Place::whole(&last.file), more)
            });
        }
    }
}
