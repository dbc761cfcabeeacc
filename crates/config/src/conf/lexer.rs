//! Tokens of odyssey.conf, each with its place. It copies Odyssey's lexer, with two kindnesses:
//! about backslashes, and about byte order marks.

use std::str::Chars;

use crate::diagnostic::{Complaints, Diagnostic, Place};
use crate::files::Source;
use crate::{options, raw};

const BYTE_ORDER_MARK: char = '\u{feff}'; // some editors put one in front; Odyssey refuses it
const AHEAD_BYTES_MAX: usize = 2048; // how far is looked for what follows a string
const AHEAD_LINES_MAX: usize = 32;

/// One word of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Open,
    Close,
    Number(i64),
    /// A number with a size suffix, in bytes.
    Size(i64),
    /// What stood between quotes.
    Text(String),
    /// A bare word.
    Word(String),
    End,
}

/// The rest of a file.
pub(super) struct Lexer<'a> {
    source: &'a Source<'a>,
    rest: Chars<'a>,
    line: usize,
    column: usize,
}

impl<'a> Lexer<'a> {
    pub fn new(source: &'a Source<'a>) -> Lexer<'a> {
        Lexer {
            source,
            rest: source.text.trim_start_matches(BYTE_ORDER_MARK).chars(),
            line: 1,
            column: 1,
        }
    }

    /// The next token and where it starts; `End` again and again at the end.
    pub fn next(&mut self, complaints: &mut Complaints) -> Result<(Token, Place), Diagnostic> {
        self.skip_blank();
        let place = self.source.place(self.line, self.column);
        let Some(first) = self.peek() else { return Ok((Token::End, place)) };
        let token = match first {
            '{' | '}' => {
                self.take();
                if first == '{' { Token::Open } else { Token::Close }
            }
            '"' => self.text(&place, complaints)?,
            '-' | '0'..='9' => self.number(&place)?,
            'A'..='Z' | 'a'..='z' | '_' => Token::Word(self.take_while(is_word)),
            other => return Err(unexpected(&place, other)),
        };
        Ok((token, place))
    }

    fn skip_blank(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r' | '\n') => drop(self.take()),
                Some('#') => drop(self.take_while(|letter| letter != '\n')),
                _ => return,
            }
        }
    }

    /// The only escape is `\"`; every other backslash stays, for whoever reads the value.
    fn text(&mut self, place: &Place, complaints: &mut Complaints) -> Result<Token, Diagnostic> {
        self.take();
        let mut text = String::new();
        // Behind the last `\"`, with how much of the text is in front of it.
        let mut last_escape = None;
        loop {
            match self.take() {
                Some('"') => return Ok(Token::Text(text)),
                Some('\\') if self.peek() == Some('"') => {
                    self.take();
                    if settings_follow(self.rest.as_str()) {
                        text.push('\\');
                        let message = "this string ends in a backslash; Odyssey would read on";
                        complaints.warning(place, message);
                        return Ok(Token::Text(text));
                    }
                    last_escape = Some(((self.rest.clone(), self.line, self.column), text.len()));
                    text.push('"');
                }
                Some(letter) => text.push(letter),
                None => return self.unfinished(text, last_escape, place),
            }
        }
    }

    /// The file is over, and the string is not. If no quote follows at all, `\"` ends it after all,
    /// as in Odyssey.
    fn unfinished(
        &mut self,
        mut text: String,
        last_escape: Option<((Chars<'a>, usize, usize), usize)>,
        place: &Place,
    ) -> Result<Token, Diagnostic> {
        let Some((behind, length)) = last_escape else {
            let message = "unexpected character '\"'";
            let hint = "the string that starts here never ends".to_owned();
            return Err(Diagnostic::at(place, message).hint(hint));
        };
        (self.rest, self.line, self.column) = behind;
        text.truncate(length);
        text.push('\\');
        Ok(Token::Text(text))
    }

    fn number(&mut self, place: &Place) -> Result<Token, Diagnostic> {
        let minus = self.peek() == Some('-');
        if minus {
            self.take();
        }
        let digits = self.take_while(|letter| letter.is_ascii_digit());
        if digits.is_empty() {
            return Err(unexpected(place, '-'));
        }
        let sign = if minus { "-" } else { "" };
        let suffix = self.size_suffix();
        let value = raw::size(&format!("{sign}{digits}{suffix}"));
        match value {
            Some(value) if suffix.is_empty() => Ok(Token::Number(value)),
            Some(value) => Ok(Token::Size(value)),
            None => Err(Diagnostic::at(place, "number is out of range")),
        }
    }

    fn size_suffix(&mut self) -> String {
        let rest = self.rest.as_str();
        let mut ahead = rest.chars().map(|letter| letter.to_ascii_lowercase());
        let letters = match (ahead.next(), ahead.next()) {
            (Some('k' | 'm' | 'g'), Some('b')) => 2,
            (Some('k' | 'm' | 'g' | 'b'), _) => 1,
            _ => 0,
        };
        (0..letters).filter_map(|_| self.take()).collect()
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(letter) = self.peek().filter(|letter| wanted(*letter)) {
            taken.push(letter);
            self.take();
        }
        taken
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn take(&mut self) -> Option<char> {
        let letter = self.rest.next()?;
        if letter == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(letter)
    }
}

/// Whether the text goes on like a file does behind a value, not like the inside of a string:
/// Odyssey takes `"dir\"` for an unfinished string and swallows the file up to the next quote,
/// which helps nobody.
pub(crate) fn settings_follow(rest: &str) -> bool {
    let ahead = &rest[..rest.floor_char_boundary(AHEAD_BYTES_MAX)];
    let mut lines = ahead.lines().map(str::trim).take(AHEAD_LINES_MAX);
    let same = lines.next().unwrap_or("");
    let mut below = lines.skip_while(|line| line.is_empty() || line.starts_with('#'));
    // Another quote on the line: the string goes on to it.
    if !(same.is_empty() || same.starts_with(['#', '}'])) || same.contains('"') {
        return false;
    }
    match below.next() {
        None => ahead.len() == rest.len(),
        Some(line) if line.starts_with('}') => true,
        Some(line) => {
            let end = line.find(|letter| !is_word(letter)).unwrap_or(line.len());
            let value = line[end..].trim_start();
            let starts_value = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
            options::is_keyword(&line[..end])
                && (value.starts_with(['"', '{']) || value.starts_with(starts_value))
        }
    }
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

fn unexpected(place: &Place, letter: char) -> Diagnostic {
    let hint = match letter {
        '\'' => "strings stand in double quotes",
        '=' | ':' => "a value stands right behind its option, with nothing between",
        ';' | ',' => "nothing stands between options; line ends or blanks are enough",
        '-' => "a number is expected behind it",
        '/' => "comments begin with '#', and strings stand in double quotes",
        '$' => "strings stand in double quotes",
        _ => "words, numbers, strings in double quotes and braces are all there is",
    };
    let message = format!("unexpected character '{}'", letter.escape_debug());
    let message = message.replace("\\'", "'").replace("\\\"", "\"");
    Diagnostic::at(place, message).hint(hint.to_owned())
}
