//! Values in the words of the files, for lines that say from what to what. Secrets have none.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::Secret;
use crate::model::{
    AuthQuery, Authentication, Balancing, BalancingMethod, Checker, CpuAffinity, Endpoint,
    FileMode, GroupQuery, Hba, Keepalive, LdapCredentials, LdapGrant, Name, PoolMode, ProxyFrom,
    Quantile, Role, SessionAttrs, SessionState, SharedPool, StorageKind, SyslogFacility,
    SyslogFormat, SyslogTarget, TlsMode, TlsVersions, Watchdog,
};

/// What a file would say, nearly.
pub(super) trait Words {
    fn words(&self) -> String;
}

/// The option behind a field, where it has another name.
pub(super) fn option(field: &'static str) -> &'static str {
    match field {
        "coroutine_stack_bytes" => "coroutine_stack_size (bytes)",
        "hba" => "hba_file",
        "token_service" => "enable_mdb_iamproxy_auth",
        "checker" => "ldap_endpoint_name or auth_pam_service",
        "common_names" => "auth_common_name",
        "ldap_credentials" => "ldap_storage_credentials",
        "stats_interval_s" => "stats_interval",
        "keepalive_s" => "keepalive",
        "keepalive_interval_s" => "keepalive_keep_interval",
        "keepalive_user_timeout_ms" => "keepalive_usr_timeout",
        "backend_connect_timeout" => "backend_connect_timeout_ms",
        "cancel_timeout" => "cancel_timeout_ms",
        "cancel_queue_timeout" => "cancel_queue_timeout_ms",
        "graceful_shutdown_timeout" => "graceful_shutdown_timeout_ms",
        "online_restart_timeout" => "online_restart_timeout_ms",
        "enabled" => "drop_enabled",
        "interval" => "interval_ms",
        "status_max_age" => "endpoints_status_poll_interval",
        "kind" => "type",
        "endpoints" => "host",
        "storages" => "storage",
        "pool_notice_after_waiting" => "pool_notice_after_waiting_ms",
        "pool_reset_timeout" => "pool_reset_timeout_ms",
        same => same,
    }
}

macro_rules! as_displayed {
    ($($type:ty)*) => {$(
        impl Words for $type {
            fn words(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

as_displayed! {
    usize u16 u32 u64 i32 i64 String Endpoint Secret CpuAffinity FileMode Quantile
    SyslogFacility SyslogTarget
}

impl Words for bool {
    fn words(&self) -> String {
        if *self { "yes" } else { "no" }.to_owned()
    }
}

impl Words for Duration {
    fn words(&self) -> String {
        format!("{self:?}")
    }
}

impl Words for PathBuf {
    fn words(&self) -> String {
        self.display().to_string()
    }
}

/// What is not there is no limit, or nothing.
impl<T: Words> Words for Option<T> {
    fn words(&self) -> String {
        self.as_ref().map_or_else(|| "(none)".to_owned(), Words::words)
    }
}

impl<T: Words> Words for Arc<T> {
    fn words(&self) -> String {
        T::words(self)
    }
}

impl Words for Vec<Endpoint> {
    fn words(&self) -> String {
        self.iter().map(Words::words).collect::<Vec<_>>().join(",")
    }
}

impl Words for Balancing {
    fn words(&self) -> String {
        let method = self.method.as_str();
        let near = self.near.iter().filter(|near| **near).count();
        let tells = if self.tells { ", told to clients" } else { "" };
        format!("{method} ({near} of {} hosts near{tells})", self.near.len())
    }
}

impl Words for Vec<Quantile> {
    fn words(&self) -> String {
        match self.as_slice() {
            [] => "(none)".to_owned(),
            some => some.iter().map(Words::words).collect::<Vec<_>>().join(","),
        }
    }
}

/// The query and who asks it.
impl Words for GroupQuery {
    fn words(&self) -> String {
        format!("'{}' as {}.{}", self.query, self.database, self.user)
    }
}

/// The query, and how often.
impl Words for Watchdog {
    fn words(&self) -> String {
        let query = self.lag_query.as_ref().map_or("(none)".to_owned(), |it| format!("'{it}'"));
        self.lag_interval.map_or(query.clone(), |every| format!("{query} each {every:?}"))
    }
}

/// Likewise.
impl Words for AuthQuery {
    fn words(&self) -> String {
        format!("'{}' as {}.{}", self.query, self.database, self.user)
    }
}

/// The list.
impl Words for ProxyFrom {
    fn words(&self) -> String {
        let unix = self.unix.then(|| "unix".to_owned());
        let networks = self.networks.iter().map(ToString::to_string);
        networks.chain(unix).collect::<Vec<_>>().join(",")
    }
}

/// Names.
impl Words for Vec<String> {
    fn words(&self) -> String {
        match self.as_slice() {
            [] => "(none)".to_owned(),
            some => some.join(","),
        }
    }
}

impl Words for BalancingMethod {
    fn words(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Words for SessionAttrs {
    fn words(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Words for TlsVersions {
    fn words(&self) -> String {
        self.list().unwrap_or_else(|| "(none)".to_owned())
    }
}

impl Words for Authentication {
    fn words(&self) -> String {
        self.word().to_owned()
    }
}

/// The lines are in the file.
impl Words for Hba {
    fn words(&self) -> String {
        format!("{} ({} lines)", self.path.display(), self.lines.len())
    }
}

/// Not how it is asked: there is a secret in it.
impl Words for Checker {
    fn words(&self) -> String {
        match self {
            Checker::Ldap(endpoint) => format!("LDAP '{}'", endpoint.name),
            Checker::Pam(service) => format!("PAM '{service}'"),
        }
    }
}

/// Not the passwords.
impl Words for LdapCredentials {
    fn words(&self) -> String {
        let name = |grant: &LdapGrant| format!("{} as {}", grant.name, grant.user);
        let names: Vec<String> = self.grants.iter().map(name).collect();
        format!("'{}' of '{}': {}", self.attribute, self.endpoint.name, names.join(", "))
    }
}

impl Words for Vec<Name> {
    fn words(&self) -> String {
        let word = |name: &Name| match name {
            Name::Named(name) => name.clone(),
            Name::Default => "default".to_owned(),
        };
        self.iter().map(word).collect::<Vec<_>>().join(",")
    }
}

/// All four at once.
impl Words for Keepalive {
    fn words(&self) -> String {
        let Keepalive { idle_s, interval_s, probes, user_timeout_ms } = self;
        format!("{idle_s} (interval {interval_s}, probes {probes}, usr_timeout {user_timeout_ms})")
    }
}

/// Only the names: a value may be nobody's business.
impl Words for Vec<(String, String)> {
    fn words(&self) -> String {
        let names: Vec<&str> = self.iter().map(|(name, _)| name.as_str()).collect();
        format!("{{ {} }}", names.join(" "))
    }
}

impl Words for SharedPool {
    fn words(&self) -> String {
        format!("'{}' of {}", self.name, self.pool_size.words())
    }
}

macro_rules! as_named {
    ($($type:ident { $($variant:ident $word:literal)* })*) => {$(
        impl Words for $type {
            fn words(&self) -> String {
                match self { $($type::$variant => $word,)* }.to_owned()
            }
        }
    )*};
}

as_named! {
    PoolMode { Session "session" Transaction "transaction" Statement "statement" }
    Role { Admin "admin" Stat "stat" NotAllow "notallow" }
    SessionState { Pin "pin" Reset "reset" Error "error" }
    StorageKind { Remote "remote" Local "local" }
    SyslogFormat { Rfc3164 "rfc3164" Rfc5424 "rfc5424" }
    TlsMode {
        Disable "disable" Allow "allow" Prefer "prefer" Require "require" VerifyCa "verify_ca"
        VerifyFull "verify_full"
    }
}
