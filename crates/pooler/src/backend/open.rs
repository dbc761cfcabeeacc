//! Opening a server: find its address, connect, greet, all within one deadline. A server that
//! accepts and says nothing costs no more than `backend_connect_timeout_ms`.

use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::Endpoint;
use machine::{Address, Deadline, Stream};
use router::Parameters;
use wire::conversation::Conversation;
use wire::{CancelKey, Notice};

use super::{Core, Holdings, Home, Secured, Server, Target};
use crate::dialog::{Broken, Patience};
use crate::id::{Id, Kind};
use crate::log::Who;
use crate::tally::Span;

/// A server for one client alone, which is opened as the client would have opened it.
#[derive(Debug)]
pub struct Own {
    /// The client's startup parameters, for the server to read.
    pub startup: wire::startup::Parameters,
    /// What the server told, for the client to read; empty until it is open.
    pub told: OnceCell<Arc<Parameters>>,
}

/// A connection to a server that has said nothing yet.
pub(super) struct Reached {
    pub(super) stream: Stream,
    address: Address,
    /// Its TLS, if it speaks that.
    pub(super) secured: Option<Secured>,
    /// How long it took to find out where it is.
    resolve: Duration,
    /// How long it took to get there.
    connect: Duration,
}

/// Why a server could not be opened.
#[derive(Debug)]
pub struct OpenFailure {
    /// The server that never was.
    pub server: Id,
    /// What happened.
    pub reason: Reason,
}

/// What happened to a server that could not be opened.
#[derive(Debug)]
pub enum Reason {
    /// Its name could not be resolved, or it could not be reached.
    Unreachable(machine::Error),
    /// It could be reached; then it was silent for too long, broke off or broke the protocol.
    Broken(Broken),
    /// It said no.
    Refused(Notice),
    /// It wants a proof we cannot give; the text says which.
    Authentication(String),
    /// There is no TLS with it, or not the one that the storage wants.
    Tls(String),
    /// The storage has no server at all.
    NoEndpoint,
}

impl Own {
    /// A server that is opened with these parameters.
    pub fn new(startup: wire::startup::Parameters) -> Self {
        Own { startup, told: OnceCell::new() }
    }
}

impl OpenFailure {
    /// The client went away while we tried.
    pub fn is_abandoned(&self) -> bool {
        matches!(self.reason, Reason::Broken(Broken::Abandoned))
    }

    /// The server has too many connections.
    pub fn is_full(&self) -> bool {
        matches!(&self.reason, Reason::Refused(notice) if notice.code == "53300")
    }

    /// It says something about the host, and not about who asked or for what: it was not reached,
    /// it broke off, or it is not ready for anybody (57P…: it starts, stops or recovers).
    pub(super) fn is_the_hosts(&self) -> bool {
        match &self.reason {
            Reason::Unreachable(_) => true,
            Reason::Broken(broken) => !matches!(broken, Broken::Abandoned),
            Reason::Refused(notice) => notice.code.starts_with("57P"),
            Reason::Authentication(_) | Reason::Tls(_) | Reason::NoEndpoint => false,
        }
    }

    /// Nobody could open one for so long that it is not worth waiting for.
    pub(super) fn hopeless() -> Self {
        let reason = Reason::Broken(Broken::TimedOut);
        Self { server: Id::random(Kind::Server), reason }
    }

    /// The server's own words, if it had any.
    pub fn forwarded(&self) -> Option<Notice> {
        match &self.reason {
            Reason::Refused(notice) => Some(notice.clone()),
            _ => None,
        }
    }
}

impl fmt::Display for OpenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to connect to remote server {}: {}", self.server, self.reason)
    }
}

/// For the operator, who reads it in the log, or in the DETAIL his users show him.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Unreachable(error) => write!(f, "connect: {error}"),
            Reason::Broken(broken) => write!(f, "greeting: {broken}"),
            Reason::Refused(notice) => {
                write!(f, "{} {} {}", notice.severity.as_str(), notice.code, notice.message)
            }
            Reason::Authentication(text) | Reason::Tls(text) => f.write_str(text),
            Reason::NoEndpoint => f.write_str("the storage has no remote servers"),
        }
    }
}

impl From<Broken> for Reason {
    fn from(broken: Broken) -> Self {
        Reason::Broken(broken)
    }
}

impl From<machine::Error> for Reason {
    fn from(error: machine::Error) -> Self {
        Reason::Broken(error.into())
    }
}

impl From<wire::Malformed> for Reason {
    fn from(error: wire::Malformed) -> Self {
        Reason::Broken(Broken::Malformed(error))
    }
}

impl Home {
    /// A new server of this route.
    ///
    /// # Errors
    /// See [`Reason`]; nothing is left open.
    pub(super) fn open(
        &self,
        patience: &Patience<'_>,
        own: Option<&Own>,
    ) -> Result<Server, OpenFailure> {
        let id = Id::random(Kind::Server);
        let began = machine::now();
        let opened =
            self.try_open(id, patience, own).map_err(|reason| OpenFailure { server: id, reason });
        self.note_health(&opened);
        match &opened {
            Ok(_) => self.tally.took(Span::Connect, machine::now().duration_since(began)),
            Err(failure) if failure.is_abandoned() => {}
            Err(_) => self.tally.connect_failed(),
        }
        opened
    }

    fn try_open(
        &self,
        id: Id,
        patience: &Patience<'_>,
        own: Option<&Own>,
    ) -> Result<Server, Reason> {
        let (reached, greeting) = self.approach(patience, own)?;
        self.log_opened(id, &reached);
        let Reached { stream, address, secured, .. } = reached;
        let reported = self.shared.reports.intern(Arc::new(greeting.parameters));
        let base = match own {
            Some(own) => Arc::clone(own.told.get_or_init(|| reported)),
            None => self.route.learn(reported),
        };
        self.shared.janitor.ring();
        let key = greeting.key.unwrap_or(CancelKey { pid: 0, secret: vec![0; 4] });
        let (local, tls) = (stream.local(), stream.tls().map(|facts| facts.spoken().into()));
        let core = Core {
            id,
            target: Arc::new(Target { address, key, secured, id, local, tls }),
            conversation: Conversation::new(),
            dying: false,
            unfit: None,
            holdings: Holdings::new(base, self.number()),
            born: machine::now(),
            returned: machine::now(),
        };
        Ok(Server { stream, core: Box::new(core) })
    }

    /// The first address that answers.
    pub(super) fn reach(&self, patience: &Patience<'_>) -> Result<Reached, Reason> {
        let rule = self.route.rule();
        let place = rule.place(self.route.key().host);
        let endpoint = place.and_then(|(storage, at)| storage.endpoints.get(at));
        let endpoint = endpoint.ok_or(Reason::NoEndpoint)?;
        let started = machine::now();
        let addresses = match endpoint {
            Endpoint::Unix { path } => vec![Address::Unix(path.clone())],
            Endpoint::Tcp { host, port } => self
                .shared
                .names
                .resolve(host, *port, patience.deadline)
                .map_err(Reason::Unreachable)?
                .into_iter()
                .map(Address::Tcp)
                .collect(),
        };
        let resolved = machine::now();
        let options = self.shared.stream_options();
        let connect = |address: &Address, until| Stream::connect(address, &options, until);
        match first_of(addresses, patience.deadline, machine::now, connect) {
            Ok((stream, address)) => {
                let (resolve, connect) = (resolved - started, resolved.elapsed());
                Ok(Reached { stream, address, secured: None, resolve, connect })
            }
            Err(failure) => {
                if let Endpoint::Tcp { host, .. } = endpoint {
                    self.shared.names.forget(host); // it may have moved
                }
                Err(failure.map_or(Reason::NoEndpoint, Reason::Unreachable))
            }
        }
    }

    fn log_opened(&self, id: Id, reached: &Reached) {
        if self.shared.config().global.log_session {
            let rule = self.route.rule();
            let storage = rule.place(self.route.key().host).map(|(storage, _)| &**storage);
            let who = Who { server: Some(id), storage, ..Who::default() };
            let Reached { stream, address, resolve, connect, .. } = reached;
            let local = stream.local();
            let (resolve, connect) = (resolve.as_micros(), connect.as_micros());
            let facts = stream.tls();
            let tls = facts.map_or(String::new(), |it| format!(", {}, {}", it.version, it.cipher));
            let message = format_args!(
                "new server connection {local} -> {address} (connect time: {connect} usec, \
                 resolve time: {resolve} usec){tls}"
            );
            self.shared.log.info("context", &who, message);
        }
    }
}

/// The first of these addresses that lets itself be connected to, and what it gave; else why the
/// last one did not. Each has an equal share of what is left of the time: one that swallows
/// everything must not keep the others from being tried.
fn first_of<T>(
    addresses: Vec<Address>,
    deadline: Deadline,
    now: impl Fn() -> Instant,
    connect: impl Fn(&Address, Deadline) -> Result<T, machine::Error>,
) -> Result<(T, Address), Option<machine::Error>> {
    let mut failure = None;
    let mut left = addresses.len();
    for address in addresses {
        let now = now();
        let share = deadline.remaining(now).map(|time| Deadline::at(now + time / left as u32));
        match connect(&address, share.unwrap_or(deadline)) {
            Ok(connected) => return Ok((connected, address)),
            Err(error) => failure = Some(error),
        }
        left -= 1;
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Seen to fail: all of the time for the first address. A name with two of them, the first of
    /// which answers nothing, led nowhere.
    #[test]
    fn an_address_that_swallows_everything_leaves_time_for_the_others() {
        let began = Instant::now();
        let (clock, seconds) = (Cell::new(began), Duration::from_secs);
        let addresses = ["a", "b", "c", "d"].map(|path| Address::Unix(path.into()));
        let connect = |address: &Address, until: Deadline| {
            let share = until.remaining(clock.get()).expect("there is a deadline");
            match format!("{address}").contains('c') {
                true => Ok(share),
                false => {
                    clock.set(clock.get() + share);
                    Err(machine::Error::TimedOut)
                }
            }
        };
        let deadline = Deadline::at(began + seconds(12));
        let now = || clock.get();
        let found = first_of(addresses[..3].to_vec(), deadline, now, connect);
        assert_eq!(
            found.ok(),
            Some((seconds(4), addresses[2].clone())),
            "and the last has the rest"
        );
        clock.set(began);
        let none = first_of(vec![addresses[3].clone()], deadline, now, connect);
        assert!(matches!(none, Err(Some(machine::Error::TimedOut))));
        assert_eq!(clock.get(), began + seconds(12), "alone it has all the time");
        assert!(matches!(first_of(Vec::new(), deadline, now, connect), Err(None)));
        let refuses = |_: &Address, until: Deadline| -> Result<(), machine::Error> {
            assert_eq!(until, Deadline::NEVER);
            Err(machine::Error::TimedOut)
        };
        assert!(first_of(addresses.to_vec(), Deadline::NEVER, now, refuses).is_err());
    }
}
