//! The process as its host meets it: in the background, with a pid file, a title and a priority, on
//! its processors, at its sockets.

use crate::support::pooler::{OPEN, binary};
use crate::support::process::{self, Leash, Watched, free_port, new_dir, run, stat, write};
use crate::support::{Client, Login, PATIENCE, Setup, client, until};
use rustix::process::Signal;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

const STATE: usize = 3;
const SESSION: usize = 6;
const NICE: usize = 19;

/// A directory with a configuration whose port and socket are its own.
struct Place {
    dir: PathBuf,
    port: u16,
}

impl Place {
    fn new(setup: &Setup) -> Place {
        let place = Place { dir: new_dir("pooler-test-daemon"), port: free_port() };
        let pid_file = format!("pid_file \"{}\"", place.pid_file().display());
        let setup = setup.clone().global(&pid_file);
        write(&place.dir, "odyssey.conf", &setup.text(place.port, &place.dir));
        place
    }

    fn config(&self) -> PathBuf {
        self.dir.join("odyssey.conf")
    }

    fn pid_file(&self) -> PathBuf {
        self.dir.join("pid")
    }

    fn socket(&self) -> PathBuf {
        self.dir.join(format!(".s.PGSQL.{}", self.port))
    }

    /// Starts it in the foreground, and waits until it serves.
    fn watch(&self, flags: &[&str]) -> Watched {
        let mut command = binary();
        command.args(flags).arg(self.config()).stdin(Stdio::null()).stdout(Stdio::null());
        let pooler = Watched::spawn(&mut command, self.dir.clone());
        until("the pid file", PATIENCE, || (self.pid()? == pooler.pid().to_string()).then_some(()));
        pooler
    }

    fn pid(&self) -> Option<String> {
        let text = fs::read_to_string(self.pid_file()).ok()?;
        text.strip_suffix('\n').map(str::to_owned)
    }

    fn client(&self) -> Client {
        self.client_at(&client::Address::Tcp(self.port))
    }

    fn client_at(&self, address: &client::Address) -> Client {
        let mut client = Client::try_connect(address).expect("it listens");
        client.start(&Login::new("app", "postgres")).expect("everybody may come");
        client
    }
}

fn title(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    String::from_utf8(bytes).unwrap().trim_end_matches('\0').to_owned()
}

#[test]
fn a_daemon_serves_when_its_parent_has_ended() {
    let place = Place::new(&Setup::transaction(1).global("daemonize yes").global("priority 5"));
    let leash = Leash::new(&place.dir);
    let mut command = binary();
    command.arg(place.config());
    let mut command = leash.on(&command);
    command.current_dir("/").env("POOLER_TEST_LONG", "x".repeat(200));
    let (good, out, err) = run(&mut command); // ends when all who can write to `out` have closed it
    assert!(good, "{out}{err}");
    let pid: u32 = place.pid().expect("a pid file").parse().expect("a number and a line's end");

    let mut client = place.client();
    assert_eq!(client.scalar("select 1"), "1");
    assert_eq!(stat(pid, SESSION), Some(pid.to_string()), "a session of its own");
    assert_eq!(stat(pid, NICE).as_deref(), Some("5"));
    for standard in 0..3 {
        let target = fs::read_link(format!("/proc/{pid}/fd/{standard}")).unwrap();
        assert_eq!(target, Path::new("/dev/null"));
    }
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), Path::new("/"));
    let shown = title(pid);
    assert!(shown.starts_with("odyssey 1.5.3 "), "{shown}");
    assert!(shown.ends_with(" listening and accepting new connections"), "{shown}");

    client.query("begin");
    process::signal(pid, Signal::TERM);
    until("the listener to close", PATIENCE, || (!place.socket().exists()).then_some(()));
    let says = " stop accepting any connections";
    until("a title that says so", PATIENCE, || title(pid).ends_with(says).then_some(()));
    assert_eq!(place.pid(), Some(pid.to_string()), "it still runs");
    client.query("commit");
    // Who reaps it is nobody's business here.
    until("its end", PATIENCE, || stat(pid, STATE).is_none_or(|it| it == "Z").then_some(()));
    assert!(!place.pid_file().exists() && !place.socket().exists());
}

/// Against a test that fails before it knows whom to end.
#[test]
fn a_daemon_does_not_outlive_its_test() {
    let place = Place::new(&Setup::transaction(1).global("daemonize yes"));
    let leash = Leash::new(&place.dir);
    let mut command = binary();
    command.arg(place.config());
    let (good, out, err) = run(&mut leash.on(&command));
    assert!(good, "{out}{err}");
    let pid: u32 = place.pid().expect("a pid file").parse().unwrap();
    drop(leash);
    assert!(stat(pid, STATE).is_none_or(|state| state == "Z"), "it lives");
    assert!(!place.dir.exists());
}

#[test]
fn a_daemon_that_cannot_serve_tells_who_started_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let dir = new_dir("pooler-test-daemon");
    let pid_file = write(&dir, "pid", "1\n");
    let global = format!("pid_file \"{}\"", pid_file.display());
    let setup = Setup::transaction(1).global("daemonize yes").global(&global);
    let path = write(&dir, "odyssey.conf", &setup.text(port, Path::new("/no/such/dir")));
    let output = binary().arg(&path).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.contains(&format!("127.0.0.1:{port}")) && out.contains("/no/such/dir"), "{out}");
    // Written before anything was bound, it would have been taken from the one who runs.
    assert_eq!(fs::read_to_string(&pid_file).unwrap(), "1\n");
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn console_keeps_it_in_the_foreground() {
    let place = Place::new(&Setup::transaction(1).global("daemonize yes"));
    let pooler = place.watch(&["--console"]);
    assert_eq!(place.client().scalar("select 1"), "1");
    assert_ne!(stat(pooler.pid(), SESSION), Some(pooler.pid().to_string()));
}

#[test]
fn a_pid_file_is_ours_as_long_as_it_says_so() {
    let place = Place::new(&Setup::transaction(1));
    write(&place.dir, "pid", "4194304 and nonsense of a crash\n");
    let mut pooler = place.watch(&[]);
    process::signal(pooler.pid(), Signal::TERM);
    assert!(until("its end", PATIENCE, || pooler.child.try_wait().unwrap()).success());
    assert!(!place.pid_file().exists(), "removed");

    let mut pooler = place.watch(&[]);
    write(&place.dir, "pid", "1\n"); // a successor's
    process::signal(pooler.pid(), Signal::TERM);
    assert!(until("its end", PATIENCE, || pooler.child.try_wait().unwrap()).success());
    assert_eq!(place.pid().as_deref(), Some("1"), "not removed");

    fs::remove_file(place.pid_file()).unwrap();
    fs::create_dir(place.pid_file()).unwrap();
    let output = binary().arg(place.config()).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{out}");
    let expected = format!("failed to create pid file {}: ", place.pid_file().display());
    assert!(out.contains(&expected), "{out}");
}

#[test]
fn a_socket_left_by_a_crash_is_replaced_and_has_its_mode() {
    let place = Place::new(&Setup::transaction(1).global("unix_socket_mode \"0640\""));
    let mode = || fs::metadata(place.socket()).unwrap().permissions().mode() & 0o7777;
    let mut pooler = place.watch(&[]);
    assert_eq!(mode(), 0o640);
    process::signal(pooler.pid(), Signal::KILL);
    until("its end", PATIENCE, || pooler.child.try_wait().unwrap());
    assert!(place.socket().exists(), "nobody could remove it");

    let _second = place.watch(&[]);
    assert_eq!(mode(), 0o640);
    let mut client = place.client_at(&client::Address::Unix(place.socket()));
    assert_eq!(client.scalar("select 1"), "1");
}

/// The numbers of a list such as `0-1,4`.
fn numbers(list: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse::<usize>().unwrap()..=last.parse().unwrap()
    };
    list.split(',').flat_map(range).collect()
}

/// Name and processors of a thread.
fn thread(status: &str) -> (String, Vec<usize>) {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.expect("a known field").trim().to_owned()
    };
    (field("Name:"), numbers(&field("Cpus_allowed_list:")))
}

#[test]
fn workers_run_where_they_are_pinned_and_nobody_else_is() {
    let all = thread(&fs::read_to_string("/proc/self/status").unwrap()).1;
    let (first, last) = (all[0], *all.last().unwrap());
    let port = crate::support::Postgres::shared().port;
    let pooler = Setup::without_storage()
        .global(&format!("cpu_affinity \"worker[1]:{last} worker:{first}\""))
        .storage("pg", &format!(r#"type "remote" host "localhost" port {port}"#))
        .rule("default", "default", r#"authentication "none" storage "pg" pool "session""#)
        .start();
    assert_eq!(pooler.client().scalar("select 1"), "1"); // a resolver was needed
    pooler.wait_for_line(&format!("pin worker 1 to cpu {last}"));
    let tasks = fs::read_dir(format!("/proc/{}/task", pooler.pid())).unwrap().flatten();
    let mut threads: Vec<_> =
        tasks.map(|it| thread(&fs::read_to_string(it.path().join("status")).unwrap())).collect();
    threads.retain(|(name, _)| name != "pooler");
    threads.sort();
    let expected = [
        ("logger".to_owned(), all.clone()),
        ("resolver: 0".to_owned(), all),
        ("worker: 0".to_owned(), vec![first]),
        ("worker: 1".to_owned(), vec![last]),
    ];
    assert_eq!(threads, expected);
    pooler.stop();
}

/// Seconds until the keepalive timer of a process's connections rings, of those with this port at
/// this end or at the other; from `/proc/net/tcp`, whose columns are in its manual.
fn keepalive_timers(pid: u32, column: usize, port: u16) -> Vec<u64> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let own: Vec<String> = links
        .filter_map(|link| fs::read_link(link.path()).ok()?.into_os_string().into_string().ok())
        .filter_map(|name| Some(name.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let timer = |line: &str| -> Option<u64> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let matches = fields[column].ends_with(&format!(":{port:04X}"))
            && fields[3] == "01"
            && own.iter().any(|inode| inode == fields[9]);
        let when = fields[5].strip_prefix("02:").filter(|_| matches)?;
        Some(u64::from_str_radix(when, 16).ok()? / 100)
    };
    table.lines().skip(1).filter_map(timer).collect()
}

#[test]
fn silent_peers_are_probed_as_the_process_and_the_rule_say() {
    let port = crate::support::Postgres::shared().port;
    let pooler = Setup::new()
        .global("keepalive 700")
        .rule("default", "default", &format!(r#"{OPEN} pool "session""#))
        .rule("postgres", "default", &format!(r#"{OPEN} pool "session" keepalive 900"#))
        .start();
    let between = |timers: Vec<u64>, least: u64, most: u64| {
        let fit = timers.len() == 1 && (least..=most).contains(&timers[0]);
        fit.then_some(())
    };
    let mut client = pooler.client();
    client.query("select 1");
    until("the client's timer", PATIENCE, || {
        between(keepalive_timers(pooler.pid(), 1, pooler.port), 800, 900)
    });
    until("the server's timer", PATIENCE, || {
        between(keepalive_timers(pooler.pid(), 2, port), 600, 700)
    });
    client.leave();
    let _other = pooler.login(&Login::new("app", "other"));
    until("the other client's timer", PATIENCE, || {
        between(keepalive_timers(pooler.pid(), 1, pooler.port), 600, 700)
    });
}

/// A terminal that is stopped, a pipe nobody reads: with the wait for the last line that was there
/// before, this process never ended.
#[test]
fn a_log_nobody_reads_does_not_keep_it_alive() {
    let place = Place::new(&Setup::transaction(1).global("log_query yes"));
    let mut command = binary();
    command.arg(place.config()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut pooler = Watched::spawn(&mut command, place.dir.clone());
    let mut out = BufReader::new(pooler.child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(".s.PGSQL.") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "it ended");
    }
    let mut client = place.client();
    let long = format!("select '{}'", "x".repeat(3000));
    for _ in 0..100 {
        client.query(&long);
    }
    client.leave();
    process::signal(pooler.pid(), Signal::TERM);
    let status = until("its end", PATIENCE, || pooler.child.try_wait().unwrap());
    assert!(status.success(), "{status}");
}

#[test]
fn what_cannot_be_had_is_said_at_start() {
    let setup = Setup::transaction(7).global("client_max 100000000");
    let pooler = setup
        .global("enable_host_watcher yes")
        .global("log_config yes")
        .rule("none", "none", &format!(r#"{OPEN} password "hidden" pool "session""#))
        .start();
    let shown = pooler.wait_for_line("(config) client_max ");
    assert!(shown.ends_with("client_max 100000000"), "{shown}");
    pooler.wait_for_line("listening on ");
    assert!(!pooler.log().contains("hidden"), "{}", pooler.log());
    let line = pooler.wait_for_line("the limit of open files is ");
    assert!(line.contains("100000000 clients (client_max), 7 servers (pool_size)"), "{line}");
    pooler.wait_for_line("(host-watcher) host watcher started");
    let line = pooler.wait_for_line("(host-watcher) update values to: ");
    assert!(line.contains("% cpu and ") && line.ends_with("% mem"), "{line}");
    pooler.stop();
}
