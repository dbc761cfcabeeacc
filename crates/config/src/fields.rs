//! Typed reading of one section: what was written, or the default of the table.
//!
//! Values out of range read as the default: the complaint about them has been made, and what is
//! built here will not be used.

use std::path::PathBuf;
use std::time::Duration;

use crate::diagnostic::Place;
use crate::options::{Kind, Row, Scope};
use crate::raw::{Block, Setting, Value};

/// A section with the scope that gives its options their meaning.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    scope: Scope,
    pub block: &'a Block,
}

impl<'a> Fields<'a> {
    pub fn new(scope: Scope, block: &'a Block) -> Fields<'a> {
        Fields { scope, block }
    }

    /// The first setting of that name.
    pub fn setting(&self, name: &str) -> Option<&'a Setting> {
        self.block.settings.iter().find(|setting| setting.row.name == name)
    }

    pub fn is_set(&self, name: &str) -> bool {
        self.setting(name).is_some()
    }

    /// Where the option stands, or the section if it does not.
    pub fn place(&self, name: &str) -> &'a Place {
        self.setting(name).map_or(&self.block.place, |setting| &setting.place)
    }

    pub fn flag(&self, name: &str) -> bool {
        match self.setting(name).map(|setting| &setting.value) {
            Some(Value::Flag(flag)) => *flag,
            _ => self.row(name).default == "yes",
        }
    }

    pub fn integer(&self, name: &str) -> i64 {
        let row = self.row(name);
        let default = || row.default.parse().unwrap_or(0);
        match (row.kind, self.setting(name).map(|setting| &setting.value)) {
            (Kind::Integer { min, max }, Some(Value::Integer(number))) => {
                if (min..=max).contains(number) { *number } else { default() }
            }
            _ => default(),
        }
    }

    /// Of an option whose range begins at 0 or above; otherwise what is negative reads as 0.
    pub fn count(&self, name: &str) -> usize {
        usize::try_from(self.integer(name)).unwrap_or(0)
    }

    /// None when the option is not there.
    pub fn set_flag(&self, name: &str) -> Option<bool> {
        self.is_set(name).then(|| self.flag(name))
    }

    /// As [`Fields::count`]; 0 means that there is no limit.
    pub fn limit(&self, name: &str) -> Option<usize> {
        Some(self.count(name)).filter(|count| *count > 0)
    }

    pub fn small(&self, name: &str) -> u32 {
        u32::try_from(self.integer(name)).unwrap_or(0)
    }

    /// In the unit of the table.
    pub fn duration(&self, name: &str) -> Duration {
        let number = u64::try_from(self.integer(name)).unwrap_or(0);
        match self.row(name).unit {
            "s" => Duration::from_secs(number),
            _ => Duration::from_millis(number),
        }
    }

    /// As [`Fields::duration`]; 0 means for ever, or never.
    pub fn time_limit(&self, name: &str) -> Option<Duration> {
        Some(self.duration(name)).filter(|duration| !duration.is_zero())
    }

    /// As [`Fields::duration`]; None when the option is not there.
    pub fn set_duration(&self, name: &str) -> Option<Duration> {
        self.is_set(name).then(|| self.duration(name))
    }

    /// The text as written, or a default that is not empty.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        match self.setting(name).map(|setting| &setting.value) {
            Some(Value::Text(text)) => Some(text),
            _ => Some(self.row(name).default).filter(|default| !default.is_empty()),
        }
    }

    pub fn string(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    pub fn pairs(&self, name: &str) -> Vec<(String, String)> {
        match self.setting(name).map(|setting| &setting.value) {
            Some(Value::Pairs(pairs)) => pairs.clone(),
            _ => Vec::new(),
        }
    }

    fn row(&self, name: &str) -> &'static Row {
        self.scope.find(name).expect("the table has every option this crate asks for")
    }
}
