//! The raw tree: what was written and where, the same for both formats.
//!
//! Its words are known to the table and of the right kind, nothing more: ranges, duplicates and
//! sense are checked later. It has no Debug, because it holds passwords.

use crate::ConnectionType;
use crate::diagnostic::Place;
use crate::model::Name;
use crate::options::Row;

/// A section: its settings and the sections inside, in file order.
pub(crate) struct Block {
    /// The section's option; None for the file itself.
    pub row: Option<&'static Row>,
    /// Of the section's keyword.
    pub place: Place,
    pub name: Option<Name>,
    /// `user` and `group` only: from where.
    pub address: Option<(String, Place)>,
    /// `user` and `group` only: over what.
    pub connection: ConnectionType,
    pub settings: Vec<Setting>,
    pub blocks: Vec<Block>,
}

/// An option and its value.
pub(crate) struct Setting {
    pub row: &'static Row,
    /// Of the option's name.
    pub place: Place,
    pub value: Value,
}

pub(crate) enum Value {
    Flag(bool),
    /// Also sizes, in bytes.
    Integer(i64),
    Text(String),
    /// The bare word `default`.
    Default,
    Pairs(Vec<(String, String)>),
}

impl Block {
    pub fn new(row: Option<&'static Row>, place: Place) -> Block {
        Block {
            row,
            place,
            name: None,
            address: None,
            connection: ConnectionType::Any,
            settings: Vec::new(),
            blocks: Vec::new(),
        }
    }

    /// The sections of that keyword, in file order.
    pub fn sections(&self, keyword: &str) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(move |block| block.keyword() == keyword)
    }

    /// The section's keyword; empty for the file itself.
    pub fn keyword(&self) -> &'static str {
        self.row.map_or("", |row| row.name)
    }

    /// The section's name as text; empty without one.
    pub fn title(&self) -> &str {
        match &self.name {
            Some(Name::Named(name)) => name,
            Some(Name::Default) | None => "",
        }
    }
}

/// A connection type by its word, which is the same in both formats.
pub(crate) fn connection_type(word: &str) -> Option<ConnectionType> {
    match word {
        "default" => Some(ConnectionType::Any),
        "local" => Some(ConnectionType::Local),
        "host" => Some(ConnectionType::Host),
        "hostssl" => Some(ConnectionType::HostSsl),
        "hostnossl" => Some(ConnectionType::HostNoSsl),
        _ => None,
    }
}

/// A number with an optional size suffix, such as `64k` or `1gb`, in bytes.
pub(crate) fn size(text: &str) -> Option<i64> {
    let suffix = text.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '-');
    let number: i64 = text[..text.len() - suffix.len()].parse().ok()?;
    let unit: i64 = match suffix.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}
