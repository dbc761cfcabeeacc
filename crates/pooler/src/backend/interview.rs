//! An interview: what a watchdog asks a host. It goes by the pool of the watchdog's own route, so
//! that clients who crowd theirs hold it up no more than it does them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use machine::{Deadline, Notified};
use router::{Role, Wants};

use super::choice::{ROLE, role_of};
use super::{Checkout, Column, Home, Lease, NoServer, column};

/// What a host says.
pub struct Answers {
    /// What it is.
    pub role: Role,
    /// The last heartbeat it knows of, or why it knows of none; None: it was not asked.
    pub heartbeat: Option<Result<String, String>>,
}

/// Why there are no answers, in words for the log.
pub enum Silence {
    /// The host is out of reach or silent; everybody knows now.
    Dead(String),
    /// This says nothing about the host: it does not let us in, or we are out of something.
    Unasked(String),
}

impl Home {
    /// Asks our host for its role, and by `query` for the last heartbeat.
    ///
    /// # Errors
    /// See [`Silence`].
    pub fn interview(
        self: &Arc<Self>,
        query: Option<&str>,
        deadline: Deadline,
    ) -> Result<Answers, Silence> {
        let (hosts, host) = self.route.spot();
        if hosts.is_dead(host) {
            self.reconnect(); // a connection from before proves nothing to who wants a new one
        }
        let idle = self.route.with(|pool| pool.counts().idle);
        let answers = self.ask_host(query, deadline);
        match answers {
            // An idle server may have been ended a moment ago, and its host be well.
            Err(Silence::Dead(_)) if idle > 0 && !deadline.is_past(machine::now()) => {
                self.reconnect();
                self.ask_host(query, deadline)
            }
            answers => answers,
        }
        .inspect_err(|silence| {
            if matches!(silence, Silence::Dead(_)) {
                hosts.died(host, machine::now());
            }
        })
    }

    /// Nobody is to try a dead host again for now.
    pub fn stays_dead(&self, now: Instant) {
        let (hosts, host) = self.route.spot();
        if hosts.is_dead(host) {
            hosts.died(host, now);
        }
    }

    fn ask_host(
        self: &Arc<Self>,
        query: Option<&str>,
        deadline: Deadline,
    ) -> Result<Answers, Silence> {
        let lease = self.lease_for_us(deadline)?;
        let rest = || deadline.remaining(machine::now()).unwrap_or(Duration::MAX);
        let (lease, answer) = column::ask(lease, ROLE, rest()).map_err(Silence::Dead)?;
        let role = role_of(&answer);
        let (lease, heartbeat) = match query.filter(|_| role.is_ok()) {
            None => (lease, None),
            Some(query) => {
                let (lease, answer) = column::ask(lease, query, rest()).map_err(Silence::Dead)?;
                (lease, Some(only_value(&answer)))
            }
        };
        if let Some(proof) = lease.server().core.conversation.quiescent() {
            lease.release(proof, machine::now());
        }
        Ok(Answers { role: role.map_err(Silence::Unasked)?, heartbeat })
    }

    fn lease_for_us(self: &Arc<Self>, deadline: Deadline) -> Result<Lease, Silence> {
        let notified = Notified::new();
        let ask = Checkout::of_ours(Wants::ANYTHING, &notified, deadline);
        self.checkout_here(&ask).map_err(|failure| match failure {
            NoServer::Open(failure) if failure.is_the_hosts() => {
                Silence::Dead(failure.reason.to_string())
            }
            NoServer::Open(failure) => Silence::Unasked(failure.reason.to_string()),
            NoServer::Refused(_) => Silence::Unasked("its pool has no server to give".into()),
            other => Silence::Unasked(format!("{other:?}")),
        })
    }
}

fn only_value(answer: &Column) -> Result<String, String> {
    match answer.values::<Vec<_>>()?.as_slice() {
        [value] => Ok(value.to_string()),
        other => Err(format!("one value is expected, {} came", other.len())),
    }
}
