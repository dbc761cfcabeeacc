//! Watchdogs and lag: hosts are asked how they are without a client, and clients that mind get none
//! that lags.

use crate::metrics::scrape::{scrape, start};
use crate::support::fake::error;
use crate::support::pooler::OPEN;
use crate::support::process::free_port;
use crate::support::{
    Client, FakeServer, Login, PATIENCE, Pooler, Postgres, Setup, Wire, in_some_try, let_pass,
    until,
};
use rustix::process::Signal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const PORT: &str = "select inet_server_port()";

/// A watchdog that looks often, as a superuser.
fn watchdog(storage: &str, options: &str) -> String {
    format!(
        r#"endpoints_status_poll_interval 100 watchdog {{
             storage "{storage}" storage_db "postgres" storage_user "postgres"
             authentication "none" pool "transaction" pool_routing "internal" {options}
           }}"#
    )
}

/// A storage of hosts at these ports, and one rule for everybody.
fn setup(ports: &[u16], storage: &str, rule: &str) -> Setup {
    let storage = format!("type \"remote\" host \"{}\" {storage}", hosts(ports));
    let rule = format!("{OPEN} pool_size 4 {rule}");
    let console = "authentication \"none\" role \"admin\" pool \"session\" storage \"local\"";
    Setup::without_storage()
        .storage("pg", &storage)
        .storage("local", "type \"local\"")
        .rule("console", "default", console)
        .rule("default", "default", &rule)
}

fn hosts(ports: &[u16]) -> String {
    ports.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
}

const TRANSACTION: &str = "pool \"transaction\"";

fn login() -> Login {
    Login::new("postgres", "postgres")
}

fn port(client: &mut Client) -> u16 {
    client.scalar(PORT).parse().unwrap()
}

/// State, role and lag of each host, as the console tells them.
fn seen(pooler: &Pooler) -> Vec<(u16, [Option<String>; 3])> {
    let mut console = pooler.login(&Login::new("admin", "console"));
    let rows = console.query("show storages").rows();
    let remote = rows.into_iter().filter(|row| row[0].as_deref() == Some("remote"));
    let row = |row: Vec<Option<String>>| {
        let port = row[2].as_ref().unwrap().parse().unwrap();
        (port, [row[9].clone(), row[10].clone(), row[11].clone()])
    };
    remote.map(row).collect()
}

fn wait_for(pooler: &Pooler, what: &str, holds: impl Fn(u16, &[Option<String>; 3]) -> bool) {
    until(what, PATIENCE, || {
        seen(pooler).iter().any(|(port, seen)| holds(*port, seen)).then_some(())
    });
}

fn lag(seen: &[Option<String>; 3]) -> Option<u64> {
    seen[2].as_ref().map(|lag| lag.parse().unwrap())
}

/// A primary whose heart beats in a table as long as this lives, and a standby.
struct Pair {
    primary: Postgres,
    standby: Postgres,
    _heart: Heart,
}

/// Beats until it is dropped.
struct Heart(Arc<AtomicBool>);

impl Heart {
    fn of(primary: &Postgres) -> Heart {
        let stops = Arc::new(AtomicBool::new(false));
        let (stopped, address) = (stops.clone(), primary.address());
        std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let_pass(Duration::from_millis(50));
                let Ok(mut client) = Client::try_connect(&address) else { continue };
                if client.start(&login()).is_ok() {
                    let beat = Wire::new().query("update heartbeat set at = now()");
                    while client.try_send(&beat).is_ok() && client.try_until_ready().is_ok() {
                        let_pass(Duration::from_millis(50));
                        if stopped.load(Ordering::Relaxed) {
                            return;
                        }
                    }
                }
            }
        });
        Heart(stops)
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

const HEARTBEAT: &str = "watchdog_lag_query \"select extract(epoch from at) from heartbeat\"";

impl Pair {
    fn start() -> Option<Pair> {
        let primary = Postgres::start();
        for sql in
            ["create table heartbeat (at timestamptz)", "insert into heartbeat values (now())"]
        {
            assert_eq!(primary.admin().query(sql).error(), None);
        }
        let standby = primary.standby()?;
        let _heart = Heart::of(&primary);
        Some(Pair { primary, standby, _heart })
    }
}

/// Its replay stands still, as that of a standby does which has a long query or no disk.
#[test]
fn a_standby_that_lags_is_passed_over_until_it_has_caught_up() {
    let Some(pair) = Pair::start() else { return };
    let (primary, standby) = (pair.primary.port, pair.standby.port);
    let rule = format!("{TRANSACTION} catchup_timeout 2 target_session_attrs \"prefer-standby\"");
    let pooler = setup(&[primary, standby], &watchdog("pg", HEARTBEAT), &rule).start();
    let mut client = pooler.login(&login());
    wait_for(&pooler, "a standby without a lag", |port, seen| {
        port == standby && lag(seen) == Some(0) && seen[1].as_deref() == Some("standby")
    });
    assert_eq!(port(&mut client), standby);
    let mut held = pooler.login(&login());
    held.query("begin read only");
    assert_eq!(port(&mut held), standby);
    pair.standby.admin().query("select pg_wal_replay_pause()");
    wait_for(&pooler, "a standby with a lag", |port, seen| {
        port == standby && lag(seen).is_some_and(|lag| lag >= 2)
    });
    assert_eq!(port(&mut client), primary);
    assert_eq!(port(&mut held), standby, "a transaction goes on where it is");
    assert_eq!(held.query("commit").error(), None);
    assert_eq!(port(&mut held), primary);
    let mut careless = pooler.login(&login().option("odyssey_catchup_timeout", "0"));
    assert_eq!(port(&mut careless), standby, "what a client says itself wins");
    pair.standby.admin().query("select pg_wal_replay_resume()");
    wait_for(&pooler, "a standby that has caught up", |port, seen| {
        port == standby && lag(seen) == Some(0)
    });
    assert_eq!(port(&mut client), standby);
    pooler.stop_with(vec![client, held, careless]);
}

/// In a query, as Odyssey's own example has it.
const OLD: &str = "watchdog_lag_query \"select trunc(extract(epoch from now())) - 100\"";

#[test]
fn who_finds_every_host_lagging_is_told() {
    let pg = Postgres::shared().port;
    for pool in [TRANSACTION, "pool \"session\""] {
        let rule = format!("{pool} catchup_timeout 10");
        let pooler =
            setup(&[pg], &watchdog("pg", OLD), &rule).listen("catchup_timeout 500").start();
        wait_for(&pooler, "a lag", |_, seen| {
            lag(seen).is_some_and(|lag| (100..110).contains(&lag))
        });
        let told = pooler.refused(&login());
        let text = "seconds), connection rejected: postgres postgres";
        assert_eq!((told.code.as_str(), told.severity.as_str()), ("08006", "FATAL"));
        assert!(told.message.contains("replication lag too big (10"), "{told:?}");
        assert!(told.message.ends_with(text), "{told:?}");
        assert_eq!(
            told.hint.as_deref(),
            Some("wait until the replica catches up with the primary")
        );
        let refused = |limit: &str| {
            let mut client = pooler.connect();
            client.start(&login().option("odyssey_catchup_timeout", limit)).is_err()
        };
        assert_eq!(["5", "50", "junk", "200", "0"].map(refused), [true, true, true, false, false]);
        pooler.wait_for_line("invalid value for odyssey_catchup_timeout: \"junk\"");
        pooler.stop();
    }
}

/// A listener's limit is for rules that have none, and a reload brings one for who comes then.
#[test]
fn a_listener_may_have_a_limit_and_a_reload_takes_it_away() {
    let pg = Postgres::shared().port;
    let setup = setup(&[pg], &watchdog("pg", OLD), TRANSACTION).listen("catchup_timeout 10");
    let pooler = setup.start();
    wait_for(&pooler, "a lag", |_, seen| lag(seen).is_some());
    assert_eq!(pooler.refused(&login()).code, "08006");
    change(&pooler, "catchup_timeout 10", "catchup_timeout 1000");
    pooler.wait_for_line("catchup_timeout 10s -> 1000s");
    let mut client = pooler.login(&login());
    assert_eq!(port(&mut client), pg);
    pooler.stop_with(vec![client]);
}

fn change(pooler: &Pooler, from: &str, to: &str) {
    let config = pooler.socket_dir().join("odyssey.conf");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&config, text.replace(from, to)).unwrap();
    pooler.signal(Signal::HUP);
}

/// Between two transactions a client of a session pool has to go; within one it may go on.
#[test]
fn a_session_ends_when_its_host_lags_but_no_transaction_does() {
    let Some(pair) = Pair::start() else { return };
    let (primary, standby) = (pair.primary.port, pair.standby.port);
    let rule = "pool \"session\" catchup_timeout 2 target_session_attrs \"prefer-standby\"";
    let pooler = setup(&[primary, standby], &watchdog("pg", HEARTBEAT), rule).start();
    wait_for(&pooler, "a standby without a lag", |port, seen| {
        port == standby && lag(seen) == Some(0) && seen[1].as_deref() == Some("standby")
    });
    let mut clients = [0; 2].map(|_| pooler.login(&login()));
    clients[1].query("begin read only");
    assert_eq!([port(&mut clients[0]), port(&mut clients[1])], [standby; 2]);
    pair.standby.admin().query("select pg_wal_replay_pause()");
    wait_for(&pooler, "a standby with a lag", |port, seen| {
        port == standby && lag(seen).is_some_and(|lag| lag >= 2)
    });
    let [mut idle, mut busy] = clients;
    assert_eq!(port(&mut busy), standby);
    assert_eq!(busy.query("commit").error(), None);
    for client in [&mut idle, &mut busy] {
        let told = client.query(PORT).error().expect("its host lags");
        assert_eq!(told.code, "08006");
        assert!(told.message.contains("replication lag too big"), "{told:?}");
    }
    let mut again = pooler.login(&login());
    assert_eq!(port(&mut again), primary);
    pooler.stop_with(vec![again]);
}

/// Visited one after the other, as Odyssey does, the hosts behind a silent one are looked at when
/// it has been given up. Seen to fail: visits in the loop itself.
#[test]
fn a_silent_host_holds_up_no_other_and_no_client() {
    let primary = Postgres::shared();
    let Some(standby) = primary.standby() else { return };
    let silent = FakeServer::start(|session| session.stay_silent());
    let ports = [silent.port, primary.port, standby.port];
    let rule = format!("{TRANSACTION} target_session_attrs \"read-only\"");
    let line = |pooler: &Pooler, port: u16, what: &str| {
        pooler.wait_for_line(&format!("host 127.0.0.1:{port} of storage 'pg' is {what}"))
    };
    // A visit has three seconds, which are over some time where nobody gives us a processor.
    let pooler = in_some_try(|| {
        let pooler = setup(&ports, &watchdog("pg", ""), &rule).start();
        line(&pooler, primary.port, "a primary");
        line(&pooler, standby.port, "a standby");
        match pooler.log().contains("is dead") {
            true => Err(pooler.log()),
            false => Ok(pooler),
        }
    });
    line(&pooler, silent.port, "dead");
    wait_for(&pooler, "a host that is dead", |port, seen| {
        port == silent.port && seen[0].as_deref() == Some("dead")
    });
    let mut client = pooler.login(&login());
    for _ in 0..10 {
        assert_eq!(port(&mut client), standby.port);
    }
    pooler.stop_with(vec![client]);
}

/// Seen to fail: a line each time.
#[test]
fn a_watchdog_with_a_wrong_password_says_so_once() {
    let pg = Postgres::shared();
    let visits = Arc::new(AtomicUsize::new(0));
    let count = visits.clone();
    let strict = FakeServer::start(move |mut session| {
        session.read_packet();
        count.fetch_add(1, Ordering::Relaxed);
        session.send_and_close(&error("FATAL", "28P01", "password authentication failed"));
    });
    let pooler = setup(&[strict.port, pg.port], &watchdog("pg", ""), TRANSACTION).start();
    pooler.wait_for_line("(watchdog)");
    until("some visits", PATIENCE, || (visits.load(Ordering::Relaxed) >= 5).then_some(()));
    let log = pooler.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("(watchdog)")).collect();
    let told = lines.iter().filter(|line| line.contains("cannot be asked: FATAL 28P01"));
    assert_eq!(told.count(), 1, "{lines:?}");
    let alive = seen(&pooler).iter().all(|(_, seen)| seen[0].as_deref() == Some("alive"));
    assert!(alive, "it is our password that is wrong");
    pooler.stop();
}

/// A lag query with an error in it leaves the role known and the lag unknown, which keeps nobody
/// out.
#[test]
fn a_lag_query_that_fails_is_told_and_keeps_nobody_out() {
    let pg = Postgres::shared().port;
    let query = "watchdog_lag_query \"select at from no_such_table\"";
    let rule = format!("{TRANSACTION} catchup_timeout 1");
    let pooler = setup(&[pg], &watchdog("pg", query), &rule).start();
    pooler.wait_for_line("is a primary, its lag is not known: ERROR 42P01");
    let mut client = pooler.login(&login());
    assert_eq!(port(&mut client), pg);
    // What was seen a tenth of a second ago is not believed any more.
    let expected = [Some("alive".into()), Some("primary".into()), None];
    wait_for(&pooler, "its role and no lag", |_, seen| *seen == expected);
    pooler.stop_with(vec![client]);
}

/// The primary dies and the standby is promoted: nobody has to be sent to either to find out.
#[test]
fn a_promotion_is_seen_without_a_client() {
    let Some(Pair { mut primary, standby, .. }) = Pair::start() else { return };
    let ports = [primary.port, standby.port];
    let rule = format!("{TRANSACTION} target_session_attrs \"read-write\"");
    let pooler = setup(&ports, &watchdog("pg", ""), &rule).start();
    pooler.wait_for_line(&format!("127.0.0.1:{} of storage 'pg' is a primary", primary.port));
    pooler.wait_for_line(&format!("127.0.0.1:{} of storage 'pg' is a standby", standby.port));
    primary.stop();
    pooler.wait_for_line(&format!("127.0.0.1:{} of storage 'pg' is dead", primary.port));
    assert_eq!(standby.admin().scalar("select pg_promote()"), "t");
    pooler.wait_for_line(&format!("127.0.0.1:{} of storage 'pg' is a primary", standby.port));
    let mut client = pooler.login(&login());
    assert_eq!(port(&mut client), standby.port);
    pooler.stop_with(vec![client]);
}

/// In Odyssey a second one is refused, and a reload that fails ends all of them.
#[test]
fn there_may_be_several_and_reloads_do_not_stop_them() {
    let pg = Postgres::shared().port;
    let (visits, count) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (one, two) = (visits.clone(), count.clone());
    let fake = |count: Arc<AtomicUsize>| {
        FakeServer::start(move |mut session| {
            session.read_packet();
            count.fetch_add(1, Ordering::Relaxed);
            session.send_and_close(&error("FATAL", "28P01", "no"));
        })
    };
    let (first, second) = (fake(one), fake(two));
    let watched = |name: &str, port: u16| {
        format!("type \"remote\" host \"127.0.0.1:{port}\" {}", watchdog(name, ""))
    };
    let pooler = setup(&[pg], "", TRANSACTION)
        .storage("first", &watched("first", first.port))
        .storage("second", &watched("second", second.port))
        .start();
    let goes_on = || {
        let (one, two) = (visits.load(Ordering::Relaxed), count.load(Ordering::Relaxed));
        until("both are visited again", PATIENCE, || {
            let more = visits.load(Ordering::Relaxed) > one && count.load(Ordering::Relaxed) > two;
            more.then_some(())
        });
    };
    goes_on();
    change(&pooler, "type \"local\"", "type \"loco\"");
    pooler.wait_for_line("unknown type 'loco'");
    goes_on();
    change(&pooler, "type \"loco\"", "type \"local\"");
    pooler.wait_for_line("reload done");
    goes_on();
    pooler.stop();
}

/// Connections from before are gone with the host, and a new one shows that it is back.
#[test]
fn a_host_that_was_away_is_seen_to_come_back() {
    let Some(Pair { mut primary, standby, .. }) = Pair::start() else { return };
    let ports = [primary.port, standby.port];
    let rule = format!("{TRANSACTION} target_session_attrs \"read-write\"");
    let pooler = setup(&ports, &watchdog("pg", HEARTBEAT), &rule).start();
    let is_well = |port: u16, seen: &[Option<String>; 3]| {
        port == ports[0] && seen[0].as_deref() == Some("alive") && seen[2].is_some()
    };
    wait_for(&pooler, "a host", is_well);
    primary.stop();
    let away = format!("127.0.0.1:{} of storage 'pg' is dead", ports[0]);
    pooler.wait_for_line(&away);
    primary.start_again();
    wait_for(&pooler, "the host again", is_well);
    let mut client = pooler.login(&login());
    assert_eq!(port(&mut client), ports[0]);
    pooler.stop_with(vec![client]);
}

#[test]
fn metrics_tell_how_each_host_is() {
    let pg = Postgres::shared().port;
    let dead = free_port();
    let (pooler, metrics) = start(&setup(&[pg, dead], &watchdog("pg", OLD), TRANSACTION));
    wait_for(&pooler, "a dead host", |port, seen| {
        port == dead && seen[0].as_deref() == Some("dead")
    });
    wait_for(&pooler, "a lag", |port, seen| port == pg && lag(seen).is_some());
    let is_primary = format!("odyssey_host_is_primary{{storage=\"pg\",host=\"127.0.0.1:{pg}\"}}");
    let page = until("a page that knows its role", PATIENCE, || {
        Some(scrape(metrics)).filter(|page| page.samples.get(&is_primary) == Some(&1.0))
    });
    let of = |name: &str, port: u16| {
        page.value(&format!("odyssey_host_{name}{{storage=\"pg\",host=\"127.0.0.1:{port}\"}}"))
    };
    assert_eq!([of("alive", pg), of("alive", dead)], [1.0, 0.0]);
    assert!((100.0..200.0).contains(&of("lag_seconds", pg)), "{}", of("lag_seconds", pg));
    pooler.stop();
}
