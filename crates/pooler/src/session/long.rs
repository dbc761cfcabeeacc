//! Texts that are too long to be read: as much of their beginning is as there is room for without a
//! longer buffer. What stands there is remarked, and names of statements in it get the names that
//! they have at the server; what stands behind is asked about when it is done, and speaks of what
//! the server calls so.

use wire::conversation::Purpose;
use wire::frame::{HEADER_BYTES, Header};
use wire::scan::Backslashes;
use wire::tag::frontend as tag;

use super::spoken::{Spoken, names_in};
use super::translate::{Step, Translation, text_at};
use super::unnamed::replaced;
use crate::backend::Suspicion;
use crate::nonsense::Nonsense;

/// The names of prepared statements in a text, or in its beginning: one at the end may go on.
pub(super) fn names_in_beginning(
    text: &[u8],
    is_whole: bool,
    known: Backslashes,
) -> Vec<Spoken<'_>> {
    let mut names = names_in(text, known);
    names.retain(|spoken| is_whole || spoken.ends_before(text.len()));
    names
}

impl Translation<'_> {
    /// May more come of the message ahead, which is not here as a whole, than has?
    pub(super) fn lacks_beginning(&mut self, header: &Header) -> bool {
        self.body(header).is_none() && self.passage.can_get_more()
    }

    /// The text of the query ahead, and whether that is all of it.
    pub(super) fn query_text(&mut self, header: &Header) -> (&[u8], bool) {
        let ahead = self.passage.ahead();
        match ahead.get(HEADER_BYTES..header.frame_bytes()) {
            Some(body) => (body.strip_suffix(b"\0").unwrap_or(body), true),
            None => (&ahead[HEADER_BYTES..], false),
        }
    }

    /// A Parse that is too long to be shared: it keeps its client's name, and ties it to the
    /// server. The unnamed statement does so until its transaction ends.
    pub(super) fn parse_long(&mut self, header: &Header) -> Result<Step, Nonsense> {
        if self.lacks_beginning(header) {
            return Ok(Step::Wait);
        }
        let body = self.passage.ahead()[HEADER_BYTES..].to_vec();
        let name = text_at(&body, 0).unwrap_or(&body);
        let text = body.get(name.len() + 1..).unwrap_or_default();
        let mut names = names_in_beginning(text, false, self.own.backslashes());
        names.truncate(1); // a Parse takes one statement
        if self.awaits_names(&names, text) {
            return Ok(Step::Wait);
        }
        self.unseen();
        self.core.holdings.suspicion.add(Suspicion::STATEMENT);
        let edits = self.renamed(&names, Purpose::Statement)?;
        let changed = self.changed(text, &edits, &names);
        let op = name.is_empty().then(|| replaced(self.own, self.core));
        let bytes = match &changed {
            Some(_) => self.amend(&edits, name.len() + 1),
            None => header.frame_bytes(),
        };
        let Some(op) = op else { return self.send(header, bytes) };
        self.core.holdings.unnamed = Some(self.own.keep_unnamed(None, true));
        self.core.holdings.unnamed_changed = changed;
        self.send_noted(tag::PARSE, bytes, op)
    }
}
