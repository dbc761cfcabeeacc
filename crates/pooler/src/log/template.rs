//! A template of a line, `log_format` in Odyssey's flags (`%t`, `%i`, `%m` …), parsed once.
//! Missing values print `none`.

use std::fmt::Display;

use super::clock::Utc;
use super::event::{Event, NAME_BYTES_MAX};
use super::pen::{Pen, Script};

/// A parsed template. Every text is one: an unknown flag is copied as it is.
pub(super) struct Template(Vec<Part>);

enum Part {
    Text(String),
    Flag(char),
}

impl Template {
    pub(super) fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '%' => match chars.next() {
                    Some('%') => plain.push('%'),
                    Some(flag) if is_flag(flag) => {
                        if !plain.is_empty() {
                            parts.push(Part::Text(std::mem::take(&mut plain)));
                        }
                        parts.push(Part::Flag(flag));
                    }
                    Some(other) => plain.extend(['%', other]),
                    None => {} // Odyssey drops a lonely one at the end, too
                },
                '\\' => match chars.next() {
                    Some('n') => plain.push('\n'),
                    Some('t') => plain.push('\t'),
                    Some('r') => plain.push('\r'),
                    Some('\\') => plain.push('\\'),
                    Some(other) => plain.extend(['\\', other]),
                    None => {}
                },
                _ => plain.push(c),
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Self(parts)
    }

    pub(super) fn write(&self, line: &mut String, event: &Event<'_>) {
        for part in &self.0 {
            match part {
                Part::Text(text) => line.push_str(text),
                Part::Flag('m') => event.put_message(line, Script::Plain),
                Part::Flag('M') => event.put_message(line, Script::Tskv),
                Part::Flag(flag) => put(line, *flag, event),
            }
        }
    }
}

fn is_flag(letter: char) -> bool {
    "ntepTisudclmMhrHx".contains(letter)
}

fn put(line: &mut String, flag: char, event: &Event<'_>) {
    let who = event.who;
    let mut known = |value: &dyn Display| {
        Pen::new(line, Script::Name, NAME_BYTES_MAX).put(value);
    };
    match flag {
        'n' => known(&event.since_1970.as_secs()),
        'e' => known(&format_args!("{:03}", event.since_1970.subsec_millis())),
        't' => known(&Utc(event.since_1970)),
        'p' => known(&event.pid),
        'T' => known(&event.thread()),
        'l' => known(&event.level.word()),
        'c' => known(&event.context),
        'i' => known(&OrNone(who.client)),
        's' => known(&OrNone(who.server)),
        'u' => known(&OrNone(who.user)),
        'd' => known(&OrNone(who.database)),
        'H' => known(&OrNone(event.storage())),
        'h' => known(&OrNone(event.host())),
        'r' => known(&OrNone(event.port())),
        _ => known(&OrNone(who.external)),
    }
}

struct OrNone<T>(Option<T>);

impl<T: Display> Display for OrNone<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("none"),
        }
    }
}
