//! Reload: the operator edits the file, sends SIGHUP and reads the log. Clients that are not
//! concerned notice nothing, those that are notice what the log says.

mod load;

use crate::support::client::Address;
use crate::support::process::{self, free_port};
use crate::support::{Client, Login, PATIENCE, Pooler, Postgres, Setup, until};
use rustix::process::Signal;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

const DONE: &str = "(reload) reload done";
const REJECTED: &str = "(reload) reload rejected, nothing was changed";

/// The lines of one reload, after the file says `text`.
fn reload_text(pooler: &Pooler, text: &str) -> String {
    process::write(&pooler.socket_dir(), "odyssey.conf", text);
    let before = pooler.log().len();
    pooler.signal(Signal::HUP);
    until("the reload to end", PATIENCE, || {
        let log = pooler.log();
        let new = &log[before..];
        let ends = |line: &&str| line.contains(DONE) || line.contains(REJECTED);
        let end = new.lines().find(ends)?;
        let place = new.find(end).expect("it is a line of it");
        // The listeners log what they do before the report is there.
        Some(new[..place + end.len()].to_owned())
    })
}

fn reload(pooler: &Pooler, setup: &Setup) -> String {
    reload_text(pooler, &setup.text(pooler.port, &pooler.socket_dir()))
}

/// A reload that is good and says this.
#[track_caller]
fn applied(pooler: &Pooler, setup: &Setup, lines: &[&str]) {
    let log = reload(pooler, setup);
    assert!(log.contains(DONE), "{log}");
    for line in lines {
        assert!(log.contains(line), "{line:?} is not in {log}");
    }
}

/// A rule for one role in transaction pooling.
fn rule(setup: Setup, role: &str, options: &str) -> Setup {
    setup.rule("postgres", role, &format!(r#"storage "pg" pool "transaction" {options}"#))
}

fn open(role: &str, options: &str) -> Setup {
    rule(Setup::new(), role, &format!(r#"authentication "none" {options}"#))
}

fn pid(client: &mut Client) -> String {
    client.scalar("select pg_backend_pid()")
}

fn servers(role: &str, want: usize) {
    Postgres::shared().wait_for_backends(&format!("usename = '{role}'"), want, PATIENCE);
}

#[test]
fn a_bad_file_changes_nothing_and_all_complaints_are_told() {
    let role = Postgres::shared().role("careful");
    let setup = open("careful", "pool_size 1");
    let pooler = setup.start();
    let mut client = pooler.login(&role);
    let server = pid(&mut client);
    let good = setup.text(pooler.port, &pooler.socket_dir());
    let wrong = good.replace("pool_size 1", "pool_size -1").replace("workers 2", "workers 0");
    let log = reload_text(&pooler, &wrong);
    for word in ["importing changes from", "pool_size must be non-negative", "bad workers number"] {
        assert!(log.contains(word), "{word} is not in {log}");
    }
    assert!(log.contains(REJECTED), "{log}");
    std::fs::remove_file(pooler.socket_dir().join("odyssey.conf")).unwrap();
    pooler.signal(Signal::HUP);
    pooler.wait_for_line("cannot read the file");
    assert_eq!(pid(&mut client), server);
    assert_eq!(pid(&mut pooler.login(&role)), server);
    let log = reload_text(&pooler, &good);
    assert!(log.contains("reload done: 0 applied, 0 need a restart"), "{log}");
    assert_eq!(pid(&mut client), server);
    pooler.stop();
}

#[test]
fn what_needs_a_restart_is_told_and_the_rest_is_done() {
    let setup = Setup::transaction(1);
    let pooler = setup.start();
    let lines = [
        "needs restart: process: workers 2 -> 3",
        "process: log_stats no -> yes",
        "process: stats_interval 3 -> 1",
        "reload done",
    ];
    let changed =
        setup.clone().global("workers 3").global("log_stats yes").global("stats_interval 1");
    applied(&pooler, &changed, &lines);
    pooler.wait_for_line("(stats) clients");
    applied(&pooler, &changed, &["needs restart: process: workers 2 -> 3"]);
    pooler.stop();
}

/// Seen to fail: a limit that is read when the process starts.
#[test]
fn client_max_changes_while_clients_are_here() {
    let setup = Setup::transaction(1);
    let pooler = setup.start();
    let (mut one, mut two) = (pooler.client(), pooler.client());
    applied(&pooler, &setup.clone().global("client_max 1"), &["process: client_max (none) -> 1"]);
    let refused = pooler.refused(&Login::new("app", "postgres"));
    assert!(refused.message.contains("too many"), "{refused:?}");
    assert_eq!((one.scalar("select 1"), two.scalar("select 2")), ("1".into(), "2".into()));
    applied(&pooler, &setup, &["process: client_max 1 -> (none)"]);
    assert_eq!(pooler.client().scalar("select 3"), "3");
    pooler.stop();
}

fn listens(port: u16) -> bool {
    Client::try_connect(&Address::Tcp(port)).is_ok()
}

/// While a client of another listener runs a query, and with the listeners of the others open.
#[test]
fn listeners_come_and_go_and_drop_nobody() {
    let setup = Setup::transaction(2);
    let pooler = setup.start();
    let [first, second] = [free_port(), free_port()];
    let section =
        |port: u16, options: &str| format!("listen {{ host \"127.0.0.1\" port {port} {options} }}");
    let mut busy = pooler.client();
    busy.send(&crate::support::Wire::new().query("select pg_sleep(1), 'done'"));
    let line = format!("listen 127.0.0.1:{first} was added");
    applied(&pooler, &setup.clone().global(&section(first, "")), &[&line]);
    let mut through_first = Client::try_connect(&Address::Tcp(first)).unwrap();
    through_first.start(&Login::new("app", "postgres")).unwrap();
    let line = format!("listen 127.0.0.1:{first}: backlog 128 -> 5");
    applied(&pooler, &setup.clone().global(&section(first, "backlog 5")), &[&line]);
    assert!(listens(first));

    let (gone, come) =
        (format!("listen 127.0.0.1:{first} was deleted"), format!("listen 127.0.0.1:{second} was"));
    applied(&pooler, &setup.clone().global(&section(second, "")), &[&gone, &come]);
    assert!(!listens(first) && listens(second) && listens(pooler.port));
    assert_eq!(through_first.scalar("select 'stays'"), "stays");
    applied(&pooler, &setup, &["was deleted"]);
    assert!(!listens(second) && Client::try_connect(&pooler.socket_address()).is_ok());
    assert_eq!(busy.until_ready().rows()[0][1].as_deref(), Some("done"));
    pooler.stop_with(vec![busy, through_first]);
}

/// Seen to fail: a new socket that is bound while the old one has the port for itself.
#[test]
fn a_listener_goes_from_one_address_to_all_and_back() {
    let setup = Setup::transaction(1);
    let pooler = setup.start();
    let port = free_port();
    let [one, all] = ["127.0.0.1", "*"].map(|host| {
        let section = format!("listen {{ host \"{host}\" port {port} }}");
        (setup.clone().global(&section), format!("listen {host}:{port}"))
    });
    let elsewhere = || TcpStream::connect(("127.0.0.2", port)).is_ok();
    applied(&pooler, &one.0, &[&format!("{} was added", one.1)]);
    for (from, to, everywhere) in [(&one, &all, true), (&all, &one, false)] {
        let lines = [format!("{} was deleted", from.1), format!("{} was added", to.1)];
        applied(&pooler, &to.0, &[&lines[0], &lines[1]]);
        assert_eq!((listens(port), elsewhere()), (true, everywhere));
    }
    // Nobody else may have the port.
    assert!(TcpListener::bind(("127.0.0.1", port)).is_err());
    pooler.stop();
}

#[test]
fn a_unix_socket_changes_its_mode_and_moves() {
    let setup = Setup::transaction(1);
    let pooler = setup.start();
    let name = format!(".s.PGSQL.{}", pooler.port);
    let (here, dir) = (pooler.socket_dir().join(&name), process::new_dir("pooler-test-moved"));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&here), 0o777);
    let narrow = setup.global("unix_socket_mode \"0700\"");
    applied(&pooler, &narrow, &["unix_socket_mode"]);
    assert_eq!(mode(&here), 0o700);
    let login = Login::new("app", "postgres");
    let mut client = Client::try_connect(&pooler.socket_address()).unwrap();
    client.start(&login).unwrap();

    let log = reload_text(&pooler, &narrow.text(pooler.port, &dir));
    assert!(log.contains("process: unix_socket_dir") && log.contains(DONE), "{log}");
    assert_eq!(mode(&dir.join(&name)), 0o700);
    until("the old socket to go", PATIENCE, || (!here.exists()).then_some(()));
    assert_eq!(client.scalar("select 'stays'"), "stays");
    let mut new = Client::try_connect(&Address::Unix(dir.join(&name))).unwrap();
    new.start(&login).unwrap();
    pooler.stop_with(vec![client, new]);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_listener_that_cannot_be_bound_rejects_all_of_it() {
    let setup = Setup::transaction(1);
    let pooler = setup.start();
    let port = free_port();
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let section = format!("listen {{ host \"127.0.0.1\" port {port} }}");
    let log = reload(&pooler, &setup.clone().global(&section).global("log_stats yes"));
    assert!(log.contains(&format!("bind to 127.0.0.1:{port} failed")), "{log}");
    assert!(log.contains(REJECTED) && !log.contains("log_stats"), "{log}");
    drop(taken);
    applied(&pooler, &setup.global(&section), &[&format!("listen 127.0.0.1:{port} was added")]);
    assert!(listens(port));
    pooler.stop();
}

/// Those who come through an old listener after the reload have its new limits.
#[test]
fn a_login_timeout_changes_for_those_who_come() {
    let setup = Setup::transaction(1).listen("client_login_timeout 60000");
    let pooler = setup.start();
    let mut slow = pooler.connect();
    applied(
        &pooler,
        &setup.listen("client_login_timeout 100"),
        &["client_login_timeout 60s -> 100ms"],
    );
    let mut late = pooler.connect();
    assert!(late.read().is_none(), "the end of the stream");
    assert!(slow.is_silent_for(Duration::from_millis(50)));
    slow.start(&Login::new("app", "postgres")).unwrap();
    pooler.stop();
}

#[test]
fn a_removed_rule_refuses_new_clients_and_old_ones_finish() {
    let (stays, goes) = (Postgres::shared().role("stayer"), Postgres::shared().role("goer"));
    let one = open("stayer", "pool_size 1");
    let both = rule(one.clone(), "goer", r#"authentication "none" pool_size 1"#);
    let pooler = both.start();
    let (mut old, mut other) = (pooler.login(&goes), pooler.login(&stays));
    assert_eq!(old.query("begin").status(), 'T');
    let (server, kept) = (pid(&mut old), pid(&mut other));
    applied(&pooler, &one, &["rule postgres.goer all all was deleted"]);

    let refused = pooler.refused(&goes);
    let expected = ("ERROR", "3D000", "route for 'postgres.goer' is not found");
    assert_eq!((refused.severity.as_str(), refused.code.as_str(), refused.ours()), expected);
    assert_eq!(pid(&mut old), server, "its transaction goes on");
    assert_eq!(old.query("commit").status(), 'I');
    assert_ne!(pid(&mut old), server, "the server was one of the route as it was");
    assert_eq!(pid(&mut other), kept);
    drop(old);
    servers("goer", 0);
    servers("stayer", 1);

    applied(&pooler, &both, &["rule postgres.goer all all was added"]);
    assert_eq!(pooler.login(&goes).scalar("select current_user"), "goer");
    pooler.stop();
}

/// Seen to fail: a password that ends the route takes its servers with it.
#[test]
fn a_new_password_is_asked_for_and_servers_stay() {
    let role = Postgres::shared().role("keyed");
    for method in ["clear_text", "md5", "scram-sha-256"] {
        let with = |word: &str| {
            let options = format!(r#"authentication "{method}" password "{word}" pool_size 1"#);
            rule(Setup::new(), "keyed", &options)
        };
        let (old, new) = (role.clone().password("old word"), role.clone().password("new word"));
        let pooler = with("old word").start();
        let mut client = pooler.login(&old);
        let server = pid(&mut client);
        let log = reload(&pooler, &with("new word"));
        assert!(log.contains("rule postgres.keyed all all: password changed"), "{log}");
        assert!(!log.contains(" word"), "{log}");
        assert_eq!(pooler.refused(&old).code, "28P01", "{method}");
        assert_eq!(pid(&mut pooler.login(&new)), server);
        assert_eq!(pid(&mut client), server);
        pooler.stop();
    }
}

/// A client that waits gets the server there is room for now; what is too much goes when it is
/// free.
#[test]
fn a_pool_grows_and_shrinks_under_its_clients() {
    let role = Postgres::shared().role("sized");
    let setup = |size: usize| open("sized", &format!("pool_size {size}"));
    let pooler = setup(1).start();
    let mut clients: Vec<Client> = (0..3).map(|_| pooler.login(&role)).collect();
    assert_eq!(clients[0].query("begin").status(), 'T');
    let first = pid(&mut clients[0]);
    for waiting in &mut clients[1..] {
        waiting.send(&crate::support::Wire::new().query("begin; select pg_backend_pid()"));
    }
    applied(&pooler, &setup(3), &["rule postgres.sized all all: pool_size 1 -> 3"]);
    for served in &mut clients[1..] {
        assert_eq!(served.until_ready().status(), 'T');
    }
    servers("sized", 3);
    applied(&pooler, &setup(1), &["pool_size 3 -> 1"]);
    for client in &mut clients[1..] {
        assert_eq!(client.query("commit").status(), 'I');
    }
    servers("sized", 1);
    assert_eq!(pid(&mut clients[0]), first, "it is in its transaction");
    pooler.stop_with(clients);
}

#[test]
fn a_changed_storage_has_new_servers_and_old_clients_keep_the_old() {
    let role = Postgres::shared().role("mover");
    let to = |database: &str| open("mover", &format!("pool_size 1 storage_db \"{database}\""));
    let pooler = to("postgres").start();
    let (mut old, sql) = (pooler.login(&role), "select current_database()");
    assert_eq!(old.scalar(sql), "postgres");
    let server = pid(&mut old);
    applied(&pooler, &to("other"), &["rule postgres.mover all all: storage_db postgres -> other"]);
    Postgres::shared().wait_for_backends(&format!("pid = {server}"), 0, PATIENCE);
    let mut new = pooler.login(&role);
    assert_eq!((new.scalar(sql), old.scalar(sql)), ("other".into(), "postgres".into()));
    drop(old);
    servers("mover", 1);
    assert_eq!(new.scalar(sql), "other");
    pooler.stop_with(vec![new]);
}

#[test]
fn min_pool_size_is_taken_again() {
    Postgres::shared().role("hoarder");
    let keep = |min: usize| open("hoarder", &format!("pool_size 9 pool_ttl 1 min_pool_size {min}"));
    let pooler = keep(1).start();
    servers("hoarder", 1);
    applied(&pooler, &keep(3), &["min_pool_size 1 -> 3"]);
    servers("hoarder", 3);
    applied(&pooler, &keep(0), &["min_pool_size 3 -> 0"]);
    servers("hoarder", 0);
    applied(&pooler, &keep(2), &[]);
    servers("hoarder", 2);
    applied(&pooler, &Setup::transaction(1), &["rule postgres.hoarder all all was deleted"]);
    servers("hoarder", 0);
    pooler.stop();
}

/// However many signals come, they are done one after the other, and none during the end.
#[test]
fn signals_in_a_row_and_at_the_end() {
    let setup = Setup::transaction(1);
    let mut pooler = setup.start();
    let mut client = pooler.client();
    for _ in 0..200 {
        pooler.signal(Signal::HUP);
        assert_eq!(client.scalar("select 1"), "1");
    }
    let log = reload(&pooler, &setup);
    assert!(log.contains("reload done: 0 applied"), "{log}");
    assert_eq!(client.query("begin; select 1").status(), 'T');
    pooler.signal(Signal::TERM);
    pooler.wait_for_line("termination signal received");
    pooler.signal(Signal::HUP);
    pooler.wait_for_line("SIGHUP: shutting down, nothing is reloaded");
    assert_eq!(client.query("commit").status(), 'I');
    drop(client);
    assert!(pooler.wait_for_exit(PATIENCE).success());
}
