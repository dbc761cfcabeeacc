//! A dump is the configuration in force, and reading it gives the same model, in both languages.

use std::path::{Path, PathBuf};
use std::{env, fs};

use proptest::prelude::*;

use super::same_model::{LONG_CONF, LONG_YAML, without_places};
use super::{CONF, YAML, loaded};
use crate::Format::{Conf, Yaml};
use crate::Secrets::{Masked, Shown};
use crate::options::{Kind, Row, Scope};
use crate::{ConnectionType, Format, Loaded, Section, Word, dump, load, parse, write};

/// Names a directory with files of Odyssey, such as its repository.
const ODYSSEY: &str = "POOLER_ODYSSEY_SOURCE";

/// From there to YAML, to odyssey.conf, and back.
#[track_caller]
fn check(original: &Loaded) {
    let model = without_places(original.config.clone());
    let mut text = dump(original, Yaml, Shown);
    for format in [Yaml, Conf, Yaml] {
        let again = loaded(&text, format);
        assert_eq!(without_places(again.config.clone()), model, "{text}");
        assert_eq!(bare(&dump(&again, Yaml, Shown)), bare(&dump(original, Yaml, Shown)), "{text}");
        text = dump(&again, if format == Yaml { Conf } else { Yaml }, Shown);
    }
    for format in [Conf, Yaml] {
        loaded(&dump(original, format, Masked), format);
    }
}

/// Without the notes of what was written, which a second dump cannot know.
fn bare(dump: &str) -> String {
    let lines = dump.lines().map(|line| line.split(" # written: ").next().unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_dumped_is_read_as_the_same() {
    for (text, format) in [(CONF, Conf), (YAML, Yaml), (LONG_CONF, Conf), (LONG_YAML, Yaml)] {
        check(&loaded(text, format));
    }
    check(&load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../odyssey.yaml")).unwrap());
}

#[test]
fn what_odyssey_ships_is_dumped_and_read_as_the_same() {
    // Its files are not ours to keep.
    let Some(source) = env::var_os(ODYSSEY) else { return };
    let (mut all, mut good) = (0, 0);
    for path in files(Path::new(&source)) {
        all += 1;
        if let Ok(original) = load(&path) {
            good += 1;
            println!("{}", path.display());
            check(&original);
        }
    }
    println!("{good} of {all} files load, and all of them survive");
    assert!(good > 0);
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "conf") {
            found.push(path);
        }
    }
    found
}

#[test]
fn values_in_force_are_told() {
    let text = r#"log_format "%m" workers 3 client_max -1 keepalive_usr_timeout -1
        unix_socket_dir "/run" unix_socket_mode "660"
        listen { host "*" port 6432 }
        storage "pg" { type "remote" host "db" }
        storage "console" { type "local" }
        database "d" {
            user "u" "10.0.0.0/8" local {
                storage "pg" pool "transaction" authentication "clear_text" password "secret"
                pool_size 5 min_pool_size 9 pool_discard yes
            }
            user default { storage "console" pool "session" authentication "none" }
        }"#;
    let original = loaded(text, Conf);
    check(&original);
    let said = dump(&original, Conf, Masked);
    assert!(!said.contains("secret"), "{said}");
    for line in [
        "client_max 0 # written: -1",
        "keepalive_usr_timeout 29500 # written: -1",
        "client_max_routing 192",
        "unix_socket_mode \"0660\" # written: 660",
        "conn_drop_options {",
        "port 5432",
        "server_max_routing 3",
        "user \"u\" \"10.0.0.0/8\" local {",
        "password \"***\"",
        "pool_discard no # written: yes",
        "pool_smart_discard yes",
        "min_pool_size 5 # written: 9",
        "pool_reserve_prepared_statement no",
        "role \"stat\"",
    ] {
        assert!(said.lines().any(|it| it.trim() == line), "{line}\n{said}");
    }
    assert!(dump(&original, Yaml, Shown).contains("password: secret\n"));
}

/// A file with one of every section; generated options are put into it.
fn skeleton() -> Vec<Section> {
    let mut root = Section::root();
    root.set("log_format", "%m");
    root.set("unix_socket_dir", "/tmp");
    root.set("unix_socket_mode", "0600");
    let mut listen = Section::plain("listen");
    listen.set("port", 6432);
    let mut remote = Section::named("storage", "pg");
    remote.set("type", "remote");
    let mut local = Section::named("storage", "console");
    local.set("type", "local");
    let drop = Section::plain("conn_drop_options");
    let mut oom = Section::plain("soft_oom");
    oom.set("limit", 1 << 30);
    let parsing = Section::plain("query_parsing");
    vec![
        root,
        listen.clone(),
        listen,
        remote,
        local,
        Section::named("shared_pool", "budget"),
        drop,
        oom,
        parsing,
        rule("user", Some("a")),
        rule("user", None),
        rule("user", Some("a")),
        rule("user", None),
        rule("group", Some("g")),
    ]
}

/// Where the rules of [`skeleton`] begin.
const RULES_FROM: usize = 9;

fn rule(keyword: &str, name: Option<&str>) -> Section {
    let mut rule = match name {
        Some(name) => Section::named(keyword, name),
        None => Section::default(keyword),
    };
    for (option, word) in [("authentication", "none"), ("storage", "pg")] {
        rule.set(option, word);
    }
    if keyword == "group" {
        for option in ["group_query", "group_query_user", "group_query_db"] {
            rule.set(option, "q");
        }
    }
    rule
}

fn scope_of(section: &Section) -> Scope {
    match section.keyword.as_str() {
        "" => Scope::Top,
        "user" => Scope::Rule,
        "group" => Scope::Group,
        keyword => match Scope::Top.find(keyword).map(|row| row.kind) {
            Some(Kind::Section { scope, .. }) => scope,
            _ => unreachable!("the skeleton has sections of the top level"),
        },
    }
}

const TEXTS: &[&str] = &[
    "a",
    "x y",
    "é",
    "10%",
    "0.5,0.9",
    "/tmp/x",
    "it's \"q\" ",
    r"\n",
    "0660",
    "auto",
    "default",
    "budget",
    "yes",
    "1",
    "",
    "~",
    "a: b",
    "# a",
    "127.0.0.1",
    "[::1]:5:z,db",
    "TERM",
    "off",
];

/// A value of the option's kind; the number chooses.
fn value(row: &Row, choice: usize) -> Option<Word> {
    let text = |choices: &[&str]| choices[choice % choices.len()].to_owned();
    Some(match row.kind {
        Kind::Flag => Word::Flag(choice.is_multiple_of(2)),
        Kind::Integer { min, max } => {
            Word::Number([min, -1, 0, 1, 7, 40, 5000, max][choice % 8].clamp(min, max))
        }
        Kind::Size => Word::Number(1 << (choice % 40)),
        Kind::Bare(words) => Word::Bare(text(words)),
        Kind::Pairs => Word::Pairs(vec![(text(TEXTS), text(&["x", "", "a 'b'"]))]),
        Kind::Text | Kind::IntegerOrText | Kind::TextOrDefault if row.words.is_empty() => {
            Word::Text(text(TEXTS))
        }
        Kind::Text => Word::Text(text(row.words)),
        _ => return None,
    })
}

/// The skeleton with these options, put together.
fn generated(picks: &[(usize, usize, usize)]) -> Section {
    let mut sections = skeleton();
    for (section, row, choice) in picks {
        let index = section % sections.len();
        let section = &mut sections[index];
        let rows: Vec<&Row> = scope_of(section).rows().collect();
        let row = rows[row % rows.len()];
        let set = section.settings.iter().any(|setting| setting.name == row.name);
        if let Some(word) = value(row, *choice).filter(|_| !set || row.repeats) {
            section.set(row.name, word);
        }
    }
    let mut rules = sections.split_off(RULES_FROM);
    for (index, rule) in rules.iter_mut().enumerate() {
        let choice = picks.get(index).map_or(0, |pick| pick.2);
        rule.address = [None, Some("10.0.0.0/8"), Some("::1/64")][choice % 3].map(str::to_owned);
        rule.connection = [ConnectionType::Any, ConnectionType::Local][choice % 2];
        if !rule.settings.iter().any(|setting| setting.name == "pool") {
            rule.set("pool", ["session", "transaction", "statement"][choice % 3]);
        }
    }
    let mut root = sections.remove(0);
    root.sections = sections;
    let others = rules.split_off(2);
    for (label, rules) in [("d", rules), ("default", others)] {
        let mut database = Section::named("database", label);
        database.sections = rules;
        root.sections.push(database);
    }
    root
}

/// Loads it without the lines that do not go together with the others; None if a section is wrong
/// as a whole.
fn repaired(root: &Section) -> Option<Loaded> {
    let mut lines: Vec<String> = write(root, Conf).lines().map(str::to_owned).collect();
    loop {
        let errors = match parse("f", &lines.join("\n"), Format::Conf) {
            Ok(loaded) => return Some(loaded),
            Err(errors) => errors.0,
        };
        for line in errors.iter().map(|error| error.line) {
            let is_section = line == 0 || lines[line - 1].ends_with('{');
            if is_section || lines[line - 1].is_empty() {
                return None;
            }
        }
        for line in errors.iter().map(|error| error.line) {
            lines[line - 1].clear();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        max_global_rejects: 10_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_model_survives(
        picks in proptest::collection::vec((0..1000usize, 0..1000usize, 0..1000usize), 0..120),
    ) {
        let original = repaired(&generated(&picks));
        prop_assume!(original.is_some());
        check(&original.unwrap());
    }
}
