//! The rules in matching order, and which one a client meets. It knows names and addresses, and
//! refuses to judge: authentication, limits and pools come after.

use std::cmp::Reverse;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use config::{AddressSelector, ConnectionType, Name, Rule, UserName};

/// What a client asked for at its start.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The database it named, or its user if it named none.
    pub database: &'a str,
    /// The user it named.
    pub user: &'a str,
    /// From where; `None` is a unix socket.
    pub address: Option<IpAddr>,
    /// It sent SSLRequest, whatever the answer was.
    pub asked_ssl: bool,
}

/// How a rule and a client go together; the first thing that does not fit is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This is the client's rule.
    Matched,
    /// It would fit, but an earlier one does too.
    Shadowed,
    /// It is for another database.
    Database,
    /// It is for another user.
    User,
    /// It is for the members of a group, and nobody is a member yet.
    Group,
    /// It is for clients from elsewhere.
    Address,
    /// It is for another kind of connection.
    Connection,
}

/// All rules, in the order in which they are tried.
#[derive(Debug)]
pub struct Rules {
    ordered: Vec<Arc<Rule>>,
}

impl Rules {
    /// Orders the rules of a configuration: as they stand in the file when `sequential_routing` is
    /// on, else the more specific first.
    pub fn new(config: &config::Config) -> Rules {
        Rules::ordered(config.rules.clone(), config.global.sequential_routing)
    }

    pub(crate) fn ordered(mut rules: Vec<Arc<Rule>>, sequential: bool) -> Rules {
        if !sequential {
            rules.sort_by_cached_key(|rule| (Reverse(specificity(rule)), tie(rule)));
        }
        Rules { ordered: rules }
    }

    /// The rule for this client; `None` when there is no route for it.
    pub fn find(&self, ask: &Ask<'_>) -> Option<&Arc<Rule>> {
        self.ordered.iter().find(|rule| verdict(rule, ask) == Verdict::Matched)
    }

    /// Every rule in the order of trying, with what [`Rules::find`] thinks of it.
    pub fn explain(&self, ask: &Ask<'_>) -> Vec<(&Arc<Rule>, Verdict)> {
        let mut found = false;
        let judge = |rule: &Arc<Rule>| {
            let fits = verdict(rule, ask);
            let shadowed = found && fits == Verdict::Matched;
            found |= fits == Verdict::Matched;
            if shadowed { Verdict::Shadowed } else { fits }
        };
        let verdicts: Vec<Verdict> = self.ordered.iter().map(judge).collect();
        self.ordered.iter().zip(verdicts).collect()
    }

    /// The rules in the order of trying.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.ordered.iter()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Matched => "matches",
            Verdict::Shadowed => "would match, but an earlier rule does",
            Verdict::Database => "is for another database",
            Verdict::User => "is for another user",
            Verdict::Group => "is for members of a group",
            Verdict::Address => "is for clients from elsewhere",
            Verdict::Connection => "is for another kind of connection",
        })
    }
}

fn verdict(rule: &Rule, ask: &Ask<'_>) -> Verdict {
    let database_fits = match &rule.database {
        Name::Named(name) => name == ask.database,
        Name::Default => true,
    };
    let user_fits = match &rule.user {
        UserName::Named(name) => name == ask.user,
        UserName::Default => true,
        UserName::Group(_) => {
            return if database_fits { Verdict::Group } else { Verdict::Database };
        }
    };
    if !database_fits {
        Verdict::Database
    } else if !user_fits {
        Verdict::User
    } else if !address_fits(&rule.address, ask.address) {
        Verdict::Address
    } else if !connection_fits(rule.connection, ask) {
        Verdict::Connection
    } else {
        Verdict::Matched
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
        ConnectionType::HostSsl => tcp && ask.asked_ssl,
        ConnectionType::HostNoSsl => tcp && !ask.asked_ssl,
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
