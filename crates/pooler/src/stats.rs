//! Statistics lines, each `stats_interval` seconds, in Odyssey's words. Rates are differences of
//! totals; nothing is counted for them that is not counted anyway.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use machine::{Deadline, MachineHandle, Notified, Woken};

use crate::backend::Home;
use crate::log::Who;
use crate::shared::Shared;
use crate::tally::Totals;

/// What a route had counted when it was printed last; by the home's address.
type Before = HashMap<usize, Totals>;

/// Runs as a coroutine; with `log_stats no` it sleeps until a reload says otherwise.
pub(crate) fn run(shared: &Arc<Shared>, machines: &[MachineHandle]) {
    let notified = Notified::new();
    let _ = shared.stats.set(notified.notifier());
    let mut before = Before::new();
    let (mut known, mut due) = (None, Deadline::NEVER);
    loop {
        let interval = interval(shared);
        if interval != known {
            (known, due) = (interval, interval.map_or(Deadline::NEVER, Deadline::after));
        }
        match (machine::wait_any(&[], Some(&notified), due), interval) {
            (Ok(Woken::TimedOut), Some(interval)) => {
                print_process(shared, machines);
                before = print_routes(shared, &before, interval);
                due = Deadline::after(interval);
            }
            (Ok(_), _) => _ = notified.take(),
            (Err(_), _) => return,
        }
    }
}

/// How often lines are printed; None: never.
fn interval(shared: &Shared) -> Option<Duration> {
    let global = &shared.config().global;
    global.log_stats.then(|| Duration::from_secs(global.stats_interval_s.max(1)))
}

fn print_routes(shared: &Arc<Shared>, before: &Before, interval: Duration) -> Before {
    let print = |home: &Arc<Home>| {
        let (place, totals) = (Arc::as_ptr(home).addr(), home.tally.totals());
        let since = totals.since(before.get(&place).unwrap_or(&Totals::default()));
        print_route(shared, home, &since, interval.as_secs());
        (place, totals)
    };
    shared.homes().iter().map(print).collect()
}

fn print_process(shared: &Shared, machines: &[MachineHandle]) {
    let who = Who::default();
    for (index, machine) in machines.iter().enumerate() {
        let stats = machine.stats();
        shared.log.info(
            "stats",
            &who,
            format_args!(
                "worker[{index}]: msg (0 allocated, 0 cached, 0 freed, 0 cache_size), coroutines \
                 ({} active, {} cached), clients_processed: {}",
                stats.coroutines_live, stats.coroutines_cached, stats.seats
            ),
        );
    }
    let (dropped, queued) = (shared.log.dropped(), shared.log.queued());
    let text = format_args!("logger: dropped lines {dropped}, queue size {queued}");
    shared.log.info("stats", &who, text);
    shared.log.info("stats", &who, format_args!("clients {}", shared.clients.live()));
}

/// One route: who is there and what was done, per second.
fn print_route(shared: &Shared, home: &Home, since: &Totals, seconds: u64) {
    let rule = home.route.rule();
    let obsolete = if home.route.is_retired() { " obsolete" } else { "" };
    let counts = home.route.with(|pool| pool.counts());
    let mean = |total: u64, count: u64| total.checked_div(count).unwrap_or(0);
    shared.log.info(
        "stats",
        &Who::default(),
        format_args!(
            "[{}.{}{obsolete}] {} clients, {} active servers, {} idle servers, {} transactions/sec ({} usec) \
             {} queries/sec ({} usec) {} in bytes/sec, {} out bytes/sec",
            rule.database,
            rule.user,
            home.route.clients(),
            counts.leased,
            counts.idle,
            since.transactions / seconds,
            mean(since.transaction_us, since.transactions),
            since.queries / seconds,
            mean(since.query_us, since.queries),
            since.received_bytes / seconds,
            since.sent_bytes / seconds,
        ),
    );
    let counters = home.route.with(|pool| *pool.counters());
    let share = (counters.takes_last * 100).checked_div(counters.checkouts()).unwrap_or(0);
    let text = format_args!(
        "[{}.{}{obsolete}] {} checkouts, {share}% of them of the client's own last server, {} waits, \
         {} clients pinned so far",
        rule.database,
        rule.user,
        counters.checkouts(),
        counters.waits,
        home.tally.pins(),
    );
    shared.log.info("stats", &Who::default(), text);
}
