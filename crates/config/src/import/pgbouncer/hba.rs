//! `auth_hba_file`: lines that say how whom from where is asked. The first that fits counts, and
//! who fits none is refused. They become rules in the same order; if one cannot be understood, none
//! is carried over, because what it was to keep out must stay out.

use std::net::IpAddr;

use super::access::AuthType;
use super::settings::Settings;
use super::{Bouncer, Database, Notes, User, place};
use crate::ConnectionType;
use crate::diagnostic::Place;
use crate::import::Reader;
use crate::import::pairs::Pairs;
use crate::model::Name;

/// One line.
#[derive(Debug)]
pub(super) struct Line {
    connection: ConnectionType,
    databases: Names,
    users: Names,
    /// A network; None is everywhere.
    address: Option<String>,
    kind: AuthType,
}

#[derive(Debug)]
enum Names {
    All,
    /// The database has the name of the user.
    SameUser,
    These(Vec<String>),
}

/// From where and how somebody may come; rules are written for these.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub kind: AuthType,
    pub address: Option<String>,
    pub connection: ConnectionType,
}

/// The ways of a user, or of everybody who has no name here, into a database, in order.
pub(super) fn ways(bouncer: &Bouncer, database: &Name, user: Option<&str>) -> Vec<Way> {
    let kind = AuthType::of(&bouncer.settings);
    if kind != AuthType::Hba || bouncer.hba.is_empty() {
        return vec![Way { kind, address: None, connection: ConnectionType::Any }];
    }
    let fits = |line: &&Line| line.fits(database, user);
    let way = |line: &Line| Way {
        kind: line.kind,
        address: line.address.clone(),
        connection: line.connection,
    };
    bouncer.hba.iter().filter(fits).map(way).collect()
}

impl Line {
    fn fits(&self, database: &Name, user: Option<&str>) -> bool {
        let database = match database {
            Name::Named(name) => Some(name.as_str()),
            Name::Default => None,
        };
        let names = |names: &Names, name: Option<&str>| match names {
            Names::All => true,
            Names::SameUser => database.is_some() && database == user,
            Names::These(these) => name.is_some_and(|name| these.iter().any(|it| it == name)),
        };
        names(&self.databases, database) && names(&self.users, user)
    }
}

/// Reads the file and makes room for whom it names: users, and databases that only `*` stands for.
pub(super) fn read(bouncer: &mut Bouncer, reader: Reader<'_>, notes: &mut Notes) {
    if AuthType::of(&bouncer.settings) != AuthType::Hba {
        return;
    }
    let here = bouncer.settings.place("auth_hba_file");
    let lines = match bouncer.settings.text("auth_hba_file") {
        None => Err((here, "it is not set".to_owned())),
        Some(path) => match reader(path) {
            Ok(text) => lines(path, &text),
            Err(error) => Err((here, format!("'{path}' cannot be read ({error})"))),
        },
    };
    match lines {
        Ok(lines) => bouncer.hba = in_words_of_rules(lines, &bouncer.settings),
        Err((place, why)) => {
            return notes.lost(&place, "auth_hba_file", format!("{why}: nobody is let in"));
        }
    }
    make_room(bouncer);
}

/// A rule with `hostssl` is for clients that ask for TLS, whatever they get. Where they get none,
/// PgBouncer's line is for nobody.
fn in_words_of_rules(mut lines: Vec<Line>, settings: &Settings) -> Vec<Line> {
    let mode = settings.text("client_tls_sslmode").unwrap_or("disable");
    if mode.eq_ignore_ascii_case("disable") {
        lines.retain(|line| line.connection != ConnectionType::HostSsl);
        for line in &mut lines {
            if line.connection == ConnectionType::HostNoSsl {
                line.connection = ConnectionType::Host;
            }
        }
    }
    lines
}

fn make_room(bouncer: &mut Bouncer) {
    let fallback = bouncer.databases.iter().find(|it| it.name == Name::Default);
    let fallback = fallback.map(|it| (it.pairs.clone(), it.place.clone()));
    for line in &bouncer.hba {
        if let (Names::These(names), Some((pairs, place))) = (&line.databases, &fallback) {
            for name in names.iter().filter(|name| name.as_str() != "pgbouncer") {
                let name = Name::Named(name.clone());
                if !bouncer.databases.iter().any(|database| database.name == name) {
                    let (pairs, place) = (pairs.clone(), place.clone());
                    bouncer.databases.push(Database { name, pairs, place });
                }
            }
        }
        if let Names::These(names) = &line.users {
            for name in names {
                if !bouncer.users.iter().any(|user| user.name == *name) {
                    let (pairs, place) = (Pairs::default(), place("auth_hba_file", 0));
                    bouncer.users.push(User { name: name.clone(), secret: None, pairs, place });
                }
            }
        }
    }
}

fn lines(path: &str, text: &str) -> Result<Vec<Line>, (Place, String)> {
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        match one(line) {
            Some(line) => lines.push(line),
            None => {
                let why = "the line is not understood".to_owned();
                return Err((place(path, index + 1), why));
            }
        }
    }
    Ok(lines)
}

/// None for whatever is not known, quotes and files of names included.
fn one(line: &str) -> Option<Line> {
    if line.contains(['"', '@', '+']) {
        return None;
    }
    let mut words = line.split_whitespace();
    let connection = match words.next()? {
        "local" => ConnectionType::Local,
        "host" => ConnectionType::Host,
        "hostssl" => ConnectionType::HostSsl,
        "hostnossl" => ConnectionType::HostNoSsl,
        _ => return None,
    };
    let databases = names(words.next()?, true)?;
    let users = names(words.next()?, false)?;
    let mut address = None;
    if connection != ConnectionType::Local {
        address = match words.next()? {
            "all" => None,
            text if text.contains('/') => Some(network(text)?),
            text => Some(masked(text, words.next()?)?),
        };
    }
    let kind = AuthType::named(words.next()?)?;
    // A map of users changes who may come as whom.
    let plain = words.next().is_none() && !matches!(kind, AuthType::Any | AuthType::Hba);
    plain.then_some(Line { connection, databases, users, address, kind })
}

fn names(text: &str, databases: bool) -> Option<Names> {
    match text {
        "all" => Some(Names::All),
        "sameuser" if databases => Some(Names::SameUser),
        _ => {
            let names: Vec<String> = text.split(',').map(str::to_owned).collect();
            let special = |name: &String| {
                name.is_empty()
                    || ["all", "sameuser", "samerole", "samegroup", "replication"]
                        .contains(&name.as_str())
            };
            (!names.iter().any(special)).then_some(Names::These(names))
        }
    }
}

fn network(text: &str) -> Option<String> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    (bits.parse::<u32>().ok()? <= most).then(|| text.to_owned())
}

/// A mask of its own: ones, then zeros.
fn masked(address: &str, mask: &str) -> Option<String> {
    let (address, mask): (IpAddr, IpAddr) = (address.parse().ok()?, mask.parse().ok()?);
    let (bits, ones, wide) = match (address, mask) {
        (IpAddr::V4(_), IpAddr::V4(mask)) => {
            let mask = mask.to_bits();
            (u128::from(mask) << 96, mask.leading_ones(), 32)
        }
        (IpAddr::V6(_), IpAddr::V6(mask)) => (mask.to_bits(), mask.to_bits().leading_ones(), 128),
        _ => return None,
    };
    let straight = ones <= wide && bits.count_ones() == ones;
    straight.then(|| format!("{address}/{ones}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood_or_refused() {
        for (line, address) in [
            ("local all all trust", Some(None)),
            ("host a,b u all md5", Some(None)),
            ("hostssl sameuser all 10.0.0.0/8 scram-sha-256", Some(Some("10.0.0.0/8"))),
            ("host all all 10.1.2.3 255.255.0.0 reject", Some(Some("10.1.2.3/16"))),
            ("host all all ::1/128 cert", Some(Some("::1/128"))),
            ("hostnossl all all fe80:: ffff:: peer", Some(Some("fe80::/16"))),
            ("host all all 10.1.2.3 255.0.255.0 reject", None),
            ("host all all 10.0.0.0/33 md5", None),
            ("host all all example.org md5", None),
            ("host all @users all md5", None),
            ("host replication all all md5", None),
            ("host all all all cert map=m", None),
            ("host all all all gss", None),
            ("host all all", None),
        ] {
            let found = one(line).map(|line| line.address);
            assert_eq!(found.as_ref().map(Option::as_deref), address, "{line}");
        }
    }
}
