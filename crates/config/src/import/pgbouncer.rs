//! pgbouncer.ini and its userlist, as a draft of ours. Where PgBouncer's default differs from ours,
//! the draft says PgBouncer's: its clients shall notice nothing.

mod access;
mod console;
mod globals;
mod hba;
mod limits;
mod rules;
mod settings;
mod storages;

use crate::diagnostic::Place;
use crate::draft::Section;
use crate::model::Name;

use super::ini::Entry;
use super::notes::Notes;
use super::pairs::Pairs;
use super::{Reader, place, userlist};
use settings::Settings;
use storages::Storages;

/// What the files say, before it is said in our words.
struct Bouncer {
    settings: Settings,
    databases: Vec<Database>,
    users: Vec<User>,
    /// Of `auth_hba_file`; none where that is not used, or cannot be.
    hba: Vec<hba::Line>,
}

/// A line of `[databases]`; `*` is the default.
struct Database {
    name: Name,
    pairs: Pairs,
    place: Place,
}

/// Somebody who is named: in the userlist, in `[users]`, or in both.
struct User {
    name: String,
    /// None: only the database knows it.
    secret: Option<String>,
    /// Of `[users]`.
    pairs: Pairs,
    place: Place,
}

pub(super) fn convert(entries: Vec<Entry>, reader: Reader<'_>, notes: &mut Notes) -> Section {
    let bouncer = Bouncer::sorted(entries, reader, notes);
    let mut root = Section::root();
    let mut storages = Storages::default();
    globals::write(&bouncer.settings, &mut root, notes);
    if !bouncer.hba.is_empty() {
        root.set_noted("sequential_routing", true, "as lines of the HBA file follow each other");
    }
    let rules = rules::write(&bouncer, &mut storages, notes);
    let console = console::write(&bouncer, &mut storages, notes);
    let mut databases = rules.databases;
    rules::askers(&bouncer, &mut databases);
    databases.extend(console);
    if databases.is_empty() {
        databases.push(rules::nobody(&mut storages));
    }
    root.sections.extend(storages.write(&bouncer.settings, notes));
    root.sections.extend(rules.shared_pools);
    root.sections.extend(databases);
    root
}

impl Bouncer {
    fn sorted(entries: Vec<Entry>, reader: Reader<'_>, notes: &mut Notes) -> Bouncer {
        let mut bouncer = Bouncer {
            settings: Settings::default(),
            databases: Vec::new(),
            users: Vec::new(),
            hba: Vec::new(),
        };
        for entry in entries {
            match entry.section.as_str() {
                "pgbouncer" => bouncer.settings.add(entry),
                "databases" => bouncer.database(entry, notes),
                "users" => bouncer.user(entry, notes),
                "peers" => notes.add(
                    &entry.place,
                    "[peers]",
                    super::Fate::Needless,
                    "one process uses all processors, so there are no peers".into(),
                ),
                other => {
                    let why = "PgBouncer knows no such section";
                    notes.lost(&entry.place, &format!("[{other}]"), why);
                }
            }
        }
        bouncer.settings.judge(notes);
        bouncer.userlist(reader, notes);
        hba::read(&mut bouncer, reader, notes);
        bouncer
    }

    fn database(&mut self, entry: Entry, notes: &mut Notes) {
        let name = match entry.key.as_str() {
            "*" => Name::Default,
            name => Name::Named(name.to_owned()),
        };
        let subject = format!("database '{}'", entry.key);
        let Some(pairs) = Pairs::read(&entry.value) else {
            return notes.lost(&entry.place, &subject, "PgBouncer would not read this line");
        };
        settings::judge_database(&pairs, &entry.place, &subject, notes);
        self.databases.retain(|other| other.name != name);
        self.databases.push(Database { name, pairs, place: entry.place });
    }

    fn user(&mut self, entry: Entry, notes: &mut Notes) {
        let subject = format!("user '{}'", entry.key);
        let Some(pairs) = Pairs::read(&entry.value) else {
            return notes.lost(&entry.place, &subject, "PgBouncer would not read this line");
        };
        settings::judge_user(&pairs, &entry.place, &subject, notes);
        self.users.retain(|other| other.name != entry.key);
        self.users.push(User { name: entry.key, secret: None, pairs, place: entry.place });
    }

    /// Those of the file come first, in its order.
    fn userlist(&mut self, reader: Reader<'_>, notes: &mut Notes) {
        let Some((path, here)) = self.settings.found("auth_file") else { return };
        let text = match reader(&path) {
            Ok(text) => text,
            Err(error) => {
                let why = format!("'{path}' cannot be read ({error}): its users are missing here");
                return notes.lost(&here, "auth_file", why);
            }
        };
        let (listed, broken) = userlist::read(&text);
        if let Some(line) = broken {
            let why = "the line is broken; PgBouncer reads nothing behind it, nor does this";
            notes.lost(&place(&path, line), "auth_file", why);
        }
        let mut users = Vec::new();
        for user in listed {
            let at = self.users.iter().position(|other| other.name == user.name);
            let known = at.map(|at| self.users.remove(at));
            let (pairs, there) = match known {
                Some(known) => (known.pairs, known.place),
                None => (Pairs::default(), place(&path, 0)),
            };
            users.push(User { name: user.name, secret: Some(user.secret), pairs, place: there });
        }
        users.append(&mut self.users);
        self.users = users;
    }
}

#[cfg(test)]
mod tests;
