//! The ids that tag every log line and every error we make: a letter and twelve hex digits,
//! `c5f0…` for a client, `s1b7…` for a server. An id is the head of a random UUID: no counter to
//! share between machines, nothing to learn from it.

use std::fmt;

/// Whose id it is; the letter is what Odyssey's tools look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A client's connection to us.
    Client,
    /// Our connection to a server.
    Server,
}

/// A connection's name for its whole life.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id {
    kind: Kind,
    bytes: [u8; 6],
}

impl Id {
    /// A fresh random id.
    pub fn random(kind: Kind) -> Self {
        let uuid = uuid::Uuid::new_v4();
        let (head, _) = uuid.as_bytes().split_at(6);
        let bytes = head.try_into().expect("six bytes were split off");
        Self { kind, bytes }
    }

    /// The id of the client with that [`Id::number`].
    pub fn of_client(number: u64) -> Self {
        let [_, _, bytes @ ..] = number.to_be_bytes();
        Self { kind: Kind::Client, bytes }
    }

    /// The same bits as a number, for tables.
    pub fn number(self) -> u64 {
        self.bytes.iter().fold(0, |n, &b| (n << 8) | u64::from(b))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Client => "c",
            Kind::Server => "s",
        })?;
        self.bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
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
    }
}
