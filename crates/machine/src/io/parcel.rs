//! A folded socket: the one form in which a connection changes machines, or waits in a pool. It
//! stays registered at home until it is unfolded elsewhere; the thief removes it from the home's
//! epoll set himself, and the home's entry dies by a letter that wakes nobody.

use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use super::stream::Stream;
use crate::error::Error;
use crate::machine::Machine;
use crate::mailbox::{Mail, Shared};
use crate::slab::Key;
use crate::sys::{self, socket};
use crate::tls::Tls;

/// Hears of folded sockets.
pub trait Watcher: Send + Sync {
    /// The watched parcel of `key` became readable or was hung up. Called in a coroutine of the
    /// parcel's home. The watch stays armed. It may come late, for a parcel that was unfolded
    /// elsewhere meanwhile: `key` should carry a generation.
    fn stirred(self: Arc<Self>, key: u64);
}

/// One watcher of one socket.
#[derive(Clone)]
pub(crate) struct Watch {
    pub(crate) watcher: Arc<dyn Watcher>,
    pub(crate) key: u64,
}

struct Home {
    shared: Arc<Shared>,
    key: Key,
}

/// A folded socket. It may be sent anywhere and kept for as long as it takes; dropping it closes
/// the socket.
pub struct Parcel {
    /// `Some` until unfolded.
    fd: Option<OwnedFd>,
    /// Where it is registered; accepted sockets are not yet.
    home: Option<Home>,
    tls: Option<Box<Folded>>,
}

/// What a stream has besides its socket when it speaks TLS.
pub(crate) struct Folded {
    pub(crate) tls: Tls,
    pub(crate) pending: bool,
    pub(crate) owed: Vec<u8>,
}

impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parcel").field("fd", &self.fd).field("home", &self.home()).finish()
    }
}

impl Parcel {
    pub(crate) fn accepted(fd: OwnedFd) -> Parcel {
        Parcel { fd: Some(fd), home: None, tls: None }
    }

    pub(crate) fn at_home(
        fd: OwnedFd,
        shared: Arc<Shared>,
        key: Key,
        tls: Option<Box<Folded>>,
    ) -> Parcel {
        Parcel { fd: Some(fd), home: Some(Home { shared, key }), tls }
    }

    /// The machine where it is registered, if it is.
    #[must_use]
    pub fn home(&self) -> Option<usize> {
        self.home.as_ref().map(|home| home.shared.index)
    }

    /// A stream of this machine. At home this costs no system call and the readiness bits are those
    /// of now; elsewhere the socket changes its registration.
    ///
    /// # Errors
    /// `NotOnMachine`, or `Io` when the socket cannot be registered; it is closed then.
    pub fn unfold(self) -> Result<Stream, Error> {
        self.unfold_by(Stream::register)
    }

    /// As [`unfold`](Parcel::unfold), for who begins with a read. Of a socket that was just
    /// accepted the kernel hears from the first wait, and the first read is tried without one:
    /// mostly the bytes are there, and that saves two events. Before a wait
    /// [`Stream::is_hung_up`] tells nothing.
    ///
    /// # Errors
    /// As `unfold`.
    pub fn unfold_to_read(self) -> Result<Stream, Error> {
        self.unfold_by(Stream::adopt)
    }

    fn unfold_by(
        mut self,
        register: fn(OwnedFd) -> Result<Stream, Error>,
    ) -> Result<Stream, Error> {
        let tls = self.tls.take();
        let mut stream = self.unfold_socket(register)?;
        if let Some(folded) = tls {
            stream.unfold_tls(*folded);
        }
        Ok(stream)
    }

    fn unfold_socket(
        mut self,
        register: fn(OwnedFd) -> Result<Stream, Error>,
    ) -> Result<Stream, Error> {
        let machine = Machine::here().ok_or(Error::NotOnMachine)?;
        let Some(home) = &self.home else {
            return register(self.take_fd());
        };
        if home.shared.index == machine.shared.index {
            let io = machine.io(home.key).expect("a folded socket keeps its entry at home");
            io.watch.replace(None);
            return Ok(Stream::new(io, self.take_fd()));
        }
        let home = self.home.take().expect("looked at above");
        let fd = self.take_fd();
        let removed = sys::epoll_del(home.shared.epoll, fd.as_raw_fd());
        home.shared.post_quietly(Mail::Retire(home.key));
        removed?;
        let io = machine.register(fd.as_raw_fd())?;
        // So that a dead server is seen now, not a turn later.
        io.absorb(socket::poll(fd.as_raw_fd()));
        Ok(Stream::new(io, fd))
    }

    fn take_fd(&mut self) -> OwnedFd {
        self.fd.take().expect("a parcel has its socket until unfolded")
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        if self.fd.take().is_none() {
            return;
        }
        // Closed above, which ended the registration: no event comes after this, only the entry
        // remains.
        let Some(home) = self.home.take() else { return };
        match Machine::here().filter(|here| here.shared.index == home.shared.index) {
            Some(machine) => machine.retire(home.key),
            None => home.shared.post_quietly(Mail::Retire(home.key)),
        }
    }
}
