//! The rules in matching order, and which one a client meets. It knows names and addresses, and
//! refuses to judge: authentication, limits and pools come after.

mod group;

use std::cmp::Reverse;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use config::{
    AddressSelector, Authentication, ConnectionType, Name, PoolRouting, Rule, StorageKind, UserName,
};

pub use group::{Group, Members, Membership};

/// Databases that tools ask for the console.
pub const CONSOLES: [&str; 3] = ["console", "pgbouncer", "odyssey"];

/// What a client asked for at its start.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The database it named, or its user if it named none.
    pub database: &'a str,
    /// The user it named.
    pub user: &'a str,
    /// From where; `None` is a unix socket.
    pub address: Option<IpAddr>,
    /// The name of its host.
    pub host: Host<'a>,
    /// TLS is on. (To have asked for it is not enough: who was told no speaks plain text.)
    pub tls: bool,
}

/// The name of a client's host, by the resolver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Host<'a> {
    /// The resolver was not asked.
    #[default]
    Unasked,
    /// Its address has no name, or a name that leads elsewhere.
    Nameless,
    /// Its address has this name, and the name has this address.
    Named(&'a str),
}

/// What has to be found out before it is known which rule a client meets.
#[derive(Clone, Copy, Debug)]
pub enum Question<'a> {
    /// The name of its host.
    HostName,
    /// Who is in this group.
    Members(&'a Arc<Group>),
}

/// How a rule and a client go together; the first thing that does not fit is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This is the client's rule.
    Matched,
    /// It would fit, but an earlier one does too.
    Shadowed,
    /// It is for queries of the pooler's own.
    Internal,
    /// It is for another database.
    Database,
    /// It is for another user.
    User,
    /// It is for the members of a group, and this user is not known to be one.
    Group,
    /// It is for clients from elsewhere.
    Address,
    /// It is for another kind of connection.
    Connection,
}

/// All rules, in the order in which they are tried.
#[derive(Debug)]
pub struct Rules {
    ordered: Vec<Entry>,
    /// Those by way of listeners, which nobody meets.
    detours: Vec<Arc<Rule>>,
}

#[derive(Debug)]
struct Entry {
    rule: Arc<Rule>,
    /// Of a `group` rule.
    group: Option<Arc<Group>>,
}

/// A verdict, or what it hangs on.
enum Fit<'a> {
    Yes,
    No(Verdict),
    /// `Verdict` as long as there is no answer.
    Open(Question<'a>, Verdict),
}

impl Rules {
    /// Orders the rules of a configuration: as they stand in the file when `sequential_routing` is
    /// on, else the more specific first. Nothing is known of any group.
    pub fn new(config: &config::Config) -> Rules {
        Rules::ordered(config.rules.clone(), config.global.sequential_routing)
    }

    pub(crate) fn ordered(rules: Vec<Arc<Rule>>, sequential: bool) -> Rules {
        let (detours, mut rules): (Vec<_>, Vec<_>) =
            rules.into_iter().partition(|rule| rule.is_detour);
        if !sequential {
            rules.sort_by_cached_key(|rule| (Reverse(specificity(rule)), tie(rule)));
        }
        Rules { ordered: rules.into_iter().map(Entry::new).collect(), detours }
    }

    /// Groups that were there before, with the same query, keep the members they had.
    pub fn inherit(&self, before: &Rules) {
        for group in self.groups() {
            let same = |other: &&Arc<Group>| other.rule().group == group.rule().group;
            if let Some(other) = before.groups().find(same) {
                group.inherit(other);
            }
        }
    }

    /// The rule for this client; `None` when there is no route for it. It is final when
    /// [`Rules::question`] has nothing to ask; else what is not known fits nobody.
    ///
    /// A database of [`CONSOLES`] that no rule is for leads to the console, if its user may go
    /// there by another name.
    pub fn find(&self, ask: &Ask<'_>) -> Option<&Arc<Rule>> {
        self.first(ask).or_else(|| {
            let consoles = self.iter().filter(|rule| rule.storage.kind == StorageKind::Local);
            let mut consoles = consoles.filter(|_| CONSOLES.contains(&ask.database));
            consoles.find_map(|rule| match &rule.database {
                Name::Named(name) => {
                    let found = self.first(&Ask { database: name, ..*ask });
                    found.filter(|found| found.storage.kind == StorageKind::Local)
                }
                Name::Default => None,
            })
        })
    }

    /// The rule for those of its clients who come by a listener with storages of its own.
    pub fn by_way_of(&self, rule: &Arc<Rule>, storages: &[String]) -> Arc<Rule> {
        let leads_there = |detour: &&Arc<Rule>| {
            detour.storages().map(|storage| &storage.name).eq(storages)
                && detour.is_for_clients_of(rule)
        };
        Arc::clone(self.detours.iter().find(leads_there).unwrap_or(rule))
    }

    fn first(&self, ask: &Ask<'_>) -> Option<&Arc<Rule>> {
        let entry = self.ordered.iter().find(|entry| matches!(entry.fit(ask), Fit::Yes))?;
        Some(&entry.rule)
    }

    /// What has to be found out before [`Rules::find`] can be believed.
    pub fn question(&self, ask: &Ask<'_>) -> Option<Question<'_>> {
        self.ordered.iter().map(|entry| entry.fit(ask)).find_map(|fit| match fit {
            Fit::No(_) => None,
            Fit::Open(question, _) => Some(Some(question)),
            Fit::Yes => Some(None),
        })?
    }

    /// The rule for a query of the pooler's own; `None` when there is none with `pool_routing
    /// "internal"`.
    pub fn service(&self, database: &str, user: &str) -> Option<&Arc<Rule>> {
        let fits = |rule: &&Arc<Rule>| {
            rule.routing == PoolRouting::Internal
                && database_fits(rule, database)
                && user_fits(rule, user)
                && !matches!(rule.user, UserName::Group(_))
        };
        self.iter().find(fits)
    }

    /// Every rule in the order of trying, with what [`Rules::find`] thinks of it.
    pub fn explain(&self, ask: &Ask<'_>) -> Vec<(&Arc<Rule>, Verdict)> {
        let mut found = false;
        let judge = |entry: &Entry| match entry.fit(ask) {
            Fit::Yes if found => Verdict::Shadowed,
            Fit::Yes => {
                found = true;
                Verdict::Matched
            }
            Fit::No(verdict) | Fit::Open(_, verdict) => verdict,
        };
        let verdicts: Vec<Verdict> = self.ordered.iter().map(judge).collect();
        self.iter().zip(verdicts).collect()
    }

    /// For an explanation: this user is a member of all groups of that name. False when there is
    /// none.
    pub fn enroll(&self, group: &str, user: &str) -> bool {
        let mut found = false;
        for one in self.groups() {
            if matches!(&one.rule().user, UserName::Group(name) if name == group) {
                let mut members = one.members().map(|all| (*all).clone()).unwrap_or_default();
                members.insert(user.into());
                one.replace(members);
                found = true;
            }
        }
        found
    }

    /// The rules in the order of trying.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.ordered.iter().map(|entry| &entry.rule)
    }

    /// The groups, in the order of their rules.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.ordered.iter().filter_map(|entry| entry.group.as_ref())
    }
}

impl Entry {
    fn new(rule: Arc<Rule>) -> Entry {
        let is_group =
            rule.routing == PoolRouting::ClientVisible && matches!(rule.user, UserName::Group(_));
        let group = is_group.then(|| Arc::new(Group::new(&rule)));
        Entry { rule, group }
    }

    /// What costs nothing comes first, so that nothing is asked in vain.
    fn fit(&self, ask: &Ask<'_>) -> Fit<'_> {
        let rule = &self.rule;
        if rule.routing == PoolRouting::Internal {
            return Fit::No(Verdict::Internal);
        }
        if !database_fits(rule, ask.database) {
            return Fit::No(Verdict::Database);
        }
        if !user_fits(rule, ask.user) {
            return Fit::No(Verdict::User);
        }
        let by_name = matches!(rule.address, AddressSelector::Host { .. });
        if !by_name && !address_fits(&rule.address, ask.address) {
            return Fit::No(Verdict::Address);
        }
        if !connection_fits(rule.connection, ask) {
            return Fit::No(Verdict::Connection);
        }
        match (ask.host, ask.address) {
            _ if !by_name => self.member_fits(ask.user),
            (Host::Unasked, Some(_)) => Fit::Open(Question::HostName, Verdict::Address),
            (Host::Named(host), Some(_)) if rule.address.names(host) => self.member_fits(ask.user),
            _ => Fit::No(Verdict::Address),
        }
    }

    /// As long as nobody knows whom a group is to keep out, it keeps out everybody.
    fn member_fits(&self, user: &str) -> Fit<'_> {
        let Some(group) = &self.group else { return Fit::Yes };
        match group.membership(user) {
            Membership::Member => Fit::Yes,
            Membership::Unknown if self.rule.authentication == Authentication::Block => Fit::Yes,
            Membership::Unknown | Membership::Stranger => Fit::No(Verdict::Group),
            Membership::Unasked => Fit::Open(Question::Members(group), Verdict::Group),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Matched => "matches",
            Verdict::Shadowed => "would match, but an earlier rule does",
            Verdict::Internal => "is for queries of the pooler's own",
            Verdict::Database => "is for another database",
            Verdict::User => "is for another user",
            Verdict::Group => "is for members of a group",
            Verdict::Address => "is for clients from elsewhere",
            Verdict::Connection => "is for another kind of connection",
        })
    }
}

fn database_fits(rule: &Rule, database: &str) -> bool {
    match &rule.database {
        Name::Named(name) => name == database,
        Name::Default => true,
    }
}

/// A group may have anybody in it.
fn user_fits(rule: &Rule, user: &str) -> bool {
    match &rule.user {
        UserName::Named(name) => name == user,
        UserName::Default | UserName::Group(_) => true,
    }
}

/// A client of an IPv4 network which came through a listener for both families shows a mapped
/// address (`::ffff:10.0.0.1`); it is still of that network.
fn address_fits(selector: &AddressSelector, address: Option<IpAddr>) -> bool {
    selector.contains(address) || selector.contains(address.map(|address| address.to_canonical()))
}

fn connection_fits(connection: ConnectionType, ask: &Ask<'_>) -> bool {
    let tcp = ask.address.is_some();
    match connection {
        ConnectionType::Any => true,
        ConnectionType::Local => !tcp,
        ConnectionType::Host => tcp,
        ConnectionType::HostSsl => tcp && ask.tls,
        ConnectionType::HostNoSsl => tcp && !ask.tls,
    }
}

/// Odyssey's weights: each outweighs all smaller ones together.
fn specificity(rule: &Rule) -> u32 {
    let database = matches!(rule.database, Name::Named(_));
    let user = !matches!(rule.user, UserName::Default);
    let address = rule.address != AddressSelector::All;
    let connection = rule.connection != ConnectionType::Any;
    1000 * u32::from(database)
        + 100 * u32::from(user)
        + 10 * u32::from(address)
        + u32::from(connection)
}

/// Orders rules of one specificity as Odyssey does: by their names in messages, then the narrower
/// connection type first. What is still equal stays in file order.
fn tie(rule: &Rule) -> (String, String, String, Reverse<u8>) {
    let connection = match rule.connection {
        ConnectionType::Any => 0,
        ConnectionType::Local => 1,
        ConnectionType::Host => 2,
        ConnectionType::HostSsl => 3,
        ConnectionType::HostNoSsl => 4,
    };
    (
        rule.database.to_string(),
        rule.user.to_string(),
        rule.address.to_string(),
        Reverse(connection),
    )
}

#[cfg(test)]
mod tests;
