//! A connected socket of this machine. Non-blocking calls that consult the readiness bits first,
//! and the few blocking-looking ones written on them. It knows bytes, in plain text or in TLS;
//! protocols sit on top.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Io;
use super::address::Address;
use super::parcel::{Folded, Parcel, Watch, Watcher};
use crate::Deadline;
use crate::buffer::Buffer;
use crate::census::Doing;
use crate::coroutine::sleep;
use crate::error::Error;
use crate::machine::Machine;
use crate::sys::socket;
use crate::tls::{Facts, Tls};
use crate::wait::{Interest, Waitable, breathe, wait_one, wait_one_as};

/// First and longest pause between attempts to enter a full Unix backlog, which has no event to
/// wait for.
const BACKLOG_PAUSE: Duration = Duration::from_millis(1);
const BACKLOG_PAUSE_MAX: Duration = Duration::from_millis(50);

/// What Linux can count; it refuses more.
const KEEPALIVE_S_MAX: u32 = 32_767;
const KEEPALIVE_PROBES_MAX: u32 = 127;

/// TCP keepalive. What is more than the system can count is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe; 0 leaves the system's default.
    pub idle_s: u32,
    /// Between probes; 0 leaves the system's default.
    pub interval_s: u32,
    /// Unanswered probes before the connection is dead; 0 leaves the system's default.
    pub probes: u32,
}

/// Options of a connection. They are for TCP and ignored on Unix sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamOptions {
    /// Send small segments at once.
    pub nodelay: bool,
    /// Probe a silent peer.
    pub keepalive: Option<Keepalive>,
    /// How long written data may stay unacknowledged.
    pub user_timeout_ms: Option<u32>,
}

impl StreamOptions {
    /// As a protocol of requests and answers needs it: what is small is not held back.
    pub const NODELAY: StreamOptions =
        StreamOptions { nodelay: true, keepalive: None, user_timeout_ms: None };

    /// As the system knows them: level, option, and the value if it is not to be the system's own.
    pub(super) fn table(&self) -> [(i32, i32, Option<i32>); 6] {
        let Keepalive { idle_s, interval_s, probes } = self.keepalive.unwrap_or_default();
        let int = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        let some = |value: u32, max: u32| (value > 0).then(|| int(value.min(max)));
        let keeps_alive = self.keepalive.map(|_| 1);
        [
            (libc::IPPROTO_TCP, libc::TCP_NODELAY, self.nodelay.then_some(1)),
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE, keeps_alive),
            (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, some(idle_s, KEEPALIVE_S_MAX)),
            (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, some(interval_s, KEEPALIVE_S_MAX)),
            (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, some(probes, KEEPALIVE_PROBES_MAX)),
            (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, self.user_timeout_ms.map(int)),
        ]
    }
}

/// How far a call that never waits came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// So many bytes, at least one.
    Done(usize),
    /// Nothing now; wait for it.
    Wait,
    /// End of stream.
    End,
}

/// A connected socket, registered once for its life on this machine. It stays there; to move it,
/// [`fold`] it:
///
/// ```compile_fail
/// fn send<T: Send>() {}
/// send::<machine::Stream>();
/// ```
///
/// # The short-read rule
/// A read that returns less than it had room for has drained the socket: the readable bit is
/// cleared without asking again, which saves one system call in two. The exception is the end: data
/// and FIN may come in *one* edge, and no other follows. So an edge with a hang-up sets a sticky
/// bit, and from then on reading goes on until 0, EAGAIN or an error. A short read that clears the
/// bit regardless (no `&& !hung_up` in `try_read`) was tried: every connection whose data and FIN
/// came together hung.
///
/// [`fold`]: Stream::fold
pub struct Stream {
    io: Rc<Io>,
    /// Taken when folded; otherwise dropping the stream closes the socket.
    fd: Option<OwnedFd>,
    /// What reads and writes go through.
    pub(crate) tls: Option<Box<RefCell<Tls>>>,
}

impl Waitable for Stream {
    fn io(&self) -> &Rc<Io> {
        &self.io
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("fd", &self.io.fd)
            .field("readable", &self.is_readable())
            .field("writable", &self.is_writable())
            .field("hung_up", &self.is_hung_up())
            .finish()
    }
}

impl Stream {
    pub(crate) fn new(io: Rc<Io>, fd: OwnedFd) -> Stream {
        debug_assert_eq!(io.fd, fd.as_raw_fd());
        Stream { io, fd: Some(fd), tls: None }
    }

    /// Registers a connected socket here. Room for writing is taken for granted.
    pub(crate) fn register(fd: OwnedFd) -> Result<Stream, Error> {
        let machine = Machine::here().ok_or(Error::NotOnMachine)?;
        let io = machine.register(fd.as_raw_fd())?;
        io.writable.set(true);
        Ok(Stream::new(io, fd))
    }

    /// Registers a connected socket here of which the kernel is to tell nothing before somebody
    /// waits for it. A first read is tried: who has just connected has something to say.
    pub(super) fn adopt(fd: OwnedFd) -> Result<Stream, Error> {
        let machine = Machine::here().ok_or(Error::NotOnMachine)?;
        let io = machine.adopt(fd.as_raw_fd());
        io.promising.set(true);
        io.writable.set(true);
        Ok(Stream::new(io, fd))
    }

    /// Does the kernel tell its events?
    pub(super) fn is_enlisted(&self) -> bool {
        self.io.is_enlisted()
    }

    /// Gives the socket up; its entry here ends.
    pub(super) fn release(mut self) -> OwnedFd {
        let fd = self.fd.take().expect("a stream owns its socket until folded");
        if let Some(machine) = Machine::here() {
            machine.retire(self.io.key);
        }
        fd
    }

    /// The socket.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("a stream owns its socket until folded").as_fd()
    }

    /// A call on the descriptor itself would have blocked.
    pub(super) fn used_up(&self, interest: Interest) {
        if interest == Interest::READ {
            self.io.readable.set(false);
        } else {
            self.io.fill_up();
        }
    }

    /// Connects. A full backlog of a Unix socket is tried again until the deadline.
    ///
    /// # Errors
    /// `Io` with the reason of the refusal, `TimedOut`, `Cancelled`, `NotOnMachine`.
    pub fn connect(
        address: &Address,
        options: &StreamOptions,
        deadline: Deadline,
    ) -> Result<Stream, Error> {
        Machine::running()?;
        let fd = socket::socket(address)?;
        if matches!(address, Address::Tcp(_)) {
            apply(fd.as_raw_fd(), options)?;
        }
        let mut pause = BACKLOG_PAUSE;
        loop {
            match socket::connect(fd.as_raw_fd(), address) {
                Ok(()) => return Stream::register(fd),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINPROGRESS) => return Stream::connecting(fd, deadline),
                    Some(libc::EINTR) => {}
                    Some(libc::EAGAIN) => {
                        if deadline.is_past(Instant::now()) {
                            return Err(Error::TimedOut);
                        }
                        let left = deadline.remaining(Instant::now()).unwrap_or(pause);
                        sleep(pause.min(left))?;
                        pause = (pause * 2).min(BACKLOG_PAUSE_MAX);
                    }
                    _ => return Err(error.into()),
                },
            }
        }
    }

    fn connecting(fd: OwnedFd, deadline: Deadline) -> Result<Stream, Error> {
        let machine = Machine::here().ok_or(Error::NotOnMachine)?;
        let io = machine.register(fd.as_raw_fd())?;
        let stream = Stream::new(io, fd);
        wait_one_as(Doing::Connect, &stream, Interest::WRITE, deadline)?;
        socket::take_error(stream.io.fd)?;
        Ok(stream)
    }

    /// Reads what is there. `bytes` must have room.
    ///
    /// # Errors
    /// `Io`; a reset by the peer is an error, an end of stream is not. Under TLS the peer has to
    /// say that it ends: a stream that just stops is `UnexpectedEof`, for anybody can cut a wire.
    ///
    /// # Panics
    /// If `bytes` is empty.
    pub fn try_read(&self, bytes: &mut [u8]) -> Result<Progress, Error> {
        assert!(!bytes.is_empty(), "a read needs room"); // the kernel would answer 0: an end
        if let Some(tls) = &self.tls {
            return tls.borrow_mut().read(&self.io, bytes);
        }
        while self.io.readable.get() || self.io.promising.replace(false) {
            match socket::recv(self.io.fd, bytes) {
                Ok(0) => return Ok(Progress::End),
                Ok(n) => {
                    self.io.readable.set(n == bytes.len() || self.io.hung_up.get());
                    return Ok(Progress::Done(n));
                }
                Err(error) => blocked(error, &self.io.readable)?,
            }
        }
        Ok(Progress::Wait)
    }

    /// Reads what is there into the room of `buffer`, which must have some.
    ///
    /// # Errors
    /// As [`try_read`](Stream::try_read).
    pub fn try_read_into(&self, buffer: &mut Buffer) -> Result<Progress, Error> {
        let progress = self.try_read(buffer.space())?;
        if let Progress::Done(n) = progress {
            buffer.filled(n);
        }
        Ok(progress)
    }

    /// Writes as much as there is room for. Never `End`: a closed peer is an error.
    ///
    /// # Errors
    /// `Io`.
    ///
    /// # Panics
    /// If `bytes` is empty.
    pub fn try_write(&self, bytes: &[u8]) -> Result<Progress, Error> {
        if let Some(tls) = &self.tls {
            assert!(!bytes.is_empty(), "a write needs bytes");
            return tls.borrow_mut().write(&self.io, bytes);
        }
        self.write_with(bytes.len(), |fd| socket::send(fd, bytes))
    }

    /// Writes what is in `buffer` as far as there is room, and consumes that; what is left in it
    /// waits for [`Interest::WRITE`].
    ///
    /// # Errors
    /// As [`try_write`](Stream::try_write); what was written before is consumed.
    pub fn try_write_from(&self, buffer: &mut Buffer) -> Result<(), Error> {
        while !buffer.is_empty()
            && let Progress::Done(bytes) = self.try_write(buffer.data())?
        {
            buffer.consume(bytes);
        }
        Ok(())
    }

    /// As [`try_write`](Stream::try_write), from several places at once.
    ///
    /// # Errors
    /// `Io`.
    pub fn try_write_vectored(&self, parts: &[IoSlice<'_>]) -> Result<Progress, Error> {
        if let Some(tls) = &self.tls {
            let record = gathered(parts);
            assert!(!record.is_empty(), "a write needs bytes");
            return tls.borrow_mut().write(&self.io, record.data());
        }
        let total = parts.iter().map(|part| part.len()).sum();
        self.write_with(total, |fd| socket::send_vectored(fd, parts))
    }

    fn write_with(
        &self,
        total: usize,
        write: impl Fn(RawFd) -> io::Result<usize>,
    ) -> Result<Progress, Error> {
        assert!(total > 0, "a write needs bytes"); // or a caller would wait for what is done
        while self.io.writable.get() {
            match write(self.io.fd) {
                Ok(n) => {
                    if n < total {
                        self.io.fill_up(); // its edge comes when there is room again
                    }
                    return Ok(Progress::Done(n));
                }
                Err(error) => blocked(error, &self.io.writable)?,
            }
        }
        self.io.fill_up();
        Ok(Progress::Wait)
    }

    /// May a read find something? No system call.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.io.has_bytes()
    }

    /// May a write find room? No system call.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.io.has_room()
    }

    /// Did the peer end its side, or is the socket dead? No system call.
    #[must_use]
    pub fn is_hung_up(&self) -> bool {
        self.io.hung_up.get()
    }

    /// Waits for bytes and reads them; 0 is the end of the stream.
    ///
    /// # Errors
    /// `Io`, `TimedOut`, `Cancelled`.
    pub fn read(&self, bytes: &mut [u8], deadline: Deadline) -> Result<usize, Error> {
        breathe()?;
        loop {
            match self.try_read(bytes)? {
                Progress::Done(n) => return Ok(n),
                Progress::End => return Ok(0),
                Progress::Wait => wait_one(self, Interest::READ, deadline)?,
            }
        }
    }

    /// Waits for bytes and reads them into the room of `buffer`; 0 is the end of the stream.
    ///
    /// # Errors
    /// `Io`, `TimedOut`, `Cancelled`.
    pub fn read_into(&self, buffer: &mut Buffer, deadline: Deadline) -> Result<usize, Error> {
        let n = self.read(buffer.space(), deadline)?;
        buffer.filled(n);
        Ok(n)
    }

    /// Writes everything. For answers and requests of bounded size; a relay must not wait for one
    /// direction only, or two peers that both write stand still.
    ///
    /// # Errors
    /// `Io`, `TimedOut`, `Cancelled`; how much was written is unknown then.
    pub fn write_all(&self, mut bytes: &[u8], deadline: Deadline) -> Result<(), Error> {
        breathe()?;
        while !bytes.is_empty() {
            match self.try_write(bytes)? {
                Progress::Done(n) => bytes = &bytes[n..],
                Progress::Wait | Progress::End => wait_one(self, Interest::WRITE, deadline)?,
            }
        }
        if self.io.owes() {
            wait_one(self, Interest::WRITE, deadline)?;
        }
        Ok(())
    }

    /// Ends our side; the peer reads an end of stream.
    ///
    /// # Errors
    /// `Io`.
    pub fn shutdown_write(&self) -> Result<(), Error> {
        if let Some(tls) = &self.tls {
            tls.borrow_mut().say_end(&self.io);
        }
        Ok(self.io.shutdown_write()?)
    }

    /// What is known of its TLS; None if it speaks none.
    #[must_use]
    pub fn tls(&self) -> Option<Facts> {
        self.tls.as_ref().map(|tls| tls.borrow().facts())
    }

    /// The other end; an empty path when the system does not know it any more.
    #[must_use]
    pub fn peer(&self) -> Address {
        socket::peer(self.io.fd).unwrap_or(Address::Unix(PathBuf::new()))
    }

    /// The process that connected; `None` over a network, or when it lives where ours cannot be
    /// told of it.
    #[must_use]
    pub fn peer_process(&self) -> Option<u32> {
        socket::peer_process(self.io.fd).ok().filter(|process| *process != 0)
    }

    /// This end.
    #[must_use]
    pub fn local(&self) -> Address {
        socket::local(self.io.fd).unwrap_or(Address::Unix(PathBuf::new()))
    }

    /// Applies options; without effect on Unix sockets.
    ///
    /// # Errors
    /// `Io`.
    pub fn set_options(&self, options: &StreamOptions) -> Result<(), Error> {
        match self.local() {
            Address::Tcp(_) => Ok(apply(self.io.fd, options)?),
            Address::Unix(_) => Ok(()),
        }
    }

    /// Closing sends a reset and throws away what was not sent.
    ///
    /// # Errors
    /// `Io`.
    pub fn set_linger_reset(&self) -> Result<(), Error> {
        Ok(socket::set_linger_reset(self.io.fd)?)
    }

    /// Packs the socket to be unfolded later, here or on another machine. It stays registered here.
    /// Its TLS goes with it; what the kernel had no room for is sent when it is unfolded.
    #[must_use]
    pub fn fold(mut self) -> Parcel {
        let machine = Machine::here().expect("a stream is on its machine");
        // Where that fails the socket cannot be taken elsewhere, and who tries is told so.
        let _ = self.io.enlist(machine);
        let fd = self.fd.take().expect("a stream owns its socket until folded");
        let folded = self.tls.take().map(|tls| Folded {
            tls: RefCell::into_inner(*tls),
            pending: self.io.pending.get(),
            owed: self.io.take_owed(),
        });
        Parcel::at_home(fd, Arc::clone(&machine.shared), self.io.key, folded.map(Box::new))
    }

    pub(crate) fn unfold_tls(&mut self, folded: Folded) {
        let Folded { tls, pending, owed } = folded;
        self.io.pending.set(pending);
        self.io.owe(owed);
        self.io.flush();
        self.tls = Some(Box::new(RefCell::new(tls)));
    }

    /// As [`fold`](Stream::fold), and `watcher` hears with `key` when the socket becomes readable
    /// or hung up. If it is so already, the watcher hears that.
    #[must_use]
    pub fn fold_watched(self, watcher: Arc<dyn Watcher>, key: u64) -> Parcel {
        let machine = Machine::here().expect("a stream is on its machine");
        self.io.watch.replace(Some(Watch { watcher, key }));
        if self.io.has(Interest::READ | Interest::HANGUP) {
            self.io.stir(machine);
        }
        self.fold()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let fd = self.fd.take();
        if fd.is_some()
            && let Some(machine) = Machine::here()
        {
            if let Some(tls) = self.tls.take()
                && self.io.has_room()
            {
                tls.borrow_mut().say_end(&self.io); // or the peer had to suspect a cut wire
            }
            machine.retire(self.io.key);
        }
    }
}

/// What fits into one record.
fn gathered(parts: &[IoSlice<'_>]) -> Buffer {
    let mut record = Buffer::lease();
    for part in parts {
        let room = record.space();
        let n = room.len().min(part.len());
        room[..n].copy_from_slice(&part[..n]);
        record.filled(n);
    }
    record
}

/// EAGAIN clears the bit, EINTR leaves it for another try, all else is an error.
fn blocked(error: io::Error, bit: &Cell<bool>) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::WouldBlock => bit.set(false),
        io::ErrorKind::Interrupted => {}
        _ => return Err(error),
    }
    Ok(())
}

fn apply(fd: RawFd, options: &StreamOptions) -> io::Result<()> {
    for (level, option, value) in options.table() {
        if let Some(value) = value {
            socket::set_option(fd, level, option, value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    /// NODELAY, KEEPALIVE, KEEPIDLE, KEEPINTVL, KEEPCNT and USER_TIMEOUT after `options` were
    /// applied to a fresh connection.
    fn applied(options: &StreamOptions) -> [i32; 6] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        apply(stream.as_raw_fd(), options).unwrap();
        let fd = stream.as_raw_fd();
        let tcp = |option| socket::option(fd, libc::IPPROTO_TCP, option).unwrap();
        [
            tcp(libc::TCP_NODELAY),
            socket::option(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE).unwrap(),
            tcp(libc::TCP_KEEPIDLE),
            tcp(libc::TCP_KEEPINTVL),
            tcp(libc::TCP_KEEPCNT),
            tcp(libc::TCP_USER_TIMEOUT),
        ]
    }

    #[test]
    fn the_kernel_has_the_options_that_were_given() {
        let [_, _, idle, interval, probes, _] = applied(&StreamOptions::default());
        assert_eq!(applied(&StreamOptions::default())[..2], [0, 0]);
        let mut options = StreamOptions {
            nodelay: true,
            keepalive: Some(Keepalive { idle_s: 15, interval_s: 5, probes: 3 }),
            user_timeout_ms: Some(29_500),
        };
        assert_eq!(applied(&options), [1, 1, 15, 5, 3, 29_500]);
        options.keepalive = Some(Keepalive { idle_s: 0, interval_s: 0, probes: 0 });
        options.user_timeout_ms = None;
        assert_eq!(applied(&options), [1, 1, idle, interval, probes, 0]);
        let most = Keepalive { idle_s: u32::MAX, interval_s: 40_000, probes: 1000 };
        options.keepalive = Some(most);
        assert_eq!(applied(&options), [1, 1, 32_767, 32_767, 127, 0]);
    }
}
