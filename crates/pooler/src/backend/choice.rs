//! Choice: which host a client gets where its storage has several. Each host has a pool of its own;
//! hosts that cannot be reached, or have the wrong role, are passed over. A session that has a
//! server keeps it: nothing moves in the middle of a transaction.

use std::sync::Arc;
use std::time::Duration;

use config::{Rule, SessionAttrs};
use router::{Refusal, Role, Wants, Wish};

use super::{Checkout, Column, Home, Lease, NoServer, OpenFailure, column, waiting};
use crate::log::Who;

/// A host that has not told its role by then is passed over.
const ROLE_PATIENCE: Duration = Duration::from_secs(1);

pub(super) const ROLE: &str = "SELECT pg_catalog.pg_is_in_recovery()";

impl Home {
    /// A server for the client, of the host whose turn it is, waiting for one if need be: at most
    /// `pool_timeout` for each host.
    ///
    /// # Errors
    /// See [`NoServer`]; the client is in no queue and holds no slot afterwards.
    pub fn checkout(self: &Arc<Self>, ask: &Checkout<'_>) -> Result<Lease, NoServer> {
        let Wants { attrs, lag_max, .. } = ask.wants;
        if self.others.is_empty() && attrs == SessionAttrs::Any && lag_max.is_none() {
            return self.checkout_here(ask);
        }
        self.check_lag(lag_max).map_err(NoServer::Lagging)?;
        let rule = Arc::clone(&self.route.rule());
        let mut order = self.order(&rule, ask.wants);
        if rule.pool_acquire_fail_fast {
            let waits =
                |host: &usize| !self.of_host(*host).route.with(|pool| pool.has_one_to_give());
            order.sort_by_cached_key(waits); // stable: else as before
        }
        let mut failure = NoServer::NoHost;
        for host in order {
            match self.of_host(host).checkout_if_fit(ask, &rule)? {
                Ok(lease) => return Ok(lease),
                Err(one) => failure = one,
            }
        }
        Err(failure)
    }

    /// Whether there may be a host for clients that want one which lags by less; if not, how far
    /// the best one does.
    pub fn check_lag(&self, lag_max: Option<Duration>) -> Result<(), Duration> {
        let Some(_) = lag_max else { return Ok(()) };
        // One that does not lag, None, is less than any that does.
        let least = self.family().map(|home| home.excess(lag_max)).min().flatten();
        least.map_or(Ok(()), Err)
    }

    /// How far our host lags, if that is too far.
    pub(super) fn excess(&self, lag_max: Option<Duration>) -> Option<Duration> {
        lag_max?;
        let (hosts, at) = self.route.spot();
        hosts.excess(at, lag_max, machine::now())
    }

    /// What servers of this route told at login, whichever host they are on.
    pub fn learned(&self) -> Option<Arc<router::Parameters>> {
        self.family().find_map(|home| home.route.learned())
    }

    /// This one, and those of the other hosts if it is the one that clients are of.
    pub fn family(&self) -> impl Iterator<Item = &Home> {
        std::iter::once(self).chain(self.others.iter().map(|other| &**other))
    }

    /// How it went to get to our host.
    pub(super) fn note_health<T>(&self, outcome: &Result<T, OpenFailure>) {
        let (hosts, host) = self.route.spot();
        match outcome {
            Ok(_) => hosts.lives(host),
            Err(failure) if failure.is_the_hosts() => hosts.died(host, machine::now()),
            Err(_) => {}
        }
    }

    fn of_host(self: &Arc<Self>, host: usize) -> &Arc<Home> {
        match host.checked_sub(1) {
            None => self,
            Some(other) => &self.others[other],
        }
    }

    /// The hosts to try, storage by storage. One that is alone is tried whatever is known of it.
    fn order(&self, rule: &Rule, wants: Wants) -> Vec<usize> {
        if self.others.is_empty() {
            return vec![0];
        }
        let servers = |home: &Home| home.route.with(|pool| pool.counts().servers());
        let (mut order, mut first, now) = (Vec::new(), 0, machine::now());
        for storage in rule.storages() {
            let Some(home) = self.family().nth(first) else { break };
            let load = |host: usize| self.family().nth(first + host).map_or(0, servers);
            let hosts = home.route.spot().0.order(&Wish { storage, wants }, load, now);
            order.extend(hosts.into_iter().map(|host| first + host));
            first += storage.endpoints.len();
        }
        order
    }

    /// A server of this host. The inner error: another host may do better.
    fn checkout_if_fit(
        self: &Arc<Self>,
        ask: &Checkout<'_>,
        rule: &Rule,
    ) -> Result<Result<Lease, NoServer>, NoServer> {
        let lease = match self.checkout_here(ask) {
            Ok(lease) => lease,
            Err(NoServer::Open(failure)) if failure.is_abandoned() => {
                return Err(NoServer::ClientGone);
            }
            Err(failure @ (NoServer::Open(_) | NoServer::Refused(Refusal::PoolTimeout { .. }))) => {
                return Ok(Err(failure));
            }
            Err(failure) => return Err(failure),
        };
        let attrs = ask.wants.attrs;
        let storage = rule.place(self.route.key().host).map_or(&rule.storage, |(it, _)| it);
        let Some(lease) = self.keep_if_fit(lease, attrs, storage.status_max_age) else {
            return Ok(Err(NoServer::Unfit(attrs)));
        };
        let tells = storage.balancing.tells && rule.host_count() > 1;
        if let Some(client) = ask.client.filter(|_| ask.may_tell && tells) {
            let address = &lease.server().core.target.address;
            waiting::tell(client, &format!("select host {address}"));
        }
        Ok(Ok(lease))
    }

    /// The lease, if its host has the role that is wanted; else the server goes back, and whoever
    /// asks next knows.
    fn keep_if_fit(&self, lease: Lease, attrs: SessionAttrs, max_age: Duration) -> Option<Lease> {
        if attrs == SessionAttrs::Any {
            return Some(lease);
        }
        let (hosts, host) = self.route.spot();
        let (lease, role) = match hosts.role(host, max_age, machine::now()) {
            Some(role) => (lease, role),
            None => self.ask_role(lease)?,
        };
        if role.suits(attrs) {
            return Some(lease);
        }
        if let Some(proof) = lease.server().core.conversation.quiescent() {
            lease.release(proof, machine::now());
        }
        None
    }

    fn ask_role(&self, lease: Lease) -> Option<(Lease, Role)> {
        let (hosts, host) = self.route.spot();
        let server = lease.server().core.id;
        let answer = column::ask(lease, ROLE, ROLE_PATIENCE)
            .and_then(|(lease, answer)| Ok((lease, role_of(&answer)?)));
        match answer {
            Ok((lease, role)) => {
                hosts.saw(host, role, machine::now());
                Some((lease, role))
            }
            Err(reason) => {
                let who = Who { server: Some(server), ..Who::default() };
                self.shared.log.error("tsa", &who, format_args!("no role: {reason}"));
                None
            }
        }
    }
}

/// What a host is that answers so.
pub(super) fn role_of(answer: &Column) -> Result<Role, String> {
    match answer.values::<Vec<_>>()?.as_slice() {
        [value] if &**value == "t" => Ok(Role::Standby),
        [value] if &**value == "f" => Ok(Role::Primary),
        other => Err(format!("pg_is_in_recovery() is {other:?}")),
    }
}
