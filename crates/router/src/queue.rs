//! The queue of a pool: clients that wait for a server, oldest first, and what waiters were granted
//! until they claim it. It chooses who is next, and refuses to know slots or why one came free.

use std::time::{Duration, Instant};

use crate::chain::Chain;
use crate::pool::{Asker, Claim, ClientId, GaveUp, Grant};

/// A waiter of the releasing machine may pass one that is older by this much at most: it saves the
/// server a move between machines, and 1 ms is below what a client's network shows.
const PASS_MAX: Duration = Duration::from_millis(1);

// The only list of `Queue::all`.
const ALL: usize = 0;

/// A place in a pool's queue, from the checkout that answered `Wait` to the claim or the leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a ticket is claimed or given up; otherwise its grant is never used"]
pub struct Ticket {
    index: u32,
    generation: u32,
}

/// How a waiter was chosen for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handover {
    /// The oldest, and of the releasing machine.
    Near,
    /// Of the releasing machine, past an older one.
    Passed,
    /// The oldest, of another machine.
    Far,
}

/// The waiter that is next.
pub(crate) struct Next {
    index: u32,
    pub(crate) client: ClientId,
    pub(crate) how: Handover,
}

enum Stage<S, W> {
    /// On the free list.
    Vacant,
    /// In both chains.
    Waiting(W),
    /// In no chain; the waiter was woken and has yet to claim.
    Granted(Grant<S>),
}

struct Waiter<S, W> {
    /// Waiters before this one in the same place.
    generation: u32,
    client: ClientId,
    machine: usize,
    /// When it joined.
    since: Instant,
    stage: Stage<S, W>,
}

pub(crate) struct Queue<S, W> {
    waiters: Vec<Waiter<S, W>>,
    /// Numbers of vacant places.
    free: Vec<u32>,
    /// Waiters in order of arrival.
    all: Chain,
    /// The same, of each machine.
    by_machine: Chain,
    /// Waiters in the chains.
    waiting: usize,
}

impl<S, W> Queue<S, W> {
    pub(crate) fn new() -> Queue<S, W> {
        Queue {
            waiters: Vec::new(),
            free: Vec::new(),
            all: Chain::default(),
            by_machine: Chain::default(),
            waiting: 0,
        }
    }

    /// Clients that were granted nothing yet.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// They, and when each joined; the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ClientId, Instant)> {
        self.all.iter(ALL).map(|index| {
            let waiter = &self.waiters[index as usize];
            (waiter.client, waiter.since)
        })
    }

    /// When the oldest of them joined.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.all.front(ALL).map(|index| self.waiters[index as usize].since)
    }

    /// A client that asked at `since` waits: behind all who asked before.
    pub(crate) fn join(&mut self, asker: &Asker, waker: W, since: Instant) -> Ticket {
        let index = self.free.pop().unwrap_or(self.waiters.len() as u32);
        if index as usize == self.waiters.len() {
            self.waiters.push(Waiter {
                generation: 0,
                client: asker.client,
                machine: asker.machine,
                since,
                stage: Stage::Vacant,
            });
        }
        let waiter = &mut self.waiters[index as usize];
        (waiter.client, waiter.machine, waiter.since) = (asker.client, asker.machine, since);
        waiter.stage = Stage::Waiting(waker);
        let ticket = Ticket { index, generation: waiter.generation };
        insert(&mut self.all, ALL, index, &self.waiters);
        insert(&mut self.by_machine, asker.machine, index, &self.waiters);
        self.waiting += 1;
        ticket
    }

    /// Who gets the server that comes free on `machine`; None when nobody waits.
    pub(crate) fn next_near(&self, machine: usize) -> Option<Next> {
        let oldest = self.all.front(ALL)?;
        let Some(near) = self.by_machine.front(machine) else {
            return Some(self.next(oldest, Handover::Far));
        };
        if near == oldest {
            return Some(self.next(oldest, Handover::Near));
        }
        let since = |index: u32| self.waiters[index as usize].since;
        if since(near).saturating_duration_since(since(oldest)) <= PASS_MAX {
            return Some(self.next(near, Handover::Passed));
        }
        Some(self.next(oldest, Handover::Far))
    }

    /// Who gets the permission to open; None when nobody waits.
    pub(crate) fn next_oldest(&self) -> Option<Next> {
        self.all.front(ALL).map(|index| self.next(index, Handover::Far))
    }

    /// Stores the grant for its waiter; returns whom to wake and how long it waited.
    pub(crate) fn grant(&mut self, next: &Next, grant: Grant<S>, now: Instant) -> (W, Duration) {
        let waited = self.unchain(next.index, now);
        let waiter = &mut self.waiters[next.index as usize];
        match std::mem::replace(&mut waiter.stage, Stage::Granted(grant)) {
            Stage::Waiting(waker) => (waker, waited),
            Stage::Vacant | Stage::Granted(_) => unreachable!("only who waits is in the chains"),
        }
    }

    pub(crate) fn claim(&mut self, ticket: Ticket) -> Claim<S> {
        let Some(waiter) = self.live(ticket) else { return Claim::Stale };
        if matches!(waiter.stage, Stage::Waiting(_)) {
            return Claim::Pending;
        }
        match self.vacate(ticket.index) {
            Stage::Granted(grant) => Claim::Granted(grant),
            Stage::Vacant | Stage::Waiting(_) => unreachable!("a live ticket waits or is granted"),
        }
    }

    /// The waiter leaves; the time is how long it waited if it was granted nothing.
    pub(crate) fn leave(&mut self, ticket: Ticket, now: Instant) -> (GaveUp<S>, Option<Duration>) {
        let Some(waiter) = self.live(ticket) else { return (GaveUp::Stale, None) };
        let waits = matches!(waiter.stage, Stage::Waiting(_));
        let waited = waits.then(|| self.unchain(ticket.index, now));
        match self.vacate(ticket.index) {
            Stage::Granted(grant) => (GaveUp::Granted(grant), None),
            Stage::Waiting(_) => (GaveUp::Left, waited),
            Stage::Vacant => unreachable!("a live ticket waits or is granted"),
        }
    }

    fn next(&self, index: u32, how: Handover) -> Next {
        Next { index, client: self.waiters[index as usize].client, how }
    }

    fn live(&self, ticket: Ticket) -> Option<&Waiter<S, W>> {
        let waiter = self.waiters.get(ticket.index as usize)?;
        let alive = waiter.generation == ticket.generation;
        alive.then_some(waiter).filter(|waiter| !matches!(waiter.stage, Stage::Vacant))
    }

    /// Takes a waiter out of the chains; returns how long it was in them.
    fn unchain(&mut self, index: u32, now: Instant) -> Duration {
        let waiter = &self.waiters[index as usize];
        self.all.remove(ALL, index);
        self.by_machine.remove(waiter.machine, index);
        self.waiting -= 1;
        now.saturating_duration_since(waiter.since)
    }

    /// Ends a waiter that is in no chain.
    fn vacate(&mut self, index: u32) -> Stage<S, W> {
        let waiter = &mut self.waiters[index as usize];
        waiter.generation = waiter.generation.wrapping_add(1);
        self.free.push(index);
        std::mem::replace(&mut waiter.stage, Stage::Vacant)
    }
}

/// Puts a waiter into a list, which is in order of arrival. Nearly always it is the last one; who
/// asks again after a failure is among the first.
fn insert<S, W>(chain: &mut Chain, list: usize, index: u32, waiters: &[Waiter<S, W>]) {
    let since = |index: u32| waiters[index as usize].since;
    let is_last = chain.back(list).is_none_or(|last| since(last) <= since(index));
    let next = match is_last {
        true => None,
        false => chain.iter(list).find(|next| since(*next) > since(index)),
    };
    match next {
        Some(next) => chain.insert_before(list, index, next),
        None => chain.push_back(list, index),
    }
}
