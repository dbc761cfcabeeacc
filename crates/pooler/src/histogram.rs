//! A histogram of times: how many took about how long. Each octave is cut into 32 parts, so that a
//! quantile is at most 1.6 % off; its size does not grow. Counts only ever grow; who wants those of
//! an interval remembers the last reading.

use std::sync::atomic::{AtomicU64, Ordering};

use config::Quantile;

const PART_BITS: u32 = 5;
const PARTS: u64 = 1 << PART_BITS;
const OCTAVES: u32 = 40; // 2^40 µs are twelve days; what takes longer counts as that
const BUCKETS: usize = ((OCTAVES - PART_BITS + 1) * (1 << PART_BITS)) as usize;

/// Written by all machines, read by the statistics.
#[derive(Debug)]
pub struct Histogram(Box<[AtomicU64]>);

/// How often each time was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(Vec<u64>);

impl Default for Histogram {
    fn default() -> Self {
        Self((0..BUCKETS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Histogram {
    /// So many took so long.
    pub fn record(&self, us: u64, count: u64) {
        self.0[bucket(us)].fetch_add(count, Ordering::Relaxed);
    }

    /// The counts now.
    pub fn counts(&self) -> Counts {
        Counts(self.0.iter().map(|count| count.load(Ordering::Relaxed)).collect())
    }
}

impl Counts {
    /// What came since `before`.
    pub fn since(&self, before: &Counts) -> Counts {
        let earlier = before.0.iter().copied().chain(std::iter::repeat(0));
        Counts(self.0.iter().zip(earlier).map(|(now, then)| now.saturating_sub(then)).collect())
    }

    /// Those of the other, too.
    pub fn plus(&self, more: &Counts) -> Counts {
        let (longer, shorter) =
            if self.0.len() >= more.0.len() { (self, more) } else { (more, self) };
        let added = shorter.0.iter().copied().chain(std::iter::repeat(0));
        Counts(longer.0.iter().zip(added).map(|(one, two)| one + two).collect())
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The time, in microseconds, that this share of all did not exceed; 0 if there is nothing.
    pub fn quantile(&self, quantile: Quantile) -> u64 {
        let rank = quantile.rank(self.total());
        let mut seen = 0;
        let found = self.0.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        found.filter(|_| rank > 0).map_or(0, middle)
    }
}

fn bucket(us: u64) -> usize {
    let us = us.min((1 << OCTAVES) - 1);
    if us < PARTS {
        return us as usize;
    }
    let octave = us.ilog2() - PART_BITS;
    // The highest bits of the value, whose first is always set, behind those of smaller octaves.
    (u64::from(octave) * PARTS + (us >> octave)) as usize
}

/// What stands for all values of a bucket.
fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < PARTS {
        return bucket;
    }
    let octave = bucket / PARTS - 1;
    let first = (PARTS + bucket % PARTS) << octave;
    first + ((1 << octave) - 1) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_a_bucket_that_is_close_to_it() {
        let mut last = 0;
        let values = (0..5000).chain((5..40).flat_map(|n| [(1 << n) - 1, 1 << n, (1 << n) + 1]));
        let mut values: Vec<u64> = values.collect();
        values.sort_unstable();
        for us in values {
            let (place, shown) = (bucket(us), middle(bucket(us)));
            assert!(place >= last && place < BUCKETS, "{us}");
            assert!(us.abs_diff(shown) * 62 <= us, "{us} is shown as {shown}");
            last = place;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let at = |share: f64| Quantile::new(share).unwrap();
        let histogram = Histogram::default();
        assert_eq!(histogram.counts().quantile(at(0.5)), 0);
        for us in 1..=30 {
            histogram.record(us, 1);
        }
        let counts = histogram.counts();
        let shown = [0.0, 0.1, 0.5, 0.95, 1.0].map(|share| counts.quantile(at(share)));
        assert_eq!(shown, [1, 3, 15, 29, 30]);
        histogram.record(7, 90);
        let later = histogram.counts().since(&counts);
        assert_eq!((later.total(), later.quantile(at(0.01)), later.quantile(at(1.0))), (90, 7, 7));
        assert_eq!(counts.since(&Counts::default()), counts);
    }
}
