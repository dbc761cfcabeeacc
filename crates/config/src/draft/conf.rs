//! A draft in Odyssey's own language.

use super::{Page, Section, Setting, Word, trailing_note};
use crate::Name;

const INDENT: &str = "    ";

pub(super) fn write(root: &Section) -> String {
    let mut written = Conf(Page::headed(root, INDENT));
    written.inside(root);
    written.0.text
}

struct Conf(Page);

impl Conf {
    fn inside(&mut self, section: &Section) {
        for setting in &section.settings {
            self.setting(setting);
        }
        for (index, inner) in section.sections.iter().enumerate() {
            if index > 0 || !section.settings.is_empty() {
                self.0.line("");
            }
            self.section(inner);
        }
    }

    fn setting(&mut self, setting: &Setting) {
        let note = trailing_note(setting.note.as_deref());
        let name = &setting.name;
        let Word::Pairs(pairs) = &setting.word else {
            return self.0.line(&format!("{name} {}{note}", word(&setting.word)));
        };
        self.0.line(&format!("{name} {{{note}"));
        self.0.depth += 1;
        for (key, value) in pairs {
            self.0.line(&format!("{} {}", quoted(key), quoted(value)));
        }
        self.0.depth -= 1;
        self.0.line("}");
    }

    fn section(&mut self, section: &Section) {
        self.0.comments(section);
        let mut head = vec![section.keyword.clone()];
        head.extend(section.label.as_ref().map(|label| match label {
            Name::Named(name) => quoted(name),
            Name::Default => "default".to_owned(),
        }));
        head.extend(section.address.as_ref().map(|address| quoted(address)));
        head.extend(section.connection.word().map(str::to_owned));
        self.0.line(&format!("{} {{", head.join(" ")));
        self.0.depth += 1;
        self.inside(section);
        self.0.depth -= 1;
        self.0.line("}");
    }
}

fn word(word: &Word) -> String {
    match word {
        Word::Flag(true) => "yes".to_owned(),
        Word::Flag(false) => "no".to_owned(),
        Word::Number(number) => number.to_string(),
        Word::Text(text) => quoted(text),
        Word::Bare(word) => word.clone(),
        Word::Pairs(_) => unreachable!("pairs are a block"),
    }
}

/// The only escape is `\"`: a backslash anywhere else stands for itself.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\\\""))
}
