//! Tables of another pooler's options, so that none is dropped in silence.

use super::notes::Fate;

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
    /// What becomes of the option, and why; None if it is carried over or asks for nothing.
    pub fn fate(&self, key: &str, value: &str) -> Option<(Fate, String)> {
        match self.rows.iter().find(|Row(name, ..)| *name == key) {
            Some(Row(_, default, ..)) if value == *default => None,
            Some(Row(_, _, fate, why)) => Some((*fate, (*why).to_owned())),
            None if self.carried.contains(&key) => None,
            None => {
                Some((Fate::Lost, format!("no {} that is known has such an option", self.whose)))
            }
        }
    }
}
