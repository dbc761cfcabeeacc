//! Tables of another pooler's options, so that none is dropped in silence.

use super::notes::{Fate, Notes};
use crate::diagnostic::Place;

/// An option that is not carried over: its name, its default (whoever writes that asks for
/// nothing), its fate and why.
pub(super) struct Row(pub &'static str, pub &'static str, pub Fate, pub &'static str);

/// All options of a section.
pub(super) struct Known {
    /// The pooler's name.
    pub whose: &'static str,
    pub rows: &'static [Row],
    /// Those that the converter carries over.
    pub carried: &'static [&'static str],
}

impl Known {
    /// Notes the option unless it is carried over or asks for nothing.
    pub fn judge(&self, key: &str, value: &str, place: &Place, subject: &str, notes: &mut Notes) {
        match self.rows.iter().find(|Row(name, ..)| *name == key) {
            Some(Row(_, default, ..)) if value == *default => {}
            Some(Row(_, _, fate, why)) => notes.add(place, subject, *fate, (*why).to_owned()),
            None if self.carried.contains(&key) => {}
            None => {
                let why = format!("no {} that is known has such an option", self.whose);
                notes.lost(place, subject, why);
            }
        }
    }
}
