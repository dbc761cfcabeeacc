//! What clients and stub servers say, as bytes: "Message Formats" in PostgreSQL's manual.

use std::fmt;

const QUERY: &[u8] = b"SELECT abalance FROM pgbench_accounts WHERE aid = 12345;\0";
const STATEMENT: &[u8] = b"P_0\0";
const VERSION_3: u32 = 3 << 16;

/// In which messages a client asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// A Query.
    Simple,
    /// Parse, Bind, Describe, Execute and Sync of the unnamed statement.
    Extended,
    /// The same without the Parse, of a statement that was prepared once.
    Prepared,
}

impl Manner {
    pub const ALL: [Manner; 3] = [Manner::Simple, Manner::Extended, Manner::Prepared];

    /// What is asked once, if anything.
    pub fn preparation(self) -> Option<Vec<u8>> {
        let parse = || [message(b'P', &[STATEMENT, QUERY, &[0; 2]]), message(b'S', &[])].concat();
        (self == Manner::Prepared).then(parse)
    }

    /// What is asked again and again.
    pub fn request(self) -> Vec<u8> {
        match self {
            Manner::Simple => message(b'Q', &[QUERY]),
            Manner::Extended => {
                [message(b'P', &[b"\0", QUERY, &[0; 2]]), execution(b"\0")].concat()
            }
            Manner::Prepared => execution(STATEMENT),
        }
    }
}

impl fmt::Display for Manner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Manner::Simple => "simple",
            Manner::Extended => "extended",
            Manner::Prepared => "prepared",
        })
    }
}

fn execution(statement: &[u8]) -> Vec<u8> {
    let bind = message(b'B', &[b"\0", statement, &[0; 6]]);
    [bind, message(b'D', &[b"P\0"]), message(b'E', &[b"\0", &[0; 4]]), message(b'S', &[])].concat()
}

pub fn message(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = (4 + body.len()) as u32;
    [&[tag], &length.to_be_bytes()[..], &body].concat()
}

/// The first packet of a client.
pub fn startup() -> Vec<u8> {
    let body = b"user\0bench\0database\0stub\0application_name\0queries\0\0";
    let length = (8 + body.len()) as u32;
    [&length.to_be_bytes()[..], &VERSION_3.to_be_bytes(), body].concat()
}

/// The length of the message or, in front of a login, the packet ahead, if it is here as a whole.
pub fn whole(bytes: &[u8], is_packet: bool) -> Option<usize> {
    let at = usize::from(!is_packet);
    let length = bytes.get(at..at + 4)?.try_into().ok()?;
    let whole = u32::from_be_bytes(length) as usize + at;
    (bytes.len() >= whole).then_some(whole)
}
