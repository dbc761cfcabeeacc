//! pgdog.toml with the users.toml beside it. Databases of one shard are carried over; with several,
//! and between a primary and its replicas, PgDog reads queries to find the server, and nothing here
//! does.

mod known;
#[cfg(test)]
mod tests;

use super::notes::Notes;
use super::pools;
use super::tree::Node;
use crate::draft::{Section, Word};

const HOST: &str = "0.0.0.0"; // these are PgDog's defaults
const PORT: i64 = 6432;
const SERVER_PORT: i64 = 5432;
const WORKERS: i64 = 2;
const POOL_SIZE: i64 = 10;
const MIN_POOL_SIZE: i64 = 1;
const CONNECT_MS: i64 = 5000;
const CHECKOUT_MS: i64 = 5000;
const IDLE_S: i64 = 60;
const LIFETIME_S: i64 = 86_400;
const LOGIN_MS: i64 = 60_000;
const SHUTDOWN_MS: i64 = 60_000;
const OPERATOR: &str = "admin"; // user and database

pub(super) fn convert(file: &Node, users: &Node, notes: &mut Notes) -> Section {
    let mut root = Section::root();
    let empty = Node { place: file.place.clone(), kind: super::tree::Kind::Table(Vec::new()) };
    let general = file.get("general").unwrap_or(&empty);
    pools::judge(&known::GENERAL, general, "", notes);
    known::judge_sections(file, users, notes);
    process(general, file.get("tcp").unwrap_or(&empty), &mut root);
    root.sections.push(listen(general));
    let clusters = clusters(file, notes);
    let mut databases = Vec::new();
    for cluster in &clusters {
        databases.push(cluster.database(users, general, &mut root, notes));
    }
    databases.extend(console(file, users, &mut root, notes));
    root.sections.extend(databases);
    root
}

fn process(general: &Node, tcp: &Node, root: &mut Section) {
    let is_json = general.text("log_format").is_some_and(|format| format.starts_with("json"));
    root.set("log_format", if is_json { "json" } else { pools::LOG_FORMAT });
    let logs = |key| general.flag(key).unwrap_or(true);
    root.set("log_session", logs("log_connections") || logs("log_disconnections"));
    root.set("log_query", general.flag("query_log_stdout") == Some(true));
    root.set("workers", general.number("workers").unwrap_or(WORKERS).max(1));
    let shutdown = general.milliseconds("shutdown_timeout").unwrap_or(SHUTDOWN_MS);
    root.set("graceful_shutdown_timeout_ms", shutdown);
    let connect = general.milliseconds("connect_timeout").unwrap_or(CONNECT_MS);
    root.set("backend_connect_timeout_ms", connect);
    if let Some(ttl) = general.milliseconds("dns_ttl") {
        root.set("dns_cache_ttl", ttl);
    }
    if let Some(port) = general.number("openmetrics_port") {
        root.set("promhttp_server_port", port);
    }
    if tcp.flag("keepalive") == Some(false) {
        root.set("keepalive", 0);
        return;
    }
    for (theirs, ours) in [("time", "keepalive"), ("interval", "keepalive_keep_interval")] {
        if let Some(seconds) = tcp.seconds(theirs) {
            root.set(ours, seconds);
        }
    }
    if let Some(probes) = tcp.number("retries") {
        root.set("keepalive_probes", probes);
    }
    if let Some(timeout) = tcp.milliseconds("user_timeout") {
        root.set("keepalive_usr_timeout", timeout);
    }
}

fn listen(general: &Node) -> Section {
    let mut listen = Section::plain("listen");
    listen.set("host", general.text("host").unwrap_or(HOST));
    listen.set("port", general.number("port").unwrap_or(PORT));
    let login = general.milliseconds("client_login_timeout").unwrap_or(LOGIN_MS);
    listen.set("client_login_timeout", login);
    let pair = general.text("tls_certificate").zip(general.text("tls_private_key"));
    if let Some((certificate, key)) = pair {
        let authorities = general.text("tls_client_ca_certificate");
        let mode = match general.flag("tls_client_required") {
            _ if authorities.is_some() => "verify_ca",
            Some(true) => "require",
            _ => "allow",
        };
        listen.set("tls", mode);
        listen.set("tls_cert_file", certificate);
        listen.set("tls_key_file", key);
        if let Some(authorities) = authorities {
            listen.set("tls_ca_file", authorities);
        }
    }
    listen
}

fn console(file: &Node, users: &Node, root: &mut Section, notes: &mut Notes) -> Vec<Section> {
    // users.toml has the last word.
    let admin = users.get("admin").or_else(|| file.get("admin"));
    let text = |key| admin.and_then(|admin| admin.text(key));
    let (user, name) = (text("user").unwrap_or(OPERATOR), text("name").unwrap_or(OPERATOR));
    let Some(password) = text("password") else {
        let why = "without a password it gets a new one at each start there, and is left out here";
        notes.lost(&admin.unwrap_or(file).place, "[admin]", why);
        return Vec::new();
    };
    pools::console_of(user, password, &[name, "pgbouncer"], root)
}

/// The servers that clients know by one name.
struct Cluster<'a> {
    name: &'a str,
    servers: Vec<&'a Node>,
}

/// In the order of the file.
fn clusters<'a>(file: &'a Node, notes: &mut Notes) -> Vec<Cluster<'a>> {
    let mut clusters: Vec<Cluster<'a>> = Vec::new();
    for server in file.get("databases").map(Node::items).unwrap_or_default() {
        let Some(name) = server.text("name") else {
            notes.lost(&server.place, "[[databases]]", "it has no name");
            continue;
        };
        pools::judge(&known::DATABASE, server, &format!("database '{name}'"), notes);
        match clusters.iter_mut().find(|cluster| cluster.name == name) {
            Some(cluster) => cluster.servers.push(server),
            None => clusters.push(Cluster { name, servers: vec![server] }),
        }
    }
    clusters
}

impl Cluster<'_> {
    fn database(
        &self,
        users: &Node,
        general: &Node,
        root: &mut Section,
        notes: &mut Notes,
    ) -> Section {
        let (title, first) = (format!("database '{}'", self.name), self.servers[0]);
        let shard = |server: &Node| server.number("shard").unwrap_or(0);
        if self.servers.iter().any(|server| shard(server) != shard(first)) {
            let why = "it has several shards; queries are not read to find one. Nobody is let in";
            notes.lost(&first.place, &title, why);
            return pools::blocked(self.name, root);
        }
        let Some(storage) = self.storage(general) else {
            notes.lost(&first.place, &title, "a server of it has no host. Nobody is let in");
            return pools::blocked(self.name, root);
        };
        root.sections.push(storage);
        let attrs = self.wanted(notes);
        let mut database = Section::named("database", self.name);
        for user in users.get("users").map(Node::items).unwrap_or_default() {
            let Some(name) = user.text("name").filter(|_| self.admits(user)) else { continue };
            pools::judge(&known::USER, user, &format!("user '{name}' of {title}"), notes);
            let mut rule = Section::named("user", name);
            self.access(user, general, &mut rule, notes);
            self.rest(user, general, &mut rule, notes);
            if let Some(attrs) = attrs {
                rule.set("target_session_attrs", attrs);
            }
            database.sections.push(rule);
        }
        if database.sections.is_empty() {
            return pools::blocked(self.name, root);
        }
        database
    }

    fn admits(&self, user: &Node) -> bool {
        let listed = user.get("databases").map(Node::items).unwrap_or_default();
        user.flag("all_databases") == Some(true)
            || user.text("database") == Some(self.name)
            || listed.iter().any(|name| name.scalar() == Some(self.name))
    }

    fn storage(&self, general: &Node) -> Option<Section> {
        let mut storage = Section::named("storage", self.name);
        let port = |server: &Node| server.number("port").unwrap_or(SERVER_PORT);
        let host = |server: &&Node| {
            let host = server.text("host")?;
            Some(match host.contains(':') {
                true => format!("[{host}]:{}", port(server)),
                false => format!("{host}:{}", port(server)),
            })
        };
        let hosts = self.servers.iter().map(host).collect::<Option<Vec<_>>>()?;
        storage.set("type", "remote");
        storage.set("host", hosts.join(","));
        storage.set("port", port(self.servers[0]));
        let mode = general.text("tls_verify").unwrap_or("prefer");
        storage.set("tls", if mode == "disabled" { "disable" } else { mode });
        for (theirs, ours) in [
            ("tls_server_ca_certificate", "tls_ca_file"),
            ("tls_server_certificate", "tls_cert_file"),
            ("tls_server_private_key", "tls_key_file"),
        ] {
            if let Some(path) = general.text(theirs) {
                storage.set(ours, path);
            }
        }
        let strategy = general.text("load_balancing_strategy").unwrap_or_default();
        if self.servers.len() > 1 && strategy.starts_with("least") {
            let mut balancing = Section::plain("balancing");
            balancing.sections.push(Section::named("method", "leastconn"));
            storage.sections.push(balancing);
        }
        Some(storage)
    }

    /// Which of several servers its clients are to reach.
    fn wanted(&self, notes: &mut Notes) -> Option<&'static str> {
        let role = |server: &&&Node| server.text("role").unwrap_or("primary") != "replica";
        if self.servers.len() == 1 || self.servers.iter().find(role).is_none() {
            return None;
        }
        let why = "queries are not read to tell reads from writes: all go to the primary, which is \
                   found by asking. Who says target_session_attrs=prefer-standby reaches the others";
        notes.changed(&self.servers[0].place, &format!("database '{}'", self.name), why);
        Some("read-write")
    }

    fn access(&self, user: &Node, general: &Node, rule: &mut Section, notes: &mut Notes) {
        let title = format!("user '{}'", user.text("name").unwrap_or_default());
        let several = user.get("passwords").map(Node::items).unwrap_or_default();
        let first = several.first().and_then(|first| first.scalar());
        let password = user.text("password").or(first);
        let other = several.iter().any(|other| other.scalar() != password);
        let method = match general.text("auth_type").unwrap_or("scram") {
            "trust" => "none",
            "md5" => "md5",
            "plain" => "clear_text",
            _ => "scram-sha-256",
        };
        match user.text("password_hash").or(password) {
            _ if method == "none" => rule.set("authentication", method),
            Some(secret) => {
                if other {
                    notes.changed(&user.place, &title, "the first of its passwords counts");
                }
                rule.set("authentication", method);
                rule.set("password", secret);
            }
            None => {
                notes.changed(&user.place, &title, "it has no password; it is not let in");
                rule.set("authentication", "block");
            }
        }
        // The database's login is all its users'.
        let server = self.servers[0];
        if let Some(name) = server.text("user").or(user.text("server_user")) {
            rule.set("storage_user", name);
        }
        let shown = server.text("password").or(user.text("server_password")).or(password);
        let is_fetched = user.text("server_auth").is_some_and(|kind| kind != "password");
        if let Some(password) = shown.filter(|_| !is_fetched) {
            rule.set("storage_password", password);
        }
    }

    fn rest(&self, user: &Node, general: &Node, rule: &mut Section, notes: &mut Notes) {
        let server = self.servers[0];
        let tables = [user, server, general];
        let own = [user, server];
        rule.set("storage", self.name);
        if let Some(name) = server.text("database_name").filter(|name| *name != self.name) {
            rule.set("storage_db", name);
        }
        let mode = pools::nearest(&tables, "pooler_mode").and_then(|it| it.text("pooler_mode"));
        rule.set("pool", mode.unwrap_or("transaction"));
        let number = |tables: &[&Node], key: &str| {
            pools::nearest(tables, key).and_then(|table| table.number(key))
        };
        let size = number(&own, "pool_size").or(general.number("default_pool_size"));
        rule.set("pool_size", size.unwrap_or(POOL_SIZE));
        if rule.settings.iter().any(|it| it.name == "storage_password") {
            rule.set("min_pool_size", number(&tables, "min_pool_size").unwrap_or(MIN_POOL_SIZE));
        }
        let wait = general.milliseconds("checkout_timeout").unwrap_or(CHECKOUT_MS);
        rule.set("pool_timeout", wait);
        let seconds = |tables: &[&Node], key: &str| {
            pools::nearest(tables, key).and_then(|table| table.seconds(key))
        };
        rule.set("pool_ttl", seconds(&tables, "idle_timeout").unwrap_or(IDLE_S));
        rule.set("server_lifetime", seconds(&tables, "server_lifetime").unwrap_or(LIFETIME_S));
        for (theirs, ours) in [
            ("client_idle_timeout", "pool_client_idle_timeout"),
            ("client_idle_in_transaction_timeout", "pool_idle_in_transaction_timeout"),
        ] {
            if let Some(timeout) = general.seconds(theirs).filter(|it| *it < LIFETIME_S * 365) {
                rule.set(ours, timeout);
            }
        }
        if general.text("prepared_statements") == Some("disabled") {
            rule.set("pool_reserve_prepared_statement", false);
        }
        self.options(user, rule, notes);
    }

    /// What every server of the user has set.
    fn options(&self, user: &Node, rule: &mut Section, notes: &mut Notes) {
        let own = [user, self.servers[0]];
        let mut pairs = Vec::new();
        for key in ["statement_timeout", "lock_timeout"] {
            let table = pools::nearest(&own, key);
            if let Some(timeout) = table.and_then(|table| table.milliseconds(key)) {
                pairs.push((key.to_owned(), format!("{timeout}ms")));
            }
        }
        if pools::nearest(&own, "read_only").and_then(|table| table.flag("read_only")) == Some(true)
        {
            pairs.push(("default_transaction_read_only".to_owned(), "on".to_owned()));
        }
        if !pairs.is_empty() {
            let names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
            let why = "the server is asked to do it; clients may set something else";
            notes.changed(&user.place, &names.join(", "), why);
            rule.set("options", Word::Pairs(pairs));
        }
    }
}
