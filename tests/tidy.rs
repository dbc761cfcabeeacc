//! The rules of the house that a machine can check: who may import whom, where `unsafe` may live,
//! how long things may be, what is registered where. A rule that is not here, in clippy.toml or in
//! the lints is a wish.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

#[path = "tidy/licences.rs"]
mod licences;
#[path = "tidy/pages.rs"]
mod pages;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILE_LINES_MAX: usize = 600;
const LINE_CHARS_MAX: usize = 100; // rustfmt cuts code, this is for comments and strings

/// Which crates of ours a crate may import.
const DAG: [(&str, &[&str]); 5] = [
    ("config", &[]),
    ("machine", &[]),
    ("pooler", &["config", "machine", "router", "wire"]),
    ("router", &["config", "wire"]),
    ("wire", &[]),
];

/// The only files that may say `unsafe`, each behind a safe face.
const UNSAFE_FILES: &[&str] = &[
    "crates/machine/src/scope.rs",
    "crates/machine/src/substrate.rs",
    "crates/machine/src/sys.rs",
    "crates/machine/src/sys/process.rs",
    "crates/machine/src/sys/socket.rs",
];

/// What must not be in any source file, and why.
const FORBIDDEN: [(&str, &str); 7] = [
    ("#[ignore", "a test runs or goes"),
    ("thread::sleep", "poll a condition with a limit; in the pooler, machine::sleep"),
    ("todo!(", "narrow, never fake"),
    ("unimplemented!(", "narrow, never fake"),
    ("dbg!(", "left over"),
    ("static mut", "pass it down"),
    ("lazy_static", "pass it down"),
];

/// A type with such a name does not say what it is.
const EMPTY_NAMES: [&str; 6] = ["Manager", "Handler", "Helper", "Util", "Context", "Info"];

const TOP_LEVEL: [&str; 14] = [
    ".ci/run",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "clippy.toml",
    "deny.toml",
    "odyssey.yaml",
    "rustfmt.toml",
    "scripts/quickstart",
    "scripts/test",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Paths, from the root, of all files that git knows or would take.
fn files() -> Vec<String> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root());
    let listed = git.output().expect("git lists the files");
    assert!(listed.status.success());
    let text = String::from_utf8(listed.stdout).unwrap();
    let present = |path: &&str| root().join(path).is_file();
    text.lines().filter(present).map(str::to_owned).collect()
}

fn sources() -> Vec<(String, String)> {
    let rust = files().into_iter().filter(|path| path.ends_with(".rs"));
    let read = |path: String| (path.clone(), fs::read_to_string(root().join(path)).unwrap());
    rust.map(read).collect()
}

/// Fails with all the complaints at once.
fn report(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// This file names what it forbids.
fn is_me(path: &str) -> bool {
    path == "tests/tidy.rs"
}

#[test]
fn imports_form_the_dag() {
    let names: BTreeSet<&str> = DAG.iter().map(|(name, _)| *name).collect();
    let crates = fs::read_dir(root().join("crates")).unwrap().flatten();
    let found: BTreeSet<String> =
        crates.map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert_eq!(found.iter().map(String::as_str).collect::<BTreeSet<_>>(), names);

    let mut complaints = Vec::new();
    for (name, allowed) in DAG {
        let manifest = manifest_of(name);
        for dependency in names.iter().filter(|other| **other != name) {
            let imports = manifest.lines().any(|line| is_entry(line, dependency));
            if imports && !allowed.contains(dependency) {
                complaints.push(format!("{name} may not import {dependency}"));
            }
        }
        for (path, text) in sources() {
            let inside = path.starts_with(&format!("crates/{name}/"));
            for other in names.iter().filter(|other| **other != name && !allowed.contains(other)) {
                let uses =
                    text.lines().any(|l| l.trim_start().starts_with(&format!("use {other}::")));
                if inside && uses {
                    complaints.push(format!("{path} may not use {other}"));
                }
            }
        }
    }
    report(complaints);
}

fn manifest_of(name: &str) -> String {
    fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap()
}

fn is_entry(line: &str, dependency: &str) -> bool {
    let after = line.trim_start().strip_prefix(dependency);
    after.is_some_and(|rest| rest.starts_with('.') || rest.trim_start().starts_with('='))
}

#[test]
fn only_the_named_files_say_unsafe() {
    let mut complaints = Vec::new();
    let mut seen = BTreeSet::new();
    let sources = sources();
    for (path, text) in sources.iter().filter(|(path, _)| !is_me(path)) {
        if !says_unsafe(text) {
            continue;
        }
        seen.insert(path.as_str());
        if !path.starts_with("crates/machine/") || !UNSAFE_FILES.contains(&path.as_str()) {
            complaints.push(format!("{path} says unsafe and is not in UNSAFE_FILES"));
        }
    }
    for path in UNSAFE_FILES.iter().filter(|path| !seen.contains(**path)) {
        complaints.push(format!("{path} is in UNSAFE_FILES and needs not be"));
    }
    report(complaints);
}

fn says_unsafe(text: &str) -> bool {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let mut words = code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'));
    words.any(|word| word == "unsafe")
}

#[test]
fn files_and_lines_are_short() {
    let mut complaints = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            complaints.push(format!("{path} has {lines} lines, {FILE_LINES_MAX} are allowed"));
        }
        for (number, line) in text.lines().enumerate() {
            let wide = line.chars().count();
            let is_comment = line.trim_start().starts_with("//");
            // rustfmt does not cut string literals, and neither do we.
            if wide > LINE_CHARS_MAX && (is_comment || !line.contains('"')) {
                complaints.push(format!("{path}:{} is {wide} characters wide", number + 1));
            }
        }
    }
    report(complaints);
}

#[test]
fn every_file_opens_with_what_it_is() {
    let opens = |text: &str| text.trim_start().starts_with("//!");
    let silent = sources().into_iter().filter(|(_, text)| !opens(text));
    report(silent.map(|(path, _)| format!("{path} does not open with //!")).collect());
}

#[test]
fn forbidden_words_are_absent() {
    let mut complaints = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| !is_me(path)) {
        for (number, line) in text.lines().enumerate() {
            for (word, why) in FORBIDDEN {
                let code = line.split("//").next().unwrap_or_default();
                if code.contains(word) {
                    complaints.push(format!("{path}:{}: {word} ({why})", number + 1));
                }
            }
        }
    }
    report(complaints);
}

#[test]
fn no_type_has_an_empty_name() {
    let mut complaints = Vec::new();
    for (path, text) in sources() {
        let words: Vec<&str> = text.split_whitespace().collect();
        for pair in words.windows(2) {
            let declares = matches!(pair[0], "struct" | "enum" | "trait" | "type" | "union");
            let name: String =
                pair[1].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let camel = name.starts_with(char::is_uppercase);
            if declares && camel && EMPTY_NAMES.iter().any(|empty| name.ends_with(empty)) {
                complaints.push(format!("{path}: {name} does not say what it is"));
            }
        }
    }
    report(complaints);
}

#[test]
fn every_test_example_and_bench_is_registered() {
    let manifests: String = DAG.iter().map(|(name, _)| manifest_of(name)).collect();
    let modules: BTreeMap<String, String> = sources().into_iter().collect();
    let mut complaints = Vec::new();
    for path in modules.keys() {
        let top = ["tests/", "examples/", "benches/"].iter().any(|dir| path.starts_with(dir));
        let registered = manifests.contains(&format!("\"../../{path}\"")) || names_it(path);
        if top && !registered && !is_module_of_another(path, &modules) {
            complaints.push(format!("{path} is neither registered in a manifest nor a module"));
        }
    }
    report(complaints);
}

/// A workspace of its own, such as a driver's program, has its manifest beside the file.
fn names_it(path: &str) -> bool {
    let (dir, file) = path.rsplit_once('/').unwrap();
    let beside = fs::read_to_string(root().join(dir).join("Cargo.toml"));
    beside.is_ok_and(|manifest| manifest.contains(&format!("path = \"{file}\"")))
}

/// `mod NAME;` in the file that would have to hold it.
fn is_module_of_another(path: &str, all: &BTreeMap<String, String>) -> bool {
    let path = path.strip_suffix(".rs").unwrap();
    let (dir, name) = path.rsplit_once('/').unwrap();
    let (dir, name) = if name == "mod" { dir.rsplit_once('/').unwrap() } else { (dir, name) };
    let parents = [format!("{dir}/main.rs"), format!("{dir}/mod.rs"), format!("{dir}.rs")];
    let declares = |text: &String| {
        let ends = format!("mod {name};");
        text.lines().any(|line| line == ends || line.ends_with(&format!(" {ends}")))
    };
    parents.iter().any(|parent| all.get(parent).is_some_and(declares))
}

#[test]
fn top_level_files_exist() {
    let missing = TOP_LEVEL.iter().filter(|path| !root().join(path).is_file());
    report(missing.map(|path| format!("{path} is missing")).collect());
}

#[test]
fn scripts_can_be_run() {
    let mut complaints = Vec::new();
    for path in files() {
        if !(path.starts_with("scripts/") || path == ".ci/run") {
            continue;
        }
        let mode = fs::metadata(root().join(&path)).unwrap().permissions().mode();
        let text = fs::read_to_string(root().join(&path)).unwrap();
        if mode & 0o111 == 0 || !text.starts_with("#!") {
            complaints.push(format!("{path} is not executable, or says not by what"));
        }
    }
    report(complaints);
}
