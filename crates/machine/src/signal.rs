//! Signals of the process as something to wait for, by signalfd. What a signal means is not known
//! here.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use crate::Deadline;
use crate::census::Doing;
use crate::error::Error;
use crate::io::Io;
use crate::machine::Machine;
use crate::notified::Notified;
use crate::sys;
use crate::wait::{Interest, Woken, wait_on};

/// A signal that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Which one.
    pub number: i32,
    /// The process that sent it; 0 for the kernel.
    pub sender: u32,
}

/// A set of signals that arrive here instead of interrupting a thread.
pub struct Signals {
    fd: OwnedFd,
    io: Rc<Io>,
}

impl Signals {
    /// Blocks `signals` for this thread and all it starts. Call it in `main` before the engine
    /// starts, or one of the engine's threads would still be killed by them.
    ///
    /// # Errors
    /// `Io` for a number that is no signal.
    pub fn block(signals: &[i32]) -> Result<(), Error> {
        Ok(sys::block_signals(signals)?)
    }

    /// Listens for `signals`, which must be blocked.
    ///
    /// # Errors
    /// `Io`, `NotOnMachine`.
    pub fn new(signals: &[i32]) -> Result<Signals, Error> {
        let machine = Machine::here().ok_or(Error::NotOnMachine)?;
        let fd = sys::signalfd(signals)?;
        let io = machine.register(fd.as_raw_fd())?;
        io.readable.set(true); // one may be pending since before
        Ok(Signals { fd, io })
    }

    /// The next signal.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `Io`.
    pub fn wait(&self, deadline: Deadline) -> Result<i32, Error> {
        match self.wait_or(None, deadline)? {
            Some(signal) => Ok(signal.number),
            None => Err(Error::TimedOut), // nobody notifies
        }
    }

    /// The next signal, or None when the flag is set before one comes. The flag stays set.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `Io`.
    pub fn wait_or(
        &self,
        notified: Option<&Notified>,
        deadline: Deadline,
    ) -> Result<Option<Signal>, Error> {
        loop {
            let wants = [(&self.io, Interest::READ)];
            match wait_on(Doing::Signal, &wants, notified, deadline)? {
                Woken::TimedOut => return Err(Error::TimedOut),
                Woken::Notified => return Ok(None),
                Woken::Ready => {}
            }
            match sys::signalfd_read(self.fd.as_raw_fd()) {
                Ok((number, sender)) => return Ok(Some(Signal { number, sender })),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.io.readable.set(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        if let Some(machine) = Machine::here() {
            machine.retire(self.io.key);
        }
    }
}
