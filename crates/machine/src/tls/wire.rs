//! The wire as OpenSSL sees it: a socket that takes everything and gives what is there. In a
//! handshake it is memory only, because that may be computed on another thread, and a socket that
//! was closed meanwhile must not be touched.

use std::io::{self, Read, Write};
use std::os::fd::RawFd;

use crate::sys::socket;

/// What OpenSSL may owe the kernel: one record, or one flight of a handshake with its certificates,
/// or answers to key updates of a peer that does not read them.
const UNSENT_BYTES_MAX: usize = 256 * 1024;

/// One end of a connection. Plain data: it travels with its session.
pub(super) struct Wire {
    /// `None` in a handshake.
    pub(super) fd: Option<RawFd>,
    /// Bytes that arrived in a handshake; they come before those of the socket.
    arrived: Vec<u8>,
    /// So many of them were taken.
    taken: usize,
    /// What the kernel did not take.
    pub(super) unsent: Vec<u8>,
    /// The socket's bits, as they are in its entry; borrowed for a call.
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) hung_up: bool,
    /// The socket's stream ended.
    pub(super) ended: bool,
    /// How the socket failed.
    pub(super) failure: Option<io::Error>,
}

impl Wire {
    pub(super) fn new() -> Wire {
        Wire {
            fd: None,
            arrived: Vec::new(),
            taken: 0,
            unsent: Vec::new(),
            readable: false,
            writable: false,
            hung_up: false,
            ended: false,
            failure: None,
        }
    }

    /// These came from the peer.
    pub(super) fn arrive(&mut self, bytes: &[u8]) {
        self.arrived.drain(..self.taken);
        self.taken = 0;
        self.arrived.extend_from_slice(bytes);
    }

    /// Are there none that were not taken?
    pub(super) fn is_empty(&self) -> bool {
        self.taken == self.arrived.len()
    }

    fn recv(&mut self, fd: RawFd, bytes: &mut [u8]) -> io::Result<usize> {
        while self.readable {
            match socket::recv(fd, bytes) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(0);
                }
                Ok(n) => {
                    // The short-read rule of `Stream`, which is about the socket.
                    if n < bytes.len() && !self.hung_up {
                        self.readable = false;
                    }
                    return Ok(n);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => self.readable = false,
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(self.fail(error)),
                },
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn fail(&mut self, error: io::Error) -> io::Error {
        let kind = error.kind();
        self.failure = Some(error);
        kind.into()
    }
}

impl Read for Wire {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.taken < self.arrived.len() {
            let n = bytes.len().min(self.arrived.len() - self.taken);
            bytes[..n].copy_from_slice(&self.arrived[self.taken..self.taken + n]);
            self.taken += n;
            if self.taken == self.arrived.len() {
                (self.arrived, self.taken) = (Vec::new(), 0);
            }
            return Ok(n);
        }
        match self.fd {
            Some(fd) if !bytes.is_empty() => self.recv(fd, bytes),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Wire {
    /// Takes all of it: what the kernel does not, is kept.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while let (Some(fd), true, true, [_, ..]) =
            (self.fd, self.writable, self.unsent.is_empty(), rest)
        {
            match socket::send(fd, rest) {
                Ok(n) => {
                    self.writable = n == rest.len();
                    rest = &rest[n..];
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => self.writable = false,
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(self.fail(error)),
                },
            }
        }
        if self.unsent.len() + rest.len() > UNSENT_BYTES_MAX {
            let text = "the peer does not read what TLS has to tell it";
            return Err(self.fail(io::Error::other(text)));
        }
        self.unsent.extend_from_slice(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
