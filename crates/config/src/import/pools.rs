//! What pgcat and pg_doorman have in common: `[general]`, pools by name, users inside, times in
//! milliseconds, and consoles with one user; some of it is PgDog's, too.

use super::known::Known;
use super::notes::Notes;
use super::tree::Node;
use crate::draft::Section;

pub(super) const LOG_FORMAT: &str = r"%p %t %l [%i %s] (%c) %m\n";
const CONSOLE: &str = "console";
const HOST: &str = "0.0.0.0"; // these two are the default of both
const PORT: i64 = 5432;
const IDLE_S: i64 = 600; // of both, too

/// Options of the process that both have.
pub(super) fn process(general: &Node, root: &mut Section) {
    root.set("log_format", LOG_FORMAT);
    let logs = |key| general.flag(key).unwrap_or(false);
    root.set("log_session", logs("log_client_connections") || logs("log_client_disconnections"));
    root.set("workers", general.number("worker_threads").unwrap_or(4)); // the default of both
    for (theirs, ours) in [
        ("tcp_keepalives_idle", "keepalive"),
        ("tcp_keepalives_interval", "keepalive_keep_interval"),
        ("tcp_keepalives_count", "keepalive_probes"),
    ] {
        root.set(ours, general.number(theirs).unwrap_or(5));
    }
    if let Some(timeout) = general.milliseconds("shutdown_timeout") {
        root.set("graceful_shutdown_timeout_ms", timeout);
    }
}

/// The TCP listener, without TLS.
pub(super) fn listen(general: &Node) -> Section {
    let mut listen = Section::plain("listen");
    listen.set("host", general.text("host").unwrap_or(HOST));
    listen.set("port", general.number("port").unwrap_or(PORT));
    listen
}

/// How the console is reached: its storage, and a database for each of its names.
pub(super) fn console(general: &Node, names: &[&str], root: &mut Section) -> Vec<Section> {
    let (user, password) = (general.text("admin_username"), general.text("admin_password"));
    let Some((user, password)) = user.zip(password) else { return Vec::new() };
    console_of(user, password, names, root)
}

/// The same, of an operator that is known.
pub(super) fn console_of(
    user: &str,
    password: &str,
    names: &[&str],
    root: &mut Section,
) -> Vec<Section> {
    console_storage(root);
    let database = |name: &&str| {
        let mut rule = Section::named("user", user);
        rule.set("authentication", "md5");
        rule.set("password", password);
        rule.set("role", "admin");
        rule.set("storage", CONSOLE);
        rule.set("pool", "session");
        let mut database = Section::named("database", name);
        database.sections.push(rule);
        database
    };
    names.iter().map(database).collect()
}

/// A pool that cannot be ours lets nobody in.
pub(super) fn blocked(name: &str, root: &mut Section) -> Section {
    console_storage(root);
    let mut rule = Section::default("user");
    rule.set("authentication", "block");
    rule.set("role", "notallow");
    rule.set("storage", CONSOLE);
    rule.set("pool", "session");
    let mut database = Section::named("database", name);
    database.sections.push(rule);
    database
}

fn console_storage(root: &mut Section) {
    let console = Section::named("storage", CONSOLE);
    let known = |it: &Section| it.keyword == console.keyword && it.label == console.label;
    if !root.sections.iter().any(known) {
        let mut storage = console;
        storage.set("type", "local");
        root.sections.push(storage);
    }
}

/// A rule for the pooler's own logins with `auth_query`, in the block of the pool.
pub(super) fn asker(
    pool: &str,
    database: Option<&str>,
    user: &str,
    password: Option<&str>,
) -> Section {
    let mut rule = Section::named("user", user);
    rule.comments.push("For auth_query, not for clients.".into());
    rule.set("pool_routing", "internal");
    rule.set("authentication", "none");
    rule.set("storage", pool);
    if let Some(database) = database.filter(|database| *database != pool) {
        rule.set("storage_db", database);
    }
    if let Some(password) = password {
        rule.set("storage_password", password);
    }
    rule.set("pool", "session");
    rule
}

/// A secret by its kind.
pub(super) fn method(secret: &str) -> &'static str {
    if secret.starts_with("SCRAM-SHA-256$") { "scram-sha-256" } else { "md5" }
}

/// The first of the tables that has the option; `0` of a pool counts.
pub(super) fn nearest<'a>(tables: &[&'a Node], key: &str) -> Option<&'a Node> {
    tables.iter().find(|table| table.get(key).is_some()).copied()
}

/// The tables of `[pools]`, with their names; their options are judged.
pub(super) fn tables<'a>(file: &'a Node, known: &Known, notes: &mut Notes) -> &'a [(String, Node)] {
    let tables = file.get("pools").map(Node::entries).unwrap_or_default();
    for (name, table) in tables {
        judge(known, table, &format!("pool '{name}'"), notes);
    }
    tables
}

/// The users of a pool that have a name, with it; their options are judged.
pub(super) fn users<'a>(
    pool: &'a Node,
    title: &str,
    known: &Known,
    notes: &mut Notes,
) -> Vec<(&'a str, &'a Node)> {
    let users = pool.get("users").map(Node::items).unwrap_or_default().into_iter();
    let named: Vec<_> = users.filter_map(|user| Some((user.text("username")?, user))).collect();
    for (name, user) in &named {
        judge(known, user, &format!("user '{name}' of {title}"), notes);
    }
    named
}

/// How long servers live, by the first of the tables that says it.
pub(super) fn lifetimes(tables: &[&Node], lifetime_s: i64, rule: &mut Section) {
    let seconds = |key| nearest(tables, key).and_then(|table| table.seconds(key));
    rule.set("pool_ttl", seconds("idle_timeout").unwrap_or(IDLE_S));
    rule.set("server_lifetime", seconds("server_lifetime").unwrap_or(lifetime_s));
}

/// Notes all keys of a table by its list of known ones.
pub(super) fn judge(known: &Known, table: &Node, title: &str, notes: &mut Notes) {
    for (key, value) in table.entries() {
        let Some((fate, why)) = known.fate(key, value.scalar().unwrap_or("-")) else { continue };
        let subject = if title.is_empty() { key.clone() } else { format!("{key} of {title}") };
        notes.add(&value.place, &subject, fate, why);
    }
}
