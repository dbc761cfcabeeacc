//! Idleness: how long a client may hold a server and say nothing. The limit runs from the moment at
//! which everything it asked for was answered; the clock is read once for each such moment, and
//! never where the rule sets no limit. Clients without a server may be idle for ever,
//! unless they have said BEGIN.

use std::time::Duration;

use config::PoolMode;
use machine::Deadline;
use wire::backend::TransactionStatus;

use super::Session;
use super::relay::Flows;
use crate::ending::Ending;

/// Since the client's last word. A new word makes a new one.
pub(super) struct Idleness {
    /// When it is too long; never while the client is not idle.
    over: Deadline,
}

impl Default for Idleness {
    fn default() -> Self {
        Self { over: Deadline::NEVER }
    }
}

impl Idleness {
    /// When it is too long.
    pub(super) fn over(&self) -> Deadline {
        self.over
    }

    /// It begins, and may last so long.
    pub(super) fn since_now(&mut self, limit: Option<Duration>) {
        self.over = limit.map_or(Deadline::NEVER, Deadline::after);
    }

    /// It may last so long (None: for ever, or the client is not idle).
    fn limit(&mut self, limit: Option<Duration>) -> Deadline {
        match limit {
            None => self.over = Deadline::NEVER,
            Some(limit) if self.over == Deadline::NEVER => self.over = Deadline::after(limit),
            Some(_) => {}
        }
        self.over
    }
}

impl Session {
    /// Until when to wait for the client.
    pub(super) fn patience(&mut self, flows: &Flows) -> Deadline {
        let limit = self.idle_limit(flows);
        self.idle.limit(limit)
    }

    /// The client keeps its server and says nothing: it is parked until its time is over.
    pub(super) fn rest(&mut self, flows: &Flows) -> Result<(), Ending> {
        let patience = self.patience(flows);
        match patience != Deadline::NEVER && patience.is_past(machine::now()) {
            true => Err(self.idled()),
            false => Ok(()),
        }
    }

    /// It said BEGIN, and nothing since.
    pub(super) fn check_begun(&self) -> Result<(), Ending> {
        let over = self.own.begun && self.idle.over() != Deadline::NEVER;
        match over && self.idle.over().is_past(machine::now()) {
            true => Err(self.idled()),
            false => Ok(()),
        }
    }

    /// How long the client may go on as it is; None unless it is idle with a server in its hands.
    fn idle_limit(&self, flows: &Flows) -> Option<Duration> {
        let conversation = &self.lease.as_ref()?.server().core.conversation;
        if !(conversation.settled() && flows.down.passable().is_empty()) {
            return None;
        }
        let rule = self.home.route.rule();
        match conversation.status() {
            TransactionStatus::Idle if rule.pool == PoolMode::Session => {
                rule.pool_client_idle_timeout
            }
            TransactionStatus::Idle => None,
            _ => rule.pool_idle_in_transaction_timeout,
        }
    }

    /// It was idle for too long.
    pub(super) fn idled(&self) -> Ending {
        let status = self.lease.as_ref().map(|lease| lease.server().core.conversation.status());
        let open = status.is_some_and(|status| status != TransactionStatus::Idle);
        Ending::Idle { in_transaction: open || self.own.begun }
    }
}
