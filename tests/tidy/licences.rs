//! Under which licences our dependencies are, and where they come from: what `deny.toml` allows.
//! `cargo deny` knows more (advisories, texts of licences); this part of it costs no installation.

use super::root;
use serde_json::Value;
use std::fs;
use std::process::Command;

/// The standard library's neighbour: where this one comes from, all others do.
const NATIVE: &str = "libc";

/// The packages that are built for the target of `deny.toml`, tests included.
fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--offline", "--locked", "--format-version", "1"]);
    command.args(["--filter-platform", "x86_64-unknown-linux-gnu"]).current_dir(root());
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let built = metadata["resolve"]["nodes"].take();
    let built: Vec<&str> =
        built.as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap()).collect();
    let Value::Array(packages) = metadata["packages"].take() else { panic!("a list") };
    packages.into_iter().filter(|it| built.contains(&it["id"].as_str().unwrap())).collect()
}

/// The list `allow` of `[licenses]`.
fn allowed() -> Vec<String> {
    let text = fs::read_to_string(root().join("deny.toml")).unwrap();
    let (_, section) = text.split_once("[licenses]").expect("there is such a section");
    let (_, list) = section.split_once("allow = [").expect("there is a list");
    let (list, _) = list.split_once(']').expect("it ends");
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Is an expression of SPDX (or of before it, with a slash) satisfied? AND binds closer than OR.
fn fits(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let fit = any(&mut words, allowed);
    fit && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words, allowed: &[String]) -> bool {
    let mut fit = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        fit |= all(words, allowed);
    }
    fit
}

fn all(words: &mut Words, allowed: &[String]) -> bool {
    let mut fit = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        fit &= one(words, allowed);
    }
    fit
}

fn one(words: &mut Words, allowed: &[String]) -> bool {
    let Some(word) = words.next() else { return false };
    if word == "(" {
        let fit = any(words, allowed);
        return words.next() == Some(")") && fit;
    }
    let name = match words.next_if_eq(&"WITH") {
        Some(_) => format!("{word} WITH {}", words.next().unwrap_or_default()),
        None => word.to_owned(),
    };
    allowed.contains(&name)
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let allowed = allowed();
    assert!(allowed.len() > 3, "{allowed:?}");
    let packages = packages();
    let native = packages.iter().find(|package| package["name"] == NATIVE);
    let registry = native.and_then(|package| package["source"].as_str()).expect("libc is used");
    assert!(registry.starts_with("registry+"), "{registry}");
    let foreign = packages.iter().filter(|package| !package["source"].is_null());
    let mut complaints = Vec::new();
    let mut seen = 0;
    for package in foreign {
        let text = |key: &str| package[key].as_str().unwrap_or("none");
        let (name, licence, source) = (text("name"), text("license"), text("source"));
        if !fits(licence, &allowed) {
            complaints.push(format!("{name}: the licence {licence} is not in deny.toml"));
        }
        if source != registry {
            complaints.push(format!("{name} comes from {source}"));
        }
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
    super::report(complaints);
}

#[test]
fn expressions_of_licences_are_understood() {
    let allowed = ["MIT", "Apache-2.0", "Zlib", "Apache-2.0 WITH LLVM-exception"];
    let allowed = allowed.map(str::to_owned);
    for (expression, expected) in [
        ("MIT", true),
        ("MIT/GPL-2.0", true),
        ("GPL-2.0 OR Zlib", true),
        ("GPL-2.0 AND Zlib", false),
        ("(GPL-2.0 OR MIT) AND Zlib", true),
        ("(GPL-2.0 OR MIT) AND GPL-3.0", false),
        ("MIT OR GPL-2.0 AND GPL-3.0", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("MIT WITH LLVM-exception", false),
        ("none", false),
        ("", false),
    ] {
        assert_eq!(fits(expression, &allowed), expected, "{expression}");
    }
}
