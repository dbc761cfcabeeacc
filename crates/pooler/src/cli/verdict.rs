//! `check` and `dump`: what a configuration is worth and what it amounts to.

use std::path::Path;
use std::process::ExitCode;

use config::{Diagnostic, Diagnostics, Format, Loaded, Secrets, Severity};

use super::commands::Given;
use super::out;

/// Every complaint is the answer; the exit status is whether the file can be used.
pub(super) fn check(file: &Path) -> ExitCode {
    let (loaded, mut said) = read(file);
    if let Some(loaded) = &loaded {
        said.push(format!("{}: valid{}", file.display(), counted(&loaded.warnings)));
    }
    let status = if loaded.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    out::answer(&format!("{}\n", said.join("\n")), status)
}

/// Prints the configuration in force. Its complaints are told aside, so that the output can be
/// loaded.
pub(super) fn dump(given: &Given) -> ExitCode {
    let file = Path::new(&given.operand);
    let Some(loaded) = load(file) else { return ExitCode::FAILURE };
    let format = match given.text("format").as_deref() {
        Some("conf") => Format::Conf,
        Some(_) => Format::Yaml,
        None => Format::of(file),
    };
    let secrets = if given.has("show-secrets") { Secrets::Shown } else { Secrets::Masked };
    out::answer(&config::dump(&loaded, format, secrets), ExitCode::SUCCESS)
}

/// The configuration; its complaints are told aside. None when it cannot be used.
pub(super) fn load(file: &Path) -> Option<Loaded> {
    let (loaded, said) = read(file);
    said.iter().for_each(|line| out::aside(line));
    loaded
}

/// The configuration, if it can be used, and its complaints.
fn read(file: &Path) -> (Option<Loaded>, Vec<String>) {
    match config::check(file) {
        Ok(loaded) => {
            let said = loaded.warnings.iter().map(Diagnostic::picture).collect();
            (Some(loaded), said)
        }
        Err(Diagnostics(errors)) => {
            let mut said: Vec<String> = errors.iter().map(Diagnostic::picture).collect();
            said.push(format!("{}: not valid{}", file.display(), counted(&errors)));
            (None, said)
        }
    }
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
