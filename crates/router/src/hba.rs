//! Which line of an HBA file is about a client. The first that fits decides; whom none fits must
//! not come in.

use std::net::IpAddr;

use config::{ConnectionType, Hba, HbaLine, HbaName, Name, Rule, UserName};
use wire::startup::Replication;

/// Who wants to come in.
#[derive(Clone, Copy, Debug)]
pub struct Visitor<'a> {
    /// The database it asks for.
    pub database: &'a str,
    /// As whom.
    pub user: &'a str,
    /// From where; None is a unix socket.
    pub address: Option<IpAddr>,
    /// TLS is on.
    pub tls: bool,
    /// What for.
    pub replication: Replication,
    /// The rule it has met.
    pub rule: &'a Rule,
}

impl Visitor<'_> {
    /// The line that decides; None: none fits, and it is to be refused.
    pub fn line<'a>(&self, hba: &'a Hba) -> Option<&'a HbaLine> {
        hba.lines.iter().find(|line| self.fits(line))
    }

    fn fits(&self, line: &HbaLine) -> bool {
        let over = match line.connection {
            ConnectionType::Any => true,
            ConnectionType::Local => self.address.is_none(),
            ConnectionType::Host => self.address.is_some(),
            ConnectionType::HostSsl => self.address.is_some() && self.tls,
            ConnectionType::HostNoSsl => self.address.is_some() && !self.tls,
        };
        over && line.address.contains(self.address)
            && line.databases.iter().any(|name| self.asks_for(name))
            && line.users.iter().any(|name| self.is(name))
    }

    fn asks_for(&self, name: &HbaName) -> bool {
        match name {
            HbaName::All => true,
            HbaName::SameUser => self.database == self.user,
            HbaName::Replication => self.replication == Replication::Physical,
            HbaName::Group(_) => false,
            // Odyssey compares what the rule is called, so files may say that too.
            HbaName::Named(name) => {
                name == self.database || (self.rule.database == Name::Default && name == DEFAULT_DB)
            }
        }
    }

    fn is(&self, name: &HbaName) -> bool {
        let group = match &self.rule.user {
            UserName::Group(group) => Some(group.as_str()),
            UserName::Named(_) | UserName::Default => None,
        };
        match name {
            HbaName::All => true,
            HbaName::SameUser | HbaName::Replication => false,
            HbaName::Group(name) => group == Some(name),
            HbaName::Named(name) if name == self.user => true,
            HbaName::Named(name) => match group {
                Some(group) => name.strip_prefix(GROUP) == Some(group),
                None => self.rule.user == UserName::Default && name == DEFAULT_USER,
            },
        }
    }
}

const DEFAULT_DB: &str = "default_db";
const DEFAULT_USER: &str = "default_user";
const GROUP: &str = "group_";

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use config::AddressSelector;

    use super::*;
    use crate::testing::rule;

    fn named(name: &str) -> HbaName {
        HbaName::Named(name.to_owned())
    }

    fn hba(lines: &[(ConnectionType, HbaName, HbaName, AddressSelector)]) -> Hba {
        let line = |(number, line): (usize, &(_, _, _, _))| {
            let (connection, database, user, address): (_, HbaName, HbaName, AddressSelector) =
                line.clone();
            let (databases, users) = (vec![database], vec![user]);
            HbaLine { number, connection, databases, users, address, allows: true }
        };
        Hba { path: PathBuf::new(), lines: (1..).zip(lines).map(line).collect() }
    }

    /// The numbers of the lines that fit each of the visitors.
    fn check(hba: &Hba, visitor: &Visitor<'_>, expected: Option<usize>) {
        assert_eq!(visitor.line(hba).map(|line| line.number), expected, "{visitor:?}");
    }

    #[test]
    fn the_first_line_that_fits_decides() {
        use ConnectionType::{Host, HostNoSsl, HostSsl, Local};
        use HbaName::{All, Group, Replication as ForReplication, SameUser};
        let network = AddressSelector::Network { address: "10.0.0.0".parse().unwrap(), prefix: 8 };
        let hba = hba(&[
            (Local, All, named("app"), AddressSelector::All),
            (HostSsl, named("a"), All, AddressSelector::All),
            (HostNoSsl, named("b"), All, network.clone()),
            (Host, SameUser, All, AddressSelector::All),
            (Host, ForReplication, All, AddressSelector::All),
            (Host, All, Group("g".to_owned()), AddressSelector::All),
            (Host, named("default_db"), named("default_user"), AddressSelector::All),
        ]);
        let rules = ["a app", "* *", "a +g"].map(rule);
        let near = Some("10.1.2.3".parse().unwrap());
        let far = Some("11.1.2.3".parse().unwrap());
        let plain = Visitor {
            database: "a",
            user: "app",
            address: near,
            tls: false,
            replication: Replication::No,
            rule: &rules[0],
        };
        check(&hba, &Visitor { address: None, ..plain }, Some(1));
        check(&hba, &Visitor { address: None, user: "x", ..plain }, None);
        check(&hba, &plain, None);
        check(&hba, &Visitor { tls: true, ..plain }, Some(2));
        check(&hba, &Visitor { database: "b", ..plain }, Some(3));
        check(&hba, &Visitor { database: "b", tls: true, ..plain }, None);
        check(&hba, &Visitor { database: "b", address: far, ..plain }, None);
        check(&hba, &Visitor { database: "app", ..plain }, Some(4));
        check(&hba, &Visitor { replication: Replication::Physical, ..plain }, Some(5));
        check(&hba, &Visitor { replication: Replication::Logical, ..plain }, None);
        check(&hba, &Visitor { database: "replication", ..plain }, None);
        check(&hba, &Visitor { rule: &rules[2], ..plain }, Some(6));
        check(&hba, &Visitor { rule: &rules[1], database: "q", ..plain }, Some(7));
        check(&hba, &Visitor { database: "q", ..plain }, None);
    }
}
