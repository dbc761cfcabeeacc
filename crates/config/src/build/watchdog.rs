//! Watchdogs: the rule by which the hosts of a storage are asked how they are. It is no client's
//! rule, whatever it says of clients.

use std::sync::Arc;

use super::{Known, rule};
use crate::diagnostic::Complaints;
use crate::fields::Fields;
use crate::model::{Name, PoolRouting, Rule, StorageKind, UserName, Watchdog};
use crate::options::Scope;
use crate::raw::Block;

/// Odyssey's name of the database and the user of its watchdog. Ours has the storage's name as its
/// user, so that there may be several.
const NAME: &str = "watchdog_int";

/// Those of all storages.
pub(super) fn rules(
    root: &Block,
    known: &Known<'_>,
    complaints: &mut Complaints,
) -> Vec<Arc<Rule>> {
    let storages = root.sections("storage");
    let blocks =
        storages.filter_map(|storage| Some((storage, storage.sections("watchdog").next()?)));
    blocks.filter_map(|(storage, block)| read(storage, block, known, complaints)).collect()
}

fn read(
    storage: &Block,
    block: &Block,
    known: &Known<'_>,
    complaints: &mut Complaints,
) -> Option<Arc<Rule>> {
    let fields = Fields::new(Scope::Watchdog, block);
    let rule = rule::read_internal(NAME, block, known, complaints)?;
    let title = storage.title();
    let watched = Arc::clone(known.storages.get(title)?);
    if watched.kind == StorageKind::Local {
        let message = format!("storage '{title}': the console needs no watchdog");
        complaints.error(&block.place, message);
    }
    if rule.storage.name != title {
        let message = format!("the watchdog of storage '{title}' asks the hosts of that storage");
        complaints.warning(fields.place("storage"), message);
    }
    for option in ["storage_db", "storage_user"] {
        if !fields.is_set(option) {
            let message = format!("watchdog without {option}: it logs in with '{NAME}' for it");
            complaints.warning(&block.place, message);
        }
    }
    Some(Arc::new(Rule {
        user: UserName::Named(title.to_owned()),
        database: Name::Named(NAME.to_owned()),
        routing: PoolRouting::Internal,
        watchdog: Some(Watchdog {
            lag_query: fields.string("watchdog_lag_query").filter(|query| !query.is_empty()),
            lag_interval: fields.time_limit("watchdog_lag_interval"),
        }),
        storage_db: Some(rule.storage_db.unwrap_or_else(|| NAME.to_owned())),
        storage_user: Some(rule.storage_user.unwrap_or_else(|| NAME.to_owned())),
        storage: watched,
        target_session_attrs: None,
        catchup_timeout: None,
        min_pool_size: 0,
        shared_pool: None,
        ..rule
    }))
}
