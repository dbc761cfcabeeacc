//! FunctionCall, the fast path of old drivers and of large objects: as good as a query in every
//! respect. What the function did cannot be seen from its message, so its server is suspected.

use crate::support::{CLEANUP, Client, PATIENCE, Postgres, Setup, Wire, let_pass};
use std::time::Duration;

fn wire() -> Wire {
    Wire::new()
}

fn oid(signature: &str) -> u32 {
    let sql = format!("select '{signature}'::regprocedure::oid::int");
    Postgres::shared().admin().scalar(&sql).parse().unwrap()
}

/// A message that calls a function with arguments in text.
fn call(signature: &str, values: &[&str]) -> Wire {
    wire().function_call(oid(signature), values)
}

/// What the function returned.
fn value(client: &mut Client, call: &Wire) -> String {
    client.send(call);
    let answer = client.until_ready();
    assert_eq!(answer.error(), None);
    let result = answer.0.iter().find(|m| m.tag == b'V').expect("FunctionCallResponse");
    String::from_utf8(result.body[4..].to_vec()).unwrap()
}

fn pools() -> [Setup; 2] {
    [Setup::transaction(1), Setup::session(1)]
}

#[test]
fn a_call_is_part_of_its_transaction() {
    let current = call("txid_current()", &[]);
    for setup in pools() {
        let pooler = setup.start();
        let mut client = pooler.client();
        assert_ne!(value(&mut client, &current), value(&mut client, &current));
        client.query("begin");
        let first = value(&mut client, &current);
        assert_eq!(value(&mut client, &current), first);
        assert_eq!(client.scalar("select txid_current()"), first);
        client.send(&call("int4div(integer,integer)", &["1", "0"]));
        assert_eq!(client.until_ready().shape(), "E/22012 Z/E");
        client.send(&current);
        assert_eq!(client.until_ready().shape(), "E/25P02 Z/E");
        assert_eq!(client.query("rollback").status(), 'I');
        pooler.stop_with(vec![client]);
    }
}

/// Calls between queries and batches, all in one write; in front of a Sync that an error skips to.
#[test]
fn calls_in_pipelines() {
    let md5 = call("md5(text)", &["hear"]);
    let steps = [
        (wire().query("select 1").raw(&md5.0).query("select 2"), 3, "T D C Z/I V Z/I T D C Z/I"),
        (
            wire().extended("select 1", &[]).sync().raw(&md5.0).raw(&md5.0),
            3,
            "1 2 T D C Z/I V Z/I V Z/I",
        ),
        (wire().extended("selec", &[]).raw(&md5.0).sync(), 1, "E/42601 Z/I"),
        (wire().extended("select 1", &[]).raw(&md5.0).sync(), 2, "1 2 T D C V Z/I Z/I"),
    ];
    for setup in pools() {
        let pooler = setup.start();
        let mut clients = [Postgres::shared().admin(), pooler.client()];
        for (sends, answers, shape) in &steps {
            let [direct, pooled] = clients.each_mut().map(|client| {
                client.send(sends);
                let said: Vec<_> = (0..*answers).map(|_| client.until_ready().shape()).collect();
                said.join(" ")
            });
            assert_eq!(pooled, direct);
            // In an open batch PostgreSQL 18 says T.
            assert_eq!(&direct.replace("Z/T", "Z/I"), shape);
        }
        pooler.stop();
    }
}

#[test]
fn a_call_of_ten_megabytes() {
    let long = "x".repeat(10 << 20);
    for setup in pools() {
        let pooler = setup.start();
        let mut client = pooler.client();
        let twice = call("textcat(text,text)", &[&long, &long]);
        assert_eq!(value(&mut client, &twice).len(), 20 << 20);
        assert!(pooler.memory_peak_kib() < 60 * 1024, "{} KiB", pooler.memory_peak_kib());
        pooler.stop_with(vec![client]);
    }
}

/// Seen to fail: a pool that hands the server of a call on as it is shows the next client both.
#[test]
fn what_a_call_left_behind_reaches_no_other_client() {
    let pooler = Setup::transaction(1).start();
    let (mut one, mut other) = (pooler.client(), pooler.client());
    let set = call("set_config(text,text,boolean)", &["work_mem", "7MB", "f"]);
    assert_eq!(value(&mut one, &set), "7MB");
    let seen = "select current_setting('work_mem') || ' ' || (select count(*) from pg_locks \
                where locktype = 'advisory' and pid = pg_backend_pid())";
    assert_eq!(other.scalar(seen), "4MB 0");
    // A lock stays with its client, and so does its server, until the client leaves.
    value(&mut one, &call("pg_advisory_lock(bigint)", &["77"]));
    other.send(&wire().query(seen));
    assert!(other.is_silent_for(Duration::from_millis(200)));
    one.leave();
    assert_eq!(other.until_ready().column(), ["4MB 0"]);
    pooler.stop_with(vec![other]);
}

#[test]
fn a_call_is_cancelled_and_ends_with_its_client() {
    let postgres = Postgres::shared();
    let login = postgres.role("calls_sleep");
    let asleep = "usename = 'calls_sleep' and wait_event = 'PgSleep'";
    let sleep = call("pg_sleep(double precision)", &["60"]);
    for setup in pools() {
        let pooler = setup.start();
        let mut client = pooler.login(&login);
        client.send(&sleep);
        postgres.wait_for_backends(asleep, 1, PATIENCE);
        client.cancel();
        assert_eq!(client.until_ready().shape(), "E/57014 Z/I");
        client.send(&sleep);
        postgres.wait_for_backends(asleep, 1, PATIENCE);
        client.vanish_by_reset();
        postgres.wait_for_backends(asleep, 0, CLEANUP);
        let mut next = pooler.login(&login);
        assert_eq!(next.scalar("select 'next'"), "next");
        pooler.stop_with(vec![next]);
    }
}

/// Half a call holds nobody up but its client.
#[test]
fn half_a_call_takes_no_server() {
    let pooler = Setup::transaction(1).start();
    let (mut slow, mut quick) = (pooler.client(), pooler.client());
    let bytes = call("md5(text)", &["hear"]).0;
    slow.send(&wire().raw(&bytes[..bytes.len() - 3]));
    let_pass(Duration::from_millis(100));
    assert_eq!(quick.scalar("select 'served'"), "served");
    slow.send(&wire().raw(&bytes[bytes.len() - 3..]));
    assert_eq!(slow.until_ready().shape(), "V Z/I");
    pooler.stop_with(vec![slow, quick]);
}
