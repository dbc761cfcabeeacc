//! What a line is about: when, how bad, who, what; before it has a shape.

use std::fmt::{Arguments, Display};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use config::{Endpoint, Storage};

use super::pen::{Pen, Script};
use crate::id::Id;

/// A longer message is cut. Odyssey cuts lines at 1 KiB; queries are longer.
const MESSAGE_BYTES_MAX: usize = 4096;

/// A longer name is cut: PostgreSQL's have 63 bytes, but a client may send any.
pub(super) const NAME_BYTES_MAX: usize = 256;

/// How bad it is; the words are Odyssey's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `info`; warnings are info, as in Odyssey.
    Info,
    /// `error`.
    Error,
    /// `debug`.
    Debug,
}

/// Whom a line is about. Everything is optional: a listener has no client, a login no user yet.
#[derive(Clone, Copy, Default)]
pub struct Who<'a> {
    /// The client's id, `%i`.
    pub client: Option<Id>,
    /// The server's id, `%s`.
    pub server: Option<Id>,
    /// The startup user, `%u`.
    pub user: Option<&'a str>,
    /// The startup database, `%d`.
    pub database: Option<&'a str>,
    /// The client's address, `%h` and `%r`.
    pub address: Option<&'a machine::Address>,
    /// Where its servers are, `%H`.
    pub storage: Option<&'a Storage>,
    /// Who the client is by the word of an external helper, `%x`.
    pub external: Option<&'a str>,
    /// What only the structured formats show, besides: a name (a word of letters) and its value.
    pub facts: &'a [(&'static str, Fact<'a>)],
}

/// A value of a structured format.
#[derive(Clone, Copy)]
pub enum Fact<'a> {
    /// Anything that can be shown.
    Text(&'a dyn Display),
    /// A count or an amount.
    Number(u64),
}

/// One line to be.
pub(super) struct Event<'a> {
    pub(super) since_1970: Duration,
    pub(super) pid: u32,
    pub(super) level: Level,
    pub(super) context: &'a str,
    pub(super) who: &'a Who<'a>,
    pub(super) message: Arguments<'a>,
}

impl Level {
    /// As lines show it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Error => "error",
            Level::Debug => "debug",
        }
    }
}

/// Now, as lines tell it.
pub(super) fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Event<'_> {
    /// What is said, escaped and cut.
    pub(super) fn put_message(&self, line: &mut String, script: Script) {
        Pen::new(line, script, MESSAGE_BYTES_MAX).put(self.message);
    }

    /// `0x` and the kernel's id of this thread in hexadecimal digits; `ps -L` shows it in decimal.
    pub(super) fn thread(&self) -> impl Display {
        struct Hex(u32);
        impl Display for Hex {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
        Hex(machine::process::thread_id())
    }

    /// The client's host: an address, or that it came through a unix socket.
    pub(super) fn host(&self) -> Option<Host> {
        match self.who.address? {
            machine::Address::Tcp(address) => Some(Host(Some(address.ip()))),
            machine::Address::Unix(_) => Some(Host(None)),
        }
    }

    /// All hosts of the storage, as the file lists them.
    pub(super) fn storage(&self) -> Option<Hosts<'_>> {
        self.who.storage.map(Hosts)
    }

    /// The client's port, which only TCP has.
    pub(super) fn port(&self) -> Option<u16> {
        match self.who.address? {
            machine::Address::Tcp(address) => Some(address.port()),
            machine::Address::Unix(_) => None,
        }
    }
}

/// Names only, between commas.
pub(super) struct Hosts<'a>(&'a Storage);

impl Display for Hosts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, endpoint) in self.0.endpoints.iter().enumerate() {
            let separator = if index > 0 { "," } else { "" };
            match endpoint {
                Endpoint::Tcp { host, .. } => write!(f, "{separator}{host}")?,
                Endpoint::Unix { path } => write!(f, "{separator}{}", path.display())?,
            }
        }
        Ok(())
    }
}

/// Where a client is; None: on the other side of a unix socket.
pub(super) struct Host(Option<std::net::IpAddr>);

impl Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(ip) => ip.fmt(f),
            None => f.write_str("<unix socket>"),
        }
    }
}
