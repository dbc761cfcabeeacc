//! The TLS of one stream: what it reads and writes goes through here. OpenSSL is called, returns,
//! and its error is fetched, with no wait between: its queue of errors is the thread's.

use std::io;

use openssl::error::ErrorStack;
use openssl::ssl::{ErrorCode, ShutdownState, SslStream};

use super::facts::{self, Facts};
use super::handshake::Role;
use super::wire::Wire;
use super::{Error, error};
use crate::Progress;
use crate::io::Io;

/// A stream's TLS. It travels in a parcel.
pub(crate) struct Tls {
    ssl: SslStream<Wire>,
    role: Role,
    over: Option<Over>,
}

/// Nothing more will be read.
enum Over {
    /// The peer said so.
    Ended,
    /// It ended otherwise, or failed: the same is told again.
    Failed(io::ErrorKind, String),
}

impl Tls {
    /// After the handshake, on this socket.
    pub(super) fn new(mut ssl: SslStream<Wire>, role: Role, io: &Io) -> Tls {
        ssl.get_mut().fd = Some(io.fd);
        io.pending.set(true); // what came behind the handshake is in it already
        Tls { ssl, role, over: None }
    }

    pub(crate) fn facts(&self) -> Facts {
        facts::of(self.ssl.ssl(), &self.role)
    }

    /// Reads until `bytes` are full or the socket is empty.
    pub(crate) fn read(&mut self, io: &Io, bytes: &mut [u8]) -> Result<Progress, crate::Error> {
        let mut n = 0;
        if self.over.is_none() {
            self.borrow_bits(io);
            loop {
                match self.ssl.ssl_read(&mut bytes[n..]) {
                    Ok(more) => n += more,
                    Err(error) if error.code() == ErrorCode::WANT_READ => {
                        io.pending.set(false); // and the socket's bit is cleared: it was asked
                        break;
                    }
                    Err(error) => {
                        self.over = Some(self.judge(&error));
                        break;
                    }
                }
                if n == bytes.len() {
                    io.pending.set(true); // OpenSSL may have more
                    break;
                }
            }
            self.return_bits(io);
        }
        match &self.over {
            _ if n > 0 => {
                if self.over.is_some() {
                    io.pending.set(true); // there is this left to be told
                }
                Ok(Progress::Done(n))
            }
            None => Ok(Progress::Wait),
            Some(Over::Ended) => Ok(Progress::End),
            Some(Over::Failed(kind, words)) => Err(io::Error::new(*kind, words.clone()).into()),
        }
    }

    /// Writes as long as the kernel takes everything.
    pub(crate) fn write(&mut self, io: &Io, bytes: &[u8]) -> Result<Progress, crate::Error> {
        let mut n = 0;
        while n < bytes.len() && io.has_room() {
            self.borrow_bits(io);
            let written = self.ssl.ssl_write(&bytes[n..]);
            let failure = match written {
                Ok(more) => {
                    n += more;
                    None
                }
                Err(error) => Some(self.judge(&error)),
            };
            self.return_bits(io);
            match failure {
                None => {}
                Some(Over::Failed(kind, words)) => return Err(io::Error::new(kind, words).into()),
                Some(Over::Ended) => return Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
            }
        }
        Ok(if n > 0 { Progress::Done(n) } else { Progress::Wait })
    }

    /// Says that we will say no more; once.
    pub(crate) fn say_end(&mut self, io: &Io) {
        if self.ssl.get_shutdown().contains(ShutdownState::SENT) {
            return;
        }
        self.borrow_bits(io);
        let _ = self.ssl.shutdown(); // a session that failed has nothing to say
        self.return_bits(io);
    }

    fn borrow_bits(&mut self, io: &Io) {
        drop(ErrorStack::get()); // what others left must not be taken for ours
        let wire = self.ssl.get_mut();
        wire.readable = io.readable.get();
        wire.writable = io.has_room();
        wire.hung_up = io.hung_up.get();
    }

    fn return_bits(&mut self, io: &Io) {
        let wire = self.ssl.get_mut();
        io.readable.set(wire.readable);
        if io.has_room() && !wire.writable {
            io.fill_up(); // it was lent as true
        }
        if !wire.unsent.is_empty() {
            io.owe(std::mem::take(&mut wire.unsent));
        }
    }

    fn judge(&mut self, error: &openssl::ssl::Error) -> Over {
        let wire = self.ssl.get_mut();
        if let Some(failure) = wire.failure.take() {
            return Over::Failed(failure.kind(), failure.to_string());
        }
        if error.code() == ErrorCode::ZERO_RETURN {
            return Over::Ended;
        }
        if wire.ended {
            let words = "the connection ended in the middle of TLS".to_owned();
            return Over::Failed(io::ErrorKind::UnexpectedEof, words);
        }
        let said = error.ssl_error().map_or("", error::reason);
        Over::Failed(io::ErrorKind::InvalidData, format!("TLS: {}", error::worded(said)))
    }
}

impl From<Error> for crate::Error {
    fn from(error: Error) -> crate::Error {
        match error {
            Error::Engine(error) => error,
            Error::Closed => io::Error::from(io::ErrorKind::UnexpectedEof).into(),
            Error::Refused(words) => io::Error::new(io::ErrorKind::InvalidData, words).into(),
        }
    }
}
