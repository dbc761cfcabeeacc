//! docs/errors.md is about the errors there are: each row is found in the code, and what the code
//! tells clients is found in a row. It reads sources as text; it knows no Rust but the shape
//! `"CODE", "text"`.

use std::fs;
use std::path::Path;

struct Row {
    severity: String,
    code: String,
    /// Everything between backticks in the columns of texts.
    texts: Vec<String>,
    /// Odyssey tells it, too.
    is_odysseys: bool,
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn rows() -> Vec<Row> {
    let page = fs::read_to_string(root().join("docs/errors.md")).unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix("| ")?.split(" | ").collect();
        let (severity, code) = cells.first()?.split_once(' ')?;
        let texts = cells[1].split('`').skip(1).step_by(2).chain(
            // A DETAIL in the next column is a long one.
            cells[2].split('`').skip(1).step_by(2).filter(|text| text.len() > 40),
        );
        let texts = texts.map(str::to_owned).collect();
        let is_odysseys = cells.last()?.starts_with("same");
        is_code(code).then(|| Row {
            severity: severity.into(),
            code: code.into(),
            texts,
            is_odysseys,
        })
    };
    page.lines().filter_map(row).collect()
}

/// The contract, each literal on one line.
fn contract() -> String {
    let files = fs::read_dir(root().join("tests/contract")).unwrap();
    let texts = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    on_one_line(&texts.collect::<String>())
}

/// All sources that tell clients something, without their tests, each literal on one line.
fn sources() -> String {
    let mut all = String::new();
    let mut dirs = vec!["crates/pooler/src", "crates/router/src", "crates/wire/src"]
        .into_iter()
        .map(|dir| root().join(dir))
        .collect::<Vec<_>>();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.file_stem().unwrap_or_default() == "tests" {
                continue;
            }
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                all += text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            }
        }
    }
    on_one_line(&all)
}

/// Literals that go on behind a backslash in one piece, their quotes plain.
fn on_one_line(text: &str) -> String {
    let mut joined = String::new();
    for (index, piece) in text.split("\\\n").enumerate() {
        joined += if index == 0 { piece } else { piece.trim_start() };
    }
    joined.replace("\\\"", "\"")
}

/// A SQLSTATE?
fn is_code(word: &str) -> bool {
    word.len() == 5
        && word.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
        && word.bytes().filter(u8::is_ascii_digit).count() >= 2
}

/// The parts of a text that are always the same. `<name>` and `{name}` stand for what is not.
fn fixed(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '<' | '{' => {
                depth += 1;
                parts.push(String::new());
            }
            '>' | '}' => depth -= 1,
            c if depth == 0 => parts.last_mut().unwrap().push(c),
            _ => {}
        }
    }
    parts.retain(|part| part.trim().len() > 3);
    parts
}

#[test]
fn each_row_is_an_error_of_the_code() {
    let (sources, mut strange) = (sources(), Vec::new());
    for row in rows() {
        for part in row.texts.iter().flat_map(|text| fixed(text)) {
            if !sources.contains(part.trim()) {
                strange.push(format!("{} {}: {part:?}", row.severity, row.code));
            }
        }
    }
    assert!(strange.is_empty(), "rows of docs/errors.md that no code tells: {strange:#?}");
}

/// Against an error that is added without a word about it.
#[test]
fn each_error_of_the_code_has_a_row() {
    let (sources, rows) = (sources(), rows());
    let mut lacking = Vec::new();
    let literals: Vec<&str> = sources.split('"').collect();
    for three in literals.windows(3) {
        let [code, between, text] = three else { continue };
        let follows = between.strip_prefix(',').map(str::trim_start);
        let follows = follows.is_some_and(|it| it.is_empty() || it == "format!(");
        if !is_code(code) || !follows || text.is_empty() || is_code(text) {
            continue; // the text comes from elsewhere
        }
        let parts = fixed(text);
        let known = rows.iter().any(|row| {
            let texts = row.texts.join(" ");
            row.code == *code && parts.iter().all(|part| texts.contains(part.trim()))
        });
        if !known {
            lacking.push(format!("{code} {text}"));
        }
    }
    assert!(lacking.is_empty(), "errors without a row in docs/errors.md: {lacking:#?}");
    assert!(sources.matches("Notice::fatal(").count() > 10, "the sources were not found");
}

/// Against a text that tools look for and no test compares.
#[test]
fn each_row_that_odyssey_has_too_is_in_the_contract() {
    let (contract, mut lacking) = (contract(), Vec::new());
    for row in rows().into_iter().filter(|row| row.is_odysseys) {
        for part in row.texts.iter().flat_map(|text| fixed(text)) {
            let part = part.trim_matches([' ', '"', '\'']).to_owned();
            if !contract.contains(&part) || !contract.contains(&row.code) {
                lacking.push(format!("{} {part}", row.code));
            }
        }
    }
    assert!(lacking.is_empty(), "no row of tests/contract is about these: {lacking:#?}");
    assert!(rows().iter().filter(|row| row.is_odysseys).count() > 20, "the page was not found");
}

/// Every SQLSTATE that stands in the code alone.
#[test]
fn each_sqlstate_has_a_row() {
    // Of servers, which we only understand; or of a reset of a server's that no client sees.
    const THEIRS: [&str; 3] = ["22012", "57P01", "XX000"];
    let (sources, rows) = (sources(), rows());
    let lacking: Vec<&str> = sources
        .split('"')
        .filter(|word| is_code(word))
        .filter(|code| !THEIRS.contains(code) && !rows.iter().any(|row| row.code == **code))
        .collect();
    assert!(lacking.is_empty(), "SQLSTATEs without a row in docs/errors.md: {lacking:?}");
}
