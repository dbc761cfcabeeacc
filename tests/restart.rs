//! Online restart: another process takes the place of the old one, and nobody is lost. What is
//! promised to clients in both processes, and what happens when the new one is no good.

mod no_good;
mod old_one;
mod secrets;

use crate::support::client::Address;
use crate::support::process::{Watchdog, new_dir, signal, stat};
use crate::support::{Client, Login, PATIENCE, Pooler, Setup, Wire, let_pass, until};
use rustix::process::Signal;
use std::fs;
use std::time::Duration;

const RESTARTS: &str = "bindwith_reuseport yes\nenable_online_restart yes\npid_file \"pid\"";

pub fn restarting(setup: Setup) -> Setup {
    RESTARTS.lines().fold(setup, |setup, option| setup.global(option))
}

/// The process that is in place now, and was not started by the test itself.
pub struct Successor {
    pid: u32,
    _watchdog: Watchdog,
}

impl Successor {
    fn of(pid: u32) -> Successor {
        let _watchdog = Watchdog::over(pid, &new_dir("pooler-test-successor"));
        Successor { pid, _watchdog }
    }

    fn is_alive(&self) -> bool {
        stat(self.pid, 3).is_some_and(|state| state != "Z" && state != "X")
    }

    /// SIGTERM, and its end.
    pub fn stop(self) {
        signal(self.pid, Signal::TERM);
        until("the new process to end", PATIENCE, || (!self.is_alive()).then_some(()));
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if self.is_alive() {
            signal(self.pid, Signal::KILL);
        }
    }
}

/// Who wrote the pid file last.
fn in_place(pooler: &Pooler) -> u32 {
    until("a pid file", PATIENCE, || {
        fs::read_to_string(pooler.socket_dir().join("pid")).ok()?.trim().parse().ok()
    })
}

/// SIGUSR2 to the process in place, and the one that is in its place then.
pub fn restart(pooler: &Pooler) -> Successor {
    let old = in_place(pooler);
    signal(old, Signal::USR2);
    let new = until("a new process in place", PATIENCE, || {
        let pid = in_place(pooler);
        (pid != old).then_some(pid)
    });
    Successor::of(new)
}

fn gone(pid: u32) -> bool {
    stat(pid, 3).is_none_or(|state| state == "Z" || state == "X")
}

fn wait_until_gone(pid: u32) {
    until("the old process to end", PATIENCE, || gone(pid).then_some(()));
}

/// Each kind of belonging goes along: settings of the startup packet and of SET, statements with
/// and without a name, what was told, the cancel key. Against a hand-over that forgets one of them,
/// and against one that says anything to the client.
#[test]
fn idle_clients_move_and_never_notice() {
    let mut pooler = restarting(Setup::transaction(3)).start();
    let mut clients = Vec::new();
    for address in [pooler.address(), pooler.socket_address()] {
        let mut client = Client::try_connect(&address).unwrap();
        let login = Login::new("app", "postgres").option("datestyle", "German, DMY");
        client.start(&login).unwrap();
        client.query("set timezone to 'Asia/Tokyo'");
        client.query("set application_name to 'traveller'");
        let parse = Wire::new().parse("s", "select $1::int + 1").sync();
        client.send(&parse);
        assert_eq!(client.until_ready().error(), None);
        client.send(&Wire::new().parse("", "select 'unnamed'").sync());
        assert_eq!(client.until_ready().error(), None);
        clients.push(client);
    }
    let old = pooler.pid();
    let new = restart(&pooler);
    assert!(pooler.wait_for_exit(PATIENCE).success(), "{}", pooler.log());
    assert!(gone(old));
    for client in &mut clients {
        assert!(client.is_silent_for(Duration::from_millis(50)));
        client.send(&Wire::new().bind("", "s", &["41"]).execute("", 0).sync());
        let answer = client.until_ready();
        assert_eq!(answer.column(), ["42"], "{:?}", answer.error());
        client.send(&Wire::new().bind("", "", &[]).execute("", 0).sync());
        assert_eq!(client.until_ready().column(), ["unnamed"]);
        assert_eq!(client.scalar("show timezone"), "Asia/Tokyo");
        assert_eq!(client.scalar("show application_name"), "traveller");
        assert_eq!(client.scalar("show datestyle"), "German, DMY");
        client.query("reset timezone");
        assert_ne!(client.scalar("show timezone"), "Asia/Tokyo");
        client.send(&Wire::new().query("select pg_sleep(20)"));
        until("the query to be cancelled", PATIENCE, || {
            client.cancel();
            (!client.is_silent_for(Duration::from_millis(100))).then_some(())
        });
        assert_eq!(client.until_ready().code(), "57014");
    }
    let log = pooler.log();
    assert!(!log.contains("dropped") && !log.contains("client refused"), "{log}");
    drop(clients);
    new.stop();
    assert!(!pooler.socket_dir().join(format!(".s.PGSQL.{}", pooler.port)).exists());
}

/// Both processes serve for a while: transactions end where they are, and their clients move then;
/// a cancel finds its client from the other process. Against a cancel that looks only at home.
#[test]
fn a_transaction_ends_in_the_old_process_and_its_client_moves_then() {
    let mut pooler = restarting(Setup::transaction(3)).start();
    let mut busy = pooler.client();
    busy.query("begin");
    assert_eq!(busy.scalar("select 1"), "1");
    let mut querying = pooler.client();
    querying.send(&Wire::new().query("select pg_sleep(20)"));
    let new = restart(&pooler);
    assert!(pooler.is_alive());
    until("the query to be cancelled", PATIENCE, || {
        querying.cancel();
        (!querying.is_silent_for(Duration::from_millis(100))).then_some(())
    });
    assert_eq!(querying.until_ready().code(), "57014");
    assert_eq!(querying.scalar("select 'still here'"), "still here");
    assert_eq!(busy.scalar("select 2"), "2");
    assert!(pooler.is_alive(), "a transaction keeps the old process");
    assert_eq!(busy.query("commit").commands(), ["COMMIT"]);
    assert!(pooler.wait_for_exit(PATIENCE).success(), "{}", pooler.log());
    assert_eq!(busy.scalar("select 3"), "3");
    drop((busy, querying));
    new.stop();
}

/// A session that has its server cannot move: it is told so, in Odyssey's words.
#[test]
fn a_session_with_its_server_is_drained() {
    let mut pooler = restarting(Setup::session(3)).start();
    let mut client = pooler.client();
    assert_eq!(client.scalar("select 1"), "1");
    let mut fresh = pooler.client();
    let new = restart(&pooler);
    let told = client.until_closed().error().expect("the reason");
    let text = "Odyssey is gracefully shutting down";
    assert_eq!(told.whole(), ("FATAL", "08006", text));
    assert!(told.detail.is_some_and(|detail| detail.contains("performing online restart")));
    assert!(told.hint.is_some_and(|hint| hint == "Try to reconnect"));
    assert!(pooler.wait_for_exit(PATIENCE).success());
    assert_eq!(fresh.scalar("select 'never had a server'"), "never had a server");
    drop(fresh);
    new.stop();
}

#[test]
fn a_client_whose_rule_is_gone_is_told_so_and_others_move() {
    let open = r#"authentication "none" storage "pg" pool "transaction" pool_size 2"#;
    let setup = restarting(Setup::new().rule("postgres", "app", open));
    let mut pooler = setup.clone().rule("postgres", "postgres", open).start();
    let mut stays = pooler.client();
    let mut goes = pooler.login(&Login::new("postgres", "postgres"));
    assert_eq!(goes.scalar("select 1"), "1");
    let text = setup.text(pooler.port, &pooler.socket_dir());
    fs::write(pooler.socket_dir().join("odyssey.conf"), text).unwrap();
    let new = restart(&pooler);
    let told = goes.until_closed().error().expect("the reason");
    assert!(told.detail.is_some_and(|detail| detail.contains("online restart")));
    assert!(pooler.wait_for_exit(PATIENCE).success());
    assert_eq!(stays.scalar("select 2"), "2");
    drop(stays);
    new.stop();
}

/// Against a restart that stops accepting before the new process serves.
#[test]
fn a_new_process_that_does_not_come_up_changes_nothing() {
    let setup = restarting(Setup::transaction(3));
    let pooler = setup.start();
    let mut client = pooler.client();
    let file = pooler.socket_dir().join("odyssey.conf");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, "some trash").unwrap();
    pooler.signal(Signal::USR2);
    pooler.wait_for_line("new binary exited(1) - keep use old binary instance");
    assert_eq!(client.scalar("select 1"), "1");
    for address in [pooler.address(), pooler.socket_address()] {
        let mut late = Client::try_connect(&address).unwrap();
        late.start(&Login::new("app", "postgres")).unwrap();
        assert_eq!(late.scalar("select 2"), "2");
    }
    assert_eq!(in_place(&pooler), pooler.pid());
    fs::write(&file, text).unwrap();
    pooler.signal(Signal::HUP);
    pooler.wait_for_line("reload done");
    assert_eq!(client.scalar("select 3"), "3");
    pooler.stop_with(vec![client]);
}

/// The old process takes over again what the new one has not taken. Against one that closes its
/// listeners when the new one serves.
#[test]
fn a_new_process_that_dies_soon_costs_only_its_own_clients() {
    let mut pooler = restarting(Setup::transaction(3)).start();
    let mut moved = pooler.client();
    let mut busy = pooler.client();
    busy.query("begin");
    assert_eq!(busy.scalar("select 1"), "1");
    let new = restart(&pooler);
    pooler.wait_for_line("taken over from the old process");
    signal(new.pid, Signal::KILL);
    pooler.wait_for_line("clients are served by the old binary again");
    assert_eq!(moved.until_closed().0, vec![], "it was lost with its process");
    assert_eq!(busy.scalar("select 2"), "2");
    assert_eq!(busy.query("commit").commands(), ["COMMIT"]);
    for address in [pooler.address(), pooler.socket_address()] {
        let mut late = Client::try_connect(&address).unwrap();
        late.start(&Login::new("app", "postgres")).unwrap();
        assert_eq!(late.scalar("select 3"), "3");
    }
    until("the pid file of the old one", PATIENCE, || {
        (in_place(&pooler) == pooler.pid()).then_some(())
    });
    assert!(pooler.is_alive());
    // And once more, to the end.
    let new = restart(&pooler);
    assert!(pooler.wait_for_exit(PATIENCE).success(), "{}", pooler.log());
    assert_eq!(busy.scalar("select 4"), "4");
    drop(busy);
    new.stop();
}

#[test]
fn a_restart_that_cannot_be_now_is_refused_with_a_line() {
    let mut pooler = restarting(Setup::transaction(3)).start();
    let mut busy = pooler.client();
    busy.query("begin");
    busy.query("select 1");
    let new = restart(&pooler);
    pooler.wait_for_line("the new binary serves");
    pooler.signal(Signal::USR2);
    pooler.wait_for_line("online restart signal ignored - already replaced");
    signal(new.pid, Signal::USR2);
    pooler.wait_for_line("online restart signal ignored - parent odyssey process is still alive");
    busy.query("commit");
    assert!(pooler.wait_for_exit(PATIENCE).success());
    pooler.wait_for_line("is gone");
    drop(busy);
    new.stop();

    let pooler = Setup::transaction(1).start();
    pooler.signal(Signal::USR2);
    pooler.wait_for_line("online restart signal ignored - feature is disabled in config");
    pooler.stop();
}

/// The old process has its time, and its clients in transactions are all that is lost.
#[test]
fn the_old_process_has_the_time_of_a_graceful_stop() {
    let setup = restarting(Setup::transaction(3)).global("graceful_shutdown_timeout_ms 2000");
    let mut pooler = setup.start();
    let mut idle = pooler.client();
    let mut busy = pooler.client();
    busy.query("begin");
    busy.query("select 1");
    let new = restart(&pooler);
    assert_eq!(pooler.wait_for_exit(PATIENCE).code(), Some(124));
    assert_eq!(busy.until_closed().0.iter().filter(|m| m.tag == b'D').count(), 0);
    assert_eq!(idle.scalar("select 2"), "2");
    drop(idle);
    new.stop();
}

/// Who connects, works and moves without a pause, while the process changes five times.
#[test]
fn five_restarts_under_pgbench_fail_nothing() {
    crate::tools::pgbench_tables();
    let pooler = restarting(Setup::transaction(4)).start();
    let mut runs = Vec::new();
    for (address, arguments) in [
        (pooler.address(), "-C -S -c 2"),
        (pooler.socket_address(), "-C -S -c 2"),
        (pooler.address(), "-S -c 3 -M prepared"),
        (pooler.socket_address(), "-N -c 3 -M extended"),
    ] {
        let mut command = crate::support::Postgres::shared().program("pgbench");
        let host = match &address {
            Address::Tcp(_) => "127.0.0.1".into(),
            Address::Unix(path) => path.parent().unwrap().to_owned(),
        };
        command.arg("-h").arg(host).args(["-p", &pooler.port.to_string(), "-U", "app"]);
        command.args(["-n", "-T", "7"]).args(arguments.split(' ')).arg("bench");
        runs.push(std::thread::spawn(move || (arguments, command.output().unwrap())));
    }
    let_pass(Duration::from_millis(300));
    let mut last = None;
    for _ in 0..5 {
        let old = in_place(&pooler);
        let new = restart(&pooler);
        wait_until_gone(old);
        last = Some(new);
    }
    for run in runs {
        let (arguments, output) = run.join().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments}: {text}{complaints}\n{}", pooler.log());
        assert!(text.contains("number of failed transactions: 0"), "{arguments}: {text}");
    }
    last.expect("five of them").stop();
    let mut pooler = pooler;
    pooler.wait_for_exit(PATIENCE);
}

/// What an application's driver holds on to: prepared statements by its own names, settings, the
/// key for cancels it was given by a process that is gone.
#[test]
fn a_driver_does_not_notice_that_its_process_changed_twice() {
    let pooler = restarting(Setup::transaction(3)).start();
    let url = format!("host=127.0.0.1 port={} user=app dbname=postgres", pooler.port);
    let url = format!("{url} application_name=traveller");
    let mut driver = postgres::Client::connect(&url, postgres::NoTls).unwrap();
    let add = driver.prepare("select $1::int4 + $2::int4").unwrap();
    driver.batch_execute("set statement_timeout to '77s'; set search_path to pg_catalog").unwrap();
    let mut last: Option<Successor> = None;
    for round in 0..2_i32 {
        let old = in_place(&pooler);
        let new = restart(&pooler);
        wait_until_gone(old);
        let sum: i32 = driver.query_one(&add, &[&40, &round]).unwrap().get(0);
        assert_eq!(sum, 40 + round);
        for (name, value) in [
            ("statement_timeout", "77s"),
            ("search_path", "pg_catalog"),
            ("application_name", "traveller"),
        ] {
            let shown: String = driver.query_one(&format!("show {name}"), &[]).unwrap().get(0);
            assert_eq!(shown, value, "{name}");
        }
        let another = driver.prepare("select $1::text || 'new'").unwrap();
        let text: String = driver.query_one(&another, &[&"a "]).unwrap().get(0);
        assert_eq!(text, "a new");
        let token = driver.cancel_token();
        let sleeper = std::thread::spawn(move || {
            let error = driver.batch_execute("select pg_sleep(30)").expect_err("it is cancelled");
            (driver, error.code().cloned())
        });
        until("the query to be cancelled", PATIENCE, || {
            let _ = token.cancel_query(postgres::NoTls);
            let_pass(Duration::from_millis(50));
            sleeper.is_finished().then_some(())
        });
        let (back, code) = sleeper.join().unwrap();
        assert_eq!(code, Some(postgres::error::SqlState::QUERY_CANCELED));
        driver = back;
        last = Some(new);
    }
    drop(driver);
    last.expect("two of them").stop();
    let mut pooler = pooler;
    pooler.wait_for_exit(PATIENCE);
}

/// What it listens to is in its server, which moves nowhere. Against one who moves it and lets it
/// wait for ever.
#[test]
fn a_client_that_listens_stays_with_its_server() {
    let setup = restarting(Setup::transaction(3));
    let mut pooler = setup.global("conn_drop_options { drop_enabled no }").start();
    let mut listens = pooler.client();
    let mut goes = pooler.client();
    assert_eq!(listens.query("listen news").commands(), ["LISTEN"]);
    let new = restart(&pooler);
    pooler.wait_for_line("taken over from the old process");
    assert_eq!(goes.query("notify news, 'from the new process'").commands(), ["NOTIFY"]);
    let heard = listens.until_tag(b'A');
    let text = String::from_utf8_lossy(&heard.0.last().unwrap().body).into_owned();
    assert!(text.contains("from the new process"), "{text:?}");
    assert!(pooler.is_alive(), "as long as it listens");
    assert_eq!(listens.query("unlisten *").commands(), ["UNLISTEN"]);
    assert!(pooler.wait_for_exit(PATIENCE).success(), "{}", pooler.log());
    assert_eq!(listens.scalar("select 'moved then'"), "moved then");
    drop((listens, goes));
    new.stop();
}
