//! What proves to a server that we are who we say: what the rule has, and what clients of the route
//! showed when they came in. It offers what fits the server's method and says why nothing does.

use std::sync::{Arc, Mutex, PoisonError};

use config::Secret;
use wire::auth::scram::{Challenge, ClientKeys};
use wire::auth::{StoredSecret, md5};

use super::Home;
use super::open::Reason;

/// What a client showed when it came in as the user that the server knows. Never printed: `Debug`
/// writes asterisks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The secret that the client's proof fitted, if a server told it (`auth_query`).
    pub told: Option<Secret>,
    /// Of a SCRAM login: they fit a server that stores the same verifier.
    pub keys: Option<ClientKeys>,
    /// The password in clear, where the rule lets it through (`password_passthrough`).
    pub password: Option<Secret>,
}

/// What the last client of a route showed. All of them are one user for the server, and each of
/// them proved to be that user, so that a server that one of them opened is for all of them; the
/// last one knows a changed password. It goes with the route.
#[derive(Default)]
pub struct Shown(Mutex<Option<Arc<Credentials>>>);

/// What the server wants to see, in words.
#[derive(Clone, Copy)]
enum Wanted {
    Clear,
    Md5,
    Scram,
}

impl Shown {
    fn get(&self) -> Option<Arc<Credentials>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Home {
    /// A client has come in with this.
    pub fn show(&self, credentials: Credentials) {
        let Credentials { told, keys, password } = &credentials;
        if told.is_some() || keys.is_some() || password.is_some() {
            let credentials = Arc::new(credentials);
            for home in self.family() {
                let mut shown = home.shown.0.lock().unwrap_or_else(PoisonError::into_inner);
                *shown = Some(Arc::clone(&credentials));
            }
        }
    }

    /// What a client of this name takes along into another process, which opens servers with it.
    pub fn shown_by(&self, user: &str) -> Option<Arc<Credentials>> {
        self.shown.get().filter(|_| self.route.key().user == user)
    }

    /// A client of this name has come from another process, where this was shown. Who came in here
    /// knows better.
    pub fn inherit(&self, user: &str, credentials: &Credentials) {
        if self.route.key().user != user || self.shown.get().is_some() {
            return;
        }
        let mut credentials = credentials.clone();
        if !self.route.rule().password_passthrough {
            credentials.password = None;
        }
        self.show(credentials);
    }

    /// Might servers not open, or be another user's, but for what clients of other names showed, or
    /// LDAP said? This one would not have it with it in another process.
    pub fn relies_on_others_than(&self, user: &str) -> bool {
        let rule = self.route.rule();
        if rule.ldap_credentials.is_some() {
            return true;
        }
        let of_rule = [&rule.storage_password, &rule.password];
        let has_none = !of_rule.into_iter().flatten().any(is_plain);
        has_none && self.route.key().user != user && self.shown.get().is_some()
    }

    /// For a server that wants to read the password.
    pub(super) fn clear_password(&self) -> Result<Secret, Reason> {
        let plain = |(_, secret): &(_, Secret)| is_plain(secret);
        let found = self.secrets().into_iter().find(plain);
        found.map(|(_, secret)| secret).ok_or_else(|| self.nothing_fits(Wanted::Clear))
    }

    /// For a server that wants md5 of the password: its md5 form.
    pub(super) fn md5_password(&self) -> Result<String, Reason> {
        let form = |(_, secret): (_, Secret)| match StoredSecret::parse(secret.reveal()) {
            // Bound to the name that the server knows, whatever the client's rule is called.
            StoredSecret::Plain(password) => Some(md5::stored(&self.route.key().user, password)),
            StoredSecret::Md5(stored) => Some(stored),
            StoredSecret::Scram(_) => None,
        };
        let found = self.secrets().into_iter().find_map(form);
        found.ok_or_else(|| self.nothing_fits(Wanted::Md5))
    }

    /// For a server that wants SCRAM: keys that answer the challenge as they are, or the password
    /// to make some of.
    pub(super) fn scram_password(
        &self,
        challenge: &Challenge,
    ) -> Result<Result<ClientKeys, Secret>, Reason> {
        let of_rule = || self.route.rule().storage_password.clone().filter(is_plain);
        if let Some(secret) = self.granted_password().or_else(of_rule) {
            return Ok(Err(secret));
        }
        let keys = self.shown.get().and_then(|shown| shown.keys.clone());
        if let Some(keys) = keys.filter(|keys| challenge.fits(keys)) {
            return Ok(Ok(keys));
        }
        let found = self.secrets().into_iter().find(|(_, secret)| is_plain(secret));
        let found = found.map(|(_, secret)| Err(secret));
        found.ok_or_else(|| self.nothing_fits(Wanted::Scram))
    }

    /// Is there anything at all to answer a SCRAM challenge with? A server that gets no answer
    /// counts that as an attempt.
    pub(super) fn may_know_scram(&self) -> Result<(), Reason> {
        let has_keys = self.shown.get().is_some_and(|shown| shown.keys.is_some());
        match has_keys || self.secrets().iter().any(|(_, secret)| is_plain(secret)) {
            true => Ok(()),
            false => Err(self.nothing_fits(Wanted::Scram)),
        }
    }

    /// That of the user whom LDAP let the route's clients become.
    fn granted_password(&self) -> Option<Secret> {
        let rule = self.route.rule();
        rule.ldap_credentials.as_ref()?.password_of(&self.route.key().user).cloned()
    }

    /// What there is, the first choice first, each with its name for the operator.
    fn secrets(&self) -> Vec<(&'static str, Secret)> {
        let (rule, shown) = (self.route.rule(), self.shown.get());
        let of_client = |get: fn(&Credentials) -> &Option<Secret>| {
            shown.as_ref().and_then(|shown| get(shown).clone())
        };
        let all = [
            ("ldap_storage_password", self.granted_password()),
            ("storage_password", rule.storage_password.clone()),
            ("what auth_query told", of_client(|shown| &shown.told)),
            ("the rule's password", rule.password.clone()),
            ("the client's password", of_client(|shown| &shown.password)),
        ];
        all.into_iter().filter_map(|(name, secret)| Some((name, secret?))).collect()
    }

    fn nothing_fits(&self, wanted: Wanted) -> Reason {
        let key = self.route.key();
        let mut text = format!("password required for route '{}.{}'", key.database, key.user);
        text += match wanted {
            Wanted::Clear => ": the server wants the password itself",
            Wanted::Md5 => ": the server wants an md5 proof",
            Wanted::Scram => ": the server wants a SCRAM proof",
        };
        for (name, secret) in self.secrets() {
            let what = match StoredSecret::parse(secret.reveal()) {
                StoredSecret::Plain(_) => continue,
                StoredSecret::Md5(_) => "an md5 hash",
                StoredSecret::Scram(_) => "a SCRAM verifier",
            };
            text += &format!(", and {name} is {what}");
        }
        let keys = self.shown.get().is_some_and(|shown| shown.keys.is_some());
        if keys && matches!(wanted, Wanted::Scram) {
            text += ", and what the client proved itself with was made for another salt or \
                     iteration count than the server's: the verifier has to be the server's own";
        }
        Reason::Authentication(text)
    }
}

fn is_plain(secret: &Secret) -> bool {
    matches!(StoredSecret::parse(secret.reveal()), StoredSecret::Plain(_))
}
