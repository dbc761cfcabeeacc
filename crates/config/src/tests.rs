//! Tables of inputs and exact complaints, for both formats, and properties that hold for any input.

mod accepts;
mod advice;
mod complaints;
mod dump;
mod effective;
mod generated;
mod included;
mod properties;
mod reload_column;
mod same_model;
mod schema;
mod sections;
mod verdicts;

use crate::{Diagnostic, Diagnostics, Format, Loaded, check_text, parse};

/// The least that holds together, in front of which a test puts its own lines.
const CONF: &str = r#"log_format "%m"
listen { host "::1" port 6432 }
storage "pg" { type "remote" host "db" port 5432 }
database default { user default { authentication "none" storage "pg" pool "session" } }
"#;

/// The same in YAML.
const YAML: &str = r#"log_format: "%m"
listen: {host: "::1", port: 6432}
storages: {pg: {type: remote, host: db, port: 5432}}
databases: {default: {users: {default: {authentication: none, storage: pg, pool: session}}}}
"#;

/// Everything that is said about a text when it is to be run, without pictures; `ok` if nothing.
fn said(text: &str, format: Format) -> String {
    words(parse("f", text, format))
}

/// The same when it is only checked.
fn said_in_check(text: &str, format: Format) -> String {
    words(check_text("f", text, format))
}

fn words(read: Result<Loaded, Diagnostics>) -> String {
    let said = match read {
        Ok(Loaded { warnings, .. }) => warnings,
        Err(Diagnostics(errors)) => errors,
    };
    let words = |it: &Diagnostic| Diagnostic { excerpt: None, ..it.clone() }.picture();
    let said: Vec<String> = said.iter().map(words).collect();
    if said.is_empty() { "ok".to_owned() } else { said.join("\n") }
}

/// Lines in front of the least file. Hints are compared where some are expected.
#[track_caller]
fn check(format: Format, lines: &str, expected: &str) {
    let text = with_the_least(format, lines);
    assert_eq!(without_hints_unless(expected, said(&text, format)), expected, "\n{lines}");
}

/// The same as `--test` sees it.
#[track_caller]
fn check_checked(format: Format, lines: &str, expected: &str) {
    let text = with_the_least(format, lines);
    assert_eq!(without_hints_unless(expected, said_in_check(&text, format)), expected, "\n{lines}");
}

fn with_the_least(format: Format, lines: &str) -> String {
    let rest = if format == Format::Conf { CONF } else { YAML };
    format!("{lines}\n{rest}")
}

/// A whole file.
#[track_caller]
fn check_whole(format: Format, text: &str, expected: &str) {
    assert_eq!(without_hints_unless(expected, said(text, format)), expected, "\n{text}");
}

fn without_hints_unless(expected: &str, said: String) -> String {
    if expected.contains("hint: ") {
        return said;
    }
    said.lines().filter(|line| !line.starts_with("  hint: ")).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn loaded(text: &str, format: Format) -> Loaded {
    parse("f", text, format).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}
