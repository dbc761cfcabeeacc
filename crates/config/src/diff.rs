//! What a reload makes of two configurations: which options of the process change and which wait
//! for a restart, what becomes of each rule, and the lines that tell an operator. It only compares;
//! nothing here takes effect, and no secret comes into a line.

mod rules;
mod words;

use std::fmt::Display;
use std::sync::Arc;

use crate::model::{Config, ConnDrop, Global, Listen, Rule, Storage, Tls};
pub use rules::lives_on;
use words::Words;

/// From one configuration to another.
#[derive(Clone, Debug)]
pub struct Diff {
    /// What to go on with: the new one, but what only a restart can change is as it was.
    pub config: Config,
    /// What changes, in lines.
    pub applied: Vec<String>,
    /// What would change, but for a restart, in lines.
    pub needs_restart: Vec<String>,
    /// What becomes of the rules; one that says what it said, at the place where it said it, is not
    /// listed, and is the same object as before.
    pub rules: Vec<RuleChange>,
}

/// What becomes of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleChange {
    /// There was none for these clients.
    Added(Arc<Rule>),
    /// There is none for these clients any more.
    Removed(Arc<Rule>),
    /// It says something else that its servers and clients can live with: they stay.
    Tuned {
        /// As it was.
        old: Arc<Rule>,
        /// As it is.
        new: Arc<Rule>,
    },
    /// It is for the same clients, but what it says now is not for the servers it had, or not for
    /// the clients that are here.
    Replaced {
        /// As it was.
        old: Arc<Rule>,
        /// As it is.
        new: Arc<Rule>,
    },
}

impl RuleChange {
    /// The rule that goes out of force.
    pub fn old_rule(&self) -> Option<&Arc<Rule>> {
        match self {
            RuleChange::Added(_) => None,
            RuleChange::Removed(old) => Some(old),
            RuleChange::Tuned { old, .. } | RuleChange::Replaced { old, .. } => Some(old),
        }
    }

    /// The rule that comes into force.
    pub fn new_rule(&self) -> Option<&Arc<Rule>> {
        match self {
            RuleChange::Removed(_) => None,
            RuleChange::Added(new) => Some(new),
            RuleChange::Tuned { new, .. } | RuleChange::Replaced { new, .. } => Some(new),
        }
    }

    /// The rule that those who are here are under from now on; None: they stay under the old one,
    /// or there are none.
    pub fn heir(&self) -> Option<&Arc<Rule>> {
        match self {
            RuleChange::Tuned { new, .. } => Some(new),
            _ => None,
        }
    }
}

/// Compares what is in force with what a file says now.
pub fn diff(old: &Config, new: Config) -> Diff {
    // None is forgotten; what is in the files is compared where it stands.
    let Config { global: _, listens: _, storages: _, rules: _, drop: _, .. } = &new;
    let Config { soft_oom: _, files: _, .. } = &new;
    let (mut lines, mut config) = (Lines::default(), new);
    global(&old.global, &mut config.global, &mut lines);
    conn_drop(&old.drop, &config.drop, &mut lines);
    if old.soft_oom != config.soft_oom {
        lines.needs_restart.push("process: soft_oom changed".to_owned());
        config.soft_oom.clone_from(&old.soft_oom);
    }
    sections(&old.listens, &config.listens, &mut lines);
    let (before, after) = (plain(&old.storages), plain(&config.storages));
    sections(&before, &after, &mut lines);
    let rules = rules::merge(&old.rules, &mut config.rules, &mut lines);
    let Lines { applied, needs_restart } = lines;
    Diff { config, applied, needs_restart, rules }
}

#[derive(Default)]
struct Lines {
    applied: Vec<String>,
    needs_restart: Vec<String>,
}

impl Lines {
    fn applied(&mut self, what: &dyn Display, option: &str, words: (String, String)) {
        self.applied.push(line(what, option, words));
    }
}

/// Two secrets look the same, and so do two lists of which only the names are shown.
fn line(what: &dyn Display, option: &str, (old, new): (String, String)) -> String {
    match old == new {
        true => format!("{what}: {option} changed"),
        false => format!("{what}: {option} {old} -> {new}"),
    }
}

/// Tells of each of these fields that differs.
macro_rules! tell {
    ($old:ident, $new:ident, $tell:expr; $($field:ident)*) => {$(
        if $old.$field != $new.$field {
            let words = ($old.$field.words(), $new.$field.words());
            $tell(words::option(stringify!($field)), words);
        }
    )*};
}
use tell;

/// The options of the process by what a reload can do about them. The compiler asks for the class
/// of a new one.
macro_rules! global_options {
    ($old:ident, $new:ident, $lines:ident; live: $($live:ident)*; restart: $($fixed:ident)*;) => {
        let Global { $($live: _,)* $($fixed: _,)* } = $old;
        tell!($old, $new, |option, words| $lines.applied(&"process", option, words); $($live)*);
        $(if $old.$fixed != $new.$fixed {
            let words = ($old.$fixed.words(), $new.$fixed.words());
            let option = words::option(stringify!($fixed));
            $lines.needs_restart.push(line(&"process", option, words));
            $new.$fixed.clone_from(&$old.$fixed);
        })*
    };
}

fn global(old: &Global, new: &mut Global, lines: &mut Lines) {
    global_options! { old, new, lines;
        live:
            log_debug log_session log_query log_config log_stats stats_interval_s
            log_general_stats_prom log_route_stats_prom
            promhttp_server_port promhttp_server_host
            smart_search_path_enquoting virtual_transaction virtual_processing
            watch_files group_checker_interval unix_socket_dir unix_socket_mode
            nodelay keepalive_s keepalive_interval_s keepalive_probes keepalive_user_timeout_ms
            disable_nolinger external_auth_socket_path hba client_max client_max_routing
            sequential_routing
            backend_connect_timeout server_login_retry
            cancel_timeout cancel_queue_timeout cancel_max_inflight
            max_sigterms_to_die graceful_shutdown_timeout online_restart_timeout;
        restart:
            workers resolvers coroutine_stack_bytes cache_coroutine
            log_file log_format log_to_stdout log_queue_depth
            log_syslog log_syslog_ident log_syslog_facility log_syslog_target log_syslog_format
            daemonize pid_file bindwith_reuseport enable_online_restart
            priority cpu_affinity dns_cache_ttl enable_host_watcher;
    }
}

fn conn_drop(old: &ConnDrop, new: &ConnDrop, lines: &mut Lines) {
    let ConnDrop { enabled: _, rate: _, interval: _ } = old;
    let what = "conn_drop_options";
    tell!(old, new, |option, words| lines.applied(&what, option, words); enabled rate interval);
}

/// A section that may come, go and change.
trait Section {
    /// Whether that is the same one, whatever it says now.
    fn is_of(&self, other: &Self) -> bool;
    fn name(&self) -> String;
    fn tell(&self, new: &Self, lines: &mut Lines);
}

impl Section for Listen {
    fn is_of(&self, other: &Listen) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }

    fn name(&self) -> String {
        format!("listen {}:{}", self.host.as_deref().unwrap_or("(unix socket)"), self.port)
    }

    fn tell(&self, new: &Listen, lines: &mut Lines) {
        let Listen { host: _, port: _, backlog: _, client_login_timeout: _, .. } = self;
        let Listen { tls: _, proxy_protocol: _, target_session_attrs: _, .. } = self;
        let Listen { storages: _, balancing_method: _, catchup_timeout: _, .. } = self;
        let (old, name) = (self, self.name());
        tell!(old, new, |option, words| lines.applied(&name, option, words);
            backlog client_login_timeout proxy_protocol target_session_attrs
            storages balancing_method catchup_timeout);
        tls(&self.tls, &new.tls, &name, lines);
    }
}

impl Section for Storage {
    fn is_of(&self, other: &Storage) -> bool {
        self.name == other.name
    }

    fn name(&self) -> String {
        format!("storage '{}'", self.name)
    }

    fn tell(&self, new: &Storage, lines: &mut Lines) {
        let Storage { name: _, kind: _, endpoints: _, tls: _, server_max_routing: _, .. } = self;
        let Storage { balancing: _, status_max_age: _, .. } = self;
        let (old, name) = (self, Section::name(self));
        tell!(old, new, |option, words| lines.applied(&name, option, words);
            kind endpoints balancing status_max_age server_max_routing);
        tls(&self.tls, &new.tls, &name, lines);
    }
}

/// What either section says of TLS.
fn tls(old: &Tls, new: &Tls, what: &str, lines: &mut Lines) {
    let Tls { mode: _, ca_file: _, key_file: _, cert_file: _, versions: _, .. } = old;
    let Tls { ciphers: _, ciphersuites: _, curves: _, direct: _, .. } = old;
    let option = |field: &str| match field {
        "mode" => "tls".to_owned(),
        "versions" => "tls_protocols".to_owned(),
        "direct" => "tls_negotiation direct".to_owned(),
        same => format!("tls_{same}"),
    };
    tell!(old, new, |field, words| lines.applied(&what, &option(field), words);
        mode ca_file key_file cert_file versions ciphers ciphersuites curves direct);
}

fn plain(storages: &[Arc<Storage>]) -> Vec<Storage> {
    storages.iter().map(|storage| Storage::clone(storage)).collect()
}

/// Each old section goes with the first new one that is the same and goes with no other.
fn sections<T: Section>(old: &[T], new: &[T], lines: &mut Lines) {
    let mut left: Vec<&T> = new.iter().collect();
    for before in old {
        match left.iter().position(|after| after.is_of(before)) {
            Some(place) => before.tell(left.remove(place), lines),
            None => lines.applied.push(format!("{} was deleted", before.name())),
        }
    }
    lines.applied.extend(left.iter().map(|added| format!("{} was added", added.name())));
}

#[cfg(test)]
mod tests;
