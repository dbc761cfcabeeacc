//! A lease: one slot of a pool in one client's hands. It does not know SQL. Dropping it is the safe
//! ending, the server is closed; a server goes back to the pool only with a proof that it is quiet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use router::SlotKey;
use wire::conversation::Quiescent;

use super::{Home, Leftover, Server, recover};
use crate::log::Who;

/// A server, leased.
pub struct Lease {
    home: Arc<Home>,
    slot: SlotKey,
    /// None only inside the call that ends the lease.
    server: Option<Server>,
    since: Instant,
}

impl Lease {
    pub(super) fn new(home: Arc<Home>, slot: SlotKey, server: Server, since: Instant) -> Self {
        Self { home, slot, server: Some(server), since }
    }

    /// When it began.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// The host and the slot there, to ask for the same server again.
    pub fn place(&self) -> (usize, SlotKey) {
        (self.home.route.key().host, self.slot)
    }

    /// How far its host lags, if that is too far for who wants one that lags by less.
    pub fn excess(&self, lag_max: Option<Duration>) -> Option<Duration> {
        self.home.excess(lag_max)
    }

    /// The server.
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("a lease has its server until it ends")
    }

    /// The server, to talk to.
    pub fn server_mut(&mut self) -> &mut Server {
        self.server.as_mut().expect("a lease has its server until it ends")
    }

    /// Where the server goes back to.
    pub(super) fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// Gives a quiet server back: to the pool if nothing was left behind in it, else to a reset
    /// that the client does not wait for.
    pub fn release(self, proof: Quiescent, now: Instant) {
        if !self.server().core.holdings.is_spotless() {
            self.abandon(Leftover::nothing());
        } else {
            self.checkin(proof, now);
        }
    }

    /// The client is gone. What it left running is cancelled, what it left open is rolled back, and
    /// then the server goes back to the pool; a server that cannot be brought back is closed.
    pub fn abandon(self, leftover: Leftover) {
        let known = self.home.route.with(|pool| pool.resetting(self.slot));
        debug_assert!(known, "we hold the leased slot");
        // At the ceiling of coroutines the lease drops with the closure: the server is closed.
        let spawned = machine::spawn("reset", move || recover::run(self, leftover));
        drop(spawned);
    }

    /// To the pool, clean; unless it has shown that it cannot be trusted with another client.
    pub(super) fn checkin(mut self, _proof: Quiescent, now: Instant) {
        let server = self.server.take().expect("a lease has its server until it ends");
        match server.core.unfit {
            None => self.home.checkin(self.slot, server, now),
            Some(reason) => {
                let who = Who { server: Some(server.core.id), ..Who::default() };
                let text = format_args!("closing server connection: {reason}");
                self.home.shared.log.error("pool", &who, text);
                server.say_goodbye();
                self.home.lost(self.slot);
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            drop(server);
            self.home.lost(self.slot);
        }
    }
}
