//! Storages with several hosts: each has a pool of its own, clients get them in turn, and hosts
//! that are dead or of the wrong role are passed over.

use crate::support::pooler::OPEN;
use crate::support::process::free_port;
use crate::support::{
    Client, FakeServer, Login, PATIENCE, Pooler, Postgres, Setup, let_pass, until,
};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const PORT: &str = "select inet_server_port()";

/// A storage of hosts at these ports, and one rule for everybody.
fn setup(ports: &[u16], storage: &str, rule: &str) -> Setup {
    let hosts = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",");
    let storage = format!("type \"remote\" host \"{hosts}\" {storage}");
    let rule = format!("{OPEN} pool \"transaction\" {rule}");
    Setup::without_storage().storage("pg", &storage).rule("default", "default", &rule)
}

fn login() -> Login {
    Login::new("postgres", "postgres")
}

fn port(client: &mut Client) -> u16 {
    client.scalar(PORT).parse().unwrap()
}

/// The ports that so many transactions of a client see.
fn ports(client: &mut Client, transactions: usize) -> HashSet<u16> {
    (0..transactions).map(|_| port(client)).collect()
}

/// How often it was connected to, and no word from it.
fn silent() -> (FakeServer, Arc<AtomicUsize>) {
    let visits = Arc::new(AtomicUsize::new(0));
    let count = visits.clone();
    let server = FakeServer::start(move |session| {
        count.fetch_add(1, Ordering::Relaxed);
        session.stay_silent();
    });
    (server, visits)
}

fn console(pooler: &Pooler) -> Client {
    pooler.login(&Login::new("admin", "console"))
}

#[test]
fn each_host_has_its_turn_and_a_pool_of_its_own() {
    let primary = Postgres::shared();
    let Some(standby) = primary.standby() else { return };
    let console_rule = "authentication \"none\" role \"admin\" pool \"session\" storage \"local\"";
    let pooler = setup(&[primary.port, standby.port], "", "pool_size 1")
        .storage("local", "type \"local\"")
        .rule("console", "default", console_rule)
        .start();
    let mut client = pooler.login(&login());
    let both = HashSet::from([primary.port, standby.port]);
    assert_eq!(ports(&mut client, 2), both, "one after the other");
    let mut held: Vec<Client> = (0..2).map(|_| pooler.login(&login())).collect();
    let seen = held.iter_mut().map(|client| {
        client.query("begin read only; select 1");
        port(client)
    });
    assert_eq!(seen.collect::<HashSet<_>>(), both, "pool_size is for each host");
    let mut console = console(&pooler);
    let pools = console.query("show pools");
    let rows = pools.rows();
    let ours: Vec<_> = rows.iter().filter(|row| row[0].as_deref() == Some("postgres")).collect();
    assert_eq!(ours.len(), 1, "one pool in the eyes of an operator: {rows:?}");
    let addresses = console.query("show servers").rows();
    let of = |port: u16| addresses.iter().filter(|row| row[5] == Some(port.to_string())).count();
    assert_eq!((of(primary.port), of(standby.port)), (1, 1), "{addresses:?}");
    held.push(client);
    held.push(console);
    pooler.stop_with(held);
}

/// Seen to fail: the pooler as it was, which knew the first host only.
#[test]
fn hosts_where_nobody_listens_are_passed_over() {
    let (pg, dead) = (Postgres::shared(), free_port());
    let pooler = setup(&[dead, pg.port, free_port()], "", "pool_size 2").start();
    let mut client = pooler.login(&login());
    for _ in 0..20 {
        assert_eq!(port(&mut client), pg.port);
    }
    pooler.stop_with(vec![client]);
    let pooler = setup(&[dead, free_port()], "endpoints_status_poll_interval 600000", "").start();
    let first = pooler.refused(&login());
    assert!(first.message.contains("failed to connect to remote server"), "{first:?}");
    let second = pooler.refused(&login());
    assert_eq!(second.code, "08006");
    assert!(second.message.contains("failed to get remote server connection"), "{second:?}");
    pooler.stop();
}

/// Without a memory of the dead every second transaction would hang as long as a connect may.
#[test]
fn a_host_that_hangs_is_tried_by_one_client_and_not_by_all() {
    let (pg, (hanging, visits)) = (Postgres::shared(), silent());
    let storage = "endpoints_status_poll_interval 600000";
    // PostgreSQL, too, has to let us in before it is taken for dead.
    let pooler = setup(&[hanging.port, pg.port], storage, "pool_size 4")
        .global("backend_connect_timeout_ms 3000")
        .start();
    let mut clients: Vec<Client> = (0..3).map(|_| pooler.login(&login())).collect();
    for client in &mut clients {
        assert_eq!(ports(client, 5), HashSet::from([pg.port]));
    }
    until("the visit", PATIENCE, || (visits.load(Ordering::Relaxed) >= 1).then_some(()));
    assert_eq!(visits.load(Ordering::Relaxed), 1);
    pooler.stop_with(clients);
}

#[test]
fn clients_get_the_role_they_want() {
    let primary = Postgres::shared();
    let Some(standby) = primary.standby() else { return };
    let hosts = [standby.port, primary.port];
    let both = HashSet::from(hosts);
    for (attrs, expected) in [
        ("read-write", HashSet::from([primary.port])),
        ("read-only", HashSet::from([standby.port])),
        ("prefer-standby", HashSet::from([standby.port])),
        ("any", both),
    ] {
        let by_rule = format!("pool_size 2 target_session_attrs \"{attrs}\"");
        let pooler = setup(&hosts, "", &by_rule).global("virtual_processing yes").start();
        let mut client = pooler.login(&login());
        ports(&mut client, 2); // whoever comes first finds the roles out
        assert_eq!(ports(&mut client, 6), expected, "{attrs}");
        let own = login().option("odyssey.target_session_attrs", "read-only");
        let mut reader = pooler.login(&own);
        assert_eq!(ports(&mut reader, 3), HashSet::from([standby.port]), "over {attrs}");
        reader.query("set odyssey.target_session_attrs to 'read-write'");
        assert_eq!(ports(&mut reader, 3), HashSet::from([primary.port]), "over {attrs}");
        assert_eq!(reader.query("create temp table t (n int) on commit drop").error(), None);
        pooler.stop_with(vec![client, reader]);
    }
    let pooler = setup(&[standby.port], "", "target_session_attrs \"read-write\"").start();
    let mut client = pooler.login(&login());
    let error = client.query(PORT).error().expect("no host takes writes");
    let text = "can't find suitable host for tsa 'read-write' of user postgres.postgres";
    assert_eq!((error.code.as_str(), error.message.ends_with(text)), ("08006", true), "{error:?}");
    pooler.stop_with(vec![client]);
}

/// The primary dies, the standby takes over: clients that write go there as soon as it does.
#[test]
fn writers_follow_the_primary() {
    let mut primary = Postgres::start();
    let Some(standby) = primary.standby() else { return };
    let rule = "pool_size 3 target_session_attrs \"read-write\"";
    let storage = "endpoints_status_poll_interval 100";
    let pooler = setup(&[primary.port, standby.port], storage, rule).start();
    let mut client = pooler.login(&login());
    assert_eq!(ports(&mut client, 3), HashSet::from([primary.port]));
    primary.stop();
    assert_eq!(standby.admin().scalar("select pg_promote()"), "t");
    let found = until("a host that takes writes", PATIENCE, || {
        let mut client = Client::try_connect(&pooler.address()).ok()?;
        client.start(&login()).ok()?;
        let answer = client.query(PORT);
        answer.error().is_none().then(|| answer.column().remove(0))
    });
    assert_eq!(found, standby.port.to_string());
    pooler.stop_with(vec![client]);
}

/// A client is of the first host's route, its server may be another one's.
#[test]
fn a_query_on_any_host_can_be_cancelled() {
    let primary = Postgres::shared();
    let Some(standby) = primary.standby() else { return };
    let pooler = setup(&[primary.port, standby.port], "", "pool_size 1").start();
    let mut client = pooler.login(&login());
    for _ in 0..2 {
        client.send(&crate::support::Wire::new().query("select pg_sleep(600)"));
        let sleeps = "query like 'select pg_sleep(600)%' and state = 'active'";
        until("a host that works", PATIENCE, || {
            let count = |pg: &Postgres| {
                let sql = format!("select count(*) from pg_stat_activity where {sleeps}");
                pg.admin().scalar(&sql) != "0"
            };
            (count(primary) || count(&standby)).then_some(())
        });
        client.cancel();
        assert_eq!(client.until_ready().code(), "57014");
    }
    pooler.stop_with(vec![client]);
}

/// Without it a client waits for the host whose turn it is.
#[test]
fn fail_fast_takes_the_host_that_has_a_server_to_give() {
    let primary = Postgres::shared();
    let Some(standby) = primary.standby() else { return };
    let rule = "pool_size 1 pool_timeout 100 pool_acquire_fail_fast";
    for (fast, waits) in [("yes", false), ("no", true)] {
        let rule = format!("{rule} {fast} pool_notice_after_waiting_ms 10");
        let pooler = setup(&[primary.port, standby.port], "", &rule).start();
        let mut holder = pooler.login(&login());
        holder.query("begin read only; select 1");
        let (held, mut client) = (port(&mut holder), pooler.login(&login()));
        let mut notices = 0;
        for _ in 0..4 {
            let answer = client.query(PORT);
            assert_ne!(answer.column(), [held.to_string()], "{fast}");
            notices += answer.0.iter().filter(|message| message.tag == b'N').count();
        }
        assert_eq!(notices > 0, waits, "pool_acquire_fail_fast {fast}");
        pooler.stop_with(vec![holder, client]);
    }
}

#[test]
fn a_client_is_told_its_host_if_the_operator_wants_that() {
    let (one, two) = (Postgres::shared(), free_port());
    let storage = "balancing { show_notice_messages yes }";
    let pooler = setup(&[one.port, two], storage, "pool_size 1").start();
    let mut client = pooler.login(&login());
    let answer = client.query(PORT);
    let told: Vec<_> = answer.0.iter().filter(|message| message.tag == b'N').collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].error().message, format!("select host 127.0.0.1:{}", one.port));
    pooler.stop_with(vec![client]);
}

#[test]
fn the_least_number_of_servers_is_kept_on_each_host() {
    let primary = Postgres::shared();
    let Some(standby) = primary.standby() else { return };
    let login = primary.role("hosts_min");
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port, standby.port);
    let rule = format!("{OPEN} pool \"transaction\" pool_size 4 min_pool_size 2");
    let pooler = Setup::without_storage()
        .storage("pg", &format!("type \"remote\" host \"{hosts}\""))
        .rule("postgres", "hosts_min", &rule)
        .start();
    for host in [primary, &standby] {
        host.wait_for_backends("usename = 'hosts_min'", 2, Duration::from_secs(20));
    }
    let mut client = pooler.login(&login);
    assert_eq!(ports(&mut client, 4).len(), 2);
    pooler.stop_with(vec![client]);
    for host in [primary, &standby] {
        host.wait_for_backends("usename = 'hosts_min'", 0, PATIENCE);
    }
}

/// A reload that takes a host away ends its pool; who is in a transaction stays to its end.
#[test]
fn hosts_come_and_go_by_reload() {
    let primary = Postgres::shared();
    let Some(standby) = primary.standby() else { return };
    let pooler = setup(&[primary.port, standby.port], "", "pool_size 2").start();
    let mut client = pooler.login(&login());
    assert_eq!(ports(&mut client, 4).len(), 2);
    let config = pooler.socket_dir().join("odyssey.conf");
    let text = std::fs::read_to_string(&config).unwrap();
    let fewer = text.replace(&format!(",127.0.0.1:{}", standby.port), "");
    assert_ne!(fewer, text);
    std::fs::write(&config, fewer).unwrap();
    pooler.signal(rustix::process::Signal::HUP);
    let mut other = until("the new configuration", PATIENCE, || {
        let mut other = pooler.login(&login());
        let seen = ports(&mut other, 2);
        if seen.len() == 1 {
            Some(other)
        } else {
            let_pass(Duration::from_millis(20));
            None
        }
    });
    assert_eq!(ports(&mut other, 4), HashSet::from([primary.port]));
    pooler.stop_with(vec![client, other]);
}
