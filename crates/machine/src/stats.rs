//! Numbers a machine keeps about itself. One thread writes them, anybody may read them; they decide
//! nothing.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number with one writer: no locked instruction, no torn read.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.set(self.get().wrapping_add(n));
    }

    pub(crate) fn sub(&self, n: u64) {
        self.set(self.get().wrapping_sub(n));
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the machine's own thread writes.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) stacks: Counter,
    pub(crate) cached: Counter,
    pub(crate) tasks: Counter,
    pub(crate) parked: Counter,
    pub(crate) starved: Counter,
    pub(crate) system: Counter,
    pub(crate) timers: Counter,
    pub(crate) sockets: Counter,
    pub(crate) spawned: Counter,
    pub(crate) wakeups: Counter,
    pub(crate) epoll_waits: Counter,
    pub(crate) sleeps: Counter,
    pub(crate) mails: Counter,
    pub(crate) panics: Counter,
}

/// One machine at one moment; each number is true, together they may be a turn apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineStats {
    /// Coroutines that have a stack and something to do.
    pub coroutines_live: u64,
    /// Stacks kept for the next coroutine.
    pub coroutines_cached: u64,
    /// Sessions that wait without a stack.
    pub sessions_parked: u64,
    /// Sessions and coroutines that are due and wait for a stack, all being in use.
    pub starved: u64,
    /// System coroutines, which `coroutines_live` counts as well.
    pub system: u64,
    /// Seats taken: the load that [`crate::Engine::least_loaded`] compares.
    pub seats: u64,
    /// Entries in the timer heap; at most one a coroutine or session.
    pub timers: u64,
    /// Sockets registered, folded ones and listeners included.
    pub sockets: u64,
    /// Coroutines and sessions started since the beginning.
    pub spawned: u64,
    /// Times a coroutine or session was woken.
    pub wakeups: u64,
    /// Times the machine asked its epoll descriptor.
    pub epoll_waits: u64,
    /// Times it went to sleep. An idle machine's does not move.
    pub sleeps: u64,
    /// Messages from other threads.
    pub mails: u64,
    /// Coroutines that ended by a panic.
    pub panics: u64,
}
