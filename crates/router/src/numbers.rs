//! Maps by numbers that are ours: one multiplication finds the place. It refuses keys that a
//! stranger chooses, for those can be chosen to meet; to look for such a one does no harm.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map whose keys are hashed as one u64: a counter, a random number, an address.
pub type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// For our own numbers. Clients do not choose them but can choose which of them stay, say every
/// 1024th, so the upper half of the product is folded into the lower.
#[derive(Default)]
pub struct NumberHasher(u64);

// 2^64 divided by the golden ratio, odd: neighbours land far from each other.
const SPREAD: u128 = 0x9E37_79B9_7F4A_7C15;

impl Hasher for NumberHasher {
    fn write_u64(&mut self, number: u64) {
        let product = u128::from(number) * SPREAD;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("the key is a number: it comes in one piece");
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the plain product, every 2^54th number lands on one of 1024 places of a table.
    #[test]
    fn numbers_with_a_long_stride_spread() {
        for stride in [1, 2, 1000, 1 << 10, 1 << 20, 1 << 32, 1 << 54] {
            let mut used = [false; 1024];
            for n in 0..1024_u64 {
                let mut hasher = NumberHasher::default();
                hasher.write_u64(n * stride);
                used[(hasher.finish() % 1024) as usize] = true;
            }
            let places = used.iter().filter(|used| **used).count();
            assert!(places > 512, "{places} of 1024 places for a stride of {stride}");
        }
    }
}
