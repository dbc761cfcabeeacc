//! What a peer can do wrong. `Malformed`: bytes that are no message. `Unexpected`: a message that
//! nobody may send now. Neither knows whether the peer is a client or a server, nor what it costs.

use std::error::Error;
use std::fmt;

use crate::frame::Side;
use crate::tag;

/// The peer broke the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The message or the packet that is broken.
    pub place: &'static str,
    /// What is wrong with it.
    pub fault: Fault,
}

/// The ways in which bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No message of this side has this type byte.
    UnknownTag(u8),
    /// The length word (it counts itself) is outside its limits. As PostgreSQL reads it: signed.
    Length {
        /// What the peer wrote.
        got: i32,
        /// The smallest length such a message can have.
        least: u32,
        /// The largest length we accept.
        most: u32,
    },
    /// The body ends in the middle of this field.
    Truncated(&'static str),
    /// This string has no NUL.
    Unterminated(&'static str),
    /// So many bytes are left behind the last field.
    Trailing(usize),
    /// This field has a value that means nothing.
    Value(&'static str, i64),
    /// This field must be UTF-8 and is not.
    NotUtf8(&'static str),
}

impl Malformed {
    pub(crate) fn new(place: &'static str, fault: Fault) -> Malformed {
        Malformed { place, fault }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place;
        match self.fault {
            Fault::UnknownTag(tag) => write!(f, "{place}: unknown message type 0x{tag:02x}"),
            Fault::Length { got, least, most } => {
                write!(f, "{place}: length {got} is not in {least}..={most}")
            }
            Fault::Truncated(field) => write!(f, "{place}: ends inside {field}"),
            Fault::Unterminated(field) => write!(f, "{place}: {field} has no terminating zero"),
            Fault::Trailing(bytes) => write!(f, "{place}: {bytes} bytes too many"),
            Fault::Value(field, got) => write!(f, "{place}: {field} cannot be {got}"),
            Fault::NotUtf8(field) => write!(f, "{place}: {field} is not UTF-8"),
        }
    }
}

impl Error for Malformed {}

/// The peer broke the order: this message is not allowed in this state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unexpected {
    /// Whose message it is.
    pub side: Side,
    /// The type byte of the message.
    pub tag: u8,
    /// What the conversation was doing.
    pub state: &'static str,
}

impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = tag::name(self.side, self.tag);
        write!(f, "unexpected {name} (0x{:02x}) {}", self.tag, self.state)
    }
}

impl Error for Unexpected {}
