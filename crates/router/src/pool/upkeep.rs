//! Upkeep: which servers end and which are opened for nobody. A pool that keeps a minimum replaces
//! a server before it ends, if there is room for both; without room the end comes first.

use std::time::Instant;

use super::{Limits, Pool};
use crate::slot::{Place, SlotKey, State};

/// What an idle server may be closed for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// It is older than `lifetime`.
    Old,
    /// It was idle for `ttl`.
    Unused,
}

/// The end of servers.
impl<S, W, C: Clone> Pool<S, W, C> {
    /// Idle servers which are idle too long or too old, for the caller to close; their slots are
    /// free. Old ones go before unused ones, the least recently used before others.
    ///
    /// Of the pool's minimum none goes, except an old one for which [`Pool::prewarm`] has no room
    /// to open another beside it: of these one in each call.
    #[must_use = "the servers are to be closed"]
    pub fn expire(&mut self, now: Instant) -> Vec<(SlotKey, S)> {
        let mut due: Vec<_> =
            self.slots.idle().filter_map(|index| Some((self.due(index, now)?, index))).collect();
        due.reverse(); // they are listed most recently used first
        due.sort_by_key(|(why, _)| *why);
        let spare = self.spare();
        let cramped = self.slots.counts().opening == 0 && !self.has_own_room();
        let replaced = cramped && due.first().is_some_and(|(why, _)| *why == Due::Old);
        due.truncate(spare.max(usize::from(replaced)));
        due.into_iter().filter_map(|(_, index)| self.evict(index)).collect()
    }

    /// When the next idle server expires, if none is used until then.
    pub fn next_expiry(&self) -> Option<Instant> {
        let spare = self.spare() > 0;
        let at = |index| if spare { self.expiry(index) } else { self.old_at(index) };
        self.slots.idle().filter_map(at).min()
    }

    /// Marks a server for closing: an idle one is returned (its slot is free), any other answers
    /// `Close` at its checkin.
    #[must_use = "an idle server is to be closed"]
    pub fn retire(&mut self, slot: SlotKey) -> Option<S> {
        let index = self.slots.live(slot)?;
        self.slots.get_mut(index).closing = true;
        self.evict(index).map(|(_, server)| server)
    }

    /// [`Pool::retire`] for every server there is; later ones are not concerned.
    #[must_use = "the idle servers are to be closed"]
    pub fn retire_all(&mut self) -> Vec<(SlotKey, S)> {
        let taken: Vec<u32> = self.slots.taken().collect();
        for index in &taken {
            self.slots.get_mut(*index).closing = true;
        }
        taken.into_iter().filter_map(|index| self.evict(index)).collect()
    }
}

/// What became of a pool whose limits are others now.
#[must_use = "servers are to be closed and clients to be woken"]
pub struct Retuned<S, W> {
    /// To be closed: there are more than there may be.
    pub close: Vec<S>,
    /// To be woken: there is room for more.
    pub wake: Vec<W>,
}

impl<S, W> Retuned<S, W> {
    /// These are to be closed as well.
    pub(crate) fn and_close(mut self, more: Vec<(SlotKey, S)>) -> Self {
        self.close.extend(more.into_iter().map(|(_, server)| server));
        self
    }
}

/// Other limits.
impl<S, W, C: Clone> Pool<S, W, C> {
    /// Other limits from now on. Of servers there may be too many then: idle ones go at once, the
    /// others when they come back. Clients that wait open what there is room for.
    pub fn retune(&mut self, limits: Limits, now: Instant) -> Retuned<S, W> {
        self.limits = limits;
        let mut close = Vec::new();
        while self.is_surplus() {
            let Some(index) = self.slots.idle().last() else { break };
            close.extend(self.evict(index).map(|(_, server)| server));
        }
        let wake = std::iter::from_fn(|| self.grant_open(now)).collect();
        Retuned { close, wake }
    }

    /// There are more servers than there may be, since the limit is a lower one.
    fn is_surplus(&self) -> bool {
        self.limits.size.is_some_and(|size| self.slots.len() > size) || self.room.is_overspent()
    }
}

/// The minimum.
impl<S, W, C: Clone> Pool<S, W, C> {
    /// Whether a server is to be opened for nobody: the pool has fewer than its minimum, or an idle
    /// one of the minimum has to go and is replaced first.
    pub fn is_short(&self, now: Instant) -> bool {
        let (have, min) = (self.slots.len(), self.limits.min);
        let is_old = |index| self.old_at(index).is_some_and(|at| at <= now);
        !self.is_paused && (have < min || (have == min && self.slots.idle().any(is_old)))
    }

    /// Room for a server that [`Pool::is_short`] asks for; then `opened` and `checkin`, or `lost`.
    pub fn prewarm(&mut self, now: Instant) -> Option<SlotKey> {
        if !self.is_short(now) || self.queue.waiting() > 0 {
            return None;
        }
        let slot = self.begin_open(None, now)?;
        self.counters.prewarms += 1;
        Some(slot)
    }
}

impl<S, W, C: Clone> Pool<S, W, C> {
    /// A server that is never idle is never looked at by `expire`: when it comes back too old it
    /// goes, one at a time, so that servers of one age do not end all at once.
    pub(super) fn ends_at_checkin(&self, index: u32, now: Instant) -> bool {
        let slot = self.slots.get(index);
        let replaced = self.spare() > 0 || self.queue.waiting() > 0;
        slot.closing
            || self.is_paused
            || self.is_surplus()
            || (replaced
                && self.slots.counts().opening == 0
                && self.old_at(index).is_some_and(|at| at <= now))
    }

    /// Servers beyond the minimum; one that is still being opened may fail.
    fn spare(&self) -> usize {
        (self.slots.len() - self.slots.counts().opening).saturating_sub(self.limits.min)
    }

    fn due(&self, index: u32, now: Instant) -> Option<Due> {
        if self.old_at(index).is_some_and(|at| at <= now) {
            return Some(Due::Old);
        }
        self.unused_at(index).filter(|at| *at <= now).map(|_| Due::Unused)
    }

    /// When an idle slot expires.
    fn expiry(&self, index: u32) -> Option<Instant> {
        [self.unused_at(index), self.old_at(index)].into_iter().flatten().min()
    }

    fn old_at(&self, index: u32) -> Option<Instant> {
        self.slots.get(index).born?.checked_add(self.limits.lifetime?)
    }

    fn unused_at(&self, index: u32) -> Option<Instant> {
        let Place::Idle { since, .. } = self.slots.get(index).place() else { return None };
        since.checked_add(self.limits.ttl?)
    }

    /// Frees an idle slot.
    pub(super) fn evict(&mut self, index: u32) -> Option<(SlotKey, S)> {
        if self.slots.get(index).place().state() != Some(State::Idle) {
            return None;
        }
        let key = self.slots.key(index);
        match self.free(index) {
            Place::Idle { server, .. } => Some((key, server)),
            _ => unreachable!("the slot is idle"),
        }
    }
}
