//! The raw tree into the model: sense, references between sections, defaults that depend on other
//! options.
//!
//! Building goes on after a complaint, with whatever keeps further complaints meaningful; a model
//! with complaints is thrown away.

mod address;
mod advice;
mod affinity;
mod auth_query;
mod detour;
mod endpoint;
mod global;
mod group;
mod ldap;
mod ldap_credentials;
mod listen;
mod proxy;
mod query_parsing;
mod rule;
mod rule_check;
mod shadow;
mod soft_oom;
mod storage;
mod tls;
mod watchdog;

pub use global::keepalive_gives_up_ms;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::diagnostic::{Complaints, Place};
use crate::fields::Fields;
use crate::model::{
    Config, ConnDrop, LdapEndpoint, Listen, Rule, SessionAttrs, SharedPool, Storage,
};
use crate::options::{self, Scope};
use crate::raw::Block;

pub(crate) use global::PAGE_BYTES;
use shadow::Shadows;
pub(crate) use storage::PORT;

/// What sections may refer to.
pub(crate) struct Known<'a> {
    pub storages: HashMap<&'a str, Arc<Storage>>,
    pub shared_pools: HashMap<String, Arc<SharedPool>>,
    pub ldap_endpoints: HashMap<&'a str, Arc<LdapEndpoint>>,
}

impl Known<'_> {
    /// Complains about the name of a section that is not there.
    fn unknown(&self, kind: &str, name: &str, place: &Place, complaints: &mut Complaints) {
        let message = format!("unknown {kind} '{name}'");
        if !complaints.have_room() {
            return complaints.error(place, message);
        }
        let names: Vec<&str> = match kind {
            "storage" => self.storages.keys().copied().collect(),
            "shared_pool" => self.shared_pools.keys().map(String::as_str).collect(),
            _ => self.ldap_endpoints.keys().copied().collect(),
        };
        let hint = match options::nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None if names.is_empty() => format!("there is no {kind} section at all"),
            None => format!("there is no {kind} section of that name"),
        };
        complaints.error_with_hint(place, message, &hint);
    }
}

/// Builds the model; it is only good if nothing was complained about.
pub(crate) fn config(root: &Block, complaints: &mut Complaints) -> Config {
    let fields = Fields::new(Scope::Top, root);
    let global = global::read(fields, complaints);
    let socket_dir = global.unix_socket_dir.as_deref();
    let zone = fields.text("availability_zone").unwrap_or_default();
    let our = storage::Ours { socket_dir, workers: global.workers, zone };
    let storages = storages(root, &our, complaints);
    let known = Known {
        storages: storages.iter().map(|it| (it.name.as_str(), it.clone())).collect(),
        shared_pools: shared_pools(root, complaints),
        ldap_endpoints: ldap::endpoints(root, complaints),
    };
    query_parsing::check(root, complaints);
    let listens: Vec<_> = root
        .sections("listen")
        .map(|block| listen::read(block, socket_dir, &known, complaints))
        .collect();
    if listens.is_empty() {
        let hint = "such as: listen { host \"127.0.0.1\" port 6432 }";
        complaints.error_with_hint(&root.place, "no listen sections defined", hint);
    }
    let mut rules = Rules {
        known: &known,
        exposed: advice::exposed(&listens).filter(|_| !fields.is_set("hba_file")),
        shadows: Shadows::new(global.sequential_routing),
        complaints,
    };
    let mut rules = rules.read(root);
    rules.extend(detour::rules(&listens, &rules, &known));
    rules.extend(watchdog::rules(root, &known, complaints));
    advice::traps(root, complaints);
    let (drop, soft_oom) = (conn_drop(root), soft_oom::read(root, complaints));
    Config { global, listens, rules, drop, soft_oom, storages, files: Vec::new() }
}

fn storages(
    root: &Block,
    our: &storage::Ours<'_>,
    complaints: &mut Complaints,
) -> Vec<Arc<Storage>> {
    let mut storages: Vec<Arc<Storage>> = Vec::new();
    let mut names = HashSet::new();
    for block in root.sections("storage") {
        let storage = storage::read(block, our, complaints);
        if storage.name.is_empty() {
            complaints.error(&block.place, "storage name cannot be empty");
        } else if !names.insert(block.title()) {
            let message = format!("duplicate storage definition '{}'", storage.name);
            complaints.error(&block.place, message);
        }
        storages.push(Arc::new(storage));
    }
    if storages.is_empty() {
        let hint = "such as: storage \"pg\" { type \"remote\" host \"127.0.0.1\" port 5432 }";
        complaints.error_with_hint(&root.place, "no storage sections defined", hint);
    }
    storages
}

fn shared_pools(root: &Block, complaints: &mut Complaints) -> HashMap<String, Arc<SharedPool>> {
    let mut pools = HashMap::new();
    for block in root.sections("shared_pool") {
        let fields = Fields::new(Scope::SharedPool, block);
        let name = block.title().to_owned();
        if name.is_empty() {
            complaints.error(&block.place, "shared_pool name cannot be empty");
        } else if pools.contains_key(&name) {
            let message = format!("duplicate shared_pool definition '{name}'");
            complaints.error(&block.place, message);
        }
        if !fields.is_set("pool_size") {
            let message = format!("pool_size is required in shared_pool '{name}'");
            complaints.error(&block.place, message);
        } else if fields.integer("pool_size") <= 0 {
            let message = format!("shared_pool '{name}' pool_size must be positive");
            complaints.error(fields.place("pool_size"), message);
        }
        let pool = SharedPool { name: name.clone(), pool_size: fields.limit("pool_size") };
        pools.insert(name, Arc::new(pool));
    }
    pools
}

/// The rules while they are read.
struct Rules<'a> {
    known: &'a Known<'a>,
    /// Where clients from other machines come in, unless something else keeps them out.
    exposed: Option<&'a Listen>,
    shadows: Shadows,
    complaints: &'a mut Complaints,
}

impl Rules<'_> {
    fn read(&mut self, root: &Block) -> Vec<Arc<Rule>> {
        let mut rules = Vec::new();
        let mut broken = false;
        for database in root.sections("database") {
            if database.name.is_some() && database.title().is_empty() && !is_default(database) {
                self.complaints.error(&database.place, "invalid name for database");
            }
            // Odyssey takes the users of a block before its groups, wherever they stand in it.
            for block in database.sections("user").chain(database.sections("group")) {
                match rule::read(database, block, self.known, self.complaints) {
                    rule::Outcome::Rule(rule) => {
                        rules.push((self.judged(Arc::new(*rule), block), &block.place));
                    }
                    rule::Outcome::Broken => broken = true,
                }
            }
        }
        if rules.is_empty() && !broken {
            let hint = "clients need a database section with a user section inside";
            self.complaints.error_with_hint(&root.place, "no rules defined", hint);
        }
        if !broken {
            group::check_services(&rules, self.complaints);
        }
        let generated = auth_query::missing_service(&rules);
        if generated.is_none() && !broken {
            auth_query::check_services(&rules, self.complaints);
        }
        rules.into_iter().map(|(rule, _)| rule).chain(generated).collect()
    }

    fn judged(&mut self, rule: Arc<Rule>, block: &Block) -> Arc<Rule> {
        self.shadows.note(&rule, &block.place, self.complaints);
        let fields = Fields::new(Scope::Group, block);
        advice::rule(&rule, fields, self.exposed, self.complaints);
        rule
    }
}

fn is_default(block: &Block) -> bool {
    block.name == Some(crate::Name::Default)
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

fn session_attrs(fields: Fields<'_>, complaints: &mut Complaints) -> Option<SessionAttrs> {
    let word = fields.text("target_session_attrs")?;
    let known = SessionAttrs::parse(word);
    if known.is_none() {
        let message = format!("can't parse target session attrs from '{word}'");
        let hint = SessionAttrs::ALL.map(SessionAttrs::as_str).join(" or ");
        complaints.error_with_hint(fields.place("target_session_attrs"), message, &hint);
    }
    known
}
