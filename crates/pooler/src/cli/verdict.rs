//! `check` and `dump`: what a configuration is worth and what it amounts to.

use std::path::Path;
use std::process::ExitCode;

use config::{Diagnostic, Diagnostics, Loaded, Severity};

use super::commands::Given;

/// Prints every complaint; the exit status is whether the file can be used.
pub(super) fn check(file: &Path) -> ExitCode {
    match load(file) {
        Some(loaded) => {
            println!("{}: valid{}", file.display(), counted(&loaded.warnings));
            ExitCode::SUCCESS
        }
        None => ExitCode::FAILURE,
    }
}

pub(super) fn dump(given: &Given) -> ExitCode {
    let _ = given;
    eprintln!("dump");
    ExitCode::FAILURE
}

/// The configuration; its complaints are printed. None when it cannot be used.
pub(super) fn load(file: &Path) -> Option<Loaded> {
    match config::load(file) {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(tell);
            Some(loaded)
        }
        Err(Diagnostics(errors)) => {
            errors.iter().for_each(tell);
            println!("{}: not valid{}", file.display(), counted(&errors));
            None
        }
    }
}

fn tell(diagnostic: &Diagnostic) {
    println!("{diagnostic}");
    if let Some(hint) = &diagnostic.hint {
        println!("  hint: {hint}");
    }
}

/// `, 2 errors, 1 warning`
fn counted(diagnostics: &[Diagnostic]) -> String {
    let kinds = [(Severity::Error, "error"), (Severity::Warning, "warning")];
    let count = |(severity, word)| match diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == severity)
        .count()
    {
        0 => String::new(),
        1 => format!(", 1 {word}"),
        many => format!(", {many} {word}s"),
    };
    kinds.map(count).concat()
}
