//! What a pool counted: how things are now (`Counts`) and what happened since it was made
//! (`Counters`). It only adds; rates and quantiles are made by whoever reads it.

use std::time::Duration;

/// Slots by state, and clients that wait, at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Slots whose server is being connected.
    pub opening: usize,
    /// Slots whose server is free.
    pub idle: usize,
    /// Slots in a client's hands, including servers handed to a waiter that did not claim yet.
    pub leased: usize,
    /// Slots whose server is cleaned or examined; no client holds them.
    pub resetting: usize,
    /// Slots whose server is free but may still be hit by a cancel.
    pub quarantined: usize,
    /// Clients that wait and were granted nothing yet.
    pub waiting: usize,
}

impl Counts {
    /// Those of another pool, too.
    pub fn plus(&self, more: &Counts) -> Counts {
        Counts {
            opening: self.opening + more.opening,
            idle: self.idle + more.idle,
            leased: self.leased + more.leased,
            resetting: self.resetting + more.resetting,
            quarantined: self.quarantined + more.quarantined,
            waiting: self.waiting + more.waiting,
        }
    }

    /// Slots in use, whatever for; never more than the pool's size.
    pub fn servers(&self) -> usize {
        self.opening + self.idle + self.leased + self.resetting + self.quarantined
    }
}

/// What happened since the pool was made. Numbers only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Checkouts that got the client's own last server.
    pub takes_last: u64,
    /// Checkouts that got an idle server of the caller's machine.
    pub takes_near: u64,
    /// Checkouts that got an idle server of another machine.
    pub takes_far: u64,
    /// Checkouts that got the permission to open at once.
    pub checkout_opens: u64,
    /// Times a slot began to open: a checkout, a waiter's grant, a prewarm.
    pub opens: u64,
    /// Slots that began to open for nobody, to keep the minimum; counted in `opens` too.
    pub prewarms: u64,
    /// Opens that succeeded.
    pub opened: u64,
    /// Of these, those a client asked for.
    pub client_opens: u64,
    /// Servers and failed opens that left the pool, for whatever reason.
    pub closed: u64,
    /// Checkouts that had to wait.
    pub waits: u64,
    /// Time between joining the queue and the grant (or the leaving), summed over `waits`.
    pub wait_total: Duration,
    /// Waiters that left ungranted.
    pub gave_up: u64,
    /// Checkouts refused because the queue was full.
    pub refused: u64,
    /// Servers handed to the oldest waiter, which is of the releasing machine.
    pub handovers_near: u64,
    /// Servers handed to a waiter of the releasing machine past an older one (by 1 ms at most).
    pub handovers_passed: u64,
    /// Servers handed to the oldest waiter, which is of another machine.
    pub handovers_far: u64,
    /// Waiters that were granted the opening of a server.
    pub grants_open: u64,
    /// Servers given up for a client of another route of the same `shared_pool`.
    pub ceded: u64,
    /// Cancels asked for while there was something to cancel.
    pub cancels: u64,
    /// Of these, those for which another one that waited to be sent was enough.
    pub cancels_merged: u64,
    /// Servers that were quarantined because of a cancel in flight.
    pub quarantines: u64,
}

impl Counters {
    /// Checkouts in all, those that were refused included. One that asks again after a failure
    /// counts again.
    pub fn checkouts(&self) -> u64 {
        self.takes() + self.checkout_opens + self.waits + self.refused
    }

    /// Checkouts that found an idle server.
    pub fn takes(&self) -> u64 {
        self.takes_last + self.takes_near + self.takes_far
    }

    /// Times a client was given a server.
    pub fn assignments(&self) -> u64 {
        self.takes() + self.handovers() + self.client_opens
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, more: &Counters) -> Counters {
        Counters {
            takes_last: self.takes_last + more.takes_last,
            takes_near: self.takes_near + more.takes_near,
            takes_far: self.takes_far + more.takes_far,
            checkout_opens: self.checkout_opens + more.checkout_opens,
            opens: self.opens + more.opens,
            prewarms: self.prewarms + more.prewarms,
            opened: self.opened + more.opened,
            client_opens: self.client_opens + more.client_opens,
            closed: self.closed + more.closed,
            waits: self.waits + more.waits,
            wait_total: self.wait_total + more.wait_total,
            gave_up: self.gave_up + more.gave_up,
            refused: self.refused + more.refused,
            handovers_near: self.handovers_near + more.handovers_near,
            handovers_passed: self.handovers_passed + more.handovers_passed,
            handovers_far: self.handovers_far + more.handovers_far,
            grants_open: self.grants_open + more.grants_open,
            ceded: self.ceded + more.ceded,
            cancels: self.cancels + more.cancels,
            cancels_merged: self.cancels_merged + more.cancels_merged,
            quarantines: self.quarantines + more.quarantines,
        }
    }

    /// Servers handed from client to client without becoming idle.
    pub fn handovers(&self) -> u64 {
        self.handovers_near + self.handovers_passed + self.handovers_far
    }
}
