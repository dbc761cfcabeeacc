//! A snapshot: one look at all that is counted. Numbers are read one by one, without stopping
//! anybody, so two of them may be a moment apart; each is true, and none ever goes back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use config::Quantile;
use machine::{MachineHandle, MachineStats, NamesCount, OffloadStats};
use router::Counts;

use super::ledger::{Books, Label, Mark, OTHER};
use super::process::Process;
use crate::readings::{self, Counted, RouteReading, SeenTotals};
use crate::reload::Done;
use crate::shared::Shared;
use crate::tally::{Times, Totals};

/// What is counted, now.
pub struct Snapshot {
    pub(super) shared: Arc<Shared>,
    pub(super) machines: Vec<MachineStats>,
    pub(super) offload: OffloadStats,
    pub(super) process: Option<Process>,
    pub(super) names: NamesCount,
    pub(super) reloads: Done,
    pub(super) is_paused: bool,
    pub(super) started: SystemTime,
    /// Why clients should not be sent here; None: they may come.
    pub(super) unready: Option<&'static str>,
    /// By database and user; what is beyond the bound comes last.
    pub rows: Vec<Row>,
    /// By database.
    pub(super) rates: BTreeMap<String, Rates>,
}

/// The routes of one database and user.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// At the server.
    pub database: String,
    /// At the server.
    pub user: String,
    /// The pooling of the rule; None where routes of several names are summed.
    pub mode: Option<&'static str>,
    /// What was done.
    pub seen: SeenTotals,
    /// Servers by state, and clients that wait.
    pub counts: Counts,
    /// Clients there are.
    pub clients: usize,
    /// How many servers there may be; of a pool without limit, how many there are.
    pub capacity: usize,
    /// How long the client that waits longest has waited.
    pub longest_wait: Duration,
    /// What a rule of them wants to know.
    pub(super) quantiles: Vec<Quantile>,
    /// How long things took: in the last `stats_interval` or more, once the snapshot is complete.
    pub(super) times: Times,
}

/// What was done on the routes of a database, a second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rates {
    pub since: Totals,
    pub waited: Duration,
    pub waits: u64,
    pub elapsed: Duration,
}

impl Snapshot {
    /// From a coroutine; with a look at /proc, for which it waits a little.
    pub fn take(shared: &Arc<Shared>, machines: &[MachineHandle]) -> Snapshot {
        let offload = machine::offload_stats().unwrap_or_default(); // before it has our own work
        let process = Process::look();
        let (rows, rates) = rows(shared, machine::now());
        Snapshot {
            machines: machines.iter().map(MachineHandle::stats).collect(),
            offload,
            process,
            names: shared.names.count(),
            reloads: shared.reloads.done(),
            is_paused: shared.routes.gates().is_all_paused(),
            started: shared.started,
            unready: crate::web::unready(shared),
            rows,
            rates,
            shared: Arc::clone(shared),
        }
    }
}

/// Rows of those that live and those that are gone, and rates by database.
fn rows(shared: &Shared, now: Instant) -> (Vec<Row>, BTreeMap<String, Rates>) {
    let Counted { routes, gone } = readings::counted(shared);
    let mut rows = BTreeMap::new();
    for reading in &routes {
        let RouteReading { database, user, seen, .. } = reading;
        if let Some(row) = row_of(shared, &mut rows, database, user, seen) {
            row.take_in(reading);
        }
    }
    for ((database, user), seen) in &gone {
        row_of(shared, &mut rows, database, user, seen);
    }
    let interval = Duration::from_secs(shared.config().global.stats_interval_s);
    rate(&mut shared.ledger.lock(), rows, now, interval)
}

/// The row that has the names of these, with what was done there; None: nothing was.
fn row_of<'a>(
    shared: &Shared,
    rows: &'a mut BTreeMap<Key, Row>,
    database: &str,
    user: &str,
    seen: &SeenTotals,
) -> Option<&'a mut Row> {
    if !seen.is_used() {
        return None;
    }
    let key = Key::from(shared.ledger.lock().label(database, user));
    let row = rows.entry(key).or_insert_with_key(Key::row);
    row.seen = row.seen.plus(seen);
    Some(row)
}

fn rate(
    books: &mut Books,
    by_label: BTreeMap<Key, Row>,
    now: Instant,
    interval: Duration,
) -> (Vec<Row>, BTreeMap<String, Rates>) {
    let marks = || by_label.iter().map(|(key, row)| (key.label.clone(), row.mark())).collect();
    let nothing = HashMap::new();
    let (then, marks) = books.baseline(now, interval, marks).unwrap_or((now, &nothing));
    let (mut rows, mut rates) = (Vec::new(), BTreeMap::<String, Rates>::new());
    let zero = Mark::default();
    for (key, mut row) in by_label {
        let mark = marks.get(&key.label).unwrap_or(&zero);
        row.times = row.times.since(&mark.times);
        let rate = rates.entry(row.database.clone()).or_default();
        rate.since = rate.since.plus(&row.seen.done.since(&mark.totals));
        rate.waited += row.seen.counters.wait_total.saturating_sub(mark.waited);
        rate.waits += row.seen.counters.waits.saturating_sub(mark.waits);
        rate.elapsed = now.duration_since(then);
        rows.push(row);
    }
    (rows, rates)
}

/// Names in order, the others behind them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    is_other: bool,
    label: Label,
}

impl From<Label> for Key {
    fn from(label: Label) -> Key {
        Key { is_other: label.is_none(), label }
    }
}

impl Key {
    fn row(&self) -> Row {
        let other = || (OTHER.to_owned(), OTHER.to_owned());
        let (database, user) = self.label.clone().unwrap_or_else(other);
        Row { database, user, ..Row::default() }
    }
}

impl Row {
    /// What is there now; what was done is in it already.
    fn take_in(&mut self, reading: &RouteReading) {
        let RouteReading { rule, counts, clients, oldest_wait, times, .. } = reading;
        self.counts = self.counts.plus(counts);
        self.clients += clients;
        self.capacity += rule.pool_size.unwrap_or(counts.servers());
        self.longest_wait = self.longest_wait.max(oldest_wait.unwrap_or_default());
        self.mode = Some(rule.pool.as_str());
        if !rule.quantiles.is_empty() {
            self.quantiles.extend(&rule.quantiles);
            self.quantiles.sort();
            self.quantiles.dedup();
            self.times = times.iter().fold(self.times.clone(), |sum, more| sum.plus(more));
        }
    }

    fn mark(&self) -> Mark {
        let SeenTotals { done, counters, .. } = self.seen;
        let (waited, waits) = (counters.wait_total, counters.waits);
        Mark { totals: done, waited, waits, times: self.times.clone() }
    }

    /// Clients that have a server in their hands.
    pub fn clients_active(&self) -> usize {
        self.counts.leased.min(self.clients)
    }

    /// Clients that have none and wait for none.
    pub fn clients_idle(&self) -> usize {
        self.clients.saturating_sub(self.counts.leased + self.counts.waiting)
    }
}

/// What a page shows of the process.
pub struct Whole {
    /// How long it has run.
    pub uptime: Duration,
    /// Why clients should not be sent here.
    pub unready: Option<&'static str>,
    /// An operator paused all pools.
    pub is_paused: bool,
    /// Connections of clients.
    pub clients: usize,
    /// How many there may be.
    pub client_max: Option<usize>,
    /// Memory.
    pub resident_bytes: Option<u64>,
    /// Turns of all machines, by octaves of microseconds.
    pub turns: [u64; machine::TURN_OCTAVES],
}

impl Snapshot {
    /// The process as a whole.
    pub fn whole(&self) -> Whole {
        let of = |octave: usize| self.machines.iter().map(|it| it.turns[octave]).sum();
        Whole {
            uptime: self.started.elapsed().unwrap_or_default(),
            unready: self.unready,
            is_paused: self.is_paused,
            clients: self.shared.clients.live(),
            client_max: self.shared.config().global.client_max,
            resident_bytes: self.process.map(|process| process.resident_bytes),
            turns: std::array::from_fn(of),
        }
    }
}
