//! Clients that ask for much and read nothing cost a bounded amount of memory, and nobody else
//! anything.

use crate::support::{CLEANUP, Client, PATIENCE, Pooler, Postgres, Setup, Wire, let_pass};
use std::time::Duration;

const GIGABYTE: &str = "select repeat('x', 1000000) from generate_series(1, 1000)";

/// The pooler's memory once it no longer grows.
fn settled_kib(pooler: &Pooler) -> u64 {
    let mut last = 0;
    loop {
        let now = pooler.memory_kib();
        if now == last {
            return now;
        }
        last = now;
        let_pass(Duration::from_millis(300));
    }
}

#[test]
fn a_client_that_never_reads_a_gigabyte_costs_bounded_memory() {
    let postgres = Postgres::shared();
    let login = postgres.role("never_reads");
    let pooler = Setup::transaction(20).start();
    let mut bystander = pooler.client();
    bystander.query("select 1");
    let before = settled_kib(&pooler);

    let asking = |_| {
        let mut client = pooler.login(&login);
        client.send(&Wire::new().query(GIGABYTE));
        client
    };
    let one = asking(0);
    let stuck = "usename = 'never_reads' and wait_event = 'ClientWrite'";
    postgres.wait_for_backends(stuck, 1, PATIENCE);
    let with_one = settled_kib(&pooler);
    let many: Vec<Client> = (1..10).map(asking).collect();
    postgres.wait_for_backends(stuck, 10, PATIENCE);
    let with_ten = settled_kib(&pooler);

    println!(
        "unread gigabyte: {} KiB for one client, {} KiB for each of ten",
        with_one.saturating_sub(before),
        with_ten.saturating_sub(before) / 10
    );
    assert!(with_one.saturating_sub(before) < 2048, "{before} KiB before, {with_one} with one");
    assert!(with_ten.saturating_sub(before) < 5120, "{before} KiB before, {with_ten} with ten");
    assert_eq!(bystander.scalar("select 'quick'"), "quick");

    drop(one);
    drop(many);
    postgres.wait_for_backends("usename = 'never_reads' and state <> 'idle'", 0, CLEANUP);
    pooler.stop();
}

#[test]
fn a_client_that_reads_late_gets_every_byte() {
    let pooler = Setup::transaction(1).start();
    let mut client = pooler.client();
    client.send(&Wire::new().query("select i, repeat('x', 10000) from generate_series(1, 5000) i"));
    let_pass(Duration::from_millis(500));
    let answer = client.until_ready();
    let expected: Vec<String> = (1..=5000).map(|i| i.to_string()).collect();
    assert_eq!(answer.column(), expected);
    assert!(answer.rows().iter().all(|row| row[1].as_ref().is_some_and(|v| v.len() == 10_000)));
    pooler.stop();
}

/// Many connections that stop in the middle of a message, for ever, hold one buffer each at most.
#[test]
fn clients_that_stop_in_the_middle_of_a_message_cost_bounded_memory() {
    const CLIENTS: u64 = 200;
    let pooler = Setup::transaction(2).start();
    let mut bystander = pooler.client();
    bystander.query("select 1");
    let before = settled_kib(&pooler);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| pooler.client()).collect();
    for client in &mut clients {
        client.send(&Wire::new().raw(b"Q\0\x10\0\0select"));
    }
    assert_eq!(bystander.scalar("select 1"), "1");
    let each = settled_kib(&pooler).saturating_sub(before) / CLIENTS;
    println!("client in the middle of a message: {each} KiB");
    assert!(each < 64, "{each} KiB for each of {CLIENTS}");
    drop(clients);
    assert_eq!(bystander.scalar("select 2"), "2");
    pooler.stop();
}
