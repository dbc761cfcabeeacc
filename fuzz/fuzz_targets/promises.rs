//! What holds for every text: reading it ends without a panic, complaints point into it, a check
//! refuses nothing that a start takes, and no picture shows what stands behind `password`.

use config::{Diagnostic, Diagnostics, Format};

/// These would have other files read, which are none of the fuzzer's business.
const OTHER_FILES: [&str; 4] = ["include", "hba_file", "password_file", "passwd_file"];

/// A secret that nobody writes by accident.
const SECRET: &str = "Hush5ecret";

/// Panics if one of the promises is broken.
pub fn check(bytes: &[u8], format: Format) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if OTHER_FILES.iter().any(|word| text.contains(word)) {
        return;
    }
    let start = config::parse("f", text, format);
    let check = config::check_text("f", text, format);
    assert!(start.is_err() || check.is_ok(), "a check refuses what a start takes");
    for diagnostic in said(start).iter().chain(&said(check)) {
        points_inside(diagnostic, text);
        assert!(!diagnostic.line().contains('\n'), "{diagnostic:?}");
    }
    keeps_secrets(text, format);
}

fn said(read: Result<config::Loaded, Diagnostics>) -> Vec<Diagnostic> {
    match read {
        Ok(loaded) => loaded.warnings,
        Err(Diagnostics(errors)) => {
            assert!(!errors.is_empty(), "an error without a word");
            errors
        }
    }
}

fn points_inside(diagnostic: &Diagnostic, text: &str) {
    assert!(diagnostic.line <= text.split(['\n', '\r']).count(), "{diagnostic:?}");
    assert!(diagnostic.column <= text.chars().count() + 1, "{diagnostic:?}");
    if let Some(excerpt) = &diagnostic.excerpt {
        // A place may be behind blanks that are not shown.
        assert!(excerpt.caret <= 200 && excerpt.text.chars().count() <= 200, "{diagnostic:?}");
    }
}

/// Whatever follows a password, in its line or below, brings it to light in no picture.
fn keeps_secrets(text: &str, format: Format) {
    if text.contains(SECRET) {
        return; // the fuzzer reads what is compared, and puts it into its inputs
    }
    let heads = match format {
        Format::Conf => ["database \"d\" { user \"u\" { password \"", "password \"a\\\"\n"],
        Format::Yaml => ["databases: {d: {users: {u: {password: ", "x-a:\n  password: |\n   "],
    };
    let end = if format == Format::Conf { "\" " } else { ", " };
    for head in heads {
        let read = config::check_text("f", &format!("{head}{SECRET}{end}{text}"), format);
        let shown = said(read).iter().map(Diagnostic::picture).collect::<String>();
        assert!(!shown.contains(SECRET), "{shown}");
    }
}
