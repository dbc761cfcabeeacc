//! Where servers are: one storage for each different address in `[databases]`.

use super::globals::{socket_dir, tls};
use super::settings::Settings;
use super::{Database, Notes};
use crate::draft::Section;

const PORT: &str = "5432"; // PgBouncer's default
const CONSOLE: &str = "console";

/// The storages so far.
#[derive(Default)]
pub(super) struct Storages {
    remote: Vec<Remote>,
    console: bool,
}

struct Remote {
    name: String,
    hosts: Hosts,
}

#[derive(Clone, PartialEq, Eq)]
struct Hosts {
    /// As our list of hosts is written; None is a socket in `unix_socket_dir`.
    list: Option<String>,
    port: String,
    tcp: bool,
}

impl Storages {
    /// The name of the storage that a database is at; None if it cannot be ours.
    pub fn of(&mut self, database: &Database, notes: &mut Notes) -> Option<String> {
        let pairs = &database.pairs;
        let port = pairs.get("port").unwrap_or(PORT).to_owned();
        let Some(hosts) = hosts(pairs.get("host"), port) else {
            let why = "its host is an abstract socket, which is not known here; the database is \
                       missing";
            notes.lost(&database.place, &super::rules::title(&database.name), why);
            return None;
        };
        if hosts.list.as_ref().is_some_and(|list| list.contains(',')) {
            let why = "one storage has all the hosts, which are taken in turn";
            notes.changed(&database.place, "host", why);
        }
        if let Some(known) = self.remote.iter().find(|remote| remote.hosts == hosts) {
            return Some(known.name.clone());
        }
        let name = self.unused(&hosts.title());
        self.remote.push(Remote { name: name.clone(), hosts });
        Some(name)
    }

    /// The name of the console's storage.
    pub fn console(&mut self) -> &'static str {
        self.console = true;
        CONSOLE
    }

    fn unused(&self, wanted: &str) -> String {
        let taken = |name: &str| self.remote.iter().any(|remote| remote.name == name);
        let mut name = wanted.to_owned();
        let mut number = 2;
        while taken(&name) || name == CONSOLE {
            name = format!("{wanted}-{number}");
            number += 1;
        }
        name
    }

    pub fn write(self, settings: &Settings, notes: &mut Notes) -> Vec<Section> {
        let mut sections = Vec::new();
        for Remote { name, hosts } in self.remote {
            let mut storage = Section::named("storage", &name);
            storage.set("type", "remote");
            match &hosts.list {
                Some(list) => storage.set("host", list.as_str()),
                None if socket_dir(settings).is_none() => {
                    let why = "it has no host, and there is no directory of sockets either";
                    notes.lost(&settings.place("unix_socket_dir"), &format!("'{name}'"), why);
                }
                None => {}
            }
            storage.set("port", super::settings::number(&hosts.port).unwrap_or(0));
            if hosts.tcp {
                tls(settings, "server", &mut storage);
            }
            sections.push(storage);
        }
        if self.console {
            let mut storage = Section::named("storage", CONSOLE);
            storage.set("type", "local");
            sections.push(storage);
        }
        sections
    }
}

impl Hosts {
    /// A name that tells where it is.
    fn title(&self) -> String {
        let first = match &self.list {
            None => "local",
            Some(list) => list.split(',').next().unwrap_or_default(),
        };
        match first.strip_prefix("unix://") {
            Some(path) => path.to_owned(),
            None => format!("{first}:{}", self.port),
        }
    }
}

fn hosts(host: Option<&str>, port: String) -> Option<Hosts> {
    let Some(host) = host else { return Some(Hosts { list: None, port, tcp: false }) };
    let mut list = Vec::new();
    let mut tcp = false;
    for one in host.split(',').map(str::trim).filter(|one| !one.is_empty()) {
        if one.starts_with('@') {
            return None;
        }
        tcp |= !one.starts_with('/');
        list.push(match one {
            dir if dir.starts_with('/') => format!("unix://{dir}/.s.PGSQL.{port}"),
            address if address.contains(':') => format!("[{address}]"),
            name => name.to_owned(),
        });
    }
    Some(Hosts { list: Some(list.join(",")), port, tcp })
}
