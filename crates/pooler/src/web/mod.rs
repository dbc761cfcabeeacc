//! Web: what a scraper, a probe and a browser may ask, over HTTP, on a port of its own
//! (`promhttp_server_port`). It only tells; nothing can be changed here. A visitor that is slow or
//! hostile costs one bounded place, and not another visitor's.
//!
//! The port comes, moves and goes with a reload, and is open until the process ends: whoever asks
//! whether clients may come has to be told that they may not.

mod accept;
mod answer;
mod health;
mod request;
mod status;
mod visit;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use config::Global;
use machine::{Address, Deadline, ListenOptions, Listener, Notifier};

pub use accept::run;
pub use health::unready;

/// The name of the host is resolved once, when the port is bound.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The port, from outside of its coroutines.
#[derive(Default)]
pub struct Web {
    state: Mutex<State>,
    /// Clients may come.
    is_open: AtomicBool,
    /// The end has begun.
    is_stopping: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Where the port is, or should be.
    place: Option<Place>,
    /// Whether it is.
    is_bound: bool,
    /// Sockets nobody has fetched yet, in the place of those before.
    coming: Option<Vec<Listener>>,
    /// Wakes the one who fetches them.
    bell: Option<Notifier>,
}

/// What makes it the same port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    host: String,
    port: u16,
}

/// A port that is bound, or none; dropped, it was never there.
pub struct Prepared {
    place: Option<Place>,
    /// None: what is there stays.
    bound: Option<Vec<Listener>>,
    /// It should be there and is not, as before.
    pub complaint: Option<String>,
}

impl Web {
    /// Binds what this configuration wants and is not there; nothing else happens yet.
    ///
    /// # Errors
    /// The port cannot be bound, and was not asked for before.
    pub fn prepare(&self, global: &Global) -> Result<Prepared, String> {
        let place = Place::of(global);
        let (is_same, is_bound) = {
            let state = self.lock();
            (state.place == place, state.is_bound)
        };
        let Some(wanted) = place.as_ref().filter(|_| !(is_same && is_bound)) else {
            let bound = (!is_same).then(Vec::new);
            return Ok(Prepared { place, bound, complaint: None });
        };
        match wanted.bind(global.bindwith_reuseport) {
            Ok(bound) => Ok(Prepared { place, bound: Some(bound), complaint: None }),
            Err(complaint) if is_same => {
                Ok(Prepared { place, bound: None, complaint: Some(complaint) })
            }
            Err(complaint) => Err(complaint),
        }
    }

    /// The same at the start, where a port that is taken keeps nobody from serving clients.
    pub fn prepare_first(&self, global: &Global) -> Prepared {
        let nowhere = |complaint| {
            let (place, bound) = (Place::of(global), None);
            Prepared { place, bound, complaint: Some(complaint) }
        };
        self.prepare(global).unwrap_or_else(nowhere)
    }

    /// Opens it to visitors, in the place of the one before.
    pub fn commit(&self, prepared: Prepared) {
        let mut state = self.lock();
        state.place = prepared.place;
        if let Some(bound) = prepared.bound {
            state.is_bound = !bound.is_empty();
            state.coming = Some(bound);
            state.bell.iter().for_each(Notifier::notify);
        }
    }

    /// Clients may come from now on.
    pub fn clients_may_come(&self) {
        self.is_open.store(true, Ordering::Release);
    }

    /// Another process takes our place, and has the port too.
    pub fn let_go(&self) {
        self.commit(Prepared { place: None, bound: Some(Vec::new()), complaint: None });
    }

    /// The process is about to end: no more clients should be sent here.
    pub fn stops(&self) {
        self.is_stopping.store(true, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }
}

impl Place {
    fn of(global: &Global) -> Option<Place> {
        let port = global.promhttp_server_port?;
        Some(Place { host: global.promhttp_server_host.clone(), port })
    }

    /// All of it or nothing. From a coroutine: it may wait for a name.
    fn bind(&self, reuseport: bool) -> Result<Vec<Listener>, String> {
        let Place { host, port } = self;
        let failed = |error: machine::Error| {
            format!("promhttp_server_port: bind to {host}:{port} failed: {error}")
        };
        let options = ListenOptions { reuseport, ..ListenOptions::default() };
        let mut bound = Vec::new();
        for at in self.addresses().map_err(failed)? {
            match Listener::bind(&Address::Tcp(at), &options) {
                Ok(listener) => bound.push(listener),
                // `*` on a host without IPv6.
                Err(error) if !bound.is_empty() && is_no_family(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(bound)
    }

    fn addresses(&self) -> Result<Vec<SocketAddr>, machine::Error> {
        let any = |ip: IpAddr| SocketAddr::new(ip, self.port);
        if self.host == "*" {
            return Ok(vec![any(Ipv4Addr::UNSPECIFIED.into()), any(Ipv6Addr::UNSPECIFIED.into())]);
        }
        let found = machine::resolve(&self.host, self.port, Deadline::after(RESOLVE_TIMEOUT))?;
        Ok(found.into_iter().take(1).collect())
    }
}

/// There are no addresses of this family here.
fn is_no_family(error: &machine::Error) -> bool {
    let machine::Error::Io(error) = error else { return false };
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}
