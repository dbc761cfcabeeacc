//! `md5`: PostgreSQL's old challenge, for a plain password or its md5 form.

use wire::auth::{StoredSecret, md5};
use wire::encode;

use super::secret::{Found, Stored};
use super::{Candidate, Proof, no_randomness, password_of, receive_password};
use crate::dialog::Dialog;
use crate::ending::Ending;

impl Candidate<'_> {
    pub(super) fn prove_md5(&self, dialog: &mut Dialog<'_>) -> Result<Proof, Ending> {
        let salt = crate::random::bytes().map_err(no_randomness)?;
        let mut request = Vec::new();
        encode::authentication_md5(&mut request, salt);
        dialog.answer(&request)?;
        let body = receive_password(dialog)?;
        let given = password_of(&body)?;
        let mut stored = match self.secret()? {
            Found::Secret(stored) => stored,
            Found::Nothing(reason) => return Err(self.wrong(reason)),
        };
        while !md5::matches(&self.md5_of(&stored)?, salt, given) {
            stored = self.newer(&stored).ok_or_else(|| self.wrong("wrong password"))?;
        }
        Ok(Proof { told: stored.of_server(), ..Proof::default() })
    }

    /// The form that md5 can compare with.
    fn md5_of(&self, stored: &Stored) -> Result<String, Ending> {
        match StoredSecret::parse(stored.secret.reveal()) {
            StoredSecret::Plain(password) => Ok(md5::stored(self.user(), password)),
            StoredSecret::Md5(stored) => Ok(stored),
            StoredSecret::Scram(_) => Err(self.wrong("a SCRAM verifier cannot prove an md5 login")),
        }
    }
}
