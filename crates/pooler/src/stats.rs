//! Statistics lines, each `stats_interval` seconds, in Odyssey's words. Rates are differences of
//! totals; nothing is counted for them that is not counted anyway.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use machine::MachineHandle;

use crate::backend::Home;
use crate::log::Who;
use crate::shared::Shared;
use crate::tally::Totals;

/// What a route had counted when it was printed last; by the home's address.
type Before = HashMap<usize, Totals>;

/// Runs as a coroutine; with `log_stats no` it ends at once, so that an idle process does not wake.
pub(crate) fn run(shared: &Arc<Shared>, machines: &[MachineHandle]) {
    let global = &shared.config.global;
    if !global.log_stats {
        return;
    }
    let interval = Duration::from_secs(global.stats_interval_s.max(1));
    let mut before = Before::new();
    while machine::sleep(interval).is_ok() {
        print_process(shared, machines);
        let homes = shared.homes();
        let now: Before = homes
            .iter()
            .map(|home| {
                let (place, totals) = (Arc::as_ptr(home).addr(), home.tally.totals());
                let since = totals.since(before.get(&place).unwrap_or(&Totals::default()));
                print_route(shared, home, &since, interval.as_secs());
                (place, totals)
            })
            .collect();
        before = now;
    }
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
    let counts = home.route.with(|pool| pool.counts());
    let mean = |total: u64, count: u64| total.checked_div(count).unwrap_or(0);
    shared.log.info(
        "stats",
        &Who::default(),
        format_args!(
            "[{}.{}] {} clients, {} active servers, {} idle servers, {} transactions/sec ({} usec) \
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
        "[{}.{}] {} checkouts, {share}% of them of the client's own last server, {} waits, \
         {} clients pinned so far",
        rule.database,
        rule.user,
        counters.checkouts(),
        counters.waits,
        home.tally.pins(),
    );
    shared.log.info("stats", &Who::default(), text);
}
