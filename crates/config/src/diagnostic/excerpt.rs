//! Lines of the files for pictures, without the secrets in them: a password is never shown, nor
//! what may be one behind a misspelt option.
//!
//! It reads the text a second time with rules of its own, because what is complained about may be
//! exactly that the text cannot be read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{Diagnostic, Excerpt};
use crate::Format;
use crate::conf;
use crate::secret;

const BEFORE_CHARS_MAX: usize = 60; // what is shown of a long line in front of the place
const AFTER_CHARS_MAX: usize = 60; // and behind it

/// The texts that were read, by name.
#[derive(Default)]
pub(crate) struct Sources(BTreeMap<Arc<str>, (Format, String)>);

impl Sources {
    pub fn add(&mut self, name: &Arc<str>, format: Format, text: &str) {
        self.0.insert(name.clone(), (format, text.to_owned()));
    }

    /// Gives each complaint its line.
    pub fn illustrate(&self, diagnostics: &mut [Diagnostic]) {
        for (name, (format, text)) in &self.0 {
            let about = |diagnostic: &&mut Diagnostic| diagnostic.file == *name;
            let wanted: BTreeSet<usize> =
                diagnostics.iter_mut().filter(about).map(|diagnostic| diagnostic.line).collect();
            if wanted.is_empty() {
                continue;
            }
            let lines = match format {
                Format::Conf => conf_lines(text, &wanted),
                Format::Yaml => yaml_lines(text, &wanted),
            };
            for diagnostic in diagnostics.iter_mut().filter(about) {
                let line = lines.get(&diagnostic.line);
                diagnostic.excerpt = line.and_then(|line| line.excerpt(diagnostic.column));
            }
        }
    }
}

/// A line as it may be shown.
#[derive(Default)]
struct Line {
    shown: Vec<char>,
    /// How many characters are shown in front of each column of the file.
    columns: Vec<usize>,
}

impl Line {
    fn show(&mut self, letter: char) {
        self.columns.push(self.shown.len());
        self.shown.push(letter);
    }

    fn hide(&mut self) {
        self.columns.push(self.shown.len().saturating_sub(1));
    }

    fn asterisks(&mut self) {
        self.shown.extend("***".chars());
    }

    /// None if the column is not shown, or nothing is.
    fn excerpt(&self, column: usize) -> Option<Excerpt> {
        let end = self.columns.len(); // one behind the last column is the end of the line
        let at = match column.checked_sub(1)? {
            index if index < end => self.columns[index],
            index if index == end => self.shown.len(),
            _ => return None,
        };
        let from = at.saturating_sub(BEFORE_CHARS_MAX);
        let to = (at + AFTER_CHARS_MAX).min(self.shown.len());
        let mut text: String = self.shown[from..to].iter().collect();
        let mut caret = at - from;
        if from > 0 {
            text.insert(0, '…');
            caret += 1;
        }
        if to < self.shown.len() {
            text.push('…');
        }
        let text = text.trim_end().to_owned();
        (!text.is_empty()).then_some(Excerpt { text, caret })
    }
}

/// Whether a secret may follow, of each word met: words come again and again.
#[derive(Default)]
struct Words(HashMap<String, bool>);

impl Words {
    fn may_precede_secret(&mut self, word: &str) -> bool {
        if let Some(known) = self.0.get(word) {
            return *known;
        }
        *self.0.entry(word.to_owned()).or_insert_with(|| secret::may_precede_one(word))
    }
}

/// Where a reader of odyssey.conf stands.
#[derive(Default)]
enum Within {
    #[default]
    Space,
    Word,
    /// A comment, or what is hidden like one.
    Comment,
    Text {
        secret: bool,
        escaped: bool,
    },
    /// Right behind a secret: what is glued to it may be the rest of it.
    Glued,
}

/// One pass over the whole text, because a string may have begun many lines above.
fn conf_lines(text: &str, wanted: &BTreeSet<usize>) -> BTreeMap<usize, Line> {
    let last = wanted.last().copied().unwrap_or(0);
    let mut lines = BTreeMap::new();
    let mut reader = ConfReader::default();
    let mut rest = text;
    for number in 1..=last {
        let shown = reader.line(&mut rest);
        if wanted.contains(&number) {
            lines.insert(number, shown);
        }
    }
    lines
}

#[derive(Default)]
struct ConfReader {
    within: Within,
    /// The letters of the last word, in a string too.
    word: String,
    /// The last word was one that may precede a secret.
    secret_follows: bool,
    words: Words,
}

impl ConfReader {
    /// Steps over a line.
    fn line(&mut self, rest: &mut &str) -> Line {
        let mut line = Line::default();
        if matches!(self.within, Within::Text { secret: true, .. }) {
            line.asterisks();
        }
        let (text, behind) = rest.split_once('\n').unwrap_or((rest, ""));
        for (at, letter) in text.char_indices() {
            self.within = self.step(letter, &rest[at + letter.len_utf8()..], &mut line);
        }
        self.within = self.step('\n', behind, &mut Line::default());
        *rest = behind;
        line
    }

    fn step(&mut self, letter: char, rest: &str, line: &mut Line) -> Within {
        let is_word = letter.is_ascii_alphanumeric() || letter == '_';
        match std::mem::take(&mut self.within) {
            Within::Text { secret, escaped } => self.text(letter, rest, (secret, escaped), line),
            Within::Comment if letter != '\n' => Within::Comment,
            Within::Glued if !letter.is_whitespace() && !"{}".contains(letter) => {
                line.hide();
                Within::Glued
            }
            Within::Word if is_word => {
                line.show(letter);
                self.word.push(letter);
                Within::Word
            }
            Within::Word => {
                self.secret_follows = self.words.may_precede_secret(&self.word);
                self.begin(letter, line)
            }
            Within::Space | Within::Comment | Within::Glued => self.begin(letter, line),
        }
    }

    /// A character of a string, or its end.
    fn text(
        &mut self,
        letter: char,
        rest: &str,
        (secret, escaped): (bool, bool),
        line: &mut Line,
    ) -> Within {
        if letter == '"' && (!escaped || conf::settings_follow(rest)) {
            line.show(letter);
            return if secret { Within::Glued } else { Within::Space };
        }
        if secret {
            line.hide();
        } else {
            line.show(letter);
            // Where strings end may be the very mistake: `password` is believed inside them too.
            if letter.is_ascii_alphanumeric() || letter == '_' {
                self.word.push(letter);
            } else if self.words.may_precede_secret(&std::mem::take(&mut self.word)) {
                line.asterisks();
                return Within::Comment;
            }
        }
        Within::Text { secret, escaped: letter == '\\' }
    }

    /// The first character of something.
    fn begin(&mut self, letter: char, line: &mut Line) -> Within {
        if letter == '#' {
            return Within::Comment;
        }
        if letter.is_whitespace() {
            line.show(letter);
            return Within::Space;
        }
        let secret = std::mem::take(&mut self.secret_follows);
        self.word.clear();
        if letter == '"' {
            line.show(letter);
            if secret {
                line.asterisks();
            }
            return Within::Text { secret, escaped: false };
        }
        if secret && letter != '{' {
            // `password x`, `password = x` and `password 'x'` are mistakes, and secrets all the
            // same: nothing more of the line is shown.
            line.asterisks();
            return Within::Comment;
        }
        line.show(letter);
        match letter {
            'A'..='Z' | 'a'..='z' | '_' => {
                self.word.push(letter);
                Within::Word
            }
            _ => Within::Space,
        }
    }
}

/// A line of YAML is shown up to the first word that may precede a secret, and not at all if it
/// stands deeper than a line with such a word: it may continue it.
fn yaml_lines(text: &str, wanted: &BTreeSet<usize>) -> BTreeMap<usize, Line> {
    let last = wanted.last().copied().unwrap_or(0);
    let mut lines = BTreeMap::new();
    let mut words = Words::default();
    // The indentation of the secret's line, as long as lines are deeper.
    let mut hidden_below: Option<usize> = None;
    // As in the reader, a carriage return ends a line too.
    let text = text.replace("\r\n", "\n");
    for (index, line) in text.split(['\n', '\r']).enumerate().take(last) {
        let own = line.trim_start();
        let indent = line.len() - own.len();
        let continues = own.is_empty() || own.starts_with(':');
        hidden_below = hidden_below.filter(|above| continues || indent > *above);
        if hidden_below.is_some() {
            continue;
        }
        let secret = end_of_secret_word(line, &mut words);
        if wanted.contains(&(index + 1)) {
            lines.insert(index + 1, yaml_line(line, secret));
        }
        hidden_below = secret.map(|_| indent);
    }
    lines
}

fn yaml_line(line: &str, secret: Option<usize>) -> Line {
    let mut shown = Line::default();
    line[..secret.unwrap_or(line.len())].chars().for_each(|letter| shown.show(letter));
    if secret.is_some() {
        shown.asterisks();
    }
    shown
}

/// Where the first word ends that may precede a secret; with the colon and blanks behind it.
fn end_of_secret_word(line: &str, words: &mut Words) -> Option<usize> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut from = 0;
    while let Some(start) = line[from..].find(is_word).map(|at| from + at) {
        let end = line[start..].find(|letter| !is_word(letter)).map_or(line.len(), |at| start + at);
        if words.may_precede_secret(&line[start..end]) {
            let rest = line[end..].trim_start_matches([':', ' ']);
            return Some(line.len() - rest.len());
        }
        from = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(format: Format, text: &str, line: usize, column: usize) -> String {
        let place =
            crate::diagnostic::Place { line, column, ..crate::diagnostic::Place::whole("f") };
        let mut all = vec![Diagnostic::at(&place, "m")];
        let mut sources = Sources::default();
        sources.add(&"f".into(), format, text);
        sources.illustrate(&mut all);
        let picture = all[0].picture();
        picture.split_once('\n').map_or("", |(_, rest)| rest).to_owned()
    }

    #[track_caller]
    fn check(format: Format, text: &str, (line, column): (usize, usize), expected: &str) {
        assert_eq!(shown(format, text, line, column), expected, "{text}");
    }

    #[test]
    fn a_caret_stands_under_its_place() {
        use Format::{Conf, Yaml};
        check(Conf, "workers x", (1, 9), "  1 | workers x\n    |         ^");
        check(Conf, "\n\tworkers\tx # y", (2, 10), "  2 | \tworkers\tx\n    | \t       \t^");
        check(Conf, "locks_dir \"ü\" x", (1, 15), "  1 | locks_dir \"ü\" x\n    |               ^");
        check(Conf, "listen {", (1, 9), "  1 | listen {\n    |         ^");
        check(Conf, "x", (3, 1), "");
        check(Yaml, "a:\r\n  b: c\r\n", (2, 3), "  2 |   b: c\n    |   ^");
        let long = "x".repeat(500);
        let excerpt = shown(Conf, &format!("{long} y {long}"), 1, 502);
        assert_eq!(excerpt.lines().next().unwrap().chars().count(), 6 + 122);
    }

    /// Against an excerpt that is simply the line.
    #[test]
    fn no_secret_is_shown() {
        for (text, line) in [
            ("user \"u\" { password \"hush\" pool \"sesion\" }", 1),
            ("storage_password \"hush", 1),
            ("password # here\n  \"hush", 2),
            ("password \"a\nhush\" pool 1", 2),
            ("password \"a\\\"hush\" pool 1", 1),
            ("pasword \"hush\"", 1),
            ("passwrod \"hush\"", 1),
            ("password 'hush'", 1),
            ("password = hush", 1),
            ("password \"a\"hush\"", 1),
            ("password hush", 1),
            ("ldapbindpasswd \"hush\" x", 1),
            ("workers 1 x # password hush", 1),
            ("locks_dir \"a\\\"\npassword \"hush\" x", 2),
            ("locks_dir \"a\\\" password \"hush\" x", 1),
            ("locks_dir \"a\\\" password hush", 1),
            ("password \"a\\\\\" hush\" x", 1),
            ("password \"a\\\"\nhush\" x", 2),
        ] {
            for column in 1..=text.chars().count() + 1 {
                let shown = shown(Format::Conf, text, line, column);
                assert!(!shown.contains("hush"), "{text}\n{shown}");
            }
        }
        for (text, line) in [
            ("password: hush", 1),
            ("u: {password: hush, pool: x}", 1),
            ("  storage_password: >\n\n    hush\n", 3),
            ("u: [{pasword: 'a\n  hush'}]", 2),
            ("\"password\" : hush", 1),
            ("? password\n: hush", 2),
        ] {
            for column in 1..=text.chars().count() + 1 {
                let shown = shown(Format::Yaml, text, line, column);
                assert!(!shown.contains("hush"), "{text}\n{shown}");
            }
        }
        check(
            Format::Conf,
            "user { password \"hush\" pool \"x\" }",
            (1, 24),
            "  1 | user { password \"***\" pool \"x\" }\n    |                       ^",
        );
        check(Format::Yaml, "{password: x, a: b}", (1, 2), "  1 | {password: ***\n    |  ^");
    }
}
