//! Bytes that were taken for written and that the kernel had no room for: at most what TLS makes of
//! one write. The machine sends them when there is room, whatever the stream's owner waits for.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;

use crate::sys::socket;

pub(crate) struct Outbox {
    is_empty: Cell<bool>,
    owed: RefCell<Vec<u8>>,
    /// Our side ends behind them.
    ends: Cell<bool>,
}

impl Outbox {
    pub(crate) fn new() -> Outbox {
        let owed = RefCell::new(Vec::new());
        Outbox { is_empty: Cell::new(true), owed, ends: Cell::new(false) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.is_empty.get()
    }

    pub(crate) fn add(&self, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        self.is_empty.set(false);
        let mut owed = self.owed.borrow_mut();
        if owed.is_empty() {
            *owed = bytes;
        } else {
            owed.extend_from_slice(&bytes);
        }
    }

    pub(crate) fn take(&self) -> Vec<u8> {
        self.is_empty.set(true);
        self.owed.take()
    }

    /// As much as there is room for; clears `writable` when that is not all.
    pub(crate) fn send(&self, fd: RawFd, writable: &Cell<bool>) {
        let mut owed = self.owed.borrow_mut();
        let mut sent = 0;
        while writable.get() && sent < owed.len() {
            match socket::send(fd, &owed[sent..]) {
                Ok(n) => {
                    sent += n;
                    writable.set(sent == owed.len());
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => writable.set(false),
                    io::ErrorKind::Interrupted => {}
                    _ => sent = owed.len(), // nobody will read them
                },
            }
        }
        owed.drain(..sent);
        if owed.is_empty() {
            *owed = Vec::new();
            self.is_empty.set(true);
            if self.ends.get() {
                let _ = socket::shutdown_write(fd); // a dead socket has ended
            }
        }
    }

    /// Now, or behind what is owed.
    pub(crate) fn shutdown_write(&self, fd: RawFd) -> io::Result<()> {
        if self.is_empty() {
            return socket::shutdown_write(fd);
        }
        self.ends.set(true);
        Ok(())
    }
}
