//! skeleton
#![allow(missing_docs, dead_code, unused_variables, clippy::todo, reason = "skeleton")]
use crate::backend::TransactionStatus;
use crate::error::Unexpected;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Client,
    Ours(Purpose),
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Rollback,
    Reset,
    Preamble,
    Probe,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Sent {
    Forward,
    Swallow,
    Full,
}
#[derive(Debug)]
pub struct Quiescent(());
pub const OUTSTANDING_MAX: usize = 4096;
#[derive(Clone, Debug, Default)]
pub struct Conversation {}
impl Conversation {
    pub fn new() -> Conversation {
        todo!()
    }
    pub fn sent(&mut self, tag: u8, owner: Owner) -> Result<Sent, Unexpected> {
        todo!()
    }
    pub fn received(&mut self, tag: u8) -> Result<Owner, Unexpected> {
        todo!()
    }
    pub fn ready(&mut self, status: TransactionStatus) -> Result<Owner, Unexpected> {
        todo!()
    }
    pub fn quiescent(&self) -> Option<Quiescent> {
        todo!()
    }
    pub fn settled(&self) -> bool {
        todo!()
    }
    pub fn status(&self) -> TransactionStatus {
        todo!()
    }
    pub fn outstanding(&self) -> usize {
        todo!()
    }
    /// whose answer comes next
    pub fn head(&self) -> Option<Owner> {
        todo!()
    }
    /// the server discards everything until Sync
    pub fn needs_sync(&self) -> bool {
        todo!()
    }
    pub fn is_skipping(&self) -> bool {
        todo!()
    }
    /// batch open: extended messages since the last Sync
    pub fn is_open(&self) -> bool {
        todo!()
    }
    /// client streams COPY data
    pub fn in_copy_in(&self) -> bool {
        todo!()
    }
    /// A failed COPY FROM STDIN left it unknown whether a pipelined Sync will still be answered: no
    /// Quiescent until an answer other than ReadyForQuery (send a Query "" as Probe) settles it.
    pub fn in_doubt(&self) -> bool {
        todo!()
    }
}
