//! Numbers a machine keeps about itself. One thread writes them, anybody may read them; they decide
//! nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Turns are counted by their length in octaves of microseconds; the last takes what is longer.
pub const TURN_OCTAVES: usize = 24;

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
    pub(crate) stack_used_bytes_max: Counter,
    pub(crate) timers: Counter,
    pub(crate) sockets: Counter,
    pub(crate) spawned: Counter,
    pub(crate) wakeups: Counter,
    pub(crate) epoll_waits: Counter,
    pub(crate) sleeps: Counter,
    pub(crate) mails: Counter,
    pub(crate) panics: Counter,
    pub(crate) buffers: Counter,
    pub(crate) turns: TurnCounters,
}

/// How long turns took.
#[derive(Default)]
pub(crate) struct TurnCounters {
    octaves: [Counter; TURN_OCTAVES],
    total_ns: Counter,
}

impl TurnCounters {
    pub(crate) fn add(&self, turn: Duration) {
        let ns = turn.as_nanos() as u64;
        let octave = (ns / 1000).checked_ilog2().map_or(0, |octave| octave as usize + 1);
        self.octaves[octave.min(TURN_OCTAVES - 1)].add(1);
        self.total_ns.add(ns);
    }

    pub(crate) fn octaves(&self) -> [u64; TURN_OCTAVES] {
        std::array::from_fn(|octave| self.octaves[octave].get())
    }

    pub(crate) fn total_ns(&self) -> u64 {
        self.total_ns.get()
    }
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
    /// The most any stack was used; 0 unless they are [painted](crate::EngineConfig::paint_stacks).
    pub stack_used_bytes_max: u64,
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
    /// Storage of the buffers that are leased, in bytes, as of the last turn.
    pub buffer_bytes: u64,
    /// Turns by their length: the n-th number counts those shorter than 2^n µs that the one before
    /// does not count. What happens outside is not seen before a turn is over: this is the lag of
    /// the loop.
    pub turns: [u64; TURN_OCTAVES],
    /// Length of all turns together, in nanoseconds.
    pub turns_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_counted_in_the_octave_above_it() {
        let turns = TurnCounters::default();
        let lengths_ns = [0, 999, 1000, 1999, 2000, 3999, 4000, 1_000_000, u64::MAX];
        lengths_ns.iter().for_each(|ns| turns.add(Duration::from_nanos(*ns)));
        let octaves = turns.octaves();
        assert_eq!((octaves[0], octaves[1], octaves[2], octaves[3]), (2, 2, 2, 1));
        assert_eq!((octaves[10], octaves[TURN_OCTAVES - 1]), (1, 1), "1 ms is below 1024 µs");
    }
}
