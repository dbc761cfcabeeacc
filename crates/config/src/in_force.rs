//! What is in force: each option of a section with its value and where that comes from. It may be
//! written, a default, or what the checks made of either.
//!
//! Nothing is decided here: what the checks made of it is read off the model.

mod resolved;

use std::fmt;
use std::sync::Arc;

use crate::diagnostic::Place;
use crate::draft::Word;
use crate::model::Rule;
use crate::options::{Kind, Reload, Row, Scope, Status};
use crate::raw::{self, Block, Value};
use crate::{Loaded, Written};

pub(crate) use resolved::{Resolved, of_rule, resolved, rule_of};

/// An option of a rule, or of the whole process, with the value in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Its name in the file.
    pub option: &'static str,
    /// As it would be written, without quotes; asterisks for a secret.
    pub value: String,
    /// Of a number: `s`, `ms`, `bytes`, `pages`; else empty.
    pub unit: &'static str,
    /// Where the value comes from.
    pub origin: Origin,
    /// What the file says, if that is something else.
    pub written: Option<String>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody wrote it.
    Default,
    /// It stands there.
    At {
        /// As named by the operator.
        file: Arc<str>,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// The rule leaves it to the option of that name at the top level, whose value came from there.
    Inherited(Box<Origin>),
}

/// `default`, `file:line:column`, or either of them with the words that it is inherited.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::At { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Origin::Inherited(origin) => write!(f, "top level, {origin}"),
        }
    }
}

impl From<&Place> for Origin {
    fn from(place: &Place) -> Origin {
        Origin::At { file: place.file.clone(), line: place.line, column: place.column }
    }
}

/// The options of a rule that have a value, in the order of the reference page.
///
/// Empty for a rule that is not of this configuration.
pub fn effective(loaded: &Loaded, rule: &Rule) -> Vec<Effective> {
    let root = &loaded.written.0;
    let Some(block) = resolved::block_of(root, rule) else { return Vec::new() };
    let scope = if block.keyword() == "group" { Scope::Group } else { Scope::Rule };
    let global = effective_global(loaded);
    let own = items(scope, block, |option| of_rule(rule, option));
    own.iter().map(|item| inherited(item.effective(), &global)).collect()
}

/// The options of the whole process that have a value.
pub fn effective_global(loaded: &Loaded) -> Vec<Effective> {
    let Written(root) = &loaded.written;
    let items = items(Scope::Top, root, |option| resolved(loaded, root, option));
    items.iter().map(Item::effective).collect()
}

/// An option of the whole process, for those who list them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownOption {
    /// Its name in the file.
    pub name: &'static str,
    /// What the checks made of it, without quotes; asterisks for a secret.
    pub value: String,
    /// As it would be written; empty if there is none.
    pub default: String,
    /// A reload applies a change of it.
    pub is_reloaded: bool,
}

/// The options of the whole process that have a value, in the order of the reference page.
pub fn shown_options(loaded: &Loaded) -> Vec<ShownOption> {
    let shown = effective_global(loaded).into_iter().filter_map(|one| {
        let row = Scope::Top.find(one.option)?;
        let default = default(row).map(|word| shown(&word)).unwrap_or_default();
        let is_reloaded = row.reload == Reload::Applied;
        Some(ShownOption { name: row.name, value: one.value, default, is_reloaded })
    });
    shown.collect()
}

/// Whether the whole process has an option of that name.
pub fn is_option(name: &str) -> bool {
    Scope::Top.find(name).is_some()
}

/// Some options of a rule leave the word to the top level: a keepalive of 0, and logging, where one
/// yes is enough.
fn inherited(own: Effective, global: &[Effective]) -> Effective {
    let leaves = match own.option {
        "keepalive" | "keepalive_keep_interval" | "keepalive_probes" | "keepalive_usr_timeout" => {
            own.value == "0"
        }
        "log_debug" | "log_query" => own.value == "no",
        _ => false,
    };
    match global.iter().find(|other| other.option == own.option && other.value != own.value) {
        Some(other) if leaves => {
            Effective { origin: Origin::Inherited(other.origin.clone().into()), ..other.clone() }
        }
        _ => own,
    }
}

/// An option of a block with the value in force.
pub(crate) struct Item {
    pub row: &'static Row,
    pub word: Word,
    pub origin: Origin,
    /// What the file says instead.
    pub written: Option<Word>,
}

/// The options of a block that are in force, in the order of the table.
pub(crate) fn items(scope: Scope, block: &Block, resolve: impl Fn(&str) -> Resolved) -> Vec<Item> {
    let mut items = Vec::new();
    let rows = scope.rows().filter(|row| row.status != Status::Deprecated);
    let rows = rows.filter(|row| !matches!(row.kind, Kind::Section { .. } | Kind::Include));
    for row in rows.filter(|row| !is_read_already(scope, block, row)) {
        let written = block.settings.iter().filter(|setting| setting.row.name == row.name);
        let mut found: Vec<Item> = written
            .map(|setting| Item {
                row,
                word: word(row, &setting.value),
                origin: Origin::from(&setting.place),
                written: None,
            })
            .collect();
        if found.is_empty() && row.status == Status::Built {
            let default = default(row);
            found.extend(default.map(|word| Item {
                row,
                word,
                origin: Origin::Default,
                written: None,
            }));
        }
        match resolve(row.name) {
            Resolved::AsWritten => items.extend(found),
            Resolved::Nothing => {}
            Resolved::Else(word) if found.is_empty() => items.push(instead(row, word, found)),
            Resolved::Else(_) => items.extend(found),
            Resolved::Instead(word) => items.push(instead(row, word, found)),
        }
    }
    items
}

/// Whether this is where a secret stands that has been read from there: `password_file`.
fn is_read_already(scope: Scope, block: &Block, row: &Row) -> bool {
    let twin = row.name.strip_suffix("_file").and_then(|name| scope.find(name));
    twin.is_some_and(|twin| {
        twin.secret && block.settings.iter().any(|setting| setting.row.name == twin.name)
    })
}

/// The option with the value that was made of what was found.
fn instead(row: &'static Row, word: Word, found: Vec<Item>) -> Item {
    let Some(first) = found.into_iter().next() else {
        return Item { row, word, origin: Origin::Default, written: None };
    };
    let rewritten = first.word != word && first.origin != Origin::Default;
    let written = rewritten.then_some(first.word);
    Item { row, word, origin: first.origin, written }
}

impl Item {
    fn effective(&self) -> Effective {
        let value = if self.row.secret { crate::dump::MASK.to_owned() } else { shown(&self.word) };
        let unit = if matches!(self.word, Word::Number(_)) { self.row.unit } else { "" };
        let origin = self.origin.clone();
        let written = self.written.as_ref().map(shown);
        Effective { option: self.row.name, value, unit, origin, written }
    }
}

/// A value as people read it.
pub(crate) fn shown(word: &Word) -> String {
    match word {
        Word::Flag(true) => "yes".to_owned(),
        Word::Flag(false) => "no".to_owned(),
        Word::Number(number) => number.to_string(),
        Word::Text(text) | Word::Bare(text) => text.clone(),
        Word::Pairs(pairs) => {
            let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
            pairs.join(", ")
        }
    }
}

/// A value as a draft wants it.
fn word(row: &Row, value: &Value) -> Word {
    match value {
        Value::Flag(flag) => Word::Flag(*flag),
        Value::Integer(number) => Word::Number(*number),
        Value::Text(text) if matches!(row.kind, Kind::Bare(_)) => Word::Bare(text.clone()),
        Value::Text(text) => Word::Text(text.clone()),
        Value::Default => Word::Bare("default".to_owned()),
        Value::Pairs(pairs) => Word::Pairs(pairs.clone()),
    }
}

/// The table's default; None if there is none.
fn default(row: &Row) -> Option<Word> {
    let text = Some(row.default).filter(|text| !text.is_empty())?;
    Some(match row.kind {
        Kind::Flag => Word::Flag(text == "yes"),
        Kind::Size => Word::Number(raw::size(text)?),
        Kind::Bare(_) => Word::Bare(text.to_owned()),
        Kind::Integer { .. } | Kind::IntegerOrText => match text.parse() {
            Ok(number) => Word::Number(number),
            Err(_) => Word::Text(text.to_owned()),
        },
        _ => Word::Text(text.to_owned()),
    })
}
