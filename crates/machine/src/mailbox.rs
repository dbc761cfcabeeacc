//! What other threads know of a machine: its mailbox, its epoll descriptor, its numbers. A letter
//! is small and bounded in number: spawns by a counter, notifications by one a notifier,
//! retirements by one a socket.
//! The bell rings only for a sleeper (`agreement`).

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;

use crossbeam_queue::SegQueue;

use crate::agreement::Bell;
use crate::error::Error;
use crate::machine::Machine;
use crate::slab::Key;
use crate::stats::{Counters, MachineStats};
use crate::sys;

/// Spawns in flight to one machine. Beyond it the machine is so far behind that refusing is kinder.
pub(crate) const SPAWNS_MAX: usize = 4096;

/// What somebody from another thread does with a machine when it has time.
pub(crate) type Look = Box<dyn FnOnce(&'static Machine) + Send>;

/// A message to a machine.
pub(crate) enum Mail {
    /// Start a coroutine.
    Spawn { name: &'static str, body: Box<dyn FnOnce() + Send> },
    /// Somebody set the flag of this notified.
    Notified(Key),
    /// The socket of this entry has left or is closed. Not urgent: it wakes nobody.
    Retire(Key),
    /// Show somebody the machine, on the reactor's own stack. Counts as a spawn in flight.
    Inspect(Look),
    /// Cancel everything; say so when it has ended.
    Shutdown(Sender<usize>),
}

/// The part of a machine that other threads may touch.
pub(crate) struct Shared {
    pub(crate) index: usize,
    /// The machine's epoll descriptor, open as long as the process: a thief removes its loot from
    /// it.
    pub(crate) epoll: RawFd,
    pub(crate) counters: Counters,
    bell: OwnedFd,
    mail: SegQueue<Mail>,
    sleeper: Bell,
    /// Spawns posted and not yet running.
    spawns: AtomicUsize,
    seats: AtomicUsize,
    closing: AtomicBool,
}

impl Shared {
    pub(crate) fn new(index: usize, epoll: RawFd, bell: OwnedFd) -> Shared {
        Shared {
            index,
            epoll,
            counters: Counters::default(),
            bell,
            mail: SegQueue::new(),
            sleeper: Bell::new(),
            spawns: AtomicUsize::new(0),
            seats: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
        }
    }

    pub(crate) fn bell(&self) -> RawFd {
        self.bell.as_raw_fd()
    }

    /// Delivers `mail` and wakes the machine if it sleeps.
    pub(crate) fn post(&self, mail: Mail) {
        self.mail.push(mail);
        if self.sleeper.must_ring() {
            sys::eventfd_ring(self.bell());
        }
    }

    /// Delivers a letter that can wait until the machine is up for another reason.
    pub(crate) fn post_quietly(&self, mail: Mail) {
        self.mail.push(mail);
    }

    /// Starts a coroutine, by mail from elsewhere.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        name: &'static str,
        body: Box<dyn FnOnce() + Send>,
    ) -> Result<(), Error> {
        if self.closing.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        self.count_spawn()?;
        match Machine::here().filter(|here| Arc::ptr_eq(&here.shared, self)) {
            Some(machine) => machine.begin_mailed(name, body),
            None => self.post(Mail::Spawn { name, body }),
        }
        Ok(())
    }

    /// Works at the ceiling of coroutines and during shutdown, too.
    pub(crate) fn inspect(&self, look: Look) -> Result<(), Error> {
        self.count_spawn()?;
        self.post(Mail::Inspect(look));
        Ok(())
    }

    fn count_spawn(&self) -> Result<(), Error> {
        if self.spawns.fetch_add(1, Ordering::AcqRel) >= SPAWNS_MAX {
            self.spawns.fetch_sub(1, Ordering::AcqRel);
            return Err(Error::QueueFull { queue: "spawn", max: SPAWNS_MAX });
        }
        Ok(())
    }

    /// A posted spawn runs now, or never will.
    pub(crate) fn spawn_started(&self) {
        self.spawns.fetch_sub(1, Ordering::AcqRel);
    }

    /// The machine's next letter.
    pub(crate) fn take(&self) -> Option<Mail> {
        self.mail.pop()
    }

    /// Says that the machine goes to sleep; false when there is mail and it must not.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.sleeper.may_sleep(|| self.mail.is_empty())
    }

    pub(crate) fn wake_up(&self) {
        self.sleeper.wake_up();
    }

    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub(crate) fn sit(&self) {
        self.seats.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn rise(&self) {
        self.seats.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn load(&self) -> usize {
        self.seats.load(Ordering::Relaxed)
    }

    pub(crate) fn stats(&self) -> MachineStats {
        let n = &self.counters;
        MachineStats {
            coroutines_live: n.stacks.get().saturating_sub(n.cached.get()),
            coroutines_cached: n.cached.get(),
            sessions_parked: n.parked.get(),
            starved: n.starved.get(),
            system: n.system.get(),
            stack_used_bytes_max: n.stack_used_bytes_max.get(),
            seats: self.load() as u64,
            timers: n.timers.get(),
            sockets: n.sockets.get(),
            spawned: n.spawned.get(),
            wakeups: n.wakeups.get(),
            epoll_waits: n.epoll_waits.get(),
            sleeps: n.sleeps.get(),
            mails: n.mails.get(),
            panics: n.panics.get(),
            buffer_bytes: n.buffers.get(),
            turns: n.turns.octaves(),
            turns_ns: n.turns.total_ns(),
        }
    }
}
