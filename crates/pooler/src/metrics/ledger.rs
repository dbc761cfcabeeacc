//! The ledger: under which names routes are shown, and what was done on those that are gone, so
//! that a counter never goes back. A route's database and user are strangers' words, so the number
//! of names is bounded: only those get one on whose routes something was done, first come first
//! served and for good; all others are summed under one name.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::snapshot::Record;
use crate::backend::Home;
use crate::tally::{Times, Totals};

/// Pairs of database and user that are shown; each costs about 15 KB of every page.
pub const ROUTES_SHOWN_MAX: usize = 256;

/// The database and the user of all others.
pub const OTHER: &str = "other";

/// Database and user at the server; None: the others.
pub type Label = Option<(String, String)>;

/// See above.
#[derive(Default)]
pub struct Ledger(Mutex<Books>);

/// What is behind the lock.
#[derive(Default)]
pub(super) struct Books {
    /// Homes there are.
    pub open: usize,
    /// What was done on routes that are gone; it has every name.
    pub past: HashMap<Label, Record>,
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

    /// A home ends: what was done there is kept.
    pub fn close(&self, home: &Home) {
        let record = Record::of(home);
        let mut books = self.lock();
        books.open -= 1;
        let label = books.label(home);
        books.past.entry(label).or_default().add(&record);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().expect("nothing panics under this lock")
    }
}

impl Books {
    /// The name under which this home is shown.
    pub(super) fn label(&mut self, home: &Home) -> Label {
        let key = home.route.key();
        let label = Some((key.database.clone(), key.user.clone()));
        if self.past.contains_key(&label) {
            return label;
        }
        if self.past.len() >= ROUTES_SHOWN_MAX || !home.tally.is_used() {
            return None;
        }
        self.past.insert(label.clone(), Record::default());
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
