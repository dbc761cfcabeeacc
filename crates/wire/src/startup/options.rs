//! The `options` of a startup message: a command line, read as PostgreSQL 13–18 read it, and the
//! settings a startup message asks for. Whether a setting exists is for the server to judge.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;

use super::StartupMessage;
use crate::settings::{Settings, TooMany};

/// Parameters of a startup message that are no settings.
const NOT_SETTINGS: [&str; 4] = ["user", "database", "replication", "options"];

/// What a switch of the server's command line means when it comes from a client.
#[derive(Clone, Copy)]
enum Switch {
    /// PostgreSQL skips it.
    Ignored,
    /// It stands for a setting with this value.
    Fixed(&'static str, &'static str),
    /// An argument belongs to it, here or in the next word.
    With(Meaning),
}

/// What the argument of a switch means.
#[derive(Clone, Copy)]
enum Meaning {
    /// Nothing to a client.
    Ignored,
    /// `name=value`.
    Named,
    /// The value of this setting.
    ValueOf(&'static str),
    /// Its first letters pick a setting of the list, which gets the value.
    Picks(&'static [(&'static str, &'static str)], &'static str),
}

/// Kinds of plans that `-f` forbids.
const PLANS: &[(&str, &str)] = &[
    ("s", "enable_seqscan"),
    ("i", "enable_indexscan"),
    ("o", "enable_indexonlyscan"),
    ("b", "enable_bitmapscan"),
    ("t", "enable_tidscan"),
    ("n", "enable_nestloop"),
    ("m", "enable_mergejoin"),
    ("h", "enable_hashjoin"),
];

/// Figures that `-t` asks for.
const STATS: &[(&str, &str)] =
    &[("pa", "log_parser_stats"), ("pl", "log_planner_stats"), ("e", "log_executor_stats")];

/// The switches, but `-d` (five settings at once, most of them a superuser's) and `-o` (obsolete).
/// Those that only take effect when a server starts are here too: it is the server that refuses.
const SWITCHES: [(char, Switch); 27] = [
    ('c', Switch::With(Meaning::Named)),
    ('-', Switch::With(Meaning::Named)),
    ('B', Switch::With(Meaning::ValueOf("shared_buffers"))),
    ('b', Switch::Ignored),
    ('C', Switch::With(Meaning::Ignored)),
    ('D', Switch::With(Meaning::Ignored)),
    ('E', Switch::Ignored),
    ('e', Switch::Fixed("datestyle", "euro")),
    ('F', Switch::Fixed("fsync", "false")),
    ('f', Switch::With(Meaning::Picks(PLANS, "false"))),
    ('h', Switch::With(Meaning::ValueOf("listen_addresses"))),
    ('i', Switch::Fixed("listen_addresses", "*")),
    ('j', Switch::Ignored),
    ('k', Switch::With(Meaning::ValueOf("unix_socket_directories"))),
    ('l', Switch::Fixed("ssl", "true")),
    ('N', Switch::With(Meaning::ValueOf("max_connections"))),
    ('n', Switch::Ignored),
    ('O', Switch::Fixed("allow_system_table_mods", "true")),
    ('P', Switch::Fixed("ignore_system_indexes", "true")),
    ('p', Switch::With(Meaning::ValueOf("port"))),
    ('r', Switch::With(Meaning::Ignored)),
    ('S', Switch::With(Meaning::ValueOf("work_mem"))),
    ('s', Switch::Fixed("log_statement_stats", "true")),
    ('T', Switch::Ignored),
    ('t', Switch::With(Meaning::Picks(STATS, "true"))),
    ('v', Switch::With(Meaning::Ignored)),
    ('W', Switch::With(Meaning::ValueOf("post_auth_delay"))),
];

/// The settings that a startup message asks for. As in PostgreSQL `options` come first, then the
/// other parameters in their order, so these win over them.
pub fn settings_of(message: &StartupMessage) -> Result<Settings, BadOptions> {
    let mut settings = Settings::new();
    for (name, value) in options(message.get("options").unwrap_or_default())? {
        settings.set(name.as_bytes(), value.as_bytes())?;
    }
    let named = |(name, _): &(&str, &str)| !NOT_SETTINGS.contains(name);
    for (name, value) in message.parameters.iter().filter(named) {
        settings.set(name.as_bytes(), value.as_bytes())?;
    }
    Ok(settings)
}

/// The settings in the value of the `options` parameter, in their order: of two with one name the
/// last is meant.
pub fn options(text: &str) -> Result<Vec<(String, String)>, BadOptions> {
    let mut words: VecDeque<String> = split(text).into();
    let mut settings = Vec::new();
    while let Some(word) = words.pop_front() {
        match word.strip_prefix('-') {
            // Nothing may stand behind it: PostgreSQL takes no plain arguments from a client.
            Some("-") => match words.pop_front() {
                Some(plain) => return Err(BadOptions::Argument(plain)),
                None => break,
            },
            None | Some("") => return Err(BadOptions::Argument(word)),
            Some(letters) => switches(letters, &word, &mut words, &mut settings)?,
        }
    }
    Ok(settings)
}

/// White space separates, a backslash takes the next character as it is.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut current: Option<String> = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r' => words.extend(current.take()),
            '\\' => current.get_or_insert_default().extend(characters.next()),
            _ => current.get_or_insert_default().push(c),
        }
    }
    words.extend(current);
    words
}

/// The switches of one word: letters in a row, of which the last may have an argument.
fn switches(
    letters: &str,
    word: &str,
    rest: &mut VecDeque<String>,
    settings: &mut Vec<(String, String)>,
) -> Result<(), BadOptions> {
    let bad = || BadOptions::Argument(word.to_owned());
    for (at, letter) in letters.char_indices() {
        let known = SWITCHES.iter().find(|(known, _)| *known == letter);
        match known.ok_or_else(bad)?.1 {
            Switch::Ignored => {}
            Switch::Fixed(name, value) => settings.push((name.to_owned(), value.to_owned())),
            Switch::With(meaning) => {
                let argument = match &letters[at + letter.len_utf8()..] {
                    "" => rest.pop_front().ok_or_else(bad)?,
                    argument => argument.to_owned(),
                };
                settings.extend(meaning.read(letter, argument, bad)?);
                return Ok(());
            }
        }
    }
    Ok(())
}

impl Meaning {
    fn read(
        self,
        letter: char,
        argument: String,
        bad: impl Fn() -> BadOptions,
    ) -> Result<Option<(String, String)>, BadOptions> {
        match self {
            Meaning::Ignored => Ok(None),
            Meaning::ValueOf(name) => Ok(Some((name.to_owned(), argument))),
            Meaning::Picks(list, value) => {
                let picked = list.iter().find(|(start, _)| argument.starts_with(start));
                Ok(Some((picked.ok_or_else(bad)?.1.to_owned(), value.to_owned())))
            }
            Meaning::Named => match argument.split_once('=') {
                Some((name, value)) => Ok(Some((name.replace('-', "_"), value.to_owned()))),
                None if letter == '-' => Err(BadOptions::NoValue(format!("--{argument}"))),
                None => Err(BadOptions::NoValue(format!("-{letter} {argument}"))),
            },
        }
    }
}

/// Why there is no session with these options. Shown in PostgreSQL's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadOptions {
    /// This word of `options` is no switch of the server, or lacks its argument: 42601.
    Argument(String),
    /// This `-c` or `--` has no `=`: 42601.
    NoValue(String),
    /// More than we keep: 53400.
    TooMany(TooMany),
}

impl BadOptions {
    /// The SQLSTATE PostgreSQL gives it.
    pub fn code(&self) -> &'static str {
        match self {
            BadOptions::Argument(_) | BadOptions::NoValue(_) => "42601", // syntax_error
            BadOptions::TooMany(_) => "53400", // configuration_limit_exceeded
        }
    }
}

impl fmt::Display for BadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadOptions::Argument(word) => {
                write!(f, "invalid command-line argument for server process: {word}")
            }
            BadOptions::NoValue(switch) => write!(f, "{switch} requires a value"),
            BadOptions::TooMany(too_many) => too_many.fmt(f),
        }
    }
}

impl Error for BadOptions {}

impl From<TooMany> for BadOptions {
    fn from(too_many: TooMany) -> BadOptions {
        BadOptions::TooMany(too_many)
    }
}

#[cfg(test)]
mod tests;
