//! A listening socket. It hands out parcels: which machine serves a connection is decided by
//! whoever accepts.

use std::cell::Cell;
use std::convert::Infallible;
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::Io;
use super::address::Address;
use super::parcel::Parcel;
use super::stream::{Stream, StreamOptions};
use crate::Deadline;
use crate::census::Doing;
use crate::coroutine::sleep;
use crate::error::Error;
use crate::machine::Machine;
use crate::mailbox::{Mail, Shared};
use crate::slab::Key;
use crate::sys::{self, socket};
use crate::wait::{Interest, breathe, wait_one_as};

/// Before the next try when descriptors or coroutines have run out.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(50);

/// Options of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Connections the kernel keeps for us before they are accepted.
    pub backlog: i32,
    /// Let other sockets bind the same address, for restarts without a gap.
    pub reuseport: bool,
    /// Permissions of a Unix socket's file.
    pub unix_mode: Option<u32>,
    /// What accepted connections have from birth: each takes it from the listening socket, without
    /// a system call.
    pub stream: StreamOptions,
}

impl Default for ListenOptions {
    fn default() -> ListenOptions {
        ListenOptions {
            backlog: 128,
            reuseport: false,
            unix_mode: None,
            stream: StreamOptions::default(),
        }
    }
}

/// A listening socket. It may be bound before the engine runs and moves freely until then; the
/// first `accept` registers it with the machine that calls it.
pub struct Listener {
    fd: OwnedFd,
    local: Address,
    /// Device and inode of a Unix socket's file: a successor may have put its own in the place.
    file: Option<(u64, u64)>,
    /// The file goes with the listener.
    removes_file: Cell<bool>,
    /// Where it is registered.
    home: Cell<Option<(Arc<Shared>, Key)>>,
}

impl Listener {
    /// Binds and listens. Needs no machine. The file of a Unix socket that nobody answers any more
    /// is replaced.
    ///
    /// # Errors
    /// `Io`.
    pub fn bind(address: &Address, options: &ListenOptions) -> Result<Listener, Error> {
        let socket = socket::socket(address)?;
        let fd = socket.as_raw_fd();
        match address {
            Address::Tcp(tcp) => {
                socket::set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
                if options.reuseport {
                    socket::set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
                }
                if let SocketAddr::V6(_) = tcp {
                    socket::set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
                }
            }
            Address::Unix(path) => remove_stale(address, path)?,
        }
        hand_down(fd, address, &options.stream)?;
        socket::bind(fd, address)?;
        let local = socket::local(fd)?;
        let file = match address {
            Address::Unix(path) => Some(identity(path)?),
            Address::Tcp(_) => None,
        };
        let (removes_file, home) = (Cell::new(true), Cell::new(None));
        let listener = Listener { fd: socket, local, file, removes_file, home };
        if let (Address::Unix(path), Some(mode)) = (address, options.unix_mode) {
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        socket::listen(fd, options.backlog)?;
        Ok(listener)
    }

    /// A socket that listens already and came from elsewhere: from who started us, or from our
    /// predecessor. Needs no machine. The socket becomes non-blocking, for all who have it.
    ///
    /// # Errors
    /// `Io`, also when it does not listen.
    pub fn from_fd(fd: OwnedFd) -> Result<Listener, Error> {
        if !socket::is_listening(fd.as_raw_fd())? {
            let why = "the socket does not listen";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why).into());
        }
        socket::set_nonblocking(fd.as_fd())?;
        let local = socket::local(fd.as_raw_fd())?;
        let file = match &local {
            Address::Unix(path) => identity(path).ok(),
            Address::Tcp(_) => None,
        };
        let (removes_file, home) = (Cell::new(true), Cell::new(None));
        Ok(Listener { fd, local, file, removes_file, home })
    }

    /// Another descriptor of the same socket. As long as there is one the kernel keeps the queue of
    /// connections.
    ///
    /// # Errors
    /// `Io`: there are no more descriptors.
    pub fn duplicate(&self) -> Result<OwnedFd, Error> {
        Ok(self.fd.as_fd().try_clone_to_owned()?)
    }

    /// Whether the file of a Unix socket goes with the listener. It should stay when somebody else
    /// has the socket too.
    pub fn set_removes_file(&self, removes: bool) {
        self.removes_file.set(removes);
    }

    /// The next connection and who it is from.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `NotOnMachine`, `Io`: when descriptors run out (EMFILE) the
    /// connection stays in the backlog and the caller should pause before trying again.
    pub fn accept(&self, deadline: Deadline) -> Result<(Parcel, Address), Error> {
        let (machine, _) = Machine::running()?;
        let io = self.io(machine)?;
        breathe()?;
        loop {
            match socket::accept(self.fd.as_raw_fd()) {
                Ok((fd, peer)) => return Ok((Parcel::accepted(fd), peer)),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => io.readable.set(false),
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => continue,
                    _ => return Err(error.into()),
                },
            }
            wait_one_as(Doing::Accept, &io, Interest::READ, deadline)?;
        }
    }

    /// Accepts for ever: `body` gets each connection, in a coroutine of this machine. When
    /// descriptors run out, who comes waits in the backlog; when coroutines do, it is closed.
    ///
    /// An echo server, and a client that waits no longer than a second:
    ///
    /// ```
    /// use machine::{Address, Buffer, Deadline, EngineConfig, Error, ListenOptions, Listener};
    /// use machine::{Stream, StreamOptions};
    /// use std::time::Duration;
    ///
    /// fn echo(stream: &Stream) -> Result<(), Error> {
    ///     let mut buffer = Buffer::lease();
    ///     while stream.read_into(&mut buffer, Deadline::NEVER)? > 0 {
    ///         stream.write_all(buffer.data(), Deadline::NEVER)?;
    ///         buffer.clear();
    ///     }
    ///     Ok(()) // the client has ended; dropping the stream closes it
    /// }
    ///
    /// let any_port: Address = std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into();
    /// let listener = Listener::bind(&any_port, &ListenOptions::default())?;
    /// let address = listener.local();
    /// let answer = machine::run(EngineConfig::default(), move |_engine| {
    ///     machine::spawn("acceptor", move || {
    ///         listener.serve("echo", |stream, peer| {
    ///             if let Err(error) = echo(&stream) {
    ///                 eprintln!("{peer}: {error}");
    ///             }
    ///         })
    ///     })?;
    ///     let deadline = Deadline::after(Duration::from_secs(1)); // for all that follows together
    ///     let client = Stream::connect(&address, &StreamOptions::NODELAY, deadline)?;
    ///     client.write_all(b"hello", deadline)?;
    ///     let mut answer = [0; 5];
    ///     client.read_exact(&mut answer, deadline)?;
    ///     let silence = client.read(&mut [0], Deadline::after(Duration::from_millis(10)));
    ///     assert!(matches!(silence, Err(Error::TimedOut)));
    ///     Ok::<_, Error>(answer)
    /// });
    /// assert_eq!(answer??, *b"hello");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// It ends when its coroutine is cancelled ([`crate::JoinHandle::cancel`], or the end of the
    /// engine); the connections it has taken live on, each until its own body returns. At the end
    /// of the engine their waits fail with `Cancelled`.
    ///
    /// # Errors
    /// `Cancelled`, `Closed`, `NotOnMachine`.
    pub fn serve(
        &self,
        name: &'static str,
        body: impl Fn(Stream, Address) + 'static,
    ) -> Result<Infallible, Error> {
        let body = Rc::new(body);
        loop {
            let accepted = self.accept(Deadline::NEVER);
            let accepted = accepted.and_then(|(parcel, peer)| Ok((parcel.unfold()?, peer)));
            let body = Rc::clone(&body);
            let served =
                accepted.and_then(|(stream, peer)| crate::spawn(name, move || body(stream, peer)));
            match served {
                Ok(_) => {}
                Err(Error::Io(_) | Error::TooManyCoroutines { .. }) => sleep(SHORTAGE_PAUSE)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes over what can change while it listens: `backlog`, `unix_mode`, and `stream` for those
    /// who come from now on.
    ///
    /// # Errors
    /// `Io`.
    pub fn retune(&self, options: &ListenOptions) -> Result<(), Error> {
        hand_down(self.fd.as_raw_fd(), &self.local, &options.stream)?;
        socket::listen(self.fd.as_raw_fd(), options.backlog)?;
        if let (Address::Unix(path), Some(mode)) = (&self.local, options.unix_mode)
            && self.file == identity(path).ok()
        {
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        Ok(())
    }

    /// As [`ListenOptions::reuseport`], from now on: two sockets that both say so while the second
    /// is bound may have one port, each at addresses of its own or at the same.
    ///
    /// # Errors
    /// `Io`.
    pub fn share(&self, reuseport: bool) -> Result<(), Error> {
        if let Address::Tcp(_) = &self.local {
            let (fd, value) = (self.fd.as_raw_fd(), i32::from(reuseport));
            socket::set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, value)?;
        }
        Ok(())
    }

    /// Where it listens; the port is the real one when 0 was asked for.
    #[must_use]
    pub fn local(&self) -> Address {
        self.local.clone()
    }

    /// Its entry on this machine, made by the first to ask; it moves when the listener did.
    fn io(&self, machine: &Machine) -> Result<Rc<Io>, Error> {
        if let Some((shared, key)) = self.home.take() {
            if shared.index == machine.shared.index {
                self.home.set(Some((shared, key)));
                return Ok(machine.io(key).expect("a listener keeps its entry at home"));
            }
            let removed = sys::epoll_del(shared.epoll, self.fd.as_raw_fd());
            shared.post_quietly(Mail::Retire(key));
            removed?;
        }
        let io = machine.register(self.fd.as_raw_fd())?;
        self.home.set(Some((Arc::clone(&machine.shared), io.key)));
        Ok(io)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Address::Unix(path) = &self.local
            && self.removes_file.get()
            && self.file.is_some()
            && self.file == identity(path).ok()
        {
            let _ = fs::remove_file(path); // it may be gone already
        }
        if let Some((shared, key)) = self.home.take() {
            let _ = sys::epoll_del(shared.epoll, self.fd.as_raw_fd());
            match Machine::here().filter(|here| here.shared.index == shared.index) {
                Some(machine) => machine.retire(key),
                None => shared.post_quietly(Mail::Retire(key)),
            }
        }
    }
}

/// Gives a listening socket what its connections inherit; what is left out is as with a new socket.
fn hand_down(fd: RawFd, address: &Address, options: &StreamOptions) -> io::Result<()> {
    if let Address::Unix(_) = address {
        return Ok(());
    }
    let fresh = socket::socket(address)?;
    for (level, option, value) in options.table() {
        let by_default = || socket::option(fresh.as_raw_fd(), level, option);
        socket::set_option(fd, level, option, value.map_or_else(by_default, Ok)?)?;
    }
    Ok(())
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Removes the file of a Unix socket if nobody listens there.
fn remove_stale(address: &Address, path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(metadata) if metadata.file_type().is_socket() => {}
        // Connecting to a plain file is refused as well, and it is somebody's.
        Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
        Err(error) => return Err(error),
    }
    let probe = socket::socket(address)?;
    match socket::connect(probe.as_raw_fd(), address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err(io::ErrorKind::AddrInUse.into()), // somebody answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::stream::Keepalive;
    use std::net::TcpStream;

    /// What a connection has that nobody set anything on.
    fn inherited(listener: &Listener) -> Vec<i32> {
        let Address::Tcp(address) = listener.local() else { panic!("it is TCP") };
        let _client = TcpStream::connect(address).unwrap();
        // It is in the queue: the connection is there when `connect` is through.
        let accepted = (0..1000).find_map(|_| {
            let accepted = socket::accept(listener.fd.as_raw_fd()).ok();
            if accepted.is_none() {
                std::thread::yield_now();
            }
            accepted
        });
        let (accepted, _) = accepted.unwrap();
        let value = |(level, option, _)| socket::option(accepted.as_raw_fd(), level, option);
        StreamOptions::default().table().map(|row| value(row).unwrap()).to_vec()
    }

    /// Fails where the kernel stops handing one of them down, and where `retune` only adds.
    #[test]
    fn connections_are_born_with_the_options_of_their_listener() {
        let any = Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        let plain = Listener::bind(&any, &ListenOptions::default()).unwrap();
        let by_default = inherited(&plain);
        let stream = StreamOptions {
            nodelay: true,
            keepalive: Some(Keepalive { idle_s: 15, interval_s: 5, probes: 3 }),
            user_timeout_ms: Some(29_500),
        };
        let tuned = ListenOptions { stream, ..ListenOptions::default() };
        let listener = Listener::bind(&any, &tuned).unwrap();
        assert_eq!(inherited(&listener), [1, 1, 15, 5, 3, 29_500]);
        listener.retune(&ListenOptions::default()).unwrap();
        assert_eq!(inherited(&listener), by_default);
        plain.retune(&tuned).unwrap();
        assert_eq!(inherited(&plain), [1, 1, 15, 5, 3, 29_500]);
    }
}
