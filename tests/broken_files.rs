//! Configurations that cannot be used, as their operator meets them: where, why and what to do
//! about it, exit status 1, at once however large the file, and never a panic or a secret.

use crate::support::pooler::binary;
use crate::support::process::new_dir;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Generous: this is a debug build on a busy machine. What is quadratic takes minutes.
const TIME_MAX: Duration = Duration::from_secs(30);
const BYTES: usize = 256 << 10; // in a release build ten megabytes take two seconds at most
const LINE_BYTES_MAX: usize = 4096;

/// A file that cannot be used.
struct Broken {
    name: &'static str,
    /// Of the file that is started with; `.yaml` or `.conf` decides how it is read.
    file: &'static str,
    text: Vec<u8>,
    /// `:line:column: message`, as it begins; or `: message` for the file as a whole.
    says: &'static str,
    /// A part of the hint.
    hint: &'static str,
}

fn conf(
    name: &'static str,
    text: impl Into<Vec<u8>>,
    says: &'static str,
    hint: &'static str,
) -> Broken {
    Broken { name, file: "odyssey.conf", text: text.into(), says, hint }
}

fn yaml(
    name: &'static str,
    text: impl Into<Vec<u8>>,
    says: &'static str,
    hint: &'static str,
) -> Broken {
    Broken { name, file: "odyssey.yaml", text: text.into(), says, hint }
}

const HEAD: &str = "log_format \"%m\"\nlisten { host \"127.0.0.1\" port 6432 }\n";
const STORAGE: &str = "storage \"pg\" { type \"remote\" host \"127.0.0.1\" port 5432 }\n";
const RULE: &str = "database \"d\" { user \"u\" {\n  authentication \"md5\" password \"hush\" \
                    storage \"pg\" pool \"session\"\n} }\n";
const YAML: &str = "log_format: \"%m\"\nlisten: {host: 127.0.0.1, port: 6432}\n\
                    storages: {pg: {type: remote, host: db, port: 5432}}\n\
                    databases: {d: {users: {u: {authentication: md5, password: hush, storage: pg, \
                    pool: session}}}}\n";

/// A good file with lines of one's own behind it: they begin at line 7.
fn behind(lines: &str) -> String {
    format!("{HEAD}{STORAGE}{RULE}{lines}\n")
}

/// The same with a line of the rule's, which is line 5.
fn in_rule(lines: &str) -> String {
    format!("{HEAD}{STORAGE}{}", RULE.replace("storage \"pg\" pool \"session\"", lines))
}

fn words() -> Vec<Broken> {
    vec![
        conf("unknown key", behind("log_debu yes"), ":7:1: syntax error", "'log_debug'?"),
        conf("key of elsewhere", behind("pool_size 5"), ":7:1: syntax error", "belongs into"),
        conf("quoted flag", behind("log_debug \"yes\""), ":7:11: syntax error", "without quotes"),
        conf(
            "word for a number",
            behind("resolvers \"4\""),
            ":7:11: syntax error",
            "without quotes",
        ),
        conf("bare string", behind("pid_file x"), ":7:10: syntax error", "double quotes"),
        conf(
            "single quotes",
            behind("pid_file 'x'"),
            ":7:10: unexpected character '''",
            "double quotes",
        ),
        conf(
            "equals sign",
            behind("workers = 4"),
            ":7:9: unexpected character '='",
            "right behind",
        ),
        conf(
            "semicolon",
            behind("workers 4;"),
            ":7:10: unexpected character ';'",
            "nothing stands",
        ),
        conf("suffix", behind("readahead 8k"), ":7:11: syntax error", "no suffix"),
        conf("brace too many", behind("}"), ":7:1: syntax error", "one brace too many"),
        conf(
            "brace missing",
            behind("listen { port 1"),
            ":8:1: syntax error",
            "line 7 is not closed",
        ),
        conf(
            "open string",
            behind("pid_file \"x"),
            ":7:10: unexpected character '\"'",
            "never ends",
        ),
        yaml(
            "unknown key",
            format!("{YAML}log_debu: yes"),
            ":5:1: unknown directive",
            "'log_debug'?",
        ),
        yaml(
            "wrong type",
            format!("{YAML}resolvers: [4]"),
            ":5:12: option 'resolvers'",
            "not a list",
        ),
        yaml("tab", format!("{YAML}soft_oom:\n\tlimit: 1"), ":6:", "never with tabs"),
        yaml("open bracket", format!("{YAML}x-a: [1, 2\nworkers: 1"), ":6:", "as YAML wants it"),
        yaml("two documents", format!("{YAML}---\nworkers: 1"), ":6:1: a second document", "'---'"),
        yaml(
            "no map",
            "- a\n- b\n",
            ":1:1: here a map of options is expected",
            "one option a line",
        ),
    ]
}

fn sense() -> Vec<Broken> {
    vec![
        conf("empty", "", ": log_format is not defined", "%p %t %l"),
        conf(
            "no listen",
            format!("log_format \"x\"\n{STORAGE}{RULE}"),
            ": no listen",
            "such as: listen",
        ),
        conf("no rules", format!("{HEAD}{STORAGE}"), ": no rules defined", "database section"),
        conf("out of range", behind("listen { host \"::1\" port 65536 }"), ":7:21: value for", ""),
        conf("duplicate option", behind("workers 1\nworkers 2"), ":8:1: duplicate", ":7 already"),
        conf("duplicate storage", behind(STORAGE), ":7:1: duplicate storage", ""),
        conf(
            "dangling storage",
            in_rule("storage \"pgg\" pool \"session\""),
            ":5:40: unknown storage 'pgg'",
            "'pg'?",
        ),
        conf(
            "unknown pool",
            in_rule("storage \"pg\" pool \"sesion\""),
            ":5:53: rule 'd.u all': unknown",
            "session, transaction",
        ),
        conf(
            "no pool",
            in_rule("storage \"pg\""),
            ":4:16: rule 'd.u all': pooling mode",
            "session, transaction",
        ),
        conf(
            "bad address",
            behind("database \"e\" { user \"u\" \"10.0.0.1\" { } }"),
            ":7:25: expected network mask",
            "",
        ),
        conf(
            "bad endpoint",
            behind("storage \"s\" { type \"remote\" host \"h:0\" }"),
            ":7:29: can't parse",
            "",
        ),
    ]
}

fn files() -> Vec<Broken> {
    vec![
        conf(
            "not UTF-8",
            [HEAD.as_bytes(), b"# caf\xe9\n"].concat(),
            ":3:6: this is not UTF-8",
            "0xe9",
        ),
        conf(
            "no include",
            behind("include \"none.conf\""),
            ":7:1: cannot open include",
            "beside this file",
        ),
        conf(
            "circular include",
            behind("include \"odyssey.conf\""),
            ":7:1: circular include",
            "includes it",
        ),
        conf(
            "directory as secret",
            in_rule("storage \"pg\" pool \"session\" storage_password_file \"/\""),
            ":5:68: cannot read storage_password_file",
            "able to read it",
        ),
        yaml(
            "circular include",
            format!("{YAML}include: odyssey.yaml"),
            ":5:10: circular include",
            "includes it",
        ),
        yaml(
            "deep nesting",
            format!("{YAML}x-a: {}", "[".repeat(BYTES)),
            ":5:261: this is nested too deeply",
            "left open",
        ),
        yaml("aliases", bomb(), "the document is too large", ""),
    ]
}

/// Much of something, in one case ten megabytes, and the mistake at its end.
fn large() -> Vec<Broken> {
    let of = |line: &str| line.repeat(BYTES / line.len());
    let rules: String =
        (0..5_000).map(|n| format!("user \"{n}\" {{ storage \"none\" }}\n")).collect();
    vec![
        conf(
            "large comment",
            format!("{}x", of("# hush\n").repeat(40)),
            "syntax error",
            "unknown directive 'x'",
        ),
        conf("large word", of("x"), ":1:1: syntax error", "unknown directive"),
        conf("large string", format!("pid_file \"{}", of("\\\"")), "not defined", "%p %t %l"),
        conf("large line", format!("{}}}", of("workers 1 ")), "syntax error", "brace"),
        conf("same option", of("workers 1\n"), ":2:1: duplicate option 'workers'", "already"),
        conf(
            "many rules",
            behind(&format!("database \"d\" {{\n{rules}}}")),
            "unknown storage 'none'",
            "no storage section",
        ),
        conf("braces", of("{"), ":1:1: syntax error", "expected"),
        yaml("large list", format!("include: [{}", of("a,")), "syntax error", ""),
        yaml(
            "unknown keys",
            (0..30_000).map(|n| format!("k{n}: 1\n")).collect::<String>(),
            ":1:1: unknown directive",
            "",
        ),
        yaml("large scalar", of("a b "), "here a map of options", "one option a line"),
        yaml("large flow", format!("x-a: {{{}", of("a: b, ")), "syntax error", ""),
    ]
}

fn bomb() -> String {
    let level = |n: usize| format!("x-{}: &a{} [{}]\n", n + 1, n + 1, format!("*a{n},").repeat(9));
    format!("x-0: &a0 lol\n{}{YAML}", (0..20).map(level).collect::<String>())
}

/// What is wrong with what is said of it; None if nothing is.
fn fault(broken: &Broken, dir: &Path) -> Option<String> {
    let path = dir.join(broken.file);
    fs::write(&path, &broken.text).unwrap();
    let started = Instant::now();
    let output = binary().arg("--test").arg(&path).current_dir(dir).output().unwrap();
    let took = started.elapsed();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let line = text.lines().find(|line| line.contains(broken.says)).unwrap_or_default();
    let what = match () {
        () if output.status.code() != Some(1) => format!("it ended with {}", output.status),
        () if text.contains("panicked") => "it panicked".to_owned(),
        () if text.contains("hush") => "it told a secret".to_owned(),
        () if line.is_empty() => format!("nothing says {:?}", broken.says),
        () if !line.contains(broken.file) => "another file is named".to_owned(),
        () if !line.contains(broken.hint) => format!("no hint says {:?}", broken.hint),
        () if line.len() > LINE_BYTES_MAX => format!("a line has {} bytes", line.len()),
        () if took > TIME_MAX => format!("it took {took:?}"),
        () => return None,
    };
    let short: String = text.chars().take(1000).collect();
    Some(format!("{} ({}): {what}:\n{short}", broken.name, broken.file))
}

fn check_all(broken: &[Broken]) {
    let dir = new_dir("pooler-broken");
    let faults: Vec<String> = broken.iter().filter_map(|broken| fault(broken, &dir)).collect();
    fs::remove_dir_all(&dir).unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn files_with_wrong_words_are_refused_with_a_place_and_a_hint() {
    check_all(&words());
}

#[test]
fn files_without_sense_are_refused_with_a_place_and_a_hint() {
    check_all(&sense());
}

#[test]
fn files_that_cannot_be_read_are_refused_with_a_place_and_a_hint() {
    check_all(&files());
    let dir = new_dir("pooler-broken");
    for (path, hint) in
        [(dir.join("none.conf"), "is the path right?"), (dir.clone(), "a file of options")]
    {
        let output = binary().arg("--test").arg(&path).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("cannot read the file") && text.contains(hint), "{text}");
    }
    fs::remove_dir_all(&dir).unwrap();
}

/// Against readers, checks and hints that look at everything once more for each thing they find.
#[test]
fn large_files_are_refused_at_once() {
    check_all(&large());
}
