//! How many servers and clients, and for how long: PgBouncer looks at the user first, then at the
//! database, then at the whole.

use super::settings::{milliseconds, number};
use super::{Bouncer, Database, Notes, User};
use crate::draft::{Section, Word};

const POOL_SIZE: i64 = 20; // these are PgBouncer's defaults
const QUERY_WAIT_MS: i64 = 120_000;
const SERVER_IDLE_S: i64 = 600;
const SERVER_LIFETIME_S: i64 = 3600; // ours too

/// One rule's view of the settings.
#[derive(Clone, Copy)]
pub(super) struct Limits<'a> {
    pub bouncer: &'a Bouncer,
    pub database: &'a Database,
    pub user: Option<&'a User>,
}

impl<'a> Limits<'a> {
    fn of_user(&self, key: &str) -> Option<&'a str> {
        self.user.and_then(|user| user.pairs.get(key))
    }

    /// As whom the pool's servers are logged in, if that one has settings: a user that is forced on
    /// a database brings its pool's size and mode along.
    fn of_pool(&self, key: &str) -> Option<&'a str> {
        let forced = self.database.pairs.get("user");
        let user = match forced {
            Some(name) => self.bouncer.users.iter().find(|user| user.name == name),
            None => self.user,
        };
        user.and_then(|user| user.pairs.get(key)).or(self.database.pairs.get(key))
    }

    /// The most specific one.
    fn nearest(&self, key: &str) -> Option<&'a str> {
        let own = self.of_user(key).or(self.database.pairs.get(key));
        own.or(self.bouncer.settings.text(key))
    }

    /// `pool_size` of -1 is none.
    pub fn pool_size(&self) -> i64 {
        let own = self.of_pool("pool_size").and_then(number).filter(|size| *size >= 0);
        own.unwrap_or_else(|| self.bouncer.settings.number("default_pool_size", POOL_SIZE))
    }

    pub fn pool_mode(&self) -> String {
        let whole = || self.bouncer.settings.text("pool_mode");
        self.of_pool("pool_mode").or_else(whole).unwrap_or("session").to_ascii_lowercase()
    }

    /// 0 is no limit.
    pub fn max_db_connections(&self) -> i64 {
        let own = self.database.pairs.get("max_db_connections").and_then(number);
        own.filter(|limit| *limit >= 0)
            .unwrap_or_else(|| self.bouncer.settings.number("max_db_connections", 0))
    }

    /// Everything but how many servers.
    pub fn write(&self, rule: &mut Section, notes: &mut Notes) {
        let mode = self.pool_mode();
        rule.set("pool", mode.as_str());
        self.waits(rule);
        self.servers(rule, notes);
        self.resets(&mode, rule, notes);
        self.clients(&mode, rule, notes);
    }

    fn waits(&self, rule: &mut Section) {
        let wait = self.nearest("query_wait_timeout");
        rule.set("pool_timeout", wait.and_then(milliseconds).unwrap_or(QUERY_WAIT_MS));
        let notify = self.bouncer.settings.milliseconds("query_wait_notify");
        if let Some(notify) = notify.filter(|notify| *notify > 0) {
            rule.set("pool_notice_after_waiting_ms", notify);
        }
    }

    fn servers(&self, rule: &mut Section, notes: &mut Notes) {
        let settings = &self.bouncer.settings;
        rule.set("pool_ttl", settings.seconds("server_idle_timeout").unwrap_or(SERVER_IDLE_S));
        let own = self.database.pairs.get("server_lifetime").and_then(number);
        let lifetime = own.or(settings.seconds("server_lifetime")).unwrap_or(SERVER_LIFETIME_S);
        if lifetime == 0 {
            let why = "0 closed a server after one use; here it would mean never, so it is 1 s";
            notes.changed(&settings.place("server_lifetime"), "server_lifetime", why);
        }
        if lifetime != SERVER_LIFETIME_S {
            rule.set("server_lifetime", lifetime.max(1));
        }
    }

    /// PgBouncer resets servers of session pools only, unless it is told otherwise.
    fn resets(&self, mode: &str, rule: &mut Section, notes: &mut Notes) {
        let settings = &self.bouncer.settings;
        let query = settings.written("server_reset_query").unwrap_or("DISCARD ALL");
        let query = query.trim_end_matches(';').trim();
        let always = settings.flag("server_reset_query_always", false);
        if mode == "session" {
            match query {
                "" => rule.set("pool_discard", false),
                query if query.eq_ignore_ascii_case("discard all") => {}
                _ => {
                    rule.set("pool_discard", false);
                    rule.set("pool_discard_query", query);
                }
            }
        } else if always && !query.is_empty() {
            let why = "outside of session pools, pool_session_state reset removes what a client \
                       left; its settings and prepared statements stay its own";
            let place = settings.place("server_reset_query_always");
            notes.changed(&place, "server_reset_query_always", why);
            rule.set("pool_session_state", "reset");
        }
    }

    fn clients(&self, mode: &str, rule: &mut Section, notes: &mut Notes) {
        let settings = &self.bouncer.settings;
        let limit = |key| self.nearest(key).and_then(milliseconds).filter(|it| *it > 0);
        let seconds = |number: i64| (number + 999) / 1000;
        if let Some(idle) = limit("idle_transaction_timeout") {
            rule.set("pool_idle_in_transaction_timeout", seconds(idle));
        }
        match limit("client_idle_timeout") {
            Some(idle) if mode == "session" => rule.set("pool_client_idle_timeout", seconds(idle)),
            Some(_) => {
                let why = "clients that have no server may stay as long as they like";
                notes.lost(&settings.place("client_idle_timeout"), "client_idle_timeout", why);
            }
            None => {}
        }
        self.client_max(rule, notes);
        if settings.flag("application_name_add_host", false) {
            rule.set("application_name_add_host", true);
        }
        if let Some(timeout) = limit("query_timeout") {
            let pairs = vec![("statement_timeout".to_owned(), format!("{timeout}ms"))];
            rule.set("options", Word::Pairs(pairs));
        }
    }

    fn client_max(&self, rule: &mut Section, notes: &mut Notes) {
        let settings = &self.bouncer.settings;
        let user = self.of_user("max_user_client_connections").and_then(number);
        let user = user.unwrap_or_else(|| settings.number("max_user_client_connections", 0));
        let database = self.database.pairs.get("max_db_client_connections").and_then(number);
        let database = database.unwrap_or_else(|| settings.number("max_db_client_connections", 0));
        let limits = [user, database].into_iter().filter(|limit| *limit > 0);
        if let Some(limit) = limits.min() {
            let why = "client_max counts each user of each database by itself";
            let subject = "max_db_client_connections, max_user_client_connections";
            notes.changed(&settings.place("max_db_client_connections"), subject, why);
            rule.set("client_max", limit);
        }
    }
}
