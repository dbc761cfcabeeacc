//! Routes: what there is of each and what was done on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use config::Rule;
use router::{Counters, Counts, State};

use crate::backend::Home;
use crate::errors;
use crate::shared::Shared;
use crate::tally::{Spans, Times, Totals};
use crate::turns::Turns;

/// Looks at a set of homes that somebody is leaving at the same time.
const TRIES_MAX: usize = 100;

/// One route, with its pool.
pub struct RouteReading {
    /// The rule it follows now.
    pub rule: Arc<Rule>,
    /// The database at the server.
    pub database: String,
    /// The user at the server.
    pub user: String,
    /// An operator paused it.
    pub is_paused: bool,
    /// Clients logged in, or about to be.
    pub clients: usize,
    /// Servers by state, and who waits.
    pub counts: Counts,
    /// Cancels on their way to servers.
    pub cancels: u64,
    /// How long the oldest of those who wait has.
    pub oldest_wait: Option<Duration>,
    /// What was done since the home of the route was made; see [`database_totals`].
    pub seen: SeenTotals,
    /// How long things took, if its rule wants to know.
    pub times: Option<Times>,
}

/// Numbers that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeenTotals {
    /// What clients did.
    pub done: Totals,
    /// How long things took.
    pub spans: Spans,
    /// Servers that could not be opened.
    pub connect_failures: u64,
    /// What the pool decided.
    pub counters: Counters,
    /// Times a client was tied to its server.
    pub pins: u64,
    /// Clients that came.
    pub logins: u64,
    /// What went wrong, in the order of [`errors::NAMES`].
    pub errors: errors::Counts,
}

impl SeenTotals {
    /// What a home counted, with these counters of its pool.
    pub fn of(home: &Home, counters: &Counters) -> Self {
        Self {
            done: home.tally.totals(),
            spans: home.tally.spans(),
            connect_failures: home.tally.connect_failures(),
            counters: *counters,
            pins: home.tally.pins(),
            logins: home.logins.load(Ordering::Relaxed),
            errors: home.errors.counts(),
        }
    }

    /// Has a client been let in, or was a server to be opened? Both come behind a proof.
    pub fn is_used(&self) -> bool {
        self.counters.opens > 0 || self.spans.iter().any(|span| span.count() > 0)
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, more: &SeenTotals) -> SeenTotals {
        SeenTotals {
            done: self.done.plus(&more.done),
            spans: std::array::from_fn(|at| self.spans[at].plus(&more.spans[at])),
            connect_failures: self.connect_failures + more.connect_failures,
            counters: self.counters.plus(&more.counters),
            pins: self.pins + more.pins,
            logins: self.logins + more.logins,
            errors: std::array::from_fn(|at| self.errors[at] + more.errors[at]),
        }
    }
}

/// All that was counted since the start: nothing is missing, and nothing is there twice.
pub struct Counted {
    /// On the routes that anybody uses.
    pub routes: Vec<RouteReading>,
    /// On those that are gone, by database and user at the server.
    pub gone: Vec<((String, String), SeenTotals)>,
}

/// What was counted, where it was.
pub fn counted(shared: &Shared) -> Counted {
    let homes = all_homes(shared);
    // Homes in our hands cannot go to the archive meanwhile, and be counted twice.
    let gone = shared.archive.all();
    Counted { routes: homes.iter().map(in_turn(route)).collect(), gone }
}

/// The routes that anybody uses.
pub fn routes(shared: &Shared) -> Vec<RouteReading> {
    all_homes(shared).iter().map(in_turn(route)).collect()
}

/// A home that ends is for a moment neither there nor in the archive; not to be missed, as if
/// counters had gone back.
fn all_homes(shared: &Shared) -> Vec<Arc<Home>> {
    let mut homes = shared.homes();
    for _ in 0..TRIES_MAX {
        if shared.ledger.homes() == homes.len() {
            break;
        }
        drop(homes);
        machine::yield_now();
        homes = shared.homes();
    }
    homes
}

/// A long row of readings keeps nobody else waiting.
fn in_turn<T>(read: fn(&Arc<Home>) -> T) -> impl FnMut(&Arc<Home>) -> T {
    let mut turns = Turns::default();
    move |home| {
        turns.round();
        read(home)
    }
}

/// What was done since the start, by the name of the database at the server.
pub fn database_totals(shared: &Shared) -> BTreeMap<String, SeenTotals> {
    let mut totals: BTreeMap<String, SeenTotals> = BTreeMap::new();
    let mut add = |database: String, seen: &SeenTotals| {
        let entry = totals.entry(database).or_default();
        *entry = entry.plus(seen);
    };
    let Counted { routes, gone } = counted(shared);
    routes.into_iter().for_each(|route| add(route.database, &route.seen));
    gone.into_iter().for_each(|((database, _), seen)| add(database, &seen));
    totals
}

/// One of them.
fn route(home: &Arc<Home>) -> RouteReading {
    let (key, now) = (home.route.key(), machine::now());
    let (counts, counters, oldest, cancels) = home.route.with(|pool| {
        let cancels = pool.slots().filter(|slot| slot.state != State::Idle);
        let cancels: u64 = cancels.map(|slot| u64::from(slot.cancels)).sum();
        (pool.counts(), *pool.counters(), pool.oldest_wait(), cancels)
    });
    RouteReading {
        rule: Arc::clone(&home.route.rule()),
        database: key.database.clone(),
        user: key.user.clone(),
        is_paused: home.route.is_paused(),
        clients: if key.host == 0 { home.route.clients() } else { 0 }, // counted there
        counts,
        cancels,
        oldest_wait: oldest.map(|since| now.saturating_duration_since(since)),
        seen: SeenTotals::of(home, &counters),
        times: home.tally.times(),
    }
}
