//! Rules: each database with each user that is named, and with everybody else where PgBouncer lets
//! them in.

use super::access::{AuthType, Door};
use super::hba::{self, Way};
use super::limits::Limits;
use super::settings::number;
use super::storages::Storages;
use super::{Bouncer, Database, Notes, User};
use crate::draft::{Section, Word};
use crate::model::Name;

/// What goes into the draft behind the storages.
#[derive(Default)]
pub(super) struct Rules {
    pub shared_pools: Vec<Section>,
    pub databases: Vec<Section>,
}

/// A database as messages call it.
pub(super) fn title(name: &Name) -> String {
    match name {
        Name::Named(name) => format!("database '{name}'"),
        Name::Default => "database '*'".into(),
    }
}

/// The fallback comes last, as the eye expects it.
pub(super) fn write(bouncer: &Bouncer, storages: &mut Storages, notes: &mut Notes) -> Rules {
    let mut rules = Rules::default();
    let mut databases: Vec<&Database> = bouncer.databases.iter().collect();
    databases.sort_by_key(|database| database.name == Name::Default);
    let anybody =
        databases.iter().any(|it| it.name == Name::Default && lets_anybody_in(bouncer, it));
    for database in databases {
        let Some(storage) = storages.of(database, notes) else { continue };
        let block = Writer { bouncer, database, storage, notes }.database(anybody, &mut rules);
        rules.databases.push(block);
    }
    limits_of_users(bouncer, notes);
    rules
}

/// Rules for the pooler's own logins with `auth_query`, one for each database and user that are
/// asked; PgBouncer takes the password from the userlist.
pub(super) fn askers(bouncer: &Bouncer, databases: &mut Vec<Section>) {
    let mut asked: Vec<[String; 3]> = Vec::new();
    for rule in databases.iter().flat_map(|block| &block.sections) {
        let option = |name| {
            let found = rule.settings.iter().find(|setting| setting.name == name);
            found.and_then(|setting| match &setting.word {
                Word::Text(text) => Some(text.clone()),
                _ => None,
            })
        };
        let names = [option("auth_query_db"), option("auth_query_user"), option("storage")];
        if let [Some(database), Some(user), Some(storage)] = names
            && !asked.iter().any(|[known, other, _]| *known == database && *other == user)
        {
            asked.push([database, user, storage]);
        }
    }
    for [database, user, storage] in asked {
        let mut rule = Section::named("user", &user);
        rule.comments.push("For auth_query, not for clients.".into());
        rule.set("pool_routing", "internal");
        rule.set("authentication", "none");
        rule.set("storage", storage);
        rule.set("pool", "session");
        let known = bouncer.users.iter().find(|known| known.name == user);
        let secret = known.and_then(|known| known.secret.as_deref());
        if let Some(secret) = secret.filter(|secret| !secret.is_empty()) {
            rule.set("storage_password", secret);
        }
        let label = Some(Name::Named(database.clone()));
        match databases.iter_mut().find(|block| block.label == label) {
            Some(block) => block.sections.push(rule),
            None => {
                let mut block = Section::named("database", &database);
                block.sections.push(rule);
                databases.push(block);
            }
        }
    }
}

/// A configuration needs a rule; this one is nobody's.
pub(super) fn nobody(storages: &mut Storages) -> Section {
    let mut user = Section::default("user");
    user.set("authentication", "block");
    user.set("storage", storages.console());
    user.set("pool", "session");
    user.set("role", "notallow");
    let mut database = Section::default("database");
    database.comments.push("PgBouncer has no databases either; nobody is let in.".into());
    database.sections.push(user);
    database
}

fn lets_anybody_in(bouncer: &Bouncer, database: &Database) -> bool {
    let opens = |way: &Way| {
        let (mut rule, mut notes) = (Section::default("user"), Notes::default());
        Door { bouncer, database, kind: way.kind }.for_everybody(&mut rule, &mut notes)
    };
    hba::ways(bouncer, &database.name, None).iter().any(opens)
}

struct Writer<'a> {
    bouncer: &'a Bouncer,
    database: &'a Database,
    storage: String,
    notes: &'a mut Notes,
}

impl Writer<'_> {
    fn database(&mut self, anybody: bool, rules: &mut Rules) -> Section {
        let mut block = Section::new("database", Some(self.database.name.clone()));
        for user in &self.bouncer.users {
            // Nobody's name counts with `any`, unless it has settings of its own.
            let any = AuthType::of(&self.bouncer.settings) == AuthType::Any;
            if !any || user.pairs.keys().next().is_some() {
                self.rules(Some(user), &mut block);
            }
        }
        let named = block.sections.len();
        self.rules(None, &mut block);
        let everybody = block.sections.len() > named;
        if !everybody && (named == 0 || (anybody && self.database.name != Name::Default)) {
            // Else they would meet the rules of the fallback, and its servers.
            let mut rule = Section::default("user");
            self.block(&mut rule);
            block.sections.push(rule);
        }
        if block.sections.iter().all(blocks) {
            let why = "neither auth_file nor auth_user lets anybody in";
            self.notes.lost(&self.database.place, &title(&self.database.name), why);
        }
        self.sizes(&mut block, rules);
        block
    }

    /// A rule for each way in. A line of an HBA file that leads nowhere still ends the search.
    fn rules(&mut self, user: Option<&User>, block: &mut Section) {
        let (bouncer, database) = (self.bouncer, self.database);
        let ways = hba::ways(bouncer, &database.name, user.map(|user| user.name.as_str()));
        if ways.len() > 1 && user.is_some_and(|user| user.secret.is_some()) {
            let why = "each line that lets a user in gives it a pool of its own";
            self.notes.changed(&bouncer.settings.place("auth_hba_file"), "auth_hba_file", why);
        }
        for way in ways {
            let mut rule = match user {
                Some(user) => Section::named("user", &user.name),
                None => Section::default("user"),
            };
            (rule.address, rule.connection) = (way.address, way.connection);
            let door = Door { bouncer, database, kind: way.kind };
            let opens = match user {
                Some(user) => door.for_user(user, &mut rule, self.notes),
                None => door.for_everybody(&mut rule, self.notes),
            };
            if opens && !blocks(&rule) {
                self.rest(user, &mut rule);
            } else if opens || !bouncer.hba.is_empty() {
                rule.settings.clear();
                self.block(&mut rule);
            } else {
                continue;
            }
            block.sections.push(rule);
        }
    }

    fn block(&self, rule: &mut Section) {
        rule.set("authentication", "block");
        rule.set("storage", self.storage.as_str());
        rule.set("pool", "session");
    }

    fn rest(&mut self, user: Option<&User>, rule: &mut Section) {
        let pairs = &self.database.pairs;
        rule.set("storage", self.storage.as_str());
        let own = match &self.database.name {
            Name::Named(name) => Some(name.as_str()),
            Name::Default => None,
        };
        if let Some(name) = pairs.get("dbname").filter(|name| Some(*name) != own) {
            rule.set("storage_db", name);
        }
        if let Some(name) = pairs.get("user") {
            rule.set("storage_user", name);
            let listed = || {
                let known = self.bouncer.users.iter().find(|user| user.name == name);
                known.and_then(|user| user.secret.as_deref()).filter(|secret| !secret.is_empty())
            };
            if let Some(password) = pairs.get("password").or_else(listed) {
                rule.set("storage_password", password);
            }
        }
        let limits = Limits { bouncer: self.bouncer, database: self.database, user };
        limits.write(rule, self.notes);
        let startup: Vec<_> = ["application_name", "client_encoding", "datestyle", "timezone"]
            .into_iter()
            .filter_map(|key| Some((key.to_owned(), pairs.get(key)?.to_owned())))
            .collect();
        if !startup.is_empty() {
            rule.set("backend_startup_options", Word::Pairs(startup));
        }
        let size = limits.pool_size();
        rule.set("pool_size", size);
        let min = pairs.get("min_pool_size").and_then(number).filter(|min| *min >= 0);
        let min = min.unwrap_or_else(|| self.bouncer.settings.number("min_pool_size", 0));
        if min > 0 && user.is_some() && own.is_some() {
            rule.set("min_pool_size", if size > 0 { min.min(size) } else { min });
        }
    }

    /// One pool for all users where PgBouncer has one: they share it. The same is done for a limit
    /// of the whole database.
    fn sizes(&mut self, block: &mut Section, rules: &mut Rules) {
        let Name::Named(name) = &self.database.name else {
            return self.fallback_sizes();
        };
        let limits = Limits { bouncer: self.bouncer, database: self.database, user: None };
        let forced = self.database.pairs.get("user").is_some();
        let most = limits.max_db_connections();
        let budget = match (forced, most) {
            (true, most) if most > 0 => most.min(limits.pool_size()),
            (true, _) => limits.pool_size(),
            (false, most) => most,
        };
        if budget <= 0 {
            return;
        }
        let served = |rule: &&mut Section| has(rule, "pool_size");
        if block.sections.iter_mut().filter(served).count() == 1 && has_no_default(block) {
            for setting in block.sections.iter_mut().flat_map(|rule| &mut rule.settings) {
                if let ("pool_size", Word::Number(size)) =
                    (setting.name.as_str(), &mut setting.word)
                {
                    *size = if *size > 0 { budget.min(*size) } else { budget };
                }
            }
            return;
        }
        for rule in block.sections.iter_mut().filter(|rule| has(rule, "pool_size")) {
            rule.settings.retain(|it| it.name != "pool_size" && it.name != "min_pool_size");
            rule.set("shared_pool", name.as_str());
        }
        let mut pool = Section::named("shared_pool", name);
        pool.set("pool_size", budget);
        rules.shared_pools.push(pool);
        let why = if forced {
            "its users share one pool, as before; min_pool_size does not go with that"
        } else {
            "the limit of the whole database takes the place of each user's pool_size"
        };
        self.notes.changed(&self.database.place, &title(&self.database.name), why);
    }

    fn fallback_sizes(&mut self) {
        let limits = Limits { bouncer: self.bouncer, database: self.database, user: None };
        if limits.max_db_connections() > 0 || self.database.pairs.get("user").is_some() {
            let why = "each user of each database that it stands for has a pool of its own";
            self.notes.changed(&self.database.place, &title(&self.database.name), why);
        }
    }
}

fn blocks(rule: &Section) -> bool {
    let block = Word::from("block");
    rule.settings.iter().any(|it| it.name == "authentication" && it.word == block)
}

fn has(rule: &Section, option: &str) -> bool {
    rule.settings.iter().any(|setting| setting.name == option)
}

/// Without a rule for everybody there are no other routes.
fn has_no_default(block: &Section) -> bool {
    !block.sections.iter().any(|rule| rule.label == Some(Name::Default) && has(rule, "pool_size"))
}

fn limits_of_users(bouncer: &Bouncer, notes: &mut Notes) {
    let why = "servers are counted by route, not by user; a shared_pool in this user's rules does \
               it";
    if bouncer.settings.number("max_user_connections", 0) > 0 {
        let place = bouncer.settings.place("max_user_connections");
        notes.lost(&place, "max_user_connections", why);
    }
    for user in &bouncer.users {
        if user.pairs.get("max_user_connections").and_then(number).is_some_and(|max| max > 0) {
            notes.lost(&user.place, &format!("max_user_connections of user '{}'", user.name), why);
        }
    }
}
