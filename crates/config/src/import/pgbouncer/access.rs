//! How clients prove who they are. Where PgBouncer decides by the kind of a secret, so does this:
//! a user with a SCRAM verifier is asked for SCRAM although `auth_type` is md5.

use super::rules::title;
use super::settings::Settings;
use super::{Bouncer, Database, Notes, User};
use crate::draft::Section;
use crate::model::Name;

const AUTH_QUERY: &str = "SELECT usename, passwd FROM pg_shadow WHERE usename=$1";
const PAM_SERVICE: &str = "pgbouncer"; // what PgBouncer calls itself there

/// What `auth_type` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuthType {
    Any,
    Trust,
    Plain,
    Md5,
    Scram,
    Cert,
    Hba,
    Pam,
    Ldap,
    /// These two stand in an HBA file only.
    Reject,
    Peer,
}

/// What a secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Secret {
    Empty,
    Plain,
    Md5,
    Scram,
}

impl AuthType {
    /// Md5 is PgBouncer's default.
    pub fn of(settings: &Settings) -> AuthType {
        settings.text("auth_type").and_then(AuthType::named).unwrap_or(AuthType::Md5)
    }

    pub fn named(word: &str) -> Option<AuthType> {
        Some(match word.to_ascii_lowercase().as_str() {
            "any" => AuthType::Any,
            "trust" => AuthType::Trust,
            "plain" | "password" => AuthType::Plain,
            "md5" => AuthType::Md5,
            "scram-sha-256" => AuthType::Scram,
            "cert" => AuthType::Cert,
            "hba" => AuthType::Hba,
            "pam" => AuthType::Pam,
            "ldap" => AuthType::Ldap,
            "reject" => AuthType::Reject,
            "peer" | "ident" => AuthType::Peer,
            _ => return None,
        })
    }
}

impl Secret {
    fn of(text: &str) -> Secret {
        let hex =
            |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match text {
            "" => Secret::Empty,
            _ if text.strip_prefix("md5").is_some_and(hex) => Secret::Md5,
            _ if text.starts_with("SCRAM-SHA-256$") => Secret::Scram,
            _ => Secret::Plain,
        }
    }
}

/// A rule that is being written: for whom, and asked for how.
#[derive(Clone, Copy)]
pub(super) struct Door<'a> {
    pub bouncer: &'a Bouncer,
    pub database: &'a Database,
    pub kind: AuthType,
}

impl Door<'_> {
    /// The way in for a user that is named; false if there is none, whatever it says.
    pub fn for_user(&self, user: &User, rule: &mut Section, notes: &mut Notes) -> bool {
        match (&user.secret, self.kind) {
            (_, AuthType::Reject) => rule.set("authentication", "block"),
            (None, AuthType::Any) => return false,
            (None, _) => return self.for_everybody(rule, notes),
            (Some(secret), kind) => listed(kind, user, secret, rule, notes),
        }
        true
    }

    /// The way in for all that are not named; false if there is none.
    pub fn for_everybody(&self, rule: &mut Section, notes: &mut Notes) -> bool {
        match self.kind {
            AuthType::Any if self.database.pairs.get("user").is_none() => {
                let why = "with auth_type any PgBouncer lets nobody into a database without user=";
                notes.changed(&self.database.place, &title(&self.database.name), why);
                return false;
            }
            AuthType::Any => rule.set("authentication", "none"),
            AuthType::Reject => rule.set("authentication", "block"),
            AuthType::Pam => {
                rule.set("authentication", "clear_text");
                rule.set("auth_pam_service", PAM_SERVICE);
            }
            kind @ (AuthType::Trust | AuthType::Cert | AuthType::Peer) => {
                let settings = &self.bouncer.settings;
                if settings.text("auth_user").is_some() {
                    let why =
                        format!("users that only the database knows are not let in by {kind:?}");
                    notes.lost(&settings.place("auth_user"), "auth_user", why);
                }
                return false;
            }
            AuthType::Ldap | AuthType::Hba => return false,
            AuthType::Plain | AuthType::Md5 | AuthType::Scram => return self.asked(rule, notes),
        }
        true
    }

    /// With `auth_user` the database is asked.
    fn asked(&self, rule: &mut Section, notes: &mut Notes) -> bool {
        let (settings, database) = (&self.bouncer.settings, self.database);
        let or_global = |key| database.pairs.get(key).or(settings.text(key));
        let Some(auth_user) = or_global("auth_user") else { return false };
        let place = match database.pairs.get("auth_user") {
            Some(_) => database.place.clone(),
            None => settings.place("auth_user"),
        };
        let method = match self.kind {
            AuthType::Scram => "scram-sha-256",
            AuthType::Plain => "clear_text",
            _ => "md5",
        };
        if method != "scram-sha-256" {
            let why = "the query's secrets are asked for in one way only, that of auth_type: say \
                       scram-sha-256 in the rules if they are SCRAM verifiers";
            notes.changed(&place, "auth_user", why);
        }
        rule.set("authentication", method);
        rule.set("auth_query", or_global("auth_query").unwrap_or(AUTH_QUERY));
        rule.set("auth_query_user", auth_user);
        let own = match (or_global("auth_dbname"), &database.name) {
            (Some(name), _) => name.to_owned(),
            (None, Name::Named(name)) => database.pairs.get("dbname").unwrap_or(name).to_owned(),
            (None, Name::Default) => {
                let why = format!(
                    "auth_dbname is not set; for {} the query is asked in 'postgres', not in each \
                     client's own database",
                    title(&database.name)
                );
                notes.changed(&place, "auth_user", why);
                database.pairs.get("dbname").unwrap_or("postgres").to_owned()
            }
        };
        rule.set("auth_query_db", own);
        true
    }
}

/// A user of the userlist.
fn listed(kind: AuthType, user: &User, secret: &str, rule: &mut Section, notes: &mut Notes) {
    let (method, why) = method(kind, Secret::of(secret));
    if let Some(why) = why {
        notes.changed(&user.place, &format!("user '{}'", user.name), why);
    }
    rule.set("authentication", method);
    match method {
        "block" => {}
        "none" | "cert" => server_password(secret, rule),
        _ => rule.set("password", secret),
    }
    match kind {
        AuthType::Cert => rule.set("auth_common_name", crate::draft::Word::Bare("default".into())),
        AuthType::Pam => rule.set("auth_pam_service", PAM_SERVICE),
        _ => {}
    }
}

/// Clients need none, but servers may.
fn server_password(secret: &str, rule: &mut Section) {
    if Secret::of(secret) == Secret::Plain || Secret::of(secret) == Secret::Md5 {
        rule.set("password", secret);
    }
}

/// Our method, and what is not as it was.
fn method(kind: AuthType, secret: Secret) -> (&'static str, Option<&'static str>) {
    match (kind, secret) {
        (AuthType::Any | AuthType::Trust, _) => ("none", None),
        (AuthType::Cert, _) => ("cert", None),
        (AuthType::Pam, _) => ("clear_text", None),
        (AuthType::Ldap | AuthType::Hba | AuthType::Peer, _) => {
            ("block", Some("how it is asked is not carried over: it is not let in"))
        }
        (AuthType::Reject, _) => ("block", None),
        (_, Secret::Empty) => ("block", Some("it has no password: PgBouncer lets nobody in")),
        (AuthType::Scram, Secret::Md5) => {
            ("block", Some("an md5 hash is of no use for scram-sha-256: PgBouncer lets nobody in"))
        }
        (AuthType::Scram, _) | (_, Secret::Scram) => ("scram-sha-256", None),
        (AuthType::Plain, Secret::Plain) => ("clear_text", None),
        (AuthType::Plain, Secret::Md5) => {
            ("md5", Some("clear_text needs a plain password; md5 is asked for instead"))
        }
        (AuthType::Md5, _) => ("md5", None),
    }
}
