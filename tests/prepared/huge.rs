//! A hundred megabytes in one message pass through without staying in the pooler's memory.

use super::wire;
use crate::support::{Client, Pooler, Setup};

const HUGE: usize = 100 * 1024 * 1024;
const GROWTH_KIB_MAX: u64 = 8 * 1024;

fn start() -> (Pooler, Client, u64) {
    let pooler = Setup::transaction(1).start();
    let mut client = pooler.client();
    assert_eq!(client.extended("select length($1)", &["warm"]).error(), None);
    let before = pooler.memory_peak_kib();
    (pooler, client, before)
}

fn finish(pooler: Pooler, client: Client, before: u64, what: &str) {
    let grown = pooler.memory_peak_kib().saturating_sub(before);
    println!("{what} of 100 MB: {grown} KiB");
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB for {what}");
    pooler.stop_with(vec![client]);
}

/// Seen to fail: a pooler that collects a Bind to change the name in it.
#[test]
fn a_bind_of_a_hundred_megabytes() {
    let (pooler, mut client, before) = start();
    client.send(&wire().parse("s", "select length($1)").sync());
    assert_eq!(client.until_ready().shape(), "1 Z/I");
    let value = "x".repeat(HUGE);
    for name in ["s", ""] {
        let parse = if name.is_empty() { wire().parse("", "select length($1)") } else { wire() };
        client.send(&parse.run(name, &[&value]).sync());
        let answer = client.until_ready();
        assert_eq!(answer.column(), [HUGE.to_string()], "{:?}", answer.error());
    }
    finish(pooler, client, before, "a Bind");
}

/// Seen to fail: a pooler that collects a query to scan it. The word in front is one that a scan
/// looks for, the ones behind the literal too.
#[test]
fn a_query_string_of_a_hundred_megabytes() {
    let (pooler, mut client, before) = start();
    let sql = format!("set geqo = off; select length('{}'); show geqo", "x".repeat(HUGE));
    let answer = client.query(&sql);
    assert_eq!(answer.column(), [HUGE.to_string(), "off".into()], "{:?}", answer.error());
    drop((sql, answer));
    let grown = pooler.memory_peak_kib().saturating_sub(before);
    println!("a query of 100 MB: {grown} KiB");
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB for a query");
    assert_eq!(pooler.client().scalar("show geqo"), "on");
    assert_eq!(client.scalar("show geqo"), "off");
    pooler.stop_with(vec![client]);
}

/// Seen to fail: a pooler that reads a notice whole.
#[test]
fn a_notice_of_a_hundred_megabytes() {
    let (pooler, mut client, before) = start();
    let sql = format!("do $$ begin raise notice '%', repeat('x', {HUGE}); end $$");
    let answer = client.query(&sql);
    assert_eq!(answer.shape(), "N C Z/I");
    assert_eq!(answer.0[0].error().message.len(), HUGE);
    finish(pooler, client, before, "a notice");
}
