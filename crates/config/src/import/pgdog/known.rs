//! What PgDog knows beyond what is carried over, option by option, with its defaults.

use crate::import::known::{Known, Row};
use crate::import::notes::Fate::{Lost, Needless};
use crate::import::notes::Notes;
use crate::import::tree::Node;

/// As a number of milliseconds, or bytes, it is for ever.
const FOREVER: &str = "9223372036854775807";

const COMMITS: &str = "a transaction has one server; PREPARE TRANSACTION is the client's own";
const HEALTH: &str = "a server that hangs up is noticed at once, a host that is down comes last";
const LAG: &str = "see watchdog of a storage and catchup_timeout of a rule";
const LOGS: &str = "see log_format and log_debug";
const PARSER: &str = "queries are not read to find a server";
const ROLES: &str = "the servers are asked which of them is the primary";
const SHARDING: &str = "there is one shard";
const SIZES: &str = "a pool has one size, whatever server it is of";
const STATEMENTS: &str = "1000 statements are kept in each server";
const TOKENS: &str = "tokens and secrets are not fetched from others; write a server_password";

pub(super) const GENERAL: Known = Known {
    whose: "PgDog",
    rows: &[
        Row("ban_replica_lag", FOREVER, Lost, LAG),
        Row("ban_replica_lag_bytes", FOREVER, Lost, LAG),
        Row("ban_timeout", "300000", Needless, HEALTH),
        Row("broadcast_address", "", Needless, SHARDING),
        Row("broadcast_port", "6433", Needless, SHARDING),
        Row("canonicalize_type_information", "false", Needless, SHARDING),
        Row("client_connection_recovery", "drop", Lost, "who waits in vain is disconnected"),
        Row("connect_attempt_delay", "0", Needless, "the oldest client in line tries again"),
        Row("connect_attempts", "1", Needless, "the oldest client in line tries again"),
        Row("connection_recovery", "recover", Lost, "see pool_cancel and pool_rollback"),
        Row("cross_shard_disabled", "false", Needless, SHARDING),
        Row("cutover_last_transaction_delay", "1000", Needless, SHARDING),
        Row("cutover_replication_lag_threshold", "0", Needless, SHARDING),
        Row("cutover_save_config", "false", Needless, SHARDING),
        Row("cutover_timeout", "30000", Needless, SHARDING),
        Row("cutover_timeout_action", "abort", Needless, SHARDING),
        Row("cutover_traffic_stop_threshold", "1000000", Needless, SHARDING),
        Row("dry_run", "false", Lost, PARSER),
        Row("expanded_explain", "false", Needless, SHARDING),
        Row("healthcheck_interval", "30000", Needless, HEALTH),
        Row("healthcheck_port", "", Lost, "/livez and /readyz are at promhttp_server_port"),
        Row("healthcheck_timeout", "5000", Needless, HEALTH),
        Row("idle_healthcheck_delay", "5000", Needless, HEALTH),
        Row("idle_healthcheck_interval", "30000", Needless, HEALTH),
        Row("load_schema", "auto", Needless, SHARDING),
        Row("log_dedup_threshold", "0", Lost, LOGS),
        Row("log_dedup_window", "0", Lost, LOGS),
        Row("log_level", "info", Lost, LOGS),
        Row("log_min_duration_parse", "", Needless, PARSER),
        Row("log_query_sample_length", "1000", Needless, PARSER),
        Row("lsn_check_delay", FOREVER, Needless, ROLES),
        Row("lsn_check_interval", "5000", Needless, ROLES),
        Row("lsn_check_timeout", "5000", Needless, ROLES),
        Row("mirror_exposure", "1.0", Lost, "queries are sent once"),
        Row("mirror_queue", "128", Lost, "queries are sent once"),
        Row("omnisharded_sticky", "false", Needless, SHARDING),
        Row("openmetrics_host", "0.0.0.0", Lost, "metrics are where the first listener is"),
        Row("openmetrics_namespace", "", Lost, "metrics have names of their own"),
        Row(
            "passthrough_auth",
            "disabled",
            Lost,
            "who is in no file is not let in; see auth_query and password_passthrough",
        ),
        Row("prepared_statements_limit", FOREVER, Needless, STATEMENTS),
        Row("prepared_statements_ttl", "", Needless, STATEMENTS),
        Row("prepared_statements_ttl_jitter", "30000", Needless, STATEMENTS),
        Row("pub_sub_channel_size", "0", Needless, "a client that listens keeps its server"),
        Row("query_cache_limit", "1000", Needless, PARSER),
        Row("query_log", "", Lost, "see log_query"),
        Row("query_parser", "auto", Lost, PARSER),
        Row("query_parser_enabled", "false", Lost, PARSER),
        Row("query_parser_engine", "pg_query_protobuf", Needless, PARSER),
        Row("query_size_limit", "", Needless, "a query of any length passes in bounded memory"),
        Row("query_size_limit_action", "warn", Needless, "a query of any length passes"),
        Row("query_timeout", FOREVER, Lost, "statement_timeout at the server is about that"),
        Row("read_write_split", "include_primary", Lost, PARSER),
        Row("read_write_strategy", "conservative", Needless, PARSER),
        Row("regex_parser_limit", "1000", Needless, PARSER),
        Row("reload_schema_on_ddl", "true", Needless, SHARDING),
        Row("require_healthcheck_on_discovery", "false", Needless, HEALTH),
        Row("resharding_copy_format", "binary", Needless, SHARDING),
        Row("resharding_copy_retry_max_attempts", "5", Needless, SHARDING),
        Row("resharding_copy_retry_min_delay", "1000", Needless, SHARDING),
        Row("resharding_parallel_copies", "1", Needless, SHARDING),
        Row("resharding_replication_retry_max_attempts", "5", Needless, SHARDING),
        Row("resharding_replication_retry_min_delay", "1000", Needless, SHARDING),
        Row("rollback_timeout", "5000", Lost, "see pool_reset_timeout_ms"),
        Row("server_lifetime_jitter", "0", Needless, "servers do not end all at once"),
        Row("sharding_lookup_cache_size", "67108864", Needless, SHARDING),
        Row("sharding_lookup_timeout", "5000", Needless, SHARDING),
        Row("shutdown_termination_timeout", "", Lost, "see max_sigterms_to_die"),
        Row("stats_period", "15000", Lost, "see stats_interval"),
        Row("system_catalogs", "omnisharded_sticky", Needless, SHARDING),
        Row("two_phase_commit", "false", Lost, COMMITS),
        Row("two_phase_commit_auto", "", Lost, COMMITS),
        Row("two_phase_commit_wal_checkpoint_interval", "15000", Lost, COMMITS),
        Row("two_phase_commit_wal_dir", "", Lost, COMMITS),
        Row("two_phase_commit_wal_fsync_interval", "0", Lost, COMMITS),
        Row("two_phase_commit_wal_segment_size", "16777216", Lost, COMMITS),
        Row("unique_id_function", "standard", Needless, SHARDING),
        Row("unique_id_min", "0", Needless, SHARDING),
    ],
    carried: &[
        "auth_type",
        "checkout_timeout",
        "client_idle_in_transaction_timeout",
        "client_idle_timeout",
        "client_login_timeout",
        "connect_timeout",
        "default_pool_size",
        "dns_ttl",
        "host",
        "idle_timeout",
        "load_balancing_strategy",
        "log_connections",
        "log_disconnections",
        "log_format",
        "min_pool_size",
        "openmetrics_port",
        "pooler_mode",
        "port",
        "prepared_statements",
        "query_log_stdout",
        "server_lifetime",
        "shutdown_timeout",
        "tls_certificate",
        "tls_client_ca_certificate",
        "tls_client_required",
        "tls_private_key",
        "tls_server_ca_certificate",
        "tls_server_certificate",
        "tls_server_private_key",
        "tls_verify",
        "workers",
    ],
};

pub(super) const DATABASE: Known = Known {
    whose: "PgDog",
    rows: &[
        Row("idle_timeout_primary", "", Lost, SIZES),
        Row("idle_timeout_replica", "", Lost, SIZES),
        Row("lb_weight", "255", Lost, "hosts are taken in turn or by load"),
        Row("min_pool_size_primary", "", Lost, SIZES),
        Row("min_pool_size_replica", "", Lost, SIZES),
        Row("pool_size_primary", "", Lost, SIZES),
        Row("pool_size_replica", "", Lost, SIZES),
        Row("resharding_only", "false", Lost, SHARDING),
        Row("server_lifetime_jitter", "", Needless, "servers do not end all at once"),
    ],
    carried: &[
        "database_name",
        "host",
        "idle_timeout",
        "lock_timeout",
        "min_pool_size",
        "name",
        "password",
        "pool_size",
        "pooler_mode",
        "port",
        "read_only",
        "role",
        "server_lifetime",
        "shard",
        "statement_timeout",
        "user",
    ],
};

pub(super) const USER: Known = Known {
    whose: "PgDog",
    rows: &[
        Row("cross_shard_disabled", "", Needless, SHARDING),
        Row("identity", "", Lost, "see the method cert and auth_common_name"),
        Row("idle_timeout_primary", "", Lost, SIZES),
        Row("idle_timeout_replica", "", Lost, SIZES),
        Row("min_pool_size_primary", "", Lost, SIZES),
        Row("min_pool_size_replica", "", Lost, SIZES),
        Row("pool_size_primary", "", Lost, SIZES),
        Row("pool_size_replica", "", Lost, SIZES),
        Row("replication_mode", "false", Needless, "who asks for replication has it"),
        Row("replication_sharding", "", Lost, SHARDING),
        Row("schema_admin", "false", Needless, SHARDING),
        Row("server_auth", "password", Lost, TOKENS),
        Row("server_iam_region", "", Lost, TOKENS),
        Row("server_lifetime_jitter", "", Needless, "servers do not end all at once"),
        Row("server_vault_path", "", Lost, TOKENS),
        Row("tls_client_certificate_required", "true", Lost, "see tls of the listener"),
        Row("two_phase_commit", "", Lost, COMMITS),
        Row("two_phase_commit_auto", "", Lost, COMMITS),
        Row("vault_path", "", Lost, TOKENS),
        Row("vault_refresh_percent", "", Lost, TOKENS),
    ],
    carried: &[
        "all_databases",
        "database",
        "databases",
        "idle_timeout",
        "lock_timeout",
        "min_pool_size",
        "name",
        "password",
        "password_hash",
        "passwords",
        "pool_size",
        "pooler_mode",
        "read_only",
        "server_lifetime",
        "server_password",
        "server_user",
        "statement_timeout",
    ],
};

/// Notes what stands in sections that are not carried over.
pub(super) fn judge_sections(file: &Node, users: &Node, notes: &mut Notes) {
    for (key, value) in file.entries() {
        let why = match key.as_str() {
            "admin" | "databases" | "general" | "tcp" => continue,
            "memory" => "buffers and stacks are sized by themselves",
            "mirroring" => "queries are sent once",
            "multi_tenant" | "query_parsers" => PARSER,
            "otel" => "metrics are fetched, not sent",
            "plugins" => "there are no plugins",
            "replica_lag" => LAG,
            "vault" => TOKENS,
            "omnisharded_tables" | "replication" | "rewrite" | "sharded_mappings"
            | "sharded_schemas" | "sharded_tables" => "queries are not read to find a shard",
            _ => "no PgDog that is known has such a section",
        };
        notes.lost(&value.place, &format!("[{key}]"), why);
    }
    for (key, value) in users.entries() {
        if !matches!(key.as_str(), "admin" | "users") {
            let why = "no PgDog that is known has such a section";
            notes.lost(&value.place, &format!("[{key}] of users.toml"), why);
        }
    }
}
