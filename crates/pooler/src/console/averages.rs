//! Averages: what was done on each database during the last `stats_interval`. Totals are read once
//! in each; nothing is counted for it that is not counted anyway.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::rate::{mean, per_second};
use crate::readings::{SeenTotals, database_totals};
use crate::shared::Shared;

/// The last two readings and what is between them.
#[derive(Default)]
pub struct Averages(Mutex<Window>);

#[derive(Default)]
struct Window {
    before: Option<(Instant, BTreeMap<String, SeenTotals>)>,
    rates: BTreeMap<String, Rates>,
    all: Rates,
}

/// What was done in a second, on average, and how long one of it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Transactions a second.
    pub transactions: u64,
    /// Queries a second.
    pub queries: u64,
    /// Servers given to clients, a second.
    pub assignments: u64,
    /// Bytes a second, from clients.
    pub received_bytes: u64,
    /// Bytes a second, to clients.
    pub sent_bytes: u64,
    /// Of one transaction, in microseconds.
    pub transaction_us: u64,
    /// Of one query, in microseconds.
    pub query_us: u64,
    /// Of one wait for a server, in microseconds.
    pub wait_us: u64,
    /// Parses of clients, a second.
    pub parses: u64,
    /// Parses sent to servers, a second.
    pub server_parses: u64,
    /// Binds of clients, a second.
    pub binds: u64,
    /// Clients that came, a second.
    pub logins: u64,
}

impl Averages {
    /// Of each database, by its name at the server.
    pub fn rates(&self) -> BTreeMap<String, Rates> {
        self.0.lock().expect("nothing panics under this lock").rates.clone()
    }

    /// Of all databases together.
    pub fn all(&self) -> Rates {
        self.0.lock().expect("nothing panics under this lock").all
    }

    fn read(&self, now: Instant, totals: BTreeMap<String, SeenTotals>) {
        let mut window = self.0.lock().expect("nothing panics under this lock");
        if let Some((then, before)) = window.before.take() {
            let elapsed = now.saturating_duration_since(then);
            let nothing = SeenTotals::default();
            let rates = totals.iter().map(|(name, seen)| {
                let earlier = before.get(name).unwrap_or(&nothing);
                (name.clone(), Rates::between(earlier, seen, elapsed))
            });
            window.rates = rates.collect();
            window.all = Rates::between(&sum(&before), &sum(&totals), elapsed);
        }
        window.before = Some((now, totals));
    }
}

impl Rates {
    fn between(before: &SeenTotals, now: &SeenTotals, elapsed: Duration) -> Rates {
        let more = |of: fn(&SeenTotals) -> u64| of(now).saturating_sub(of(before));
        let rate = |of: fn(&SeenTotals) -> u64| per_second(more(of), elapsed) as u64;
        let mean = |time: fn(&SeenTotals) -> u64, count: fn(&SeenTotals) -> u64| {
            mean(more(time), more(count))
        };
        Rates {
            transactions: rate(|seen| seen.done.transactions),
            queries: rate(|seen| seen.done.queries),
            assignments: rate(|seen| seen.counters.assignments()),
            received_bytes: rate(|seen| seen.done.received_bytes),
            sent_bytes: rate(|seen| seen.done.sent_bytes),
            transaction_us: mean(|seen| seen.done.transaction_us, |seen| seen.done.transactions),
            query_us: mean(|seen| seen.done.query_us, |seen| seen.done.queries),
            wait_us: mean(wait_us, |seen| seen.counters.waits),
            parses: rate(|seen| seen.done.parses),
            server_parses: rate(|seen| seen.done.server_parses),
            binds: rate(|seen| seen.done.binds),
            logins: rate(|seen| seen.logins),
        }
    }
}

/// What was done on all databases.
pub fn sum(totals: &BTreeMap<String, SeenTotals>) -> SeenTotals {
    totals.values().fold(SeenTotals::default(), |sum, one| sum.plus(one))
}

/// Time that clients have waited for servers, in microseconds.
pub fn wait_us(seen: &SeenTotals) -> u64 {
    u64::try_from(seen.counters.wait_total.as_micros()).unwrap_or(u64::MAX)
}

/// Runs as a coroutine.
pub fn run(shared: &Arc<Shared>) {
    loop {
        shared.averages.read(machine::now(), database_totals(shared));
        let interval = shared.config().global.stats_interval_s.max(1);
        if machine::sleep(Duration::from_secs(interval)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_what_came_since_by_the_time_it_took() {
        let (averages, start) = (Averages::default(), Instant::now());
        let mut seen = SeenTotals::default();
        averages.read(start, BTreeMap::from([("shop".into(), seen)]));
        assert_eq!(averages.rates(), BTreeMap::new(), "of one reading");
        (seen.done.queries, seen.done.query_us) = (30, 600);
        seen.counters.waits = 2;
        seen.counters.wait_total = Duration::from_micros(500);
        averages.read(start + Duration::from_secs(3), BTreeMap::from([("shop".into(), seen)]));
        let expected = Rates { queries: 10, query_us: 20, wait_us: 250, ..Rates::default() };
        assert_eq!(averages.rates()["shop"], expected);
        let later = start + Duration::from_secs(6);
        averages.read(later, BTreeMap::from([("shop".into(), seen)]));
        assert_eq!(averages.rates()["shop"], Rates::default(), "nothing was done since");
    }
}
