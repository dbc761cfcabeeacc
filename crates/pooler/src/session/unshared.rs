//! Statements that a client shares with nobody: they keep its names, at the server that it keeps.
//! What is remembered of them is what they may do when they are bound. It does not look for names
//! of statements in texts.

use router::significant_name;
use wire::frame::Header;
use wire::scan;
use wire::tag::frontend as tag;

use super::translate::{RESERVED, Step, Translation, statement_query};
use crate::backend::{Op, Suspicion};
use crate::nonsense::Nonsense;

impl Translation<'_> {
    /// The name is the client's own at its server; what is remarkable is known by it.
    pub(super) fn parse_unshared(
        &mut self,
        header: &Header,
        name: &[u8],
        behind: &[u8],
    ) -> Result<Step, Nonsense> {
        self.core.holdings.suspicion.add(Suspicion::STATEMENT);
        self.core.holdings.equipped &= !name.starts_with(RESERVED);
        let remarkable = scan::is_remarkable(statement_query(behind));
        if remarkable || self.own.names.get(name).is_some() {
            let statement = self.statements.intern(behind);
            if let Ok(before) = self.own.names.bind(name, statement.clone()) {
                let name = significant_name(name).into();
                let op = Op::Parse { name, statement, before };
                return self.send_noted(tag::PARSE, header.frame_bytes(), op);
            }
        }
        self.send(header, header.frame_bytes())
    }

    /// What the statement of this name may do, which the server has under the client's name.
    pub(super) fn remark_unshared(&mut self, name: &[u8]) {
        if let Some(statement) = self.own.names.get(name).cloned() {
            self.own.decides |= self.remark_gist(statement.gist());
        } else if name.is_empty() && self.own.unnamed_is_remarkable() {
            self.remark_unnamed();
        } else if self.is_watchful() {
            self.core.holdings.suspicion.add(Suspicion::UNKNOWN);
        }
    }
}
