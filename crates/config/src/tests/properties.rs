//! Whatever the input, reading ends, does not panic, and points into the text.

use proptest::prelude::*;

use super::{CONF, YAML};
use crate::{Diagnostic, Diagnostics, Format, parse};

const WORDS: &[&str] = &[
    "listen",
    "storage",
    "database",
    "user",
    "group",
    "default",
    "host",
    "port",
    "options",
    "yes",
    "no",
    "pool",
    "workers",
    "balancing",
    "method",
    "watchdog",
    "soft_oom",
    "limit",
    "{",
    "}",
    "\"",
    "\"a\"",
    "\"b\\\"",
    "1",
    "-1",
    "64k",
    "99999999999999999999",
    "\n",
    " ",
    "#",
    "users:",
    "- ",
    ":",
    "{}",
    "[",
    "]",
    "&a ",
    "*a",
    "<<: ",
    "  ",
    "'",
    "|\n",
    "? ",
    "---\n",
    "x-a:",
    "é",
    "\t",
    ",",
];

/// Reads a text in both formats.
fn read(text: &str) {
    for format in [Format::Conf, Format::Yaml] {
        let said = match parse("f", text, format) {
            Ok(loaded) => Diagnostics(loaded.warnings),
            Err(errors) => {
                assert!(!errors.0.is_empty(), "an error says something");
                errors
            }
        };
        for diagnostic in said.0 {
            assert!(is_inside(&diagnostic, text, format), "{diagnostic}");
        }
    }
}

/// Whether the place is in the text, or just behind one of its lines.
fn is_inside(diagnostic: &Diagnostic, text: &str, format: Format) -> bool {
    let ends: &[char] = if format == Format::Conf { &['\n'] } else { &['\n', '\r'] };
    let text = if format == Format::Conf { text.to_owned() } else { text.replace("\r\n", "\n") };
    match (diagnostic.line, diagnostic.column) {
        (0, 0) => true,
        (0, _) | (_, 0) => false,
        (line, column) => {
            text.split(ends).nth(line - 1).is_some_and(|line| column <= line.chars().count() + 1)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_words(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..60)) {
        read(&words.join(" "));
        read(&words.concat());
    }

    #[test]
    fn a_good_file_with_a_hole(from in 0..500_usize, length in 0..40usize, word in 0..WORDS.len()) {
        for text in [CONF, YAML] {
            let letters: Vec<char> = text.chars().collect();
            let from = from.min(letters.len());
            let to = (from + length).min(letters.len());
            let left: String = letters[..from].iter().collect();
            let right: String = letters[to..].iter().collect();
            read(&format!("{left}{}{right}", WORDS[word]));
        }
    }
}
