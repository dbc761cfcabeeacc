//! Sockets that leave the process or come from another one: streams and parcels of descriptors, and
//! descriptors in the messages of a Unix stream. What they are for is not known here.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::parcel::Parcel;
use super::stream::Stream;
use crate::Deadline;
use crate::error::Error;
use crate::machine::Machine;
use crate::sys::{self, socket};
use crate::wait::{Interest, breathe, wait_one};

/// Descriptors that one message may carry; the kernel's bound is 253.
pub const DESCRIPTORS_MAX: usize = socket::DESCRIPTORS_MAX;

impl Stream {
    /// A stream of this machine on a connected socket that came from elsewhere. The socket becomes
    /// non-blocking, for all who have it.
    ///
    /// # Errors
    /// `NotOnMachine`, or `Io` when it cannot be registered; it is closed then.
    pub fn from_fd(fd: OwnedFd) -> Result<Stream, Error> {
        socket::set_nonblocking(fd.as_fd())?;
        Stream::register(fd)
    }

    /// The socket itself, which this machine does not watch any more. Another process may have it
    /// too, so closing it would not be enough: its events would go on to come here.
    ///
    /// # Errors
    /// `Io`; the socket is closed then.
    ///
    /// # Panics
    /// Under TLS: nobody could go on with the bare socket.
    pub fn into_fd(self) -> Result<OwnedFd, Error> {
        assert!(self.tls.is_none(), "a socket under TLS stays with its keys");
        let machine = Machine::here().ok_or(Error::NotOnMachine)?;
        if self.is_enlisted() {
            sys::epoll_del(machine.shared.epoll, self.as_fd().as_raw_fd())?;
        }
        Ok(self.release())
    }

    /// Another descriptor of the same socket, not watched by anybody.
    ///
    /// # Errors
    /// `Io`: there are no more descriptors.
    pub fn duplicate(&self) -> Result<OwnedFd, Error> {
        Ok(self.as_fd().try_clone_to_owned()?)
    }

    /// Writes everything, and with the first byte copies of these descriptors. For Unix sockets.
    ///
    /// # Errors
    /// `Io`, `TimedOut`, `Cancelled`; what was written is unknown then.
    ///
    /// # Panics
    /// For more than [`DESCRIPTORS_MAX`] descriptors, or descriptors and no byte.
    pub fn write_all_with(
        &self,
        mut bytes: &[u8],
        descriptors: &[BorrowedFd<'_>],
        deadline: Deadline,
    ) -> Result<(), Error> {
        assert!(descriptors.len() <= DESCRIPTORS_MAX && !bytes.is_empty());
        breathe()?;
        while !descriptors.is_empty() {
            match socket::send_with(self.as_fd(), bytes, descriptors) {
                Ok(n) => {
                    bytes = &bytes[n..];
                    break;
                }
                Err(error) => self.not_now(error, Interest::WRITE, deadline)?,
            }
        }
        self.write_all(bytes, deadline)
    }

    /// Waits for bytes and reads them, with the descriptors that came with them; 0 is the end of
    /// the stream. The short-read rule does not hold here: a message with descriptors ends a read.
    ///
    /// # Errors
    /// `Io`, `TimedOut`, `Cancelled`.
    pub fn read_with(
        &self,
        bytes: &mut [u8],
        descriptors: &mut Vec<OwnedFd>,
        deadline: Deadline,
    ) -> Result<usize, Error> {
        assert!(!bytes.is_empty(), "a read needs room");
        breathe()?;
        loop {
            match socket::receive_with(self.as_fd(), bytes, descriptors) {
                Ok(n) => return Ok(n),
                Err(error) => self.not_now(error, Interest::READ, deadline)?,
            }
        }
    }

    /// Waits for what would have blocked; every other error is one.
    fn not_now(
        &self,
        error: io::Error,
        interest: Interest,
        deadline: Deadline,
    ) -> Result<(), Error> {
        match error.kind() {
            io::ErrorKind::WouldBlock => {
                self.used_up(interest);
                wait_one(self, interest, deadline)
            }
            io::ErrorKind::Interrupted => Ok(()),
            _ => Err(error.into()),
        }
    }
}

impl Parcel {
    /// A connected socket that came from elsewhere, to be unfolded on any machine. The socket
    /// becomes non-blocking, for all who have it.
    ///
    /// # Errors
    /// `Io`.
    pub fn from_fd(fd: OwnedFd) -> Result<Parcel, Error> {
        socket::set_nonblocking(fd.as_fd())?;
        Ok(Parcel::accepted(fd))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Engine, EngineConfig};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    /// Seen to fail: a socket that is only closed here while another process has it. epoll goes on
    /// to tell its events.
    #[test]
    fn a_socket_travels_in_a_message_and_leaves_no_trace_behind() {
        let engine = Engine::start(EngineConfig::default()).expect("one engine a process");
        let (done, end) = channel();
        let spawned = engine.machines()[0].spawn("test", move || {
            let deadline = Deadline::after(Duration::from_secs(5));
            let (line, other) = UnixStream::pair().unwrap();
            let (mut peer, traveller) = UnixStream::pair().unwrap();
            let line = Stream::from_fd(line.into()).unwrap();
            let traveller = Stream::from_fd(traveller.into()).unwrap();
            let copy = traveller.duplicate().unwrap();
            line.write_all_with(b"hello", &[copy.as_fd()], deadline).unwrap();
            let number = traveller.as_fd().as_raw_fd();
            assert!(is_watched(number));
            drop((copy, traveller.into_fd().unwrap()));
            assert!(!is_watched(number), "its events come here no more");

            let other = Stream::from_fd(other.into()).unwrap();
            let (mut bytes, mut came) = ([0; 16], Vec::new());
            assert_eq!(other.read_with(&mut bytes, &mut came, deadline).unwrap(), 5);
            assert_eq!((&bytes[..5], came.len()), (&b"hello"[..], 1));
            peer.write_all(b"for the traveller").unwrap();
            let mut travelled = UnixStream::from(came.remove(0));
            assert_eq!(travelled.read(&mut bytes).unwrap(), 16);
            done.send(()).unwrap();
        });
        assert!(spawned.is_ok() && end.recv().is_ok(), "the body failed");
        engine.shutdown();
    }

    /// Is a descriptor of this number in the epoll set of this machine?
    fn is_watched(number: i32) -> bool {
        let machine = Machine::here().expect("on a machine");
        let path = format!("/proc/self/fdinfo/{}", machine.shared.epoll);
        let text = std::fs::read_to_string(path).unwrap();
        let watched = text.lines().filter_map(|line| line.strip_prefix("tfd:"));
        watched
            .filter_map(|line| line.split_whitespace().next()?.parse::<i32>().ok())
            .any(|it| it == number)
    }
}
