//! Errors, counted: why sessions ended, in Odyssey's words, and what clients were told, by class of
//! SQLSTATE. Numbers only grow.

use std::sync::atomic::{AtomicU64, Ordering};

use router::{Refusal, Scope};

use crate::ending::Ending;

/// Odyssey's names, in the order in which it shows them. Those it has and we cannot have stay 0.
pub const TYPES: [&str; 28] = [
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
    OTHER_TYPE,
];

/// A session ended by something that has no name above.
const OTHER_TYPE: &str = "other";

/// A class is two digits or capital letters, so there are so many; and one place for nonsense.
const CLASSES: usize = 36 * 36 + 1;

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The pooler.
    ByUs,
    /// A server.
    ByServers,
}

/// All counters.
pub struct Errors {
    types: [AtomicU64; TYPES.len()],
    ours: Box<[AtomicU64]>,
    servers: Box<[AtomicU64]>,
}

impl Default for Errors {
    fn default() -> Self {
        let classes = || (0..CLASSES).map(|_| AtomicU64::new(0)).collect();
        Self {
            types: [const { AtomicU64::new(0) }; TYPES.len()],
            ours: classes(),
            servers: classes(),
        }
    }
}

impl Errors {
    /// A session, or an attempt at one, ended for this reason.
    pub fn ended(&self, ending: &Ending) {
        match kind(ending) {
            "OD_OK" => {}
            kind => self.count(kind),
        }
    }

    fn count(&self, kind: &str) {
        let place = TYPES.iter().position(|name| *name == kind).unwrap_or(TYPES.len() - 1);
        self.types[place].fetch_add(1, Ordering::Relaxed);
    }

    /// A client was told an error with this SQLSTATE.
    pub fn told(&self, said: Said, sqlstate: &str) {
        self.classes(said)[class(sqlstate)].fetch_add(1, Ordering::Relaxed);
    }

    /// How often sessions ended, by type.
    pub fn by_type(&self) -> impl Iterator<Item = (&'static str, u64)> {
        TYPES.iter().zip(&self.types).map(|(name, n)| (*name, n.load(Ordering::Relaxed)))
    }

    /// How often clients were told errors, by those classes that were seen.
    pub fn by_class(&self, said: Said) -> impl Iterator<Item = (String, u64)> {
        let counts = self.classes(said).iter().map(|n| n.load(Ordering::Relaxed)).enumerate();
        counts.filter(|(_, n)| *n > 0).map(|(class, n)| (name(class), n))
    }

    fn classes(&self, said: Said) -> &[AtomicU64] {
        match said {
            Said::ByUs => &self.ours,
            Said::ByServers => &self.servers,
        }
    }
}

/// Odyssey has other names for what its router says.
fn kind(ending: &Ending) -> &'static str {
    match ending {
        Ending::Refused(Refusal::NoRoute { .. }, _) => "OD_ROUTER_ERROR_NOT_FOUND",
        Ending::Refused(Refusal::ClientMax { scope: Scope::Global, .. }, _) => {
            "OD_ROUTER_ERROR_LIMIT"
        }
        Ending::Refused(Refusal::ClientMax { scope: Scope::Route, .. }, _) => {
            "OD_ROUTER_ERROR_LIMIT_ROUTE"
        }
        other => other.status(),
    }
}

fn class(sqlstate: &str) -> usize {
    let digit = |at: usize| {
        let letter = char::from(*sqlstate.as_bytes().get(at)?);
        letter.to_digit(36).filter(|_| !letter.is_ascii_lowercase())
    };
    match (digit(0), digit(1)) {
        (Some(first), Some(second)) => (first * 36 + second) as usize,
        _ => CLASSES - 1,
    }
}

fn name(class: usize) -> String {
    if class == CLASSES - 1 {
        return OTHER_TYPE.to_owned();
    }
    let letter = |digit: usize| {
        let digit = char::from_digit(digit as u32, 36).expect("a class has two digits of base 36");
        digit.to_ascii_uppercase()
    };
    [letter(class / 36), letter(class % 36)].iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_the_first_two_letters() {
        let errors = Errors::default();
        for code in ["42601", "42P01", "XX000", "00000", "", "4", "é0", "4a000"] {
            errors.told(Said::ByServers, code);
        }
        let seen: Vec<_> = errors.by_class(Said::ByServers).collect();
        let expected = [("00", 1), ("42", 2), ("XX", 1), ("other", 4)];
        assert_eq!(seen, expected.map(|(class, n)| (class.to_owned(), n)));
        assert_eq!(errors.by_class(Said::ByUs).count(), 0);
    }

    #[test]
    fn a_good_end_is_no_error_and_no_end_is_lost() {
        let errors = Errors::default();
        errors.ended(&Ending::Terminated);
        errors.ended(&Ending::ShuttingDown);
        errors.count("OD_UNHEARD_OF");
        let seen: Vec<_> = errors.by_type().filter(|(_, n)| *n > 0).collect();
        assert_eq!(seen, [("OD_EGRACEFUL_SHUTDOWN", 1), ("other", 1)]);
    }
}
