//! What the world did to us, one enum for the crate. It knows no protocol and no policy: a refused
//! connection is `Io`, a passed deadline is `TimedOut`, and who is to blame for it is decided
//! elsewhere.

use std::fmt;
use std::io;

/// Why a wait, a socket or a coroutine failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system said no; its own words.
    Io(io::Error),
    /// The deadline passed first.
    TimedOut,
    /// This coroutine was cancelled (or waits while it unwinds from a panic).
    Cancelled,
    /// The engine, or the thing waited for, is gone or going.
    Closed,
    /// Every stack the process may have is in use. Nothing was started.
    TooManyCoroutines {
        /// The ceiling, all machines together.
        max: usize,
    },
    /// A bounded queue was full. Nothing was queued.
    QueueFull {
        /// Which queue.
        queue: &'static str,
        /// Its bound.
        max: usize,
    },
    /// One engine a process: this is the second one.
    AlreadyStarted,
    /// Only a coroutine of a machine can wait; this is another thread, or the reactor itself.
    NotOnMachine,
    /// The coroutine or the offloaded work panicked, with this message.
    Panicked(String),
    /// A host name led to no address.
    Resolve {
        /// The name asked for.
        host: String,
        /// What the resolver said.
        reason: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(error) => error.fmt(f),
            Error::TimedOut => f.write_str("timed out"),
            Error::Cancelled => f.write_str("cancelled"),
            Error::Closed => f.write_str("closed"),
            Error::TooManyCoroutines { max } => write!(f, "all {max} coroutines are in use"),
            Error::QueueFull { queue, max } => write!(f, "the {queue} queue is full ({max})"),
            Error::AlreadyStarted => f.write_str("the engine of this process was started before"),
            Error::NotOnMachine => f.write_str("not in a coroutine of a machine"),
            Error::Panicked(message) => write!(f, "panicked: {message}"),
            Error::Resolve { host, reason } => write!(f, "failed to resolve {host}: {reason}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Io(error)
    }
}
