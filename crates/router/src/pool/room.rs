//! Room: whether a pool may open another server now. Its own size decides, the budgets it shares
//! with other pools, and what the servers say; what it lacks is posted where the others see it.

use std::time::Instant;

use super::{ClientId, Pool};
use crate::budget::{Budget, Share};
use crate::slot::{SLOTS_MAX, SlotKey};

/// A pool's parts in what it shares.
#[derive(Default)]
pub struct Shares {
    /// Servers, of a `shared_pool`.
    pub servers: Option<Share>,
    /// Logins under way, to a storage.
    pub logins: Option<Share>,
}

/// A server said that it takes no more connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "somebody has to reopen the pool"]
pub enum Full {
    /// The pool has no other server whose return could be waited for.
    Alone,
    /// The pool opens none until it is reopened, which was promised before.
    Known,
    /// The pool opens none until [`Pool::reopen`] is called; so many refusals came one after the
    /// other.
    Closed(u32),
}

/// What keeps a pool from opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    Servers,
    Logins,
}

pub(super) struct Room {
    shares: Shares,
    /// What clients wait for, if some wait though the pool's own size lets it open: what the last
    /// attempt lacked, or what the next one will ask for.
    lack: Lack,
    /// The servers take no more: nothing is opened.
    is_shut: bool,
    /// Times the servers said so since one was opened.
    refusals: u32,
}

impl Room {
    pub(super) fn new(shares: Shares) -> Room {
        Room { shares, lack: Lack::Logins, is_shut: false, refusals: 0 }
    }

    /// Spends one of everything, or nothing.
    fn try_spend(&mut self, logins: impl Fn(usize) -> usize, since: Instant) -> bool {
        let Shares { servers, logins: gate } = &self.shares;
        self.lack = Lack::Logins;
        if servers.as_ref().is_some_and(|share| !share.try_spend(None, since)) {
            self.lack = Lack::Servers;
            return false;
        }
        let Some(gate) = gate else { return true };
        let limit = gate.budget().size().map(logins);
        if !gate.try_spend(limit, since) {
            servers.iter().for_each(Share::give_back);
            return false;
        }
        true
    }

    pub(super) fn is_shut(&self) -> bool {
        self.is_shut
    }

    /// Servers of the shared budget, used and in all.
    pub(super) fn shared(&self) -> Option<(usize, usize)> {
        let budget = self.shares.servers.as_ref()?.budget();
        Some((budget.used(), budget.size()?))
    }

    /// Logins under way and how many may be, when that is what is lacking.
    pub(super) fn logins(&self) -> Option<(usize, usize)> {
        let budget = self.shares.logins.as_ref()?.budget();
        (self.lack == Lack::Logins).then_some((budget.used(), budget.size()?))
    }

    pub(super) fn opening_over(&mut self, well: bool) {
        self.shares.logins.iter().for_each(Share::give_back);
        if well {
            self.refusals = 0;
        }
    }

    pub(super) fn closed(&mut self) {
        self.shares.servers.iter().for_each(Share::give_back);
    }

    /// Pools have more servers together than they may have.
    pub(super) fn is_overspent(&self) -> bool {
        self.shares.servers.as_ref().is_some_and(|share| share.budget().is_overspent())
    }

    pub(super) fn is_owed(&self, own: Option<Instant>, now: Instant) -> bool {
        self.shares.servers.as_ref().is_some_and(|share| share.is_owed(own, now))
    }
}

/// Opening.
impl<S, W, C: Clone> Pool<S, W, C> {
    /// Visited by an errand: the oldest client may open a server (wake it), if it still can.
    pub fn offer(&mut self, now: Instant) -> Option<W> {
        self.grant_open(now)
    }

    /// Visited by an errand: a client of another pool waits for an idle server of this one. It is
    /// returned for the caller to close, the least recently used one.
    #[must_use = "the server is to be closed"]
    pub fn reclaim(&mut self) -> Option<S> {
        self.room.shares.servers.as_mut()?.forget_idle();
        let index = self.slots.idle().last()?;
        let (_, server) = self.evict(index)?;
        self.counters.ceded += 1;
        Some(server)
    }

    /// A server refused a login because it has too many connections. While others of this pool are
    /// alive, it opens no more: clients wait for those.
    pub fn server_full(&mut self) -> Full {
        if !self.has_live() {
            return Full::Alone;
        }
        if self.room.is_shut {
            return Full::Known;
        }
        self.room.is_shut = true;
        self.room.refusals = self.room.refusals.saturating_add(1);
        Full::Closed(self.room.refusals)
    }

    /// Some time after [`Full::Closed`]: the oldest client may try again (wake it).
    pub fn reopen(&mut self, now: Instant) -> Option<W> {
        self.room.is_shut = false;
        self.grant_open(now)
    }

    /// Whether some server of the pool is connected.
    pub fn has_live(&self) -> bool {
        self.slots.len() > self.slots.counts().opening
    }

    /// Whether a client waits for nothing but its turn to open the first server; those before it
    /// try or tried the same.
    pub fn is_hopeless(&self) -> bool {
        !self.is_paused && !self.has_live() && self.room.lack == Lack::Logins
    }

    /// Whether somebody who asked now would most likely not wait: a server is idle, or there is
    /// room for one and nobody waits for it.
    pub fn has_one_to_give(&self) -> bool {
        let is_idle = self.slots.idle_any().is_some();
        is_idle || (self.queue.waiting() == 0 && self.has_own_room())
    }

    /// Lets the pools that share something with this one know what it lacks and what it has idle.
    /// To be called after everything else, under the same lock.
    pub fn post(&mut self) {
        let (oldest, lack) = (self.queue.oldest(), self.room.lack);
        let oldest = oldest.filter(|_| self.has_own_room());
        let wants = |what: Lack| oldest.filter(|_| lack == what);
        if let Some(share) = &mut self.room.shares.logins {
            share.post(wants(Lack::Logins), None);
        }
        if let Some(share) = &mut self.room.shares.servers {
            let since = self.slots.idle_any().map(|index| self.slots.get(index).place().since());
            share.post(wants(Lack::Servers), since.flatten());
        }
    }

    /// The budgets it has a part in.
    pub fn budgets(&self) -> impl Iterator<Item = &std::sync::Arc<Budget>> {
        let Shares { servers, logins } = &self.room.shares;
        [servers, logins].into_iter().flatten().map(Share::budget)
    }

    /// A slot begins to open, if there is room; for a client that waits since then.
    pub(super) fn begin_open(
        &mut self,
        holder: Option<ClientId>,
        since: Instant,
    ) -> Option<SlotKey> {
        let (size, used) = (self.limits.size, self.slots.len());
        let logins = |max: usize| ramp(max, size, used);
        if !self.has_own_room() || !self.room.try_spend(logins, since) {
            return None;
        }
        self.counters.opens += 1;
        Some(self.slots.open(holder))
    }

    /// Whether its own size and its servers let it open one; what it shares may yet say no.
    pub(super) fn has_own_room(&self) -> bool {
        !self.is_paused
            && !self.room.is_shut
            && self.slots.len() < self.limits.size.unwrap_or(SLOTS_MAX).min(SLOTS_MAX)
    }
}

/// How many logins to a storage a pool may see under way and yet begin another: fewer, the more
/// servers it has already, so that a burst of clients does not fill it with servers it will not
/// need; none is needed to go on.
fn ramp(max: usize, size: Option<usize>, servers: usize) -> usize {
    match size {
        None => max,
        Some(size) => (max * size.saturating_sub(2 * servers) / size.max(1)).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::ramp;

    #[test]
    fn a_full_pool_opens_one_at_a_time() {
        let cases = [(8, 0, 8), (8, 1, 6), (8, 2, 4), (8, 3, 2), (8, 4, 1), (8, 7, 1), (8, 9, 1)];
        for (size, servers, expected) in cases {
            assert_eq!(ramp(8, Some(size), servers), expected, "{servers} of {size}");
        }
        assert_eq!(ramp(3, None, 1_000), 3);
    }
}
