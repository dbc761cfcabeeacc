//! Upkeep of a home: closes servers that are idle for too long or too old, opens those that its
//! minimum lacks. When to look is the janitor's business.

use std::sync::Arc;

use machine::{Deadline, JoinHandle};
use router::{Interned, SlotKey};

use super::home::Gated;
use super::{Home, IdleServer, OpenFailure, Waker};
use crate::dialog::Patience;
use crate::id::Id;
use crate::log::Who;

impl Home {
    /// Closes what has been idle for too long or is too old.
    pub fn expire(&self) {
        let now = machine::now();
        let expired = self.decide(|pool| pool.expire(now));
        for (_, idle) in expired {
            let who = Who { server: Some(idle.core.id), ..Who::default() };
            if self.shared.is_debug(&self.route.rule()) {
                let idle_s = now.duration_since(idle.core.returned).as_secs();
                let text = format_args!("closing idle server connection ({idle_s} secs)");
                self.shared.log.debug("expire", &who, text);
            }
            self.say_goodbye(idle);
        }
    }

    /// Begins to open one server, if the route has fewer than it is to keep: the whole way, so that
    /// the first client waits for nothing. The coroutine tells whether it came to be.
    pub fn prewarm(self: &Arc<Self>) -> Option<JoinHandle<bool>> {
        let now = machine::now();
        let slot = self.decide(|pool| pool.prewarm(now))?;
        let home = Arc::clone(self);
        let spawned = machine::spawn("prewarm", move || {
            let opened = home.open_for_nobody(slot);
            if let Err(failure) = &opened {
                let who = Who { server: Some(failure.server), ..Who::default() };
                home.shared.log.error("idle-preallocate", &who, format_args!("{failure}"));
            }
            home.shared.janitor.ring();
            opened.is_ok()
        });
        if spawned.is_err() {
            self.lost(slot);
        }
        spawned.ok()
    }

    /// The route was paused, or is not any more.
    pub fn obey(&self, gated: Gated) {
        self.decide(|_| ()); // what came free may be wanted elsewhere
        gated.close.into_iter().for_each(|idle| self.say_goodbye(idle));
        gated.wake.iter().for_each(Waker::notify);
    }

    /// What the servers that nobody holds have prepared.
    pub fn parked_statements(&self) -> Vec<(Id, Vec<Interned>)> {
        self.route.with(|pool| {
            let prepared = |idle: &IdleServer| {
                (idle.core.id, idle.core.holdings.prepared.iter().cloned().collect())
            };
            pool.parked().map(|(_, idle)| prepared(idle)).collect()
        })
    }

    /// Closes the servers there are, those that are used as soon as they are not.
    pub fn reconnect(&self) {
        let idle = self.decide(|pool| pool.retire_all());
        idle.into_iter().for_each(|(_, idle)| self.say_goodbye(idle));
        self.shared.janitor.ring();
    }

    /// Takes the limits of its rule, which a reload has changed; a retired route gives up what
    /// servers it can.
    pub fn retune(&self) {
        self.time();
        let now = machine::now();
        let retuned = self.route.retune(now);
        self.decide(|_| ()); // what came free may be wanted elsewhere
        retuned.close.into_iter().for_each(|idle| self.say_goodbye(idle));
        retuned.wake.iter().for_each(Waker::notify);
    }

    /// Counts how long things take, if its rule wants to know.
    pub fn time(&self) {
        if !self.route.rule().quantiles.is_empty() {
            self.tally.time();
        }
    }

    /// A server went that may have been one of those to keep, or the last one of a retired route.
    pub(super) fn missed(&self) {
        if self.route.rule().min_pool_size > 0 || self.route.is_retired() {
            self.shared.janitor.ring();
        }
    }

    fn open_for_nobody(self: &Arc<Self>, slot: SlotKey) -> Result<(), OpenFailure> {
        let (slot, server) = self.fill(slot, Patience::until(Deadline::NEVER), None)?;
        let rule = self.route.rule();
        let who = Who { server: Some(server.core.id), ..Who::default() };
        let text =
            format_args!("idle server connection preallocated for {}.{}", rule.database, rule.user);
        self.shared.log.info("idle-preallocate", &who, text);
        self.checkin(slot, server, machine::now());
        Ok(())
    }
}
