//! The statistics in the log: their shape is Odyssey's, their numbers are true.

use crate::support::process::write;
use crate::support::{PATIENCE, Pooler, Setup, Wire, until};
use rustix::process::Signal;

fn counting(setup: &Setup) -> Pooler {
    let setup = setup.clone().global("log_stats yes").global("stats_interval 1");
    setup.with("quantiles \"0.5,0.99\"").start()
}

/// Queries and transactions in all lines so far.
fn counted(pooler: &Pooler) -> (u64, u64) {
    let log = pooler.log();
    let lines = log.lines().filter_map(|line| {
        let (_, counts) = line.split_once(" usec, of ")?;
        let (queries, rest) = counts.split_once(" queries and ")?;
        Some((queries.parse::<u64>().ok()?, rest.strip_suffix(" transactions")?.parse().ok()?))
    });
    lines.fold((0, 0), |sum, one: (u64, u64)| (sum.0 + one.0, sum.1 + one.1))
}

/// Clients stay: what they did has to be seen nevertheless.
#[test]
fn every_query_and_transaction_is_counted_once() {
    for setup in [Setup::session(2), Setup::transaction(2)] {
        let pooler = counting(&setup);
        let (mut one, mut two) = (pooler.client(), pooler.client());
        for n in 0..10 {
            one.query(&format!("select {n}"));
        }
        two.query("set work_mem = '1MB'"); // a question of ours behind it is not counted
        for _ in 0..3 {
            two.query("begin; select 1");
            two.query("select no_such_column");
            two.query("rollback");
        }
        one.send(&Wire::new().extended("select 1", &[]).sync().extended("select 2", &[]).sync());
        one.until_ready();
        one.until_ready();
        let (queries, transactions) = (10 + 1 + 9 + 2, 10 + 1 + 3);
        until("all to be counted", PATIENCE, || {
            let (seen_queries, seen_transactions) = counted(&pooler);
            assert!(seen_queries <= queries, "{seen_queries} of {queries} queries");
            // A pipeline is one transaction or two, as its answers come.
            let fits = (transactions + 1..=transactions + 2).contains(&seen_transactions);
            (seen_queries == queries && fits).then_some(())
        });
        one.leave();
        two.leave();
        pooler.wait_for_line("[default_db.default_user] 0 clients, ");
        let before = counted(&pooler);
        let lines = || pooler.log().matches("] 0 clients, ").count();
        let seen = lines();
        until("two more lines", PATIENCE, || (lines() >= seen + 2).then_some(()));
        assert_eq!(counted(&pooler), before, "a goodbye is nothing that counts");
        pooler.stop();
    }
}

#[test]
fn quantiles_are_those_of_the_load() {
    let pooler = counting(&Setup::transaction(1));
    let mut client = pooler.client();
    for _ in 0..9 {
        client.query("select 1");
    }
    client.query("select pg_sleep(0.5)");
    let us = |line: &str, name: &str| -> u64 {
        let (_, rest) = line.split_once(name).expect("the quantile");
        rest.split(' ').nth(1).unwrap().parse().unwrap()
    };
    // Whatever else the host does, half a second is there in the line that counts the last query.
    until("the slow one to be counted", PATIENCE, || {
        let log = pooler.log();
        let mut lines = log.lines().filter(|line| line.contains(" query_0.5 "));
        lines.find(|line| us(line, "query_0.99") > 490_000).map(|line| {
            assert!(us(line, "transaction_0.99") > 490_000, "{line}");
            assert!(us(line, "query_0.99") >= us(line, "query_0.5"), "{line}");
        })
    });
    pooler.stop();
}

/// The clients that are here stay, and so does their route: it has to begin to count.
#[test]
fn quantiles_that_a_reload_brings_are_those_of_clients_that_are_here() {
    let setup = Setup::transaction(1).global("log_stats yes").global("stats_interval 1");
    let pooler = setup.start();
    let mut client = pooler.client();
    client.query("select 1");
    let dir = pooler.socket_dir();
    let text = setup.with("quantiles \"0.5\"").text(pooler.port, &dir);
    write(&dir, "odyssey.conf", &text);
    pooler.signal(Signal::HUP);
    pooler.wait_for_line("quantiles (none) -> 0.5");
    pooler.wait_for_line("reload done: ");
    for _ in 0..3 {
        client.query("select 2");
    }
    until("three to be counted", PATIENCE, || (counted(&pooler) == (3, 3)).then_some(()));
    pooler.stop();
}

#[test]
fn lines_have_odysseys_shape() {
    let pooler = counting(&Setup::transaction(1));
    pooler.client().query("select 1");
    let mut nonsense = pooler.connect();
    nonsense.send(&Wire::new().raw(b"\0\0\0\x08GET "));
    nonsense.until_closed();
    for (start, shape) in [
        (
            "system worker: ",
            "system worker: msg (# allocated, # cached, # freed, # cache_size), coroutines (# \
             active, # cached) startup errors #",
        ),
        (
            "worker[1]: ",
            "worker[#]: msg (# allocated, # cached, # freed, # cache_size), coroutines (# active, \
             # cached), clients_processed: #",
        ),
        (
            "logger: ",
            "logger: msg (# allocated, # cached, # freed, # cache_size), coroutines (# active, # \
             cached), dropped lines #, queue size #",
        ),
        ("(stats) clients ", "clients #"),
        (
            "] 0 clients, ",
            "[default_db.default_user] # clients, # active servers, # idle servers, # \
             transactions/sec (# usec) # queries/sec (# usec) # in bytes/sec, # out bytes/sec",
        ),
    ] {
        let line = pooler.wait_for_line(start);
        let (_, text) = line.split_once("(stats) ").expect("its context");
        assert_eq!(numbers_as_hashes(text), shape);
    }
    let count = |line: &str| -> u64 { line.rsplit_once(' ').unwrap().1.parse().unwrap() };
    until("all connections to be counted", PATIENCE, || {
        let log = pooler.log();
        // The test's two and those by which it found out that the pooler listens.
        let arrived = log.matches("new client connection").count() as u64;
        let last = |worker: &str| log.lines().rfind(|line| line.contains(worker)).map(count);
        let processed = last("worker[0]: ")? + last("worker[1]: ")?;
        let errors: u64 = log.lines().filter(|it| it.contains(" startup errors ")).map(count).sum();
        (arrived >= 3 && processed == arrived && errors == arrived - 1).then_some(())
    });
    pooler.stop();
}

fn numbers_as_hashes(text: &str) -> String {
    let mut shape = String::new();
    for letter in text.chars() {
        match letter.is_ascii_digit() {
            true if shape.ends_with('#') => {}
            true => shape.push('#'),
            false => shape.push(letter),
        }
    }
    shape
}
