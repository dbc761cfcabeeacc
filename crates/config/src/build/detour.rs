//! Detours: each rule once more for every list of storages that a listener has of its own, so that
//! its clients have routes and pools there. A reload compares them as it compares rules.

use std::sync::Arc;

use super::Known;
use crate::diagnostic::Complaints;
use crate::fields::Fields;
use crate::model::{Listen, PoolRouting, Rule, StorageKind};
use crate::raw::Value;

/// The storages that a `listen` section names, each once.
pub(super) fn storages(
    fields: Fields<'_>,
    known: &Known<'_>,
    complaints: &mut Complaints,
) -> Vec<String> {
    let mut names = Vec::new();
    for setting in fields.block.settings.iter().filter(|it| it.row.name == "storage") {
        let Value::Text(name) = &setting.value else { continue };
        match known.storages.get(name.as_str()) {
            None => known.unknown("storage", name, &setting.place, complaints),
            Some(storage) if storage.kind == StorageKind::Local => {
                let message = format!("storage '{name}' is the console, to which rules lead");
                complaints.warning(&setting.place, message);
            }
            Some(_) if names.contains(name) => {}
            Some(_) => names.push(name.clone()),
        }
    }
    names
}

/// Those of all listeners.
pub(super) fn rules(listens: &[Listen], rules: &[Arc<Rule>], known: &Known<'_>) -> Vec<Arc<Rule>> {
    let mut lists: Vec<&[String]> = listens.iter().map(|listen| &*listen.storages).collect();
    lists.sort_unstable();
    lists.dedup();
    let lists = lists.into_iter().filter(|list| !list.is_empty());
    lists.flat_map(|list| rules.iter().filter_map(|rule| detour(rule, list, known))).collect()
}

/// None where the rule leads there itself, or to the console.
fn detour(rule: &Rule, list: &[String], known: &Known<'_>) -> Option<Arc<Rule>> {
    let is_asked = rule.routing == PoolRouting::ClientVisible
        && rule.storage.kind == StorageKind::Remote
        && list != [rule.storage.name.as_str()];
    let mut storages = list.iter().filter_map(|name| known.storages.get(name.as_str()).cloned());
    let storage = storages.next().filter(|_| is_asked)?;
    let (fallbacks, is_detour) = (storages.collect(), true);
    // Nobody may ever come by it.
    Some(Arc::new(Rule { storage, fallbacks, is_detour, min_pool_size: 0, ..rule.clone() }))
}
