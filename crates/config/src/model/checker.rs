//! Who else may check a password that came in clear: PAM, an LDAP server.

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
