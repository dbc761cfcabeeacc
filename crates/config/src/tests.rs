//! Tables of inputs and exact complaints, for both formats, and properties that hold for any input.

mod accepts;
mod complaints;
mod dump;
mod effective;
mod generated;
mod properties;
mod same_model;
mod schema;
mod sections;

use crate::{Diagnostics, Format, Loaded, parse};

/// The least that holds together, in front of which a test puts its own lines.
const CONF: &str = r#"log_format "%m"
listen { host "*" port 6432 }
storage "pg" { type "remote" host "db" port 5432 }
database default { user default { authentication "none" storage "pg" pool "session" } }
"#;

/// The same in YAML.
const YAML: &str = r#"log_format: "%m"
listen: {host: "*", port: 6432}
storages: {pg: {type: remote, host: db, port: 5432}}
databases: {default: {users: {default: {authentication: none, storage: pg, pool: session}}}}
"#;

/// Everything that is said about a text, a line each; `ok` if nothing.
fn said(text: &str, format: Format) -> String {
    let said = match parse("f", text, format) {
        Ok(Loaded { warnings, .. }) => Diagnostics(warnings),
        Err(errors) => errors,
    };
    if said.0.is_empty() { "ok".to_owned() } else { said.to_string() }
}

/// Lines in front of the least file.
#[track_caller]
fn check(format: Format, lines: &str, expected: &str) {
    let rest = if format == Format::Conf { CONF } else { YAML };
    assert_eq!(said(&format!("{lines}\n{rest}"), format), expected, "\n{lines}");
}

/// A whole file.
#[track_caller]
fn check_whole(format: Format, text: &str, expected: &str) {
    assert_eq!(said(text, format), expected, "\n{text}");
}

#[track_caller]
fn loaded(text: &str, format: Format) -> Loaded {
    parse("f", text, format).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}
