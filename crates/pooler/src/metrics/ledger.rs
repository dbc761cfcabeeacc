//! The ledger: under which names routes are shown. A route's database and user are strangers'
//! words, so the number of names is bounded: only those get one on whose routes something was done,
//! first come first served and for good, or a counter would go back; all others are summed under
//! one name.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::tally::{Times, Totals};

/// Pairs of database and user that are shown; each costs about 15 KB of every page.
pub const ROUTES_SHOWN_MAX: usize = 256;

/// The database and the user of all others.
pub const OTHER: &str = "other";

/// What the archive has no more names for.
const NAMELESS: (&str, &str) = ("", "");

/// Database and user at the server; None: the others.
pub type Label = Option<(String, String)>;

/// See above.
#[derive(Default)]
pub struct Ledger(Mutex<Books>);

/// What is behind the lock.
#[derive(Default)]
pub(super) struct Books {
    /// Homes there are.
    open: usize,
    shown: HashSet<Label>,
    rates: Baselines,
}

/// What was counted under a name at some time.
#[derive(Clone, Debug, Default)]
pub(super) struct Mark {
    pub totals: Totals,
    pub waited: Duration,
    pub waits: u64,
    pub times: Times,
}

/// Two readings, one of which is old enough to tell a rate by.
#[derive(Default)]
struct Baselines {
    older: Option<(Instant, HashMap<Label, Mark>)>,
    newer: Option<(Instant, HashMap<Label, Mark>)>,
}

impl Ledger {
    /// A home was made.
    pub fn open(&self) {
        self.lock().open += 1;
    }

    /// A home has ended: what was done there is in the archive.
    pub fn close(&self) {
        self.lock().open -= 1;
    }

    /// How many are made and have not ended.
    pub fn homes(&self) -> usize {
        self.lock().open
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().expect("nothing panics under this lock")
    }
}

impl Books {
    /// The name under which these are shown, on whose routes something was done.
    pub(super) fn label(&mut self, database: &str, user: &str) -> Label {
        let label = Some((database.to_owned(), user.to_owned()));
        if self.shown.contains(&label) {
            return label;
        }
        if self.shown.len() >= ROUTES_SHOWN_MAX || (database, user) == NAMELESS {
            return None;
        }
        self.shown.insert(label.clone());
        label
    }

    /// The reading to tell rates by: at least `interval` old, if there has been one for so long.
    /// This one takes its place in time.
    pub(super) fn baseline(
        &mut self,
        now: Instant,
        interval: Duration,
        marks: impl FnOnce() -> HashMap<Label, Mark>,
    ) -> Option<(Instant, &HashMap<Label, Mark>)> {
        let Baselines { older, newer } = &mut self.rates;
        let is_due = |(at, _): &(Instant, _)| now.duration_since(*at) >= interval;
        if newer.as_ref().is_none_or(is_due) {
            *older = newer.replace((now, marks()));
        }
        older.as_ref().map(|(at, marks)| (*at, marks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_kept() {
        let mut books = Books::default();
        assert_eq!(books.label("", ""), None, "the archive's others");
        for n in 0..ROUTES_SHOWN_MAX {
            assert!(books.label(&n.to_string(), "user").is_some());
        }
        assert_eq!(books.label("one more", "user"), None);
        assert!(books.label("0", "user").is_some());
    }

    #[test]
    fn rates_are_told_over_an_interval_at_least() {
        let (mut books, start) = (Books::default(), Instant::now());
        let at = |s: u64| start + Duration::from_secs(s);
        let mut since = |s: u64| {
            let marks = HashMap::new;
            let found = books.baseline(at(s), Duration::from_secs(3), marks);
            found.map(|(then, _)| then.duration_since(start).as_secs())
        };
        assert_eq!(
            [0, 1, 3, 4, 5, 6, 7, 60, 120].map(&mut since),
            [None, None, Some(0), Some(0), Some(0), Some(3), Some(3), Some(6), Some(60)]
        );
    }
}
