//! Sockets by their numbers, and which of them have something to read.

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Events a turn.
const EVENTS: usize = 256;

pub struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poll {
    pub fn new() -> io::Result<Poll> {
        let events = Vec::with_capacity(EVENTS);
        Ok(Poll { epoll: epoll::create(CreateFlags::CLOEXEC)?, events })
    }

    /// Tells `key` as long as there is something to read.
    pub fn add(&self, socket: impl AsFd, key: usize) -> io::Result<()> {
        let data = EventData::new_u64(key as u64);
        Ok(epoll::add(&self.epoll, socket, data, EventFlags::IN)?)
    }

    /// The keys of those that have something to read, after some time at the latest.
    pub fn wait(&mut self, patience: Option<Duration>) -> io::Result<Vec<usize>> {
        let patience = patience.map(rustix::event::Timespec::try_from).transpose();
        let patience = patience.map_err(io::Error::other)?;
        self.events.clear();
        let room = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, room, patience.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.events.iter().map(|event| event.data.u64() as usize).collect())
    }
}
