//! The files that must load, and every word of the language in its place.

use std::collections::BTreeSet;
use std::path::Path;

use super::{check_whole, loaded, said};
use crate::Format::{self, Conf, Yaml};
use crate::options::{Kind, Label, Row, Scope, Status};
use crate::{Authentication, PoolMode, load};

/// Every keyword of Odyssey, so that none is forgotten.
const KEYWORDS: &str = "
    daemonize priority sequential_routing pid_file unix_socket_dir unix_socket_mode locks_dir
    external_auth_socket_path hba_file log_file log_format log_to_stdout log_syslog
    log_syslog_ident log_syslog_facility log_debug log_config log_session log_query log_stats
    stats_interval log_async log_queue_depth log_general_stats_prom log_route_stats_prom
    promhttp_server_port workers resolvers dns_cache_ttl readahead nodelay disable_nolinger
    keepalive keepalive_keep_interval keepalive_probes keepalive_usr_timeout client_max
    client_max_routing server_login_retry cache_coroutine cache_msg_gc_size coroutine_stack_size
    system_coroutine_stack_size cpu_affinity backend_connect_timeout_ms cancel_timeout_ms
    cancel_queue_timeout_ms cancel_max_inflight max_sigterms_to_die graceful_shutdown_timeout_ms
    enable_online_restart bindwith_reuseport enable_host_watcher availability_zone
    smart_search_path_enquoting virtual_processing virtual_transaction group_checker_interval
    graceful_die_on_errors pipeline cache cache_chunk packet_read_size packet_write_queue include
    conn_drop_options online_restart_drop_options drop_enabled rate interval_ms soft_oom limit
    process check_interval_ms drop signal max_rate query_parsing mode mem_limit listen host port
    backlog client_login_timeout tls tls_ca_file tls_key_file tls_cert_file tls_protocols
    target_session_attrs balancing_method catchup_timeout storage compression type
    server_max_routing endpoints_status_poll_interval balancing method az_aware
    show_notice_messages watchdog watchdog_lag_query watchdog_lag_interval authentication password
    auth_common_name auth_module enable_mdb_iamproxy_auth mdb_iamproxy_socket_path
    auth_pam_service auth_query auth_query_db auth_query_user password_passthrough
    ldap_endpoint_name ldap_storage_credentials_attr ldap_storage_credentials
    ldap_storage_username ldap_storage_password ldap_pool_size ldap_pool_timeout ldap_pool_ttl
    role client_fwd_error client_show_id reserve_session_server_connection quantiles
    application_name_add_host server_drop_on_cached_plan_error server_lifetime maintain_params
    pool pool_routing pool_size min_pool_size pool_timeout pool_ttl pool_discard
    pool_smart_discard pool_discard_query pool_cancel pool_rollback pool_reset_timeout_ms
    pool_reserve_prepared_statement pool_pin_on_listen pool_attach_check pool_acquire_fail_fast
    pool_notice_after_waiting_ms pool_client_idle_timeout pool_idle_in_transaction_timeout
    shared_pool storage_db storage_user storage_password catchup_checks options
    backend_startup_options group_query group_query_user group_query_db database user group
    ldap_endpoint ldapserver ldapport ldapscheme ldapbinddn ldapbindpasswd ldapbasedn ldapprefix
    ldapsuffix ldapsearchattribute ldapsearchfilter ldapscope";

/// The others: yes, no, default, local, hostssl, hostnossl, disabled, minimal, full.
const VALUE_WORDS: usize = 9;

#[test]
fn no_keyword_is_missing() {
    let keywords: BTreeSet<&str> = KEYWORDS.split_whitespace().collect();
    for word in &keywords {
        assert!(crate::options::is_keyword(word), "{word}");
    }
    assert_eq!(keywords.len() + VALUE_WORDS, 186);
}

#[test]
fn every_keyword_is_taken_in_its_scope() {
    for format in [Conf, Yaml] {
        for (scope, conf, yaml) in FRAMES {
            let (open, close) = if format == Conf { conf } else { yaml };
            for row in scope.rows().filter(|row| row.kind != Kind::Include) {
                let text = format!("{open}{}{close}", written(row, format));
                let said = said(&text, format);
                for complaint in ["syntax error", "unknown directive", "expect", "duplicate"] {
                    assert!(!said.contains(complaint), "{text}\n{said}");
                }
            }
        }
    }
}

/// The table's words are what the checks take. Without this, the page and the schema would drift
/// from them.
#[test]
fn the_words_of_the_table_are_the_words_of_the_checks() {
    let complains = |text: &str| {
        let said = said(text, Conf);
        ["unknown", "can't parse", "not implemented"].iter().any(|it| said.contains(it))
    };
    let scopes = [Scope::Listen, Scope::Storage, Scope::Rule];
    for (scope, (open, close), _) in FRAMES.iter().filter(|(scope, ..)| scopes.contains(scope)) {
        for row in scope.rows().filter(|row| !row.words.is_empty()) {
            // A rule that lacks these is not read to its end.
            let mandatory = [("storage", "s"), ("pool", "session"), ("authentication", "none")];
            let others: String = mandatory
                .iter()
                .filter(|(name, _)| *scope == Scope::Rule && *name != row.name)
                .map(|(name, word)| format!("{name} \"{word}\" "))
                .collect();
            let others = format!("storage \"s\" {{ type \"local\" }} {open}{others}");
            let with = |word: &str| format!("{others}{} \"{word}\"{close}", row.name);
            for word in row.words {
                assert!(!complains(&with(word)), "{}", said(&with(word), Conf));
            }
            assert!(complains(&with("nonsense")), "{}", said(&with("nonsense"), Conf));
        }
    }
}

/// What stands in front of and behind an option of a scope.
type Frame = (&'static str, &'static str);

/// Each scope with its frames in both formats.
const FRAMES: [(Scope, Frame, Frame); 16] = [
    (Scope::Top, ("", ""), ("{", "}")),
    (Scope::Listen, ("listen { ", " }"), ("listen: [{", "}]")),
    (Scope::Storage, (r#"storage "s" { "#, " }"), ("storages: {s: {", "}}")),
    (
        Scope::Balancing,
        (r#"storage "s" { balancing { "#, " } }"),
        ("storage: {s: {balancing: {", "}}}"),
    ),
    (
        Scope::BalancingMethod,
        (r#"storage "s" { balancing { method "roundrobin" { "#, " } } }"),
        ("storage: {s: {balancing: {method: {roundrobin: {", "}}}}}"),
    ),
    (
        Scope::Watchdog,
        (r#"storage "s" { watchdog { "#, " } }"),
        ("storage: {s: {watchdog: {", "}}}"),
    ),
    (Scope::Database, ("database default { ", " }"), ("databases: {default: {", "}}")),
    (
        Scope::Rule,
        (r#"database "d" { user "u" { "#, " } }"),
        ("databases: {d: {users: {u: {", "}}}}"),
    ),
    (
        Scope::Group,
        (r#"database "d" { group "g" { "#, " } }"),
        ("database: {d: {groups: {g: {", "}}}}"),
    ),
    (Scope::LdapEndpoint, (r#"ldap_endpoint "l" { "#, " }"), ("ldap_endpoints: {l: {", "}}")),
    (
        Scope::LdapCredentials,
        (r#"database "d" { user "u" { ldap_storage_credentials "c" { "#, " } } }"),
        ("database: {d: {user: {u: {ldap_storage_credentials: {c: {", "}}}}}}"),
    ),
    (Scope::SharedPool, (r#"shared_pool "p" { "#, " }"), ("shared_pools: {p: {", "}}")),
    (Scope::ConnDrop, ("conn_drop_options { ", " }"), ("online_restart_drop_options: {", "}")),
    (Scope::SoftOom, ("soft_oom { ", " }"), ("soft_oom: {", "}")),
    (Scope::SoftOomDrop, ("soft_oom { drop { ", " } }"), ("soft_oom: {drop: {", "}}")),
    (Scope::QueryParsing, ("query_parsing { ", " }"), ("query_parsing: {", "}")),
];
/// The option with some value.
fn written(row: &Row, format: Format) -> String {
    let name = row.name;
    let value = match row.kind {
        Kind::Flag => "yes",
        Kind::Integer { .. } => "1",
        Kind::Size => "1kb",
        Kind::Text | Kind::TextOrDefault if format == Conf => "\"1\"",
        Kind::Text | Kind::TextOrDefault | Kind::IntegerOrText => "1",
        Kind::Bare(words) => words[0],
        Kind::Pairs if format == Conf => "{ \"a\" \"b\" }",
        Kind::Pairs => "{a: b}",
        Kind::Section { label: Label::None, .. } => "{}",
        Kind::Section { .. } if format == Conf => "\"n\" {}",
        Kind::Section { .. } => "{n: {}}",
        Kind::Include => unreachable!("not among the rows of the test"),
    };
    if format == Conf { format!("{name} {value}") } else { format!("{name}: {value}") }
}

#[test]
fn the_sample_loads_without_a_word() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../odyssey.yaml");
    let sample = load(&path).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(sample.warnings, []);
    let config = sample.config;
    assert_eq!(
        (config.listens[0].host.as_deref(), config.listens[0].port),
        (Some("127.0.0.1"), 6432)
    );
    assert_eq!(config.storages[0].endpoints[0].to_string(), "127.0.0.1:5432");
    assert_eq!(config.rules.len(), 2);
    let default = &config.rules[1];
    assert_eq!(default.to_string(), "default_db.default_user all");
    assert_eq!(default.pool, PoolMode::Transaction);
    assert_eq!(default.authentication, Authentication::None);
}

#[test]
fn the_sample_explains_every_option_that_works() {
    let sample = include_str!("../../../../odyssey.yaml");
    for (scope, ..) in FRAMES {
        for row in scope.rows().filter(|row| row.status == Status::Built) {
            let idle = matches!(
                scope,
                Scope::Balancing
                    | Scope::LdapEndpoint
                    | Scope::LdapCredentials
                    | Scope::SharedPool
                    | Scope::SoftOom
                    | Scope::SoftOomDrop
                    | Scope::Watchdog
            ) || matches!(row.name, "balancing" | "query_parsing" | "group");
            let said = sample.contains(&format!("{}:", row.name))
                || sample.contains(&format!("{}s:", row.name));
            assert!(idle || said, "{}", row.name);
        }
    }
}

/// The file the benchmarks run Odyssey with, its placeholders replaced.
const BENCH: &str = r#"daemonize no
unix_socket_dir "/tmp"
unix_socket_mode "0644"
locks_dir "/tmp"
log_format "%p %t %l [%i %s] (%c) %m\n"
log_to_stdout yes log_syslog no log_debug no log_config no log_session no log_query no log_stats no
stats_interval 60
workers 2
resolvers 1
readahead 8192
cache_coroutine 0
coroutine_stack_size 8
nodelay yes
keepalive 15
listen {
	host "127.0.0.1"
	port 6432
	backlog 2048
	tls "allow"
	tls_cert_file "/tmp/cert"
	tls_key_file "/tmp/key"
}
storage "pg" {
	type "remote"
	host "127.0.0.1"
	port 5432
}
database "bench" {
	user "bench" {
		authentication "none"
		storage "pg"
		pool "transaction"
		pool_size 10
		pool_discard no
		pool_smart_discard no
		pool_cancel yes
		pool_rollback yes
		pool_reserve_prepared_statement yes
	}
	user "scram" {
		authentication "scram-sha-256"
		password "secret"
		storage "pg"
		pool "transaction"
		pool_size 10
		pool_discard no
	}
}
"#;

#[test]
fn a_file_that_odyssey_runs_loads() {
    check_whole(
        Conf,
        BENCH,
        "f:12:1: warning: coroutine_stack_size 8 is too small, 16 is used\n\
         f:34:3: warning: rule 'bench.bench all' discards nothing: temporary tables and locks of \
         one client may reach the next\n\
         f:46:3: warning: rule 'bench.scram all' discards nothing: temporary tables and locks of \
         one client may reach the next",
    );
    let config = loaded(BENCH, Conf).config;
    assert_eq!(config.global.coroutine_stack_bytes, 65536);
    assert_eq!(config.global.log_format, r"%p %t %l [%i %s] (%c) %m\n");
    assert_eq!(config.rules[0].pool_size, Some(10));
    assert_eq!(config.rules[1].password.as_ref().map(|it| it.reveal()), Some("secret"));
    assert!(!format!("{config:?}").contains("secret"), "passwords are masked");
}

#[test]
fn the_reference_page_has_a_row_for_every_option() {
    let page = crate::options_page();
    for word in KEYWORDS.split_whitespace() {
        let alias = word == "online_restart_drop_options";
        assert!(alias || page.contains(&format!("| `{word}` |")), "{word}");
    }
}
