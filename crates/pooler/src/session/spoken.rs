//! Names of prepared statements in texts: EXECUTE, PREPARE and DEALLOCATE by SQL speak of what a
//! Parse has prepared, too, and get the names that it has at the server. What a DEALLOCATE takes
//! away is gone when the server says so, not when the text is read.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use router::{Interned, Statement, significant_name};
use wire::backend::TransactionStatus;
use wire::conversation::Purpose;
use wire::frame::HEADER_BYTES;
use wire::scan::{self, Backslashes, Gist, Head, Name};

use super::translate::{FRONT_MAX, RESERVED, Translation, statement_query};
use crate::backend::{ALIEN, Changed};
use crate::nonsense::Nonsense;

/// Statements of a client that one text may speak of; it has no others then. A server keeps more
/// than that. As many answers and some need not be awaited in an open batch, where nothing makes a
/// server send what is less than its buffer: 8 KiB are 1,638 answers of 5 bytes.
const NAMES_IN_TEXT_MAX: usize = 256;

/// What decides about backslashes in texts.
const STRINGS_HANG_ON: [&[u8]; 2] = [b"standard_conforming_strings", b"client_encoding"];

/// A change of a text: bytes of it, and what stands there at the server.
pub(super) type Edit = (Range<usize>, Vec<u8>);
/// Changes of a text, in their order.
pub(super) type Edits = Vec<Edit>;

/// A name of a prepared statement in a text.
pub(super) struct Spoken<'t> {
    name: Name<'t>,
    /// The number of its statement in the text.
    number: usize,
    verb: Verb,
}

impl Spoken<'_> {
    /// It ends before this byte of the text.
    pub(super) fn ends_before(&self, byte: usize) -> bool {
        self.name.range.end < byte
    }
}

/// What is said of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Execute,
    /// That a name is taken the server shall say.
    Prepare,
    Deallocate,
}

/// What the names of one text have meant so far.
#[derive(Default)]
struct Met {
    /// Different statements, by their numbers.
    statements: BTreeSet<u64>,
    /// Names that the text has taken away.
    gone: Vec<Box<[u8]>>,
}

impl Met {
    /// May the next name of the text mean this statement?
    fn takes(&mut self, name: &[u8], statement: &Interned) -> bool {
        if self.gone.iter().any(|gone| **gone == *significant_name(name)) {
            return false;
        }
        let has_room = self.statements.len() < NAMES_IN_TEXT_MAX;
        self.statements.contains(&statement.number())
            || (has_room && self.statements.insert(statement.number()))
    }
}

/// The names of prepared statements in a text, in their order.
pub(super) fn names_in(text: &[u8], known: Backslashes) -> Vec<Spoken<'_>> {
    let mut names = Vec::new();
    let mut places = BTreeSet::new();
    for statement in scan::statements_of(text, known) {
        places.insert(statement.at);
        let number = places.len() - 1;
        let (name, verb) = match statement.head {
            Head::Deallocate { name } => (name, Verb::Deallocate),
            Head::Execute { name } => (name, Verb::Execute),
            Head::Prepare { name } => (name, Verb::Prepare),
            _ => continue,
        };
        names.push(Spoken { name, number, verb });
    }
    names
}

/// The name in a prepared statement, if it speaks of one: a Parse takes one statement.
fn name_in(gist: &Gist) -> Option<Spoken<'_>> {
    gist.parts().iter().filter(|part| part.first).find_map(|part| {
        let (name, verb) = match &part.head {
            Head::Deallocate { name } => (name, Verb::Deallocate),
            Head::Execute { name } => (name, Verb::Execute),
            Head::Prepare { name } => (name, Verb::Prepare),
            _ => return None,
        };
        let name = Name { range: name.range.clone(), folded: Cow::Borrowed(&name.folded) };
        Some(Spoken { name, number: 0, verb })
    })
}

/// The name that a text takes away, if that is all it does.
fn deallocated(gist: &Gist) -> Option<&[u8]> {
    match gist.only()? {
        Head::Deallocate { name } => Some(&name.folded),
        _ => None,
    }
}

impl Translation<'_> {
    /// Names of shared statements in a text: DEALLOCATE and EXECUTE by SQL speak of what a Parse
    /// has prepared, too. What is to be changed for the server.
    pub(super) fn renamed(
        &mut self,
        names: &[Spoken<'_>],
        purpose: Purpose,
    ) -> Result<Edits, Nonsense> {
        let mut edits = Edits::with_capacity(names.len());
        let mut met = Met::default();
        for spoken in names {
            let new = self.name_at_server(spoken, &mut met, purpose)?;
            edits.extend(new.map(|new| (spoken.name.range.clone(), new)));
        }
        Ok(edits)
    }

    /// The text with these changes, for who is told of places in it; None if there are none.
    pub(super) fn changed(
        &self,
        text: &[u8],
        edits: &Edits,
        names: &[Spoken<'_>],
    ) -> Option<Box<Changed>> {
        let wide = self.own.speaks_utf8();
        let mut changed = (!edits.is_empty()).then(|| Changed::new(text, edits, wide))?;
        for Spoken { name, number, .. } in names {
            changed.speaks(*number, &name.folded);
        }
        Some(Box::new(changed))
    }

    /// Changes the text in the message ahead, which begins `text_at` bytes into its body. Returns
    /// the length of the message now.
    pub(super) fn amend(&mut self, edits: &Edits, text_at: usize) -> usize {
        self.passage.amend_all(HEADER_BYTES + text_at, edits)
    }

    /// The client's unnamed statement in the server's words; its body behind the name.
    pub(super) fn unnamed_renamed(&mut self, mut body: Vec<u8>) -> Result<Vec<u8>, Nonsense> {
        let text = statement_query(&body);
        let mut names = names_in(text, self.own.backslashes());
        names.truncate(1); // a Parse takes one statement
        let edits = self.renamed(&names, Purpose::Statement)?;
        self.core.holdings.unnamed_changed = self.changed(text, &edits, &names);
        for (range, new) in edits.into_iter().rev() {
            body.splice(range, new);
        }
        Ok(body)
    }

    /// A shared statement that the message ahead binds or describes, as the server is to know it:
    /// `EXECUTE x` and the like speak of what the client calls so now, which is another text for
    /// each that it may mean. The server has it when the message comes.
    pub(super) fn in_servers_words(
        &mut self,
        statement: Interned,
        binds: bool,
    ) -> Result<Interned, Nonsense> {
        let name = name_in(statement.gist());
        if binds {
            self.foresee_deallocate(statement.gist());
        }
        let edits = self.renamed(name.as_slice(), Purpose::Statement)?;
        if edits.is_empty() {
            return Ok(statement);
        }
        self.effort_bytes += statement.body().len();
        let mut body = statement.body().to_vec();
        for (range, new) in edits.into_iter().rev() {
            body.splice(range, new);
        }
        let statement = self.statements.intern(&body);
        self.supply(&statement, Purpose::Statement)?;
        Ok(statement)
    }

    /// Must answers come first, before it is known what the text of the client's statement `name`
    /// speaks of, or before there is room for that, for the statement, and for it in the server's
    /// words?
    pub(super) fn awaits_inside(&mut self, name: &[u8]) -> bool {
        if !self.own.manner.shares_statements {
            return false;
        }
        let unnamed = self.own.unnamed_gist().filter(|_| name.is_empty());
        let named = self.own.names.get(name).filter(|_| !name.is_empty()).cloned();
        let gist = unnamed.as_deref().or_else(|| named.as_deref().map(Statement::gist));
        let name = gist.and_then(name_in);
        name.is_some()
            && (self.core.conversation.room() <= FRONT_MAX * 3 || self.awaits_any(name.as_slice()))
    }

    /// What a name in a text is called at the server, if not so.
    fn name_at_server(
        &mut self,
        spoken: &Spoken<'_>,
        met: &mut Met,
        purpose: Purpose,
    ) -> Result<Option<Vec<u8>>, Nonsense> {
        let name = &*spoken.name.folded;
        if name.is_empty() {
            // Written with escapes: it may be one of ours.
            (self.core.holdings.equipped, self.core.holdings.doubtful) = (false, true);
        } else if name.starts_with(RESERVED) {
            return Ok(Some([b"\"", ALIEN, name, b"\""].concat()));
        }
        let known = self.own.names.get(name).filter(|_| self.own.manner.shares_statements);
        // In a failed transaction nothing is prepared; but the text may end it.
        let failed = self.core.conversation.status() == TransactionStatus::Failed;
        let known = known.filter(|known| !failed || self.core.holdings.prepared.has(known));
        let found = match known.is_some_and(|known| met.takes(name, known)) {
            true => self.ensure(name, purpose)?,
            false => None,
        };
        let deallocates = spoken.verb == Verb::Deallocate;
        if deallocates && purpose == Purpose::Query {
            let shared = found.clone().map(|statement| (significant_name(name).into(), statement));
            self.core.holdings.foresee_deallocate(shared);
        }
        let Some(statement) = found else { return Ok(None) };
        if purpose == Purpose::Statement {
            self.own.speak_in_text(name); // a query is known by its own text
        }
        if deallocates {
            met.gone.push(significant_name(name).into());
        }
        Ok(Some(statement.name().to_vec()))
    }

    /// The unnamed statement is about to be executed: the name it takes away.
    pub(super) fn foresee_deallocate(&mut self, gist: &Gist) {
        if let Some(name) = deallocated(gist) {
            let name = significant_name(name);
            let known = self.own.names.get(name).cloned();
            let shared = known.map(|statement| (name.into(), statement));
            self.core.holdings.foresee_deallocate(shared);
        }
    }

    /// Must answers come first, before it is known what this text says of these names, or before
    /// there is room for what it needs?
    pub(super) fn awaits_names(&mut self, names: &[Spoken<'_>], text: &[u8]) -> bool {
        !self.has_room_for(names) || self.awaits_any(names) || self.awaits_strings(text)
    }

    /// Must answers come first, before it is known what is a string in this text?
    fn awaits_strings(&self, text: &[u8]) -> bool {
        let touched = &self.core.holdings.touched;
        let decides = |name: &&[u8]| touched.all() || touched.is_named(name);
        let conversation = &self.core.conversation;
        let under_way = conversation.outstanding() > 0 && !conversation.is_open();
        under_way && text.contains(&b'\\') && STRINGS_HANG_ON.iter().any(decides)
    }

    /// Must answers come first, before it is known what one of these names means?
    fn awaits_any(&mut self, names: &[Spoken<'_>]) -> bool {
        self.effort_bytes += names.len() * self.core.holdings.noted();
        let written = |name: &&[u8]| !name.is_empty(); // an empty one is written with escapes
        let mut names = names.iter().map(|spoken| &*spoken.name.folded).filter(written);
        names.any(|name| self.awaits(name, false) || self.awaits_status(name))
    }

    /// Can the server be given this statement? Not in a failed transaction, and whether it comes to
    /// be in one is not known yet.
    fn awaits_status(&self, name: &[u8]) -> bool {
        let lacks = |known| !self.core.holdings.prepared.has(known);
        self.core.conversation.status_may_change() && self.own.names.get(name).is_some_and(lacks)
    }

    /// Is there room for all that a text with these names may need in front? Nothing has changed
    /// if not.
    fn has_room_for(&self, names: &[Spoken<'_>]) -> bool {
        let known = |spoken: &&Spoken<'_>| self.own.names.get(&spoken.name.folded).is_some();
        let known = names.iter().filter(known).count().clamp(1, NAMES_IN_TEXT_MAX);
        self.core.conversation.room() > FRONT_MAX * known
    }
}
