//! The table of commands as a whole: what must hold for each row, and the page that is made of it,
//! `docs/console.md`.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;

use config::Role;

use super::table::{COMMANDS, Command, REFUSED, Right};
use super::text;

const INTRODUCTION: &str = include_str!("introduction.md");

/// The page, as the table says it.
fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (title, right) in
        [("Commands that show", Right::Look), ("Commands that act", Right::Change)]
    {
        let _ = write!(page, "\n## {title}\n");
        for command in COMMANDS.iter().filter(|command| command.right == right) {
            describe(&mut page, command);
        }
    }
    page += "\n## Commands that are refused\n\n";
    for (words, reason) in REFUSED {
        let _ = writeln!(page, "- `{words}`: {reason}.");
    }
    page
}

fn describe(page: &mut String, command: &Command) {
    let title = format!("{} {}", command.words, command.arguments);
    let _ = write!(page, "\n### {}\n\n{}\n", title.trim_end(), command.meaning);
    if command.columns.is_empty() {
        return;
    }
    *page += "\n| column | type | |\n|---|---|---|\n";
    for column in command.columns {
        let (name, kind) = (&column.name, column.kind.name());
        let _ = writeln!(page, "| `{name}` | {kind} | {} |", column.meaning);
    }
    if command.more.is_some() {
        *page += "| `query_<quantile>` | int8 | of the times of queries, in µs |\n";
        *page += "| `transaction_<quantile>` | int8 | of the times of transactions, in µs |\n";
    }
}

/// `POOLER_WRITE_DOCS=1` writes it anew.
#[test]
fn the_page_of_the_console_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/console.md");
    if std::env::var_os("POOLER_WRITE_DOCS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page(), "docs/console.md is stale: POOLER_WRITE_DOCS=1 writes it anew");
}

#[test]
fn every_row_is_found_by_its_words_and_by_no_other() {
    let mut seen = HashSet::new();
    for command in COMMANDS {
        assert!(seen.insert(command.words), "{} twice", command.words);
        for text in [command.words.to_owned(), format!("{} x", command.words.to_lowercase())] {
            let statement = text::split(&text).unwrap().remove(0);
            let found = Command::find(&statement).map(|found| found.words);
            assert_eq!(found, Some(command.words), "{text}");
        }
        let mut columns = HashSet::new();
        for column in command.columns {
            assert!(columns.insert(&column.name), "{}: {} twice", command.words, column.name);
            assert!(!column.meaning.is_empty(), "{}: {}", command.words, column.name);
        }
        assert_eq!(command.right == Right::Look, command.words.starts_with("SHOW "));
    }
}

#[test]
fn a_role_that_looks_changes_nothing() {
    for (role, looks, changes) in [
        (Some(Role::Admin), true, true),
        (Some(Role::Stat), true, false),
        (None, true, false),
        (Some(Role::NotAllow), false, false),
    ] {
        assert_eq!((Right::Look.is_of(role), Right::Change.is_of(role)), (looks, changes));
    }
}
