//! pgcat.toml. Pools of one shard are carried over; with several, pgcat reads queries to find the
//! shard, and nothing here does.

use super::known::{Known, Row};
use super::notes::Fate::{Lost, Needless};
use super::notes::Notes;
use super::pools;
use super::tree::Node;
use crate::draft::{Section, Word};

const CONNECT_MS: i64 = 1000; // these are pgcat's defaults
const LIFETIME_S: i64 = 3600; // ours too
const CONSOLES: &[&str] = &["pgcat", "pgbouncer"];

const SHARDING: &str = "queries are not read to find a shard";
const READS: &str = "queries are not read to tell reads from writes";

const GENERAL: Known = Known {
    whose: "pgcat",
    rows: &[
        Row("admin_auth_type", "md5", Lost, "the console asks for its password with md5"),
        Row("autoreload", "-", Lost, "a SIGHUP reads the file again"),
        Row("ban_time", "60", Needless, "a host that is down is tried after those that are not"),
        Row("healthcheck_delay", "30000", Needless, "a server that hangs up is noticed at once"),
        Row("healthcheck_timeout", "1000", Needless, "a server that hangs up is noticed at once"),
        Row("server_round_robin", "true", Lost, "the server that was used last is taken first"),
        Row("validate_config", "true", Needless, "it is always validated; see also --test"),
    ],
    carried: &[
        "admin_password",
        "admin_username",
        "auth_query",
        "auth_query_password",
        "auth_query_user",
        "connect_timeout",
        "dns_cache_enabled",
        "dns_max_ttl",
        "enable_prometheus_exporter",
        "host",
        "idle_client_in_transaction_timeout",
        "idle_timeout",
        "log_client_connections",
        "log_client_disconnections",
        "port",
        "prometheus_exporter_port",
        "server_lifetime",
        "server_tls",
        "shutdown_timeout",
        "tcp_keepalives_count",
        "tcp_keepalives_idle",
        "tcp_keepalives_interval",
        "tcp_user_timeout",
        "tls_certificate",
        "tls_private_key",
        "verify_server_certificate",
        "worker_threads",
    ],
};

const POOL: Known = Known {
    whose: "pgcat",
    rows: &[
        Row("automatic_sharding_key", "", Lost, SHARDING),
        Row("checkout_failure_limit", "", Lost, "a client that waited in vain is disconnected"),
        Row("cleanup_server_connections", "true", Lost, "what is left behind is always removed"),
        Row("db_activity_based_routing", "false", Lost, READS),
        Row("db_activity_init_delay", "100", Lost, READS),
        Row("db_activity_ttl", "900", Lost, READS),
        Row("default_shard", "", Needless, "there is one shard"),
        Row("log_client_parameter_status_changes", "false", Lost, "they are not logged"),
        Row("plugins", "", Lost, "there are no plugins"),
        Row("prepared_statements_cache_size", "0", Needless, "1000 are kept in each server"),
        Row("primary_reads_enabled", "false", Lost, READS),
        Row("query_parser_enabled", "false", Lost, READS),
        Row("query_parser_max_length", "", Lost, READS),
        Row("query_parser_read_write_splitting", "false", Lost, READS),
        Row("regex_search_limit", "", Needless, "there is one shard"),
        Row("shard_id_regex", "", Lost, SHARDING),
        Row("sharding_function", "pg_bigint_hash", Needless, "there is one shard"),
        Row("sharding_key_regex", "", Lost, SHARDING),
        Row("table_mutation_cache_ms_ttl", "50", Lost, READS),
    ],
    carried: &[
        "auth_query",
        "auth_query_password",
        "auth_query_user",
        "connect_timeout",
        "default_role",
        "idle_timeout",
        "load_balancing_mode",
        "pool_mode",
        "server_lifetime",
        "shards",
        "users",
    ],
};

const USER: Known = Known {
    whose: "pgcat",
    rows: &[],
    carried: &[
        "auth_type",
        "connect_timeout",
        "idle_timeout",
        "min_pool_size",
        "password",
        "pool_mode",
        "pool_size",
        "server_lifetime",
        "server_password",
        "server_username",
        "statement_timeout",
        "username",
    ],
};

pub(super) fn convert(file: &Node, notes: &mut Notes) -> Section {
    let mut root = Section::root();
    let empty = Node { place: file.place.clone(), kind: super::tree::Kind::Table(Vec::new()) };
    let general = file.get("general").unwrap_or(&empty);
    pools::judge(&GENERAL, general, "", notes);
    for (key, value) in file.entries() {
        let why = match key.as_str() {
            "general" | "pools" => continue,
            "plugins" => "there are no plugins",
            _ => "no pgcat that is known has such a section",
        };
        notes.lost(&value.place, &format!("[{key}]"), why);
    }
    globals(general, &mut root);
    let mut databases = Vec::new();
    for (name, table) in pools::tables(file, &POOL, notes) {
        databases.push(Pool { name, table, general }.database(&mut root, notes));
    }
    databases.extend(pools::console(general, CONSOLES, &mut root));
    root.sections.extend(databases);
    root
}

fn globals(general: &Node, root: &mut Section) {
    pools::process(general, root);
    root.set("keepalive_usr_timeout", general.milliseconds("tcp_user_timeout").unwrap_or(10_000));
    root.set("backend_connect_timeout_ms", connect_ms(&[general]));
    if general.flag("dns_cache_enabled") == Some(true) {
        root.set("dns_cache_ttl", general.number("dns_max_ttl").unwrap_or(30).saturating_mul(1000));
    }
    if general.flag("enable_prometheus_exporter") == Some(true) {
        root.set(
            "promhttp_server_port",
            general.number("prometheus_exporter_port").unwrap_or(9930),
        );
    }
    let mut listen = pools::listen(general);
    if let (Some(cert), Some(key)) =
        (general.text("tls_certificate"), general.text("tls_private_key"))
    {
        listen.set("tls", "allow");
        listen.set("tls_cert_file", cert);
        listen.set("tls_key_file", key);
    }
    root.sections.push(listen);
}

fn connect_ms(tables: &[&Node]) -> i64 {
    let table = pools::nearest(tables, "connect_timeout");
    table.and_then(|table| table.milliseconds("connect_timeout")).unwrap_or(CONNECT_MS)
}

struct Pool<'a> {
    name: &'a str,
    table: &'a Node,
    general: &'a Node,
}

impl Pool<'_> {
    fn database(&self, root: &mut Section, notes: &mut Notes) -> Section {
        let title = format!("pool '{}'", self.name);
        let shards = self.table.get("shards").map(Node::items).unwrap_or_default();
        let [shard] = shards.as_slice() else {
            let why = "it has several shards (or none); queries are not read to find one. Nobody is \
                       let in";
            notes.lost(&self.table.place, &title, why);
            return pools::blocked(self.name, root);
        };
        if shard.get("mirrors").is_some() {
            notes.lost(&shard.place, &format!("mirrors of {title}"), "queries are sent once");
        }
        let Some(attrs) = self.storage(shard, root, notes) else {
            notes.lost(&shard.place, &title, "its servers cannot be read. Nobody is let in");
            return pools::blocked(self.name, root);
        };
        let mut database = Section::named("database", self.name);
        for (name, user) in pools::users(self.table, &title, &USER, notes) {
            let mut rule = Section::named("user", name);
            self.access(user, &mut rule, notes);
            self.rest(user, &mut rule, shard, notes);
            if let Some(attrs) = attrs {
                rule.set("target_session_attrs", attrs);
            }
            database.sections.push(rule);
        }
        if database.sections.is_empty() {
            return pools::blocked(self.name, root);
        }
        let asks = |rule: &Section| rule.settings.iter().any(|it| it.name == "auth_query");
        if database.sections.iter().any(asks)
            && let Some(table) = self.asked()
        {
            let text = |key| table.text(key);
            let user = text("auth_query_user").unwrap_or_default();
            let (own, password) = (shard.text("database"), text("auth_query_password"));
            database.sections.push(pools::asker(self.name, own, user, password));
        }
        database
    }

    /// The storage of the pool, and which of its servers are wanted.
    fn storage(
        &self,
        shard: &Node,
        root: &mut Section,
        notes: &mut Notes,
    ) -> Option<Option<&'static str>> {
        let mut hosts = Vec::new();
        let mut port = None;
        let mut roles = Vec::new();
        for server in shard.get("servers")?.items() {
            let fields = server.items();
            let [host, own_port, role] = fields.as_slice() else { return None };
            let (host, own_port) = (host.scalar()?, own_port.scalar()?.parse::<i64>().ok()?);
            port = port.or(Some(own_port));
            hosts.push(match host.contains(':') {
                true => format!("[{host}]:{own_port}"),
                false => format!("{host}:{own_port}"),
            });
            roles.push(role.scalar()?.to_ascii_lowercase());
        }
        let mut storage = Section::named("storage", self.name);
        storage.set("type", "remote");
        storage.set("host", hosts.join(","));
        storage.set("port", port?);
        if self.general.flag("server_tls") == Some(true) {
            let checked = self.general.flag("verify_server_certificate") == Some(true);
            storage.set("tls", if checked { "verify_full" } else { "prefer" });
        }
        let role = self.table.text("default_role").unwrap_or("any").to_ascii_lowercase();
        let attrs = match role.as_str() {
            _ if hosts.len() == 1 => None,
            "primary" => Some("read-write"),
            "replica" => Some("read-only"),
            _ => None,
        };
        if hosts.len() > 1 {
            let why = "the servers are asked which of them is the primary; the roles of the file \
                       are not used";
            notes.changed(&shard.place, &format!("servers of pool '{}'", self.name), why);
            if self.table.text("load_balancing_mode").unwrap_or("random") != "random" {
                let mut balancing = Section::plain("balancing");
                balancing.sections.push(Section::named("method", "leastconn"));
                storage.sections.push(balancing);
            }
        }
        root.sections.push(storage);
        Some(attrs)
    }

    /// The table that says how to ask for passwords.
    fn asked(&self) -> Option<&Node> {
        pools::nearest(&[self.table, self.general], "auth_query")
    }

    fn access(&self, user: &Node, rule: &mut Section, notes: &mut Notes) {
        let trusted = user.text("auth_type").is_some_and(|it| it.eq_ignore_ascii_case("trust"));
        match (user.text("password"), self.asked()) {
            _ if trusted => rule.set("authentication", "none"),
            (Some(password), _) => {
                rule.set("authentication", "md5");
                rule.set("password", password);
            }
            (None, Some(table)) => {
                rule.set("authentication", "md5");
                rule.set("auth_query", table.text("auth_query").unwrap_or_default());
                rule.set("auth_query_user", table.text("auth_query_user").unwrap_or_default());
                rule.set("auth_query_db", self.name);
            }
            (None, None) => {
                rule.set("authentication", "block");
                let subject = format!("user '{}'", user.text("username").unwrap_or_default());
                notes.changed(&user.place, &subject, "it has no password; it is not let in");
            }
        }
    }

    fn rest(&self, user: &Node, rule: &mut Section, shard: &Node, notes: &mut Notes) {
        let tables = [user, self.table, self.general];
        rule.set("storage", self.name);
        if let Some(database) = shard.text("database").filter(|name| *name != self.name) {
            rule.set("storage_db", database);
        }
        if let Some(name) = user.text("server_username") {
            rule.set("storage_user", name);
        }
        if let Some(password) = user.text("server_password").or(user.text("password")) {
            rule.set("storage_password", password);
        }
        let mode = user.text("pool_mode").or(self.table.text("pool_mode"));
        rule.set("pool", mode.unwrap_or("transaction").to_ascii_lowercase());
        rule.set("pool_size", user.number("pool_size").unwrap_or(0));
        if let Some(min) = user.number("min_pool_size") {
            rule.set("min_pool_size", min);
        }
        rule.set("pool_timeout", connect_ms(&tables));
        pools::lifetimes(&tables, LIFETIME_S, rule);
        let idle = self.general.seconds("idle_client_in_transaction_timeout").unwrap_or(0);
        if idle > 0 {
            rule.set("pool_idle_in_transaction_timeout", idle);
        }
        if let Some(timeout) = user.milliseconds("statement_timeout").filter(|timeout| *timeout > 0)
        {
            let why = "the server is asked to do it; clients may set another one";
            notes.changed(&user.place, "statement_timeout", why);
            let pairs = vec![("statement_timeout".to_owned(), format!("{timeout}ms"))];
            rule.set("options", Word::Pairs(pairs));
        }
    }
}
