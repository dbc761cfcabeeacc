//! Options of the whole process, and where clients connect to.

use super::settings::Settings;
use crate::draft::Section;
use crate::import::notes::Notes;

const LOG_FORMAT: &str = r"%p %t %l [%i %s] (%c) %m\n";
const SOCKET_DIR: &str = "/tmp"; // these are PgBouncer's defaults
const SOCKET_MODE: i64 = 0o777;
const PORT: i64 = 6432;
const BACKLOG: i64 = 128;
const CLIENTS_MAX: i64 = 100;
const LOGIN_MS: i64 = 60_000;
const CONNECT_MS: i64 = 15_000;
const STATS_S: i64 = 60;

pub(super) fn write(settings: &Settings, root: &mut Section, notes: &mut Notes) {
    logging(settings, root, notes);
    process(settings, root, notes);
    sockets(settings, root);
    limits(settings, root, notes);
    listens(settings, root, notes);
}

fn logging(settings: &Settings, root: &mut Section, notes: &mut Notes) {
    root.set("log_format", LOG_FORMAT);
    if let Some(file) = settings.text("logfile") {
        root.set("log_file", file);
    }
    if settings.flag("syslog", false) {
        root.set("log_syslog", true);
        root.set("log_syslog_ident", settings.text("syslog_ident").unwrap_or("pgbouncer"));
        root.set("log_syslog_facility", settings.text("syslog_facility").unwrap_or("daemon"));
    }
    let (come, go) =
        (settings.flag("log_connections", true), settings.flag("log_disconnections", true));
    if come != go {
        let place = settings.place("log_connections");
        notes.changed(&place, "log_connections", "log_session is for both ends of a connection");
    }
    root.set("log_session", come || go);
    if settings.number("verbose", 0) > 0 {
        root.set("log_debug", true);
    }
    root.set("log_stats", settings.flag("log_stats", true));
    root.set("stats_interval", settings.number("stats_period", STATS_S));
}

fn process(settings: &Settings, root: &mut Section, notes: &mut Notes) {
    root.set_noted("workers", "auto", "PgBouncer has one thread");
    if let Some(file) = settings.text("pidfile") {
        root.set("pid_file", file);
    }
    let Some(dir) = socket_dir(settings) else {
        if settings.text("unix_socket_dir").is_some() {
            let why = "abstract sockets are not known; clients come over TCP only";
            notes.lost(&settings.place("unix_socket_dir"), "unix_socket_dir", why);
        }
        return;
    };
    root.set("unix_socket_dir", dir);
    let mode = settings.number("unix_socket_mode", SOCKET_MODE);
    root.set("unix_socket_mode", format!("{mode:04o}"));
    if settings.written("unix_socket_dir").is_none() {
        let why = "not set: /tmp is PgBouncer's own default, packages may have another one";
        notes.changed(&settings.place("unix_socket_dir"), "unix_socket_dir", why);
    }
}

/// None without unix sockets.
pub(super) fn socket_dir(settings: &Settings) -> Option<&str> {
    match settings.written("unix_socket_dir") {
        None => Some(SOCKET_DIR),
        Some(dir) => Some(dir).filter(|dir| dir.starts_with('/')),
    }
}

fn sockets(settings: &Settings, root: &mut Section) {
    if !settings.flag("tcp_keepalive", true) {
        root.set("keepalive", 0);
        return;
    }
    for (theirs, ours) in [
        ("tcp_keepidle", "keepalive"),
        ("tcp_keepintvl", "keepalive_keep_interval"),
        ("tcp_keepcnt", "keepalive_probes"),
        ("tcp_user_timeout", "keepalive_usr_timeout"),
    ] {
        let number = settings.number(theirs, 0);
        if number > 0 {
            root.set(ours, number);
        }
    }
}

fn limits(settings: &Settings, root: &mut Section, notes: &mut Notes) {
    root.set("client_max", settings.number("max_client_conn", CLIENTS_MAX));
    let connect = settings.milliseconds("server_connect_timeout").unwrap_or(CONNECT_MS);
    root.set("backend_connect_timeout_ms", connect);
    if let Some(wait) = settings.milliseconds("cancel_wait_timeout") {
        root.set("cancel_queue_timeout_ms", wait);
    }
    if let Some(ttl) = settings.milliseconds("dns_max_ttl") {
        root.set("dns_cache_ttl", ttl);
    }
    if settings.milliseconds("query_timeout").is_some_and(|limit| limit > 0) {
        let why = "statement_timeout asks the server to do it; clients may set another one";
        notes.changed(&settings.place("query_timeout"), "query_timeout", why);
    }
}

fn listens(settings: &Settings, root: &mut Section, notes: &mut Notes) {
    let hosts = settings.text("listen_addr").unwrap_or_default().split(',').map(str::trim);
    let mut hosts: Vec<_> = hosts.filter(|host| !host.is_empty()).map(Some).collect();
    if socket_dir(settings).is_some() {
        hosts.push(None);
    }
    if hosts.is_empty() {
        let why = "neither an address nor a directory of sockets: PgBouncer would not start";
        notes.lost(&settings.place("listen_addr"), "listen_addr", why);
    }
    for host in hosts {
        let mut listen = Section::plain("listen");
        if let Some(host) = host {
            listen.set("host", host);
        }
        listen.set("port", settings.number("listen_port", PORT));
        let backlog = settings.number("listen_backlog", BACKLOG);
        if backlog != BACKLOG {
            listen.set("backlog", backlog);
        }
        let login = settings.milliseconds("client_login_timeout").unwrap_or(LOGIN_MS);
        listen.set("client_login_timeout", login);
        if host.is_some() {
            tls(settings, "client", &mut listen);
        }
        root.sections.push(listen);
    }
}

/// `side`: `client` or `server`.
pub(super) fn tls(settings: &Settings, side: &str, section: &mut Section) {
    let default = if side == "server" { "prefer" } else { "disable" };
    let mode = settings.text(&format!("{side}_tls_sslmode")).unwrap_or(default);
    if mode.eq_ignore_ascii_case("disable") {
        return;
    }
    section.set("tls", mode.to_ascii_lowercase().replace('-', "_"));
    for file in ["ca", "key", "cert"] {
        if let Some(path) = settings.text(&format!("{side}_tls_{file}_file")) {
            section.set(&format!("tls_{file}_file"), path);
        }
    }
}
