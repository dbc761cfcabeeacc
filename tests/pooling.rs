//! Who gets which server, when, and what it costs those who wait.

use crate::support::pooler::OPEN;
use crate::support::process::allow_many_files;
use crate::support::{Client, Login, PATIENCE, Postgres, Setup, Wire, let_pass};
use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const PID: &str = "select pg_backend_pid()";

#[test]
fn transaction_pooling_hands_servers_over() {
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    let pid = a.scalar(PID);
    assert_eq!(b.scalar(PID), pid, "one server for two clients");
    a.query("start transaction");
    assert_eq!(a.scalar(PID), pid);
    b.send(&Wire::new().query("select 'waited'"));
    assert!(b.is_silent_for(Duration::from_millis(100)), "the server is in a transaction");
    a.query("select 1/0");
    assert!(b.is_silent_for(Duration::from_millis(100)), "a failed transaction is a transaction");
    a.query("rollback");
    assert_eq!(b.until_ready().column(), ["waited"]);
    pooler.stop();
}

#[test]
fn session_pooling_keeps_the_server_until_the_end() {
    let pooler = Setup::session(1).start();
    let mut a = pooler.client();
    let pid = a.scalar(PID);
    a.query("create temp table mine (i int); insert into mine values (7); set work_mem = '1MB'");
    assert_eq!(a.scalar("select i from mine"), "7");
    assert_eq!(a.scalar(PID), pid);

    let address = pooler.address();
    let (sender, receiver) = mpsc::channel();
    let waiting = thread::spawn(move || {
        let mut b = Client::try_connect(&address).unwrap();
        b.start(&Login::new("app", "postgres")).unwrap();
        let table = b.scalar("select count(*) from pg_class where relname = 'mine'");
        sender.send((b.scalar(PID), table, b.scalar("show work_mem"))).unwrap();
    });
    assert!(receiver.recv_timeout(Duration::from_millis(200)).is_err(), "the server is taken");
    a.leave();
    let (next_pid, tables, work_mem) = receiver.recv_timeout(PATIENCE).unwrap();
    waiting.join().unwrap();
    assert_eq!(next_pid, pid, "the server is reused");
    assert_eq!((tables.as_str(), work_mem.as_str()), ("0", "4MB"), "and it was cleaned");
    pooler.stop();
}

/// Seen to fail: a used server that goes to the pool as it is shows the next client all six.
#[test]
fn what_a_client_left_behind_reaches_no_other_client() {
    let pooler = Setup::transaction(1).with(r#"pool_session_state "reset""#).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    a.query("set search_path to nowhere; set statement_timeout to '77s'; listen gossip");
    a.query("select pg_advisory_lock(4711); create temp table gossip ()");
    a.query("prepare leftover as select 1; declare c cursor with hold for select 1");
    let seen = b.scalar(
        "select current_setting('statement_timeout') || ' ' || current_setting('search_path') \
         || ' ' || (select count(*) from pg_listening_channels()) \
         || ' ' || (select count(*) from pg_locks where locktype = 'advisory' and \
                    pid = pg_backend_pid()) \
         || ' ' || (select count(*) from pg_class where relname = 'gossip') \
         || ' ' || (select count(*) from pg_cursors where is_holdable)",
    );
    assert_eq!(seen, "0 \"$user\", public 0 0 0 0");
    pooler.stop();
}

#[test]
fn pool_size_bounds_the_servers_of_many_clients() {
    const CLIENTS: usize = 64;
    const ROUNDS: usize = 50;
    let pooler = Setup::transaction(5).start();
    let workers: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let mut client = pooler.client();
            thread::spawn(move || {
                let mut pids = BTreeSet::new();
                for round in 0..ROUNDS {
                    let sql = format!("select pg_backend_pid(), {number}, {round}");
                    let row = client.query(&sql).rows().remove(0);
                    assert_eq!(row[1].as_deref(), Some(number.to_string().as_str()));
                    assert_eq!(row[2].as_deref(), Some(round.to_string().as_str()));
                    pids.insert(row[0].clone().unwrap());
                }
                pids
            })
        })
        .collect();
    let pids: BTreeSet<String> = workers.into_iter().flat_map(|w| w.join().unwrap()).collect();
    assert!((1..=5).contains(&pids.len()), "{pids:?}");
    pooler.stop();
}

#[test]
fn pool_timeout_tells_the_waiting_client_why() {
    let pooler = Setup::transaction(1).with("pool_timeout 1000").start();
    let (mut holder, mut waiting) = (pooler.client(), pooler.client());
    holder.query("start transaction");
    let started = Instant::now();
    waiting.send(&Wire::new().query("select 1"));
    let refused = waiting.until_closed().error().expect("an error, then the end");
    let took = started.elapsed();
    let text = "too many active clients for user (pool_size for user postgres.app reached 1)";
    assert_eq!(refused.whole(), ("FATAL", "53300", text));
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(10), "{took:?}");
    pooler.wait_for_line("server pool wait timed out");
    assert_eq!(holder.query("commit").status(), 'I');
    assert_eq!(pooler.client().scalar("select 1"), "1");
    pooler.stop();
}

#[test]
fn waiting_clients_are_served_oldest_first() {
    // One machine: between machines, a waiter may pass one that came within a millisecond.
    let setup = Setup::transaction(1).global("workers 1").with("pool_notice_after_waiting_ms 0");
    let pooler = setup.start();
    let mut holder = pooler.client();
    let mut waiting: Vec<Client> = (0..10).map(|_| pooler.client()).collect();
    let mut admin = Postgres::shared().admin();
    admin.query("create sequence if not exists turns; alter sequence turns restart");
    admin.query("grant usage on sequence turns to app");
    holder.query("start transaction");
    for client in &mut waiting {
        client.send(&Wire::new().query("select nextval('turns')"));
        client.until_tag(b'N'); // it waits
    }
    holder.query("commit");
    let turns: Vec<String> =
        waiting.iter_mut().map(|c| c.until_ready().column().remove(0)).collect();
    let expected: Vec<String> = (1..=10).map(|turn| turn.to_string()).collect();
    assert_eq!(turns, expected);
    pooler.stop();
}

#[test]
fn a_waiting_client_that_leaves_makes_room() {
    let pooler = Setup::transaction(1).start();
    let mut holder = pooler.client();
    holder.query("start transaction");
    let mut patient = pooler.client();
    for leaving in 0..20 {
        let mut client = pooler.client();
        client.send(&Wire::new().query("select 'never'"));
        if leaving == 10 {
            patient.send(&Wire::new().query("select 'at last'"));
        }
        let_pass(Duration::from_millis(5));
        if leaving % 2 == 0 { client.vanish_by_reset() } else { client.vanish_by_close() }
    }
    holder.query("commit");
    assert_eq!(patient.until_ready().column(), ["at last"]);
    pooler.stop();
}

#[test]
fn unix_sockets_on_both_sides() {
    let postgres = Postgres::shared();
    let socket = postgres.socket_dir.join(format!(".s.PGSQL.{}", postgres.port));
    let storage = format!(r#"type "remote" host "unix://{}" port 5432"#, socket.display());
    let pool = format!(r#"{OPEN} pool "transaction" pool_size 2"#);
    let setup = Setup::without_storage().storage("pg", &storage);
    let pooler = setup.rule("default", "default", &pool).start();
    let mut client = Client::try_connect(&pooler.socket_address()).unwrap();
    client.start(&Login::new("app", "postgres")).unwrap();
    let origin = client.scalar(
        "select coalesce(client_addr::text, 'unix') from pg_stat_activity \
         where pid = pg_backend_pid()",
    );
    assert_eq!(origin, "unix");
    client.send(&Wire::new().query("select /* unix */ pg_sleep(60)"));
    let asleep = "query like 'select /* unix */%' and state = 'active'";
    postgres.wait_for_backends(asleep, 1, PATIENCE);
    client.cancel();
    assert_eq!(client.until_ready().code(), "57014");
    let socket = pooler.socket_dir().join(format!(".s.PGSQL.{}", pooler.port));
    assert!(socket.exists());
    pooler.stop();
    assert!(!socket.exists(), "the socket's file goes with the pooler");
}

#[test]
fn databases_and_users_have_pools_of_their_own() {
    let pooler = Setup::transaction(1).start();
    let mut holders = Vec::new();
    for (user, database) in [("app", "postgres"), ("app", "other"), ("postgres", "other")] {
        let mut client = pooler.login(&Login::new(user, database));
        assert_eq!(client.query("begin").status(), 'T', "{user} {database}");
        let who = client.scalar("select current_user || ' ' || current_database()");
        assert_eq!(who, format!("{user} {database}"));
        holders.push(client);
    }
    pooler.stop_with(holders);
}

#[test]
fn idle_servers_leave_after_pool_ttl() {
    let pooler = Setup::transaction(3).with("pool_ttl 1 log_debug yes").start();
    let mut clients: Vec<Client> = (0..3)
        .map(|_| pooler.login(&Login::new("app", "postgres").option("application_name", "ttl")))
        .collect();
    let mut pids = BTreeSet::new();
    for client in &mut clients {
        client.query("start transaction");
        pids.insert(client.scalar(PID));
    }
    for client in &mut clients {
        client.query("commit");
    }
    assert_eq!(pids.len(), 3);
    let list = pids.into_iter().collect::<Vec<_>>().join(",");
    Postgres::shared().wait_for_backends(&format!("pid in ({list})"), 0, PATIENCE);
    assert_eq!(clients[0].scalar("select 1"), "1");
    let line = pooler.wait_for_line("(expire) closing idle server connection (");
    assert!(line.trim_end().ends_with(" secs)"), "{line}");
    pooler.stop();
}

#[test]
fn two_thousand_idle_clients_are_cheap() {
    const CLIENTS: usize = 2000;
    let pooler = Setup::transaction(2).start();
    allow_many_files(); // only now: the pooler has to see to its own limit
    pooler.client().query("select 1");
    let before = pooler.memory_kib();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| pooler.client()).collect();
    let fresh = pooler.memory_kib();
    for client in &mut clients {
        assert_eq!(client.scalar("select 1"), "1");
    }
    let used = pooler.memory_kib();
    let each = |now: u64| (now.saturating_sub(before)) as f64 / CLIENTS as f64;
    println!("idle client: {:.1} KiB fresh, {:.1} KiB after a query", each(fresh), each(used));
    assert!(each(used) < 4.0, "{:.1} KiB for an idle client", each(used));
    for client in clients.iter_mut().step_by(100) {
        assert_eq!(client.scalar("select 2"), "2");
    }
    drop(clients);
    pooler.stop();
}
