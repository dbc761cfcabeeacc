//! New programs that are no good, in each way there is: the old process goes on, nobody is lost,
//! nothing is left behind, and the next try with a good one works.

use super::{Successor, in_place, restarting};
use crate::support::process::{self, free_port, new_dir, signal, stat};
use crate::support::{Client, Login, PATIENCE, Pooler, Setup, until};
use rustix::process::Signal;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What is said when a new program is given up.
const KEEPS: &str = "keep use old binary instance";

/// What fake programs of ours begin with: the line to the old process is standard input.
const LINE: &str = r#"#!/usr/bin/env python3
import os, signal, socket, struct, time
line = socket.socket(fileno=0)
LISTENERS, SERVING, LEAD, CLIENT, TAKEN, REFUSED = range(1, 7)
def take(count, descriptors):
    taken = b''
    while len(taken) < count:
        part, more, _, _ = socket.recv_fds(line, count - len(taken), 253)
        descriptors += more
        if not part: raise SystemExit('the old process is gone')
        taken += part
    return taken
def hear():
    descriptors = []
    length, kind = struct.unpack('>IB', take(5, descriptors))
    return kind, take(length, descriptors), descriptors
def said(kind, body): return struct.pack('>IB', len(body), kind) + body
def say(kind, body): line.sendall(said(kind, body))
def die(): os.kill(os.getpid(), signal.SIGKILL)
"#;

/// A pooler that was started by a link in its directory, in whose place a test may put another
/// program.
pub(super) struct Stand {
    pub(super) pooler: Pooler,
    program: PathBuf,
    descriptors: usize,
}

impl Stand {
    pub(super) fn new(setup: &Setup) -> Stand {
        let (dir, port) = (new_dir("pooler-test-restart"), free_port());
        let config = process::write(&dir, "odyssey.conf", &setup.text(port, &dir));
        let program = dir.join("odyssey");
        symlink(env!("CARGO_BIN_EXE_pooler"), &program).unwrap();
        let mut command = Command::new(&program);
        command.arg(config).stdin(Stdio::null());
        let out = File::create(dir.join("log")).unwrap();
        let pooler = Pooler::by(command, dir, port, out.into());
        Stand { pooler, program, descriptors: 0 }
    }

    /// Another program stands there from now on.
    pub(super) fn put(&self, text: &str, mode: u32) {
        let new = self.program.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(&new, &self.program).unwrap();
    }

    fn put_back(&self) {
        fs::remove_file(&self.program).unwrap();
        symlink(env!("CARGO_BIN_EXE_pooler"), &self.program).unwrap();
    }

    /// Nothing must be left behind, compared with now.
    pub(super) fn count(&mut self) {
        self.descriptors = descriptors(self.pooler.pid());
    }

    /// What was written since.
    fn log_from(&self, start: usize) -> String {
        self.pooler.log().split_off(start)
    }

    /// SIGUSR2, and these lines in answer, one after the other.
    pub(super) fn try_with(&self, text: &str, mode: u32, lines: &[&str]) {
        self.put(text, mode);
        let start = self.pooler.log().len();
        self.pooler.signal(Signal::USR2);
        for line in lines {
            until(&format!("{line:?} for {text}"), PATIENCE, || {
                self.log_from(start).contains(line).then_some(())
            });
        }
    }

    /// Clients come to both sockets, the pid file is ours, and no process, zombie or descriptor is
    /// left.
    pub(super) fn is_as_before(&self) {
        for address in [self.pooler.address(), self.pooler.socket_address()] {
            let mut late = Client::try_connect(&address).unwrap();
            late.start(&Login::new("app", "postgres")).unwrap();
            assert_eq!(late.scalar("select 'came later'"), "came later");
            late.leave();
        }
        let pid = self.pooler.pid();
        until("the pid file of the old one", PATIENCE, || {
            (in_place(&self.pooler) == pid).then_some(())
        });
        until("no child", PATIENCE, || children(pid).is_empty().then_some(()));
        let mut left = 0;
        until("as few descriptors as before", PATIENCE, || {
            left = descriptors(pid);
            (left <= self.descriptors).then_some(())
        });
    }

    /// The good program takes over.
    pub(super) fn succeed(mut self) -> (Pooler, Successor) {
        self.put_back();
        let new = self.try_again();
        assert!(self.pooler.wait_for_exit(PATIENCE).success(), "{}", self.pooler.log());
        (self.pooler, new)
    }

    /// SIGUSR2 until a new process is in place: on a busy machine a good one may take too long.
    fn try_again(&self) -> Successor {
        let old = self.pooler.pid();
        let given_up = || self.pooler.log().matches(KEEPS).count();
        let mut before = given_up();
        self.pooler.signal(Signal::USR2);
        let new = until("a new process in place", PATIENCE, || {
            if given_up() > before {
                before = given_up();
                self.pooler.signal(Signal::USR2);
            }
            Some(in_place(&self.pooler)).filter(|pid| *pid != old)
        });
        Successor::of(new)
    }

    /// The same, and the clients have gone along.
    fn succeed_with(self, mut clients: Vec<Client>) {
        let (_pooler, new) = self.succeed();
        all_are_well(&mut clients);
        drop(clients);
        new.stop();
    }
}

pub(super) fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

fn children(pid: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&child| stat(child, 4) == Some(pid.to_string())).collect()
}

fn idle_clients(pooler: &Pooler, count: usize) -> Vec<Client> {
    let addresses = [pooler.address(), pooler.socket_address()];
    let one = |n: usize| {
        let mut client = Client::try_connect(&addresses[n % 2]).unwrap();
        client.start(&Login::new("app", "postgres")).unwrap();
        client.query(&format!("set application_name to 'client {n}'"));
        client
    };
    (0..count).map(one).collect()
}

fn all_are_well(clients: &mut [Client]) {
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.scalar("show application_name"), format!("client {n}"));
    }
}

/// Against one who waits for ever, who leaves a zombie, a descriptor or a process that lives on
/// with our listening sockets, and whose only resolver waits for a process to end. Seen to fail
/// with the wait for the process in a thread for what blocks: name resolution stood still.
#[test]
fn a_program_that_does_not_come_up_changes_nothing_in_whatever_way() {
    let postgres = crate::support::Postgres::shared().port;
    let by_name = format!(r#"type "remote" host "localhost" port {postgres}"#);
    let setup = restarting(Setup::transaction(3)).storage("by_name", &by_name);
    let open = r#"authentication "none" storage "by_name" pool "session""#;
    let setup = setup.rule("postgres", "postgres", open).global("dns_cache_ttl 0");
    let mut stand = Stand::new(&setup.global("online_restart_timeout_ms 2000"));
    let mut clients = idle_clients(&stand.pooler, 4);
    stand.count();
    let sleeps = "#!/bin/sh\nexec sleep 1000";
    let speaks = format!("{LINE}\nhear(); hear()");
    for (text, mode, line) in [
        ("#!/bin/sh\nexit 0", 0o644, "can't start new binary: Permission denied"),
        ("#!/no/such/interpreter", 0o755, "can't start new binary: No such file"),
        ("no program at all", 0o755, "can't start new binary: Exec format error"),
        ("#!/bin/sh\nexit 3", 0o755, "new binary exited(3)"),
        ("#!/bin/sh\nkill -SEGV $$", 0o755, "new binary was killed by signal(11)"),
        (sleeps, 0o755, "did not serve in time, new binary was killed by signal(9)"),
        (&*speaks, 0o755, "did not serve in time, new binary was killed by signal(9)"),
    ] {
        stand.try_with(text, mode, &[line, KEEPS]);
        stand.is_as_before();
        all_are_well(&mut clients);
    }
    // It lives and nobody hears of it any more.
    let hangs_up = "#!/bin/sh\nexec <&-\nsleep 0.2; echo >hung-up\nexec sleep 1000";
    stand.put(hangs_up, 0o755);
    stand.pooler.signal(Signal::USR2);
    let hung_up = stand.pooler.socket_dir().join("hung-up");
    until("it to hang up", PATIENCE, || hung_up.exists().then_some(()));
    let mut named = stand.pooler.login(&Login::new("postgres", "postgres"));
    assert_eq!(named.scalar("select 1"), "1");
    assert!(!stand.pooler.log().contains("hung up"), "it was resolved beside the one that hangs");
    named.leave();
    let line = stand.pooler.wait_for_line("new binary hung up and did not end");
    assert!(line.contains("killed by signal(9)") && line.contains(KEEPS), "{line}");
    stand.count(); // with the server of that client
    stand.is_as_before();
    stand.succeed_with(clients);
}

/// It dies at every point of the hand-over. Against one who believes that what was sent has
/// arrived, or that what has not been answered is lost.
#[test]
fn a_program_killed_between_two_frames_takes_nobody_with_it() {
    let mut stand = Stand::new(&restarting(Setup::transaction(3)));
    let mut clients = idle_clients(&stand.pooler, 6);
    stand.count();
    let serves = "hear(); say(SERVING, b'\\0\\4'); ";
    let until_client = "\nwhile True:\n  kind, body, them = hear()\n  if kind == CLIENT: ";
    for dies in [
        format!("{serves} die()"),
        format!("{serves} line.recv(3); die()"),
        format!("{serves} hear(); die()"),
        format!("{serves} hear(); socket.recv_fds(line, 5, 253); die()"),
        format!("{serves} hear(); socket.recv_fds(line, 40, 253); die()"),
        format!("{serves} {until_client} die()"),
        format!("{serves} {until_client} line.send(said(TAKEN, body[:8])[:9]); die()"),
        format!("{serves} {until_client} say(CLIENT, b'12'); die()"),
        format!("{serves} line.sendall(b'\\xff' * 100); die()"),
    ] {
        let again = ["signal(9)", "clients are served by the old binary again"];
        stand.try_with(&format!("{LINE}{dies}"), 0o755, &again);
        all_are_well(&mut clients);
        stand.is_as_before();
    }
    stand.succeed_with(clients);
}

/// Between two versions listening sockets go over and nothing else. Against one who sends clients
/// in a format that the other one does not know, or does not tell it that it leads.
#[test]
fn to_a_program_of_another_version_no_clients_go() {
    let setup = restarting(Setup::transaction(3));
    let mut stand = Stand::new(&setup.global("conn_drop_options { drop_enabled no }"));
    let mut clients = idle_clients(&stand.pooler, 4);
    stand.count();
    for version in [1, 9] {
        let program = format!(
            "{LINE}
kind, body, them = hear()
assert kind == LISTENERS and len(them) == 2, (kind, them)
say(SERVING, struct.pack('>H', {version}) + b'and what is new in it')
say(99, b'that nobody knows')
kind, body, none = hear()
open('heard', 'w').write(str(kind))
line.settimeout(0.3)
try: open('heard', 'a').write(str(hear()))
except TimeoutError: pass
os.rename('heard', 'heard-by-{version}')
time.sleep(1000)
"
        );
        stand.try_with(&program, 0o755, &["the new binary speaks another version"]);
        let heard = stand.pooler.socket_dir().join(format!("heard-by-{version}"));
        let heard = until("its report", PATIENCE, || fs::read_to_string(&heard).ok());
        assert_eq!(heard, "3", "LEAD and nothing else");
        all_are_well(&mut clients);
        let [child] = children(stand.pooler.pid())[..] else { panic!("it has one child") };
        signal(child, Signal::KILL);
        until("the old one to serve", PATIENCE, || {
            let log = stand.pooler.log();
            let times = log.matches("clients are served by the old binary again").count();
            (times == if version == 1 { 1 } else { 2 }).then_some(())
        });
        all_are_well(&mut clients);
        stand.is_as_before();
    }
    stand.succeed_with(clients);
}

/// An Odyssey says by signals that it serves, and hears by one that it leads; it never says a word
/// on the line. Against one that waits for the word and kills it then: seen to fail so.
#[test]
fn an_odyssey_may_take_our_place() {
    let setup = restarting(Setup::transaction(3)).global("online_restart_timeout_ms 2000");
    let mut stand = Stand::new(&setup.global("conn_drop_options { drop_enabled no }"));
    let mut clients = idle_clients(&stand.pooler, 2);
    stand.count();
    let odyssey = "#!/bin/sh
trap 'echo leads >told' WINCH
sleep 0.2
kill -TERM $ODY_INHERIT_PPID
while :; do sleep 0.05; done";
    stand.try_with(odyssey, 0o755, &["no more clients come here"]);
    let told = stand.pooler.socket_dir().join("told");
    until("the word that it leads", PATIENCE, || fs::read_to_string(&told).ok());
    crate::support::let_pass(Duration::from_millis(2500));
    let [child] = children(stand.pooler.pid())[..] else { panic!("it lives") };
    all_are_well(&mut clients);
    signal(child, Signal::KILL);
    stand.pooler.wait_for_line("clients are served by the old binary again");
    all_are_well(&mut clients);
    stand.is_as_before();
    stand.pooler.stop_with(clients);
}

/// Neither listening sockets, which it would keep open without knowing, nor clients.
#[test]
fn a_new_program_inherits_nothing_but_the_line() {
    let stand = Stand::new(&restarting(Setup::transaction(3)));
    let clients = idle_clients(&stand.pooler, 2);
    let lists = "#!/bin/sh\nls -l /proc/$$/fd >open-files\nexit 7";
    stand.try_with(lists, 0o755, &["new binary exited(7)"]);
    let listed = fs::read_to_string(stand.pooler.socket_dir().join("open-files")).unwrap();
    // What the test's own parents leave open is nobody's business here.
    let sockets = listed.matches("socket:").count();
    assert!(sockets == 1 && listed.contains(" 0 -> socket:"), "{listed}");
    assert!(!listed.contains("anon_inode"), "{listed}");
    stand.pooler.stop_with(clients);
}
