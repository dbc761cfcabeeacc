//! Frames: what the old and the new process say to each other, and how that looks in bytes: four
//! bytes of length, one of kind, the body. Both sides are trusted programs, but not of one version:
//! `Listeners`, `Serving` and `Lead` only grow at their ends, for ever; the first two tell the
//! version of all else, and between two versions nothing else is said.

use std::io;

use super::luggage::Reader;
use crate::keyring::Salts;

/// Of the frames and of the luggage in them. Between different versions no clients are handed over.
pub(super) const VERSION: u16 = 4;

/// Length and kind.
pub(super) const HEADER_BYTES: usize = 5;

/// A client with more luggage than that stays where it is.
pub(super) const LUGGAGE_BYTES_MAX: usize = 4 << 20;

/// A client's luggage with the numbers around it.
const FRAME_BYTES_MAX: usize = LUGGAGE_BYTES_MAX + 64;

/// A reason is cut behind so many bytes.
const REASON_BYTES_MAX: usize = 512;

/// One thing that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// From the old one, the first of all: its listening sockets come with it, and with as many
    /// further ones as there are `more`. A program from before there were `salts` sends none.
    Listeners { version: u16, more: bool, salts: Option<Salts> },
    /// From the new one: clients can come.
    Serving { version: u16 },
    /// From the old one: whoever watches over us knows that the new one is the main process.
    Lead,
    /// From the old one: a client, with its socket.
    Client { ticket: u64, luggage: Vec<u8> },
    /// From the new one: the client is its own from here on.
    Taken { ticket: u64 },
    /// From the new one: it does not take the client, which was not touched.
    Refused { ticket: u64, reason: String },
    /// From either: a cancel request for a client that is not here.
    Cancel { key: [u8; 8] },
    /// In another version, or of a kind that ours does not have.
    Unknown,
}

const LISTENERS: u8 = 1;
const SERVING: u8 = 2;
const LEAD: u8 = 3;
const CLIENT: u8 = 4;
const TAKEN: u8 = 5;
const REFUSED: u8 = 6;
const CANCEL: u8 = 7;
const UNKNOWN: u8 = 255; // and all others

impl Frame {
    /// In bytes, with the header.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        let kind = match self {
            Frame::Listeners { version, more, salts } => {
                bytes.extend(version.to_be_bytes());
                bytes.push(u8::from(*more));
                bytes.extend(salts.iter().flatten());
                LISTENERS
            }
            Frame::Serving { version } => {
                bytes.extend(version.to_be_bytes());
                SERVING
            }
            Frame::Lead => LEAD,
            Frame::Client { ticket, luggage } => {
                bytes.extend(ticket.to_be_bytes());
                bytes.extend(luggage);
                CLIENT
            }
            Frame::Taken { ticket } => {
                bytes.extend(ticket.to_be_bytes());
                TAKEN
            }
            Frame::Refused { ticket, reason } => {
                bytes.extend(ticket.to_be_bytes());
                bytes.extend(reason.bytes().take(REASON_BYTES_MAX));
                REFUSED
            }
            Frame::Cancel { key } => {
                bytes.extend(key);
                CANCEL
            }
            Frame::Unknown => UNKNOWN,
        };
        let length = u32::try_from(bytes.len() - HEADER_BYTES).expect("luggage is bounded");
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        bytes[4] = kind;
        bytes
    }

    /// How long the body is behind this header.
    pub(super) fn body_bytes(header: [u8; HEADER_BYTES]) -> io::Result<usize> {
        let [a, b, c, d, _] = header;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::other(format!("a frame of {length} bytes")));
        }
        Ok(length)
    }

    /// What is said in this version; more behind it belongs to a later one.
    pub(super) fn parse(kind: u8, body: &[u8], version: u16) -> io::Result<Frame> {
        if version != VERSION && ![LISTENERS, SERVING, LEAD].contains(&kind) {
            return Ok(Frame::Unknown);
        }
        let broken = || io::Error::other(format!("a frame of kind {kind} that is broken"));
        let mut reader = Reader::new(body);
        let mut read = || {
            Some(match kind {
                LISTENERS => {
                    let (version, more) = (reader.u16()?, reader.u8()? != 0);
                    Frame::Listeners { version, more, salts: reader.array() }
                }
                SERVING => Frame::Serving { version: reader.u16()? },
                LEAD => Frame::Lead,
                CLIENT => Frame::Client { ticket: reader.u64()?, luggage: reader.rest().to_vec() },
                TAKEN => Frame::Taken { ticket: reader.u64()? },
                REFUSED => {
                    let ticket = reader.u64()?;
                    let reason = String::from_utf8_lossy(reader.rest()).into_owned();
                    Frame::Refused { ticket, reason }
                }
                CANCEL => Frame::Cancel { key: reader.array()? },
                _ => Frame::Unknown,
            })
        };
        read().ok_or_else(broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in() {
        for frame in [
            Frame::Listeners { version: 7, more: true, salts: Some([3; 32]) },
            Frame::Listeners { version: 7, more: false, salts: None },
            Frame::Serving { version: 513 },
            Frame::Lead,
            Frame::Client { ticket: 1 << 40, luggage: b"all of it".to_vec() },
            Frame::Taken { ticket: 3 },
            Frame::Refused { ticket: 4, reason: "no rule".into() },
            Frame::Cancel { key: *b"12345678" },
        ] {
            let bytes = frame.bytes();
            let header: [u8; HEADER_BYTES] = bytes[..HEADER_BYTES].try_into().unwrap();
            assert_eq!(Frame::body_bytes(header).unwrap(), bytes.len() - HEADER_BYTES);
            assert_eq!(Frame::parse(header[4], &bytes[HEADER_BYTES..], VERSION).unwrap(), frame);
        }
    }

    #[test]
    fn nonsense_is_an_error_and_no_allocation() {
        assert!(Frame::body_bytes([255; HEADER_BYTES]).is_err());
        assert!(Frame::parse(TAKEN, &[0; 7], VERSION).is_err());
    }

    /// Against a process that takes the other one for dead because it is newer.
    #[test]
    fn what_a_later_version_says_is_no_error() {
        assert_eq!(Frame::parse(99, b"whatever", VERSION).unwrap(), Frame::Unknown);
        assert_eq!(Frame::parse(TAKEN, b"new", 9).unwrap(), Frame::Unknown);
        let serving = Frame::Serving { version: 9 };
        assert_eq!(Frame::parse(SERVING, &[0, 9, 1, 2, 3], VERSION).unwrap(), serving);
        assert_eq!(Frame::parse(LEAD, b"new", 9).unwrap(), Frame::Lead);
    }
}
