//! A pen: writes what others chose (names, messages, texts of queries) into a line so that it
//! stays what it is: one value of one line, whatever is in it. It knows how each format escapes
//! and where a value is cut; it decides nothing.

use std::fmt::{self, Write};

/// How what is written has to be escaped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    /// A message in a template: control characters but the tab become spaces.
    Plain,
    /// A name in a template: the tab, too, because templates separate fields by it.
    Name,
    /// A value of tskv, as `%M`.
    Tskv,
    /// Between the quotes of a JSON string, or of a quoted logfmt value.
    Quoted,
}

/// What stands where something was cut off.
const CUT: char = '…';

/// Writes into a line, at most so many bytes.
pub(super) struct Pen<'a> {
    line: &'a mut String,
    script: Script,
    /// Bytes that may still come, before escaping; None: it was cut.
    left: Option<usize>,
}

impl<'a> Pen<'a> {
    /// At most `bytes_max` bytes of what is written come through; where more come a mark stands.
    pub(super) fn new(line: &'a mut String, script: Script, bytes_max: usize) -> Self {
        Self { line, script, left: Some(bytes_max) }
    }

    /// A whole value.
    pub(super) fn put(&mut self, value: impl fmt::Display) {
        let _ = write!(self, "{value}"); // writing to a String cannot fail
    }

    fn put_escaped(&mut self, text: &str) {
        let mut plain_from = 0;
        for (at, c) in text.char_indices() {
            if !is_special(self.script, c) {
                continue;
            }
            self.line.push_str(&text[plain_from..at]);
            escape(self.line, self.script, c);
            plain_from = at + c.len_utf8();
        }
        self.line.push_str(&text[plain_from..]);
    }
}

impl Write for Pen<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let Some(left) = self.left else { return Ok(()) };
        if text.len() <= left {
            self.left = Some(left - text.len());
            self.put_escaped(text);
        } else {
            self.left = None;
            self.put_escaped(&text[..text.floor_char_boundary(left)]);
            self.line.push(CUT);
        }
        Ok(())
    }
}

/// A whole text as a string of JSON, with its quotes.
pub fn json(text: &str) -> String {
    let mut line = String::from('"');
    Pen::new(&mut line, Script::Quoted, usize::MAX).put(text);
    line.push('"');
    line
}

fn is_special(script: Script, c: char) -> bool {
    match script {
        Script::Plain => c.is_control() && c != '\t',
        Script::Name => c.is_control(),
        Script::Tskv => c.is_control() || matches!(c, '\\' | '='),
        Script::Quoted => c.is_control() || matches!(c, '"' | '\\'),
    }
}

fn escape(line: &mut String, script: Script, c: char) {
    let letter = match (script, c) {
        (Script::Plain | Script::Name, _) => return line.push(' '),
        (Script::Tskv, '\0') => '0',
        (_, '\t') => 't',
        (_, '\n') => 'n',
        (_, '\r') => 'r',
        (_, '"' | '\\' | '=') => c,
        (Script::Tskv, _) => return line.push(' '), // tskv has no other escapes
        (Script::Quoted, _) => {
            // Control characters end at U+009F; writing to a String cannot fail.
            let _ = write!(line, "\\u{:04x}", u32::from(c));
            return;
        }
    };
    line.push('\\');
    line.push(letter);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(script: Script, text: &str, expected: &str) {
        let mut line = String::new();
        Pen::new(&mut line, script, 100).put(text);
        assert_eq!(line, expected, "{text:?}");
    }

    #[test]
    fn each_script_keeps_a_value_in_its_place() {
        check(Script::Plain, "a\tb\nc\u{1b}[31m=\"\\", "a\tb c [31m=\"\\");
        check(Script::Name, "eve\tadmin\n", "eve admin ");
        check(Script::Tskv, "a=b\tc\\d\0e\r\nf\u{7}", "a\\=b\\tc\\\\d\\0e\\r\\nf ");
        check(
            Script::Quoted,
            "a\"b\\c\nd\0e\u{7f}f\u{85}é",
            "a\\\"b\\\\c\\nd\\u0000e\\u007ff\\u0085é",
        );
    }

    #[test]
    fn what_is_long_is_cut_between_characters_and_says_so() {
        for (max, expected) in [(0, "…"), (1, "a…"), (2, "a…"), (3, "aé…"), (4, "aéb")] {
            let mut line = String::new();
            let mut pen = Pen::new(&mut line, Script::Quoted, max);
            pen.put("aéb");
            pen.put("");
            assert_eq!(line, expected, "{max}");
        }
        let mut line = String::new();
        let mut pen = Pen::new(&mut line, Script::Plain, 2);
        pen.put("abc");
        pen.put("d");
        assert_eq!(line, "ab…", "nothing comes behind the cut");
    }
}
