//! The heads of statements: from the first words to a [`Head`]. One row of a table for each first
//! word, one function for each row that needs more words.

use std::borrow::Cow;

use super::Head;
use super::lexer::Token;
use super::words::Words;

type Rule = for<'a> fn(Words<'a>) -> Head<'a>;

/// By the first word.
const RULES: [(&str, Rule); 24] = [
    ("set", set),
    ("reset", reset),
    ("discard", discard),
    ("begin", begin),
    ("start", |words| words.then("transaction", Head::Begin)),
    ("commit", |words| words.unless("prepared", Head::Commit)),
    ("end", |_| Head::Commit),
    ("rollback", rollback),
    ("abort", |_| Head::Rollback),
    ("savepoint", |_| Head::Savepoint),
    ("release", |_| Head::Release),
    ("prepare", prepare),
    ("execute", |mut words| Head::Execute { name: words.name() }),
    ("deallocate", deallocate),
    ("listen", |_| Head::Listen),
    ("unlisten", |_| Head::Unlisten),
    ("declare", |_| Head::Declare),
    ("close", |_| Head::Close),
    ("show", |_| Head::Show),
    ("do", |_| Head::Do),
    ("call", |_| Head::Call),
    ("create", create),
    ("explain", explain),
    ("update", update),
];

/// Settings of the current transaction: they are gone with it, however they are set.
const TRANSACTION: [&[u8]; 3] =
    [b"transaction_isolation", b"transaction_read_only", b"transaction_deferrable"];

/// The head of the statement with this first token and these words behind it.
pub(super) fn head<'a>(first: Token, words: Words<'a>) -> Head<'a> {
    match RULES.iter().find(|(keyword, _)| words.is(first, keyword)) {
        Some((_, rule)) => rule(words),
        None => Head::Other,
    }
}

fn set(mut words: Words<'_>) -> Head<'_> {
    let local = words.take_scope("local");
    if !local && !words.are("session", "authorization") && !words.are("session", "characteristics")
    {
        words.take_scope("session");
    }
    if !local && words.are("session", "characteristics") {
        return Head::SetCharacteristics;
    }
    let names_transaction =
        ["transaction", "constraints"].iter().any(|word| words.take_scope(word));
    let name = if names_transaction { Cow::default() } else { words.setting() };
    match local || names_transaction || TRANSACTION.contains(&&*name) {
        true => Head::SetLocal,
        false => Head::Set { name },
    }
}

fn reset(mut words: Words<'_>) -> Head<'_> {
    if words.take("all") {
        return Head::ResetAll;
    }
    let isolation = words.are("transaction", "isolation");
    let name = words.setting();
    match isolation || TRANSACTION.contains(&&*name) {
        true => Head::SetLocal,
        false => Head::Reset { name },
    }
}

fn discard(mut words: Words<'_>) -> Head<'_> {
    if words.take("all") {
        Head::DiscardAll
    } else if words.take("temp") || words.take("temporary") {
        Head::DiscardTemp
    } else {
        Head::DiscardOther
    }
}

fn begin(mut words: Words<'_>) -> Head<'_> {
    let _ = words.take("work") || words.take("transaction");
    match words.next() {
        None => Head::BeginPlain,
        Some(_) => Head::Begin,
    }
}

fn rollback(mut words: Words<'_>) -> Head<'_> {
    let _ = words.take("work") || words.take("transaction");
    if words.take("prepared") {
        Head::Other
    } else if words.take("to") {
        Head::RollbackTo
    } else {
        Head::Rollback
    }
}

fn prepare(mut words: Words<'_>) -> Head<'_> {
    let mut behind = words;
    if behind.take("transaction") {
        let named = behind.take("as") || behind.take_mark(b'(');
        if !named {
            return Head::PrepareTransaction;
        }
    }
    Head::Prepare { name: words.name() }
}

/// PREPARE may stand in front of the name, or be the name.
fn deallocate(mut words: Words<'_>) -> Head<'_> {
    let mut behind = words;
    if behind.take("prepare") && { behind }.next().is_some() {
        words = behind;
    }
    match words.take("all") {
        true => Head::DeallocateAll,
        false => Head::Deallocate { name: words.name() },
    }
}

fn create(mut words: Words<'_>) -> Head<'_> {
    let _ = words.take("or") && words.take("replace");
    let _ = words.take("global") || words.take("local");
    match words.take("temp") || words.take("temporary") {
        true => Head::CreateTemp,
        false => Head::Other,
    }
}

/// An UPDATE of the list of settings sets those it finds, by a rule of that view.
fn update(words: Words<'_>) -> Head<'_> {
    match words.are_settings() {
        true => Head::SetConfig { name: None, local: None },
        false => Head::Other,
    }
}

fn explain(mut words: Words<'_>) -> Head<'_> {
    words.skip_explain_options();
    match words.next() {
        Some(first) if words.is(first, "create") => create(words),
        Some(first) if words.is(first, "update") => update(words),
        _ => Head::Other,
    }
}
