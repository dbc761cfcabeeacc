//! Randomness that a failing test can repeat: everything follows from one printed seed.

pub struct Seeded(u64);

impl Seeded {
    /// The seed comes from `POOLER_TEST_SEED`, or is fixed for the test.
    pub fn new(default: u64) -> Seeded {
        let given = std::env::var("POOLER_TEST_SEED").ok().and_then(|s| s.parse().ok());
        let seed = given.unwrap_or(default);
        println!("POOLER_TEST_SEED={seed}");
        Seeded(seed)
    }

    /// One of many streams that follow from a printed seed.
    pub fn from(seed: u64) -> Seeded {
        Seeded(seed)
    }

    /// SplitMix64: small, and good enough to be hostile with.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}
