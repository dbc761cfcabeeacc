//! The section `[pgbouncer]`, and what becomes of the options that have no counterpart. Those that
//! have one are carried over elsewhere and only named here.

use std::collections::BTreeMap;

use super::super::ini::Entry;
use super::super::known::{Known, Row};
use super::super::notes::{Fate, Notes};
use super::super::pairs::Pairs;
use crate::diagnostic::Place;

/// The options of the section, by name; of one given twice the last counts.
#[derive(Default)]
pub(super) struct Settings(BTreeMap<String, (String, Place)>);

use Fate::{Changed, Lost, Needless};

const SET_TIMEOUT: &str = "no counterpart; options { \"transaction_timeout\" … } in the rule asks \
                           PostgreSQL 17 and later to do it";
const RESERVE: &str = "there is no reserve; a pool has what pool_size says";
const BUFFERS: &str = "buffers are sized by themselves";
const CIPHERS: &str = "the library's own choice of ciphers is used";
const RESOLVER: &str = "names are resolved as the system does it";

const ROWS: &[Row] = &[
    Row("auth_ident_file", "", Lost, "there are no maps of users"),
    Row("auth_ldap_options", "", Lost, "write an ldap_endpoint and name it in the rules"),
    Row("autodb_idle_timeout", "3600", Needless, "idle routes cost next to nothing"),
    Row("client_tls13_ciphers", "", Lost, CIPHERS),
    Row("client_tls_ciphers", "default", Lost, CIPHERS),
    Row("client_tls_dheparams", "auto", Lost, CIPHERS),
    Row("client_tls_ecdhcurve", "auto", Lost, CIPHERS),
    Row("client_tls_protocols", "secure", Lost, "the library's own choice of versions is used"),
    Row("conffile", "", Needless, "a reload reads the file that was named at start"),
    Row("disable_pqexec", "0", Lost, "simple queries cannot be refused"),
    Row("dns_nxdomain_ttl", "15", Lost, RESOLVER),
    Row("dns_zone_check_period", "0", Lost, RESOLVER),
    Row("ignore_startup_parameters", "", Needless, "all startup parameters are understood"),
    Row("job_name", "pgbouncer", Needless, "it is for services of Windows"),
    Row("log_pooler_errors", "1", Lost, "errors are always logged"),
    Row("login_notify_message", "", Lost, "clients are not greeted"),
    Row("max_packet_size", "2147483647", Lost, "messages have no limit of size"),
    Row("max_prepared_statements", "200", Changed, "1000 statements are kept in each server"),
    Row("peer_id", "0", Needless, "one process uses all processors, so there are no peers"),
    Row("pkt_buf", "4096", Needless, BUFFERS),
    Row("pool_idle_timeout", "0", Needless, "idle routes cost next to nothing"),
    Row("reserve_pool_size", "0", Lost, RESERVE),
    Row("reserve_pool_timeout", "5", Lost, RESERVE),
    Row("resolv_conf", "", Lost, RESOLVER),
    Row("sbuf_loopcnt", "5", Needless, "long answers do not hold up others"),
    Row("scram_iterations", "4096", Lost, "it is 4096, or what a verifier says"),
    Row("server_check_delay", "30", Needless, "a server that hangs up is noticed at once"),
    Row("server_check_query", "", Needless, "a server that hangs up is noticed at once"),
    Row("server_fast_close", "0", Lost, "session clients keep their server"),
    Row("server_login_retry", "15", Lost, "each client that needs a server tries to open one"),
    Row("server_round_robin", "0", Lost, "the server that was used last is taken first"),
    Row("server_tls13_ciphers", "", Lost, CIPHERS),
    Row("server_tls_ciphers", "default", Lost, CIPHERS),
    Row("server_tls_protocols", "secure", Lost, "the library's own choice of versions is used"),
    Row("service_name", "pgbouncer", Needless, "it is for services of Windows"),
    Row("so_reuseport", "0", Needless, "one process uses all processors"),
    Row("suspend_timeout", "10", Needless, "there is no SUSPEND"),
    Row("tcp_defer_accept", "1", Needless, "clients that say nothing cost little"),
    Row("tcp_socket_buffer", "0", Lost, "the kernel sizes the buffers of sockets"),
    Row("track_extra_parameters", "IntervalStyle", Needless, "all settings follow their client"),
    Row("transaction_timeout", "0", Lost, SET_TIMEOUT),
    Row("unix_socket_group", "", Lost, "the group of the process is used; see unix_socket_mode"),
    Row("user", "", Lost, "start it as that user, such as with User= in the systemd unit"),
];

/// What other files of this directory carry over.
const CARRIED: &[&str] = &[
    "admin_users",
    "application_name_add_host",
    "auth_dbname",
    "auth_file",
    "auth_hba_file",
    "auth_query",
    "auth_type",
    "auth_user",
    "cancel_wait_timeout",
    "client_idle_timeout",
    "client_login_timeout",
    "client_tls_ca_file",
    "client_tls_cert_file",
    "client_tls_key_file",
    "client_tls_sslmode",
    "default_pool_size",
    "dns_max_ttl",
    "idle_transaction_timeout",
    "listen_addr",
    "listen_backlog",
    "listen_port",
    "log_connections",
    "log_disconnections",
    "log_stats",
    "logfile",
    "max_client_conn",
    "max_db_client_connections",
    "max_db_connections",
    "max_user_client_connections",
    "max_user_connections",
    "min_pool_size",
    "pidfile",
    "pool_mode",
    "query_timeout",
    "query_wait_notify",
    "query_wait_timeout",
    "server_connect_timeout",
    "server_idle_timeout",
    "server_lifetime",
    "server_reset_query",
    "server_reset_query_always",
    "server_tls_ca_file",
    "server_tls_cert_file",
    "server_tls_key_file",
    "server_tls_sslmode",
    "stats_period",
    "stats_users",
    "syslog",
    "syslog_facility",
    "syslog_ident",
    "tcp_keepalive",
    "tcp_keepcnt",
    "tcp_keepidle",
    "tcp_keepintvl",
    "tcp_user_timeout",
    "unix_socket_dir",
    "unix_socket_mode",
    "verbose",
];

const DATABASE_ROWS: &[Row] = &[
    Row("connect_query", "", Lost, "no query is run on new servers; see backend_startup_options"),
    Row("load_balance_hosts", "round-robin", Lost, "hosts are taken in turn"),
    Row("reserve_pool", "0", Lost, RESERVE),
    Row("reserve_pool_size", "0", Lost, RESERVE),
];

const DATABASE_CARRIED: &[&str] = &[
    "application_name",
    "auth_dbname",
    "auth_query",
    "auth_user",
    "client_encoding",
    "datestyle",
    "dbname",
    "host",
    "max_db_client_connections",
    "max_db_connections",
    "min_pool_size",
    "password",
    "pool_mode",
    "pool_size",
    "port",
    "query_wait_timeout",
    "server_lifetime",
    "timezone",
    "user",
];

const USER_ROWS: &[Row] = &[
    Row("reserve_pool_size", "0", Lost, RESERVE),
    Row("transaction_timeout", "0", Lost, SET_TIMEOUT),
];

const USER_CARRIED: &[&str] = &[
    "client_idle_timeout",
    "idle_transaction_timeout",
    "max_user_client_connections",
    "max_user_connections",
    "pool_mode",
    "pool_size",
    "query_timeout",
    "query_wait_timeout",
];

const SECTION: Known = Known { whose: "PgBouncer", rows: ROWS, carried: CARRIED };
const DATABASE: Known =
    Known { whose: "PgBouncer", rows: DATABASE_ROWS, carried: DATABASE_CARRIED };
const USER: Known = Known { whose: "PgBouncer", rows: USER_ROWS, carried: USER_CARRIED };

impl Settings {
    pub fn add(&mut self, entry: Entry) {
        self.0.insert(entry.key, (entry.value, entry.place));
    }

    /// An empty value is none.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.written(key).filter(|value| !value.is_empty())
    }

    /// As it is written, even if that is nothing.
    pub fn written(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|(value, _)| value.as_str())
    }

    pub fn found(&self, key: &str) -> Option<(String, Place)> {
        self.0.get(key).filter(|(value, _)| !value.is_empty()).cloned()
    }

    /// Of the option; of the file as a whole where it is not written.
    pub fn place(&self, key: &str) -> Place {
        match self.0.get(key) {
            Some((_, place)) => place.clone(),
            None => Place {
                line: 0,
                column: 0,
                ..self
                    .0
                    .values()
                    .next()
                    .map_or_else(|| super::place("pgbouncer.ini", 0), |(_, place)| place.clone())
            },
        }
    }

    pub fn number(&self, key: &str, default: i64) -> i64 {
        self.text(key).and_then(number).unwrap_or(default)
    }

    pub fn flag(&self, key: &str, default: bool) -> bool {
        self.number(key, i64::from(default)) != 0
    }

    /// Milliseconds of an option in seconds, which may have a fraction.
    pub fn milliseconds(&self, key: &str) -> Option<i64> {
        self.text(key).and_then(milliseconds)
    }

    /// Whole seconds, rounded up: something above zero must not become "never".
    pub fn seconds(&self, key: &str) -> Option<i64> {
        self.milliseconds(key).map(|number| (number + 999) / 1000)
    }

    /// Notes everything that is not carried over by its name alone.
    pub fn judge(&self, notes: &mut Notes) {
        for (key, (value, place)) in &self.0 {
            if let Some((fate, why)) = SECTION.fate(key, value) {
                notes.add(place, key, fate, why);
            }
        }
    }
}

pub(super) fn judge_database(pairs: &Pairs, place: &Place, subject: &str, notes: &mut Notes) {
    judge_pairs(&DATABASE, pairs, place, subject, notes);
}

pub(super) fn judge_user(pairs: &Pairs, place: &Place, subject: &str, notes: &mut Notes) {
    judge_pairs(&USER, pairs, place, subject, notes);
}

fn judge_pairs(known: &Known, pairs: &Pairs, place: &Place, subject: &str, notes: &mut Notes) {
    for key in pairs.keys() {
        let value = pairs.get(key).unwrap_or_default();
        if let Some((fate, why)) = known.fate(key, value) {
            notes.add(place, &format!("{key} of {subject}"), fate, why);
        }
    }
}

/// As C reads numbers: octal behind `0`, hexadecimal behind `0x`.
pub(super) fn number(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let magnitude = match (digits.strip_prefix("0x"), digits.strip_prefix('0')) {
        (Some(digits), _) => i64::from_str_radix(digits, 16),
        (None, Some(digits)) if !digits.is_empty() => i64::from_str_radix(digits, 8),
        _ => digits.parse(),
    };
    magnitude.ok()?.checked_mul(sign)
}

pub(super) fn milliseconds(text: &str) -> Option<i64> {
    let seconds: f64 = text.trim().parse().ok()?;
    let number = (seconds * 1000.0).round();
    // Odyssey's times are C's int.
    (0.0..=f64::from(i32::MAX)).contains(&number).then_some(number as i64)
}
