//! What a reload would say and do, for pairs of files.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Diff, RuleChange, diff};
use crate::model::{Config, Rule};
use crate::{Format, parse};

/// A file of one listen, one storage and these rules.
const HEAD: &str = "log_format \"%m\"\nlisten { host \"*\" port 6432 }\n";
const STORAGE: &str = "storage \"pg\" { type \"remote\" host \"db\" port 5432 }\n";

fn config(text: &str) -> Config {
    parse("f", text, Format::Conf).unwrap_or_else(|errors| panic!("{errors}\n{text}")).config
}

fn rule(user: &str, options: &str) -> String {
    let all = format!("authentication \"none\" storage \"pg\" pool \"session\" {options}");
    format!("database \"db\" {{ user \"{user}\" {{ {all} }} }}\n")
}

fn with_rules(rules: &str) -> String {
    format!("{HEAD}{STORAGE}{rules}")
}

/// Everything a difference says, a line each.
fn said(old: &str, new: &str) -> String {
    let Diff { applied, needs_restart, rules, .. } = diff(&config(old), config(new));
    let fate = |change: &RuleChange| match change {
        RuleChange::Added(rule) => format!("+ {}", rule.user),
        RuleChange::Removed(rule) => format!("- {}", rule.user),
        RuleChange::Tuned { new, .. } => format!("~ {}", new.user),
        RuleChange::Replaced { new, .. } => format!("! {}", new.user),
    };
    let restart = needs_restart.iter().map(|line| format!("restart: {line}"));
    let lines: Vec<String> =
        applied.into_iter().chain(restart).chain(rules.iter().map(fate)).collect();
    lines.join("\n")
}

#[track_caller]
fn check(old: &str, new: &str, expected: &str) {
    assert_eq!(said(old, new), expected, "\n{old}\n-->\n{new}");
}

/// Two sets of options of one rule.
#[track_caller]
fn check_rule(old: &str, new: &str, expected: &str) {
    check(&with_rules(&rule("u", old)), &with_rules(&rule("u", new)), expected);
}

#[test]
fn nothing_changed() {
    let text = with_rules(&rule("u", "pool_size 3 password \"p\""));
    check(&text, &text, "");
    let (old, new) = (config(&text), config(&text));
    let merged = diff(&old, new).config;
    assert!(Arc::ptr_eq(&old.rules[0], &merged.rules[0]), "the same object");
    // Only its place is another one: it is told where it stands now.
    check(&text, &format!("# a line\n{text}"), "~ u");
}

#[test]
fn rules_come_and_go() {
    let (one, two) = (rule("one", ""), rule("two", ""));
    let both = with_rules(&format!("{one}{two}"));
    check(&with_rules(&one), &both, "rule db.two all all was added\n+ two");
    check(&both, &with_rules(&one), "rule db.two all all was deleted\n- two");
    let here = one.replace("\"one\" {", "\"one\" \"10.0.0.0/8\" host {");
    check(
        &with_rules(&one),
        &with_rules(&here),
        "rule db.one 10.0.0.0/8 host was added\nrule db.one all all was deleted\n+ one\n- one",
    );
}

#[test]
fn rules_change_their_places() {
    let (one, two) = (rule("one", ""), rule("two", ""));
    check(
        &with_rules(&format!("{one}{two}")),
        &with_rules(&format!("{two}{one}")),
        "rules: their order changed\n~ two\n~ one",
    );
}

/// Of two rules for the same clients the first is used: the one that is left is the first.
#[test]
fn rules_for_the_same_clients_are_paired_in_their_order() {
    let both = with_rules(&format!("{}{}", rule("u", "pool_size 1"), rule("u", "pool_size 2")));
    check(
        &both,
        &with_rules(&rule("u", "pool_size 2")),
        "rule db.u all all: pool_size 1 -> 2\nrule db.u all all was deleted\n~ u\n- u",
    );
}

#[test]
fn what_servers_and_clients_can_live_with_is_tuned() {
    check_rule("", "pool_size 5", "rule db.u all all: pool_size (none) -> 5\n~ u");
    check_rule("pool_size 5", "", "rule db.u all all: pool_size 5 -> (none)\n~ u");
    check_rule("pool_ttl 3", "pool_ttl 90", "rule db.u all all: pool_ttl 3s -> 90s\n~ u");
    check_rule(
        "client_max 3 log_debug no",
        "client_max 4 log_debug yes",
        "rule db.u all all: client_max 3 -> 4\nrule db.u all all: log_debug no -> yes\n~ u",
    );
}

/// Seen to fail: 384 -> 432.
#[test]
fn a_mode_is_told_in_octal() {
    let with = |mode: &str| format!("unix_socket_mode \"{mode}\"\n{}", with_rules(&rule("u", "")));
    check(&with("600"), &with("0660"), "process: unix_socket_mode 0600 -> 0660");
}

#[test]
fn what_they_cannot_live_with_replaces_the_rule() {
    check_rule("", "storage_db \"x\"", "rule db.u all all: storage_db (none) -> x\n! u");
    check_rule(
        "pool_size 1 storage_user \"a\"",
        "pool_size 2 storage_user \"b\"",
        "rule db.u all all: pool_size 1 -> 2\nrule db.u all all: storage_user a -> b\n! u",
    );
    check_rule(
        "options { \"work_mem\" \"1\" }",
        "options { \"work_mem\" \"2\" }",
        "rule db.u all all: options changed\n! u",
    );
}

#[test]
fn no_secret_is_told() {
    check_rule(
        "password \"hush\" storage_password \"hush1\"",
        "password \"quiet\" storage_password \"quiet1\"",
        "rule db.u all all: password changed\nrule db.u all all: storage_password changed\n~ u",
    );
    check_rule("", "password \"hush\"", "rule db.u all all: password (none) -> ***\n~ u");
}

#[test]
fn storages_take_their_rules_with_them() {
    let rules = rule("u", "");
    let with = |storage: &str| format!("{HEAD}{storage}{rules}");
    check(
        &with(STORAGE),
        &with(&STORAGE.replace("5432", "5433")),
        "storage 'pg': host db:5432 -> db:5433\nrule db.u all all: storage changed\n! u",
    );
    check(
        &with(STORAGE),
        &with(&STORAGE.replace("5432", "5432 server_max_routing 7")),
        "storage 'pg': server_max_routing 1 -> 7\n~ u",
    );
    let other = STORAGE.replace("\"pg\"", "\"other\"");
    check(&with(STORAGE), &with(&format!("{STORAGE}{other}")), "storage 'other' was added\n~ u");
}

#[test]
fn shared_pools_are_resized_and_exchanged() {
    let with = |name: &str, size: usize| {
        let pool = format!("shared_pool \"{name}\" {{ pool_size {size} }}\n");
        with_rules(&format!("{pool}{}", rule("u", &format!("shared_pool \"{name}\""))))
    };
    check(&with("a", 1), &with("a", 2), "rule db.u all all: shared_pool 'a' of 1 -> 'a' of 2\n~ u");
    check(&with("a", 1), &with("b", 1), "rule db.u all all: shared_pool 'a' of 1 -> 'b' of 1\n! u");
}

#[test]
fn listens_come_go_and_change() {
    let with = |listens: &str| format!("log_format \"%m\"\n{listens}\n{STORAGE}{}", rule("u", ""));
    let (one, two) = ("listen { host \"*\" port 1 }", "listen { host \"*\" port 2 }");
    let both = format!("{one}{two}");
    check(&with(one), &with(&both), "listen *:2 was added");
    check(&with(&both), &with(two), "listen *:1 was deleted");
    check(
        &with(one),
        &with("listen { host \"*\" port 1 backlog 9 client_login_timeout 5 }"),
        "listen *:1: backlog 128 -> 9\nlisten *:1: client_login_timeout 15s -> 5ms",
    );
    check(&with(&both), &with(&format!("{two}{one}")), "");
}

/// What has to wait stays as it was, so that whoever asks is told what holds.
#[test]
fn options_of_the_process_change_or_wait() {
    let with = |options: &str| format!("{options}\n{}", with_rules(&rule("u", "")));
    let (old, new) = (with("log_debug no workers 1"), with("log_debug yes workers 2"));
    check(
        &old,
        &new,
        "process: log_debug no -> yes\nprocess: client_max_routing 64 -> 128\n\
         process: cancel_max_inflight 2 -> 4\nstorage 'pg': server_max_routing 1 -> 2\n\
         restart: process: workers 1 -> 2\n~ u",
    );
    let merged = diff(&config(&old), config(&new)).config;
    assert_eq!((merged.global.workers, merged.global.log_debug), (1, true));
    check(&with(""), &with("conn_drop_options { rate 7 }"), "conn_drop_options: rate 1 -> 7");
}

/// Some rules, by their number and what they say.
fn rules() -> impl Strategy<Value = Vec<(u8, u8, bool)>> {
    proptest::collection::vec((0..4u8, 0..3u8, any::<bool>()), 1..5)
}

fn text_of(rules: &[(u8, u8, bool)]) -> String {
    let options = |size: u8, other: bool| {
        let db = if other { "storage_db \"x\"" } else { "" };
        format!("pool_size {size} {db}")
    };
    let rule =
        |&(name, size, other): &(u8, u8, bool)| rule(&format!("u{name}"), &options(size, other));
    with_rules(&rules.iter().map(rule).collect::<String>())
}

/// Rules that are under the eyes of an outsider the same.
fn plain(rules: &[Arc<Rule>]) -> Vec<Rule> {
    rules.iter().map(|rule| Rule::clone(rule)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// There and back again is where it was, and each old rule has exactly one fate.
    #[test]
    fn there_and_back_again(one in rules(), two in rules()) {
        let (first, second) = (config(&text_of(&one)), config(&text_of(&two)));
        let there = diff(&first, second.clone());
        prop_assert_eq!(plain(&there.config.rules), plain(&second.rules));
        let kept = |rule: &&Arc<Rule>| there.config.rules.iter().any(|new| Arc::ptr_eq(new, rule));
        for rule in &first.rules {
            let fates = there.rules.iter().filter_map(RuleChange::old_rule);
            let fates = fates.filter(|old| Arc::ptr_eq(old, rule)).count();
            prop_assert_eq!(fates + usize::from(kept(&rule)), 1);
        }
        let back = diff(&there.config, first.clone());
        prop_assert_eq!(&back.config, &first);
        prop_assert_eq!(back.applied.len(), there.applied.len());
    }
}

/// A rule has a counterpart for each list of storages that a listener has. What becomes of that is
/// told once, where it was said.
#[test]
fn storages_of_a_listener() {
    let other = "storage \"other\" { type \"remote\" host \"two\" port 5432 }\n";
    let text = |storages: &str, host: &str, rule_says: &str| {
        let listen = format!("listen {{ host \"*\" port 1 {storages} }}\n");
        let storage = other.replace("two", host);
        format!("{}{listen}{storage}", with_rules(&rule("u", rule_says)))
    };
    let (own, both) = (text("", "two", ""), text("storage \"pg\" storage \"other\"", "two", ""));
    check(&own, &both, "listen *:1: storage (none) -> pg,other\n+ u");
    check(&both, &own, "listen *:1: storage pg,other -> (none)\n- u");
    check(
        &both,
        &text("storage \"other\"", "two", ""),
        "listen *:1: storage pg,other -> other\n+ u\n- u",
    );
    check(&own, &text("storage \"pg\"", "two", ""), "listen *:1: storage (none) -> pg");
    let elsewhere = text("storage \"pg\" storage \"other\"", "three", "");
    check(&both, &elsewhere, "storage 'other': host two:5432 -> three:5432\n! u");
    let larger = text("storage \"pg\" storage \"other\"", "two", "pool_size 3");
    check(&both, &larger, "rule db.u all all: pool_size (none) -> 3\n~ u\n~ u");
}
