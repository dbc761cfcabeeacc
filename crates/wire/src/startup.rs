//! The packets without a type byte that open a connection: requests for encryption, for cancelling,
//! for a session. It does not judge versions or names; it refuses only what cannot be read.

mod options;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::cursor::Cursor;
use crate::encode;
use crate::error::{Fault, Malformed};
use crate::text::Text;

pub use options::{BadOptions, options, settings_of};

/// PostgreSQL's MAX_STARTUP_PACKET_LENGTH; here the length word counts as well.
pub const PACKET_BYTES_MAX: u32 = 10_000;
/// Parameters of one packet, which has room for 3,300 of them: a stranger's packet of 10 kB is not
/// to become 300 kB of ours. Drivers send ten.
pub const PARAMETERS_MAX: u16 = 512;
/// Length word and code.
const PACKET_BYTES_MIN: u32 = 8;
/// The major version all of PostgreSQL 13–18 speak.
pub const MAJOR: u16 = 3;
/// The newest minor version PostgreSQL 18 speaks: 3.1 was never used.
pub const MINOR_MAX: u16 = 2;
/// Bytes of a cancel key before 3.2, and the fewest since.
pub const SECRET_BYTES_MIN: usize = 4;
/// The most since 3.2.
pub const SECRET_BYTES_MAX: usize = 256;

const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const PLACE: &str = "startup packet";

/// A first packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Startup {
    /// SSLRequest: one byte, `S` or `N`, is the answer. Whatever was sent behind it in the clear
    /// must not be read as if it had come encrypted (CVE-2021-23214).
    Ssl,
    /// GSSENCRequest: `G` or `N`.
    GssEnc,
    /// CancelRequest: no answer.
    Cancel(CancelKey),
    /// StartupMessage, of any version.
    Start(StartupMessage),
}

/// What a client wants of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartupMessage {
    /// Minor version, which the server may lower.
    pub minor: u16,
    /// Major version. If it is not [`MAJOR`], there are no parameters: other versions have other
    /// layouts, and the answer is 0A000.
    pub major: u16,
    /// What it sets, `_pq_.` options apart.
    pub parameters: Parameters,
    /// Names of protocol options (`_pq_.…`). We know none, so each is for NegotiateProtocolVersion.
    pub unknown_options: Vec<String>,
}

impl StartupMessage {
    /// The value of a parameter; the last one wins, as in PostgreSQL.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().filter(|(known, _)| *known == name).last();
        found.map(|(_, value)| value)
    }
}

/// Names and values in their order. Bytes that are not UTF-8 become U+FFFD: such a name then
/// matches no rule, and no two valid names become one.
///
/// All of it is one text: a login reads it once, and a text for each part would be a good share of
/// what the pooler itself spends on a login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    text: String,
    /// Where in it each name and its value end; the next name begins there.
    ends: Vec<(usize, usize)>,
}

impl Parameters {
    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut from = 0;
        self.ends.iter().map(move |&(name, value)| {
            let pair = (&self.text[from..name], &self.text[name..value]);
            from = value;
            pair
        })
    }

    fn push(&mut self, name: Text<'_>, value: Text<'_>) {
        self.text.push_str(&name.lossy());
        let name_ends = self.text.len();
        self.text.push_str(&value.lossy());
        self.ends.push((name_ends, self.text.len()));
    }
}

/// Which stream of changes a connection is for, if any: the startup parameter `replication`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Replication {
    /// An ordinary session.
    #[default]
    No,
    /// The write-ahead log of the whole server.
    Physical,
    /// The changes of one database; SQL is spoken too.
    Logical,
}

impl Replication {
    /// What the parameter's value says, as PostgreSQL reads it: `database`, or a boolean word or
    /// an unambiguous beginning of one, in any case. `None` for anything else.
    pub fn parse(value: &str) -> Option<Replication> {
        if value == "database" {
            return Some(Replication::Logical);
        }
        // The least of a word that is enough: `o` could be `on` or `off`.
        let words = [
            ("true", 1, true),
            ("false", 1, false),
            ("yes", 1, true),
            ("no", 1, false),
            ("on", 2, true),
            ("off", 2, false),
            ("1", 1, true),
            ("0", 1, false),
        ];
        let begins = |(word, least, _): &&(&str, usize, bool)| {
            let start = word.as_bytes().get(..value.len());
            value.len() >= *least
                && start.is_some_and(|start| start.eq_ignore_ascii_case(value.as_bytes()))
        };
        let (_, _, yes) = words.iter().find(begins)?;
        Some(if *yes { Replication::Physical } else { Replication::No })
    }
}

/// What lets anyone cancel the query of a session.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CancelKey {
    /// The server's process, or what the pooler pretends it to be.
    pub pid: u32,
    /// [`SECRET_BYTES_MIN`]`..=`[`SECRET_BYTES_MAX`] bytes; 4 before protocol 3.2.
    pub secret: Vec<u8>,
}

impl fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CancelKey {{ pid: {}, secret: {} bytes }}", self.pid, self.secret.len())
    }
}

impl CancelKey {
    pub(crate) fn read(mut cursor: Cursor<'_>) -> Result<CancelKey, Malformed> {
        let pid = u32::from_be_bytes(cursor.four("the process id")?);
        let secret = cursor.rest();
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&secret.len()) {
            let got = i64::try_from(secret.len()).unwrap_or(i64::MAX);
            return Err(cursor.fault(Fault::Value("the length of the key", got)));
        }
        Ok(CancelKey { pid, secret: secret.to_vec() })
    }
}

/// The first packet at the front of `bytes` and how many bytes it uses; `None` while it is
/// incomplete. A length outside the limits is an error as soon as it is there.
pub fn parse(bytes: &[u8]) -> Result<Option<(Startup, usize)>, Malformed> {
    let Some((&length, _)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(length);
    if !(PACKET_BYTES_MIN..=PACKET_BYTES_MAX).contains(&length) {
        let (least, most) = (PACKET_BYTES_MIN, PACKET_BYTES_MAX);
        let got = length.cast_signed();
        return Err(Malformed::new(PLACE, Fault::Length { got, least, most }));
    }
    let used = length as usize;
    let Some(packet) = bytes.get(4..used) else { return Ok(None) };
    let mut cursor = Cursor::new(PLACE, packet);
    let startup = match u32::from_be_bytes(cursor.four("the version")?) {
        SSL_REQUEST => cursor.end().map(|()| Startup::Ssl)?,
        GSSENC_REQUEST => cursor.end().map(|()| Startup::GssEnc)?,
        CANCEL_REQUEST => Startup::Cancel(CancelKey::read(cursor)?),
        version => Startup::Start(message(version, cursor)?),
    };
    Ok(Some((startup, used)))
}

fn message(version: u32, mut cursor: Cursor<'_>) -> Result<StartupMessage, Malformed> {
    let [a, b, c, d] = version.to_be_bytes();
    let (major, minor) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let mut message = StartupMessage { major, minor, ..StartupMessage::default() };
    if major != MAJOR {
        return Ok(message);
    }
    message.parameters.text.reserve(cursor.rest().len());
    let mut count = 0;
    loop {
        let name = cursor.text("the list of parameters")?;
        if name.is_empty() {
            break;
        }
        let value = cursor.text("the value of a parameter")?;
        count += 1;
        if count > PARAMETERS_MAX {
            return Err(cursor.fault(Fault::Value("the number of parameters", count.into())));
        }
        if name.as_bytes().starts_with(b"_pq_.") {
            message.unknown_options.push(name.to_string());
        } else {
            message.parameters.push(name, value);
        }
    }
    cursor.end()?;
    Ok(message)
}

/// SSLRequest.
pub fn ssl_request() -> [u8; 8] {
    coded(SSL_REQUEST)
}

fn coded(code: u32) -> [u8; 8] {
    let ([a, b, c, d], [e, f, g, h]) = (PACKET_BYTES_MIN.to_be_bytes(), code.to_be_bytes());
    [a, b, c, d, e, f, g, h]
}

/// StartupMessage of version 3.`minor`.
pub fn startup_message(
    out: &mut Vec<u8>,
    parameters: &[(impl AsRef<str>, impl AsRef<str>)],
    minor: u16,
) {
    encode::counted(out, |out| {
        out.extend(MAJOR.to_be_bytes());
        out.extend(minor.to_be_bytes());
        for (name, value) in parameters {
            encode::text(out, name.as_ref());
            encode::text(out, value.as_ref());
        }
        out.push(0);
    });
}

/// CancelRequest.
pub fn cancel_request(out: &mut Vec<u8>, key: &CancelKey) {
    encode::counted(out, |out| {
        out.extend(CANCEL_REQUEST.to_be_bytes());
        out.extend(key.pid.to_be_bytes());
        out.extend(&key.secret);
    });
}
