//! Command lines in startup messages, and which setting wins.

use proptest::prelude::*;

use super::*;
use crate::Text;

fn check(text: &str, expected: &str) {
    let found = match options(text) {
        Ok(settings) => {
            let told = settings.iter().map(|(name, value)| format!("{name}={value}"));
            told.collect::<Vec<_>>().join("|")
        }
        Err(bad) => bad.to_string(),
    };
    assert_eq!(found, expected, "{text:?}");
}

#[test]
fn settings_in_all_their_forms() {
    check("", "");
    check(" \t\n\x0b\x0c\r ", "");
    check("-c a=b", "a=b");
    check("-ca=b", "a=b");
    check("--a=b", "a=b");
    check("  --a=b -c  c=d  ", "a=b|c=d");
    check("-c statement-timeout=5-s --search-path=a-b", "statement_timeout=5-s|search_path=a-b");
    check("-c a==b= -c c=", "a==b=|c=");
    check("-c geqo=off -c work_mem=5MB", "geqo=off|work_mem=5MB");
    check("--DateStyle=ISO", "DateStyle=ISO");
    check("-c a=1 --", "a=1");
    check("-c --", "-c -- requires a value");
}

#[test]
fn a_backslash_takes_the_next_character() {
    check(r"-c search_path=a,\ b", "search_path=a, b");
    check(r"-c\ a=b", " a=b");
    check(r"-c a=\\\\x\y", r"a=\\xy");
    check(r"-c a=b\", "a=b");
    check("-c a=b\\\n", "a=b\n");
    check(r"\-c a=b", "a=b");
}

#[test]
fn switches_of_the_server() {
    check("-S 5MB", "work_mem=5MB");
    check("-S5MB -e", "work_mem=5MB|datestyle=euro");
    check("-fs -f h -fm", "enable_seqscan=false|enable_hashjoin=false|enable_mergejoin=false");
    check(
        "-tpa -t plan -t e",
        "log_parser_stats=true|log_planner_stats=true|log_executor_stats=true",
    );
    check("-es -bEjnT -D /tmp -C x", "datestyle=euro|log_statement_stats=true");
    check("-ecgeqo=off", "datestyle=euro|geqo=off");
    check("-B 1 -p 5432 -W 3", "shared_buffers=1|port=5432|post_auth_delay=3");
}

#[test]
fn what_is_not_understood_is_named() {
    let invalid = |word| format!("invalid command-line argument for server process: {word}");
    for word in ["x", "-", "-c", "-x", "-ex", "-fx", "-tp", "-d5", "-o", "-é", "", "a\u{fffd}"] {
        let text = if word.is_empty() { "\\" } else { word };
        check(text, &invalid(word));
    }
    check("-c a=b x --c=d", &invalid("x"));
    check("-- -c", &invalid("-c"));
    check("-c search_path=a, b", &invalid("b"));
    check("-c a", "-c a requires a value");
    check("--a b", "--a requires a value");
}

/// Odyssey overran 128 bytes on its stack here, before any authentication.
#[test]
fn long_values_are_whole() {
    let long = "x".repeat(9000);
    check(&format!("-c {long}={long}"), &format!("{long}={long}"));
    check(&"-ca=b".repeat(1500), &format!("a=b{}", "-ca=b".repeat(1499)));
}

fn start(parameters: &[(&str, &str)]) -> String {
    let mut message = StartupMessage::default();
    for (name, value) in parameters {
        message.parameters.push(Text(name.as_bytes()), Text(value.as_bytes()));
    }
    match settings_of(&message) {
        Err(bad) => bad.to_string(),
        Ok(settings) => {
            let lossy = |bytes| String::from_utf8_lossy(bytes).into_owned();
            let told = settings.iter().map(|(name, value)| [lossy(name), lossy(value)].join("="));
            told.collect::<Vec<_>>().join("|")
        }
    }
}

#[test]
fn parameters_win_over_options() {
    let session = [("user", "u"), ("database", "d"), ("replication", "off"), ("a", "1")];
    assert_eq!(start(&session), "a=1");
    assert_eq!(start(&[("A", "1"), ("options", "-c a=2 -c b=3")]), "a=1|b=3");
    assert_eq!(start(&[("options", "-c a=1"), ("options", "-c b=2")]), "b=2");
    assert_eq!(start(&[("DateStyle", "ISO"), ("datestyle", "German")]), "datestyle=German");
    assert_eq!(start(&[("options", "x")]), BadOptions::Argument("x".to_owned()).to_string());
    let many: Vec<_> = (0..1001).map(|i| (format!("a.x{i}"), "1")).collect();
    let many: Vec<_> = many.iter().map(|(name, value)| (&name[..], *value)).collect();
    assert_eq!(start(&many), "more than 1000 settings in a session");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[-\\\\ =a-gA-Sft\u{e9}]{0,40}") {
        let _ = options(&text);
    }

    /// What libpq's callers do: a backslash in front of every space and backslash.
    #[test]
    fn escaped_values_come_back(value in "\\PC{0,40}") {
        let escaped: String = value.chars().flat_map(|c| ['\\', c]).collect();
        let expected = Ok(vec![("a_b".to_owned(), value)]);
        prop_assert_eq!(options(&format!("-c a-b={escaped}")), expected);
    }
}
