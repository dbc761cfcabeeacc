//! `clear_text` where somebody else knows whether a password is right: PAM or an LDAP server; and
//! whom the latter lets a client become at the server.

#[cfg(feature = "ldap")]
mod ldap;
#[cfg(feature = "pam")]
mod pam;

use std::time::Duration;

use config::{Checker, LdapCredentials, LdapEndpoint};
use machine::Deadline;
use router::Refusal;
use wire::Notice;

use super::{Candidate, Proof, no_proof};
use crate::dialog::Dialog;
use crate::ending::{Asked, Ending};

/// For who is asked, also where logins may take for ever. PAM modules have been seen to take 10 s.
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(not(all(feature = "ldap", feature = "pam")))]
const NOT_BUILT_IN: &str = "this program was built without it";

/// What somebody is asked.
struct Question {
    user: String,
    password: String,
    /// The client's host; None for a unix socket.
    from: Option<String>,
    deadline: Deadline,
}

impl Candidate<'_> {
    pub(super) fn prove_to(
        &self,
        checker: &Checker,
        dialog: &mut Dialog<'_>,
    ) -> Result<Proof, Ending> {
        let given = super::cleartext::ask(dialog)?;
        let Ok(password) = String::from_utf8(given.clone()) else {
            return Err(self.wrong("the password is not UTF-8 text"));
        };
        // LDAP servers take one for a bind as nobody, which succeeds.
        if password.is_empty() {
            return Err(self.wrong("empty password"));
        }
        let from = self.voice.address().ip().map(|ip| ip.to_string());
        let deadline = Deadline::after(PATIENCE).earliest(self.deadline);
        let question = Question { user: self.user().to_owned(), password, from, deadline };
        let name = match checker {
            Checker::Ldap(endpoint) => name_of(endpoint),
            Checker::Pam(service) => format!("PAM service '{service}'"),
        };
        let theirs = checker.clone();
        let answer = self.shared.checkers.ask(&name, move || asked(&theirs, &question), deadline);
        match answer {
            Ok(Ok(())) => Ok(Proof::password(given)),
            Ok(Err(reason)) => Err(self.wrong(format!("{name}: {reason}"))),
            // The client cannot help it, and is told what everybody is.
            Err(error) => {
                let reason = format!("{name} gave no answer: {error}");
                Err(no_proof(self.wrong_password(), reason))
            }
        }
    }
}

impl Candidate<'_> {
    /// The user at the server for one who has proved who it is.
    ///
    /// # Errors
    /// It may become nobody, or the LDAP server gave no answer.
    pub(in crate::session) fn granted(
        &self,
        credentials: &LdapCredentials,
    ) -> Result<String, Ending> {
        let name = name_of(&credentials.endpoint);
        let (theirs, user) = (credentials.clone(), self.user().to_owned());
        let deadline = Deadline::after(PATIENCE).earliest(self.deadline);
        let body = move || values(&theirs, &user, deadline);
        let answer = self.shared.checkers.ask(&name, body, deadline);
        let Asked { database, user } = &**self.asked;
        let values = answer.map_err(|error| error.to_string()).and_then(|values| values);
        let values = values.map_err(|reason| {
            let text = format_args!(
                "user '{database}.{user}' gets no storage credentials: {name}: {reason}"
            );
            self.voice.error("auth", text);
            let text =
                format!("ldap authentication failed for user \"{user}\": no storage credentials");
            Ending::Login(Notice::fatal("58000", text))
        })?;
        match credentials.grant(database, &values) {
            Some(grant) => {
                let text = format_args!("storage user is '{}' by '{}'", grant.user, grant.name);
                self.voice.session("auth", text);
                Ok(grant.user.clone())
            }
            None => {
                let (attribute, host) = (&credentials.attribute, &credentials.host);
                let text = format_args!(
                    "user '{database}.{user}' gets no storage credentials: {name}: none of {} \
                     values of '{attribute}' holds '{host}_{database}_' and the name of some",
                    values.len()
                );
                self.voice.error("auth", text);
                let Asked { database, user } = Asked::clone(self.asked);
                let refusal = Refusal::NoRoute { database, user };
                Err(Ending::Refused(refusal, self.asked.clone()))
            }
        }
    }
}

fn name_of(endpoint: &LdapEndpoint) -> String {
    format!("ldap_endpoint '{}'", endpoint.name)
}

/// Blocks. What an LDAP server says of a user.
fn values(
    credentials: &LdapCredentials,
    user: &str,
    deadline: Deadline,
) -> Result<Vec<String>, String> {
    #[cfg(feature = "ldap")]
    return ldap::values(&credentials.endpoint, &credentials.attribute, user, deadline);
    #[cfg(not(feature = "ldap"))]
    Err(NOT_BUILT_IN.to_owned())
}

/// Blocks. Err says why not, to the operator.
fn asked(checker: &Checker, question: &Question) -> Result<(), String> {
    match checker {
        #[cfg(feature = "ldap")]
        Checker::Ldap(endpoint) => ldap::knows(endpoint, question),
        #[cfg(feature = "pam")]
        Checker::Pam(service) => pam::knows(service, question),
        #[cfg(not(all(feature = "ldap", feature = "pam")))]
        _ => Err(NOT_BUILT_IN.to_owned()),
    }
}
