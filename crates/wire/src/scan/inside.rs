//! What a statement hides behind its first words: calls of `set_config`, EXECUTE behind EXPLAIN and
//! CREATE TABLE … AS, SELECT … INTO TEMP. A second look, for statements that give a reason.

use super::lexer::{Kind, Token};
use super::quick::has_word;
use super::words::{Words, lower};
use super::{Found, Head, Statement};

/// How far an argument of `set_config` is looked for its end. One that is longer may end anywhere,
/// which costs a question to the server; read to its end, calls inside each other would cost a
/// machine a second.
const ARGUMENT_TOKENS_MAX: usize = 64;

/// The rest of one statement.
#[derive(Clone, Copy)]
pub(super) struct Inside<'a> {
    words: Words<'a>,
    previous: Token,
    /// An EXECUTE may be the next to tell of.
    execute: bool,
    text: &'a [u8],
    at: usize,
}

impl<'a> Inside<'a> {
    /// For the statement with this first token and these words behind it, if it may hide anything.
    pub(super) fn new(first: Token, words: Words<'a>, text: &'a [u8]) -> Option<Inside<'a>> {
        let execute = words.is(first, "explain") || words.is(first, "create");
        let inside = Inside { words, previous: first, execute, text, at: first.start };
        (execute || has_word(text)).then_some(inside)
    }

    pub(super) fn next(&mut self) -> Option<Found<'a>> {
        if std::mem::take(&mut self.execute)
            && let Some(mut words) = execution(self.previous, self.words)
        {
            let name = words.name();
            return Some(self.found(name.range.start, Head::Execute { name }));
        }
        while let Some(token) = self.words.next() {
            let previous = std::mem::replace(&mut self.previous, token);
            if self.is_call(token) {
                return Some(self.found(token.start, set_config(self.words)));
            }
            if self.words.is(token, "into") && self.makes_temp(previous) {
                return Some(self.found(token.start, Head::CreateTemp));
            }
        }
        None
    }

    fn found(&self, place: usize, head: Head<'a>) -> Found<'a> {
        Found { statement: Statement { head, text: self.text, at: self.at }, place }
    }

    /// Is this `set_config` in front of a parenthesis?
    fn is_call(&self, token: Token) -> bool {
        let named = match token.kind {
            Kind::Word => self.words.is(token, "set_config"),
            Kind::Quoted => self.words.0.text[token.start..token.end] == *b"\"set_config\"",
            _ => false,
        };
        named && { self.words }.take_mark(b'(')
    }

    /// Behind INTO: is it SELECT … INTO TEMP, and not INSERT INTO a table of that name?
    fn makes_temp(&self, previous: Token) -> bool {
        let mut words = self.words;
        if words.is(previous, "insert") || words.is(previous, "merge") {
            return false;
        }
        let _ = words.take("local") || words.take("global");
        words.take("temp") || words.take("temporary")
    }
}

/// Behind the EXECUTE of EXPLAIN and of CREATE … AS, if there is one.
fn execution<'a>(first: Token, mut words: Words<'a>) -> Option<Words<'a>> {
    if words.is(first, "explain") {
        words.skip_explain_options();
        if words.take("execute") {
            return Some(words);
        }
        if !words.take("create") {
            return None;
        }
    }
    let mut depth = 0_usize;
    while let Some(token) = words.next() {
        match token.kind {
            Kind::Mark(b'(') => depth += 1,
            Kind::Mark(b')') => depth = depth.saturating_sub(1),
            _ if depth == 0 && words.is(token, "as") => {
                return words.take("execute").then_some(words);
            }
            _ => {}
        }
    }
    None
}

/// Behind the word `set_config`.
fn set_config(mut words: Words<'_>) -> Head<'_> {
    words.take_mark(b'(');
    let name = literal(&mut words);
    let behind_name = name.is_some() || skip_argument(&mut words);
    let local = if behind_name && skip_argument(&mut words) { is_local(words) } else { None };
    Head::SetConfig { name: name.map(|name| lower(name.into())), local }
}

/// Takes an argument that is a plain literal, and the comma behind it.
fn literal<'a>(words: &mut Words<'a>) -> Option<&'a [u8]> {
    let mut behind = *words;
    let token = behind.next()?;
    let text = plain(&behind.0.text[token.start..token.end], token.kind)?;
    skip_cast(&mut behind);
    if !behind.take_mark(b',') {
        return None;
    }
    *words = behind;
    Some(text)
}

/// What a literal stands for, if that is what is between its quotes: `'x'`, `E'x'`.
fn plain(token: &[u8], kind: Kind) -> Option<&[u8]> {
    match (kind, token) {
        (Kind::Plain, [_, inner @ .., _]) => Some(inner),
        (Kind::Literal, [b'e' | b'E', b'\'', inner @ .., b'\'']) => {
            let is_plain =
                inner.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(byte));
            is_plain.then_some(inner)
        }
        _ => None,
    }
}

/// `::type`, if it is there.
fn skip_cast(words: &mut Words<'_>) {
    if words.take_mark(b':') && words.take_mark(b':') {
        words.next();
    }
}

/// Takes an argument and the comma behind it; whether there is one, not too far away.
fn skip_argument(words: &mut Words<'_>) -> bool {
    let mut depth = 0_usize;
    for _ in 0..ARGUMENT_TOKENS_MAX {
        let Some(token) = words.next() else { return false };
        match token.kind {
            Kind::Mark(b'(' | b'[') => depth += 1,
            Kind::Mark(b')' | b']') if depth == 0 => return false,
            Kind::Mark(b')' | b']') => depth -= 1,
            Kind::Mark(b',') if depth == 0 => return true,
            _ => {}
        }
    }
    false
}

/// The last argument, if it is a literal.
fn is_local(mut words: Words<'_>) -> Option<bool> {
    let token = words.next()?;
    let bytes = match token.kind {
        Kind::Word => &words.0.text[token.start..token.end],
        Kind::Plain => &words.0.text[token.start + 1..token.end - 1],
        _ => return None,
    };
    skip_cast(&mut words);
    let known = [("true", true), ("t", true), ("false", false), ("f", false)];
    let found = known.iter().find(|(literal, _)| bytes.eq_ignore_ascii_case(literal.as_bytes()));
    found.filter(|_| words.take_mark(b')')).map(|(_, local)| *local)
}
