//! Commands that change something do what they say, and nothing else.

use super::*;
use crate::support::process::write;
use crate::support::{CLEANUP, PATIENCE, let_pass, until};
use std::process::Stdio;
use std::time::Duration;

const KILLED: &str = "Odyssey has dropped the connection";

/// Killed in a query, in the queue, and with nothing to do. The query must not run on.
#[test]
fn a_killed_client_goes_at_once_and_so_does_its_query() {
    let pooler = with_console(Setup::transaction(1)).start();
    let mut admin = console(&pooler);
    let named = |name: &str| Login::new("app", "postgres").option("application_name", name);
    let (mut busy, mut queued) = (pooler.login(&named("busy")), pooler.login(&named("queued")));
    let mut idle = pooler.login(&named("idle"));
    busy.send(&Wire::new().query("select pg_sleep(60)"));
    let postgres = Postgres::shared();
    postgres.wait_for_backends("query like '%pg_sleep(60)%' and state = 'active'", 1, PATIENCE);
    queued.send(&Wire::new().query("select 1"));
    until("it to wait", PATIENCE, || (table(&mut admin, "show waiters").len() == 1).then_some(()));
    for (name, client) in [("queued", &mut queued), ("idle", &mut idle), ("busy", &mut busy)] {
        let clients = table(&mut admin, "show clients");
        let row = clients.iter().find(|row| value(row, "application_name") == name).unwrap();
        let answer = admin.query(&format!("kill_client {}", value(row, "id")));
        assert_eq!((answer.error(), answer.commands()), (None, vec!["KILL_CLIENT".into()]));
        let error = client.until_closed().error().unwrap();
        assert_eq!(whole(&error), ("FATAL", "08006", KILLED), "{name}");
    }
    postgres.wait_for_backends("query like '%pg_sleep(60)%' and state = 'active'", 0, CLEANUP);
    assert_eq!(admin.query("kill_client c0123456789ab").code(), "42704");
    assert_eq!(admin.query("kill_client c01234").code(), "42601");
    admin.leave();
    pooler.stop();
}

#[test]
fn a_disabled_database_takes_nobody_and_keeps_who_is_there() {
    let pooler = with_console(Setup::transaction(1)).start();
    let (mut admin, mut client) = (console(&pooler), pooler.client());
    assert_eq!(admin.query("disable postgres").commands(), ["DISABLE"]);
    let refused = pooler.refused(&Login::new("app", "postgres"));
    let text = "database 'postgres' is disabled";
    assert_eq!(refused.whole(), ("FATAL", "57P03", text));
    assert_eq!(client.scalar("select 1"), "1");
    let databases = table(&mut admin, "show databases");
    assert_eq!(value(&databases[0], "disabled"), "1");
    assert_eq!(admin.query("enable postgres").commands(), ["ENABLE"]);
    assert_eq!(pooler.client().scalar("select 2"), "2");
    pooler.stop_with(vec![admin, client]);
}

#[test]
fn reconnect_closes_servers_as_they_come_back() {
    let pooler = with_console(Setup::transaction(2)).start();
    let (mut admin, mut one, mut two) = (console(&pooler), pooler.client(), pooler.client());
    let pid = |client: &mut Client| client.scalar("select pg_backend_pid()");
    one.query("begin");
    let (first, second) = (pid(&mut one), pid(&mut two));
    assert_ne!(first, second);
    assert_eq!(admin.query("reconnect").commands(), ["RECONNECT"]);
    assert_eq!(pid(&mut one), first, "it is inside a transaction");
    assert_ne!(pid(&mut two), second, "the idle one was closed");
    admin.send(&Wire::new().query("wait_close postgres"));
    assert!(admin.is_silent_for(Duration::from_millis(200)));
    one.query("commit");
    assert_eq!(admin.until_ready().commands(), ["WAIT_CLOSE"]);
    assert_ne!(pid(&mut one), first);
    pooler.stop_with(vec![admin, one, two]);
}

#[test]
fn a_rejected_reload_is_an_error_with_its_complaints() {
    let setup = with_console(Setup::transaction(1));
    let pooler = setup.start();
    let mut admin = console(&pooler);
    assert_eq!(admin.query("reload").commands(), ["RELOAD"]);
    let dir = pooler.socket_dir();
    let text = setup.text(pooler.port, &dir);
    write(&dir, "odyssey.conf", &text.replace("workers 2", "workers two"));
    let error = admin.query("reload").error().unwrap();
    assert_eq!(whole(&error), ("ERROR", "F0000", "reload rejected, nothing was changed"));
    assert!(error.detail.as_deref().unwrap().contains("odyssey.conf:"), "{error:?}");
    write(&dir, "odyssey.conf", &text.replace("role \"admin\"", "role \"stat\""));
    assert_eq!(admin.query("reload").error(), None);
    assert_eq!(admin.query("reload").code(), "42501", "the role of who is here has changed, too");
    admin.leave();
    pooler.stop();
}

#[test]
fn a_pause_lets_transactions_end_and_holds_new_ones_back() {
    let pooler = with_console(Setup::transaction(2)).start();
    let (mut admin, mut inside, mut outside) = (console(&pooler), pooler.client(), pooler.client());
    inside.query("begin; select 1");
    admin.send(&Wire::new().query("pause"));
    assert!(admin.is_silent_for(Duration::from_millis(200)), "a transaction is open");
    outside.send(&Wire::new().query("select 2"));
    assert!(outside.is_silent_for(Duration::from_millis(200)));
    assert_eq!(inside.query("select 3").column(), ["3"]);
    inside.query("commit");
    assert_eq!(admin.until_ready().commands(), ["PAUSE"]);
    assert_eq!(table(&mut admin, "show servers").len(), 0, "all are closed");
    let waiting = table(&mut admin, "show waiters");
    assert_eq!(value(&waiting[0], "waits_for"), "RESUME: the pool is paused");
    assert_eq!(admin.query("show is_paused").column(), ["t"]);
    pooler.wait_for_line("(pause) global pause is on");
    assert_eq!(admin.query("resume").commands(), ["RESUME"]);
    assert_eq!(outside.until_ready().column(), ["2"]);
    // One database alone; a wait that is cancelled leaves the pause in force.
    inside.query("begin; select 1");
    admin.send(&Wire::new().query("pause postgres"));
    assert!(admin.is_silent_for(Duration::from_millis(100)));
    admin.cancel();
    assert_eq!(admin.until_ready().code(), "57014");
    let databases = table(&mut admin, "show databases");
    assert_eq!(value(&databases[0], "paused"), "1");
    assert_eq!(admin.query("show is_paused").column(), ["f"], "not everything");
    admin.query("resume postgres");
    inside.query("commit");
    assert_eq!(inside.scalar("select 4"), "4");
    pooler.stop_with(vec![admin, inside, outside]);
}

/// A session would keep its server for ever.
#[test]
fn a_pause_sends_sessions_away_when_their_transaction_is_over() {
    let pooler = with_console(Setup::session(3)).start();
    let (mut admin, mut inside, mut idle) = (console(&pooler), pooler.client(), pooler.client());
    inside.query("begin; select 1");
    idle.query("select 1");
    let mut fresh = pooler.client();
    admin.send(&Wire::new().query("pause"));
    let error = idle.until_closed().error().unwrap();
    assert_eq!(whole(&error), ("FATAL", "57P01", KILLED));
    assert_eq!(inside.query("select 1").column(), ["1"]);
    inside.send(&Wire::new().query("commit"));
    assert_eq!(inside.until_ready().commands(), ["COMMIT"]);
    assert_eq!(inside.until_closed().code(), "57P01");
    assert_eq!(admin.until_ready().commands(), ["PAUSE"]);
    fresh.send(&Wire::new().query("select 1"));
    assert_eq!(fresh.until_closed().code(), "57P01", "it would keep the server it gets");
    admin.query("resume");
    assert_eq!(pooler.client().scalar("select 2"), "2");
    admin.leave();
    pooler.stop();
}

/// What PAUSE is for. Without it every client sees its connection break.
#[test]
fn postgresql_is_restarted_under_load_and_no_transaction_fails() {
    let mut postgres = Postgres::start();
    let pooler = with_console(Setup::in_front_of(postgres.port, 4)).start();
    let mut admin = console(&pooler);
    let dir = pooler.socket_dir();
    let script = write(&dir, "script.sql", "begin;\nselect 1;\nselect pg_sleep(0.002);\nend;\n");
    let mut pgbench = Postgres::shared().program("pgbench");
    pgbench.args(["-n", "-h", "127.0.0.1", "-U", "app", "-c", "16", "-j", "2", "-T", "8"]);
    pgbench.args(["-p", &pooler.port.to_string(), "-f"]).arg(&script).arg("postgres");
    let load = pgbench.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the load to run", PATIENCE, || {
        let stats = table(&mut admin, "show stats");
        stats.iter().any(|row| number(row, "total_xact_count") > 50).then_some(())
    });
    for _ in 0..2 {
        assert_eq!(admin.query("pause").commands(), ["PAUSE"]);
        postgres.restart();
        let_pass(Duration::from_millis(200));
        assert_eq!(admin.query("resume").commands(), ["RESUME"]);
        let_pass(Duration::from_millis(500));
    }
    let out = load.wait_with_output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{text}");
    assert!(!text.contains("aborted") && text.contains("failed transactions: 0 "), "{text}");
    admin.leave();
    pooler.stop();
}

#[test]
fn killing_a_database_ends_everybody_and_lets_nobody_go_on() {
    let pooler = with_console(Setup::transaction(2)).start();
    let (mut admin, mut busy, mut idle) = (console(&pooler), pooler.client(), pooler.client());
    busy.query("begin; select 1");
    assert_eq!(admin.query("kill nowhere").code(), "", "a rule for all databases knows any name");
    assert_eq!(admin.query("kill postgres").commands(), ["KILL"]);
    for client in [&mut busy, &mut idle] {
        assert_eq!(whole(&client.until_closed().error().unwrap()).1, "08006");
    }
    let mut late = pooler.client();
    late.send(&Wire::new().query("select 1"));
    assert!(late.is_silent_for(Duration::from_millis(200)));
    admin.query("resume");
    assert_eq!(late.until_ready().column(), ["1"]);
    pooler.stop_with(vec![admin, late]);
}

#[test]
fn shutdown_is_the_graceful_end() {
    let mut pooler = with_console(Setup::transaction(1)).start();
    let (mut admin, mut inside) = (console(&pooler), pooler.client());
    inside.query("begin; select 1");
    assert_eq!(admin.query("shutdown whenever").code(), "42601");
    assert_eq!(admin.query("shutdown").commands(), ["SHUTDOWN"]);
    assert_eq!(inside.query("select 2").column(), ["2"]);
    inside.query("commit");
    assert_eq!(inside.until_closed().code(), "08006");
    assert!(pooler.wait_for_exit(PATIENCE).success());
}
