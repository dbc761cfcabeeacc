//! Who else may check a password that came in clear, PAM or an LDAP server; and who a client is at
//! the server by what the latter says of it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::Secret;

/// Somebody who is asked whether a password is right; then no secret of ours is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checker {
    /// An LDAP server.
    Ldap(Arc<LdapEndpoint>),
    /// PAM: the name of a service.
    Pam(String),
}

/// One `ldap_endpoint` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapEndpoint {
    /// Its name in the file.
    pub name: String,
    /// Its host.
    pub server: String,
    /// 1..=65535; already resolved (0 in the file = that of the scheme).
    pub port: u16,
    /// How it is hidden from others.
    pub cover: LdapCover,
    /// Authorities that sign it; None = those the system knows.
    pub ca_file: Option<PathBuf>,
    /// As whom we search; None = as nobody.
    pub bind: Option<(String, Secret)>,
    /// How a user becomes an entry.
    pub entry: LdapEntry,
}

/// Who a client is at the server, by what an LDAP server says of it
/// (`ldap_storage_credentials_attr`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapCredentials {
    /// Who is asked.
    pub endpoint: Arc<LdapEndpoint>,
    /// The attribute of the user's entry whose values decide.
    pub attribute: String,
    /// What each value begins with that is for a server here: the storage's host.
    pub host: String,
    /// Whom it may become, in the order of the file; each user once.
    pub grants: Vec<LdapGrant>,
}

/// One `ldap_storage_credentials` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapGrant {
    /// Its name, with which values end.
    pub name: String,
    /// The user at the server.
    pub user: String,
    /// Its password.
    pub password: Secret,
}

impl LdapCredentials {
    /// The first value that holds `host_database_name` decides; of several names it holds, the
    /// longest, so that `rw` is not taken for `rw_admin`. (Odyssey takes the first in the file.)
    pub fn grant<'a>(&'a self, database: &str, values: &[String]) -> Option<&'a LdapGrant> {
        let place = format!("{}_{database}_", self.host);
        let held = |value: &str, grant: &LdapGrant| value.contains(&(place.clone() + &grant.name));
        values.iter().find_map(|value| {
            let held = self.grants.iter().filter(|grant| held(value, grant));
            held.max_by_key(|grant| grant.name.len())
        })
    }

    /// Our password at the server for one of these users.
    pub fn password_of(&self, user: &str) -> Option<&Secret> {
        self.grants.iter().find(|grant| grant.user == user).map(|grant| &grant.password)
    }
}

/// What hides what is said with an LDAP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LdapCover {
    /// Nothing.
    Plain,
    /// TLS from the first byte (`ldaps`).
    Tls,
    /// TLS after a request in clear.
    StartTls,
}

/// How a user's name becomes the entry whose password is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LdapEntry {
    /// Its name is the user's between these two.
    Between {
        /// In front of it.
        prefix: String,
        /// Behind it.
        suffix: String,
    },
    /// The only one below a place that fits.
    Search {
        /// The place.
        base: String,
        /// The attribute that holds the user.
        attribute: String,
        /// A further condition, with its parentheses.
        filter: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> LdapCredentials {
        let endpoint = LdapEndpoint {
            name: "people".into(),
            server: "ldap".into(),
            port: 389,
            cover: LdapCover::Plain,
            ca_file: None,
            bind: None,
            entry: LdapEntry::Between { prefix: String::new(), suffix: String::new() },
        };
        let grant = |name: &str| LdapGrant {
            name: name.into(),
            user: format!("as_{name}"),
            password: Secret::new("p"),
        };
        let grants = ["rw", "ro", "rw_admin"].map(grant).to_vec();
        let (attribute, host) = ("memberOf".into(), "pg1".into());
        LdapCredentials { endpoint: Arc::new(endpoint), attribute, host, grants }
    }

    #[test]
    fn a_value_names_host_database_and_credentials() {
        let credentials = credentials();
        let check = |database: &str, values: &[&str], wanted: Option<&str>| {
            let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
            let found = credentials.grant(database, &values).map(|grant| grant.user.as_str());
            assert_eq!(found, wanted, "{database} {values:?}");
        };
        check("shop", &["pg1_shop_ro"], Some("as_ro"));
        check("shop", &["cn=pg1,ou=g", "cn=pg1_shop_rw,ou=g"], Some("as_rw"));
        check("shop", &["pg1_shop_ro", "pg1_shop_rw"], Some("as_ro"));
        // Odyssey: as_rw, because it comes first in the file.
        check("shop", &["cn=pg1_shop_rw_admin,ou=g"], Some("as_rw_admin"));
        check("sho", &["pg1_shop_ro"], None);
        check("shop", &["pg2_shop_ro", "pg1_shop", "pg1_shop_xx"], None);
        check("shop", &[], None);
    }
}
