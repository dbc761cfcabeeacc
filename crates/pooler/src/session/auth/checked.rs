//! `clear_text` where somebody else knows whether a password is right: PAM or an LDAP server.

#[cfg(feature = "ldap")]
mod ldap;
#[cfg(feature = "pam")]
mod pam;

use std::time::Duration;

use config::Checker;
use machine::{Address, Deadline};

use super::{Candidate, Proof, no_proof};
use crate::dialog::Dialog;
use crate::ending::Ending;

/// For who is asked, also where logins may take for ever. PAM modules have been seen to take 10 s.
const PATIENCE: Duration = Duration::from_secs(30);

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
        let from = match &self.voice.address {
            Address::Tcp(address) => Some(address.ip().to_canonical().to_string()),
            Address::Unix(_) => None,
        };
        let deadline = Deadline::after(PATIENCE).earliest(self.deadline);
        let question = Question { user: self.user().to_owned(), password, from, deadline };
        let name = match checker {
            Checker::Ldap(endpoint) => format!("ldap_endpoint '{}'", endpoint.name),
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

/// Blocks. Err says why not, to the operator.
fn asked(checker: &Checker, question: &Question) -> Result<(), String> {
    match checker {
        #[cfg(feature = "ldap")]
        Checker::Ldap(endpoint) => ldap::knows(endpoint, question),
        #[cfg(feature = "pam")]
        Checker::Pam(service) => pam::knows(service, question),
        #[cfg(not(all(feature = "ldap", feature = "pam")))]
        _ => Err("this program was built without it".to_owned()),
    }
}
