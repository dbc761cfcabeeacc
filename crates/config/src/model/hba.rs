//! The lines of `hba_file`.

use std::path::PathBuf;

use super::{AddressSelector, ConnectionType};

/// The file: the first line that fits decides, and nobody whom none fits is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hba {
    /// Where it was found.
    pub path: PathBuf,
    /// In file order.
    pub lines: Vec<HbaLine>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HbaLine {
    /// From 1.
    pub number: usize,
    /// Over what a client comes; never `Any`.
    pub connection: ConnectionType,
    /// Which databases it asks for.
    pub databases: Vec<HbaName>,
    /// As whom.
    pub users: Vec<HbaName>,
    /// From where.
    pub address: AddressSelector,
    /// Whether it may come in, or else must not.
    pub allows: bool,
}

/// A database or a user of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HbaName {
    /// Whatever it is.
    All,
    /// The database that has the user's name.
    SameUser,
    /// Any database, asked for to replicate all of its server.
    Replication,
    /// A member of this group, who came in as one.
    Group(String),
    /// Exactly this one.
    Named(String),
}
