//! `check` and `dump`: what a configuration is worth and what it amounts to.

use std::path::Path;
use std::process::ExitCode;

use config::{Diagnostic, Diagnostics, Format, Loaded, Secrets, Severity};

use super::commands::Given;

/// Where complaints go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To standard output: they are the answer.
    Answer,
    /// To standard error, beside the answer.
    Aside,
}

impl Place {
    fn say(self, line: &str) {
        match self {
            Place::Answer => println!("{line}"),
            Place::Aside => eprintln!("{line}"),
        }
    }
}

/// Prints every complaint; the exit status is whether the file can be used.
pub(super) fn check(file: &Path) -> ExitCode {
    match load(file, Place::Answer) {
        Some(loaded) => {
            println!("{}: valid{}", file.display(), counted(&loaded.warnings));
            ExitCode::SUCCESS
        }
        None => ExitCode::FAILURE,
    }
}

/// Prints the configuration in force. Its complaints are told aside, so that the output can be
/// loaded.
pub(super) fn dump(given: &Given) -> ExitCode {
    let file = Path::new(&given.operand);
    let Some(loaded) = load(file, Place::Aside) else { return ExitCode::FAILURE };
    let format = match given.text("format").as_deref() {
        Some("conf") => Format::Conf,
        Some(_) => Format::Yaml,
        None => Format::of(file),
    };
    let secrets = if given.has("show-secrets") { Secrets::Shown } else { Secrets::Masked };
    print!("{}", config::dump(&loaded, format, secrets));
    ExitCode::SUCCESS
}

/// The configuration; its complaints are printed. None when it cannot be used.
pub(super) fn load(file: &Path, place: Place) -> Option<Loaded> {
    match config::check(file) {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|warning| tell(warning, place));
            Some(loaded)
        }
        Err(Diagnostics(errors)) => {
            errors.iter().for_each(|error| tell(error, place));
            place.say(&format!("{}: not valid{}", file.display(), counted(&errors)));
            None
        }
    }
}

fn tell(diagnostic: &Diagnostic, place: Place) {
    place.say(&diagnostic.picture());
}

/// `, 2 errors, 1 warning`
fn counted(diagnostics: &[Diagnostic]) -> String {
    let kinds = [(Severity::Error, "error"), (Severity::Warning, "warning")];
    let count = |(severity, word)| {
        let those = diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity);
        match those.count() {
            0 => String::new(),
            1 => format!(", 1 {word}"),
            many => format!(", {many} {word}s"),
        }
    };
    kinds.map(count).concat()
}
