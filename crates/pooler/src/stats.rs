//! Statistics lines, each `stats_interval` seconds, in Odyssey's words. Rates are differences of
//! totals; nothing is counted for them that is not counted anyway.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Weak};
use std::time::Duration;

use machine::{MachineHandle, Woken};

use crate::backend::Home;
use crate::log::Who;
use crate::metrics::{self, Snapshot};
use crate::rate::{mean, per_second};
use crate::shared::Shared;
use crate::tally::{Times, Totals};

/// What tools that read Odyssey's log look for; there are no such messages here.
const NO_MESSAGES: &str = "msg (0 allocated, 0 cached, 0 freed, 0 cache_size)";

/// What a route had counted when it was printed last; by the home's address, which nobody else has
/// as long as we know of it.
type Before = HashMap<usize, (Weak<Home>, Reading)>;

#[derive(Default)]
struct Reading {
    totals: Totals,
    times: Option<Times>,
}

/// Runs as a coroutine; with `log_stats no` it sleeps until a reload says otherwise.
pub(crate) fn run(shared: &Arc<Shared>, machines: &[MachineHandle]) {
    let bell = shared.stats.hang();
    let (mut before, mut last) = (Before::new(), machine::now());
    let (mut known, mut due) = (None, None);
    loop {
        let interval = interval(shared);
        if interval != known {
            (known, due) = (interval, interval.map(|interval| machine::now() + interval));
        }
        match (bell.wait(due), interval) {
            (Ok(Woken::TimedOut), Some(interval)) => {
                let now = machine::now();
                let elapsed = now - std::mem::replace(&mut last, now);
                before = print(shared, machines, &before, elapsed);
                due = Some(machine::now() + interval);
            }
            (Ok(_), _) => {}
            (Err(_), _) => return,
        }
    }
}

/// What is wanted of what was done since `before`. Returns what is known now.
fn print(
    shared: &Arc<Shared>,
    machines: &[MachineHandle],
    before: &Before,
    elapsed: Duration,
) -> Before {
    let (lines, general, routes) = {
        let global = &shared.config().global;
        (global.log_stats, global.log_general_stats_prom, global.log_route_stats_prom)
    };
    if general || routes {
        let text = metrics::lines(&Snapshot::take(shared, machines), general, routes);
        let say = |line: &str| shared.log.info("stats", &Who::default(), format_args!("{line}"));
        text.lines().for_each(say);
    }
    if !lines {
        return Before::new();
    }
    print_process(shared, machines);
    print_routes(shared, before, elapsed)
}

/// How often lines are printed; None: never.
fn interval(shared: &Shared) -> Option<Duration> {
    let global = &shared.config().global;
    let wanted = global.log_stats || global.log_general_stats_prom || global.log_route_stats_prom;
    wanted.then(|| Duration::from_secs(global.stats_interval_s.max(1)))
}

fn print_process(shared: &Shared, machines: &[MachineHandle]) {
    let say = |text: std::fmt::Arguments<'_>| shared.log.info("stats", &Who::default(), text);
    let errors = shared.startup_errors_to_print();
    say(format_args!(
        "system worker: {NO_MESSAGES}, coroutines (0 active, 0 cached) startup errors {errors}"
    ));
    for (index, machine) in machines.iter().enumerate() {
        let stats = machine.stats();
        let (active, cached) = (stats.coroutines_live, stats.coroutines_cached);
        let processed = shared.rosters[index].arrived();
        say(format_args!(
            "worker[{index}]: {NO_MESSAGES}, coroutines ({active} active, {cached} cached), \
             clients_processed: {processed}"
        ));
    }
    let (dropped, queued) = (shared.log.dropped(), shared.log.queued());
    say(format_args!(
        "logger: {NO_MESSAGES}, coroutines (0 active, 0 cached), dropped lines {dropped}, queue \
         size {queued}"
    ));
    say(format_args!("clients {}", shared.clients.live()));
}

/// What was done on each route since `before`, which is `elapsed` ago. Returns what is known now.
fn print_routes(shared: &Shared, before: &Before, elapsed: Duration) -> Before {
    let nothing = Reading::default();
    let print = |home: Arc<Home>| {
        let place = Arc::as_ptr(&home).addr();
        let earlier = before.get(&place).map_or(&nothing, |(_, reading)| reading);
        let now = Reading { totals: home.tally.totals(), times: home.tally.times() };
        print_route(shared, &home, &now.totals.since(&earlier.totals), elapsed);
        let wanted = !home.route.rule().quantiles.is_empty();
        if let Some(times) = now.times.as_ref().filter(|_| wanted) {
            let earlier = earlier.times.clone().unwrap_or_default();
            print_times(shared, &home, &times.since(&earlier));
        }
        (place, (Arc::downgrade(&home), now))
    };
    let homes = shared.homes().into_iter();
    homes.filter(|home| home.route.key().host == 0).map(print).collect()
}

/// One route: who is there and what was done, per second.
fn print_route(shared: &Shared, home: &Home, since: &Totals, elapsed: Duration) {
    let rule = home.route.rule();
    let obsolete = if home.route.is_retired() { " obsolete" } else { "" };
    let label = format!("{}.{}{obsolete}", rule.database, rule.user);
    let of_hosts = |home: &Home| home.route.with(|pool| (pool.counts(), *pool.counters()));
    let (counts, counters) = home
        .family()
        .map(of_hosts)
        .reduce(|all, one| (all.0.plus(&one.0), all.1.plus(&one.1)))
        .unwrap_or_default();
    let rate = |total: u64| per_second(total, elapsed) as u64;
    shared.log.info(
        "stats",
        &Who::default(),
        format_args!(
            "[{label}] {} clients, {} active servers, {} idle servers, {} transactions/sec ({} \
             usec) {} queries/sec ({} usec) {} in bytes/sec, {} out bytes/sec",
            home.route.clients(),
            counts.leased,
            counts.idle,
            rate(since.transactions),
            mean(since.transaction_us, since.transactions),
            rate(since.queries),
            mean(since.query_us, since.queries),
            rate(since.received_bytes),
            rate(since.sent_bytes),
        ),
    );
    let share = (counters.takes_last * 100).checked_div(counters.checkouts()).unwrap_or(0);
    let text = format_args!(
        "[{label}] {} checkouts, {share}% of them of the client's own last server, {} waits, \
         {} clients pinned so far",
        counters.checkouts(),
        counters.waits,
        home.tally.pins(),
    );
    shared.log.info("stats", &Who::default(), text);
}

/// The quantiles of a rule, over all that ended since they were printed last.
fn print_times(shared: &Shared, home: &Home, times: &Times) {
    let rule = home.route.rule();
    let mut text = format!("[{}.{}]", rule.database, rule.user);
    for quantile in &rule.quantiles {
        let (query, transaction) =
            (times.queries.quantile(*quantile), times.transactions.quantile(*quantile));
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            " query_{quantile} {query} usec, transaction_{quantile} {transaction} usec,"
        );
    }
    let (queries, transactions) = (times.queries.total(), times.transactions.total());
    let text = format_args!("{text} of {queries} queries and {transactions} transactions");
    shared.log.info("stats", &Who::default(), text);
}
