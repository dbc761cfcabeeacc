//! Errors, counted by Odyssey's names for them since the start. It counts; what a client is told is
//! said by [`Ending`].

use std::sync::atomic::{AtomicU64, Ordering};

use router::{Refusal, Scope};

use crate::ending::Ending;

/// Odyssey's names, in its order: first those of its router, then those of clients. Some of them
/// cannot happen here; dashboards look for them all the same.
pub const NAMES: [&str; 27] = [
    "OD_ROUTER_ERROR",
    "OD_ROUTER_ERROR_NOT_FOUND",
    "OD_ROUTER_ERROR_LIMIT",
    "OD_ROUTER_ERROR_LIMIT_ROUTE",
    "OD_ROUTER_ERROR_TIMEDOUT",
    "OD_ROUTER_ERROR_REPLICATION",
    "OD_ROUTER_CLIENT_DISCONNECTED",
    "OD_EOOM",
    "OD_EATTACH",
    "OD_EATTACH_TOO_MANY_CONNECTIONS",
    "OD_EATTACH_TARGET_SESSION_ATTRS_MISMATCH",
    "OD_ESERVER_CONNECT",
    "OD_ESERVER_READ",
    "OD_ESERVER_WRITE",
    "OD_ESERVER_READAHEAD_FULL",
    "OD_ECLIENT_WRITE",
    "OD_ECLIENT_READAHEAD_FULL",
    "OD_ECLIENT_KILLED",
    "OD_ECLIENT_TIMEOUT",
    "OD_ECLIENT_READ",
    "OD_ECLIENT_PROTOCOL_ERROR",
    "OD_ECLIENT_COPY_IN_XPROTO",
    "OD_ESYNC_BROKEN",
    "OD_ECATCHUP_TIMEOUT",
    "OD_EGRACEFUL_SHUTDOWN",
    "OD_EIDLE_TIMEOUT",
    "OD_EIDLE_IN_TRANSACTION_TIMEOUT",
];

/// How often what went wrong, in the order of [`NAMES`].
pub type Counts = [u64; NAMES.len()];

/// What went wrong since the start.
#[derive(Debug)]
pub struct Errors([AtomicU64; NAMES.len()]);

impl Default for Errors {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Errors {
    /// Somebody ended like this; a goodbye is no error.
    pub fn count(&self, ending: &Ending) {
        if matches!(ending, Ending::Terminated) {
            return; // nearly all do: without a look at every name
        }
        let name = name(ending);
        if let Some(at) = NAMES.iter().position(|one| *one == name) {
            self.0[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counts now.
    pub fn counts(&self) -> Counts {
        std::array::from_fn(|at| self.0[at].load(Ordering::Relaxed))
    }
}

/// Refusals before there is a server have names of their own; else it is what the log says.
fn name(ending: &Ending) -> &'static str {
    match ending {
        Ending::Refused(Refusal::NoRoute { .. }, _) => "OD_ROUTER_ERROR_NOT_FOUND",
        Ending::Refused(Refusal::ClientMax { scope: Scope::Global, .. }, _) => {
            "OD_ROUTER_ERROR_LIMIT"
        }
        Ending::Refused(Refusal::ClientMax { scope: Scope::Route, .. }, _) => {
            "OD_ROUTER_ERROR_LIMIT_ROUTE"
        }
        Ending::Refused(
            Refusal::Blocked { .. } | Refusal::Disabled { .. } | Refusal::RoutesFull { .. },
            _,
        ) => "OD_ROUTER_ERROR",
        _ => ending.status(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn every_status_of_an_ending_has_a_row() {
        let errors = Errors::default();
        let no_route = Refusal::NoRoute { database: "a".into(), user: "b".into() };
        errors.count(&Ending::Refused(no_route, Arc::default()));
        errors.count(&Ending::ClientGone);
        errors.count(&Ending::ClientGone);
        errors.count(&Ending::Terminated);
        let counts = errors.counts();
        let of = |name: &str| counts[NAMES.iter().position(|one| *one == name).unwrap()];
        assert_eq!((of("OD_ROUTER_ERROR_NOT_FOUND"), of("OD_ECLIENT_READ")), (1, 2));
        assert_eq!(counts.iter().sum::<u64>(), 3, "a goodbye is no error");
    }
}
