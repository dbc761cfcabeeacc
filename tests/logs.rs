//! The log as operators and their programs see it: lines in Odyssey's shape, formats that can be
//! read whatever clients send, no secrets; and places for lines that fail without harm.

mod lines;
mod places;
mod secrets;

use crate::support::Pooler;

/// Queries go on, whatever happens to the log.
fn serves(pooler: &Pooler, queries: usize) {
    let mut client = pooler.client();
    for n in 0..queries {
        assert_eq!(client.scalar(&format!("select {n}")), n.to_string());
    }
    client.leave();
}

/// `[c0123456789ab none]` and the like become `[c… none]`; numbers in front of units and behind
/// some words become `N`.
fn without_chance(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let word: &str =
            &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len())];
        let is_id = word.len() == 13
            && word.starts_with(['c', 's'])
            && word[1..].bytes().all(|byte| byte.is_ascii_hexdigit());
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        if is_id {
            out.push_str(&word[..1]);
            out.push('…');
            rest = &rest[word.len()..];
        } else if digits > 0 {
            out.push('N');
            rest = &rest[digits..];
            let unit = &word[digits..];
            out.push_str(unit);
            rest = &rest[unit.len()..];
        } else if !word.is_empty() {
            out.push_str(word);
            rest = &rest[word.len()..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}
