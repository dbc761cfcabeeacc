//! Parts: which budgets there are, and what part of them a rule gives its routes. A budget lives as
//! long as some route has a part in it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use config::{Endpoint, Rule, SharedPool};

use crate::budget::{Budget, Member, Share};
use crate::hosts::Hosts;
use crate::pool::Shares;

#[derive(Default)]
pub(super) struct Parts {
    /// Of servers: a `shared_pool` has its size at each host. By name, so that routes of a rule
    /// that a reload took out of force share what there is with those that came.
    servers: HashMap<(String, Option<Endpoint>), Weak<Budget>>,
    /// Of logins, by storage.
    logins: HashMap<String, Weak<Budget>>,
    /// What is known of the hosts of a storage: of these hosts, whoever names them.
    hosts: HashMap<Vec<Endpoint>, Weak<Hosts>>,
}

/// One host among those of its storage.
pub(super) struct Spot {
    pub(super) hosts: Arc<Hosts>,
    pub(super) at: usize,
}

impl Parts {
    /// The parts of a new route to a host.
    pub(super) fn of(&mut self, rule: &Rule, host: usize, member: Member) -> (Shares, Spot) {
        let (storage, at) = rule.place(host).unwrap_or((&rule.storage, 0));
        let servers = rule.shared_pool.as_ref().map(|shared| {
            let key = servers_key(rule, shared, host);
            Share::new(get(&mut self.servers, key, shared.pool_size), member)
        });
        // A watchdog takes its time with hosts that hang, and must not be held up by those who do.
        let logins = rule.watchdog.is_none().then(|| {
            let size = Some(storage.server_max_routing);
            Share::new(get(&mut self.logins, storage.name.clone(), size), member)
        });
        let shares = Shares { servers, logins };
        let place = self.hosts.entry(storage.endpoints.clone()).or_default();
        let hosts = place.upgrade().unwrap_or_else(|| {
            let hosts = Arc::new(Hosts::new(storage.endpoints.len()));
            *place = Arc::downgrade(&hosts);
            hosts
        });
        (shares, Spot { hosts, at })
    }

    /// What is known of these hosts, if some route leads there.
    pub(super) fn hosts(&self, endpoints: &[Endpoint]) -> Option<Arc<Hosts>> {
        self.hosts.get(endpoints)?.upgrade()
    }

    /// The amounts are what this rule says from now on.
    pub(super) fn resize(&self, rule: &Rule) {
        for storage in rule.storages() {
            if let Some(budget) = self.logins.get(&storage.name).and_then(Weak::upgrade) {
                budget.resize(Some(storage.server_max_routing));
            }
        }
        let Some(shared) = &rule.shared_pool else { return };
        for host in 0..rule.host_count().max(1) {
            let budget = self.servers.get(&servers_key(rule, shared, host)).and_then(Weak::upgrade);
            if let Some(budget) = budget {
                budget.resize(shared.pool_size);
            }
        }
    }

    /// Forgets budgets nobody has a part in.
    pub(super) fn sweep(&mut self) {
        self.servers.retain(|_, budget| budget.strong_count() > 0);
        self.logins.retain(|_, budget| budget.strong_count() > 0);
        self.hosts.retain(|_, hosts| hosts.strong_count() > 0);
    }
}

fn servers_key(rule: &Rule, shared: &SharedPool, host: usize) -> (String, Option<Endpoint>) {
    let place = rule.place(host);
    (shared.name.clone(), place.and_then(|(storage, at)| storage.endpoints.get(at).cloned()))
}

fn get<K: Eq + std::hash::Hash>(
    known: &mut HashMap<K, Weak<Budget>>,
    key: K,
    size: Option<usize>,
) -> Arc<Budget> {
    let place = known.entry(key).or_default();
    place.upgrade().unwrap_or_else(|| {
        let budget = Arc::new(Budget::new(size));
        *place = Arc::downgrade(&budget);
        budget
    })
}
