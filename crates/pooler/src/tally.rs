//! Tallies: what was done on a route, counted by the clients as they go and read by the statistics.
//! Numbers only ever grow; who wants a rate remembers the last reading.

use std::mem::take;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::durations::{Distribution, Durations, add};
use crate::histogram::{Counts, Histogram};
use crate::session::Said;

/// Totals of one route.
#[derive(Debug)]
pub struct Tally {
    /// One a machine: with a single writer an addition needs no locked instruction, of which there
    /// would be ten a transaction. Made by the first to write there: a name that somebody only
    /// tried makes a route, too.
    columns: Box<[OnceLock<Box<Column>>]>,
    pins: AtomicU64,
    connect_failures: AtomicU64,
    /// Only where a rule has, or had, `quantiles`.
    histograms: OnceLock<(Histogram, Histogram)>,
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
    parses: AtomicU64,
    server_parses: AtomicU64,
    reuses: AtomicU64,
    binds: AtomicU64,
    errors: AtomicU64,
    spans: [Durations; SPANS],
}

/// What takes time and is told how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// A request, from its first byte to the ReadyForQuery.
    Query,
    /// A transaction, from its first request to its end.
    Transaction,
    /// From asking for a server to having one or none, of those who had to wait.
    Wait,
    /// From looking a server's address up to its first ReadyForQuery.
    Connect,
    /// From the accept of a client to its first ReadyForQuery.
    Login,
    /// TLS with a client.
    Handshake,
}

/// How many spans there are.
pub const SPANS: usize = 6;

/// One reading of all spans, by `Span as usize`.
pub type Spans = [Distribution; SPANS];

/// How long the queries and the transactions of one route took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Requests, from the first byte to the ReadyForQuery.
    pub queries: Counts,
    /// Transactions, as in [`Totals`].
    pub transactions: Counts,
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
    /// Parse messages of clients.
    pub parses: u64,
    /// Parse messages to servers.
    pub server_parses: u64,
    /// Parse messages of clients that no server had to do.
    pub reuses: u64,
    /// Bind messages of clients.
    pub binds: u64,
    /// Errors of servers that clients were told.
    pub errors: u64,
}

/// What one client does during one transaction; handed in when that is over, or each second of a
/// long one, so that a query costs no shared counter.
#[derive(Debug, Default)]
pub struct Traffic {
    /// What was not handed in yet.
    queries: u32,
    errors: u32,
    query_us: u64,
    received_bytes: u64,
    sent_bytes: u64,
    /// What was handed in so far.
    life: Life,
    /// When the transaction began; None outside of one.
    since: Option<Instant>,
    /// When the request that is not answered yet was made.
    asked: Option<Instant>,
    /// When something was handed in last.
    handed_in: Option<Instant>,
    /// Requests that were answered since then, not all of them.
    answered: u32,
    /// Has anything of this transaction been answered? A goodbye is none.
    real: bool,
}

/// What one client did, from its login on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// Requests answered by a ReadyForQuery.
    pub queries: u64,
    /// Transactions, of whatever number of queries.
    pub transactions: u64,
    /// From the client, in bytes.
    pub received_bytes: u64,
    /// To the client, in bytes.
    pub sent_bytes: u64,
}

/// A transaction that takes longer than this is in the statistics before it is over.
const HAND_IN: Duration = Duration::from_secs(1);

impl Tally {
    /// Nothing yet, on any of so many machines.
    pub fn new(machines: usize) -> Self {
        let columns = (0..machines).map(|_| OnceLock::new()).collect();
        let (pins, connect_failures) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { columns, pins, connect_failures, histograms: OnceLock::new() }
    }

    /// From now on somebody wants to know how long things take.
    pub fn time(&self) {
        self.histograms.get_or_init(Default::default);
    }

    /// How long things took so far; None if nobody wants to know.
    pub fn times(&self) -> Option<Times> {
        let (queries, transactions) = self.histograms.get()?;
        Some(Times { queries: queries.counts(), transactions: transactions.counts() })
    }

    /// The totals now. Counters are read one by one: they may be a query apart.
    pub fn totals(&self) -> Totals {
        self.written().map(Column::totals).fold(Totals::default(), |sum, one| sum.plus(&one))
    }

    /// How long things took so far, in coarse steps.
    pub fn spans(&self) -> Spans {
        let mut sums = Spans::default();
        for column in self.written() {
            let more = column.spans.iter().map(Durations::read);
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum = sum.plus(&more));
        }
        sums
    }

    /// Something took so long, here.
    pub fn took(&self, span: Span, duration: Duration) {
        self.column().took(span, duration.as_micros() as u64, 1);
    }

    /// A client was tied to its server by what it left there.
    pub fn pinned(&self) {
        self.pins.fetch_add(1, Ordering::Relaxed);
    }

    /// A server could not be opened.
    pub fn connect_failed(&self) {
        self.connect_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that happened.
    pub fn connect_failures(&self) -> u64 {
        self.connect_failures.load(Ordering::Relaxed)
    }

    /// How often a client was pinned.
    pub fn pins(&self) -> u64 {
        self.pins.load(Ordering::Relaxed)
    }

    /// The column of this machine.
    fn column(&self) -> &Column {
        let machine = machine::current().unwrap_or(0); // elsewhere are only tests
        self.columns[machine].get_or_init(Box::default)
    }

    fn written(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter_map(OnceLock::get).map(AsRef::as_ref)
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
            parses: read(&self.parses),
            server_parses: read(&self.server_parses),
            reuses: read(&self.reuses),
            binds: read(&self.binds),
            errors: read(&self.errors),
        }
    }

    /// Only its own machine may call this.
    fn add(&self, more: &Totals) {
        add(&self.queries, more.queries);
        add(&self.query_us, more.query_us);
        add(&self.transactions, more.transactions);
        add(&self.transaction_us, more.transaction_us);
        add(&self.received_bytes, more.received_bytes);
        add(&self.sent_bytes, more.sent_bytes);
        if more.parses + more.server_parses + more.binds > 0 {
            add(&self.parses, more.parses);
            add(&self.server_parses, more.server_parses);
            add(&self.reuses, more.reuses);
            add(&self.binds, more.binds);
        }
        add(&self.errors, more.errors);
    }

    /// Only its own machine may call this.
    fn took(&self, span: Span, us: u64, count: u64) {
        self.spans[span as usize].record(us, count);
    }
}

impl Totals {
    /// Both together.
    #[must_use]
    pub fn plus(&self, more: &Totals) -> Totals {
        self.with(more, |own, more| own + more)
    }

    /// What came since `before`.
    #[must_use]
    pub fn since(&self, before: &Totals) -> Totals {
        self.with(before, u64::saturating_sub)
    }

    /// Figure by figure.
    fn with(&self, other: &Totals, of: impl Fn(u64, u64) -> u64) -> Totals {
        Totals {
            queries: of(self.queries, other.queries),
            query_us: of(self.query_us, other.query_us),
            transactions: of(self.transactions, other.transactions),
            transaction_us: of(self.transaction_us, other.transaction_us),
            received_bytes: of(self.received_bytes, other.received_bytes),
            sent_bytes: of(self.sent_bytes, other.sent_bytes),
            parses: of(self.parses, other.parses),
            server_parses: of(self.server_parses, other.server_parses),
            reuses: of(self.reuses, other.reuses),
            binds: of(self.binds, other.binds),
            errors: of(self.errors, other.errors),
        }
    }
}

impl Times {
    /// Those of the other, too.
    pub fn plus(&self, more: &Times) -> Times {
        Times {
            queries: self.queries.plus(&more.queries),
            transactions: self.transactions.plus(&more.transactions),
        }
    }

    /// What came since `before`.
    pub fn since(&self, before: &Times) -> Times {
        Times {
            queries: self.queries.since(&before.queries),
            transactions: self.transactions.since(&before.transactions),
        }
    }
}

impl Traffic {
    /// The client got a server.
    pub fn begin(&mut self, now: Instant) {
        self.since = Some(now);
        self.asked = Some(now);
        self.handed_in = Some(now);
    }

    /// The client asked for something; only the first of a pipeline starts the clock.
    pub fn asked(&mut self) {
        let asked = *self.asked.get_or_insert_with(machine::now);
        self.since.get_or_insert(asked);
    }

    /// Everything asked for was answered, and a transaction is open.
    /// Returns how long that took, in microseconds.
    pub fn settled(&mut self, now: Instant, said: &mut Said, tally: &Tally) -> Option<u64> {
        let column = tally.column();
        let us = self.count_queries(now, tally, column);
        if self.handed_in.is_some_and(|at| now.duration_since(at) >= HAND_IN) {
            let done = self.done(said);
            self.hand_in(now, column, &done);
        }
        us
    }

    /// Bytes went from the client to its server.
    pub fn received(&mut self, bytes: usize) {
        self.received_bytes += bytes as u64;
    }

    /// Bytes went to the client.
    pub fn sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes as u64;
    }

    /// The client was told an error of its server.
    pub fn failed(&mut self) {
        self.errors += 1;
    }

    /// A request was answered in full.
    pub fn answered(&mut self) {
        self.answered += 1;
    }

    /// Everything asked for was answered, and no transaction is open; or the client is gone.
    /// Returns how long the last requests took, if there were any, in microseconds.
    pub fn transaction_over(
        &mut self,
        now: Instant,
        said: &mut Said,
        tally: &Tally,
    ) -> Option<u64> {
        let column = tally.column();
        let us = self.count_queries(now, tally, column);
        let mut done = self.done(said);
        if let Some(since) = self.since.take()
            && take(&mut self.real)
        {
            let us = now.duration_since(since).as_micros() as u64;
            (done.transactions, done.transaction_us) = (1, us);
            column.took(Span::Transaction, us, 1);
            if let Some((_, transactions)) = tally.histograms.get() {
                transactions.record(us, 1);
            }
        }
        self.hand_in(now, column, &done);
        us
    }

    /// All of the client's life that was handed in.
    pub fn life(&self) -> &Life {
        &self.life
    }

    /// Those of a pipeline count as long as the whole of it: none can be read before.
    fn count_queries(&mut self, now: Instant, tally: &Tally, column: &Column) -> Option<u64> {
        let asked = self.asked.take()?;
        let count = take(&mut self.answered);
        if count == 0 {
            return None;
        }
        let us = now.duration_since(asked).as_micros() as u64;
        self.queries += count;
        self.query_us += us;
        self.real = true;
        column.took(Span::Query, us, count.into());
        if let Some((queries, _)) = tally.histograms.get() {
            queries.record(us, count.into());
        }
        Some(us)
    }

    /// The client has read all that it was sent; the last of it came behind its transaction.
    pub fn told(&mut self, tally: &Tally) {
        let sent = take(&mut self.sent_bytes);
        if sent > 0 {
            add(&tally.column().sent_bytes, sent);
            self.life.sent_bytes += sent;
        }
    }

    /// What was not handed in yet, which is forgotten here.
    fn done(&mut self, said: &mut Said) -> Totals {
        let Said { parses, prepared, reuses, binds } = take(said);
        Totals {
            queries: take(&mut self.queries).into(),
            query_us: take(&mut self.query_us),
            received_bytes: take(&mut self.received_bytes),
            sent_bytes: take(&mut self.sent_bytes),
            errors: take(&mut self.errors).into(),
            parses: parses.into(),
            server_parses: (u64::from(prepared) + u64::from(parses)).saturating_sub(reuses.into()),
            reuses: reuses.into(),
            binds: binds.into(),
            ..Totals::default()
        }
    }

    fn hand_in(&mut self, now: Instant, column: &Column, done: &Totals) {
        column.add(done);
        self.life.queries += done.queries;
        self.life.transactions += done.transactions;
        self.life.received_bytes += done.received_bytes;
        self.life.sent_bytes += done.sent_bytes;
        self.handed_in = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_handed_in_once() {
        let (tally, start) = (Tally::new(1), Instant::now());
        let mut traffic = Traffic::default();
        traffic.begin(start);
        traffic.received(10);
        traffic.answered();
        traffic.answered();
        traffic.transaction_over(start + Duration::from_micros(70), &mut Said::default(), &tally);
        traffic.sent(5);
        traffic.transaction_over(start, &mut Said::default(), &tally);
        traffic.transaction_over(start, &mut Said::default(), &tally);
        let expected = Totals {
            queries: 2,
            query_us: 70,
            transactions: 1,
            transaction_us: 70,
            received_bytes: 10,
            sent_bytes: 5,
            errors: 0,
            ..Totals::default()
        };
        assert_eq!(tally.totals(), expected);
        assert_eq!(tally.totals().since(&expected), Totals::default());
        let spans = tally.spans();
        let read = |span: Span| (spans[span as usize].count(), spans[span as usize].total_us);
        assert_eq!((read(Span::Query), read(Span::Transaction)), ((2, 140), (1, 70)));
    }

    /// A client of a session pool holds one server for hours. Counted by the lease, all its work
    /// would come when it leaves, as one transaction.
    #[test]
    fn each_transaction_of_a_long_lease_counts_when_it_is_over() {
        let (tally, start) = (Tally::new(1), machine::now());
        tally.time();
        let at = |ms: u64| machine::now().max(start) + Duration::from_millis(ms);
        let mut traffic = Traffic::default();
        traffic.begin(start);
        traffic.answered();
        traffic.transaction_over(at(1), &mut Said::default(), &tally);
        for query in 0..3 {
            traffic.asked();
            traffic.answered();
            if query < 2 {
                traffic.settled(at(2), &mut Said::default(), &tally);
                assert_eq!(tally.totals().queries, 1, "the transaction is open and young");
            }
        }
        traffic.transaction_over(at(3), &mut Said::default(), &tally);
        let counts = || (tally.totals().queries, tally.totals().transactions);
        assert_eq!(counts(), (4, 2));
        traffic.asked();
        traffic.answered();
        traffic.settled(at(5000), &mut Said::default(), &tally);
        assert_eq!(counts(), (5, 2), "a long one is in the statistics before its end");
        traffic.transaction_over(at(5001), &mut Said::default(), &tally);
        traffic.asked();
        traffic.transaction_over(at(6000), &mut Said::default(), &tally);
        assert_eq!(counts(), (5, 3), "a goodbye is neither a query nor a transaction");
        let times = tally.times().unwrap();
        assert_eq!((times.queries.total(), times.transactions.total()), counts());
        assert_eq!(Tally::new(1).times(), None);
    }
}
