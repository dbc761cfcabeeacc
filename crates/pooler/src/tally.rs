//! Tallies: what was done on a route, counted by the clients as they go and read by the statistics.
//! Numbers only ever grow; who wants a rate remembers the last reading.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Totals of one route.
#[derive(Debug)]
pub struct Tally {
    /// One a machine: with a single writer an addition needs no locked instruction, of which there
    /// would be six a transaction.
    columns: Box<[Column]>,
    pins: AtomicU64,
}

/// What the clients of one machine did; in a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Column {
    queries: AtomicU64,
    query_us: AtomicU64,
    transactions: AtomicU64,
    transaction_us: AtomicU64,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
}

/// One reading of a [`Tally`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests answered by a ReadyForQuery.
    pub queries: u64,
    /// Time spent on them, in microseconds.
    pub query_us: u64,
    /// Transactions, of whatever number of queries.
    pub transactions: u64,
    /// From the first query of each to its end, in microseconds.
    pub transaction_us: u64,
    /// From clients, in bytes.
    pub received_bytes: u64,
    /// To clients, in bytes.
    pub sent_bytes: u64,
}

/// What one client does during one lease; handed in when the lease ends, so that a query costs no
/// shared counter.
#[derive(Debug, Default)]
pub struct Traffic {
    totals: Totals,
    /// When the lease began; None while the client holds no server.
    since: Option<Instant>,
    /// When the request that is not answered yet was made.
    asked: Option<Instant>,
}

impl Tally {
    /// Nothing yet, on any of so many machines.
    pub fn new(machines: usize) -> Self {
        let columns = (0..machines).map(|_| Column::default()).collect();
        Self { columns, pins: AtomicU64::new(0) }
    }

    /// The totals now. Counters are read one by one: they may be a query apart.
    pub fn totals(&self) -> Totals {
        self.columns.iter().map(Column::totals).fold(Totals::default(), |sum, one| sum.plus(&one))
    }

    /// A client was tied to its server by what it left there.
    pub fn pinned(&self) {
        self.pins.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that happened.
    pub fn pins(&self) -> u64 {
        self.pins.load(Ordering::Relaxed)
    }

    /// Adds to the column of this machine.
    fn add(&self, more: &Totals) {
        let machine = machine::current().expect("clients are served on machines");
        self.columns[machine].add(more);
    }
}

impl Column {
    fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            queries: read(&self.queries),
            query_us: read(&self.query_us),
            transactions: read(&self.transactions),
            transaction_us: read(&self.transaction_us),
            received_bytes: read(&self.received_bytes),
            sent_bytes: read(&self.sent_bytes),
        }
    }

    /// Only its own machine may call this.
    fn add(&self, more: &Totals) {
        let add = |counter: &AtomicU64, n: u64| {
            counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
        };
        add(&self.queries, more.queries);
        add(&self.query_us, more.query_us);
        add(&self.transactions, more.transactions);
        add(&self.transaction_us, more.transaction_us);
        add(&self.received_bytes, more.received_bytes);
        add(&self.sent_bytes, more.sent_bytes);
    }
}

impl Totals {
    fn plus(&self, more: &Totals) -> Totals {
        Totals {
            queries: self.queries + more.queries,
            query_us: self.query_us + more.query_us,
            transactions: self.transactions + more.transactions,
            transaction_us: self.transaction_us + more.transaction_us,
            received_bytes: self.received_bytes + more.received_bytes,
            sent_bytes: self.sent_bytes + more.sent_bytes,
        }
    }

    /// What came since `before`.
    pub fn since(&self, before: &Totals) -> Totals {
        Totals {
            queries: self.queries.saturating_sub(before.queries),
            query_us: self.query_us.saturating_sub(before.query_us),
            transactions: self.transactions.saturating_sub(before.transactions),
            transaction_us: self.transaction_us.saturating_sub(before.transaction_us),
            received_bytes: self.received_bytes.saturating_sub(before.received_bytes),
            sent_bytes: self.sent_bytes.saturating_sub(before.sent_bytes),
        }
    }
}

impl Traffic {
    /// The client got a server.
    pub fn begin(&mut self, now: Instant) {
        self.since = Some(now);
        self.asked = Some(now);
    }

    /// The client asked for something; only the first of a pipeline starts the clock.
    pub fn asked(&mut self) {
        self.asked.get_or_insert_with(machine::now);
    }

    /// Everything asked for was answered.
    pub fn settled(&mut self, now: Instant) {
        if let Some(asked) = self.asked.take() {
            self.totals.query_us += now.duration_since(asked).as_micros() as u64;
        }
    }

    /// Bytes went from the client to its server.
    pub fn received(&mut self, bytes: usize) {
        self.totals.received_bytes += bytes as u64;
    }

    /// Bytes went to the client.
    pub fn sent(&mut self, bytes: usize) {
        self.totals.sent_bytes += bytes as u64;
    }

    /// A request was answered in full.
    pub fn answered(&mut self) {
        self.totals.queries += 1;
    }

    /// The client gave its server back: a transaction (or a session) is over.
    pub fn transaction_over(&mut self, now: Instant, tally: &Tally) {
        tally.add(&self.take(now));
    }

    fn take(&mut self, now: Instant) -> Totals {
        self.settled(now);
        if let Some(since) = self.since.take() {
            self.totals.transactions += 1;
            self.totals.transaction_us += now.duration_since(since).as_micros() as u64;
        }
        std::mem::take(&mut self.totals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_lease_is_handed_in_once() {
        let (tally, start) = (Tally::new(2), Instant::now());
        let mut traffic = Traffic::default();
        traffic.begin(start);
        traffic.received(10);
        traffic.answered();
        traffic.answered();
        tally.columns[0].add(&traffic.take(start + Duration::from_micros(70)));
        traffic.sent(5);
        tally.columns[1].add(&traffic.take(start));
        tally.columns[1].add(&traffic.take(start));
        let expected = Totals {
            queries: 2,
            query_us: 70,
            transactions: 1,
            transaction_us: 70,
            received_bytes: 10,
            sent_bytes: 5,
        };
        assert_eq!(tally.totals(), expected);
        assert_eq!(tally.totals().since(&expected), Totals::default());
    }
}
