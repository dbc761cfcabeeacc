//! Remarks: what a text may do besides what it answers, statement by statement: settings it may
//! change, things it may leave behind, names it decides about. A light scan of heads and words; it
//! may suspect too much, for the server is asked before anything is believed.

use wire::scan::{self, Head, contains};

use super::translate::{Translation, statement_text};
use crate::backend::{Reset, Suspicion};

/// Bytes of statements that are read for one text that executes them, as often as it does; the
/// server is asked what the others did.
const EXECUTED_BYTES_MAX: usize = 1 << 20;

impl Translation<'_> {
    /// A text too long to be looked at.
    pub(super) fn unseen(&mut self) {
        self.core.holdings.suspicion.add(Suspicion::UNKNOWN);
        self.core.holdings.touched.touch_all();
    }

    /// What a text may do, statement by statement. True if what follows hangs on it.
    pub(super) fn remark(&mut self, text: &[u8]) -> bool {
        self.core.holdings.suspicion.text(text);
        if self.is_watchful() {
            self.core.holdings.suspicion.removal(text);
        }
        let mut barrier = false;
        let mut executed_bytes = 0;
        for statement in scan::statements(text) {
            barrier |= self.remark_statement(&statement.head, statement.text);
            let Head::Execute { name } = &statement.head else { continue };
            let known = self.own.names.get(&name.folded).filter(|_| !name.folded.is_empty());
            let Some(executed) = known.cloned() else { continue };
            executed_bytes += statement_text(&executed).len();
            barrier |= match executed_bytes <= EXECUTED_BYTES_MAX {
                true => self.remark_executed(statement_text(&executed)),
                false => {
                    self.unseen();
                    true
                }
            };
        }
        barrier
    }

    /// What a text may do that another one executes; that it executes one itself is not looked at.
    fn remark_executed(&mut self, text: &[u8]) -> bool {
        if !scan::is_remarkable(text) {
            return false;
        }
        self.core.holdings.suspicion.text(text);
        let mut barrier = false;
        for statement in scan::statements(text) {
            barrier |= self.remark_statement(&statement.head, statement.text);
        }
        barrier
    }

    fn remark_statement(&mut self, head: &Head<'_>, text: &[u8]) -> bool {
        const CHARACTERISTICS: [&[u8]; 3] = [
            b"default_transaction_isolation",
            b"default_transaction_read_only",
            b"default_transaction_deferrable",
        ];
        let held = std::sync::Arc::clone(&self.core.holdings.settings);
        let touched = &mut self.core.holdings.touched;
        match head {
            Head::Set { name } => {
                let reset = if sets_default(name, text) { Reset::Yes } else { Reset::No };
                touched.foresee(name, reset);
                if **name == *b"session_authorization" {
                    touched.touch(b"role", reset);
                }
                return reset == Reset::Yes && self.own.has_startup();
            }
            Head::SetCharacteristics => {
                touched.foresee_nothing();
                CHARACTERISTICS.iter().for_each(|name| touched.touch(name, Reset::No));
            }
            Head::SetLocal => touched.foresee_nothing(),
            Head::Reset { name } => {
                touched.foresee(name, Reset::Yes);
                if **name == *b"session_authorization" {
                    touched.touch(b"role", Reset::Yes);
                }
                return self.own.has_startup();
            }
            Head::ResetAll => {
                let asked = &self.core.holdings.asked;
                let names = held.iter().chain(self.own.wanted.iter()).map(|(name, _)| name);
                let names = names.chain(asked.names().map(|(name, _)| name));
                touched.reset_all(names);
                if asked.all() {
                    touched.touch_all();
                }
                return self.own.has_startup();
            }
            Head::SetConfig { local: Some(true), .. } => {}
            Head::SetConfig { name: Some(name), .. } => {
                let reset = if contains(text, b"null") { Reset::Either } else { Reset::No };
                touched.touch(name, reset);
                return reset == Reset::Either && self.own.has_startup();
            }
            Head::SetConfig { .. } => touched.touch_all(),
            Head::Prepare { name } => {
                self.own.prepare_by_sql(&name.folded);
                self.own.sets_by_sql |= contains(text, b"set_config");
            }
            Head::Execute { .. } if self.own.sets_by_sql => touched.touch_all(),
            Head::DiscardAll | Head::DeallocateAll | Head::Deallocate { .. } => {
                self.own.doubts_names = true;
                return true;
            }
            _ => {}
        }
        false
    }
}

/// Is this SET a RESET? `SET x TO DEFAULT`, `SET TIME ZONE LOCAL`, `SET NAMES`.
fn sets_default(name: &[u8], text: &[u8]) -> bool {
    let text = text.trim_ascii_end();
    let text = text.strip_suffix(b";").unwrap_or(text).trim_ascii_end();
    let ends_with = |word: &[u8]| {
        text.len() > word.len() && text[text.len() - word.len()..].eq_ignore_ascii_case(word)
    };
    ends_with(b"default")
        || (name == b"timezone" && ends_with(b"local"))
        || (name == b"client_encoding" && ends_with(b"names"))
}
