//! A pool: the servers of one route and the clients that want them. Every call decides and returns
//! what to do; it does no I/O, reads no clock, and refuses to look into a server (`S`), a waker
//! (`W`) or a cancel target (`C`).

mod answer;
mod cancels;
mod pause;
mod room;
mod upkeep;

use std::time::Instant;

pub use cancels::CancelTicket;
use room::Room;
pub use room::{Full, Shares};
pub use upkeep::Retuned;

pub use answer::{
    Asker, Census, Checkin, Checkout, Claim, ClientId, GaveUp, Grant, Limits, SlotView,
};

use crate::queue::{Handover, Queue, Ticket};
use crate::refusal::Refusal;
use crate::slot::{self, Place, SlotKey, Slots, State};
use crate::stats::{Counters, Counts};

/// Names of holders in a [`Census`]: enough to know whom to ask, short enough for a message.
const HOLDERS_MAX: usize = 5;

/// The servers of one route and the clients that want them.
pub struct Pool<S, W, C> {
    limits: Limits,
    slots: Slots<S, C>,
    queue: Queue<S, W>,
    room: Room,
    /// No client gets a server, and none is kept.
    is_paused: bool,
    counters: Counters,
}

/// Servers and those who take them.
impl<S, W, C: Clone> Pool<S, W, C> {
    /// An empty pool that shares nothing.
    pub fn new(limits: Limits) -> Pool<S, W, C> {
        Pool::sharing(limits, Shares::default())
    }

    /// An empty pool with its part in what it shares.
    pub fn sharing(limits: Limits, shares: Shares) -> Pool<S, W, C> {
        let (slots, queue, room) = (Slots::new(), Queue::new(), Room::new(shares));
        Pool { limits, slots, queue, room, is_paused: false, counters: Counters::default() }
    }

    /// A client wants a server since then: its own last one if that is idle, else an idle one of
    /// its machine (the most recently used), else any idle one, else a new one if there is room and
    /// nobody waits for longer, else it waits. A client that asks again keeps its place in the
    /// queue by its `since`.
    ///
    /// `waker` is asked only when it waits. It comes back from the call that grants it something.
    pub fn checkout(
        &mut self,
        asker: Asker,
        waker: impl FnOnce() -> W,
        since: Instant,
    ) -> Checkout<S> {
        if let Some(index) = self.choose_idle(&asker) {
            debug_assert!(self.queue.waiting() == 0, "nobody waits while a server is idle");
            let leased = Place::Leased { holder: Some(asker.client), since };
            let Place::Idle { server, .. } = slot::move_to(&mut self.slots, index, leased) else {
                unreachable!("an idle slot was chosen");
            };
            return Checkout::Granted(Grant::Take(self.slots.key(index), server));
        }
        let is_first = self.queue.oldest().is_none_or(|oldest| since <= oldest);
        if let Some(slot) = is_first.then(|| self.begin_open(Some(asker.client), since)).flatten() {
            self.counters.checkout_opens += 1;
            return Checkout::Granted(Grant::Open(slot));
        }
        if self.queue.waiting() >= self.limits.waiters_max {
            self.counters.refused += 1;
            return Checkout::Refuse(Refusal::WaitersFull { limit: self.limits.waiters_max });
        }
        self.counters.waits += 1;
        Checkout::Wait(self.queue.join(&asker, waker(), since))
    }

    /// What the waiter with this ticket was granted.
    pub fn claim(&mut self, ticket: Ticket) -> Claim<S> {
        self.queue.claim(ticket)
    }

    /// A waiter leaves: its client is gone or out of time.
    pub fn give_up(&mut self, ticket: Ticket, now: Instant) -> GaveUp<S> {
        let (answer, waited) = self.queue.leave(ticket, now);
        if let Some(waited) = waited {
            self.counters.gave_up += 1;
            self.counters.wait_total += waited;
        }
        answer
    }

    /// The server of an `Opening` slot is connected; the slot is `Leased` by whom it was opened
    /// for. `cancel` is what a canceller of this server needs. False for a late key.
    pub fn opened(&mut self, slot: SlotKey, cancel: C, born: Instant) -> bool {
        let Some(index) = self.slots.live(slot) else { return false };
        let holder = self.slots.get(index).place().holder();
        let leased = Place::Leased { holder, since: born };
        let was = slot::move_to(&mut self.slots, index, leased);
        assert!(matches!(was, Place::Opening { .. }), "only an opening slot is opened");
        self.counters.client_opens += u64::from(holder.is_some());
        let slot = self.slots.get_mut(index);
        (slot.cancel, slot.born) = (Some(cancel), Some(born));
        self.counters.opened += 1;
        self.room.opening_over(true);
        true
    }

    /// A server comes back from its client or from its reset, parked on machine `home`: to the
    /// oldest waiter, or to a waiter of `home` that is at most 1 ms younger, else it is idle.
    pub fn checkin(
        &mut self,
        slot: SlotKey,
        server: S,
        home: usize,
        now: Instant,
    ) -> Checkin<S, W> {
        match self.slots.live(slot) {
            Some(index) => self.settle(index, server, home, now),
            None => Checkin::Stale(server),
        }
    }

    /// A `Leased` slot's client is done with it, its server is being cleaned; then `checkin` or
    /// `lost`. False for a late key.
    pub fn resetting(&mut self, slot: SlotKey) -> bool {
        let Some(index) = self.slots.live(slot) else { return false };
        let was = slot::move_to(&mut self.slots, index, Place::Resetting);
        assert!(matches!(was, Place::Leased { .. }), "only a leased slot is reset");
        self.slots.get_mut(index).queued_cancel = None;
        true
    }

    /// The server is gone or was never connected: the slot is free, and the oldest waiter may open
    /// a new one (wake it). Whoever holds the slot calls this; a late key does nothing.
    pub fn lost(&mut self, slot: SlotKey, now: Instant) -> Option<W> {
        let index = self.slots.live(slot)?;
        drop(self.free(index));
        self.grant_open(now)
    }

    /// The watcher of an idle server heard something: the slot is `Resetting` while it looks, then
    /// `checkin` or `lost`. None when somebody took the server meanwhile: he will hear it himself.
    pub fn take_idle(&mut self, slot: SlotKey) -> Option<S> {
        let index = self.slots.live(slot)?;
        match self.slots.get(index).place() {
            // A quarantined server is looked at too: when it comes back it is quarantined again.
            Place::Idle { .. } | Place::Quarantined { .. } => Some(self.examine(index)),
            Place::Free | Place::Opening { .. } | Place::Leased { .. } | Place::Resetting => None,
        }
    }
}

/// Looking.
impl<S, W, C: Clone> Pool<S, W, C> {
    /// The limits it was made with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Slots by state and waiters, now.
    pub fn counts(&self) -> Counts {
        Counts { waiting: self.queue.waiting(), ..self.slots.counts() }
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The same, for who keeps them: they start anew.
    pub fn take_counters(&mut self) -> Counters {
        std::mem::take(&mut self.counters)
    }

    /// When the oldest waiter joined the queue.
    pub fn oldest_wait(&self) -> Option<Instant> {
        self.queue.oldest()
    }

    /// Where the servers are, with some of those who hold them.
    pub fn census(&self) -> Census {
        let leased = |index: &u32| self.slots.get(*index).place().state() == Some(State::Leased);
        let holders = self.slots.taken().filter(leased);
        let holders = holders.filter_map(|index| self.slots.get(index).place().holder());
        Census {
            counts: self.counts(),
            holders: holders.take(HOLDERS_MAX).collect(),
            shared: self.room.shared(),
            logins: self.has_own_room().then(|| self.room.logins()).flatten(),
            is_shut: self.room.is_shut(),
            is_paused: self.is_paused,
        }
    }

    /// The slots in use, in no order of meaning.
    pub fn slots(&self) -> impl Iterator<Item = SlotView> {
        self.slots.taken().map(|index| {
            let slot = self.slots.get(index);
            let (home, idle_since) = match slot.place() {
                Place::Idle { home, since, .. } => (Some(*home), Some(*since)),
                Place::Quarantined { home, .. } => (Some(*home), None),
                _ => (None, None),
            };
            SlotView {
                slot: self.slots.key(index),
                state: slot.place().state().expect("free slots are not listed"),
                holder: slot.place().holder(),
                home,
                born: slot.born,
                idle_since,
                leased_since: slot.place().leased_since(),
                cancels: slot.cancels,
                is_closing: slot.closing,
            }
        })
    }

    /// What a canceller needs of the servers that are connected, slot by slot.
    pub fn targets(&self) -> impl Iterator<Item = (SlotKey, C)> {
        let target = |index| Some((self.slots.key(index), self.slots.get(index).cancel.clone()?));
        self.slots.taken().filter_map(target)
    }

    /// The servers that nobody holds.
    pub fn parked(&self) -> impl Iterator<Item = (SlotKey, &S)> {
        self.slots.taken().filter_map(|index| match self.slots.get(index).place() {
            Place::Idle { server, .. } | Place::Quarantined { server, .. } => {
                Some((self.slots.key(index), server))
            }
            Place::Free | Place::Opening { .. } | Place::Leased { .. } | Place::Resetting => None,
        })
    }

    /// The clients that were granted nothing yet, and since when each waits; the oldest first.
    pub fn waiters(&self) -> impl Iterator<Item = (ClientId, Instant)> {
        self.queue.iter()
    }
}

impl<S, W, C: Clone> Pool<S, W, C> {
    fn choose_idle(&mut self, asker: &Asker) -> Option<u32> {
        let last = asker.last.and_then(|key| self.slots.live(key));
        let is_idle = |index: &u32| self.slots.get(*index).place().state() == Some(State::Idle);
        if let Some(index) = last.filter(is_idle) {
            self.counters.takes_last += 1;
            return Some(index);
        }
        if let Some(index) = self.slots.idle_near(asker.machine) {
            self.counters.takes_near += 1;
            return Some(index);
        }
        let index = self.slots.idle_any()?;
        self.counters.takes_far += 1;
        Some(index)
    }

    /// Finds a place for a server whose slot is `Leased` or `Resetting`.
    fn settle(&mut self, index: u32, server: S, home: usize, now: Instant) -> Checkin<S, W> {
        // What was asked of its last client's query comes too late.
        self.slots.get_mut(index).queued_cancel = None;
        if self.ends_at_checkin(index, now) {
            drop(self.free(index));
            return Checkin::Close(server, self.grant_open(now));
        }
        if self.slots.get(index).cancels > 0 {
            slot::move_to(&mut self.slots, index, Place::Quarantined { server, home });
            self.counters.quarantines += 1;
            return Checkin::Quarantined;
        }
        if self.room.is_owed(self.queue.oldest(), now) {
            drop(self.free(index));
            self.counters.ceded += 1;
            return Checkin::Close(server, None);
        }
        let Some(next) = self.queue.next_near(home) else {
            slot::move_to(&mut self.slots, index, Place::Idle { server, home, since: now });
            return Checkin::Parked;
        };
        let leased = Place::Leased { holder: Some(next.client), since: now };
        slot::move_to(&mut self.slots, index, leased);
        match next.how {
            Handover::Near => self.counters.handovers_near += 1,
            Handover::Passed => self.counters.handovers_passed += 1,
            Handover::Far => self.counters.handovers_far += 1,
        }
        let grant = Grant::Take(self.slots.key(index), server);
        let (waker, waited) = self.queue.grant(&next, grant, now);
        self.counters.wait_total += waited;
        Checkin::Wake(waker)
    }

    /// A slot came free: the oldest waiter, if any, may open a server.
    fn grant_open(&mut self, now: Instant) -> Option<W> {
        let next = self.queue.next_oldest()?;
        let since = self.queue.oldest()?;
        let grant = Grant::Open(self.begin_open(Some(next.client), since)?);
        let (waker, waited) = self.queue.grant(&next, grant, now);
        self.counters.grants_open += 1;
        self.counters.wait_total += waited;
        Some(waker)
    }

    /// Takes the server out of an idle or quarantined slot, which is `Resetting` then.
    fn examine(&mut self, index: u32) -> S {
        match slot::move_to(&mut self.slots, index, Place::Resetting) {
            Place::Idle { server, .. } | Place::Quarantined { server, .. } => server,
            _ => unreachable!("the slot holds its server"),
        }
    }

    fn free(&mut self, index: u32) -> Place<S> {
        self.counters.closed += 1;
        let was = slot::move_to(&mut self.slots, index, Place::Free);
        if matches!(was, Place::Opening { .. }) {
            self.room.opening_over(false);
        }
        self.room.closed();
        was
    }
}

#[cfg(test)]
mod tests;
