//! Nonsense: a peer, client or server, broke the protocol and cannot be listened to any more. Whose
//! fault it is and what it costs is for the caller to say.

use std::fmt;

use wire::{Malformed, Unexpected};

/// What a peer did wrong.
#[derive(Debug)]
pub enum Nonsense {
    /// It broke the format.
    Malformed(Malformed),
    /// It broke the order: what it said nobody may say now, or nobody asked for.
    Unexpected(Unexpected),
}

impl From<Malformed> for Nonsense {
    fn from(error: Malformed) -> Self {
        Nonsense::Malformed(error)
    }
}

impl From<Unexpected> for Nonsense {
    fn from(error: Unexpected) -> Self {
        Nonsense::Unexpected(error)
    }
}

impl fmt::Display for Nonsense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Nonsense::Malformed(error) => write!(f, "{error}"),
            Nonsense::Unexpected(error) => write!(f, "{error}"),
        }
    }
}
