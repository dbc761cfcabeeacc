//! Parts: which budgets there are, and what part of them a rule gives its routes. A budget lives as
//! long as some route has a part in it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use config::{Endpoint, Rule, SharedPool};

use crate::budget::{Budget, Member, Share};
use crate::pool::Shares;

#[derive(Default)]
pub(super) struct Parts {
    /// Of servers: a `shared_pool` has its size at each host. By name, so that routes of a rule
    /// that a reload took out of force share what there is with those that came.
    servers: HashMap<(String, Option<Endpoint>), Weak<Budget>>,
    /// Of logins, by storage.
    logins: HashMap<String, Weak<Budget>>,
}

impl Parts {
    /// The parts of a new route.
    pub(super) fn of(&mut self, rule: &Rule, member: Member) -> Shares {
        let storage = &rule.storage;
        let servers = rule.shared_pool.as_ref().map(|shared| {
            let key = servers_key(rule, shared);
            Share::new(get(&mut self.servers, key, shared.pool_size), member)
        });
        let logins = get(&mut self.logins, storage.name.clone(), Some(storage.server_max_routing));
        Shares { servers, logins: Some(Share::new(logins, member)) }
    }

    /// The amounts are what this rule says from now on.
    pub(super) fn resize(&self, rule: &Rule) {
        let storage = &rule.storage;
        if let Some(budget) = self.logins.get(&storage.name).and_then(Weak::upgrade) {
            budget.resize(Some(storage.server_max_routing));
        }
        let Some(shared) = &rule.shared_pool else { return };
        let budget = self.servers.get(&servers_key(rule, shared)).and_then(Weak::upgrade);
        if let Some(budget) = budget {
            budget.resize(shared.pool_size);
        }
    }

    /// Forgets budgets nobody has a part in.
    pub(super) fn sweep(&mut self) {
        self.servers.retain(|_, budget| budget.strong_count() > 0);
        self.logins.retain(|_, budget| budget.strong_count() > 0);
    }
}

fn servers_key(rule: &Rule, shared: &SharedPool) -> (String, Option<Endpoint>) {
    (shared.name.clone(), rule.storage.endpoints.first().cloned())
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
