//! A draft in Odyssey's own language.

use super::{Section, Setting, Word, comment_lines, trailing_note};
use crate::Name;

const INDENT: &str = "    ";

pub(super) fn write(root: &Section) -> String {
    let mut lines = Lines { text: String::new(), depth: 0 };
    lines.comments(root);
    if !root.comments.is_empty() {
        lines.line("");
    }
    lines.inside(root);
    lines.text
}

struct Lines {
    text: String,
    depth: usize,
}

impl Lines {
    fn line(&mut self, line: &str) {
        if !line.is_empty() {
            self.text.push_str(&INDENT.repeat(self.depth));
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn comments(&mut self, section: &Section) {
        for comment in section.comments.iter().flat_map(|comment| comment_lines(comment)) {
            self.line(&comment);
        }
    }

    fn inside(&mut self, section: &Section) {
        for setting in &section.settings {
            self.setting(setting);
        }
        for (index, inner) in section.sections.iter().enumerate() {
            if index > 0 || !section.settings.is_empty() {
                self.line("");
            }
            self.section(inner);
        }
    }

    fn setting(&mut self, setting: &Setting) {
        let note = trailing_note(setting.note.as_deref());
        let name = &setting.name;
        let Word::Pairs(pairs) = &setting.word else {
            return self.line(&format!("{name} {}{note}", word(&setting.word)));
        };
        self.line(&format!("{name} {{{note}"));
        self.depth += 1;
        for (key, value) in pairs {
            self.line(&format!("{} {}", quoted(key), quoted(value)));
        }
        self.depth -= 1;
        self.line("}");
    }

    fn section(&mut self, section: &Section) {
        self.comments(section);
        let mut head = vec![section.keyword.clone()];
        head.extend(section.label.as_ref().map(|label| match label {
            Name::Named(name) => quoted(name),
            Name::Default => "default".to_owned(),
        }));
        head.extend(section.address.as_ref().map(|address| quoted(address)));
        head.extend(section.connection.word().map(str::to_owned));
        self.line(&format!("{} {{", head.join(" ")));
        self.depth += 1;
        self.inside(section);
        self.depth -= 1;
        self.line("}");
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
