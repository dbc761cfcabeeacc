//! `md5`: PostgreSQL's old challenge, for a plain password or its md5 form.

use wire::auth::{StoredSecret, md5};
use wire::encode;

use super::secret::Found;
use super::{Candidate, Proof, no_randomness, password_of, receive_password};
use crate::dialog::Dialog;
use crate::ending::Ending;

impl Candidate<'_> {
    pub(super) fn prove_md5(&self, dialog: &mut Dialog<'_>) -> Result<Proof, Ending> {
        let salt = crate::random::bytes().map_err(no_randomness)?;
        let mut request = Vec::new();
        encode::authentication_md5(&mut request, salt);
        dialog.send(&request)?;
        let body = receive_password(dialog)?;
        let given = password_of(&body)?;
        let stored = match self.secret()? {
            Found::Secret(secret) => match StoredSecret::parse(secret.reveal()) {
                StoredSecret::Plain(password) => md5::stored(self.user(), password),
                StoredSecret::Md5(stored) => stored,
                StoredSecret::Scram(_) => {
                    return Err(self.wrong("a SCRAM verifier cannot prove an md5 login"));
                }
            },
            Found::Nothing(reason) => return Err(self.wrong(reason)),
        };
        match md5::matches(&stored, salt, given) {
            true => Ok(Proof::default()),
            false => Err(self.wrong("wrong password")),
        }
    }
}
