//! What the checks made of options: automatic numbers, silent rewrites, limits of limits. Whatever
//! is not named here is in force as it is written.

use std::time::Duration;

use crate::Loaded;
use crate::build::{PAGE_BYTES, PORT};
use crate::draft::Word;
use crate::model::{Global, Name, Role, Rule, Storage, StorageKind, UserName};
use crate::raw::Block;

/// What became of an option.
pub(crate) enum Resolved {
    /// It is as it is written, or as the table's default.
    AsWritten,
    /// This is in force.
    Instead(Word),
    /// It is as it is written, or this.
    Else(Word),
    /// It must not be written here.
    Nothing,
}

use Resolved::{AsWritten, Else, Instead, Nothing};

/// What became of an option of a block.
pub(crate) fn resolved(loaded: &Loaded, block: &Block, option: &str) -> Resolved {
    let config = &loaded.config;
    match block.keyword() {
        "" => of_global(&config.global, option),
        "storage" => {
            let storage = config.storages.iter().find(|storage| storage.name == block.title());
            storage.map_or(AsWritten, |storage| of_storage(storage, option))
        }
        _ => AsWritten,
    }
}

/// The rule that was made of a block; None for one that serves no clients.
pub(crate) fn rule_of<'a>(loaded: &'a Loaded, database: &Block, block: &Block) -> Option<&'a Rule> {
    let rules = loaded.config.rules.iter();
    rules.map(|rule| &**rule).find(|rule| is_of(rule, database, block))
}

/// The block that a rule was made of.
pub(super) fn block_of<'a>(root: &'a Block, rule: &Rule) -> Option<&'a Block> {
    root.sections("database").find_map(|database| {
        let blocks = database.sections("user").chain(database.sections("group"));
        blocks.into_iter().find(|block| is_of(rule, database, block))
    })
}

/// A place alone is not enough: behind an alias of YAML, users of several databases have one.
fn is_of(rule: &Rule, database: &Block, block: &Block) -> bool {
    let user = match (&rule.user, &block.name) {
        (UserName::Named(name), Some(Name::Named(other))) => {
            name == other && block.keyword() == "user"
        }
        (UserName::Group(name), Some(Name::Named(other))) => {
            name == other && block.keyword() == "group"
        }
        (UserName::Default, Some(Name::Default)) => true,
        _ => false,
    };
    user && database.name.as_ref() == Some(&rule.database)
        && (rule.line, rule.column) == (block.place.line, block.place.column)
        && rule.file == block.place.file
}

fn of_global(global: &Global, option: &str) -> Resolved {
    let limit = |limit: Option<usize>| count(limit.unwrap_or(0));
    match option {
        "workers" => count(global.workers),
        "coroutine_stack_size" => count(global.coroutine_stack_bytes / PAGE_BYTES),
        "stats_interval" => number(global.stats_interval_s.try_into().unwrap_or(i64::MAX)),
        "log_queue_depth" => count(global.log_queue_depth),
        "unix_socket_mode" => match global.unix_socket_mode {
            Some(mode) => Instead(Word::Text(mode.to_string())),
            None => Nothing,
        },
        "keepalive_usr_timeout" => number(global.keepalive_user_timeout_ms),
        "client_max" => limit(global.client_max),
        "client_max_routing" => count(global.client_max_routing),
        "cancel_queue_timeout_ms" => milliseconds(global.cancel_queue_timeout),
        "cancel_max_inflight" => count(global.cancel_max_inflight),
        "smart_search_path_enquoting" => flag(global.smart_search_path_enquoting),
        "virtual_transaction" => flag(global.virtual_transaction),
        // It has been done: a second time would replace what came from there.
        "expand_environment" => Nothing,
        _ => AsWritten,
    }
}

fn of_storage(storage: &Storage, option: &str) -> Resolved {
    match (storage.kind, option) {
        (StorageKind::Remote, "server_max_routing") => count(storage.server_max_routing),
        // Not the table's default, because Odyssey's is 0 and a file that relies on ours is warned.
        (StorageKind::Remote, "port") => Else(Word::Number(PORT.into())),
        _ => AsWritten,
    }
}

/// What became of an option of a rule.
pub(crate) fn of_rule(rule: &Rule, option: &str) -> Resolved {
    match option {
        "pool_discard" => flag(rule.pool_discard),
        "pool_smart_discard" => flag(rule.pool_smart_discard),
        "pool_reserve_prepared_statement" => flag(rule.pool_reserve_prepared_statement),
        "min_pool_size" => count(rule.min_pool_size),
        // One excludes the other, even if it is 0.
        "pool_size" if rule.shared_pool.is_some() => Nothing,
        "role" => match rule.role {
            Some(Role::Admin) => Instead("admin".into()),
            Some(Role::Stat) => Instead("stat".into()),
            Some(Role::NotAllow) => Instead("notallow".into()),
            None => Nothing,
        },
        _ => AsWritten,
    }
}

fn flag(flag: bool) -> Resolved {
    Instead(Word::Flag(flag))
}

fn count(count: usize) -> Resolved {
    number(count.try_into().unwrap_or(i64::MAX))
}

/// None means for ever, which is written as 0.
fn milliseconds(time: Option<Duration>) -> Resolved {
    number(time.unwrap_or_default().as_millis().try_into().unwrap_or(i64::MAX))
}

/// What is computed from large numbers may not be written, and is computed again.
fn number(number: i64) -> Resolved {
    if i32::try_from(number).is_ok() { Instead(Word::Number(number)) } else { AsWritten }
}
