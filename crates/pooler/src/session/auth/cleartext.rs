//! `clear_text`: the password comes as it is. It is compared with whatever form is stored.

use config::Secret;
use wire::auth::scram::ScramVerifier;
use wire::auth::{StoredSecret, cleartext_matches, md5};
use wire::encode;

use super::secret::Found;
use super::{Candidate, Proof, password_of, receive_password};
use crate::dialog::Dialog;
use crate::ending::Ending;

impl Candidate<'_> {
    pub(super) fn prove_cleartext(&self, dialog: &mut Dialog<'_>) -> Result<Proof, Ending> {
        let given = ask(dialog)?;
        let mut stored = match self.secret()? {
            Found::Secret(stored) => stored,
            Found::Nothing(reason) => {
                // It takes as long as with a verifier, which is what databases store.
                self.fits(self.mock()?, &given)?;
                return Err(self.wrong(reason));
            }
        };
        while !self.is_password(&stored.secret, &given)? {
            stored = self.newer(&stored).ok_or_else(|| self.wrong("wrong password"))?;
        }
        Ok(Proof { told: stored.of_server(), ..Proof::password(given) })
    }

    fn is_password(&self, secret: &Secret, given: &[u8]) -> Result<bool, Ending> {
        Ok(match StoredSecret::parse(secret.reveal()) {
            StoredSecret::Plain(password) => cleartext_matches(&password, given),
            StoredSecret::Md5(stored) => {
                cleartext_matches(&stored, md5::stored(self.user(), given))
            }
            StoredSecret::Scram(verifier) => self.fits(verifier, given)?,
        })
    }

    /// On a thread that may burn a millisecond.
    fn fits(&self, verifier: ScramVerifier, given: &[u8]) -> Result<bool, Ending> {
        let given = given.to_vec();
        let check = move || verifier.matches_password(given);
        Ok(machine::offload(check, self.deadline)?.unwrap_or(false))
    }
}

/// The password, as the client sends it.
pub(super) fn ask(dialog: &mut Dialog<'_>) -> Result<Vec<u8>, Ending> {
    let mut request = Vec::new();
    encode::authentication_cleartext(&mut request);
    dialog.send(&request)?;
    let body = receive_password(dialog)?;
    password_of(&body).map(<[u8]>::to_vec)
}
