//! A quantile: a share of all values, in whole millionths so that two can be compared.

use std::fmt;

const WHOLE: u32 = 1_000_000;

/// Between 0 and 1, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantile(u32);

impl Quantile {
    /// None for what is not between 0 and 1.
    pub fn new(share: f64) -> Option<Quantile> {
        let millionths = (share * f64::from(WHOLE)).round() as u32; // saturates
        (0.0..=1.0).contains(&share).then_some(Quantile(millionths))
    }

    /// How many of `count` values are not above it: at least one if there are any.
    pub fn rank(self, count: u64) -> u64 {
        let rank = u128::from(count) * u128::from(self.0);
        (rank.div_ceil(u128::from(WHOLE)) as u64).max(1).min(count)
    }
}

/// As it would be written: `0.99`.
impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (f64::from(self.0) / f64::from(WHOLE)).fmt(f)
    }
}
