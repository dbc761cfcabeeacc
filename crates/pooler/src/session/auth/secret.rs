//! Where the secret stands that a proof is compared with. The methods ask here and nowhere else.

use std::borrow::Cow;

use config::Secret;

use super::Candidate;
use crate::ending::Ending;

/// What is known of a user.
pub(super) enum Found {
    /// What its proof has to fit.
    Secret(Secret),
    /// Nothing, and why; that is for the operator. The exchange goes on and fails as with a wrong
    /// password.
    Nothing(Cow<'static, str>),
}

impl Candidate<'_> {
    /// The secret of the user who wants to come in.
    ///
    /// # Errors
    /// It could not be looked up, which is not the client's fault.
    pub(super) fn secret(&self) -> Result<Found, Ending> {
        Ok(match &self.rule.password {
            Some(secret) => Found::Secret(secret.clone()),
            None => Found::Nothing("the rule has no password".into()),
        })
    }
}
