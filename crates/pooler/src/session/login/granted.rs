//! The way of a client to its route, and to a proof where that comes first: with
//! `ldap_storage_credentials_attr` the route is that of the user whom LDAP lets the client become,
//! which is looked up for those only who proved who they are.

use std::sync::Arc;

use config::Rule;

use super::{Login, Negotiated, Proven, auth, replication};
use crate::backend::Home;
use crate::ending::{Asked, Ending};
use machine::sync::shared::Permit;

impl Login<'_> {
    /// The client's route, and its proof if that was asked for already. The permit is given back
    /// before anybody is waited for.
    pub(super) fn reach(
        &mut self,
        rule: &Arc<Rule>,
        asked: &Arc<Asked>,
        negotiated: &Negotiated,
        permit: Permit,
    ) -> Result<(Arc<Home>, Option<Proven>), Ending> {
        let replication = replication(&negotiated.message)?;
        let Some(credentials) = &rule.ldap_credentials else {
            let home = self.route(rule, asked, replication)?;
            drop(permit);
            return Ok((home, None));
        };
        drop(permit);
        let proven = self.prove(rule, replication, asked, negotiated);
        let proven = proven.inspect_err(|ending| {
            auth::pause(&self.voice, &self.client, self.deadline, ending);
        })?;
        let granted = self.candidate(rule, replication, asked, negotiated).granted(credentials)?;
        let at_server = Arc::new(Asked { user: granted, ..Asked::clone(asked) });
        Ok((self.route(rule, &at_server, replication)?, Some(proven)))
    }
}
