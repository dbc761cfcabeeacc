//! pg_doorman.toml and pg_doorman.yaml. Each pool has one server, and users of its own.

use super::known::{Known, Row};
use super::notes::Fate::{Lost, Needless};
use super::notes::Notes;
use super::pools;
use super::tree::{Kind, Node};
use crate::draft::{Section, Word};

const CONNECT_MS: i64 = 3000; // these are pg_doorman's defaults
const WAIT_MS: i64 = 5000;
const LIFETIME_S: i64 = 1200;
const CLIENTS_MAX: i64 = 8192;
const SERVER_PORT: i64 = 5432;
const CONSOLES: &[&str] = &["pgdoorman", "pgbouncer"];

const BUFFERS: &str = "buffers are sized by themselves";
const GROWTH: &str = "pools open what they need within pool_size";
const PATRONI: &str = "Patroni is not asked; write the other hosts into the storage";
const RESERVE: &str = "there is no reserve; a pool has what pool_size says";
const STATEMENTS: &str = "1000 statements are kept in each server";
const THREADS: &str = "threads have the stacks they need";

const GENERAL: Known = Known {
    whose: "pg_doorman",
    rows: &[
        Row("client_anonymous_prepared_cache_size", "", Needless, STATEMENTS),
        Row("client_prepared_statements_cache_size", "", Needless, STATEMENTS),
        Row("fallback_connect_timeout", "", Lost, PATRONI),
        Row("fallback_cooldown", "", Lost, PATRONI),
        Row("fallback_lifetime", "", Lost, PATRONI),
        Row("max_blocking_threads", "", Needless, THREADS),
        Row("max_concurrent_creates", "4", Lost, "server_max_routing of a storage is about that"),
        Row("max_memory_usage", "268435456", Needless, "memory per client is bounded"),
        Row("message_size_to_be_stream", "1048576", Needless, "every message is streamed"),
        Row("patroni_api_timeout", "", Lost, PATRONI),
        Row("patroni_api_urls", "", Lost, PATRONI),
        Row("pooler_check_query", ";", Lost, "a query of that kind goes to the server"),
        Row("prepared_statements", "true", Needless, STATEMENTS),
        Row("prepared_statements_cache_size", "8192", Needless, STATEMENTS),
        Row("proxy_copy_data_timeout", "15000", Needless, "both directions move at any time"),
        Row("query_interner_anon_idle_ttl_seconds", "60", Needless, STATEMENTS),
        Row("query_interner_gc_interval_seconds", "60", Needless, STATEMENTS),
        Row("retain_connections_max", "3", Needless, "pool_ttl closes idle servers when due"),
        Row("retain_connections_time", "30000", Needless, "pool_ttl closes idle servers when due"),
        Row("scaling_fast_retries", "10", Needless, GROWTH),
        Row("scaling_max_parallel_creates", "2", Needless, GROWTH),
        Row("scaling_warm_pool_ratio", "20", Needless, GROWTH),
        Row("server_idle_check_timeout", "60000", Needless, "a server that hangs up is noticed"),
        Row("server_prepared_statements_cache_size", "", Needless, STATEMENTS),
        Row("server_round_robin", "false", Lost, "the server that was used last is taken first"),
        Row("sync_server_parameters", "false", Needless, "all settings follow their client"),
        Row("tcp_so_linger", "0", Needless, "clients are told before they are closed"),
        Row("tcp_socket_buffer_size", "0", Lost, "the kernel sizes the buffers of sockets"),
        Row("tls_rate_limit_per_second", "0", Lost, "handshakes are not counted"),
        Row("tokio_event_interval", "", Needless, THREADS),
        Row("tokio_global_queue_interval", "", Needless, THREADS),
        Row("unix_socket_buffer_size", "1048576", Needless, BUFFERS),
        Row("worker_cpu_affinity_pinning", "false", Lost, "see cpu_affinity"),
        Row("worker_stack_size", "", Needless, THREADS),
    ],
    carried: &[
        "admin_password",
        "admin_username",
        "backlog",
        "connect_timeout",
        "daemon_pid_file",
        "hba",
        "host",
        "idle_timeout",
        "log_client_connections",
        "log_client_disconnections",
        "max_connections",
        "pg_hba",
        "port",
        "query_wait_timeout",
        "server_lifetime",
        "server_tls_ca_cert",
        "server_tls_certificate",
        "server_tls_mode",
        "server_tls_private_key",
        "shutdown_timeout",
        "startup_parameters",
        "syslog_prog_name",
        "tcp_keepalives_count",
        "tcp_keepalives_idle",
        "tcp_keepalives_interval",
        "tcp_no_delay",
        "tcp_user_timeout",
        "tls_ca_cert",
        "tls_certificate",
        "tls_mode",
        "tls_private_key",
        "unix_socket_dir",
        "unix_socket_mode",
        "worker_threads",
    ],
};

const POOL: Known = Known {
    whose: "pg_doorman",
    rows: &[
        Row("cleanup_server_connections", "true", Lost, "what is left behind is always removed"),
        Row("fallback_connect_timeout", "", Lost, PATRONI),
        Row("fallback_cooldown", "", Lost, PATRONI),
        Row("fallback_lifetime", "", Lost, PATRONI),
        Row("log_client_parameter_status_changes", "false", Lost, "they are not logged"),
        Row(
            "max_db_connections",
            "0",
            Lost,
            "name a shared_pool in the rules instead of pool_size",
        ),
        Row("min_connection_lifetime", "", Lost, GROWTH),
        Row("min_guaranteed_pool_size", "0", Lost, "waiters are served oldest first"),
        Row("patroni_api_timeout", "", Lost, PATRONI),
        Row("patroni_api_urls", "", Lost, PATRONI),
        Row("prepared_statements_cache_size", "", Needless, STATEMENTS),
        Row("reserve_pool_size", "0", Lost, RESERVE),
        Row("reserve_pool_timeout", "", Lost, RESERVE),
        Row("scaling_fast_retries", "", Needless, GROWTH),
        Row("scaling_warm_pool_ratio", "", Needless, GROWTH),
        Row("server_prepared_statements_cache_size", "", Needless, STATEMENTS),
    ],
    carried: &[
        "application_name",
        "auth_query",
        "connect_timeout",
        "idle_timeout",
        "pool_mode",
        "server_database",
        "server_host",
        "server_lifetime",
        "server_port",
        "server_tls_ca_cert",
        "server_tls_certificate",
        "server_tls_mode",
        "server_tls_private_key",
        "startup_parameters",
        "users",
    ],
};

const USER: Known = Known {
    whose: "pg_doorman",
    rows: &[],
    carried: &[
        "auth_pam_service",
        "min_pool_size",
        "password",
        "pool_mode",
        "pool_size",
        "server_lifetime",
        "server_password",
        "server_username",
        "username",
    ],
};

pub(super) fn convert(file: &Node, notes: &mut Notes) -> Section {
    let mut root = Section::root();
    let empty = Node { place: file.place.clone(), kind: Kind::Table(Vec::new()) };
    let general = file.get("general").unwrap_or(&empty);
    pools::judge(&GENERAL, general, "", notes);
    rest_of_file(file, &mut root, notes);
    globals(general, &mut root);
    let mut databases = Vec::new();
    for (name, table) in pools::tables(file, &POOL, notes) {
        databases.push(Pool { name, table, general }.database(&mut root, notes));
    }
    databases.extend(pools::console(general, CONSOLES, &mut root));
    root.sections.extend(databases);
    root
}

fn rest_of_file(file: &Node, root: &mut Section, notes: &mut Notes) {
    for (key, value) in file.entries() {
        match key.as_str() {
            "general" | "pools" => {}
            "include" if value.get("files").is_none_or(|files| files.items().is_empty()) => {}
            "include" => {
                let why = "the included files are not read: convert what they make of this one";
                notes.lost(&value.place, "[include]", why);
            }
            "web" | "prometheus" if value.flag("enabled") == Some(true) => {
                root.set("promhttp_server_port", value.number("port").unwrap_or(9127));
                notes.changed(&value.place, key, "there are metrics and a status page of ours");
            }
            "web" | "prometheus" => {}
            other => {
                let why = "no pg_doorman that is known has such a section";
                notes.lost(&value.place, &format!("[{other}]"), why);
            }
        }
    }
}

fn globals(general: &Node, root: &mut Section) {
    pools::process(general, root);
    let timeout = general.number("tcp_user_timeout").unwrap_or(60); // in seconds, unlike ours
    root.set("keepalive_usr_timeout", timeout.saturating_mul(1000));
    root.set("backend_connect_timeout_ms", connect_ms(general));
    root.set("client_max", general.number("max_connections").unwrap_or(CLIENTS_MAX));
    if general.flag("tcp_no_delay") == Some(false) {
        root.set("nodelay", false);
    }
    if let Some(file) = general.text("daemon_pid_file") {
        root.set("pid_file", file);
    }
    if let Some(name) = general.text("syslog_prog_name") {
        root.set("log_syslog", true);
        root.set("log_syslog_ident", name);
    }
    let mut listen = pools::listen(general);
    if let Some(backlog) = general.number("backlog").filter(|backlog| *backlog > 0) {
        listen.set("backlog", backlog);
    }
    let mode = general.text("tls_mode").unwrap_or("allow");
    if general.text("tls_certificate").is_some() || !matches!(mode, "allow" | "disable") {
        tls(
            general,
            ["tls_mode", "tls_ca_cert", "tls_certificate", "tls_private_key"],
            &mut listen,
        );
    }
    root.sections.push(listen);
    if let Some(dir) = general.text("unix_socket_dir") {
        root.set("unix_socket_dir", dir);
        root.set("unix_socket_mode", general.text("unix_socket_mode").unwrap_or("0600"));
        let mut local = Section::plain("listen");
        local.set("port", general.number("port").unwrap_or(SERVER_PORT));
        root.sections.push(local);
    }
}

fn connect_ms(general: &Node) -> i64 {
    general.milliseconds("connect_timeout").unwrap_or(CONNECT_MS)
}

/// `keys`: of the mode, the authorities, the certificate, the private key.
fn tls(table: &Node, keys: [&str; 4], section: &mut Section) {
    section.set("tls", table.text(keys[0]).unwrap_or("allow").replace('-', "_"));
    for (key, option) in keys[1..].iter().zip(["tls_ca_file", "tls_cert_file", "tls_key_file"]) {
        if let Some(path) = table.text(key) {
            section.set(option, path);
        }
    }
}

struct Pool<'a> {
    name: &'a str,
    table: &'a Node,
    general: &'a Node,
}

impl Pool<'_> {
    fn database(&self, root: &mut Section, notes: &mut Notes) -> Section {
        let title = format!("pool '{}'", self.name);
        if let Some(hba) = self.general.get("pg_hba") {
            let why = "its lines are not read, and who they keep out must stay out: nobody is let \
                       in. Write them as rules with an address";
            notes.lost(&hba.place, "pg_hba", why);
            return pools::blocked(self.name, root);
        }
        self.storage(root);
        let mut database = Section::named("database", self.name);
        for (name, user) in pools::users(self.table, &title, &USER, notes) {
            let mut rule = Section::named("user", name);
            self.access(user, &mut rule, notes);
            self.rest(user, &mut rule);
            self.by_address(rule, &mut database);
        }
        if let Some(query) = self.table.get("auth_query") {
            let mut rule = Section::default("user");
            self.asked(query, &mut rule, notes);
            self.rest(query, &mut rule);
            self.by_address(rule, &mut database);
            database.sections.push(self.asker(query));
        }
        if database.sections.is_empty() {
            return pools::blocked(self.name, root);
        }
        database
    }

    fn storage(&self, root: &mut Section) {
        let mut storage = Section::named("storage", self.name);
        let port = self.table.number("server_port").unwrap_or(SERVER_PORT);
        let host = self.table.text("server_host").unwrap_or("127.0.0.1");
        storage.set("type", "remote");
        storage.set(
            "host",
            match host {
                dir if dir.starts_with('/') => format!("unix://{dir}/.s.PGSQL.{port}"),
                address if address.contains(':') => format!("[{address}]"),
                name => name.to_owned(),
            },
        );
        storage.set("port", port);
        let tables = [self.table, self.general];
        let keys = [
            "server_tls_mode",
            "server_tls_ca_cert",
            "server_tls_certificate",
            "server_tls_private_key",
        ];
        let own = pools::nearest(&tables, "server_tls_mode").unwrap_or(self.general);
        if own.text("server_tls_mode") != Some("disable") && !host.starts_with('/') {
            tls(own, keys, &mut storage);
        }
        root.sections.push(storage);
    }

    fn access(&self, user: &Node, rule: &mut Section, notes: &mut Notes) {
        let password = user.text("password").unwrap_or_default();
        let mut blocked = |why: &str| {
            let subject = format!("user '{}'", user.text("username").unwrap_or_default());
            notes.changed(&user.place, &subject, why);
            rule.set("authentication", "block");
        };
        if let Some(service) = user.text("auth_pam_service") {
            rule.set("authentication", "clear_text");
            rule.set("auth_pam_service", service);
        } else if password.starts_with("jwt") {
            blocked("signed tokens are not understood; it is not let in");
        } else if password.is_empty() {
            blocked("it has no password; it is not let in");
        } else {
            rule.set("authentication", pools::method(password));
            rule.set("password", password);
        }
        if let Some(name) = user.text("server_username") {
            rule.set("storage_user", name);
        }
        if let Some(password) = user.text("server_password") {
            rule.set("storage_password", password);
        }
    }

    fn asked(&self, query: &Node, rule: &mut Section, notes: &mut Notes) {
        let why = "secrets are asked for with scram-sha-256: say md5 in the rule if that is what \
                   the query returns. Its answers are remembered for 10 to 15 s";
        notes.changed(&query.place, &format!("auth_query of pool '{}'", self.name), why);
        rule.set("authentication", "scram-sha-256");
        rule.set("auth_query", query.text("query").unwrap_or_default());
        rule.set("auth_query_user", query.text("user").unwrap_or_default());
        rule.set("auth_query_db", self.name);
        if let Some(name) = query.text("server_user") {
            rule.set("storage_user", name);
        }
        if let Some(password) = query.text("server_password") {
            rule.set("storage_password", password);
        }
    }

    /// The rule for the pooler's own login.
    fn asker(&self, query: &Node) -> Section {
        let database = query.text("database").or(self.table.text("server_database"));
        let (user, password) = (query.text("user"), query.text("password"));
        pools::asker(self.name, database, user.unwrap_or_default(), password)
    }

    fn rest(&self, user: &Node, rule: &mut Section) {
        let tables = [user, self.table, self.general];
        rule.set("storage", self.name);
        if let Some(database) = self.table.text("server_database") {
            rule.set("storage_db", database);
        }
        let mode = user.text("pool_mode").or(self.table.text("pool_mode"));
        rule.set("pool", mode.unwrap_or("transaction").to_ascii_lowercase());
        rule.set("pool_size", user.number("pool_size").unwrap_or(40));
        if let Some(min) =
            user.number("min_pool_size").filter(|_| rule.label != Some(crate::Name::Default))
        {
            rule.set("min_pool_size", min);
        }
        let wait = self.general.milliseconds("query_wait_timeout").unwrap_or(WAIT_MS);
        rule.set("pool_timeout", wait);
        pools::lifetimes(&tables, LIFETIME_S, rule);
        let mut startup: Vec<(String, String)> = Vec::new();
        let name = self.table.text("application_name").map(|name| ("application_name", name));
        startup.extend(name.map(|(key, value)| (key.to_owned(), value.to_owned())));
        for table in [self.general, self.table] {
            let parameters = table.get("startup_parameters").map(Node::entries);
            for (key, value) in parameters.unwrap_or_default() {
                startup.retain(|(known, _)| known != key);
                startup.push((key.clone(), value.scalar().unwrap_or_default().to_owned()));
            }
        }
        if !startup.is_empty() {
            rule.set("backend_startup_options", Word::Pairs(startup));
        }
    }

    /// With `hba`, clients come from these networks only.
    fn by_address(&self, rule: Section, database: &mut Section) {
        let networks = self.general.get("hba").map(Node::items).unwrap_or_default();
        if networks.is_empty() {
            database.sections.push(rule);
            return;
        }
        for network in networks.iter().filter_map(|network| network.scalar()) {
            let mut own = rule.clone();
            own.address = Some(network.to_owned());
            database.sections.push(own);
        }
    }
}
