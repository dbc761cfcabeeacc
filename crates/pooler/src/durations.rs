//! Durations: how many of something took how long, in the few steps in which a monitoring system
//! is told. For quantiles of its own the pooler counts finer, see `histogram`.

use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of the steps in microseconds, three a decade; behind them comes what took longer.
pub const BOUNDS_US: [u64; 20] = [
    50,
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
];

/// The bounds, and what is beyond them.
const STEPS: usize = BOUNDS_US.len() + 1;

/// Written by one machine, read by anybody.
#[derive(Debug, Default)]
pub struct Durations {
    steps: [AtomicU64; STEPS],
    total_us: AtomicU64,
}

/// One reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// How many took as long as this bound and longer than the one before.
    pub steps: [u64; STEPS],
    /// How long all took together, in microseconds.
    pub total_us: u64,
}

impl Durations {
    /// So many took so long. Only the one writer may call this: nothing is locked.
    pub fn record(&self, us: u64, count: u64) {
        add(&self.steps[BOUNDS_US.partition_point(|bound| *bound < us)], count);
        add(&self.total_us, us.saturating_mul(count));
    }

    /// The numbers now; read one by one, they may be one apart.
    pub fn read(&self) -> Distribution {
        let steps = std::array::from_fn(|step| self.steps[step].load(Ordering::Relaxed));
        Distribution { steps, total_us: self.total_us.load(Ordering::Relaxed) }
    }
}

impl Distribution {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.steps.iter().sum()
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, more: &Distribution) -> Distribution {
        let steps = std::array::from_fn(|step| self.steps[step] + more.steps[step]);
        Distribution { steps, total_us: self.total_us + more.total_us }
    }
}

/// Adds to a counter of which the caller is the only writer.
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_the_step_below_it() {
        let durations = Durations::default();
        for us in [0, 50, 51, 100, 300_000_000, 300_000_001] {
            durations.record(us, 1);
        }
        durations.record(70, 3);
        let read = durations.read();
        assert_eq!((read.steps[0], read.steps[1]), (2, 5));
        assert_eq!((read.steps[STEPS - 2], read.steps[STEPS - 1]), (1, 1));
        assert_eq!((read.count(), read.total_us), (9, 201 + 210 + 600_000_001));
        let twice = read.plus(&read);
        assert_eq!((twice.count(), twice.steps[1]), (18, 10));
        assert!(BOUNDS_US.is_sorted());
    }
}
