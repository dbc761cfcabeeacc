//! The words of one statement, taken one after the other: keywords, identifiers, the names of
//! settings. It stops at the statement's end.

use std::borrow::Cow;

use super::lexer::{Kind, Lexer, Token};
use super::{Head, Name};

/// Settings with words of their own: first word, second word (if any) and name.
const SPELLINGS: [(&str, Option<&str>, &[u8]); 5] = [
    ("time", Some("zone"), b"timezone"),
    ("session", Some("authorization"), b"session_authorization"),
    ("xml", Some("option"), b"xmloption"),
    ("names", None, b"client_encoding"),
    ("schema", None, b"search_path"),
];

/// The words of one statement.
#[derive(Clone, Copy)]
pub(super) struct Words<'a>(pub(super) Lexer<'a>);

impl<'a> Words<'a> {
    /// The next token, not beyond the statement.
    pub(super) fn next(&mut self) -> Option<Token> {
        let mut behind = self.0;
        let token = behind.next().filter(|token| token.kind != Kind::Mark(b';'))?;
        self.0 = behind;
        Some(token)
    }

    /// Takes the next word if it is this keyword.
    pub(super) fn take(&mut self, keyword: &str) -> bool {
        let mut behind = *self;
        let found = behind.next().is_some_and(|token| self.is(token, keyword));
        if found {
            *self = behind;
        }
        found
    }

    /// Whether a token is this keyword.
    pub(super) fn is(&self, token: Token, keyword: &str) -> bool {
        token.kind == Kind::Word && self.bytes(token).eq_ignore_ascii_case(keyword.as_bytes())
    }

    fn bytes(&self, token: Token) -> &'a [u8] {
        &self.0.text[token.start..token.end]
    }

    /// Are these the next two words?
    pub(super) fn are(mut self, first: &str, second: &str) -> bool {
        self.take(first) && self.take(second)
    }

    pub(super) fn then(mut self, keyword: &str, head: Head<'a>) -> Head<'a> {
        if self.take(keyword) { head } else { Head::Other }
    }

    pub(super) fn unless(mut self, keyword: &str, head: Head<'a>) -> Head<'a> {
        if self.take(keyword) { Head::Other } else { head }
    }

    /// Takes this keyword, unless it is the name of a setting: a value or a dot follows.
    pub(super) fn take_scope(&mut self, keyword: &str) -> bool {
        let mut behind = *self;
        let found = behind.take(keyword) && !behind.is_assignment();
        if found {
            *self = behind;
        }
        found
    }

    fn is_assignment(mut self) -> bool {
        let next = self.next();
        next.is_some_and(|token| {
            matches!(token.kind, Kind::Mark(b'.' | b'='))
                || self.is(token, "to")
                || self.is(token, "from")
        })
    }

    /// The setting named here; empty if we cannot tell.
    pub(super) fn setting(&mut self) -> Cow<'a, [u8]> {
        if let Some(name) = self.take_spelling() {
            return name.into();
        }
        let mut name = lower(self.name().folded);
        while !name.is_empty() && self.take_mark(b'.') {
            match self.name().folded {
                part if part.is_empty() => return part,
                part => {
                    let name = name.to_mut();
                    name.push(b'.');
                    name.extend(lower(part).iter());
                }
            }
        }
        name
    }

    /// A setting that is not called by its name.
    fn take_spelling(&mut self) -> Option<&'static [u8]> {
        let mut behind = *self;
        let token = behind.next()?;
        let (_, second, name) = SPELLINGS.iter().find(|(first, ..)| self.is(token, first))?;
        let spelt = !behind.is_assignment() && second.is_none_or(|second| behind.take(second));
        spelt.then(|| *self = behind)?;
        Some(name)
    }

    /// Is `pg_settings` the table here?
    pub(super) fn are_settings(mut self) -> bool {
        let _ = self.take("only");
        let mut table = self.name().folded;
        if self.take_mark(b'.') {
            table = self.name().folded;
        }
        *table == *b"pg_settings"
    }

    /// Takes the next token if it is this byte.
    pub(super) fn take_mark(&mut self, byte: u8) -> bool {
        let mut behind = *self;
        let found = behind.next().is_some_and(|token| token.kind == Kind::Mark(byte));
        if found {
            *self = behind;
        }
        found
    }

    /// The identifier here; without a range if there is none.
    pub(super) fn name(&mut self) -> Name<'a> {
        let missing = Name { range: self.0.at..self.0.at, folded: Cow::default() };
        let Some(token) = self.next() else { return missing };
        let bytes = self.bytes(token);
        let folded = match token.kind {
            Kind::Word => lower(bytes.into()),
            Kind::Quoted => unquoted(bytes),
            Kind::Unicode => Cow::default(),
            _ => return missing,
        };
        Name { range: token.start..token.end, folded }
    }

    /// `(…)`, ANALYZE, VERBOSE.
    pub(super) fn skip_explain_options(&mut self) {
        if self.take_mark(b'(') {
            while self.next().is_some_and(|token| token.kind != Kind::Mark(b')')) {}
        }
        while ["analyze", "analyse", "verbose"].iter().any(|word| self.take(word)) {}
    }
}

/// In lower case; only ASCII has a case that does not hang on the server's locale.
pub(super) fn lower(name: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match name.iter().any(u8::is_ascii_uppercase) {
        true => name.to_ascii_lowercase().into(),
        false => name,
    }
}

/// `"a ""name"""` without its quotes.
pub(super) fn unquoted(bytes: &[u8]) -> Cow<'_, [u8]> {
    let inner = &bytes[1..];
    let inner = inner.strip_suffix(b"\"").unwrap_or(inner);
    if !inner.contains(&b'"') {
        return inner.into();
    }
    let mut name = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(byte) = bytes.next() {
        name.push(byte);
        if byte == b'"' {
            bytes.next();
        }
    }
    name.into()
}
