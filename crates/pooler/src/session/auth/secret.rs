//! Where the secret stands that a proof is compared with: in the rule, or with a server that is
//! asked (`auth_query`). The methods ask here and nowhere else.

use std::borrow::Cow;
use std::sync::Arc;

use config::{AuthQuery, Authentication, Secret};
use wire::Notice;

use super::Candidate;
use crate::auth_query::{self, Failure, Told};
use crate::ending::Ending;

/// What is known of a user.
pub(super) enum Found {
    /// What its proof has to fit.
    Secret(Stored),
    /// Nothing, and why; that is for the operator. The exchange goes on and fails as with a wrong
    /// password.
    Nothing(Cow<'static, str>),
}

/// A secret, and who told it.
pub(super) struct Stored {
    pub(super) secret: Secret,
    /// None: the rule.
    told: Option<Told>,
}

impl Stored {
    /// What a server told, which fits that server, too.
    pub(super) fn of_server(&self) -> Option<Secret> {
        self.told.as_ref().map(|told| told.secret.clone())
    }
}

impl From<Told> for Stored {
    fn from(told: Told) -> Self {
        Self { secret: told.secret.clone(), told: Some(told) }
    }
}

impl Candidate<'_> {
    /// The secret of the user who wants to come in.
    ///
    /// # Errors
    /// It could not be looked up, which is not the client's fault.
    pub(super) fn secret(&self) -> Result<Found, Ending> {
        if let Some(query) = &self.rule.auth_query {
            return self.ask_for_secret(query);
        }
        Ok(match &self.rule.password {
            Some(secret) => Found::Secret(Stored { secret: secret.clone(), told: None }),
            None => Found::Nothing("the rule has no password".into()),
        })
    }

    /// The proof does not fit `stored`, which may have been told before the password was changed:
    /// another secret, if there is another now.
    pub(super) fn newer(&self, stored: &Stored) -> Option<Stored> {
        let told = stored.told.as_ref()?;
        let queries = &self.shared.auth_queries;
        queries.doubt(self.shared, told, self.deadline).map(Stored::from)
    }

    fn ask_for_secret(&self, query: &Arc<AuthQuery>) -> Result<Found, Ending> {
        let address = self.voice.address().ip();
        let asked = (self.user(), address);
        let found = self.shared.auth_queries.find(self.shared, query, asked, self.deadline);
        match found {
            Ok(auth_query::Found::Secret(told)) => Ok(Found::Secret(told.into())),
            Ok(auth_query::Found::Nothing(reason)) => Ok(Found::Nothing(reason.into())),
            Err(Failure::Ended(error)) => Err(error.into()),
            Err(Failure::Unanswered(reason)) => {
                self.voice.error("auth", format_args!("failed to make auth_query: {reason}"));
                let text = match self.rule.authentication {
                    Authentication::ScramSha256 => "frontend auth: failed to make auth query",
                    _ => "failed to make auth query",
                };
                Err(Ending::Login(Notice::error("28000", text)))
            }
        }
    }
}
