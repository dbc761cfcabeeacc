//! The ids that tag every log line and every error we make: a letter and twelve hex digits,
//! `c5f0…` for a client, `s1b7…` for a server. An id is the head of a random UUID: no counter to
//! share between machines, nothing to learn from it. The structured log formats show all of it.

use std::fmt;
use std::hash::{Hash, Hasher};

use uuid::Uuid;

/// Whose id it is; the letter is what Odyssey's tools look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A client's connection to us.
    Client,
    /// Our connection to a server.
    Server,
}

/// A connection's name for its whole life.
///
/// The bytes of its UUID, in which the version, always 4, has made room for a mark: ids are in
/// errors and log lines, and a byte more makes each of those 8 bytes larger.
#[derive(Clone, Copy)]
pub struct Id([u8; 16]);

/// How many of the bytes are shown, and make two ids the same.
const SHOWN_BYTES: usize = 6;

/// Where a UUID has its version: the upper half of this byte.
const VERSION_AT: usize = 6;
const VERSION: u8 = 0x40;

/// A client's, a server's, a client's of which nothing is known but what is shown.
const CLIENT: u8 = 0x10;
const SERVER: u8 = 0x20;
const CLIENT_BY_NUMBER: u8 = 0x30;

impl Id {
    /// A fresh random id.
    pub fn random(kind: Kind) -> Self {
        let mark = match kind {
            Kind::Client => CLIENT,
            Kind::Server => SERVER,
        };
        let bytes = crate::random::bytes().expect("the kernel waits rather than to have none");
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid().into_bytes()).marked(mark)
    }

    /// The id of the client with that [`Id::number`].
    pub fn of_client(number: u64) -> Self {
        let [_, _, shown @ ..] = number.to_be_bytes();
        let mut bytes = [0; 16];
        bytes[..SHOWN_BYTES].copy_from_slice(&shown);
        Self(bytes).marked(CLIENT_BY_NUMBER)
    }

    /// All of it; None where only the number was known.
    pub fn uuid(self) -> Option<Uuid> {
        (self.mark() != CLIENT_BY_NUMBER).then(|| Uuid::from_bytes(self.marked(VERSION).0))
    }

    /// The digits as a number, for tables.
    pub fn number(self) -> u64 {
        self.shown().iter().fold(0, |n, &b| (n << 8) | u64::from(b))
    }

    fn kind(self) -> Kind {
        if self.mark() == SERVER { Kind::Server } else { Kind::Client }
    }

    fn shown(&self) -> &[u8] {
        &self.0[..SHOWN_BYTES]
    }

    fn mark(self) -> u8 {
        self.0[VERSION_AT] & 0xf0
    }

    fn marked(mut self, mark: u8) -> Self {
        self.0[VERSION_AT] = (self.0[VERSION_AT] & 0x0f) | mark;
        self
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        (self.kind(), self.shown()) == (other.kind(), other.shown())
    }
}

impl Eq for Id {}

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.kind(), self.shown()).hash(state);
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind() {
            Kind::Client => "c",
            Kind::Server => "s",
        })?;
        self.shown().iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_letter_and_twelve_hex_digits() {
        let id = Id::random(Kind::Server).to_string();
        assert_eq!(id.len(), 13);
        assert!(id.starts_with('s'));
        assert!(id[1..].bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()));
    }

    #[test]
    fn the_number_is_the_digits() {
        let id = Id::random(Kind::Client);
        assert_eq!(format!("c{:012x}", id.number()), id.to_string());
        assert_eq!(Id::of_client(id.number()), id);
        let uuid = id.uuid().unwrap();
        assert_eq!(uuid.get_version_num(), 4);
        let digits = uuid.simple().to_string();
        assert!(digits.starts_with(&id.to_string()[1..]), "{digits} begins with {id}");
        assert_eq!(Id::of_client(id.number()).uuid(), None);
        assert_ne!(Id::random(Kind::Server), Id::random(Kind::Server));
    }
}
