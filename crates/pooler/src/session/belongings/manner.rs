//! Manner: how a pool treats its clients, as its rule says. Decided once, when a client comes.

use config::{PoolMode, Rule, SessionState};

use crate::backend::Suspicion;

/// How a pool treats its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// A server goes back after each transaction, so settings must follow the client.
    pub releases: bool,
    /// A server goes back after each statement; transactions are refused.
    pub single: bool,
    /// Prepared statements are shared and follow the client.
    pub shares_statements: bool,
    /// A statement whose result type has changed is prepared anew for its next use
    /// (`server_drop_on_cached_plan_error`, which closes the whole server in Odyssey).
    pub heals: bool,
    /// Settings are deployed (`maintain_params`).
    pub deploys: bool,
    /// What to do with a client that leaves more than settings and statements.
    pub state: SessionState,
    /// Whether a LISTEN ties its client to the server, if the rule says so.
    pub pins_on_listen: Option<bool>,
}

impl Manner {
    /// As the rule says.
    pub fn of(rule: &Rule) -> Self {
        let releases = rule.pool != PoolMode::Session;
        Self {
            releases,
            single: rule.pool == PoolMode::Statement,
            shares_statements: releases && rule.pool_reserve_prepared_statement,
            heals: rule.server_drop_on_cached_plan_error,
            deploys: rule.maintain_params,
            state: rule.pool_session_state,
            pins_on_listen: rule.pool_pin_on_listen,
        }
    }

    /// Is it to be found out what a client has left?
    pub fn asks_about(self, suspicion: Suspicion) -> bool {
        let listens = self.pins_on_listen == Some(true) && suspicion.has(Suspicion::LISTEN);
        suspicion.asks() && (self.state != SessionState::Reset || listens)
    }

    /// What to do with a client that has left this.
    pub fn verdict(self, left: &str) -> SessionState {
        match self.pins_on_listen {
            Some(false) if left == "LISTEN" => SessionState::Reset,
            Some(true) if left.starts_with("LISTEN") => SessionState::Pin,
            _ => self.state,
        }
    }
}
