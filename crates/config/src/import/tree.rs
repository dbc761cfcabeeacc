//! A TOML or YAML text as a tree of tables, lists and scalars with places. It has no Debug, because
//! it holds passwords.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{broken, place};
use crate::diagnostic::{Diagnostic, Place};

const DEPTH_MAX: usize = 32; // neither language needs more than six

/// A value and where it stands.
pub(crate) struct Node {
    pub place: Place,
    pub kind: Kind,
}

pub(crate) enum Kind {
    Scalar(String),
    List(Vec<Node>),
    /// In the order of the file.
    Table(Vec<(String, Node)>),
}

impl Node {
    pub fn scalar(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// Empty for anything else.
    pub fn entries(&self) -> &[(String, Node)] {
        match &self.kind {
            Kind::Table(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; the values of a table, which is how lists were written before.
    pub fn items(&self) -> Vec<&Node> {
        match &self.kind {
            Kind::Scalar(_) => Vec::new(),
            Kind::List(items) => items.iter().collect(),
            Kind::Table(entries) => entries.iter().map(|(_, value)| value).collect(),
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// A scalar of the table; an empty one is none.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Node::scalar).filter(|text| !text.is_empty())
    }

    pub fn number(&self, key: &str) -> Option<i64> {
        self.text(key).and_then(|text| text.replace('_', "").parse().ok())
    }

    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.text(key)? {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    /// A number is in milliseconds; a text may end in `ms`, `s`, `m`, `h`, `d`.
    pub fn milliseconds(&self, key: &str) -> Option<i64> {
        let text = self.text(key)?.trim().replace('_', "");
        let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
        let unit = match text[digits.len()..].trim() {
            "" | "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        digits.parse::<i64>().ok()?.checked_mul(unit)
    }

    /// Whole seconds, rounded up: something above zero must not become "never".
    pub fn seconds(&self, key: &str) -> Option<i64> {
        self.milliseconds(key).map(|number| number.saturating_add(999) / 1000)
    }
}

/// Reads TOML.
pub(super) fn toml(name: &str, text: &str) -> Result<Node, Diagnostic> {
    let here = |at: usize| {
        let before = &text.as_bytes()[..at.min(text.len())];
        place(name, 1 + before.iter().filter(|byte| **byte == b'\n').count())
    };
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        broken(&here(at), format!("syntax error, {}", error.message()))
    })?;
    let entries = toml_entries(table.get_ref(), &here, 0)?;
    Ok(Node { place: here(0), kind: Kind::Table(entries) })
}

type Entries = Vec<(String, Node)>;

fn toml_entries(
    table: &DeTable<'_>,
    here: &impl Fn(usize) -> Place,
    depth: usize,
) -> Result<Entries, Diagnostic> {
    let mut entries = Vec::new();
    for (key, value) in table {
        let node = toml_node(value, here, depth + 1)?;
        // A table's own place is its first entry's; the key is where people look.
        let place = here(key.span().start);
        entries.push((key.span().start, (key.get_ref().to_string(), Node { place, ..node })));
    }
    entries.sort_by_key(|(at, _)| *at);
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

fn toml_node(
    value: &Spanned<DeValue<'_>>,
    here: &impl Fn(usize) -> Place,
    depth: usize,
) -> Result<Node, Diagnostic> {
    let place = here(value.span().start);
    if depth > DEPTH_MAX {
        return Err(broken(&place, "too deep"));
    }
    let kind = match value.get_ref() {
        DeValue::Table(table) => Kind::Table(toml_entries(table, here, depth)?),
        DeValue::Array(array) => {
            let items = array.iter().map(|item| toml_node(item, here, depth + 1));
            Kind::List(items.collect::<Result<_, _>>()?)
        }
        DeValue::String(text) => Kind::Scalar(text.to_string()),
        DeValue::Integer(number) => Kind::Scalar(number.as_str().to_owned()),
        DeValue::Float(number) => Kind::Scalar(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Kind::Scalar(flag.to_string()),
        DeValue::Datetime(time) => Kind::Scalar(time.to_string()),
    };
    Ok(Node { place, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_keeps_order_and_places() {
        let text = "[z]\nb = 1_000\na = \"5s\"\n[z.users.0]\nname = 'x'\n[a]\nlist = [1, [2, 'y']]";
        let root = toml("f.toml", text).expect("it is right");
        let names: Vec<_> = root.entries().iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["z", "a"]);
        let z = root.get("z").expect("z");
        assert_eq!(
            (z.number("b"), z.milliseconds("a"), z.seconds("b")),
            (Some(1000), Some(5000), Some(1))
        );
        assert_eq!(z.get("a").expect("a").place.line, 3);
        assert_eq!(z.get("users").expect("users").items()[0].text("name"), Some("x"));
        let list = root.get("a").and_then(|a| a.get("list")).expect("list");
        assert_eq!(list.items()[1].items()[1].scalar(), Some("y"));
    }

    #[test]
    fn broken_toml_is_told_with_its_place() {
        let error = toml("f.toml", "[a]\nb = \n").err().expect("it is broken").to_string();
        assert!(error.starts_with("f.toml:2:1: syntax error, "), "{error}");
        let deep = format!("a = {}1{}", "[".repeat(40), "]".repeat(40));
        assert!(toml("f.toml", &deep).is_err());
    }
}
