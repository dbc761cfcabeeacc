//! The pause of a pool: no client gets a server until it is over. Those who hold one keep it until
//! they give it back, and then it is closed; those who want one wait as they wait for any other
//! reason.

use std::time::Instant;

use super::Pool;
use crate::slot::SlotKey;

impl<S, W, C: Clone> Pool<S, W, C> {
    /// The pause begins: the idle servers are closed, the others when they come back.
    #[must_use = "the idle servers are to be closed"]
    pub fn pause(&mut self) -> Vec<(SlotKey, S)> {
        self.is_paused = true;
        self.retire_all()
    }

    /// The pause is over: clients that wait open what there is room for (wake them).
    #[must_use = "they were granted something"]
    pub fn resume(&mut self, now: Instant) -> Vec<W> {
        self.is_paused = false;
        std::iter::from_fn(|| self.grant_open(now)).collect()
    }

    /// Whether nobody gets a server.
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Whether no server is in anybody's hands, nor on its way to or from them.
    pub fn is_quiet(&self) -> bool {
        let counts = self.counts();
        counts.opening + counts.leased + counts.resetting + counts.quarantined == 0
    }
}
