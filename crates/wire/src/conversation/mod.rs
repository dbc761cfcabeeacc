//! The conversation: what one server connection still owes, and to whom. *The* protocol state
//! machine: it knows type bytes and the status of ReadyForQuery, never a body, and does no I/O.
//!
//! It is a FIFO of expected answers, because PostgreSQL answers in order and clients pipeline. The
//! obvious wrong implementation is a bool "in flight", set by a request and cleared by
//! ReadyForQuery: with two queries under way the first ReadyForQuery clears it, the server goes to
//! another client, and that client reads the answer to a query it never sent (`tests.rs` keeps that
//! bool and shows it happen). A counter is wrong as well: a failed Parse takes the answers to all
//! messages up to the next Sync with it, and COPY FROM STDIN swallows Syncs.
//!
//! ```text
//!            Parse Bind Describe Execute Close              ErrorResponse, no Sync under way
//!  Closed ────────────────────────────────────▶ Open ──────────────────────────────▶ Skipping
//!     ▲  ◀───── Sync, Query, FunctionCall ───────┘                                       │
//!     └──────────────────────────────── Sync ────────────────────────────────────────────┘
//! ```

mod table;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::backend::TransactionStatus;
use crate::error::Unexpected;
use crate::frame::Side;
use crate::tag::{backend, frontend};
use table::{Kind, Stage, Step};

/// How many answers may be outstanding.
///
/// Waiting at this bound cannot deadlock: a server that has read everything has sent something, and
/// each answer makes room. Behind a Sync, a Query or a FunctionCall it flushes. In an open batch at
/// least every second entry owes an answer (see `copy_ended`) of at least 5 bytes, 10 KiB in all,
/// and it flushes whenever its 8 KiB of output are full.
pub const OUTSTANDING_MAX: usize = 4096;

/// For whom a request was made, and so who gets its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The client: pass it on.
    Client,
    /// The pooler itself: swallow it.
    Ours(Purpose),
}

/// What the pooler asked for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Ends a transaction its client left.
    Rollback,
    /// Makes a used server like new.
    Reset,
    /// Settings a client's message needs in front. If they fail the client's message is not done.
    Preamble,
    /// A statement a client's message needs in front; its failure is that of the message.
    Statement,
    /// A statement a client's simple query needs in front: should it fail, a Sync is missing.
    Query,
    /// Ends what a failed preamble began; then the client may be told that it is idle again.
    Excuse,
    /// What a client left in its server: settings, temporary tables, locks.
    Inquiry,
    /// Finds out whether the server is alive, or settles a doubt.
    Probe,
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Sent {
    /// Send it to the server.
    Forward,
    /// Do not: the server would ignore it.
    Swallow,
    /// Send it, and nothing comes of it: the server throws away all before the next Sync.
    Void,
    /// [`OUTSTANDING_MAX`] answers are due; nothing was noted. Read answers and ask again.
    Full,
}

/// Proof that a server owes nothing to anybody and is in no transaction. Only
/// [`Conversation::quiescent`] makes one.
///
/// ```compile_fail
/// let forged = wire::Quiescent(());
/// ```
#[derive(Debug)]
#[must_use]
pub struct Quiescent(());

/// Is there a batch of extended messages that only a Sync ends?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batch {
    /// No: the last request was a Sync, a Query or a FunctionCall.
    Closed,
    /// Yes: extended messages were sent since.
    Open,
    /// Yes, and it failed: the server throws away whatever comes before a Sync.
    Skipping,
}

/// What a message of the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Whose.
    pub owner: Owner,
    /// What it says about requests whose fate somebody wants to know.
    pub noted: Noted,
}

/// The fate of requests sent with [`Conversation::sent_noted`], in the order in which they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// Nothing new.
    Nothing,
    /// The oldest one is done.
    Done,
    /// Some, the oldest first, failed or were skipped.
    Lost {
        /// How many.
        count: usize,
        /// The oldest of them is what failed; else all were skipped.
        failed: bool,
    },
}

/// An answer the server owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    kind: Kind,
    owner: Owner,
    /// Somebody wants to know what became of it.
    noted: bool,
}

/// The state of one server connection that has been let in. See the module.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// Oldest first, at most [`OUTSTANDING_MAX`]; no heap before the first request. Its head is
    /// never a `CopyEnd`.
    expected: VecDeque<Entry>,
    /// How far the answer to the head has come; `Untouched` when there is no head.
    stage: Stage,
    batch: Batch,
    status: TransactionStatus,
    /// Syncs behind the head that its COPY FROM STDIN swallowed, should it get as far as to read.
    swallowed: usize,
    /// ReadyForQueries that may or may not come: a COPY FROM STDIN failed, and nobody can see
    /// whether it had read the Syncs behind it or will answer them.
    doubt: usize,
    /// Something was answered since the last ReadyForQuery.
    moved: bool,
    /// See [`Conversation::is_out_of_step`].
    out_of_step: bool,
}

impl Default for Conversation {
    fn default() -> Conversation {
        Conversation::new()
    }
}

impl Conversation {
    /// Behind the ReadyForQuery that ends startup.
    pub fn new() -> Conversation {
        Conversation {
            expected: VecDeque::new(),
            stage: Stage::Untouched,
            batch: Batch::Closed,
            status: TransactionStatus::Idle,
            swallowed: 0,
            doubt: 0,
            moved: false,
            out_of_step: false,
        }
    }

    /// A request is about to be sent. To be called before its first byte is written.
    #[inline]
    pub fn sent(&mut self, tag: u8, owner: Owner) -> Result<Sent, Unexpected> {
        self.enter(tag, owner, false)
    }

    /// As [`Conversation::sent`] for an extended message whose fate is to be told: see [`Noted`].
    /// Only what is answered `Forward` is noted.
    #[inline]
    pub fn sent_noted(&mut self, tag: u8, owner: Owner) -> Result<Sent, Unexpected> {
        debug_assert!(Kind::of_request(tag).is_some_and(Kind::is_extended), "only those may fail");
        self.enter(tag, owner, true)
    }

    #[inline]
    fn enter(&mut self, tag: u8, owner: Owner, noted: bool) -> Result<Sent, Unexpected> {
        match (self.stage, tag) {
            (_, frontend::COPY_DATA | frontend::TERMINATE) => return Ok(Sent::Forward),
            (_, frontend::COPY_DONE | frontend::COPY_FAIL) => return Ok(self.copy_ended(owner)),
            // The server ignores both until the data ends. Sent, a Sync would race with an error:
            // read before it, it brings nothing, read after it, a ReadyForQuery.
            (Stage::CopyIn, frontend::FLUSH | frontend::SYNC) => return Ok(Sent::Swallow),
            (Stage::CopyIn | Stage::CopyBoth, _) => {
                return Err(self.unexpected(Side::Frontend, tag));
            }
            (_, frontend::FLUSH) => return Ok(Sent::Forward),
            _ => {}
        }
        let Some(kind) = Kind::of_request(tag) else {
            return Err(self.unexpected(Side::Frontend, tag));
        };
        if self.batch == Batch::Skipping && kind != Kind::Sync {
            return match self.doubt {
                0 => Ok(Sent::Void),
                // Skipped or obeyed? That hangs on the Sync nobody knows the fate of.
                _ => Err(self.unexpected(Side::Frontend, tag)),
            };
        }
        if self.expected.len() >= OUTSTANDING_MAX {
            return Ok(Sent::Full);
        }
        self.expected.push_back(Entry { kind, owner, noted });
        self.batch = if kind.is_extended() { Batch::Open } else { Batch::Closed };
        Ok(Sent::Forward)
    }

    /// CopyDone or CopyFail. Outside a COPY the server ignores it, but a COPY may be what comes of
    /// a request under way: then it must be known that its data has ended already.
    fn copy_ended(&mut self, owner: Owner) -> Sent {
        match (self.stage, self.expected.back()) {
            (Stage::CopyIn, _) => self.stage = Stage::CopyInEnded,
            (Stage::CopyBoth, _) => self.stage = Stage::CopyBothEnded,
            (_, None) => {}
            // An Execute runs one COPY at most, so this is a stray. Markers owe nothing: a row of
            // them behind answers that nothing flushes could fill the FIFO for ever.
            (_, Some(last)) if last.kind == Kind::CopyEnd && self.batch == Batch::Open => {}
            _ if self.expected.len() >= OUTSTANDING_MAX => return Sent::Full,
            _ => self.expected.push_back(Entry { kind: Kind::CopyEnd, owner, noted: false }),
        }
        Sent::Forward
    }

    /// A message came, any but ReadyForQuery: whose is it?
    #[inline]
    pub fn received(&mut self, tag: u8) -> Result<Heard, Unexpected> {
        self.moved |= !table::is_unasked(tag);
        let Some(&head) = self.expected.front() else {
            let owner = self.received_unasked(tag)?;
            return Ok(Heard { owner, noted: Noted::Nothing });
        };
        let mut noted = Noted::Nothing;
        if let Some(step) = table::step(head.kind, self.stage, tag) {
            // What this head brings comes behind everything the server made of earlier requests.
            self.doubt = 0;
            match step {
                Step::Stay(stage) => self.stage = stage,
                Step::CopyIn => self.copy_began(head)?,
                Step::Done => {
                    self.pop();
                    if head.noted {
                        noted = Noted::Done;
                    }
                }
            }
            return Ok(Heard { owner: head.owner, noted });
        }
        match tag {
            backend::ERROR_RESPONSE => noted = self.failed(head)?,
            _ if table::is_unasked(tag) => {}
            _ => return Err(self.unexpected(Side::Backend, tag)),
        }
        Ok(Heard { owner: head.owner, noted })
    }

    /// With nothing outstanding, errors (57P01 and the like) and asynchronous messages only.
    #[cold]
    fn received_unasked(&mut self, tag: u8) -> Result<Owner, Unexpected> {
        match tag {
            backend::ERROR_RESPONSE => Ok(Owner::Client),
            _ if table::is_unasked(tag) => Ok(Owner::Client),
            _ => Err(self.unexpected(Side::Backend, tag)),
        }
    }

    /// CopyInResponse: the server reads COPY data now. It ignores the Syncs that are under way,
    /// and takes any other request for a fatal error, unless the COPY fails before.
    fn copy_began(&mut self, head: Entry) -> Result<(), Unexpected> {
        let behind = || self.expected.iter().skip(1);
        let syncs = behind().take_while(|entry| entry.kind == Kind::Sync).count();
        let ended = match behind().nth(syncs).map(|entry| entry.kind) {
            None => false,
            Some(Kind::CopyEnd) => true,
            Some(_) => {
                let (side, tag) = (Side::Backend, backend::COPY_IN_RESPONSE);
                let state = "with a request sent behind COPY FROM STDIN";
                return Err(Unexpected { side, tag, state });
            }
        };
        self.expected.drain(..1 + syncs + usize::from(ended));
        let is_marker = |entry: &Entry| entry.kind == Kind::CopyEnd;
        if head.kind == Kind::Execute && self.expected.iter().all(is_marker) {
            self.batch = Batch::Open; // its Sync counts for nothing
        }
        self.expected.push_front(head);
        self.stage = if ended { Stage::CopyInEnded } else { Stage::CopyIn };
        self.swallowed = syncs;
        Ok(())
    }

    /// ErrorResponse for the head. What is skipped with it is lost.
    fn failed(&mut self, head: Entry) -> Result<Noted, Unexpected> {
        let copying = matches!(self.stage, Stage::CopyIn | Stage::CopyInEnded);
        let doubt = if copying { self.swallowed } else { 0 };
        if head.kind == Kind::Sync {
            self.stage = Stage::Failed;
            return Ok(Noted::Nothing);
        }
        if !head.kind.is_extended() {
            self.doubt = doubt; // an older one is settled, as in `received`
            self.stage = Stage::Failed;
            return Ok(Noted::Nothing);
        }
        let sync = self.expected.iter().position(|entry| entry.kind == Kind::Sync);
        let skipped = sync.unwrap_or(self.expected.len());
        let is_request = |entry: &Entry| entry.kind != Kind::CopyEnd;
        if doubt > 0 && self.expected.range(1..skipped).any(is_request) {
            let (side, tag) = (Side::Backend, backend::ERROR_RESPONSE);
            let state = "with a Sync and requests sent behind COPY FROM STDIN";
            return Err(Unexpected { side, tag, state }); // skipped, or obeyed behind that Sync?
        }
        self.doubt = doubt;
        self.stage = Stage::Untouched;
        let lost = self.expected.drain(..skipped).filter(|entry| entry.noted).count();
        if sync.is_none() {
            self.batch = Batch::Skipping;
        }
        let failed = head.noted;
        Ok(if lost > 0 { Noted::Lost { count: lost, failed } } else { Noted::Nothing })
    }

    fn pop(&mut self) {
        self.expected.pop_front();
        self.stage = Stage::Untouched;
        while self.expected.pop_front_if(|entry| entry.kind == Kind::CopyEnd).is_some() {}
    }

    /// ReadyForQuery came: whose is it?
    #[inline]
    pub fn ready(&mut self, status: TransactionStatus) -> Result<Owner, Unexpected> {
        let owner = match self.expected.front() {
            Some(head) if table::ends(head.kind, self.stage) => {
                let owner = head.owner;
                let changes = !self.moved && self.status != status;
                self.out_of_step |= changes && head.kind == Kind::Sync;
                self.pop();
                owner
            }
            head if self.doubt > 0 => {
                self.doubt -= 1;
                if head.is_none() {
                    self.batch = Batch::Closed; // the Sync was answered, so nothing is skipped
                }
                Owner::Client
            }
            _ => return Err(self.unexpected(Side::Backend, backend::READY_FOR_QUERY)),
        };
        (self.status, self.moved) = (status, false);
        Ok(owner)
    }

    /// Did a Sync with nothing in front of it change the transaction's status? No server does that
    /// which knows its own: PostgreSQL 18, behind a Query in an open batch, says that a transaction
    /// is over that it is still in, and the next request fails for it.
    #[inline]
    pub fn is_out_of_step(&self) -> bool {
        self.out_of_step
    }

    /// Proof that the server owes nothing, is in no batch, no COPY, no transaction and no doubt.
    pub fn quiescent(&self) -> Option<Quiescent> {
        let idle = self.status == TransactionStatus::Idle;
        (idle && self.settled() && !self.in_doubt()).then_some(Quiescent(()))
    }

    /// Nothing outstanding and the batch closed; there may be a transaction open.
    #[inline]
    pub fn settled(&self) -> bool {
        self.expected.is_empty() && self.batch == Batch::Closed
    }

    /// What the last ReadyForQuery said; nothing else says it.
    #[inline]
    pub fn status(&self) -> TransactionStatus {
        self.status
    }

    /// May what is sent next meet another status than [`Conversation::status`] says? A request is
    /// under way whose end tells.
    pub fn status_may_change(&self) -> bool {
        let tells = |entry: &Entry| !entry.kind.is_extended() && entry.kind != Kind::CopyEnd;
        self.in_doubt() || self.expected.iter().any(tells)
    }

    /// How many answers are due, at most [`OUTSTANDING_MAX`].
    #[inline]
    pub fn outstanding(&self) -> usize {
        self.expected.len()
    }

    /// Whose answer comes next; `None` when nothing is outstanding.
    #[inline]
    pub fn head(&self) -> Option<Owner> {
        self.expected.front().map(|entry| entry.owner)
    }

    /// A simple query is being answered, or the next to be.
    #[inline]
    pub fn is_at_query(&self) -> bool {
        self.expected.front().is_some_and(|entry| entry.kind == Kind::Query)
    }

    /// How many more requests may be sent before answers must be read.
    #[inline]
    pub fn room(&self) -> usize {
        OUTSTANDING_MAX - self.expected.len()
    }

    /// Were extended messages sent that no Sync has ended (and that have not failed)?
    pub fn is_open(&self) -> bool {
        self.batch == Batch::Open
    }

    /// Does the server throw away everything before the next Sync, which has not been sent? Nothing
    /// else brings it back.
    pub fn is_skipping(&self) -> bool {
        self.batch == Batch::Skipping
    }

    /// Does the server wait for COPY data whose end has not been sent?
    pub fn in_copy_in(&self) -> bool {
        self.stage == Stage::CopyIn
    }

    /// May a ReadyForQuery still come that nobody waits for? A COPY FROM STDIN of an Execute with
    /// a Sync right behind it failed: if it failed before it read the Sync (a trigger, a
    /// time-out), the Sync will be answered, else it was swallowed, and from here both look alike.
    /// The first other answer settles it: to keep the server, send `Query ""` as a `Probe`.
    pub fn in_doubt(&self) -> bool {
        self.doubt > 0
    }

    #[cold]
    fn unexpected(&self, side: Side, tag: u8) -> Unexpected {
        let state = match (self.expected.front(), self.batch) {
            (Some(head), _) => table::describe(head.kind, self.stage),
            (None, Batch::Closed) => "when nothing is outstanding",
            (None, Batch::Open) => "between the messages of a batch",
            (None, Batch::Skipping) => "when the server skips to the next Sync",
        };
        Unexpected { side, tag, state }
    }
}
