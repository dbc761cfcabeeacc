//! Servers that show that they are not in the state that they say: whoever made one so may go on
//! with it as without a pooler, but no other client gets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::fake::{error, one_row};
use crate::support::{FakeServer, Setup, Wire};

const OPEN: &str = r#"authentication "none" storage "pg""#;

fn wire() -> Wire {
    Wire::new()
}

/// PostgreSQL 18 runs a simple query in one transaction with what was executed in front of it, and
/// forgets to end that at the Sync: `StartTransactionCommand: unexpected state STARTED` is the
/// answer to whatever comes next. Seen to fail on 18: with a pooler that believes its `I`.
#[test]
fn a_query_in_an_open_batch_costs_the_next_client_nothing() {
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    for _ in 0..3 {
        a.send(&wire().extended("select 1", &[]).query("select 2").sync());
        let answers = [a.until_ready().shape(), a.until_ready().shape()];
        assert!(answers.iter().all(|shape| !shape.contains("E/")), "{answers:?}");
        assert_eq!(b.scalar("select 'next'"), "next");
        assert_eq!(a.scalar("select 'again'"), "again");
    }
}

/// A server that answers what its first client `asks` in this way; how often somebody connected.
fn crooked(asks: &Wire, answer: fn() -> Wire) -> (FakeServer, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let (counted, requests) = (Arc::clone(&connections), asks.count_of(b"QS"));
    let server = FakeServer::start(move |mut session| {
        let is_first = counted.fetch_add(1, Ordering::Relaxed) == 0;
        if session.greet().is_none() {
            return;
        }
        if is_first {
            (0..requests).for_each(|_| drop(session.read_until(b"QS")));
            session.send(&answer());
        }
        while session.read_until(b"Q").is_some() {
            session.send(&one_row());
        }
    });
    (server, connections)
}

/// How often the pooler connects, when the second of two clients comes behind such an answer to
/// the first one.
fn connections_behind(asks: &Wire, answer: fn() -> Wire) -> usize {
    let (server, connections) = crooked(asks, answer);
    let storage = format!(r#"type "remote" host "127.0.0.1" port {}"#, server.port);
    let rule = format!(r#"{OPEN} pool "transaction" pool_size 1"#);
    let setup = Setup::without_storage().storage("pg", &storage);
    let pooler = setup.rule("default", "default", &rule).start();
    let mut one = pooler.client();
    one.send(asks);
    (0..asks.count_of(b"QS")).for_each(|_| drop(one.until_ready()));
    assert_eq!(pooler.client().scalar("select 'x'"), "x");
    drop(one);
    pooler.stop();
    connections.load(Ordering::Relaxed)
}

/// As in `xact.c` of PostgreSQL: `elog(ERROR, …)`.
fn internal_error(file: &str) -> Wire {
    let mut message = error("ERROR", "XX000", "unexpected state").0;
    message.pop();
    message.extend(format!("F{file}\0\0").as_bytes());
    let length = u32::try_from(message.len() - 1).unwrap();
    message[1..5].copy_from_slice(&length.to_be_bytes());
    wire().raw(&message).message(b'Z', b"I")
}

/// Seen to fail: with a pooler that believes the status alone.
#[test]
fn a_server_that_cannot_be_in_the_state_it_shows_is_closed() {
    let query = wire().query("select 'x'");
    let fine = connections_behind(&query, one_row);
    let common = connections_behind(&query, || internal_error("relcache.c"));
    assert_eq!((common, fine), (1, 1), "internal errors of a query are no reason");

    let lost = connections_behind(&query, || internal_error("xact.c"));
    let fatal = || error("FATAL", "57P01", "terminating").message(b'Z', b"I");
    let fatal = connections_behind(&query, fatal);
    let behind_a_sync = wire().query("select 'x'").sync();
    let ended = || wire().message(b'C', b"SELECT 0\0").message(b'Z', b"T").message(b'Z', b"I");
    let ended = connections_behind(&behind_a_sync, ended);
    assert_eq!([lost, fatal, ended], [2; 3]);
}
