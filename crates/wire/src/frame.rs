//! Frames: a type byte, a length word that counts itself, a body. This file checks headers; it
//! never copies a body and never looks into one.

#[cfg(test)]
mod tests;

use crate::error::{Fault, Malformed};
use crate::tag;

/// Type byte and length word.
pub const HEADER_BYTES: usize = 5;
/// The length word counts itself.
const LENGTH_BYTES: u32 = 4;

/// Whose messages a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From a client.
    Frontend,
    /// From a server.
    Backend,
}

/// A checked header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The type byte, a known one of its side.
    pub tag: u8,
    /// Bytes of the body, within the limit of that type.
    pub body_bytes: usize,
}

impl Header {
    /// Bytes of the whole frame, header included.
    #[inline]
    pub fn frame_bytes(self) -> usize {
        HEADER_BYTES + self.body_bytes
    }
}

/// A whole frame that lies in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The type byte.
    pub tag: u8,
    /// The body.
    pub body: &'a [u8],
    /// Header and body, for passing them on.
    pub bytes: &'a [u8],
}

/// The header at the front of `bytes`; `None` when there are fewer than [`HEADER_BYTES`].
/// One load and one comparison on the good path.
#[inline]
pub fn header(side: Side, bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let Some((&[tag, a, b, c, d], _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        // An unknown type byte need not wait for a length that may never come.
        return match bytes.first() {
            Some(&tag) if tag::length_max(side)[usize::from(tag)] == 0 => Err(bad(side, tag, 0)),
            _ => Ok(None),
        };
    };
    let length = u32::from_be_bytes([a, b, c, d]);
    let most = tag::length_max(side)[usize::from(tag)];
    // Too short lengths wrap to huge ones and negative ones are huge already; unknown types have
    // `most` 0 and so accept nothing.
    if length.wrapping_sub(LENGTH_BYTES) >= most.saturating_sub(LENGTH_BYTES - 1) {
        return Err(bad(side, tag, length));
    }
    Ok(Some(Header { tag, body_bytes: (length - LENGTH_BYTES) as usize }))
}

/// The frame at the front of `bytes`, when all of it is there.
#[inline]
pub fn whole(side: Side, bytes: &[u8]) -> Result<Option<Frame<'_>>, Malformed> {
    let Some(header) = header(side, bytes)? else { return Ok(None) };
    Ok(bytes.get(..header.frame_bytes()).map(|bytes| Frame {
        tag: header.tag,
        body: &bytes[HEADER_BYTES..],
        bytes,
    }))
}

#[cold]
fn bad(side: Side, tag: u8, length: u32) -> Malformed {
    match tag::length_max(side)[usize::from(tag)] {
        0 => {
            let place = match side {
                Side::Frontend => "message from the client",
                Side::Backend => "message from the server",
            };
            Malformed::new(place, Fault::UnknownTag(tag))
        }
        most => Malformed::new(
            tag::name(side, tag),
            Fault::Length { got: length.cast_signed(), least: LENGTH_BYTES, most },
        ),
    }
}
