//! Just enough JSON to write a schema.

use std::fmt;

const INDENT: &str = "  ";

/// A value of JSON.
#[derive(Clone, Debug)]
pub(super) enum Json {
    Flag(bool),
    Number(i64),
    /// A number as the table writes it.
    Bare(&'static str),
    Text(String),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
}

pub(super) fn text(text: &str) -> Json {
    Json::Text(text.to_owned())
}

pub(super) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> Json {
    Json::List(words.into_iter().map(text).collect())
}

pub(super) fn map(pairs: impl IntoIterator<Item = (&'static str, Json)>) -> Json {
    Json::Map(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Maps of more than one line are indented, lists and what is short are not.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)?;
        f.write_str("\n")
    }
}

impl Json {
    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        match self {
            Json::Flag(flag) => write!(f, "{flag}"),
            Json::Number(number) => write!(f, "{number}"),
            Json::Bare(word) => f.write_str(word),
            Json::Text(text) => quoted(f, text),
            Json::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    f.write_str(if index > 0 { ", " } else { "" })?;
                    item.write(f, depth)?;
                }
                f.write_str("]")
            }
            Json::Map(pairs) if pairs.is_empty() => f.write_str("{}"),
            Json::Map(pairs) => {
                f.write_str("{")?;
                for (index, (key, value)) in pairs.iter().enumerate() {
                    f.write_str(if index > 0 { ",\n" } else { "\n" })?;
                    f.write_str(&INDENT.repeat(depth + 1))?;
                    quoted(f, key)?;
                    f.write_str(": ")?;
                    value.write(f, depth + 1)?;
                }
                write!(f, "\n{}}}", INDENT.repeat(depth))
            }
        }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for letter in text.chars() {
        match letter {
            '"' | '\\' => write!(f, "\\{letter}")?,
            letter if letter.is_control() => write!(f, "\\u{:04x}", u32::from(letter))?,
            letter => write!(f, "{letter}")?,
        }
    }
    f.write_str("\"")
}
