//! Parts: which budgets there are, and what part of them a rule gives its routes. A budget lives as
//! long as some route has a part in it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use config::{Endpoint, Rule, SharedPool};

use crate::budget::{Budget, Member, Share};
use crate::pool::Shares;

#[derive(Default)]
pub(super) struct Parts {
    /// Of servers: a `shared_pool` has its size at each host. The same pool only if it is the same
    /// object: a reload makes a new one.
    servers: HashMap<(usize, Option<Endpoint>), Weak<Budget>>,
    /// Of logins, by storage and its `server_max_routing`.
    logins: HashMap<(String, usize), Weak<Budget>>,
}

impl Parts {
    /// The parts of a new route.
    pub(super) fn of(&mut self, rule: &Rule, member: Member) -> Shares {
        let storage = &rule.storage;
        let servers = rule.shared_pool.as_ref().map(|shared: &Arc<SharedPool>| {
            // The rule, which the route keeps, keeps it alive: no other gets its address.
            let key = (Arc::as_ptr(shared).addr(), storage.endpoints.first().cloned());
            Share::new(get(&mut self.servers, key, shared.pool_size), member)
        });
        let key = (storage.name.clone(), storage.server_max_routing);
        let logins = get(&mut self.logins, key, Some(storage.server_max_routing));
        Shares { servers, logins: Some(Share::new(logins, member)) }
    }

    /// Forgets budgets nobody has a part in.
    pub(super) fn sweep(&mut self) {
        self.servers.retain(|_, budget| budget.strong_count() > 0);
        self.logins.retain(|_, budget| budget.strong_count() > 0);
    }
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
