//! What goes into a pool's decisions and what comes out of them: plain values. It decides nothing.

use std::time::{Duration, Instant};

use crate::queue::Ticket;
use crate::refusal::Refusal;
use crate::slot::{SlotKey, State};
use crate::stats::Counts;

/// A client of the process; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// How much of everything a pool may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Servers; `None`: as many as clients want.
    pub size: Option<usize>,
    /// Servers kept open though nobody needs them.
    pub min: usize,
    /// Clients waiting; who comes when the queue is full is refused.
    pub waiters_max: usize,
    /// An idle server is closed after this time without use.
    pub ttl: Option<Duration>,
    /// A server is closed at this age, as soon as nobody uses it.
    pub lifetime: Option<Duration>,
}

/// Who asks for a server.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// The client that will hold it.
    pub client: ClientId,
    /// The machine on which the client runs.
    pub machine: usize,
    /// The server it had last, whose settings are its own already.
    pub last: Option<SlotKey>,
}

/// The answer to a checkout.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the slot is held, or the client queued, until this is acted upon"]
pub enum Checkout<S> {
    /// It is yours at once.
    Granted(Grant<S>),
    /// Wait until the waker is returned by some call, then `claim`; or `give_up`.
    Wait(Ticket),
    /// No.
    Refuse(Refusal),
}

/// What a client was granted, at once or after a wait.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the slot is held until this is acted upon"]
pub enum Grant<S> {
    /// Use this server; the slot is `Leased`.
    Take(SlotKey, S),
    /// Connect a server, then `opened` or `lost`; the slot is `Opening`.
    Open(SlotKey),
}

/// The answer to a claim.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the slot is held until this is acted upon"]
pub enum Claim<S> {
    /// The ticket is used up; this is yours.
    Granted(Grant<S>),
    /// Nothing yet; the ticket stays valid.
    Pending,
    /// The ticket was claimed or given up before.
    Stale,
}

/// The answer to a waiter that leaves; the ticket is used up.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a grant that came first is still held"]
pub enum GaveUp<S> {
    /// It left in time.
    Left,
    /// The grant came first: use it, or `checkin` the server, or report the slot `lost`.
    Granted(Grant<S>),
    /// The ticket was claimed or given up before.
    Stale,
}

/// What became of a server that came back.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "somebody may have to be woken or closed"]
pub enum Checkin<S, W> {
    /// It is idle.
    Parked,
    /// It was handed to a waiter: wake it.
    Wake(W),
    /// A cancel may still hit it; it serves nobody until the last `cancel_done`.
    Quarantined,
    /// Close it: the slot is free, and was given to a waiter if there is one to wake.
    Close(S, Option<W>),
    /// The key names an earlier server of the slot: close this one.
    Stale(S),
}

impl<S, W> Checkin<S, W> {
    /// Whom to wake, for who has nothing else to do; a server that must be closed is dropped.
    pub fn waiter(self) -> Option<W> {
        match self {
            Checkin::Wake(waiter) => Some(waiter),
            Checkin::Close(_, waiter) => waiter,
            Checkin::Parked | Checkin::Quarantined | Checkin::Stale(_) => None,
        }
    }
}

/// One slot, for those who only look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotView {
    /// Its key.
    pub slot: SlotKey,
    /// What it is doing.
    pub state: State,
    /// Whose hands it is in.
    pub holder: Option<ClientId>,
    /// The machine of an idle or quarantined server.
    pub home: Option<usize>,
    /// When the server was opened; `None` while opening.
    pub born: Option<Instant>,
    /// When an idle server became idle.
    pub idle_since: Option<Instant>,
    /// When its holder got it.
    pub leased_since: Option<Instant>,
    /// Cancels in flight.
    pub cancels: u32,
    /// The server is closed when nobody uses it.
    pub is_closing: bool,
}

/// Where the servers of a pool are, for those who got none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Slots by state, and who waits.
    pub counts: Counts,
    /// Some of the clients that have a server in their hands: a few names for a message, however
    /// large the pool is.
    pub holders: Vec<ClientId>,
    /// Servers of all pools of its `shared_pool`, and how many there may be.
    pub shared: Option<(usize, usize)>,
    /// Logins under way to the storage and how many may be, when that is what clients wait for.
    pub logins: Option<(usize, usize)>,
    /// The servers said that they take no more.
    pub is_shut: bool,
    /// An operator paused the pool.
    pub is_paused: bool,
}
