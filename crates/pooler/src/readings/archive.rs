//! The archive: what was counted on routes that nobody uses any more, so that totals never fall. By
//! the names of database and user at the server; it is bounded, and what is beyond goes to one
//! nameless entry.

use std::collections::HashMap;
use std::sync::Mutex;

use router::Counters;

use super::SeenTotals;
use crate::backend::Home;

/// More than there are routes at once; an entry is about 1.7 KB.
const ENTRIES_MAX: usize = 1 << 12;

/// Database and user at the server.
type Names = (String, String);

/// Totals of what is gone.
#[derive(Default)]
pub struct Archive(Mutex<HashMap<Names, SeenTotals>>);

impl Archive {
    /// A home ends; its pool's counters were taken from it.
    pub fn keep(&self, home: &Home, counters: &Counters) {
        let seen = SeenTotals::of(home, counters);
        if seen == SeenTotals::default() {
            return;
        }
        let key = home.route.key();
        self.add((key.database.clone(), key.user.clone()), &seen);
    }

    fn add(&self, mut names: Names, seen: &SeenTotals) {
        let mut known = self.0.lock().expect("nothing panics under this lock");
        if known.len() >= ENTRIES_MAX && !known.contains_key(&names) {
            names = (String::new(), String::new());
        }
        let entry = known.entry(names).or_default();
        *entry = entry.plus(seen);
    }

    /// Everything in it.
    pub fn all(&self) -> Vec<(Names, SeenTotals)> {
        let known = self.0.lock().expect("nothing panics under this lock");
        known.iter().map(|(names, seen)| (names.clone(), *seen)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_stays_in_the_sums_however_many_names_there_are() {
        let archive = Archive::default();
        let one = SeenTotals { logins: 1, ..SeenTotals::default() };
        for n in 0..ENTRIES_MAX + 10 {
            archive.add((n.to_string(), "user".into()), &one);
            archive.add(("known".into(), "user".into()), &one);
        }
        let all = archive.all();
        assert_eq!(all.len(), ENTRIES_MAX + 1, "one more is the nameless");
        let sum: u64 = all.iter().map(|(_, seen)| seen.logins).sum();
        assert_eq!(sum, 2 * (ENTRIES_MAX as u64 + 10));
    }
}
