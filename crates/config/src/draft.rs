//! A draft: a configuration as a tree of words, from which both languages are written.
//!
//! Whoever makes a configuration (the dump, a converter) fills a draft and never thinks of quotes,
//! indentation or plurals. A draft is not checked: what is written has to be read to be judged.

mod conf;
mod yaml;

use crate::{ConnectionType, Format, Name};

/// A section, or the whole configuration if it has no keyword.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The option that opens it, such as `storage`, in the singular; empty for the whole.
    pub keyword: String,
    /// Its name: `storage "pg"`, `user default`.
    pub label: Option<Name>,
    /// Of a `user` or `group`: for clients from there only, such as `10.0.0.0/8`.
    pub address: Option<String>,
    /// Of a `user` or `group`: for clients that come so only.
    pub connection: ConnectionType,
    /// Written in this order, in front of the sections.
    pub settings: Vec<Setting>,
    /// Written in this order, except that YAML keeps those of one keyword together.
    pub sections: Vec<Section>,
    /// Lines above the section; at the top of the file for the whole.
    pub comments: Vec<String>,
}

/// An option with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The option.
    pub name: String,
    /// Its value.
    pub word: Word,
    /// A comment behind it on its line.
    pub note: Option<String>,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// `yes` or `no`.
    Flag(bool),
    /// A number; of sizes, bytes.
    Number(i64),
    /// A string; quoted where the language wants it.
    Text(String),
    /// A word that odyssey.conf wants without quotes: `default`, `minimal`.
    Bare(String),
    /// A block of names and strings.
    Pairs(Vec<(String, String)>),
}

impl From<bool> for Word {
    fn from(flag: bool) -> Word {
        Word::Flag(flag)
    }
}

impl From<i64> for Word {
    fn from(number: i64) -> Word {
        Word::Number(number)
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Word {
        Word::Text(text.to_owned())
    }
}

impl From<String> for Word {
    fn from(text: String) -> Word {
        Word::Text(text)
    }
}

impl Section {
    /// The whole configuration, empty yet.
    pub fn root() -> Section {
        Section::new("", None)
    }

    /// A section without a label.
    pub fn plain(keyword: &str) -> Section {
        Section::new(keyword, None)
    }

    /// A section of that name, which is a name even if it is `default`.
    pub fn named(keyword: &str, name: &str) -> Section {
        Section::new(keyword, Some(Name::Named(name.to_owned())))
    }

    /// A section for everything that has none of its own: `user default`.
    pub fn default(keyword: &str) -> Section {
        Section::new(keyword, Some(Name::Default))
    }

    /// A section with that label.
    pub fn new(keyword: &str, label: Option<Name>) -> Section {
        Section {
            keyword: keyword.to_owned(),
            label,
            address: None,
            connection: ConnectionType::Any,
            settings: Vec::new(),
            sections: Vec::new(),
            comments: Vec::new(),
        }
    }

    /// Adds an option.
    pub fn set(&mut self, name: &str, word: impl Into<Word>) {
        self.settings.push(Setting { name: name.to_owned(), word: word.into(), note: None });
    }

    /// Adds an option with a comment behind it.
    pub fn set_noted(&mut self, name: &str, word: impl Into<Word>, note: &str) {
        let note = Some(note.to_owned());
        self.settings.push(Setting { name: name.to_owned(), word: word.into(), note });
    }
}

/// The draft as text in that language.
///
/// odyssey.conf has no way to write a string that ends in a backslash and is followed by another
/// string, nor a bare `"` in front of a line that looks like an option; YAML can say everything.
pub fn write(root: &Section, format: Format) -> String {
    match format {
        Format::Conf => conf::write(root),
        Format::Yaml => yaml::write(root),
    }
}

/// A text that is being written, line by line.
struct Page {
    text: String,
    depth: usize,
    indent: &'static str,
}

impl Page {
    /// With the comments that stand above everything.
    fn headed(root: &Section, indent: &'static str) -> Page {
        let mut page = Page { text: String::new(), depth: 0, indent };
        page.comments(root);
        if !root.comments.is_empty() {
            page.line("");
        }
        page
    }

    fn line(&mut self, line: &str) {
        if !line.is_empty() {
            self.text.push_str(&self.indent.repeat(self.depth));
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn comments(&mut self, section: &Section) {
        for comment in section.comments.iter().flat_map(|comment| comment_lines(comment)) {
            self.line(&comment);
        }
    }
}

/// The lines of a comment; nothing in it can end it, not even a carriage return, which is a line's
/// end in YAML.
fn comment_lines(comment: &str) -> impl Iterator<Item = String> {
    comment.lines().map(|line| {
        let line: String = line.chars().map(|c| if is_breaking(c) { ' ' } else { c }).collect();
        if line.is_empty() { "#".to_owned() } else { format!("# {line}") }
    })
}

/// A comment that stands behind something, with the blank in front; empty for none.
fn trailing_note(note: Option<&str>) -> String {
    let lines: Vec<String> = comment_lines(note.unwrap_or("")).collect();
    match lines.is_empty() {
        true => String::new(),
        false => format!(" {}", lines.join(" ").replace(" # ", " ")),
    }
}

/// Control characters, and what YAML takes for the end of a line.
fn is_breaking(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

#[cfg(test)]
mod tests;
