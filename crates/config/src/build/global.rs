//! Options of the whole process.

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::affinity;
use crate::diagnostic::Complaints;
use crate::fields::Fields;
use crate::hba;
use crate::model::{CpuAffinity, FileMode, Global, SyslogFacility, SyslogFormat, SyslogTarget};
use crate::options::Scope;
use crate::raw::{Block, Value};

pub(crate) const PAGE_BYTES: usize = 4096;
const STACK_PAGES_MIN: usize = 16; // 64 KiB: less does not carry a TLS handshake
const LOG_QUEUE_DEPTH: usize = 30_000; // Odyssey's, also for 0 and less
const GROUP_INTERVAL_MIN: Duration = Duration::from_millis(100); // a query each time
const ZONE_BYTES_MAX: usize = 15; // Odyssey's

pub(super) fn read(fields: Fields<'_>, complaints: &mut Complaints) -> Global {
    check(fields, complaints);
    let workers = workers(fields, complaints);
    let cancel_timeout = fields.time_limit("cancel_timeout_ms");
    let parses = parses_queries(fields.block);
    Global {
        watch_files: fields.flag("watch_files"),
        workers,
        cpu_affinity: cpu_affinity(fields, complaints),
        resolvers: at_least_one("resolvers", fields, complaints),
        dns_cache_ttl: fields.duration("dns_cache_ttl"),
        coroutine_stack_bytes: stack_pages(fields, complaints) * PAGE_BYTES,
        cache_coroutine: fields.count("cache_coroutine"),
        log_file: fields.path("log_file"),
        log_format: fields.string("log_format").unwrap_or_default(),
        log_to_stdout: fields.flag("log_to_stdout"),
        log_syslog: fields.flag("log_syslog"),
        log_syslog_ident: fields.string("log_syslog_ident").unwrap_or_default(),
        log_syslog_facility: syslog_facility(fields, complaints),
        log_syslog_target: syslog_target(fields, complaints),
        log_syslog_format: match fields.text("log_syslog_format") {
            Some("rfc5424") => SyslogFormat::Rfc5424,
            _ => SyslogFormat::Rfc3164,
        },
        log_debug: fields.flag("log_debug"),
        log_session: fields.flag("log_session"),
        log_query: fields.flag("log_query"),
        log_config: fields.flag("log_config"),
        log_stats: fields.flag("log_stats"),
        stats_interval_s: u64::from(fields.small("stats_interval").max(1)),
        log_general_stats_prom: fields.flag("log_general_stats_prom"),
        log_route_stats_prom: fields.flag("log_route_stats_prom"),
        promhttp_server_port: promhttp_server_port(fields),
        promhttp_server_host: fields.string("promhttp_server_host").unwrap_or_default(),
        log_queue_depth: fields.limit("log_queue_depth").unwrap_or(LOG_QUEUE_DEPTH),
        daemonize: fields.flag("daemonize"),
        priority: i32::try_from(fields.integer("priority")).ok().filter(|&it| it != 0),
        enable_host_watcher: fields.flag("enable_host_watcher"),
        pid_file: fields.path("pid_file"),
        unix_socket_dir: fields.path("unix_socket_dir"),
        unix_socket_mode: unix_socket_mode(fields, complaints),
        nodelay: fields.flag("nodelay"),
        keepalive_s: fields.small("keepalive"),
        keepalive_interval_s: fields.small("keepalive_keep_interval"),
        keepalive_probes: fields.small("keepalive_probes"),
        keepalive_user_timeout_ms: user_timeout_ms(fields),
        disable_nolinger: fields.flag("disable_nolinger"),
        bindwith_reuseport: fields.flag("bindwith_reuseport"),
        enable_online_restart: fields.flag("enable_online_restart"),
        smart_search_path_enquoting: fields.flag("smart_search_path_enquoting"),
        virtual_transaction: parses && fields.flag("virtual_transaction"),
        virtual_processing: parses && fields.flag("virtual_processing"),
        external_auth_socket_path: fields
            .path("external_auth_socket_path")
            .expect("the table has a default"),
        hba: fields
            .text("hba_file")
            .and_then(|path| hba::read(path, fields.place("hba_file"), complaints).map(Arc::new)),
        client_max: fields.limit("client_max"),
        client_max_routing: fields.limit("client_max_routing").unwrap_or(workers * 64),
        sequential_routing: fields.flag("sequential_routing"),
        group_checker_interval: group_checker_interval(fields, complaints),
        backend_connect_timeout: fields.duration("backend_connect_timeout_ms"),
        server_login_retry: fields.duration("server_login_retry"),
        cancel_timeout,
        cancel_queue_timeout: cancel_queue_timeout(fields, cancel_timeout),
        cancel_max_inflight: fields.limit("cancel_max_inflight").unwrap_or(workers * 2),
        max_sigterms_to_die: fields.count("max_sigterms_to_die"),
        graceful_shutdown_timeout: fields.time_limit("graceful_shutdown_timeout_ms"),
        online_restart_timeout: fields.time_limit("online_restart_timeout_ms"),
    }
}

/// `query_parsing { mode disabled }`: no query is answered here. What a session's settings hang on
/// is read all the same.
fn parses_queries(root: &Block) -> bool {
    let section = root.sections("query_parsing").next();
    let mode = section.and_then(|block| Fields::new(Scope::QueryParsing, block).text("mode"));
    mode != Some("disabled")
}

/// Odyssey takes a word it does not know for `daemon`, in silence.
fn syslog_facility(fields: Fields<'_>, complaints: &mut Complaints) -> SyslogFacility {
    let name = "log_syslog_facility";
    let word = fields.text(name).unwrap_or_default();
    SyslogFacility::parse(word).unwrap_or_else(|| {
        let message = format!("unknown {name} '{word}', daemon is used");
        complaints.warning(fields.place(name), message);
        SyslogFacility::default()
    })
}

fn syslog_target(fields: Fields<'_>, complaints: &mut Complaints) -> SyslogTarget {
    let name = "log_syslog_target";
    let text = fields.text(name).unwrap_or_default();
    SyslogTarget::parse(text).unwrap_or_else(|| {
        let message = format!("bad {name} '{text}'");
        let hint = "the path of a datagram socket such as /dev/log, or udp:host:port";
        complaints.error_with_hint(fields.place(name), message, hint);
        SyslogTarget::Path(text.into())
    })
}

/// The table knows the range.
fn promhttp_server_port(fields: Fields<'_>) -> Option<u16> {
    fields
        .is_set("promhttp_server_port")
        .then(|| fields.integer("promhttp_server_port"))
        .and_then(|port| u16::try_from(port).ok())
}

/// Odyssey asks without a pause if it is 0.
fn group_checker_interval(fields: Fields<'_>, complaints: &mut Complaints) -> Duration {
    let name = "group_checker_interval";
    let interval = fields.duration(name);
    if interval >= GROUP_INTERVAL_MIN {
        return interval;
    }
    let message = format!("{name} is too short, {} ms is used", GROUP_INTERVAL_MIN.as_millis());
    complaints.warning(fields.place(name), message);
    GROUP_INTERVAL_MIN
}

/// What has no field of its own, or is about two of them.
fn check(fields: Fields<'_>, complaints: &mut Complaints) {
    if !fields.is_set("log_format") {
        let hint = r#"Odyssey's examples use "%p %t %l [%i %s] (%c) %m\n""#;
        complaints.error_with_hint(&fields.block.place, "log_format is not defined", hint);
    }
    if fields.is_set("unix_socket_dir") && !fields.is_set("unix_socket_mode") {
        complaints.error(fields.place("unix_socket_dir"), "unix_socket_mode is not set");
    }
    if !fields.flag("bindwith_reuseport") && fields.flag("enable_online_restart") {
        let message = "online restart feature works only with SO_REUSEPORT";
        let hint = "set enable_online_restart to no, or bindwith_reuseport to yes";
        complaints.error_with_hint(fields.place("bindwith_reuseport"), message, hint);
    }
    if fields.is_set("system_coroutine_stack_size")
        && fields.integer("system_coroutine_stack_size") < 4
    {
        let place = fields.place("system_coroutine_stack_size");
        complaints.error(place, "bad system_coroutine_stack_size number");
    }
    if fields.text("availability_zone").is_some_and(|zone| zone.len() > ZONE_BYTES_MAX) {
        let message = format!("availability_zone is longer than {ZONE_BYTES_MAX} characters");
        complaints.error(fields.place("availability_zone"), message);
    }
}

fn workers(fields: Fields<'_>, complaints: &mut Complaints) -> usize {
    let place = fields.place("workers");
    match fields.setting("workers").map(|setting| &setting.value) {
        Some(Value::Text(text)) if text == "auto" => {
            usize::midpoint(1, thread::available_parallelism().map_or(1, NonZero::get))
        }
        Some(Value::Text(text)) => {
            complaints.error(place, format!("'{text}' is invalid value for workers"));
            1
        }
        Some(Value::Integer(number)) => match usize::try_from(*number) {
            Ok(count) if count > 0 && i32::try_from(count).is_ok() => count,
            _ => {
                complaints.error(place, "bad workers number");
                1
            }
        },
        _ => 1,
    }
}

fn cpu_affinity(fields: Fields<'_>, complaints: &mut Complaints) -> CpuAffinity {
    let Some(text) = fields.text("cpu_affinity") else { return CpuAffinity::Off };
    affinity::parse(text).unwrap_or_else(|error| {
        let message = format!("can't parse cpu_affinity: {error}");
        complaints.error(fields.place("cpu_affinity"), message);
        CpuAffinity::Off
    })
}

fn at_least_one(name: &str, fields: Fields<'_>, complaints: &mut Complaints) -> usize {
    if fields.integer(name) <= 0 {
        complaints.error(fields.place(name), format!("bad {name} number"));
    }
    fields.count(name).max(1)
}

fn stack_pages(fields: Fields<'_>, complaints: &mut Complaints) -> usize {
    let place = fields.place("coroutine_stack_size");
    match fields.integer("coroutine_stack_size") {
        pages if pages < 4 => complaints.error(place, "bad coroutine_stack_size number"),
        pages if pages < 16 => {
            let message = format!("coroutine_stack_size {pages} is too small, 16 is used");
            complaints.warning(place, message);
        }
        _ => {}
    }
    fields.count("coroutine_stack_size").max(STACK_PAGES_MIN)
}

fn unix_socket_mode(fields: Fields<'_>, complaints: &mut Complaints) -> Option<FileMode> {
    let text = fields.text("unix_socket_mode")?;
    let digits = text.strip_prefix("0o").unwrap_or(text); // YAML's way to write octal numbers
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777);
    if mode.is_none() {
        let message = format!("unix_socket_mode '{text}' is not an octal mode");
        complaints.error(fields.place("unix_socket_mode"), message);
    }
    mode.map(FileMode)
}

/// A negative value asks for half a second less than the keepalive probes need to give up.
fn user_timeout_ms(fields: Fields<'_>) -> i64 {
    match fields.integer("keepalive_usr_timeout") {
        asked if asked >= 0 => asked,
        _ => keepalive_gives_up_ms(
            fields.integer("keepalive"),
            fields.integer("keepalive_keep_interval"),
            fields.integer("keepalive_probes"),
        ),
    }
}

/// Half a second less than the probes of keepalive need to give a connection up; Odyssey's formula.
pub fn keepalive_gives_up_ms(idle_s: i64, interval_s: i64, probes: i64) -> i64 {
    let seconds = interval_s.saturating_mul(probes).saturating_add(idle_s);
    seconds.saturating_mul(1000).saturating_sub(500).max(0)
}

/// -1 is twice the time one cancel may take.
fn cancel_queue_timeout(fields: Fields<'_>, cancel_timeout: Option<Duration>) -> Option<Duration> {
    if fields.integer("cancel_queue_timeout_ms") < 0 {
        return cancel_timeout.map(|timeout| timeout * 2);
    }
    fields.time_limit("cancel_queue_timeout_ms")
}

/// Where PostgreSQL and we put the socket of a port.
pub(super) fn socket_path(dir: &Path, port: u16) -> std::path::PathBuf {
    dir.join(format!(".s.PGSQL.{port}"))
}
