//! The table as a page of Markdown, `docs/configuration.md`. The words around the table are here
//! too, so that the page has one source.

use std::fmt::Write as _;

use super::{Alias, Kind, Label, Reload, Row, Status, TABLE};

/// Links in it are those of the finished page.
const INTRODUCTION: &str = include_str!("page.txt");

/// The documentation of every option, as Markdown.
pub fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (scope, rows) in TABLE.iter().filter(|(_, rows)| !rows.is_empty()) {
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## {}\n\n", scope.title());
        if let Some(parent) = scope.parent() {
            let _ = write!(page, "All options of *{}*, and:\n\n", parent.title());
        }
        page.push_str("| option | value | default | reload | state | meaning |\n");
        page.push_str("|---|---|---|---|---|---|\n");
        for row in *rows {
            page.push_str(&line(row));
        }
    }
    page + &owed()
}

/// What somebody who comes from Odyssey has to know first.
fn owed() -> String {
    let mut list = "\n## refused\n\n".to_owned();
    for (scope, rows) in TABLE {
        let mut names = Vec::new();
        for row in rows.iter() {
            if let Status::Refused { why } = row.status {
                names.push(format!("`{}`: {why}", row.name));
            }
        }
        if !names.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(list, "- {}: {}", scope.title(), names.join(", "));
        }
    }
    list
}

fn line(row: &Row) -> String {
    let name = row.name;
    let value = row.value();
    let default = match row.default {
        "" if row.required => "required".to_owned(),
        "" => String::new(),
        default => format!("`{default}`"),
    };
    let reload = match (row.reload, row.status, row.kind) {
        (_, Status::Deprecated, _) | (_, _, Kind::Section { .. } | Kind::Include) => "",
        (Reload::Applied, ..) => "yes",
        (Reload::Restart, ..) => "restart",
    };
    let status = row.status.title();
    let meaning = row.meaning().replace('|', "\\|");
    format!("| `{name}` | {value} | {default} | {reload} | {status} | {meaning} |\n")
}

impl Row {
    fn value(&self) -> String {
        if !self.words.is_empty() {
            return self.words.join(" / ");
        }
        let unit = if self.unit.is_empty() { "number" } else { self.unit };
        let text = match self.kind {
            Kind::Flag => "yes / no",
            Kind::Integer { min, max } => return format!("{unit}{}", range(min, max)),
            Kind::Size => "size (k, m, g)",
            Kind::Text => "string",
            Kind::IntegerOrText => "number or string",
            Kind::TextOrDefault => "string or default",
            Kind::Bare(words) => return words.join(" / "),
            Kind::Pairs => "pairs of strings",
            Kind::Section { label: Label::None, .. } => "section",
            Kind::Section { label: Label::Name, .. } => "section with a name",
            Kind::Section { label: Label::NameOrDefault, .. } => "section with a name or default",
            Kind::Include => "path",
        };
        text.to_owned()
    }

    /// The sentence of the table and what its other columns add to it.
    pub(super) fn meaning(&self) -> String {
        let mut meaning = self.doc.to_owned();
        for alias in self.aliases {
            let _ = match alias {
                Alias::Both(name) => write!(meaning, " Also `{name}`."),
                Alias::Yaml(name) => write!(meaning, " In YAML also `{name}`."),
            };
        }
        if self.repeats && !matches!(self.kind, Kind::Section { .. }) {
            meaning.push_str(" May be given more than once.");
        }
        if self.ours {
            meaning.push_str(" Not in Odyssey.");
        }
        meaning
    }
}

/// The limits that are not those of the type.
fn range(min: i64, max: i64) -> String {
    match (min == i64::from(i32::MIN), max == i64::from(i32::MAX)) {
        (true, true) => String::new(),
        (false, true) => format!(", ≥ {min}"),
        (true, false) => format!(", ≤ {max}"),
        (false, false) => format!(", {min}–{max}"),
    }
}

impl Status {
    /// What the column `state` says.
    pub fn title(self) -> &'static str {
        match self {
            Status::Built => "works",
            Status::Harmless => "accepted, nothing to do",
            Status::Refused { .. } => "refused",
            Status::Deprecated => "deprecated, ignored",
        }
    }
}
