//! A rule: one `user` or `group` block of a `database` block.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Known, address, auth_query, group, ldap_credentials, rule_check, session_attrs};
use crate::diagnostic::Complaints;
use crate::fields::Fields;
use crate::model::{
    AddressSelector, Authentication, Checker, Keepalive, Name, PoolMode, PoolRouting, Quantile,
    Role, Rule, SessionState, SharedPool, Storage, StorageKind, UserName,
};
use crate::options::Scope;
use crate::raw::{Block, Value};
use crate::secret::Secret;

const POOLS: &str = "session, transaction or statement";
const METHODS: &str = "none, block, clear_text, md5, scram-sha-256, cert or external";

/// What became of a block.
pub(super) enum Outcome {
    /// It may still have been complained about.
    Rule(Box<Rule>),
    /// A complaint left nothing to make a rule of.
    Broken,
}

/// A rule while it is read: its block and its name in messages.
pub(super) struct Reading<'a> {
    pub fields: Fields<'a>,
    pub database: Name,
    pub user: UserName,
    pub address: AddressSelector,
    pub complaints: &'a mut Complaints,
}

pub(super) fn read(
    database: &Block,
    block: &Block,
    known: &Known<'_>,
    complaints: &mut Complaints,
) -> Outcome {
    let user = match (&block.name, block.keyword()) {
        (Some(Name::Named(name)), "group") => UserName::Group(name.clone()),
        (Some(Name::Named(name)), _) => UserName::Named(name.clone()),
        _ => UserName::Default,
    };
    let scope = if block.keyword() == "group" { Scope::Group } else { Scope::Rule };
    let address = match &block.address {
        Some((text, place)) => address::parse(text, place, complaints),
        None => Some(AddressSelector::All),
    };
    let broken = address.is_none();
    let mut reading = Reading {
        fields: Fields::new(scope, block),
        database: database.name.clone().unwrap_or(Name::Default),
        user,
        address: address.unwrap_or(AddressSelector::All),
        complaints,
    };
    match reading.rule(known) {
        Some(rule) if !broken => Outcome::Rule(Box::new(rule)),
        _ => Outcome::Broken,
    }
}

/// The rule of a storage's watchdog, but for what makes it one.
pub(super) fn read_internal(
    name: &str,
    block: &Block,
    known: &Known<'_>,
    complaints: &mut Complaints,
) -> Option<Rule> {
    let mut reading = Reading {
        fields: Fields::new(Scope::Watchdog, block),
        database: Name::Named(name.to_owned()),
        user: UserName::Named(name.to_owned()),
        address: AddressSelector::All,
        complaints,
    };
    reading.rule(known)
}

impl Reading<'_> {
    /// Everything is read and checked before a missing part ends it, so that all complaints are
    /// made.
    fn rule(&mut self, known: &Known<'_>) -> Option<Rule> {
        let routing = self.routing();
        let storage = self.storage(known);
        let pool = self.pool();
        let authentication = self.authentication();
        let role = self.role(storage.as_deref());
        self.check(known, pool, authentication);
        let reserve = self.reserve_prepared_statement(pool);
        let (pool_discard, pool_smart_discard) = self.discards(reserve);
        let (fields, place) = (self.fields, &self.fields.block.place);
        Some(Rule {
            file: place.file.clone(),
            line: place.line,
            column: place.column,
            database: self.database.clone(),
            user: self.user.clone(),
            address: self.address.clone(),
            connection: fields.block.connection,
            routing,
            group: group::read(self),
            watchdog: None,
            target_session_attrs: session_attrs(fields, self.complaints),
            catchup_timeout: fields.time_limit("catchup_timeout"),
            authentication: authentication?,
            password: fields.text("password").map(Secret::new),
            token_service: self.token_service(),
            checker: self.checker(known),
            ldap_credentials: ldap_credentials::read(self, known, storage.as_deref()),
            common_names: self.common_names(),
            auth_query: auth_query::read(self),
            password_passthrough: fields.flag("password_passthrough"),
            role,
            storage: storage?,
            fallbacks: Vec::new(),
            is_detour: false,
            storage_db: fields.string("storage_db"),
            storage_user: self.storage_user(),
            storage_password: fields.text("storage_password").map(Secret::new),
            pool: pool?,
            pool_size: fields.limit("pool_size"),
            min_pool_size: self.min_pool_size(),
            shared_pool: self.shared_pool(known),
            pool_timeout: fields.time_limit("pool_timeout"),
            pool_notice_after_waiting: fields.set_duration("pool_notice_after_waiting_ms"),
            pool_acquire_fail_fast: fields.flag("pool_acquire_fail_fast"),
            pool_ttl: fields.time_limit("pool_ttl"),
            server_lifetime: fields.time_limit("server_lifetime"),
            pool_discard,
            pool_smart_discard,
            pool_discard_query: fields.string("pool_discard_query"),
            pool_cancel: fields.flag("pool_cancel"),
            pool_rollback: fields.flag("pool_rollback"),
            pool_reset_timeout: fields.time_limit("pool_reset_timeout_ms"),
            pool_client_idle_timeout: fields.time_limit("pool_client_idle_timeout"),
            pool_idle_in_transaction_timeout: fields.time_limit("pool_idle_in_transaction_timeout"),
            pool_reserve_prepared_statement: reserve,
            pool_session_state: self.session_state(),
            pool_pin_on_listen: fields.set_flag("pool_pin_on_listen"),
            server_drop_on_cached_plan_error: fields.flag("server_drop_on_cached_plan_error"),
            application_name_add_host: fields.flag("application_name_add_host"),
            maintain_params: fields.flag("maintain_params"),
            options: fields.pairs("options"),
            backend_startup_options: fields.pairs("backend_startup_options"),
            client_max: fields.limit("client_max"),
            client_show_id: fields.flag("client_show_id"),
            client_fwd_error: fields.flag("client_fwd_error"),
            keepalive: self.keepalive(),
            quantiles: self.quantiles(),
            log_debug: fields.flag("log_debug"),
            log_query: fields.flag("log_query"),
        })
    }

    fn keepalive(&self) -> Keepalive {
        Keepalive {
            idle_s: self.fields.small("keepalive"),
            interval_s: self.fields.small("keepalive_keep_interval"),
            probes: self.fields.small("keepalive_probes"),
            user_timeout_ms: self.fields.integer("keepalive_usr_timeout"),
        }
    }

    /// Numbers with commas between them; Odyssey takes one more comma behind the last.
    fn quantiles(&mut self) -> Vec<Quantile> {
        let text = self.fields.text("quantiles").unwrap_or_default();
        let parts = text.strip_suffix(',').unwrap_or(text).split(',').map(str::trim);
        let parts = parts.filter(|_| !text.is_empty());
        let parsed: Option<Vec<_>> =
            parts.map(|part| part.parse().ok().and_then(Quantile::new)).collect();
        parsed.unwrap_or_else(|| {
            let message = format!("can't parse quantiles from '{text}'");
            self.complaints.error(self.fields.place("quantiles"), message);
            Vec::new()
        })
    }

    fn storage(&mut self, known: &Known<'_>) -> Option<Arc<Storage>> {
        let Some(name) = self.fields.text("storage") else {
            let hint = "storage \"…\" names the storage section its servers are in";
            self.error_with_hint("storage", "no rule storage is specified", hint);
            return None;
        };
        let storage = known.storages.get(name);
        if storage.is_none() {
            known.unknown("storage", name, self.fields.place("storage"), self.complaints);
        }
        storage.cloned()
    }

    /// That there is one of that name is checked elsewhere.
    fn shared_pool(&self, known: &Known<'_>) -> Option<Arc<SharedPool>> {
        let name = self.fields.text("shared_pool")?;
        known.shared_pools.get(name).cloned()
    }

    fn pool(&mut self) -> Option<PoolMode> {
        match self.fields.text("pool") {
            Some("session") => return Some(PoolMode::Session),
            Some("transaction") => return Some(PoolMode::Transaction),
            Some("statement") => return Some(PoolMode::Statement),
            Some(_) => self.error_with_hint("pool", "unknown pooling mode", POOLS),
            None => self.error_with_hint("pool", "pooling mode is not set", POOLS),
        }
        None
    }

    fn authentication(&mut self) -> Option<Authentication> {
        let method = match self.fields.text("authentication") {
            Some("none") => Authentication::None,
            Some("block") => Authentication::Block,
            Some("clear_text") => Authentication::ClearText,
            Some("md5") => Authentication::Md5,
            Some("scram-sha-256") => Authentication::ScramSha256,
            Some("cert") => Authentication::Cert,
            Some("external") => Authentication::External,
            Some(_) => {
                let message = "has unknown authentication mode";
                self.error_with_hint("authentication", message, METHODS);
                return None;
            }
            None => {
                let message = "authentication mode is not defined";
                self.error_with_hint("authentication", message, METHODS);
                return None;
            }
        };
        Some(method)
    }

    fn token_service(&self) -> Option<PathBuf> {
        let path = self.fields.path("mdb_iamproxy_socket_path");
        path.filter(|_| self.fields.flag("enable_mdb_iamproxy_auth"))
    }

    /// Odyssey's order of those who may be asked.
    fn checker(&self, known: &Known<'_>) -> Option<Checker> {
        let ldap = self.fields.text("ldap_endpoint_name");
        // That there is one of that name is checked elsewhere.
        let ldap = ldap.and_then(|name| known.ldap_endpoints.get(name).cloned().map(Checker::Ldap));
        ldap.or_else(|| self.fields.string("auth_pam_service").map(Checker::Pam))
    }

    fn common_names(&self) -> Vec<Name> {
        let settings = self.fields.block.settings.iter();
        let settings = settings.filter(|setting| setting.row.name == "auth_common_name");
        let name = |value: &Value| match value {
            Value::Text(name) => Some(Name::Named(name.clone())),
            Value::Default => Some(Name::Default),
            _ => None,
        };
        settings.filter_map(|setting| name(&setting.value)).collect()
    }

    /// Not where LDAP says who clients are.
    fn storage_user(&self) -> Option<String> {
        let by_ldap = self.fields.is_set("ldap_storage_credentials_attr");
        self.fields.string("storage_user").filter(|_| !by_ldap)
    }

    fn role(&mut self, storage: Option<&Storage>) -> Option<Role> {
        let role = match self.fields.text("role") {
            Some("admin") => Some(Role::Admin),
            Some("stat") => Some(Role::Stat),
            Some("notallow") => Some(Role::NotAllow),
            Some(other) => {
                let hint = "admin, stat or notallow";
                self.error_with_hint("role", &format!("unknown role '{other}'"), hint);
                return None;
            }
            None => None,
        };
        match (storage?.kind, role) {
            (StorageKind::Remote, Some(_)) => {
                self.error("role", "role set for non-local storage");
                None
            }
            (StorageKind::Local, None) => {
                self.warning("role", "force stat role for local storage");
                Some(Role::Stat)
            }
            (_, role) => role,
        }
    }

    fn routing(&mut self) -> PoolRouting {
        match self.fields.text("pool_routing") {
            Some("internal") => {
                if self.fields.block.address.is_some() {
                    self.error("pool_routing", "internal rules must have default address_range");
                }
                PoolRouting::Internal
            }
            Some("client_visible") | None => PoolRouting::ClientVisible,
            Some(_) => {
                let hint = "client_visible or internal";
                self.error_with_hint("pool_routing", "unknown pool routing mode", hint);
                PoolRouting::ClientVisible
            }
        }
    }

    /// Whether clients' prepared statements are kept; not in session pools, as in Odyssey.
    fn reserve_prepared_statement(&mut self, pool: Option<PoolMode>) -> bool {
        let name = "pool_reserve_prepared_statement";
        let asked = self.fields.flag(name);
        if asked && pool == Some(PoolMode::Session) {
            // Only those who wrote it want to hear about it: it is the default.
            if self.fields.is_set(name) {
                let message = "disable prepared statements reserving due to session pooling";
                self.warning(name, message);
            }
            return false;
        }
        asked
    }

    fn session_state(&mut self) -> SessionState {
        match self.fields.text("pool_session_state") {
            Some("pin") | None => SessionState::Pin,
            Some("reset") => SessionState::Reset,
            Some("error") => SessionState::Error,
            Some(_) => {
                let hint = "pin, reset or error";
                self.error_with_hint("pool_session_state", "unknown pool session state", hint);
                SessionState::Pin
            }
        }
    }

    /// `pool_discard` and `pool_smart_discard`: DISCARD ALL would forget the statements that are
    /// kept.
    fn discards(&mut self, reserve: bool) -> (bool, bool) {
        let discard = self.fields.flag("pool_discard");
        let smart = self.fields.flag("pool_smart_discard");
        if smart && !reserve {
            let message =
                "pool smart discard is forbidden without using prepared statements support";
            self.error("pool_smart_discard", message);
        }
        if !(discard && reserve) {
            return (discard, smart);
        }
        if self.fields.is_set("pool_discard") {
            let message = "replace pool_discard with pool_smart_discard due to prepared \
                           statements reserving";
            self.warning("pool_discard", message);
        }
        (false, true)
    }

    /// Whose servers would be kept open is known only where both names are, and a server kept out
    /// of a shared budget would be missing there.
    fn min_pool_size(&mut self) -> usize {
        let (min, name) = (self.fields.count("min_pool_size"), "min_pool_size");
        let named = matches!((&self.database, &self.user), (Name::Named(_), UserName::Named(_)));
        if min > 0 && !named {
            self.warning(name, "min_pool_size is ignored where the database or user is default");
            return 0;
        }
        if min > 0 && self.fields.is_set("ldap_storage_credentials_attr") {
            let message = "min_pool_size is ignored with ldap_storage_credentials_attr";
            self.warning(name, message);
            return 0;
        }
        if min > 0 && self.fields.is_set("shared_pool") {
            self.warning(name, "min_pool_size is ignored with shared_pool");
            return 0;
        }
        match self.fields.limit("pool_size") {
            Some(size) if min > size => {
                self.warning(name, "min_pool_size is above pool_size, which is used");
                size
            }
            _ => min,
        }
    }

    fn check(
        &mut self,
        known: &Known<'_>,
        pool: Option<PoolMode>,
        authentication: Option<Authentication>,
    ) {
        rule_check::references(self, known);
        rule_check::passwords(self, authentication);
        rule_check::pool(self, pool);
    }

    /// Complains about an option of this rule, naming the rule as Odyssey does.
    pub fn error(&mut self, option: &str, message: &str) {
        let message = format!("rule '{}': {message}", self.title());
        self.complaints.error(self.fields.place(option), message);
    }

    pub fn error_with_hint(&mut self, option: &str, message: &str, hint: &str) {
        let message = format!("rule '{}': {message}", self.title());
        self.complaints.error_with_hint(self.fields.place(option), message, hint);
    }

    pub fn warning(&mut self, option: &str, message: &str) {
        let message = format!("rule '{}': {message}", self.title());
        self.complaints.warning(self.fields.place(option), message);
    }

    fn title(&self) -> String {
        format!("{}.{} {}", self.database, self.user, self.address)
    }

    /// Whether the option is there and is not the flag `no`.
    pub fn asks_for(&self, option: &str) -> bool {
        let setting = self.fields.setting(option);
        setting.is_some_and(|setting| !matches!(setting.value, Value::Flag(false)))
    }
}
