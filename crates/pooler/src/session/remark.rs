//! Remarks: what a text may do besides what it answers, statement by statement: settings it may
//! change, things it may leave behind, names it decides about. A light scan of heads and words; it
//! may suspect too much, for the server is asked before anything is believed.

use wire::frame::Header;
use wire::scan::{self, Gist, Head, Look, Mentions};

use super::translate::Translation;
use crate::backend::{Reset, Suspicion};

/// What going through one setting costs, in bytes of a text that are read meanwhile.
const SETTING_EFFORT_BYTES: usize = 64;

/// A value of a Bind that is longer is no name of a setting.
const SETTING_NAME_BYTES_MAX: usize = 256;

impl Translation<'_> {
    /// A text too long to be looked at.
    pub(super) fn unseen(&mut self) {
        self.core.holdings.suspicion.add(Suspicion::UNKNOWN);
        self.core.holdings.touched.touch_all();
    }

    /// What a text may do, statement by statement. True if what follows hangs on it.
    pub(super) fn remark(&mut self, text: &[u8]) -> bool {
        self.effort_bytes += text.len();
        self.remark_words(Mentions::of(text), || scan::removes(text));
        let mut barrier = false;
        let mut look = Look::default();
        for statement in scan::statements(text) {
            let qualified = look.qualifies(&statement);
            barrier |= self.remark_part(&statement.head, qualified);
            barrier |= self.remark_executed(&statement.head);
        }
        barrier
    }

    /// The same of a prepared statement, whose text is not read again.
    pub(super) fn remark_gist(&mut self, gist: &Gist) -> bool {
        self.remark_words(gist.mentions(), || gist.removes());
        let mut barrier = self.remark_parts(gist);
        for part in gist.parts() {
            barrier |= self.remark_executed(&part.head);
        }
        barrier
    }

    fn remark_words(&mut self, mentions: Mentions, removes: impl FnOnce() -> bool) {
        self.core.holdings.suspicion.text(mentions);
        if self.is_watchful() && removes() {
            self.core.holdings.suspicion.add(Suspicion::UNKNOWN);
        }
    }

    fn remark_parts(&mut self, gist: &Gist) -> bool {
        let mut barrier = gist.is_cut();
        if gist.is_cut() {
            self.unseen();
        }
        for part in gist.parts() {
            barrier |= self.remark_part(&part.head, part.qualified);
        }
        barrier
    }

    /// What a statement may do that this one executes; that it executes one itself is not looked
    /// at.
    fn remark_executed(&mut self, head: &Head<'_>) -> bool {
        let Head::Execute { name } = head else { return false };
        let known = self.own.names.get(&name.folded).filter(|_| !name.folded.is_empty());
        let Some(executed) = known.filter(|known| known.is_remarkable()).cloned() else {
            return false;
        };
        self.core.holdings.suspicion.text(executed.gist().mentions());
        self.remark_parts(executed.gist())
    }

    /// One thing that a text does; see [`Look::qualifies`].
    fn remark_part(&mut self, head: &Head<'_>, qualified: bool) -> bool {
        const CHARACTERISTICS: [&[u8]; 3] = [
            b"default_transaction_isolation",
            b"default_transaction_read_only",
            b"default_transaction_deferrable",
        ];
        let held = std::sync::Arc::clone(&self.core.holdings.settings);
        let touched = &mut self.core.holdings.touched;
        match head {
            Head::Set { name } => {
                let reset = if qualified { Reset::Yes } else { Reset::No };
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
                let first = !std::mem::replace(&mut self.has_reset_all, true);
                let asked = &self.core.holdings.asked;
                let names = held.iter().chain(self.own.wanted.iter()).map(|(name, _)| name);
                let names = names.chain(asked.names().map(|(name, _)| name));
                // The second time in a message nothing has joined them but what was touched.
                let known = if first { held.len() + self.own.wanted.len() } else { 0 };
                self.effort_bytes += SETTING_EFFORT_BYTES * known;
                touched.reset_all(names.take(if first { usize::MAX } else { 0 }));
                if asked.all() {
                    touched.touch_all();
                }
                return self.own.has_startup();
            }
            Head::SetConfig { local: Some(true), .. } => {}
            Head::SetConfig { name: Some(name), .. } => {
                let reset = if qualified { Reset::Either } else { Reset::No };
                touched.touch(name, reset);
                return reset == Reset::Either && self.own.has_startup();
            }
            Head::SetConfig { .. } => touched.touch_all(),
            Head::Prepare { name } => {
                self.own.prepare_by_sql(&name.folded);
                self.own.sets_by_sql |= qualified;
            }
            Head::Execute { .. } if self.own.sets_by_sql => touched.touch_all(),
            Head::DiscardAll | Head::DeallocateAll | Head::Deallocate { .. } => {
                if matches!(head, Head::DiscardAll) {
                    touched.discard();
                }
                self.own.doubts_names = true;
                return true;
            }
            _ => {}
        }
        false
    }

    /// The values of a Bind of `set_config($1, …)`: the names of settings among them.
    pub(super) fn remark_values(&mut self, header: &Header) {
        let Some(body) = self.body(header) else { return self.core.holdings.touched.touch_all() };
        let Ok(bind) = wire::frontend::bind(body) else { return };
        let is_name = |value: &&[u8]| {
            (1..=SETTING_NAME_BYTES_MAX).contains(&value.len())
                && value.iter().all(|b| b.is_ascii_alphanumeric() || b"_.$".contains(b) || *b > 127)
                && std::str::from_utf8(value).is_ok()
        };
        let values: Vec<_> = bind.values().flatten().filter(is_name).map(<[u8]>::to_vec).collect();
        for value in values {
            self.core.holdings.touched.touch(&value.to_ascii_lowercase(), Reset::No);
        }
    }

    /// Is there a NULL among the values of a Bind? `set_config` resets by it.
    pub(super) fn gives_null(&mut self, header: &Header) -> bool {
        let bind = self.body(header).and_then(|body| wire::frontend::bind(body).ok());
        bind.is_some_and(|bind| bind.values().any(|value| value.is_none()))
    }
}
