//! Adoption: what a reload means for the routes there are. Rules that were tuned keep their routes,
//! those that are gone retire theirs, and find them again when they come back. It refuses to touch
//! a server: that is done route by route.

use std::collections::HashMap;
use std::sync::Arc;

use config::{Rule, RuleChange};

use super::{Known, Route, Routes, SameRule, Table, lock};

impl<S, W, C: Clone> Routes<S, W, C> {
    /// Takes the changes of a reload over, before anybody can meet one of the new rules. Returns
    /// the routes that are concerned: each is to be given to [`Route::retune`].
    #[must_use = "their pools go on with the old limits"]
    pub fn adopt(&self, changes: &[RuleChange]) -> Vec<Arc<Route<S, W, C>>> {
        let mut table = lock(&self.known);
        let new: Vec<_> = changes.iter().filter_map(RuleChange::new_rule).collect();
        let mut concerned = table.revive(&new);
        concerned.extend(table.adopt(changes));
        let parts = lock(&self.parts);
        changes.iter().filter_map(RuleChange::new_rule).for_each(|rule| parts.resize(rule));
        table.sweep();
        concerned
    }
}

impl<S, W, C: Clone> Table<S, W, C> {
    pub(super) fn new() -> Table<S, W, C> {
        let (by_key, by_member) = (HashMap::new(), HashMap::new());
        Table { by_key, by_member, made: 0, outdated: HashMap::new() }
    }

    /// What holds for who met `rule`, and whether that is in force.
    pub(super) fn in_force(&self, rule: &Arc<Rule>) -> (Arc<Rule>, bool) {
        let mut rule = SameRule(Arc::clone(rule));
        // Each step leads to a younger rule.
        while let Some(next) = self.outdated.get(&rule) {
            match next {
                Some(next) => rule = SameRule(Arc::clone(next)),
                None => return (rule.0, false),
            }
        }
        (rule.0, true)
    }

    /// Forgets outdated rules that nobody can come with any more.
    pub(super) fn sweep(&mut self) {
        self.outdated.retain(|rule, _| Arc::strong_count(&rule.0) > 1);
    }

    fn adopt(&mut self, changes: &[RuleChange]) -> Vec<Arc<Route<S, W, C>>> {
        let mut fates: HashMap<SameRule, Option<Arc<Rule>>> = HashMap::new();
        for change in changes {
            let Some(old) = change.old_rule() else { continue };
            let heir = change.heir().map(Arc::clone);
            fates.insert(SameRule(Arc::clone(old)), heir);
        }
        let mut concerned = Vec::new();
        if fates.is_empty() {
            return concerned;
        }
        let before = std::mem::take(&mut self.by_key);
        for ((mut rule, key), known) in before {
            match fates.get(&rule) {
                None => {}
                Some(heir) => {
                    concerned.push(Arc::clone(&known.route));
                    rule = known.pass_to(rule, heir.as_ref());
                }
            }
            self.by_key.insert((rule, key), known);
        }
        self.outdated.extend(fates);
        concerned
    }

    /// Retired routes with clients or servers, whose rule is there again: two pools for the same
    /// would be twice the `pool_size`.
    fn revive(&mut self, new: &[&Arc<Rule>]) -> Vec<Arc<Route<S, W, C>>> {
        let retired = self.by_key.iter().filter(|(_, known)| known.route.is_retired());
        let heir = |old: &SameRule| new.iter().find(|rule| config::lives_on(&old.0, rule));
        let returning: Vec<_> = retired
            .filter_map(|((old, key), _)| Some((old.clone(), key.clone(), Arc::clone(heir(old)?))))
            .collect();
        let mut revived = Vec::with_capacity(returning.len());
        for (old, key, heir) in returning {
            let place = (SameRule(Arc::clone(&heir)), key.clone());
            if self.by_key.contains_key(&place) {
                continue; // another one of the same has come back already
            }
            let Some(known) = self.by_key.remove(&(old.clone(), key)) else { continue };
            known.route.revive(&heir);
            revived.push(Arc::clone(&known.route));
            self.outdated.insert(old, Some(heir));
            self.by_key.insert(place, known);
        }
        revived
    }
}

impl<S, W, C: Clone> Known<S, W, C> {
    /// To the rule that took the place of its own; without one it is retired.
    fn pass_to(&self, rule: SameRule, heir: Option<&Arc<Rule>>) -> SameRule {
        match heir {
            Some(heir) => {
                self.route.rule.store(Arc::clone(heir));
                SameRule(Arc::clone(heir))
            }
            None => {
                self.route.retire();
                rule
            }
        }
    }
}
