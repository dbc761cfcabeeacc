//! Rules that nobody will meet: said twice, or behind one that takes all their clients.
//!
//! Odyssey takes both in silence.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::diagnostic::{Complaints, Place};
use crate::model::{AddressSelector, ConnectionType, Name, Rule, UserName};

/// The rules so far, by whom they are for.
pub(super) struct Shadows {
    /// File order decides; otherwise the more specific rule does, and only its equal hides a rule.
    sequential: bool,
    earlier: HashMap<(Name, UserName), Vec<Arc<Rule>>>,
}

impl Shadows {
    pub fn new(sequential: bool) -> Shadows {
        Shadows { sequential, earlier: HashMap::new() }
    }

    /// Warns if the rule comes too late.
    pub fn note(&mut self, rule: &Arc<Rule>, place: &Place, complaints: &mut Complaints) {
        let key = (rule.database.clone(), rule.user.clone());
        if let Some(first) = self.same(&key, rule) {
            let message =
                format!("rule '{rule}' is redefined, the first one at line {} is used", first.line);
            complaints.warning(place, message);
            return; // one of them is enough to compare others with
        }
        if let Some(first) = self.broader(rule).filter(|_| self.sequential) {
            let (line, file) = (first.line, &first.file);
            let message = format!("rule '{rule}' is never used");
            let hint = format!(
                "with sequential_routing, '{first}' at {file}:{line} takes all its clients; the \
                 narrower rule has to stand first"
            );
            complaints.warning_with_hint(place, message, &hint);
        }
        self.earlier.entry(key).or_default().push(rule.clone());
    }

    fn same(&self, key: &(Name, UserName), rule: &Rule) -> Option<&Arc<Rule>> {
        let same = |other: &&Arc<Rule>| {
            (other.connection, other.routing) == (rule.connection, rule.routing)
                && other.address.is_same(&rule.address)
        };
        self.earlier.get(key)?.iter().find(same)
    }

    /// One that takes every client of this rule.
    fn broader(&self, rule: &Rule) -> Option<&Arc<Rule>> {
        // Who the members of a group are is known only to the group, and to those for everybody.
        for database in [&rule.database, &Name::Default] {
            for user in [&rule.user, &UserName::Default] {
                let rules = self.earlier.get(&(database.clone(), user.clone()));
                let found = rules.into_iter().flatten().find(|other| takes_all(other, rule));
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }
}

fn takes_all(other: &Rule, rule: &Rule) -> bool {
    other.routing == rule.routing
        && address_within(&other.address.masked(), &rule.address.masked())
        && connection_within(other.connection, rule.connection)
}

fn address_within(outer: &AddressSelector, inner: &AddressSelector) -> bool {
    match (outer, inner) {
        (AddressSelector::All, _) => true,
        (
            AddressSelector::Network { prefix: outer_prefix, .. },
            AddressSelector::Network { address, prefix },
        ) => outer_prefix <= prefix && outer.contains(Some(IpAddr::clone(address))),
        _ => false,
    }
}

fn connection_within(outer: ConnectionType, inner: ConnectionType) -> bool {
    use ConnectionType::{Any, Host, HostNoSsl, HostSsl};
    outer == Any || outer == inner || (outer == Host && matches!(inner, HostSsl | HostNoSsl))
}
