//! What a supervisor such as systemd is told and gives: notifications, the watchdog, sockets; and
//! what is done when the memory is nearly full.

use crate::support::pooler::binary;
use crate::support::process::{Watchdog, free_port, new_dir, signal, stat, write};
use crate::support::{Client, Login, PATIENCE, Pooler, Setup, until};
use rustix::process::Signal;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A supervisor that reads what it is told.
struct Supervisor {
    socket: UnixDatagram,
    path: PathBuf,
    told: Vec<String>,
}

impl Supervisor {
    fn new(dir: &Path) -> Supervisor {
        let path = dir.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Supervisor { socket, path, told: Vec::new() }
    }

    fn next(&mut self) -> String {
        let mut bytes = [0; 512];
        let count = self.socket.recv(&mut bytes).expect("something is told in time");
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        self.told.push(text.clone());
        text
    }

    /// Reads up to the one that begins so.
    fn until_told(&mut self, head: &str) -> String {
        loop {
            let text = self.next();
            if text.starts_with(head) {
                return text;
            }
        }
    }
}

struct Place {
    dir: PathBuf,
    port: u16,
    command: Command,
    out: OwnedFd,
}

fn place(setup: &Setup) -> Place {
    let (dir, port) = (new_dir("pooler-test-supervised"), free_port());
    let config = write(&dir, "odyssey.conf", &setup.text(port, &dir));
    let mut command = binary();
    command.arg(config).stdin(Stdio::null());
    let out = File::create(dir.join("log")).unwrap().into();
    Place { dir, port, command, out }
}

#[test]
fn a_supervisor_is_told_of_start_reload_restart_and_stop() {
    let setup = Setup::transaction(2)
        .global("bindwith_reuseport yes")
        .global("enable_online_restart yes")
        .global("pid_file \"pid\"");
    let Place { dir, port, mut command, out } = place(&setup);
    let mut supervisor = Supervisor::new(&dir);
    command.env("NOTIFY_SOCKET", &supervisor.path);
    let mut pooler = Pooler::by(command, dir.clone(), port, out);
    let ready = "READY=1\nSTATUS=Ready to accept connections";
    assert_eq!(supervisor.next(), ready);

    pooler.signal(Signal::HUP);
    let reloading = supervisor.next();
    let lines: Vec<&str> = reloading.lines().collect();
    assert_eq!((lines[0], lines[2]), ("RELOADING=1", "STATUS=Reloading configuration"));
    let usec = lines[1].strip_prefix("MONOTONIC_USEC=").expect("the clock of Type=notify-reload");
    assert!(usec.parse::<u64>().is_ok_and(|usec| usec > 0));
    assert_eq!(supervisor.next(), ready);

    pooler.signal(Signal::USR2);
    assert!(supervisor.next().ends_with("STATUS=Graceful restart on new binary"));
    let main = supervisor.until_told("MAINPID=");
    let new: u32 = main["MAINPID=".len()..].parse().unwrap();
    let watchdog = Watchdog::over(new, &new_dir("pooler-test-successor"));
    assert_ne!(new, pooler.pid());
    assert_eq!(supervisor.next(), ready, "said by the new one, when it is the main one");
    assert!(pooler.wait_for_exit(PATIENCE).success());
    assert_eq!(fs::read_to_string(dir.join("pid")).unwrap(), format!("{new}\n"));

    signal(new, Signal::TERM);
    let last = supervisor.until_told("STOPPING=1");
    assert_eq!(last, "STOPPING=1\nSTATUS=Shutting down gracefully");
    until("its end", PATIENCE, || {
        stat(new, 3).is_none_or(|state| state == "Z" || state == "X").then_some(())
    });
    drop(watchdog);
}

/// It says that it lives as long as its machines turn. That it stops when one hangs is a test of
/// `pulse`.
#[test]
fn the_watchdog_is_fed_and_the_status_tells_how_many_there_are() {
    let Place { dir, port, mut command, out } = place(&Setup::transaction(2));
    let mut supervisor = Supervisor::new(&dir);
    command.env("NOTIFY_SOCKET", &supervisor.path).env("WATCHDOG_USEC", "100000");
    let pooler = Pooler::by(command, dir, port, out);
    let client = pooler.client();
    for _ in 0..3 {
        supervisor.until_told("WATCHDOG=1");
    }
    let status = supervisor.until_told("STATUS=");
    assert!(status.contains(": 1 clients, "), "{status}");
    pooler.stop_with(vec![client]);
}

/// For another process; or for none of its own.
#[test]
fn a_watchdog_of_somebody_else_is_not_fed() {
    let Place { dir, port, mut command, out } = place(&Setup::transaction(2));
    let mut supervisor = Supervisor::new(&dir);
    command.env("NOTIFY_SOCKET", &supervisor.path);
    command.env("WATCHDOG_USEC", "20000").env("WATCHDOG_PID", "1");
    let pooler = Pooler::by(command, dir, port, out);
    pooler.stop();
    supervisor.until_told("STOPPING=1");
    assert!(!supervisor.told.iter().any(|text| text == "WATCHDOG=1"), "{:?}", supervisor.told);
}

/// The socket is used and not bound anew: who connected before the pooler ran is served.
#[test]
fn sockets_of_the_supervisor_are_listened_to() {
    let Place { dir, port, command, out } = place(&Setup::transaction(2));
    let socket = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let early = Client::try_connect(&crate::support::client::Address::Tcp(port));
    let mut early = early.expect("the supervisor listens");
    let mut shell = Command::new("sh");
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"";
    shell.args(["-c", script, "sh"]).arg(command.get_program()).args(command.get_args());
    shell.stdin(OwnedFd::from(socket));
    let pooler = Pooler::by(shell, dir, port, out);
    early.start(&Login::new("app", "postgres")).unwrap();
    assert_eq!(early.scalar("select 1"), "1");
    assert!(!pooler.log().contains("bind to"), "{}", pooler.log());
    pooler.stop_with(vec![early]);
}

/// Who is here stays; who comes is told. The limit is below what any host uses.
#[test]
fn with_too_little_memory_nobody_new_is_let_in() {
    let setup = Setup::transaction(2).also("soft_oom { limit 1 check_interval_ms 500 }");
    let pooler = setup.start();
    let mut before = pooler.client();
    pooler.wait_for_line("new clients are refused");
    let refused = pooler.refused(&Login::new("app", "postgres"));
    assert_eq!(refused.whole(), ("FATAL", "53200", "soft out of memory"));
    let line = pooler.wait_for_line("(startup) drop connection due to soft oom (usage is ");
    assert!(line.ends_with(" KB)"), "{line}");
    assert_eq!(before.scalar("select 1"), "1");
    assert!(before.is_silent_for(Duration::from_millis(50)));
    pooler.stop_with(vec![before]);
}
