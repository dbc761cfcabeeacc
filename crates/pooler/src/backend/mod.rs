//! Backends: our connections to servers, from the greeting to the pool and back. The pool decides
//! (`router::Pool`), this module does: opens, leases, resets, cancels, closes. It does not know
//! what clients send.

mod cancel;
mod changed;
mod choice;
mod column;
mod credentials;
mod greet;
mod holdings;
mod home;
mod inflow;
mod interview;
mod lease;
mod open;
mod picture;
mod recover;
mod secure;
mod shut;
mod suspicion;
mod touched;
mod unnamed;
mod upkeep;
mod waiting;

use std::sync::Arc;
use std::time::Instant;

use machine::{Address, Notifier, Parcel, Stream};
use wire::conversation::Conversation;
use wire::startup::CancelKey;

use crate::id::Id;

pub use cancel::{forward, forward_here};
pub use changed::Changed;
pub use column::Column;
pub use credentials::{Credentials, Shown};
pub use holdings::{Asking, Finding, Holdings, Op, Refusal};
pub use home::{Checkout, Home, NoServer, Route, Routes, Stay};
pub use inflow::{ALIEN, Ear, Event, Inflow, OUTDATED, words};
pub use interview::{Answers, Silence};
pub use lease::Lease;
pub use open::{OpenFailure, Own};
pub use picture::{LastPicture, Picture};
pub use recover::Leftover;
pub use secure::Secured;
pub use suspicion::Suspicion;
pub use touched::{Reset, Touched};
pub use unnamed::{Before, Unnamed, Which};

/// What a canceller needs: where the server listens, and the key it gave us.
#[derive(Debug)]
pub struct Target {
    /// The server's address.
    pub address: Address,
    /// The server's own cancel key.
    pub key: CancelKey,
    /// Its TLS, if it speaks that.
    pub secured: Option<Secured>,
    /// `s…`, of the server.
    pub id: Id,
    /// Our end of the connection.
    pub local: Address,
    /// How its TLS is spoken; None: it is not.
    pub tls: Option<Box<str>>,
}

/// A server in somebody's hands on this machine.
pub struct Server {
    /// The connection.
    pub stream: Stream,
    /// What travels with the server through the pool.
    pub core: Box<Core>,
}

/// A server in the pool: a value that may change machines.
pub struct IdleServer {
    parcel: Parcel,
    core: Box<Core>,
}

/// The part of a server that is not its socket.
pub struct Core {
    /// `s…`, in log lines and errors.
    pub id: Id,
    /// Where and how to cancel.
    pub target: Arc<Target>,
    /// What was said and what is owed.
    pub conversation: Conversation,
    /// It said that it ends while it owed nothing: nobody gets it any more.
    pub dying: bool,
    /// What it said proves that it is not in the state that it shows: no other client gets it.
    pub unfit: Option<&'static str>,
    /// What it holds of its clients.
    pub holdings: Holdings,
    /// When the connection was made, for `server_lifetime`.
    pub born: Instant,
    /// When somebody gave it back last.
    pub returned: Instant,
}

/// The waker the pool keeps for a waiting client.
pub type Waker = Notifier;

impl Server {
    /// A polite end: Terminate, so that the server's log shows no lost connection.
    fn say_goodbye(self) {
        let mut bytes = Vec::with_capacity(5);
        wire::encode::terminate(&mut bytes);
        let _ = self.stream.try_write(&bytes);
    }

    /// Folds the server up, so that it may leave this machine; `home` hears what happens to it
    /// meanwhile.
    fn fold_watched(self, home: Arc<Home>, key: u64) -> IdleServer {
        IdleServer { parcel: self.stream.fold_watched(home, key), core: self.core }
    }
}

impl IdleServer {
    /// Back into somebody's hands, on this machine.
    fn unfold(self) -> Result<Server, machine::Error> {
        Ok(Server { stream: self.parcel.unfold()?, core: self.core })
    }
}
