//! Replication connections: a server for each, its startup parameters the client's own, bytes both
//! ways until one of the two goes; and never a server that outlives its client.

use crate::support::fake::greeting;
use crate::support::message::cstr;
use crate::support::process::{new_dir, run};
use crate::support::{
    CLEANUP, Client, FakeServer, Login, PATIENCE, Pooler, Postgres, Setup, Wire, let_pass, until,
};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::thread;

fn wire() -> Wire {
    Wire::new()
}

/// A role of the test's own that may replicate and do what the tests need.
fn replicator(name: &str) -> Login {
    let mut admin = Postgres::shared().admin();
    let sql = format!("create role {name} login superuser replication");
    assert_eq!(admin.query(&sql).error(), None);
    Login::new(name, "postgres")
}

/// The login as a client of that kind, which names itself.
fn of_kind(login: &Login, replication: &str) -> Login {
    let named = login.clone().option("application_name", &format!("{}_app", login.user));
    named.option("replication", replication)
}

/// Waits for so many walsenders of a role.
fn wait_for_walsenders(role: &str, want: &str, limit: std::time::Duration) {
    let mut admin = Postgres::shared().admin();
    let sql = format!(
        "select count(*) from pg_stat_activity where backend_type = 'walsender' \
         and usename = '{role}' and application_name = '{role}_app'"
    );
    until(&format!("{want} walsenders"), limit, || (admin.scalar(&sql) == want).then_some(()));
}

fn current_lsn() -> String {
    Postgres::shared().admin().scalar("select pg_current_wal_flush_lsn()")
}

/// Something that the log tells of.
fn write_log() {
    Postgres::shared()
        .admin()
        .scalar("select pg_logical_emit_message(false, 'test', repeat('x', 999))");
}

#[test]
fn physical_and_logical_clients_get_servers_of_their_own() {
    let login = replicator("repl_kinds");
    let mut direct = Postgres::shared().admin();
    let identifier = direct.scalar("select system_identifier from pg_control_system()");
    for setup in [Setup::transaction(2), Setup::session(2)] {
        let pooler = setup.start();
        for kind in ["on", "t", "1", "YES", "database"] {
            let mut client = pooler.login(&of_kind(&login, kind));
            let identified = client.query("IDENTIFY_SYSTEM").rows();
            assert_eq!(identified[0][0].as_deref(), Some(identifier.as_str()), "{kind}");
            let database = (kind == "database").then_some("postgres");
            assert_eq!(identified[0][3].as_deref(), database, "{kind}");
            wait_for_walsenders("repl_kinds", "1", PATIENCE);
            assert_eq!(client.parameters["application_name"], "repl_kinds_app");
            if kind == "database" {
                assert_eq!(client.scalar("select 'sql ' || 'too'"), "sql too");
                assert_eq!(client.extended("select 1", &[]).code(), "08P01"); // PostgreSQL's own
            }
            client.leave();
            wait_for_walsenders("repl_kinds", "0", CLEANUP);
        }
        for kind in ["off", "f", "0", "No"] {
            let mut client = pooler.login(&of_kind(&login, kind));
            assert_eq!(client.query("IDENTIFY_SYSTEM").code(), "42601", "{kind}: SQL is spoken");
            client.leave();
        }
        for garbage in ["o", "maybe", "", "2", "Database"] {
            let refused = pooler.refused(&of_kind(&login, garbage));
            let text = "invalid value for parameter \"replication\"";
            assert_eq!(refused.whole(), ("ERROR", "08006", text), "{garbage:?}");
        }
        pooler.stop();
    }
}

/// What the client puts into its startup packet is what its server reads, `options` too; names,
/// passwords and what the rule adds are the rule's.
#[test]
fn startup_parameters_reach_the_walsender() {
    let login = replicator("repl_startup");
    let rule = r#"authentication "none" storage "pg" pool "transaction" storage_user "repl_startup"
        backend_startup_options { "lock_timeout" "7s" "statement_timeout" "8s" }"#;
    let pooler = Setup::new().rule("default", "default", rule).start();
    let other = Login::new("somebody", "postgres").option("replication", "database");
    let other = other.option("options", "-c statement_timeout=9s -c work_mem=7MB -c my.own=word");
    let other = other.option("application_name", "repl_startup_app");
    let mut client = pooler.login(&other);
    for (name, value) in [
        ("statement_timeout", "8s"),
        ("work_mem", "7MB"),
        ("lock_timeout", "7s"),
        ("my.own", "word"),
    ] {
        assert_eq!(client.scalar(&format!("show {name}")), value);
    }
    wait_for_walsenders(&login.user, "1", PATIENCE);
    // The next one, of the same route, has nothing of it.
    let plain = Login::new("somebody", "postgres").option("replication", "database");
    let mut plain = pooler.login(&plain);
    assert_eq!(plain.scalar("show work_mem"), "4MB");
    assert_eq!(plain.parameters["application_name"], "");
    // Cancels find it.
    client.send(&wire().query("select pg_sleep(60)"));
    let asleep = "usename = 'repl_startup' and wait_event = 'PgSleep'";
    let mut admin = Postgres::shared().admin();
    let count = format!("select count(*) from pg_stat_activity where {asleep}");
    until("the sleep", PATIENCE, || (admin.scalar(&count) == "1").then_some(()));
    client.cancel();
    assert_eq!(client.until_ready().code(), "57014");
    pooler.stop_with(vec![client, plain]);
}

/// CopyBoth: the log comes down while status goes up, and the end of the copy is not the end.
#[test]
fn the_log_streams_both_ways() {
    let login = replicator("repl_streams");
    let pooler = Setup::transaction(1).start();
    let mut client = pooler.login(&of_kind(&login, "database"));
    pooler.wait_for_line("(main) replication connection");
    for round in 0..3 {
        let start = format!("START_REPLICATION PHYSICAL {}", current_lsn());
        client.send(&wire().query(&start));
        client.until_tag(b'W');
        write_log();
        until("log data", PATIENCE, || {
            let data = client.until_tag(b'd').0.pop().expect("CopyData");
            (data.body[0] == b'w').then_some(())
        });
        client.send(&wire().copy_data(&status_update(round)).copy_done());
        let end = client.until_ready();
        assert_eq!(end.status(), 'I', "{end:?}");
        assert_eq!(client.scalar("select 'sql again'"), "sql again");
    }
    pooler.stop_with(vec![client]);
}

/// A standby's status that reports `lsn` and asks for a reply.
fn status_update(lsn: u64) -> Vec<u8> {
    let at = lsn.to_be_bytes();
    [&b"r"[..], &at, &at, &at, &0_u64.to_be_bytes(), &[1]].concat()
}

const LOST: &str = "io error = client connection lost";

/// What a client does before it vanishes.
type Scene<'a> = &'a dyn Fn(&mut Client);

/// Seen to fail: a pipe that learns of the client's end only by reading keeps the walsender of one
/// that sent more than fits; one that reads only while it has nothing to write keeps all.
#[test]
fn a_vanished_client_takes_its_walsender_along() {
    let login = replicator("repl_vanish");
    let pooler = Setup::transaction(1).start();
    let streaming = |client: &mut Client| {
        client.send(&wire().query(&format!("START_REPLICATION PHYSICAL {}", current_lsn())));
        client.until_tag(b'W');
    };
    let backup = |client: &mut Client| {
        // It is never read: everything between us and the server is full soon.
        let version = Postgres::shared().admin().scalar("show server_version_num");
        let modern = version.as_str() >= "150000";
        let fast = if modern { "BASE_BACKUP (CHECKPOINT 'fast')" } else { "BASE_BACKUP FAST" };
        client.send(&wire().query(fast));
        client.until_tag(b'd');
        let_pass(std::time::Duration::from_millis(300));
    };
    let idle = |_: &mut Client| {};
    let flooding = |client: &mut Client| {
        client.send(&wire().query("select pg_sleep(60)"));
        client.socket.limit(std::time::Duration::from_millis(300));
        assert!(client.try_send(&wire().query(&"x".repeat(64 << 20))).is_err(), "it all fitted");
    };
    let scenes: [(&str, Scene<'_>); 4] = [
        ("idle", &idle),
        ("streaming", &streaming),
        ("in a backup", &backup),
        ("flooding", &flooding),
    ];
    for (name, scene) in scenes {
        // An end behind more than fits reaches nobody.
        let deaths: &[bool] = if name == "flooding" { &[true] } else { &[true, false] };
        for &by_reset in deaths {
            println!("{name}, by reset: {by_reset}");
            let mut client = pooler.login(&of_kind(&login, "database"));
            scene(&mut client);
            wait_for_walsenders("repl_vanish", "1", PATIENCE);
            let lost = pooler.log().matches(LOST).count();
            match by_reset {
                true => client.vanish_by_reset(),
                false => client.vanish_by_close(),
            }
            if name == "flooding" {
                // PostgreSQL does not look at its client while it sleeps; we do.
                until("its end", PATIENCE, || {
                    (pooler.log().matches(LOST).count() > lost).then_some(())
                });
                Postgres::shared().admin().query(
                    "select pg_terminate_backend(pid) from pg_stat_activity \
                     where usename = 'repl_vanish'",
                );
            }
            wait_for_walsenders("repl_vanish", "0", PATIENCE);
        }
    }
    // pool_size 1: each of them gave its place back.
    pooler.stop();
}

/// They are told why, between two messages of the stream.
#[test]
fn a_stop_drops_replication_clients_at_once() {
    let login = replicator("repl_stop");
    let mut pooler = Setup::transaction(2).start();
    let mut idle = pooler.login(&of_kind(&login, "database"));
    idle.query("IDENTIFY_SYSTEM");
    let mut streams = pooler.login(&of_kind(&login, "on"));
    streams.send(&wire().query(&format!("START_REPLICATION {}", current_lsn())));
    streams.until_tag(b'W');
    pooler.signal(Signal::TERM);
    for client in [&mut idle, &mut streams] {
        let told = client.until_closed().error().expect("the reason");
        let text = "Odyssey is gracefully shutting down";
        assert_eq!(told.whole(), ("FATAL", "08006", text));
    }
    assert!(pooler.wait_for_exit(PATIENCE).success());
    wait_for_walsenders("repl_stop", "0", CLEANUP);
}

#[test]
fn each_kind_has_a_pool_of_its_own() {
    let login = replicator("repl_pools");
    let pooler = Setup::transaction(1).with("pool_timeout 300").start();
    let mut plain = pooler.login(&login);
    plain.query("begin; select 1");
    let physical = pooler.login(&of_kind(&login, "true"));
    let logical = pooler.login(&of_kind(&login, "database"));
    let refused = pooler.refused(&of_kind(&login, "database"));
    let text =
        "too many active clients for user (pool_size for user postgres.repl_pools reached 1)";
    assert_eq!(refused.whole(), ("FATAL", "53300", text));
    logical.leave();
    let again = pooler.login(&of_kind(&login, "database"));
    assert_eq!(plain.query("commit").commands(), ["COMMIT"]);
    pooler.stop_with(vec![plain, physical, again]);
}

/// The server's own refusal is forwarded where the rule says so.
#[test]
fn a_walsender_that_is_refused_is_a_clear_error() {
    let rule = r#"authentication "none" storage "pg" pool "transaction" client_fwd_error yes"#;
    let pooler = Setup::new().rule("default", "default", rule).start();
    let refused = pooler.refused(&Login::new("app", "postgres").option("replication", "1"));
    assert_eq!((refused.severity.as_str(), refused.code.as_str()), ("FATAL", "42501"));
    refused.ours();
    pooler.stop();
}

/// Forty megabytes each way at once, where one of the two reads only when it has written all. Seen
/// to fail: a pipe that finishes one direction before it looks at the other stands still.
#[test]
fn forty_megabytes_both_ways_at_once() {
    const BYTES: usize = 40 << 20;
    for stubborn_server in [false, true] {
        let server = FakeServer::start(move |mut session| {
            session.read_packet();
            session.send(&greeting());
            let sends = session.stream.try_clone().unwrap();
            let writer = write_all(sends, BYTES, stubborn_server);
            let mut got = vec![0; BYTES];
            let whole = session.stream.read_exact(&mut got).is_ok() && got == copies(BYTES);
            writer.map(thread::JoinHandle::join);
            session.send(&wire().message(b'C', &cstr(if whole { "WHOLE" } else { "TORN" })));
            session.stay_silent();
        });
        let pooler = Setup::in_front_of(server.port, 1).start();
        let mut client = pooler.login(&Login::new("app", "postgres").option("replication", "1"));
        let writer = write_all(client.socket.try_clone(), BYTES, !stubborn_server);
        let answer = client.until_tag(b'C');
        writer.map(thread::JoinHandle::join);
        let data = answer.0.iter().filter(|m| m.tag == b'd');
        let bytes: usize = data.map(|m| m.body.len() + 5).sum();
        assert_eq!((bytes, answer.commands()), (BYTES, vec!["WHOLE".to_owned()]));
        let peak = pooler.memory_peak_kib();
        assert!(peak < 100 * 1024, "{peak} KiB");
        pooler.stop_with(vec![client]);
    }
}

/// Writes that much now, or meanwhile.
fn write_all(
    mut to: impl Write + Send + 'static,
    bytes: usize,
    now: bool,
) -> Option<thread::JoinHandle<()>> {
    let mut write = move || to.write_all(&copies(bytes)).expect("the pooler reads");
    if now {
        write();
        return None;
    }
    Some(thread::spawn(write))
}

/// So many bytes of CopyData.
fn copies(bytes: usize) -> Vec<u8> {
    wire().copy_data(&[b'x'; 1019]).0.repeat(bytes / 1024)
}

/// A program that speaks the replication protocol, pointed at the pooler; None where there is none
/// of the server's version.
fn tool(pooler: &Pooler, name: &str, role: &str) -> Option<Command> {
    let postgres = Postgres::shared();
    let mut command = postgres.has_program(name).then(|| postgres.program(name))?;
    command.args(["-h", "127.0.0.1", "-p", &pooler.port.to_string(), "-U", role]);
    Some(command)
}

fn succeed(command: &mut Command) -> String {
    let (good, out, err) = run(command);
    assert!(good, "{command:?}: {out}{err}");
    out + &err
}

fn parse_lsn(text: &str) -> u64 {
    let low = text.strip_prefix("0/").expect("a young cluster");
    u64::from_str_radix(low, 16).unwrap()
}

#[test]
fn pg_receivewal_receives_the_log() {
    let login = replicator("repl_receivewal");
    let pooler = Setup::transaction(3).start();
    let dir = new_dir("pooler-test-wal");
    let Some(mut slot) = tool(&pooler, "pg_receivewal", &login.user) else { return };
    succeed(slot.args(["--create-slot", "--slot", "receivewal"]));
    let segment_bytes = 16 << 20;
    let begun = parse_lsn(&current_lsn()) / segment_bytes;
    let end = format!("0/{:X}", (begun + 1) * segment_bytes + 1);
    let mut receive = tool(&pooler, "pg_receivewal", &login.user).expect("it was there");
    receive.args(["--no-loop", "--slot", "receivewal", "--endpos", &end, "-D"]).arg(&dir);
    let receiving = thread::spawn(move || succeed(&mut receive));
    let mut admin = Postgres::shared().admin();
    let active = "select count(*) from pg_replication_slots where active";
    until("the stream", PATIENCE, || (admin.scalar(active) == "1").then_some(()));
    for _ in 0..2 {
        write_log();
        admin.scalar("select pg_switch_wal()"); // which flushes
    }
    receiving.join().unwrap();
    let segment = format!("{:024X}", (1_u128 << 64) + u128::from(begun));
    let received = std::fs::metadata(dir.join(&segment)).map(|file| file.len());
    let all: Vec<_> = std::fs::read_dir(&dir).unwrap().flatten().map(|e| e.path()).collect();
    assert_eq!(received.ok(), Some(segment_bytes), "{segment} in {all:?}");
    let mut slot = tool(&pooler, "pg_receivewal", &login.user).expect("it was there");
    succeed(slot.args(["--drop-slot", "--slot", "receivewal"]));
    std::fs::remove_dir_all(&dir).unwrap();
    pooler.stop();
}

#[test]
fn pg_basebackup_copies_the_cluster() {
    let login = replicator("repl_basebackup");
    // It streams the log on a second connection while the files come on the first.
    let pooler = Setup::transaction(2).start();
    let dir = new_dir("pooler-test-backup");
    let Some(mut backup) = tool(&pooler, "pg_basebackup", &login.user) else { return };
    backup.args(["-c", "fast", "-X", "stream", "--no-sync", "-D"]).arg(dir.join("data"));
    succeed(&mut backup);
    verify(&dir.join("data"));
    std::fs::remove_dir_all(&dir).unwrap();
    pooler.stop();
}

fn verify(data: &Path) {
    assert!(data.join("backup_manifest").exists() && data.join("PG_VERSION").exists());
    if Postgres::shared().has_program("pg_verifybackup") {
        let mut verify = Postgres::shared().program("pg_verifybackup");
        let said = succeed(verify.arg(data));
        assert!(said.contains("successfully verified"), "{said}");
    }
}

#[test]
fn pg_recvlogical_decodes_changes() {
    let login = replicator("repl_recvlogical");
    let pooler = Setup::transaction(2).start();
    let Some(mut create) = tool(&pooler, "pg_recvlogical", &login.user) else { return };
    let slot = ["-d", "postgres", "--slot", "recvlogical"];
    succeed(create.args(slot).args(["--create-slot", "-P", "test_decoding"]));
    let mut ordinary = pooler.login(&login);
    ordinary.query("create table recvlogical (i int)");
    ordinary.query("insert into recvlogical select generate_series(1, 1000)");
    let end = Postgres::shared().admin().scalar("select pg_current_wal_insert_lsn()");
    let mut receive = tool(&pooler, "pg_recvlogical", &login.user).expect("it was there");
    let out =
        succeed(receive.args(slot).args(["--start", "--no-loop", "--endpos", &end, "-f", "-"]));
    let rows = out.lines().filter(|line| line.contains("public.recvlogical: INSERT")).count();
    assert_eq!(rows, 1000, "{out}");
    let mut end = tool(&pooler, "pg_recvlogical", &login.user).expect("it was there");
    succeed(end.args(slot).arg("--drop-slot"));
    pooler.stop_with(vec![ordinary]);
}

#[test]
fn psql_speaks_to_walsenders() {
    let login = replicator("repl_psql");
    let pooler = Setup::transaction(1).start();
    for (kind, database) in [("database", "|postgres\n"), ("true", "|\n")] {
        let target = format!(
            "host=127.0.0.1 port={} user={} dbname=postgres replication={kind}",
            pooler.port, login.user
        );
        let mut psql = Postgres::shared().program("psql");
        let said = succeed(psql.args(["-A", "-t", "-d", &target, "-c", "IDENTIFY_SYSTEM"]));
        assert!(said.ends_with(database), "{said}");
    }
    pooler.stop();
}
