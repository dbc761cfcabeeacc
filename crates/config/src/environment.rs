//! `${ENV:NAME}` in values, where the file asks for it with `expand_environment yes`: the value of
//! an environment variable in its place, `$${ENV:NAME}` for the characters themselves.
//!
//! What comes from there may be a secret: complaints go on quoting what was written. Names of
//! sections, addresses and paths of includes are taken as they are.

use crate::diagnostic::{Complaints, Place};
use crate::raw::{Block, Value};

const OPENING: &str = "${ENV:";

/// Where values come from: the process's environment, or a test's.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Walks over the whole tree.
pub(crate) fn expand(root: &mut Block, lookup: Lookup<'_>, complaints: &mut Complaints) {
    let is_switch = |row: &crate::options::Row| row.name == "expand_environment";
    let asked = root
        .settings
        .iter()
        .any(|setting| is_switch(setting.row) && matches!(setting.value, Value::Flag(true)));
    Expansion { lookup, asked, complaints }.block(root);
}

struct Expansion<'a> {
    lookup: Lookup<'a>,
    asked: bool,
    complaints: &'a mut Complaints,
}

impl Expansion<'_> {
    fn block(&mut self, block: &mut Block) {
        for setting in &mut block.settings {
            match &mut setting.value {
                Value::Text(text) => self.text(text, &setting.place),
                Value::Pairs(pairs) => {
                    pairs.iter_mut().for_each(|(_, value)| self.text(value, &setting.place));
                }
                Value::Flag(_) | Value::Integer(_) | Value::Default => {}
            }
        }
        block.blocks.iter_mut().for_each(|inner| self.block(inner));
    }

    fn text(&mut self, text: &mut String, place: &Place) {
        if !text.contains(OPENING) {
            return;
        }
        if !self.asked {
            let message = "'${ENV:' is taken as it stands";
            let hint = "it is replaced only with 'expand_environment yes' at the top level";
            self.complaints.warning_with_hint(place, message, hint);
            return;
        }
        match expanded(text, self.lookup) {
            Ok(value) => {
                self.complaints.conceal(text, &value);
                *text = value;
            }
            Err(message) => {
                let hint = "NAME of '${ENV:NAME}' is a variable of the process's environment";
                self.complaints.error_with_hint(place, message, hint);
            }
        }
    }
}

fn expanded(text: &str, lookup: Lookup<'_>) -> Result<String, String> {
    let mut value = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(OPENING) {
        if let Some(before) = before.strip_suffix('$') {
            value.push_str(before);
            value.push_str(OPENING);
            rest = behind;
            continue;
        }
        let name = behind.split_once('}').filter(|(name, _)| is_name(name));
        let Some((name, behind)) = name else {
            return Err("'${ENV:' without the name of a variable and '}'".to_owned());
        };
        let found = lookup(name);
        let found = found.ok_or_else(|| format!("environment variable '{name}' is not set"))?;
        value.push_str(before);
        value.push_str(&found);
        rest = behind;
    }
    value.push_str(rest);
    Ok(value)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::expanded;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let lookup = |name: &str| (name == "A").then(|| "${ENV:B}".to_owned());
        let expanded = expanded(text, &lookup);
        assert_eq!(expanded.as_deref().map_err(|it| it.as_str()), expected, "{text}");
    }

    #[test]
    fn variables_are_replaced_once() {
        check("a${ENV:A}b${ENV:A}", Ok("a${ENV:B}b${ENV:B}"));
        check("$${ENV:A} ${ENV:A}", Ok("${ENV:A} ${ENV:B}"));
        check("x ${ENV:B}", Err("environment variable 'B' is not set"));
        for wrong in ["${ENV:}", "${ENV:A", "${ENV:A B}", "${ENV:1}"] {
            check(wrong, Err("'${ENV:' without the name of a variable and '}'"));
        }
    }
}
