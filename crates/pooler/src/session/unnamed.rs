//! The unnamed statement on its way to a server, and what hangs on batches that are not answered:
//! a batch that fails skips what it would have given or taken.

use router::significant_name;
use wire::conversation::Purpose;
use wire::encode;
use wire::frontend::Target;
use wire::tag::frontend as tag;

use super::belongings::Belongings;
use super::translate::Translation;
use crate::backend::{Before, Core, Op};
use crate::nonsense::Nonsense;

impl Translation<'_> {
    /// The server's unnamed statement is this client's, or none.
    pub(super) fn ensure_unnamed(&mut self) -> Result<(), Nonsense> {
        let mut front = Vec::new();
        match self.own.unnamed() {
            Some((which, _)) if self.core.holdings.unnamed == Some(which) => Ok(()),
            Some((which, body)) if !body.is_empty() => {
                let mut body = body.to_vec();
                if self.own.unnamed_is_remarkable() {
                    body = self.unnamed_renamed(body)?;
                }
                encode::parse_renamed(&mut front, "", &body);
                self.put_in_front(tag::PARSE, Purpose::Statement, Op::Renew, &front)?;
                self.core.holdings.unnamed = Some(which);
                self.own.renewed = true;
                Ok(())
            }
            _ => {
                // What is there is somebody else's.
                encode::close(&mut front, Target::Statement, "");
                self.core.holdings.unnamed = None;
                self.own.renewed = true;
                self.put_in_front(tag::CLOSE, Purpose::Statement, Op::Renew, &front)
            }
        }
    }

    /// Does it hang on a batch under way, what the client's name means? The batch of the message
    /// ahead is skipped as a whole: what that one does is certain.
    pub(super) fn hangs(&self, name: &[u8]) -> bool {
        let Core { conversation, holdings, .. } = &*self.core;
        let hangs = match name.is_empty() {
            true => !self.own.renewed && holdings.unnamed_hangs(),
            false => holdings.hangs(significant_name(name), self.own.names.get(name)),
        };
        hangs && conversation.status_may_change()
    }
}

/// The message ahead replaces the unnamed statement, if it is not skipped for something before it.
pub(super) fn replaced(own: &mut Belongings, core: &mut Core) -> Op {
    let Core { conversation, holdings, .. } = core;
    holdings.unnamed_changed = None;
    own.renewed = true;
    let skippable = conversation.outstanding() > 0;
    let held = holdings.unnamed;
    Op::Unnamed(skippable.then(|| Box::new(Before { own: own.take_unnamed(), held })))
}
