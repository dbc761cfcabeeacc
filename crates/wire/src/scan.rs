//! A light look at a query text: which statements are in it, by their first words. It is no
//! parser: it knows what leaves something in a session, and calls everything else
//! [`Head::Other`]. What a function or a DO block does inside is not seen.
//!
//! The text is bytes in an unknown encoding, without the NUL behind it. PostgreSQL parses the
//! whole text before it runs any of it, so a text it would refuse may be read in any way.

mod about;
mod gist;
mod heads;
mod inside;
mod lexer;
mod quick;
#[cfg(test)]
mod tests;
mod words;

use std::borrow::Cow;
use std::ops::Range;

use inside::Inside;
use lexer::{Kind, Lexer, Reading, Token};
use words::Words;

pub use about::{About, about};
pub use gist::{Gist, Look, Mentions, Part, removes};
pub use lexer::Backslashes;
pub use quick::{contains, is_remarkable};

/// One statement of a text, or a part of it that is told apart: a call of `set_config` does not
/// stand at the front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// What it is.
    pub head: Head<'a>,
    /// The statement, from its first word to its last, without the `;`.
    pub text: &'a [u8],
    /// Where `text` begins in the whole text, in bytes.
    pub at: usize,
}

/// What a statement is. The name of a setting is in lower case, without quotes, its parts joined
/// by dots; an empty one means that we cannot tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head<'a> {
    /// SET, SET SESSION of a setting, in any spelling: TIME ZONE is `timezone`, NAMES
    /// `client_encoding`, SCHEMA `search_path`, XML OPTION `xmloption`.
    Set {
        /// The setting.
        name: Cow<'a, [u8]>,
    },
    /// SET SESSION CHARACTERISTICS: `default_transaction_isolation`, `…_read_only` and
    /// `…_deferrable`, one or all of them.
    SetCharacteristics,
    /// SET LOCAL, SET TRANSACTION, SET CONSTRAINTS, RESET TRANSACTION …: nothing outlives the
    /// transaction.
    SetLocal,
    /// RESET of one setting.
    Reset {
        /// The setting.
        name: Cow<'a, [u8]>,
    },
    /// RESET ALL. It leaves role and session_authorization as they are.
    ResetAll,
    /// DISCARD ALL.
    DiscardAll,
    /// DISCARD TEMP, DISCARD TEMPORARY.
    DiscardTemp,
    /// DISCARD PLANS, DISCARD SEQUENCES.
    DiscardOther,
    /// BEGIN, BEGIN WORK, BEGIN TRANSACTION and nothing else.
    BeginPlain,
    /// BEGIN with modes, START TRANSACTION.
    Begin,
    /// COMMIT, END; also with AND CHAIN, which begins anew. The END of a function's BEGIN ATOMIC
    /// looks the same.
    Commit,
    /// ROLLBACK, ABORT; also with AND CHAIN.
    Rollback,
    /// ROLLBACK TO a savepoint.
    RollbackTo,
    /// SAVEPOINT.
    Savepoint,
    /// RELEASE of a savepoint.
    Release,
    /// PREPARE TRANSACTION.
    PrepareTransaction,
    /// PREPARE of a statement.
    Prepare {
        /// The statement's.
        name: Name<'a>,
    },
    /// EXECUTE, also behind EXPLAIN and CREATE TABLE … AS.
    Execute {
        /// The statement's.
        name: Name<'a>,
    },
    /// DEALLOCATE of one statement.
    Deallocate {
        /// The statement's.
        name: Name<'a>,
    },
    /// DEALLOCATE ALL.
    DeallocateAll,
    /// LISTEN.
    Listen,
    /// UNLISTEN, of one or of all.
    Unlisten,
    /// DECLARE of a cursor.
    Declare,
    /// CLOSE of a cursor.
    Close,
    /// SHOW.
    Show,
    /// DO.
    Do,
    /// CALL.
    Call,
    /// CREATE TEMP …, SELECT … INTO TEMP.
    CreateTemp,
    /// A call of `set_config`, anywhere in a statement, or UPDATE of `pg_settings`, which calls it.
    /// If PREPARE or EXPLAIN is in front, it may never run.
    SetConfig {
        /// The setting, in lower case, if it is a plain literal.
        name: Option<Cow<'a, [u8]>>,
        /// Whether it ends with the transaction, if that is a literal.
        local: Option<bool>,
    },
    /// Anything else.
    Other,
}

/// The name of a prepared statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    /// Where it is in the whole text, as written, with its quotes; empty if it is missing.
    pub range: Range<usize>,
    /// Without quotes and in lower case, if it has none; PostgreSQL looks only at its first 63
    /// bytes. Empty if we cannot tell (`U&""`).
    pub folded: Cow<'a, [u8]>,
}

/// The statements of the text, in their order. Empty ones are left out. A statement is told by its
/// head, and what else is of interest in it (see [`Head::SetConfig`], [`Head::Execute`],
/// [`Head::CreateTemp`]) is told behind that, with the same `text` and `at`; it stands instead of
/// [`Head::Other`].
///
/// Where `standard_conforming_strings` or the encoding decide what is a string, two readings are
/// told: it may tell of a statement which is none. It misses none, unless both are unusual at
/// once: backslashes in plain strings and, in one text, characters that end in a backslash
/// (Shift-JIS, GBK, Big5) in `E''`.
pub fn statements(text: &[u8]) -> impl Iterator<Item = Statement<'_>> {
    Statements { strict: Reader::new(text), loose: None, ahead: [None, None] }
}

/// The same in one reading, the server's: for whoever changes what is there, and not what a string
/// says.
pub fn statements_of(text: &[u8], known: Backslashes) -> impl Iterator<Item = Statement<'_>> {
    let mut reader = Reader::new(text);
    reader.lexer.reading = Reading::Known(known);
    std::iter::from_fn(move || reader.next()).map(|found| found.statement)
}

/// Exactly one statement, with one thing to tell about it? White space, comments and `;` around it
/// do not count.
pub fn only(text: &[u8]) -> Option<Statement<'_>> {
    let mut statements = statements(text);
    let first = statements.next()?;
    statements.next().is_none().then_some(first)
}

/// Both readings of a text, merged by their places.
struct Statements<'a> {
    strict: Reader<'a>,
    /// From the first doubtful statement on.
    loose: Option<Reader<'a>>,
    /// The next of the strict reading and of the loose one.
    ahead: [Option<Found<'a>>; 2],
}

/// Something to tell, and the offset of the word that told it.
struct Found<'a> {
    statement: Statement<'a>,
    place: usize,
}

impl<'a> Iterator for Statements<'a> {
    type Item = Statement<'a>;

    fn next(&mut self) -> Option<Statement<'a>> {
        let [strict, loose] = &mut self.ahead;
        if strict.is_none() {
            let before = self.strict;
            *strict = self.strict.next();
            if self.strict.lexer.doubtful && self.loose.is_none() {
                self.loose = Some(before.loosely());
            }
        }
        if loose.is_none() {
            *loose = self.loose.as_mut().and_then(Reader::next);
        }
        let found = match (strict.as_ref(), loose.as_ref()) {
            (Some(a), Some(b)) if b.place < a.place => loose.take(),
            (Some(a), Some(b)) if b.place == a.place => {
                *loose = None;
                strict.take()
            }
            (Some(_), _) => strict.take(),
            (None, _) => loose.take(),
        };
        found.map(|found| found.statement)
    }
}

/// One reading of a text.
#[derive(Clone, Copy)]
struct Reader<'a> {
    /// Behind the last statement.
    lexer: Lexer<'a>,
    /// What of the last statement may still be told.
    inside: Option<Inside<'a>>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a [u8]) -> Reader<'a> {
        Reader { lexer: Lexer::new(text), inside: None }
    }

    fn loosely(mut self) -> Reader<'a> {
        self.lexer.reading = Reading::Loose;
        self
    }

    fn next(&mut self) -> Option<Found<'a>> {
        if let Some(found) = self.rest_of_last() {
            return Some(found);
        }
        let first = loop {
            let token = self.lexer.next()?;
            if token.kind != Kind::Mark(b';') {
                break token;
            }
        };
        let behind = Words(self.lexer);
        let (at, text) = (first.start, self.finish(first));
        self.inside = Inside::new(first, behind, text);
        match heads::head(first, behind) {
            Head::Other => self.rest_of_last().or_else(|| Some(found(Head::Other, at, text))),
            head => Some(found(head, at, text)),
        }
    }

    fn rest_of_last(&mut self) -> Option<Found<'a>> {
        let found = self.inside.as_mut()?.next();
        if found.is_none() {
            self.inside = None;
        }
        found
    }

    /// Reads on to the end of the statement whose first token was just read: its text.
    fn finish(&mut self, first: Token) -> &'a [u8] {
        let mut end = first.end;
        while let Some(token) = self.lexer.next() {
            if token.kind == Kind::Mark(b';') {
                break;
            }
            end = token.end;
        }
        &self.lexer.text[first.start..end]
    }
}

fn found<'a>(head: Head<'a>, at: usize, text: &'a [u8]) -> Found<'a> {
    Found { statement: Statement { head, text, at }, place: at }
}
