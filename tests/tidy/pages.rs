//! What the documents say of the tree is there: links, paths, the modules of the code map, the
//! tests that guard the invariants.

use super::{files, report, root, sources};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Words with so many `_` are names of tests, in the table of invariants.
const NAME_JOINTS: usize = 2;

/// Folders of the tree whose paths documents name.
const FOLDERS: [&str; 8] =
    ["benches/", "crates/", "docs/", "examples/", "fuzz/", "packaging/", "scripts/", "tests/"];

#[test]
fn links_between_documents_resolve() {
    let mut complaints = Vec::new();
    for (path, text) in pages() {
        let dir = Path::new(&path).parent().unwrap();
        for link in links(&text) {
            let target = link.split('#').next().unwrap_or_default();
            let outside = target.contains("://") || target.starts_with("mailto:");
            if !outside && !target.is_empty() && !root().join(dir).join(target).exists() {
                complaints.push(format!("{path}: {link} leads nowhere"));
            }
        }
    }
    report(complaints);
}

#[test]
fn paths_in_documents_exist() {
    let mut complaints = Vec::new();
    let is_path = |text: &str| {
        let mut chars = text.chars();
        chars.all(|it| it.is_ascii_alphanumeric() || "/._-".contains(it))
            && FOLDERS.iter().any(|folder| text.starts_with(folder))
    };
    for (path, text) in pages() {
        for named in quoted(&text).filter(|named| is_path(named)) {
            if !root().join(named).exists() {
                complaints.push(format!("{path}: there is no {named}"));
            }
        }
    }
    report(complaints);
}

#[test]
fn guards_of_the_invariants_exist() {
    let mut tests = BTreeSet::new();
    for (_, text) in sources() {
        let names = text.split("fn ").skip(1).filter_map(|rest| rest.split('(').next());
        tests.extend(names.map(str::to_owned));
    }
    let table = section("## Invariants");
    let named = quoted(&table).flat_map(|text| text.split([' ', ':', '.', ','])).filter(|word| {
        word.matches('_').count() >= NAME_JOINTS
            && word
                .chars()
                .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || "_…".contains(it))
    });
    let is_there = |name: &str| match name.split_once('…') {
        Some((start, end)) => {
            tests.iter().any(|test| test.starts_with(start) && test.ends_with(end))
        }
        None => tests.contains(name) || OPTIONS.contains(&name),
    };
    let missing = named.filter(|name| !is_there(name));
    report(missing.map(|name| format!("ARCHITECTURE.md: no test is called {name}")).collect());
}

/// Options that the table speaks of.
const OPTIONS: [&str; 1] = ["target_session_attrs"];

#[test]
fn the_code_map_names_every_module() {
    let map = section("## Code map");
    let mut named = BTreeSet::new();
    let mut of = String::new();
    for row in map.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').collect();
        of = quoted(cells[1]).next().map_or(of, str::to_owned);
        let words = cells[2..].iter().flat_map(|cell| quoted(cell)).flat_map(str::split_whitespace);
        named.extend(words.map(|word| (of.clone(), word.trim_end_matches('/').to_owned())));
    }
    let modules: BTreeSet<_> = files().iter().filter_map(|path| module(path)).collect();
    let missing = modules
        .difference(&named)
        .map(|(of, name)| format!("ARCHITECTURE.md: the code map of {of} says nothing of {name}"));
    report(missing.collect());
}

/// A crate, and the module of it that a file is, or is in.
fn module(path: &str) -> Option<(String, String)> {
    let (of, inside) = path.strip_prefix("crates/")?.split_once("/src/")?;
    let name = inside.split('/').next()?;
    let name = name.strip_suffix(".rs").unwrap_or(name);
    let is_whole = ["lib", "main", "bin", "tests", "testing"].contains(&name);
    (!is_whole).then(|| (of.to_owned(), name.to_owned()))
}

/// The documents, each with its path.
fn pages() -> impl Iterator<Item = (String, String)> {
    let read = |path: String| {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        (path, text)
    };
    files().into_iter().filter(|path| path.ends_with(".md")).map(read)
}

/// From this heading of ARCHITECTURE.md to the next.
fn section(heading: &str) -> String {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, behind) = text.split_once(heading).expect("the section is there");
    behind.split("\n## ").next().unwrap_or_default().to_owned()
}

/// What stands between `…` in lines of a text.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Targets of `[text](target)` outside of code blocks.
fn links(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        for part in line.split("](").skip(1) {
            found.extend(part.split(')').next().map(str::to_owned));
        }
    }
    found
}
