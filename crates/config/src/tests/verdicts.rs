//! `--test` says of a file what Odyssey says: what both take, what both refuse, and that what would
//! be less secure than asked stops a start and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use super::{check, check_checked, said, said_in_check};
use crate::Format::Conf;

/// Where a checkout of Odyssey's sources is; without it that test has nothing to look at.
const SOURCES: &str = "ODYSSEY_SOURCES";

/// The files Odyssey 1.5.3 refuses; it takes all the others. (Those of the config-validation test
/// all lack a port since ports are mandatory, the valid ones too.)
const REFUSED: [&str; 10] = [
    "config-examples/odyssey-dev-ldap.conf",
    "docs/nginx.conf",
    "test/functional/tests/config-validation/",
    "test/functional/tests/hba/common.conf",
    "test/functional/tests/hba/odyssey_hba.conf",
    "test/functional/tests/hba/tcp.conf",
    "test/functional/tests/hba/unix.conf",
    "test/functional/tests/pg/pg_hba-test.conf",
    "test/functional/tests/shell-test/conf.conf",
    "test/replication/pg_hba.conf",
];

/// Odyssey refuses these only when it is built without its metrics server.
const DEPENDS_ON_THE_BUILD: [&str; 2] =
    ["config-examples/odyssey-aq.conf", "test/prometheus-legacy/config.conf"];

#[test]
fn every_file_of_odysseys_sources_gets_odysseys_verdict() {
    let Some(root) = std::env::var_os(SOURCES).map(PathBuf::from) else { return };
    let mut files = Vec::new();
    find(&root, &mut files);
    assert!(files.len() > 150, "{} is a checkout of Odyssey", root.display());
    let mut differ = Vec::new();
    for file in &files {
        let name = file.strip_prefix(&root).unwrap().display().to_string();
        if DEPENDS_ON_THE_BUILD.contains(&name.as_str()) {
            continue;
        }
        let refused = REFUSED.iter().any(|refused| name.starts_with(refused));
        let ours = crate::check(file);
        if ours.is_err() != refused {
            differ.push(format!("{name}: {:?}", ours.err()));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

fn find(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "conf") {
            files.push(path);
        }
    }
}

fn rule(inside: &str) -> String {
    format!("database \"a\" {{ user \"b\" {{ storage \"pg\" pool \"session\"\n{inside} }} }}")
}

/// Against a check that refuses what a start refuses, and against a start that takes what a check
/// takes.
#[test]
fn what_would_be_less_secure_stops_a_start_and_no_check() {
    let auth = "auth_query_user \"u\" auth_query_db \"d\" authentication \"clear_text\"";
    for lines in [
        rule(&format!("auth_module \"x\" {auth}")),
        "listen { host \"::1\" port 1 tls \"require\" }".to_owned(),
        "listen { host \"::1\" port 1 tls \"verify_full\" }".to_owned(),
        "database \"a\" { group \"g\" { storage \"pg\" pool \"session\" authentication \"block\"\n\
         group_query \"q\" group_query_user \"u\" group_query_db \"d\" } }"
            .to_owned(),
    ] {
        let text = super::with_the_least(Conf, &lines);
        let start = said(&text, Conf);
        let why = ["is refused", "no internal rule", "needs tls_cert_file"];
        assert!(why.iter().any(|why| start.contains(why)), "{start}");
        assert!(crate::parse("f", &text, Conf).is_err(), "{lines}");
        let checked = said_in_check(&text, Conf);
        assert!(crate::check_text("f", &text, Conf).is_ok(), "{lines}\n{checked}");
        assert!(checked.contains("warning: ") && checked.contains("a start refuses"), "{checked}");
    }
}

/// Constructs of Odyssey's own files, one by one; seen with Odyssey 1.5.3.
#[test]
fn what_odyssey_takes() {
    for lines in [
        "daemonize no sequential_routing yes virtual_processing no",
        "log_format \"\" ".trim_start_matches("log_format \"\" "),
        "unix_socket_dir \"/tmp\" unix_socket_mode \"0644\"",
        "storage \"local\" { type \"local\" }",
        "storage \"s\" { type \"remote\" host \"[::1]:5432,b:5433:az\" port 1 }",
        "storage \"s\" { type \"remote\" host \"b\" port 1 balancing { method \"leastconn\" { } } }",
        "database \"d\" { }",
        "database \"d\" { user default \"10.0.0.0/8\" host { storage \"pg\" pool \"statement\"
         authentication \"block\" } }",
        "database \"d\" { user \"u\" host \"10.0.0.0/8\" { storage \"pg\" pool \"statement\"
         authentication \"block\" } }",
        "conn_drop_options { drop_enabled yes rate 1 interval_ms 1000 }",
        "online_restart_drop_options { }",
        "locks_dir \"a\\nb\"\nlog_file \"x\ny\"",
        "workers \"auto\"",
        "system_coroutine_stack_size 4",
    ] {
        let text = super::with_the_least(Conf, lines);
        assert!(crate::check_text("f", &text, Conf).is_ok(), "{lines}\n{}", said(&text, Conf));
    }
    let only_internal = "log_format \"x\" listen { host \"::1\" port 1 }
        storage \"s\" { type \"local\" } database \"d\" { user \"u\" { storage \"s\" role \"stat\"
        pool \"session\" authentication \"none\" pool_routing \"internal\" } }";
    assert!(crate::check_text("f", only_internal, Conf).is_ok(), "{}", said(only_internal, Conf));
}

#[test]
fn a_string_ends_where_odyssey_ends_it() {
    let last = "this string ends in a backslash; Odyssey would read on";
    // No quote follows at all: the last one ends the string, in Odyssey too.
    let text = "log_format \"x\" listen { host \"::1\" port 1 } locks_dir \"a\\\" workers 0";
    let said = said(text, Conf);
    assert!(said.contains("bad workers number") && !said.contains(last), "{said}");
    check(Conf, "locks_dir \"a\\\\\\\"b\"", "ok");
    check(Conf, "\u{feff}workers 1", "ok");
    check_checked(Conf, "workers 1\u{feff}", "f:1:10: unexpected character '\\u{feff}'");
}
