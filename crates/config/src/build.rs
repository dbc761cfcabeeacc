//! The raw tree into the model: sense, references between sections, defaults that depend on other
//! options.
//!
//! Building goes on after a complaint, with whatever keeps further complaints meaningful; a model
//! with complaints is thrown away.

mod address;
mod endpoint;
mod global;
mod group;
mod idle;
mod listen;
mod rule;
mod rule_check;
mod storage;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::{Complaints, Place};
use crate::fields::Fields;
use crate::model::{Config, ConnDrop, Rule, SessionAttrs, SharedPool, Storage, TlsMode};
use crate::options::Scope;
use crate::raw::Block;

pub(crate) use global::PAGE_BYTES;
pub(crate) use storage::PORT;

/// What sections may refer to.
pub(crate) struct Known<'a> {
    pub storages: &'a [Arc<Storage>],
    pub shared_pools: Vec<Arc<SharedPool>>,
    pub ldap_endpoints: HashSet<&'a str>,
}

/// Builds the model; it is only good if nothing was complained about.
pub(crate) fn config(root: &Block, complaints: &mut Complaints) -> Config {
    let fields = Fields::new(Scope::Top, root);
    let global = global::read(fields, complaints);
    let socket_dir = global.unix_socket_dir.as_deref();
    let storages = storages(root, socket_dir, global.workers, complaints);
    let known = Known {
        storages: &storages,
        shared_pools: shared_pools(root, complaints),
        ldap_endpoints: idle::ldap_endpoints(root, complaints),
    };
    idle::check(root, complaints);
    let listens: Vec<_> = root
        .sections("listen")
        .map(|block| listen::read(block, socket_dir, &known, complaints))
        .collect();
    if listens.is_empty() {
        complaints.error(&root.place, "no listen sections defined");
    }
    let rules = rules(root, &known, complaints);
    Config { global, listens, rules, drop: conn_drop(root), storages }
}

fn storages(
    root: &Block,
    socket_dir: Option<&Path>,
    workers: usize,
    complaints: &mut Complaints,
) -> Vec<Arc<Storage>> {
    let mut storages: Vec<Arc<Storage>> = Vec::new();
    for block in root.sections("storage") {
        let storage = storage::read(block, socket_dir, workers, complaints);
        if storages.iter().any(|other| other.name == storage.name) {
            let message = format!("duplicate storage definition '{}'", storage.name);
            complaints.error(&block.place, message);
        }
        storages.push(Arc::new(storage));
    }
    if storages.is_empty() {
        complaints.error(&root.place, "no storage sections defined");
    }
    storages
}

fn shared_pools(root: &Block, complaints: &mut Complaints) -> Vec<Arc<SharedPool>> {
    let mut pools: Vec<Arc<SharedPool>> = Vec::new();
    for block in root.sections("shared_pool") {
        let fields = Fields::new(Scope::SharedPool, block);
        let name = block.title().to_owned();
        if pools.iter().any(|other| other.name == name) {
            let message = format!("duplicate shared_pool definition '{name}'");
            complaints.error(&block.place, message);
        }
        pools.push(Arc::new(SharedPool { name, pool_size: fields.limit("pool_size") }));
    }
    pools
}

fn rules(root: &Block, known: &Known<'_>, complaints: &mut Complaints) -> Vec<Arc<Rule>> {
    let mut rules: Vec<(Arc<Rule>, &Place)> = Vec::new();
    let mut broken = false;
    for database in root.sections("database") {
        if database.name.is_some() && database.title().is_empty() && !is_default(database) {
            complaints.error(&database.place, "invalid name for database");
        }
        // Odyssey takes the users of a block before its groups, wherever they stand in it.
        for block in database.sections("user").chain(database.sections("group")) {
            match rule::read(database, block, known, complaints) {
                rule::Outcome::Rule(rule) => {
                    warn_if_redefined(&rule, &rules, &block.place, complaints);
                    rules.push((Arc::new(*rule), &block.place));
                }
                rule::Outcome::Broken => broken = true,
            }
        }
    }
    if rules.is_empty() && !broken {
        complaints.error(&root.place, "no rules defined");
    }
    if !broken {
        group::check_services(&rules, complaints);
    }
    rules.into_iter().map(|(rule, _)| rule).collect()
}

fn is_default(block: &Block) -> bool {
    block.name == Some(crate::Name::Default)
}

/// Odyssey takes such rules in silence and uses the first one.
fn warn_if_redefined(
    rule: &Rule,
    earlier: &[(Arc<Rule>, &Place)],
    place: &Place,
    complaints: &mut Complaints,
) {
    let same = |(other, _): &&(Arc<Rule>, &Place)| {
        (&other.database, &other.user) == (&rule.database, &rule.user)
            && (other.connection, other.routing) == (rule.connection, rule.routing)
            && other.address.is_same(&rule.address)
    };
    if let Some((first, _)) = earlier.iter().find(same) {
        let message =
            format!("rule '{rule}' is redefined, the first one at line {} is used", first.line);
        complaints.warning(place, message);
    }
}

fn conn_drop(root: &Block) -> ConnDrop {
    let absent = Block::new(None, root.place.clone());
    let block = root.sections("conn_drop_options").next().unwrap_or(&absent);
    let fields = Fields::new(Scope::ConnDrop, block);
    ConnDrop {
        enabled: fields.flag("drop_enabled"),
        rate: fields.count("rate"),
        interval: fields.duration("interval_ms"),
    }
}

/// The `tls` of a listen or storage section. Only plain text is built: modes that allow it are
/// taken with a warning, modes that forbid it are refused.
fn tls(fields: Fields<'_>, complaints: &mut Complaints) -> TlsMode {
    let word = fields.text("tls").unwrap_or("disable");
    let place = fields.place("tls");
    let mode = match word {
        "disable" => TlsMode::Disable,
        "allow" => TlsMode::Allow,
        "prefer" => TlsMode::Prefer,
        "require" => TlsMode::Require,
        "verify_ca" => TlsMode::VerifyCa,
        "verify_full" => TlsMode::VerifyFull,
        _ => {
            complaints.error(place, format!("unknown tls mode '{word}'"));
            return TlsMode::Disable;
        }
    };
    match mode {
        TlsMode::Disable => {}
        TlsMode::Allow | TlsMode::Prefer => {
            complaints
                .warning(place, format!("tls mode '{word}' is not built yet, plain text is used"));
        }
        TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => {
            let hint = "plain text would be less secure than this file asks for";
            complaints.error_with_hint(place, format!("tls mode '{word}' is not built yet"), hint);
        }
    }
    mode
}

fn session_attrs(fields: Fields<'_>, complaints: &mut Complaints) -> Option<SessionAttrs> {
    let word = fields.text("target_session_attrs")?;
    let known = SessionAttrs::parse(word);
    if known.is_none() {
        let message = format!("can't parse target session attrs from '{word}'");
        complaints.error(fields.place("target_session_attrs"), message);
    }
    known
}
