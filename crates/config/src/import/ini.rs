//! The language of pgbouncer.ini. A line is a comment (`;` or `#` at its start, nowhere else), a
//! section, `key = value` up to the line's end, or `%include`; an included file shares the current
//! section with the one that names it.

use super::{Reader, broken, place};
use crate::diagnostic::{Diagnostic, Place};

const INCLUDE_DEPTH_MAX: usize = 10; // PgBouncer's

/// A line that says something.
#[derive(Debug)]
pub(super) struct Entry {
    pub section: String,
    pub key: String,
    /// As it stands there, without the blanks around it.
    pub value: String,
    pub place: Place,
}

/// All entries, those of included files in their place.
pub(super) fn read(name: &str, text: &str, reader: Reader<'_>) -> Result<Vec<Entry>, Diagnostic> {
    let mut file = Ini { entries: Vec::new(), section: None, files: 0, reader };
    file.text(name, text, 0)?;
    Ok(file.entries)
}

struct Ini<'a> {
    entries: Vec<Entry>,
    section: Option<String>,
    files: usize,
    reader: Reader<'a>,
}

impl Ini<'_> {
    fn text(&mut self, name: &str, text: &str, depth: usize) -> Result<(), Diagnostic> {
        let mut here = Place { file_index: self.files, ..place(name, 1) };
        self.files += 1;
        for (index, line) in text.split('\n').enumerate() {
            here.line = index + 1;
            self.line(line.trim(), &here, depth)?;
        }
        Ok(())
    }

    fn line(&mut self, line: &str, here: &Place, depth: usize) -> Result<(), Diagnostic> {
        if line.is_empty() || line.starts_with([';', '#']) {
            return Ok(());
        }
        if let Some(path) = line.strip_prefix("%include")
            && path.starts_with([' ', '\t'])
        {
            return self.include(path.trim(), here, depth);
        }
        if let Some(rest) = line.strip_prefix('[') {
            let Some((section, rest)) = rest.split_once(']') else {
                return Err(broken(here, "syntax error, a section without ']'"));
            };
            self.section = Some(section.to_owned());
            return self.line(rest.trim_start(), here, depth);
        }
        let Some((key, rest)) = key(line) else {
            return Err(broken(here, "syntax error, a quote is not closed"));
        };
        let Some(value) = rest.trim_start_matches([' ', '\t']).strip_prefix('=') else {
            return Err(broken(here, "syntax error, 'key = value' expected"));
        };
        let Some(section) = self.section.clone() else {
            return Err(broken(here, format!("'{key}' stands in front of the first section")));
        };
        let value = value.trim().to_owned();
        self.entries.push(Entry { section, key, value, place: here.clone() });
        Ok(())
    }

    fn include(&mut self, path: &str, here: &Place, depth: usize) -> Result<(), Diagnostic> {
        if depth >= INCLUDE_DEPTH_MAX {
            return Err(broken(here, "too many files include each other"));
        }
        let text = (self.reader)(path)
            .map_err(|error| broken(here, format!("cannot read '{path}': {error}")))?;
        self.text(path, &text, depth + 1)
    }
}

/// The key and what is behind it. PgBouncer's manual quotes with `"`, its program with `'`; both
/// are read, and a quote that stands twice is one of the name.
fn key(line: &str) -> Option<(String, &str)> {
    let Some(quote) = line.chars().next().filter(|first| matches!(first, '\'' | '"')) else {
        let is_key = |c: char| c.is_ascii_alphanumeric() || "_.-*".contains(c);
        let (key, rest) = line.split_at(line.find(|c| !is_key(c)).unwrap_or(line.len()));
        return Some((key.to_owned(), rest));
    };
    unquoted(&line[1..], quote)
}

/// Up to the closing quote, and what is behind it.
pub(super) fn unquoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut found = String::new();
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        if letter != quote {
            found.push(letter);
        } else if letters.next_if(|(_, next)| *next == quote).is_some() {
            found.push(quote);
        } else {
            return Some((found, &text[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<String> {
        let reader = |path: &str| match path {
            "other.ini" => Ok("c = 3\n[users]\nd = 4".to_owned()),
            "itself.ini" => Ok("%include itself.ini".to_owned()),
            _ => Err("no such file".to_owned()),
        };
        match read("p.ini", text, &reader) {
            Ok(entries) => {
                let line = |it: &Entry| {
                    let place = format!("{}:{}", it.place.file, it.place.line);
                    format!("{place} {} {}={}", it.section, it.key, it.value)
                };
                entries.iter().map(line).collect()
            }
            Err(error) => vec![error.to_string()],
        }
    }

    #[test]
    fn lines_are_read_as_pgbouncer_reads_them() {
        for (text, expected) in [
            ("; x\n# y\n[a]\n b = 1 ; not a comment \r\n", &["p.ini:4 a b=1 ; not a comment"][..]),
            ("[a] b=1\n[c]\nd\t=\t\n", &["p.ini:1 a b=1", "p.ini:3 c d="]),
            ("[d]\n* = host=h\nmy-db.x=y", &["p.ini:2 d *=host=h", "p.ini:3 d my-db.x=y"]),
            ("[d]\n\"my \"\"db\" = x\n'b''c'=y", &["p.ini:2 d my \"db=x", "p.ini:3 d b'c=y"]),
            (
                "[a]\n%include other.ini\ne = 5",
                &["other.ini:1 a c=3", "other.ini:3 users d=4", "p.ini:3 users e=5"],
            ),
        ] {
            assert_eq!(entries(text), expected, "{text}");
        }
    }

    #[test]
    fn what_pgbouncer_would_not_read_is_an_error_with_a_place() {
        for (text, expected) in [
            ("a = 1", "p.ini:1:1: 'a' stands in front of the first section"),
            ("[a]\nb", "p.ini:2:1: syntax error, 'key = value' expected"),
            ("[a]\nmy db = 1", "p.ini:2:1: syntax error, 'key = value' expected"),
            ("\n[a", "p.ini:2:1: syntax error, a section without ']'"),
            ("[a]\n'b = 1", "p.ini:2:1: syntax error, a quote is not closed"),
            ("%include gone.ini", "p.ini:1:1: cannot read 'gone.ini': no such file"),
            ("%include itself.ini", "itself.ini:1:1: too many files include each other"),
        ] {
            assert_eq!(entries(text), [expected], "{text}");
        }
    }
}
