//! Every example prints what its header says: each is run as a user would run it, and its output is
//! held against the `text` block above its code, where `…` stands for anything on its line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn examples() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    files.sort();
    files
}

/// Where cargo puts examples: beside the directory of the test that runs.
fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    this.parent().and_then(Path::parent).unwrap().join("examples").join(name)
}

/// The header's block of what will be seen.
fn promised(source: &str) -> Vec<&str> {
    let header = source.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let block = header.skip_while(|line| *line != "```text").skip(1);
    block.take_while(|line| *line != "```").collect()
}

fn keeps(promise: &str, line: &str) -> bool {
    match promise.split_once('…') {
        None => promise == line,
        Some((before, after)) => {
            line.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).is_some()
        }
    }
}

#[test]
fn every_example_prints_what_its_header_says() {
    for path in examples() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let source = fs::read_to_string(&path).unwrap();
        let promised = promised(&source);
        assert!(!promised.is_empty(), "{name}: its header says what will be seen");
        let output = Command::new(program(name)).output();
        let output = output.unwrap_or_else(|error| panic!("{name}: {error}"));
        let printed = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = printed.lines().collect();
        let kept = lines.len() == promised.len()
            && promised.iter().zip(&lines).all(|(promise, line)| keeps(promise, line));
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(kept, "{name}: promised {promised:#?}, printed {lines:#?}, {complaints}");
        assert!(output.status.success(), "{name}: {complaints}");
    }
}

/// A reader sees one idea at a time, and always the same four headings.
#[test]
fn every_example_is_short_and_says_how_to_run_it() {
    let examples = examples();
    for (index, path) in examples.iter().enumerate() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let source = fs::read_to_string(path).unwrap();
        for heading in ["//! Teaches: ", "//! Run: ", "//! ```text", "//! Try: "] {
            assert!(source.contains(heading), "{name} lacks {heading:?}");
        }
        assert!(source.contains(&format!("--example {name}")), "{name}: the command to run it");
        assert!(name.starts_with(&format!("{:02}_", index + 1)), "{name}: a rung is missing");
        let lines_max = if index < 11 { 80 } else { 200 };
        assert!(source.lines().count() <= lines_max, "{name} has more than {lines_max} lines");
    }
}
