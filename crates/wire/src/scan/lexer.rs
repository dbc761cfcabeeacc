//! The words of a query text, in whatever encoding it is: quotes, comments and dollar quotes as
//! PostgreSQL's scanner sees them. It knows no statement, no number and no operator.

/// What a server takes a backslash in a string for, once somebody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backslashes {
    /// `standard_conforming_strings` is off: every string has escapes.
    pub escape: bool,
    /// The encoding of the text has characters that end in one (Shift-JIS, GBK, Big5).
    pub end_characters: bool,
}

/// How a backslash in a string is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// `standard_conforming_strings` is on, as it is by default since PostgreSQL 9.1: only `E''`
    /// has escapes.
    Strict,
    /// It is off: every string has escapes. And a backslash behind a byte over 127 is half of a
    /// character (Shift-JIS, GBK, Big5), which is none when PostgreSQL's scanner sees it.
    Loose,
    /// As the server does.
    Known(Backslashes),
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or an identifier without quotes.
    Word,
    /// `"an identifier"`.
    Quoted,
    /// `U&"an identifier"`, of which we do not know the name.
    Unicode,
    /// A string in quotes that stands for exactly the bytes between them.
    Plain,
    /// Any other string.
    Literal,
    /// One byte of anything else, or digits in a row.
    Mark(u8),
}

/// A token and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A place in a text. Copied freely: to look ahead is to ask a copy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexer<'a> {
    pub(super) text: &'a [u8],
    pub(super) at: usize,
    pub(super) reading: Reading,
    /// A backslash was met that the two readings take differently.
    pub(super) doubtful: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8]) -> Lexer<'a> {
        Lexer { text, at: 0, reading: Reading::Strict, doubtful: false }
    }

    /// The next token. What has no end runs to the end of the text: PostgreSQL refuses all of it.
    pub(super) fn next(&mut self) -> Option<Token> {
        self.skip_blanks();
        let start = self.at;
        let kind = match *self.text.get(start)? {
            b'\'' => self.string(false),
            b'"' => self.quoted(Kind::Quoted),
            b'$' => self.dollar(),
            byte if is_word_start(byte) => self.word(),
            byte if byte.is_ascii_digit() => {
                self.skip_while(|byte| byte.is_ascii_digit());
                Kind::Mark(byte)
            }
            byte => {
                self.at += 1;
                Kind::Mark(byte)
            }
        };
        Some(Token { kind, start, end: self.at })
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn skip_while(&mut self, is_skipped: impl Fn(u8) -> bool) {
        let rest = &self.text[self.at..];
        self.at += rest.iter().position(|&byte| !is_skipped(byte)).unwrap_or(rest.len());
    }

    fn skip_blanks(&mut self) {
        while let Some(byte) = self.byte(0) {
            match (byte, self.byte(1)) {
                (byte, _) if is_blank(byte) => self.at += 1,
                (b'-', Some(b'-')) => self.skip_line(),
                (b'/', Some(b'*')) => self.skip_comment(),
                _ => return,
            }
        }
    }

    fn skip_line(&mut self) {
        self.skip_while(|byte| !matches!(byte, b'\n' | b'\r'));
    }

    /// Comments nest.
    fn skip_comment(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.byte(0) {
            match (byte, self.byte(1)) {
                (b'/', Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    /// A word, or the prefix of a string and that string.
    fn word(&mut self) -> Kind {
        let start = self.at;
        self.skip_while(is_word);
        let &[prefix] = &self.text[start..self.at] else { return Kind::Word };
        match (prefix | 0x20, self.byte(0), self.byte(1)) {
            (b'e', Some(b'\''), _) => self.string(true),
            (b'b' | b'x' | b'n', Some(b'\''), _) => self.string(false),
            (b'u', Some(b'&'), Some(b'\'')) => {
                self.at += 1;
                self.string(false)
            }
            (b'u', Some(b'&'), Some(b'"')) => {
                self.at += 1;
                return self.quoted(Kind::Unicode);
            }
            _ => return Kind::Word,
        };
        Kind::Literal
    }

    /// At a quote: the string to its end.
    fn string(&mut self, escapes: bool) -> Kind {
        let mut kind = Kind::Plain;
        self.at += 1;
        while let Some(byte) = self.byte(0) {
            match byte {
                b'\'' if self.byte(1) == Some(b'\'') => self.at += 2,
                b'\'' => {
                    self.at += 1;
                    if !self.continues() {
                        return kind;
                    }
                }
                b'\\' => self.backslash(escapes),
                _ => {
                    self.skip_while(|byte| !matches!(byte, b'\'' | b'\\'));
                    continue;
                }
            }
            kind = Kind::Literal;
        }
        Kind::Literal
    }

    fn backslash(&mut self, escapes: bool) {
        let behind_high = self.text[self.at - 1] >= 0x80;
        let (strict, loose) = (escapes, !(escapes && behind_high));
        let matters = matches!(self.byte(1), Some(b'\'' | b'\\'));
        self.doubtful |= matters && strict != loose;
        let taken = match self.reading {
            Reading::Strict => strict,
            Reading::Loose => loose,
            Reading::Known(Backslashes { escape, end_characters }) => {
                (escapes || escape) && !(end_characters && behind_high)
            }
        };
        self.at = self.text.len().min(self.at + 1 + usize::from(taken));
    }

    /// Behind a string: a string on another line belongs to it and has its escapes.
    fn continues(&mut self) -> bool {
        let mut ahead = *self;
        let mut newline = false;
        while let Some(byte) = ahead.byte(0) {
            match byte {
                b'-' if ahead.byte(1) == Some(b'-') => ahead.skip_line(),
                b'\'' if newline => {
                    self.at = ahead.at + 1;
                    return true;
                }
                byte if is_blank(byte) => {
                    newline |= matches!(byte, b'\n' | b'\r');
                    ahead.at += 1;
                }
                _ => return false,
            }
        }
        false
    }

    fn quoted(&mut self, kind: Kind) -> Kind {
        self.at += 1;
        while let Some(byte) = self.byte(0) {
            self.at += 1;
            if byte == b'"' {
                match self.byte(0) {
                    Some(b'"') => self.at += 1,
                    _ => break,
                }
            }
        }
        kind
    }

    /// At a `$` outside a word: a dollar quote, or a parameter, or nothing that has a meaning.
    fn dollar(&mut self) -> Kind {
        let rest = &self.text[self.at..];
        let tag = rest[1..].iter().position(|&byte| !is_word(byte) || byte == b'$');
        let Some(length) = tag.filter(|&length| is_opening(&rest[..length + 2])) else {
            self.at += 1;
            return Kind::Mark(b'$');
        };
        let (delimiter, body) = rest.split_at(length + 2);
        let end = body.windows(delimiter.len()).position(|window| window == delimiter);
        self.at += end.map_or(rest.len(), |end| end + 2 * delimiter.len());
        Kind::Literal
    }
}

/// Whether these bytes, `$` and others that may be in a tag and one more, open a dollar quote.
fn is_opening(delimiter: &[u8]) -> bool {
    delimiter.last() == Some(&b'$') && !delimiter[1].is_ascii_digit()
}

/// PostgreSQL's white space, with the vertical tab, which it is since version 16.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_word(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}
