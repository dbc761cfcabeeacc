//! The HBA file: who may come in at all, before anybody is asked for a proof. Odyssey's words.

use router::Visitor;
use wire::Notice;

use super::{Candidate, no_proof};
use crate::ending::Ending;

impl Candidate<'_> {
    /// Err if the file keeps it out.
    pub(super) fn may_knock(&self) -> Result<(), Ending> {
        let Some(hba) = self.shared.config().global.hba.clone() else { return Ok(()) };
        let address = self.voice.address().ip();
        let visitor = Visitor {
            database: &self.asked.database,
            user: &self.asked.user,
            address,
            tls: self.channel.is_some(),
            replication: self.replication,
            rule: self.rule,
        };
        let (who, user) = (self.voice.address(), format!("{}.{}", visitor.database, visitor.user));
        let reason = match visitor.line(&hba) {
            Some(line) if line.allows => {
                self.voice.session(
                    "auth",
                    format_args!("ip '{who}' user '{user}': host based authentication allowed"),
                );
                return Ok(());
            }
            Some(line) => format!("{}:{} rejects it", hba.path.display(), line.number),
            None => format!("no line of {} lets it in", hba.path.display()),
        };
        let reason = format!("host based authentication rejected, {reason}");
        Err(no_proof(Notice::error("28P01", "host based authentication rejected"), reason))
    }
}
