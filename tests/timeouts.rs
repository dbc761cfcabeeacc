//! Clients that hold a server and say nothing: they are told and dropped when their time is over,
//! not before, and their server is as good as new.

use crate::support::{Client, PgError, Pooler, Postgres, Setup, Wire, in_some_try, let_pass};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(1);

/// Whoever is dropped only then was forgotten.
const LATE: Duration = Duration::from_secs(10);

fn query(sql: &str) -> Wire {
    Wire::new().query(sql)
}

fn setups() -> [Setup; 2] {
    [Setup::transaction(1), Setup::session(1)]
}

fn pid(client: &mut Client) -> String {
    client.scalar("select pg_backend_pid()")
}

/// Says something last, and waits for the end of the client that is idle then.
fn dropped(client: &mut Client, last: &Wire, what: &str) {
    let since = Instant::now();
    client.send(last);
    assert_ne!(client.until_ready().status(), '?', "it is idle");
    let said = client.until_closed();
    let took = since.elapsed();
    let error: PgError = said.error().expect("the reason");
    assert_eq!(error.whole(), ("FATAL", "08006", "Odyssey has dropped the connection"));
    let detail = format!("Connection was dropped by Odyssey due to {what} timeout");
    assert_eq!(error.detail, Some(detail));
    assert!(took >= LIMIT && took < LATE, "{took:?}");
}

/// The server of the dropped one, for the next: the same process, and nothing left in it.
fn reused(pooler: &Pooler, pid_before: &str) {
    let mut next = pooler.client();
    assert_eq!(pid(&mut next), pid_before);
    assert_eq!(next.scalar("select count(*) from pg_locks where locktype = 'advisory'"), "0");
    assert_eq!(next.scalar("show work_mem"), "4MB");
    next.leave();
}

#[test]
fn a_session_client_idle_for_too_long_is_dropped() {
    let pooler = Setup::session(1).with("pool_client_idle_timeout 1").start();
    let mut client = pooler.client();
    let server = pid(&mut client);
    dropped(&mut client, &query("set work_mem = '5MB'; select pg_advisory_lock(1)"), "idle");
    reused(&pooler, &server);
    let line = pooler.wait_for_line("io error = idle timeout");
    assert!(line.contains("status OD_EIDLE_TIMEOUT"), "{line}");

    // Once more, after a batch of the extended protocol and after a failure.
    let mut client = pooler.client();
    dropped(&mut client, &Wire::new().extended("selec", &[]).sync(), "idle");
    pooler.stop();
}

#[test]
fn a_client_idle_in_a_transaction_is_dropped() {
    let mut admin = Postgres::shared().admin();
    admin.query("create table idled (i int); grant all on idled to public");
    for setup in setups() {
        let pooler = setup.with("pool_idle_in_transaction_timeout 1").start();
        for failed in [false, true] {
            let mut client = pooler.client();
            let server = pid(&mut client);
            client.query("begin; set work_mem = '5MB'; insert into idled values (1)");
            let last = if failed { "selec" } else { "select pg_advisory_lock(2)" };
            dropped(&mut client, &query(last), "idle in transaction");
            reused(&pooler, &server);
            assert_eq!(admin.scalar("select count(*) from idled"), "0");
        }
        let line = pooler.wait_for_line("io error = idle in transaction timeout");
        assert!(line.contains("status OD_EIDLE_IN_TRANSACTION_TIMEOUT"), "{line}");
        pooler.stop();
    }
}

/// Seen to fail: a limit that is never set back drops the one who keeps talking; one that looks at
/// the client alone drops the one who waits for an answer.
#[test]
fn a_client_that_is_not_idle_is_not_dropped() {
    for setup in setups() {
        let limits = "pool_client_idle_timeout 1 pool_idle_in_transaction_timeout 1";
        let pooler = setup.with(limits).start();
        for transaction in [false, true] {
            in_some_try(|| keeps_talking(&pooler, transaction));
        }
        let mut client = pooler.client();
        client.query("begin; create temp table fed (i int)");
        client.send(&query("copy fed from stdin"));
        client.until_tag(b'G');
        let_pass(LIMIT * 3 / 2);
        client.send(&Wire::new().copy_data(b"1\n").copy_done());
        assert_eq!(client.until_ready().commands(), ["COPY 1"]);
        client.query("rollback");
        pooler.stop_with(vec![client]);
    }
}

/// A client that says something in time, and waits for answers that take longer. The complaint is
/// that the test did not keep the time.
fn keeps_talking(pooler: &Pooler, transaction: bool) -> Result<(), String> {
    let mut client = pooler.client();
    let mut last = Instant::now();
    let mut say = |client: &mut Client, request: Wire, answer: &str| {
        let sent = client.try_send(&request);
        let silent = std::mem::replace(&mut last, Instant::now()).elapsed();
        if silent > LIMIT * 9 / 10 {
            return Err(format!("the test said nothing for {silent:?}"));
        }
        sent.expect("nobody has hung up");
        assert_eq!(client.until_ready().column(), [answer]);
        Ok(())
    };
    let begin = if transaction { "begin; select 'talks'" } else { "select 'talks'" };
    say(&mut client, query(begin), "talks")?;
    for _ in 0..4 {
        let_pass(LIMIT / 2);
        say(&mut client, query("select 'talks'"), "talks")?;
    }
    client.send(&query("select 'waited' from pg_sleep(1.6)"));
    assert_eq!(client.until_ready().column(), ["waited"]);
    client.send(&Wire::new().extended("select 'open'", &[]).flush());
    client.until_tag(b'C');
    let_pass(LIMIT * 3 / 2); // the transaction of an open batch is PostgreSQL's to judge
    client.send(&Wire::new().sync());
    client.until_ready();
    client.query("rollback");
    Ok(())
}

/// Without a server in its hands nobody is in anybody's way.
#[test]
fn a_client_without_a_server_may_be_idle() {
    let limits = "pool_client_idle_timeout 1 pool_idle_in_transaction_timeout 1";
    let transaction = Setup::transaction(1).with(limits).start();
    let session = Setup::session(1).with(limits).start();
    let mut between = transaction.client();
    between.query("begin; commit");
    let mut fresh = session.client();
    for client in [&mut between, &mut fresh] {
        assert!(client.is_silent_for(LIMIT * 3 / 2));
        assert_eq!(client.scalar("select 'here'"), "here");
    }
    transaction.stop_with(vec![between]);
    session.stop_with(vec![fresh]);
}
