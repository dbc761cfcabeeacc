//! The PROXY protocol, versions 1 and 2: a proxy in front of us says where its client really is.
//! The header is found in what has come; how many bytes more may be read without reading past it,
//! the reader tells. It trusts nobody: who may send one is decided elsewhere.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The first 12 bytes of version 2, which no other protocol begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The first word of version 1, with the space behind it.
const WORD: &[u8] = b"PROXY ";

/// A line of version 1 with its CR LF; its specification says that none is longer.
const LINE_BYTES_MAX: usize = 107;

/// The shortest line of version 1: `PROXY UNKNOWN` and CR LF. A header of version 2 is longer.
const LEAST_BYTES: usize = 15;

/// In front of the addresses of version 2: signature, version and command, family, length.
const HEAD_BYTES: usize = 16;

/// What may follow them. A unix address takes 216 and the usual TLVs (of TLS, with names and a
/// certificate's subject) some hundreds; the format allows 65,535.
const TAIL_BYTES_MAX: usize = 4096;

/// What the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxied {
    /// The beginning of a header. So many bytes more are part of it, at least.
    More(usize),
    /// A header.
    Header(Header),
}

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How long it is.
    pub bytes: usize,
    /// The client it speaks of; None: the proxy itself (a check of health), or it does not know, or
    /// the client came by something that is not TCP.
    pub client: Option<SocketAddr>,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHeader {
    /// They begin otherwise.
    Alien,
    /// A line of version 1 that breaks the format.
    Line,
    /// A version that does not exist.
    Version(u8),
    /// A command that does not exist.
    Command(u8),
    /// So many bytes are announced.
    TooLong(usize),
    /// Too short for the addresses of its family.
    TooShort(usize),
}

impl fmt::Display for NoHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoHeader::Alien => f.write_str("no PROXY header came"),
            NoHeader::Line => f.write_str("PROXY header: malformed line"),
            NoHeader::Version(version) => write!(f, "PROXY header: unknown version {version}"),
            NoHeader::Command(command) => write!(f, "PROXY header: unknown command {command}"),
            NoHeader::TooLong(bytes) => {
                write!(f, "PROXY header: {bytes} bytes, more than {TAIL_BYTES_MAX}")
            }
            NoHeader::TooShort(bytes) => {
                write!(f, "PROXY header: {bytes} bytes are too few for its addresses")
            }
        }
    }
}

impl std::error::Error for NoHeader {}

/// Do these bytes begin as a header does? What begins so is no startup packet.
pub fn is_header(bytes: &[u8]) -> bool {
    bytes.starts_with(WORD) || bytes.starts_with(&SIGNATURE)
}

/// The header at the beginning of `bytes`, which hold nothing behind it if no more was read than
/// [`Proxied::More`] said.
///
/// # Errors
/// They can become no header whatever follows.
pub fn header(bytes: &[u8]) -> Result<Proxied, NoHeader> {
    if bytes.is_empty() {
        return Ok(Proxied::More(LEAST_BYTES)); // of either version
    }
    if could_be(bytes, &SIGNATURE) {
        return binary(bytes);
    }
    if could_be(bytes, WORD) {
        return line(bytes);
    }
    Err(NoHeader::Alien)
}

/// Whether one begins with the other.
fn could_be(bytes: &[u8], beginning: &[u8]) -> bool {
    let common = bytes.len().min(beginning.len());
    bytes[..common] == beginning[..common]
}

fn line(bytes: &[u8]) -> Result<Proxied, NoHeader> {
    let end = bytes.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n');
    let Some(end) = end else {
        return match bytes.len() {
            have if have < LEAST_BYTES => Ok(Proxied::More(LEAST_BYTES - have)),
            have if have < LINE_BYTES_MAX => Ok(Proxied::More(1)),
            _ => Err(NoHeader::Line),
        };
    };
    let text = bytes[..end].strip_suffix(b"\r").ok_or(NoHeader::Line)?;
    let text = str::from_utf8(text).map_err(|_| NoHeader::Line)?;
    let client = client_of_line(text).ok_or(NoHeader::Line)?;
    Ok(Proxied::Header(Header { bytes: end + 1, client }))
}

/// `PROXY TCP4 source destination port port`; behind UNKNOWN anything may stand.
fn client_of_line(text: &str) -> Option<Option<SocketAddr>> {
    let words: Vec<&str> = text.split(' ').skip(1).collect();
    let [family, source, destination, from, to] = *words else {
        return words.first().filter(|family| **family == "UNKNOWN").map(|_| None);
    };
    let (source, _destination): (IpAddr, IpAddr) = match family {
        "UNKNOWN" => return Some(None),
        "TCP4" => {
            let ends = source.parse::<Ipv4Addr>().ok().zip(destination.parse::<Ipv4Addr>().ok())?;
            (ends.0.into(), ends.1.into())
        }
        "TCP6" => {
            let ends = source.parse::<Ipv6Addr>().ok().zip(destination.parse::<Ipv6Addr>().ok())?;
            (ends.0.into(), ends.1.into())
        }
        _ => return None,
    };
    let (from, _to) = (port(from)?, port(to)?);
    Some(Some(SocketAddr::new(source, from)))
}

fn port(word: &str) -> Option<u16> {
    // `parse` alone would take a sign.
    word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok())?
}

fn binary(bytes: &[u8]) -> Result<Proxied, NoHeader> {
    let Some((head, tail)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Ok(Proxied::More(HEAD_BYTES - bytes.len()));
    };
    let (version, command, family) = (head[12] >> 4, head[12] & 15, head[13]);
    if version != 2 {
        return Err(NoHeader::Version(version));
    }
    if command > 1 {
        return Err(NoHeader::Command(command));
    }
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if length > TAIL_BYTES_MAX {
        return Err(NoHeader::TooLong(length));
    }
    let Some(tail) = tail.get(..length) else {
        return Ok(Proxied::More(length - tail.len()));
    };
    let client = match (command, family) {
        (0, _) => None, // LOCAL: the proxy speaks for itself
        (_, 0x11) => Some(v4(tail).ok_or(NoHeader::TooShort(length))?),
        (_, 0x21) => Some(v6(tail).ok_or(NoHeader::TooShort(length))?),
        _ => None, // datagrams, unix sockets, and what is to come
    };
    Ok(Proxied::Header(Header { bytes: HEAD_BYTES + length, client }))
}

/// Source, destination, port, port; what follows are TLVs, which nobody asked for.
fn v4(tail: &[u8]) -> Option<SocketAddr> {
    let (addresses, _) = tail.split_first_chunk::<12>()?;
    let [a, b, c, d, _, _, _, _, high, low, ..] = *addresses;
    Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low])))
}

fn v6(tail: &[u8]) -> Option<SocketAddr> {
    let (addresses, _) = tail.split_first_chunk::<36>()?;
    let source: [u8; 16] = *addresses.first_chunk()?;
    let port = u16::from_be_bytes([addresses[32], addresses[33]]);
    Some(SocketAddr::new(Ipv6Addr::from(source).into(), port))
}

#[cfg(test)]
mod tests;
