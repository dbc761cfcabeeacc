//! A draft as YAML: sections with names become maps of names, in the plural where there is one,
//! `listen` becomes a list, variants of one user become a list.
//!
//! A map has no two equal keys and its order is the file's: sections of one name that do not stand
//! together are written as a list of maps, so that the order of rules survives.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::{Page, Section, Setting, Word, is_breaking, trailing_note};
use crate::Name;
use crate::options::{Alias, Kind, Label, Row, Scope};

const INDENT: &str = "  ";

/// Plain, these are something else than a string to one reader of YAML or another.
const RESERVED: [&str; 12] =
    ["y", "n", "yes", "no", "true", "false", "on", "off", "null", "default", "inf", "nan"];

pub(super) fn write(root: &Section) -> String {
    let mut written = Yaml(Page::headed(root, INDENT));
    written.inside(Some(Scope::Top), root);
    written.0.text
}

struct Yaml(Page);

impl Yaml {
    /// What stands in a section. Without a scope nothing is known of the words.
    fn inside(&mut self, scope: Option<Scope>, section: &Section) {
        self.selector(section);
        for setting in firsts(&section.settings, |setting| &setting.name) {
            self.setting(setting, &section.settings);
        }
        for (index, first) in firsts(&section.sections, |inner| &inner.keyword).enumerate() {
            if self.0.depth == 0 && (index > 0 || !section.settings.is_empty()) {
                self.0.line("");
            }
            let row = scope.and_then(|scope| scope.find(&first.keyword));
            let same = |inner: &&Section| inner.keyword == first.keyword;
            let group: Vec<&Section> = section.sections.iter().filter(same).collect();
            self.sections(row, &group);
        }
    }

    fn selector(&mut self, section: &Section) {
        if let Some(address) = &section.address {
            self.0.line(&format!("address: {}", text(address)));
        }
        if let Some(word) = section.connection.word() {
            self.0.line(&format!("connection_type: {word}"));
        }
    }

    /// One setting, or all of that name as a list.
    fn setting(&mut self, setting: &Setting, all: &[Setting]) {
        let name = &setting.name;
        let note = trailing_note(setting.note.as_deref());
        let same: Vec<&Setting> = all.iter().filter(|other| other.name == *name).collect();
        if same.len() > 1 {
            self.0.line(&format!("{name}:"));
            for setting in same {
                let note = trailing_note(setting.note.as_deref());
                self.0.line(&format!("  - {}{note}", word(&setting.word)));
            }
            return;
        }
        match &setting.word {
            Word::Pairs(pairs) if !pairs.is_empty() => {
                self.0.line(&format!("{name}:{note}"));
                for (key, value) in pairs {
                    self.0.line(&format!("{INDENT}{}: {}", text(key), text(value)));
                }
            }
            other => self.0.line(&format!("{name}: {}{note}", word(other))),
        }
    }

    /// All sections of one keyword.
    fn sections(&mut self, row: Option<&Row>, group: &[&Section]) {
        let scope = row.and_then(|row| match row.kind {
            Kind::Section { scope, .. } => Some(scope),
            _ => None,
        });
        let key: &str = row.map_or(&group[0].keyword, |row| key(row));
        let is_list = matches!(
            row,
            Some(Row { kind: Kind::Section { label: Label::None, .. }, repeats: true, .. })
        );
        let is_named = group.iter().any(|section| section.label.is_some());
        if !is_named && !is_list && group.len() == 1 {
            self.0.comments(group[0]);
            return self.map(key, scope, group[0]);
        }
        self.0.line(&format!("{key}:"));
        self.0.depth += 1;
        if is_named {
            self.names(scope, group);
        } else {
            group.iter().for_each(|section| self.item(scope, section));
        }
        self.0.depth -= 1;
    }

    /// Sections by their names.
    fn names(&mut self, scope: Option<Scope>, group: &[&Section]) {
        let runs: Vec<&[&Section]> =
            group.chunk_by(|one, other| one.label == other.label).collect();
        let label = |run: &&[&Section]| run[0].label.clone();
        let is_map = runs.iter().enumerate().all(|(index, run)| {
            (run.len() == 1 || is_rule(run[0]))
                && !runs[..index].iter().any(|it| label(it) == label(run))
        });
        if is_map {
            return runs.iter().for_each(|run| self.name(scope, run));
        }
        for section in group {
            self.dashed(|this| this.name(scope, &[section]));
        }
    }

    /// One name and its section, or the list of its variants.
    fn name(&mut self, scope: Option<Scope>, run: &[&Section]) {
        let name = match &run[0].label {
            Some(Name::Named(name)) => text(name),
            Some(Name::Default) | None => "default".to_owned(),
        };
        if let [section] = run {
            self.0.comments(section);
            return self.map(&name, scope, section);
        }
        self.0.line(&format!("{name}:"));
        self.0.depth += 1;
        run.iter().for_each(|section| self.item(scope, section));
        self.0.depth -= 1;
    }

    fn map(&mut self, key: &str, scope: Option<Scope>, section: &Section) {
        if is_empty(section) {
            return self.0.line(&format!("{key}: {{}}"));
        }
        self.0.line(&format!("{key}:"));
        self.0.depth += 1;
        self.inside(scope, section);
        self.0.depth -= 1;
    }

    /// One section as the item of a list.
    fn item(&mut self, scope: Option<Scope>, section: &Section) {
        self.0.comments(section);
        if is_empty(section) {
            return self.0.line("- {}");
        }
        self.dashed(|this| this.inside(scope, section));
    }

    /// Lines behind a dash, which with its blank is as wide as the indentation it takes the place
    /// of.
    fn dashed(&mut self, write: impl FnOnce(&mut Self)) {
        let start = self.0.text.len() + self.0.depth * INDENT.len();
        self.0.depth += 1;
        write(self);
        self.0.depth -= 1;
        self.0.text.replace_range(start..start + INDENT.len(), "- ");
    }
}

fn is_empty(section: &Section) -> bool {
    section.settings.is_empty()
        && section.sections.is_empty()
        && section.address.is_none()
        && section.connection.word().is_none()
}

/// Only rules have variants of one name.
fn is_rule(section: &Section) -> bool {
    matches!(section.keyword.as_str(), "user" | "group")
}

/// The plural of an option that has names, else the option.
fn key(row: &Row) -> &'static str {
    let is_named = !matches!(row.kind, Kind::Section { label: Label::None, .. });
    let plural = row.aliases.iter().find_map(|alias| match alias {
        Alias::Yaml(plural) if is_named => Some(*plural),
        _ => None,
    });
    plural.unwrap_or(row.name)
}

/// Those whose name no earlier one has.
fn firsts<T>(all: &[T], name: impl Fn(&T) -> &String) -> impl Iterator<Item = &T> {
    all.iter().enumerate().filter_map(move |(index, one)| {
        let seen = all[..index].iter().any(|earlier| name(earlier) == name(one));
        (!seen).then_some(one)
    })
}

fn word(word: &Word) -> String {
    match word {
        Word::Flag(true) => "yes".to_owned(),
        Word::Flag(false) => "no".to_owned(),
        Word::Number(number) => number.to_string(),
        Word::Text(string) => text(string),
        Word::Bare(word) => word.clone(),
        Word::Pairs(_) => "{}".to_owned(),
    }
}

/// A string: plain where nobody can mistake it, in single quotes if that is all it takes, else in
/// double quotes with escapes.
fn text(string: &str) -> String {
    if is_plain(string) {
        return string.to_owned();
    }
    if !string.chars().any(is_breaking) {
        return format!("'{}'", string.replace('\'', "''"));
    }
    let mut quoted = String::from("\"");
    for letter in string.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            // Writing to a String cannot fail.
            letter if is_breaking(letter) => drop(write!(quoted, "\\u{:04x}", u32::from(letter))),
            letter => quoted.push(letter),
        }
    }
    quoted + "\""
}

fn is_plain(string: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "_-./".contains(letter);
    let address = string.split_once('/').map_or(string, |(address, _)| address);
    let reserved = RESERVED.iter().any(|word| string.eq_ignore_ascii_case(word));
    string.chars().all(allowed)
        && !reserved
        && (string.starts_with(|first: char| first.is_ascii_alphabetic() || "_/".contains(first))
            || address.parse::<IpAddr>().is_ok())
}
