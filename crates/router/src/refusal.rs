//! A refusal: why the policy says no. It knows limits and names, and refuses to know SQLSTATEs,
//! severities or how a client is told.

use std::fmt;
use std::time::Duration;

use crate::pool::Census;

/// Whose `client_max` was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole process.
    Global,
    /// One route: rule, backend database and backend user.
    Route,
}

/// Why a client gets no route, no place or no server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No rule matches what the client asked for.
    NoRoute {
        /// The database the client named.
        database: String,
        /// The user the client named.
        user: String,
    },
    /// The matching rule says `authentication block`.
    Blocked {
        /// The database the client named.
        database: String,
        /// The user the client named.
        user: String,
    },
    /// An operator disabled the database.
    Disabled {
        /// Its name at the server.
        database: String,
    },
    /// As many clients as allowed are here already.
    ClientMax {
        /// Whose limit it is.
        scope: Scope,
        /// The limit, in clients.
        limit: usize,
    },
    /// As many routes as allowed exist and none could be collected.
    RoutesFull {
        /// The limit, in routes.
        limit: usize,
    },
    /// As many clients as allowed wait for a server of this pool already.
    WaitersFull {
        /// The limit, in waiting clients.
        limit: usize,
    },
    /// No server came free in time.
    PoolTimeout {
        /// Servers the pool may have; `None` when it has no limit.
        size: Option<usize>,
        /// How long the client waited.
        waited: Duration,
        /// Where the servers were when it gave up.
        census: Box<Census>,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NoRoute { database, user } => {
                write!(f, "no rule matches database {database:?} and user {user:?}")
            }
            Refusal::Blocked { database, user } => {
                write!(f, "user {user:?} is blocked in database {database:?}")
            }
            Refusal::Disabled { database } => write!(f, "database {database:?} is disabled"),
            Refusal::ClientMax { scope: Scope::Global, limit } => {
                write!(f, "the limit of {limit} clients is reached")
            }
            Refusal::ClientMax { scope: Scope::Route, limit } => {
                write!(f, "the route's limit of {limit} clients is reached")
            }
            Refusal::RoutesFull { limit } => write!(f, "the limit of {limit} routes is reached"),
            Refusal::WaitersFull { limit } => {
                write!(f, "the limit of {limit} clients waiting for a server is reached")
            }
            Refusal::PoolTimeout { size: Some(size), waited, .. } => {
                write!(f, "no server of {size} came free in {} ms", waited.as_millis())
            }
            Refusal::PoolTimeout { size: None, waited, .. } => {
                write!(f, "no server came free in {} ms", waited.as_millis())
            }
        }
    }
}

impl std::error::Error for Refusal {}
