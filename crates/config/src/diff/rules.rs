//! Rules against rules: which of the new ones goes on where an old one was, and whether the servers
//! and clients of the old one can stay.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::words::{self, Words};
use super::{Lines, RuleChange, line, tell};
use crate::model::{
    AddressSelector, ConnectionType, Name, PoolRouting, Rule, SharedPool, Storage, UserName,
};

/// For which clients; two rules may say the same, and then the first is used.
type Clients<'a> = (
    (&'a Name, &'a UserName, &'a AddressSelector, ConnectionType, PoolRouting),
    Option<Vec<&'a str>>,
);

/// Detours are for those who come by listeners with these storages.
fn clients(rule: &Rule) -> Clients<'_> {
    let storages = || rule.storages().map(|storage| storage.name.as_str()).collect();
    (
        (&rule.database, &rule.user, &rule.address, rule.connection, rule.routing),
        rule.is_detour.then(storages),
    )
}

/// Puts the old object in the place of every new one that is the same.
pub(super) fn merge(
    old: &[Arc<Rule>],
    new: &mut [Arc<Rule>],
    lines: &mut Lines,
) -> Vec<RuleChange> {
    let (counterparts, gone) = pair(old, new);
    if !is_in_order(old, &counterparts) {
        lines.applied.push("rules: their order changed".to_owned());
    }
    let (mut changes, mut untold) = (Vec::new(), Lines::default());
    for (rule, counterpart) in new.iter_mut().zip(counterparts) {
        let new = Arc::clone(rule);
        // What changes of a detour changes of its rule, its storages or its listener.
        let lines = if new.is_detour { &mut untold } else { &mut *lines };
        match counterpart {
            None => {
                lines.applied.push(format!("{} was added", title(rule)));
                changes.push(RuleChange::Added(new));
            }
            Some(old) if old == new => *rule = old,
            Some(old) => changes.push(match compare(&old, &new, lines) {
                Verdict::Lives => RuleChange::Tuned { old, new },
                Verdict::Ends => RuleChange::Replaced { old, new },
            }),
        }
    }
    for rule in gone {
        if !rule.is_detour {
            lines.applied.push(format!("{} was deleted", title(&rule)));
        }
        changes.push(RuleChange::Removed(rule));
    }
    changes
}

/// The old rule for the clients of each new one, and the old rules that are left, in file order.
fn pair(old: &[Arc<Rule>], new: &[Arc<Rule>]) -> (Vec<Option<Arc<Rule>>>, Vec<Arc<Rule>>) {
    let mut before: HashMap<Clients<'_>, VecDeque<&Arc<Rule>>> = HashMap::new();
    for rule in old {
        before.entry(clients(rule)).or_default().push_back(rule);
    }
    let mut take = |rule| before.get_mut(&clients(rule))?.pop_front().map(Arc::clone);
    let counterparts = new.iter().map(|rule| take(rule)).collect();
    let is_left = |rule: &&Arc<Rule>| {
        let left = before.get(&clients(rule));
        left.is_some_and(|left| left.iter().any(|one| Arc::ptr_eq(one, rule)))
    };
    (counterparts, old.iter().filter(is_left).map(Arc::clone).collect())
}

/// Whether the rules that stay follow each other as they did: with `sequential_routing` that
/// decides who meets which.
fn is_in_order(old: &[Arc<Rule>], counterparts: &[Option<Arc<Rule>>]) -> bool {
    let places: HashMap<*const Rule, usize> = old.iter().map(Arc::as_ptr).zip(0..).collect();
    counterparts.iter().flatten().map(|rule| places[&Arc::as_ptr(rule)]).is_sorted()
}

/// Can what the old rule made, whether that is still in force or not, go on under the new one?
pub fn lives_on(old: &Rule, new: &Rule) -> bool {
    clients(old) == clients(new) && compare(old, new, &mut Lines::default()) == Verdict::Lives
}

/// Whether what the old rule made can go on under the new one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Lives,
    Ends,
}

fn title(rule: &Rule) -> String {
    let connection = rule.connection.word().unwrap_or("all");
    format!("rule {rule} {connection}")
}

/// The options of a rule by what a change of them means. The compiler asks for the class of a new
/// one.
macro_rules! rule_options {
    (
        $old:ident, $new:ident, $lives:ident, $ends:ident;
        clients: $($clients:ident)*;
        place: $($place:ident)*;
        lives: $($live:ident)*;
        ends: $($end:ident)*;
        judged: $($judged:ident)*;
    ) => {
        let Rule {
            $($clients: _,)* $($place: _,)* $($live: _,)* $($end: _,)* $($judged: _,)*
        } = $old;
        tell!($old, $new, |option, words| $lives.push((option, words)); $($live)*);
        tell!($old, $new, |option, words| $ends.push((option, words)); $($end)*);
    };
}

/// What a living server was opened with, and what a client took with it when it came in, ends a
/// route; everything else is read when it is needed.
fn compare(old: &Rule, new: &Rule, lines: &mut Lines) -> Verdict {
    let (mut lives, mut ends) = (Vec::new(), Vec::new());
    rule_options! { old, new, lives, ends;
        clients: database user address connection routing is_detour;
        place: file line column;
        lives:
            group watchdog target_session_attrs catchup_timeout
            authentication password token_service checker common_names auth_query
            password_passthrough role storage_password
            pool_size min_pool_size pool_timeout pool_notice_after_waiting
            pool_acquire_fail_fast pool_ttl server_lifetime
            pool_discard pool_smart_discard pool_discard_query pool_cancel pool_rollback
            pool_reset_timeout pool_client_idle_timeout pool_idle_in_transaction_timeout
            client_max client_show_id client_fwd_error log_debug log_query keepalive quantiles;
        ends:
            storage_db storage_user ldap_credentials pool
            pool_reserve_prepared_statement pool_session_state pool_pin_on_listen
            server_drop_on_cached_plan_error application_name_add_host maintain_params
            options backend_startup_options;
        judged: storage fallbacks shared_pool;
    }
    let mut verdict = if ends.is_empty() { Verdict::Lives } else { Verdict::Ends };
    let are_same_places = old.fallbacks.len() == new.fallbacks.len()
        && old.storages().zip(new.storages()).all(|(old, new)| is_same_place(old, new));
    if !are_same_places {
        verdict = Verdict::Ends;
        ends.push(("storage", storage_words(old, new)));
    }
    if old.shared_pool != new.shared_pool {
        let words = (old.shared_pool.words(), new.shared_pool.words());
        match is_same_budget(old.shared_pool.as_deref(), new.shared_pool.as_deref()) {
            true => lives.push(("shared_pool", words)),
            false => {
                verdict = Verdict::Ends;
                ends.push(("shared_pool", words));
            }
        }
    }
    let what = title(old);
    let said = lives.into_iter().chain(ends).map(|(option, words)| line(&what, option, words));
    lines.applied.extend(said);
    verdict
}

/// How many logins may be under way, and who gets which host, is no matter of what is there.
fn is_same_place(old: &Storage, new: &Storage) -> bool {
    let Storage { name, kind, endpoints, tls, .. } = old;
    let Storage { balancing: _, status_max_age: _, server_max_routing: _, .. } = old;
    (name, kind, endpoints, tls) == (&new.name, &new.kind, &new.endpoints, &new.tls)
}

/// What changed inside is told with the storage.
fn storage_words(old: &Rule, new: &Rule) -> (String, String) {
    (old.storage.name.clone(), new.storage.name.clone())
}

fn is_same_budget(old: Option<&SharedPool>, new: Option<&SharedPool>) -> bool {
    matches!((old, new), (Some(old), Some(new)) if old.name == new.name)
}
