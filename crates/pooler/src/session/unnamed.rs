//! The unnamed statement on its way to a server, and what hangs on batches that are not answered:
//! a batch that fails skips what it would have given or taken.

use router::significant_name;
use wire::conversation::Purpose;
use wire::encode;
use wire::frame::Header;
use wire::frontend::Target;
use wire::tag::frontend as tag;

use super::belongings::Belongings;
use super::translate::Translation;
use crate::backend::{Before, Core, Op};
use crate::nonsense::Nonsense;

impl Translation<'_> {
    /// The unnamed statement is used: what it may do.
    pub(super) fn remark_unnamed(&mut self) {
        match self.own.unnamed_gist() {
            Some(gist) => self.own.decides |= self.remark_gist(&gist),
            None if self.own.unnamed().is_some() => self.unseen(),
            None => {} // the server will say so
        }
    }

    /// Is the server's unnamed statement this client's?
    pub(super) fn has_own_unnamed(&self) -> bool {
        let own = self.own.unnamed().map(|(which, _)| which);
        own.is_some() && own == self.core.holdings.unnamed
    }

    /// The server's unnamed statement is this client's, or none. If it is executed (`binds`), it
    /// speaks of what the client's names mean now.
    pub(super) fn ensure_unnamed(&mut self, binds: bool) -> Result<(), Nonsense> {
        let mut front = Vec::new();
        match self.own.unnamed() {
            Some((which, _))
                if self.core.holdings.unnamed.is_some_and(|it| it.is(which, binds)) =>
            {
                Ok(())
            }
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

    /// Must answers come first, before it is known what the client's name means? `decides`:
    /// the message ahead gives it a meaning, or takes it.
    pub(super) fn awaits(&mut self, name: &[u8], decides: bool) -> bool {
        let Core { conversation, holdings, .. } = &mut *self.core;
        if conversation.outstanding() == 0 {
            self.own.flushed = false;
            return false;
        }
        let statement = self.own.names.get(name);
        let hangs = match name.is_empty() {
            true => !self.own.renewed && holdings.unnamed_hangs(),
            false => holdings.hangs(significant_name(name), statement),
        };
        if hangs && conversation.status_may_change() {
            return true; // the batch ahead is skipped as a whole: what that one does is certain
        }
        let may_lack = |one| !holdings.prepared.has(one) || holdings.is_leaving(one);
        let lacks = || statement.is_some_and(may_lack);
        if !(self.own.doubts_names && conversation.is_open() && (decides || lacks())) {
            return false;
        }
        // A DISCARD ALL in front of it, in its own batch: what is prepared again behind that is
        // there, though it should not. Or a DEALLOCATE, of what goes by another name, too. The
        // server tells, if it is made to.
        if !std::mem::replace(&mut self.own.flushed, true) {
            let mut message = Vec::new();
            encode::flush(&mut message);
            self.passage.insert(&message);
        }
        true
    }

    /// A simple query drops the unnamed statement, unless a batch in front of it that is not ended
    /// fails: then it is skipped. A Close has the same fate, and it is told.
    pub(super) fn drop_unnamed(&mut self, header: &Header) -> Result<(), Nonsense> {
        let exists = self.own.unnamed().is_some();
        if exists && !self.is_in_encoding(header) {
            return Ok(());
        }
        let conversation = &self.core.conversation;
        let is_certain = !conversation.is_open();
        if exists && !is_certain && conversation.outstanding() > 0 {
            let mut front = Vec::new();
            encode::close(&mut front, Target::Statement, "");
            let op = replaced(self.own, self.core);
            self.put_in_front(tag::CLOSE, Purpose::Statement, op, &front)?;
        }
        self.own.drop_unnamed();
        self.core.holdings.drop_unnamed(is_certain);
        Ok(())
    }

    /// Is the text ahead in its encoding, as far as it is here? The server refuses another one
    /// before it drops anything.
    fn is_in_encoding(&mut self, header: &Header) -> bool {
        let wide = self.own.speaks_utf8();
        let text = self.body(header).unwrap_or_default();
        !wide || std::str::from_utf8(text).is_ok()
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
