//! Daemons at a unix socket that know tokens: `external`, and `clear_text` by a token service
//! (`enable_mdb_iamproxy_auth`). They are played here, well and badly.

use super::{lets_in, rules, with};
use crate::restart::{restart, restarting};
use crate::support::postgres::PASSWORD;
use crate::support::process::{new_dir, write};
use crate::support::{PATIENCE, Pooler, Setup, let_pass, until};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A daemon; `behaviour` is what it does to a connection that has said who it is about.
pub fn start(dir: &Path, behaviour: fn(&mut UnixStream, &[u8])) -> PathBuf {
    let path = dir.join("agent");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut told = Vec::new();
            for _ in 0..2 {
                let mut length = [0; 8];
                client.read_exact(&mut length).unwrap();
                let mut body = vec![0; u64::from_le_bytes(length) as usize];
                client.read_exact(&mut body).unwrap();
                told.extend(body);
            }
            behaviour(&mut client, &told);
        }
    });
    path
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u64).to_le_bytes()[..], body].concat()
}

pub fn answer(client: &mut UnixStream, status: u8, id: &[u8]) {
    client.write_all(&[frame(&[status]), frame(id)].concat()).unwrap();
}

/// The two ways to ask one.
#[derive(Clone, Copy, PartialEq, Debug)]
enum By {
    External,
    Service,
}

const BOTH: [By; 2] = [By::External, By::Service];

impl By {
    fn method(self, path: &Path) -> String {
        match self {
            By::External => "authentication \"external\"".into(),
            By::Service => format!(
                "authentication \"clear_text\" enable_mdb_iamproxy_auth yes \
                 mdb_iamproxy_socket_path \"{}\"",
                path.display()
            ),
        }
    }

    fn global(self, setup: Setup, path: &Path) -> Setup {
        match self {
            By::External => {
                setup.global(&format!("external_auth_socket_path \"{}\"", path.display()))
            }
            By::Service => setup,
        }
    }

    fn setup(self, path: &Path) -> Setup {
        let named = "log_format \"%p %t %l [%i %s] (%c) %m {%x}\\n\"";
        rules(self.global(Setup::new(), path).global(named), &["ann"], &self.method(path))
    }

    #[track_caller]
    fn refuses(self, pooler: &Pooler, token: &str) {
        let refused = pooler.refused(&with("ann", token));
        let expected = match self {
            By::External => "external authentication failed for user \"ann\"",
            By::Service => "password authentication failed for user \"ann\"",
        };
        assert_eq!(refused.whole(), ("FATAL", "28P01", expected));
    }
}

/// What it says of the client is in all lines about it.
#[test]
fn a_daemon_knows_tokens() {
    for by in BOTH {
        let dir = new_dir("daemon");
        let path = start(&dir, |client, told| {
            let status = u8::from(told == b"ann\0right\0");
            // A slow daemon's answer comes in pieces.
            let answer = [frame(&[status]), frame(b"ann@example.org")].concat();
            answer.iter().for_each(|byte| client.write_all(&[*byte]).unwrap());
        });
        let pooler = by.setup(&path).start();
        lets_in(&pooler, "ann", "right");
        pooler.wait_for_line(
            "user 'postgres.ann' was authenticated with external_id: ann@example.org",
        );
        let line = pooler.wait_for_line("client disconnected");
        assert!(line.ends_with("{ann@example.org}"), "{line}");
        by.refuses(&pooler, "wrong");
        by.refuses(&pooler, "");
        let line = pooler.wait_for_line("the daemon says no (");
        assert!(line.ends_with("{none}"), "{line}");
        pooler.stop();
    }
}

/// 1 is yes for both; anything but 0 is for a token service.
#[test]
fn each_has_a_yes_of_its_own() {
    let dir = new_dir("daemon");
    let path = start(&dir, |client, _| answer(client, 7, b"x"));
    let pooler = By::Service.setup(&path).start();
    lets_in(&pooler, "ann", "anything");
    pooler.stop();
    let pooler = By::External.setup(&path).start();
    By::External.refuses(&pooler, "anything");
    pooler.stop();
}

#[test]
fn a_daemon_that_is_gone_silent_or_mad_lets_nobody_in() {
    for (behaviour, said) in [
        ((|_, _| {}) as fn(&mut UnixStream, &[u8]), "does not answer"),
        (|client, _| client.write_all(&frame(&[1])).unwrap(), "does not answer"),
        (|client, _| client.write_all(&u64::MAX.to_le_bytes()).unwrap(), "announces a frame of"),
        (
            |client, _| client.write_all(&[frame(&[1]), frame(&[b'x'; 4097])].concat()).unwrap(),
            "announces a frame of 4097",
        ),
        (|client, _| drop(client.write_all(&frame(&vec![1; 2 << 20]))), "a frame of 2097152"),
        (|client, _| client.write_all(b"HTTP/1.1 400 Bad Request\r\n").unwrap(), "announces"),
        (|client, _| client.write_all(&[frame(b""), frame(b"x")].concat()).unwrap(), "no bytes"),
        (|client, _| drop(client.read(&mut [0; 9])), "does not answer"),
    ] {
        for by in BOTH {
            let dir = new_dir("daemon");
            let pooler = by.setup(&start(&dir, behaviour)).start();
            let begun = Instant::now();
            by.refuses(&pooler, "right");
            assert!(begun.elapsed() < Duration::from_secs(8), "{said}");
            pooler.wait_for_line(said);
            pooler.stop();
        }
    }
    for by in BOTH {
        let pooler = by.setup(Path::new("/nonexistent/agent")).start();
        by.refuses(&pooler, "right");
        pooler.wait_for_line("takes no connection");
        pooler.stop();
    }
}

/// It asks others in its turn. Against one patience for both, with which nobody would come in.
#[test]
fn a_token_service_may_think_for_longer() {
    let dir = new_dir("daemon");
    let path = start(&dir, |client, _| {
        let_pass(Duration::from_millis(1500));
        answer(client, 1, b"ann@example.org");
    });
    let pooler = By::Service.setup(&path).start();
    lets_in(&pooler, "ann", "right");
    pooler.stop();
    let pooler = By::External.setup(&path).start();
    By::External.refuses(&pooler, "right");
    pooler.stop();
}

/// What is no fault of the client's makes nobody wait longer; a token that is wrong does.
#[test]
fn a_daemon_that_is_away_makes_no_guessers() {
    let dir = new_dir("daemon");
    for by in BOTH {
        let pooler = by.setup(&dir.join("nobody")).start();
        let begun = Instant::now();
        (0..8).for_each(|_| by.refuses(&pooler, "right"));
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        pooler.stop();
    }
}

/// The token is what the client showed, and servers may take it for a password.
#[test]
fn tokens_pass_through_to_servers() {
    let dir = new_dir("daemon");
    let path = start(&dir, |client, _| answer(client, 1, b"somebody"));
    for by in BOTH {
        for (passes, expected) in [("yes", None), ("no", Some("08006"))] {
            let rule = format!(
                "{} storage \"pg\" pool \"transaction\" password_passthrough {passes}",
                by.method(&path)
            );
            let setup = by.global(Setup::new(), &path).rule("postgres", "app_scram", &rule);
            let pooler = setup.start();
            let mut client = pooler.connect();
            let refused = client.start(&with("app_scram", PASSWORD)).err();
            let code = refused.map(|error| error.code);
            assert_eq!(code.as_deref(), expected, "{by:?} {passes}");
            pooler.stop_with(vec![client]);
        }
    }
}

/// Before anybody is asked for a token.
#[test]
fn the_hba_file_comes_first() {
    let dir = new_dir("daemon");
    let path = start(&dir, |client, _| answer(client, 1, b"somebody"));
    let lines = write(&dir, "hba", "host all ann all reject\nhost all all all trust\n");
    let hba = format!("hba_file \"{}\"", lines.display());
    for by in BOTH {
        let pooler = by.setup(&path).global(&hba).start();
        let refused = pooler.refused(&with("ann", "right"));
        assert_eq!(refused.ours(), "host based authentication rejected");
        assert!(!pooler.log().contains("external_id"), "{}", pooler.log());
        pooler.stop();
    }
}

#[test]
fn a_reload_brings_another_service_and_keeps_who_is_in() {
    let (dir, other) = (new_dir("daemon"), new_dir("other-daemon"));
    let yes = start(&dir, |client, _| answer(client, 1, b"old"));
    let no = start(&other, |client, _| answer(client, 0, b"new"));
    let pooler = By::Service.setup(&yes).start();
    let mut client = pooler.login(&with("ann", "right"));
    let config = pooler.socket_dir().join("odyssey.conf");
    let text = std::fs::read_to_string(&config).unwrap();
    let (from, to) = (yes.display().to_string(), no.display().to_string());
    std::fs::write(&config, text.replace(&from, &to)).unwrap();
    pooler.signal(Signal::HUP);
    let line = pooler.wait_for_line("enable_mdb_iamproxy_auth");
    assert!(line.contains(&format!("{from} -> {to}")), "{line}");
    By::Service.refuses(&pooler, "right");
    assert_eq!(client.scalar("select 1"), "1");
    pooler.stop_with(vec![client]);
}

/// Who it is by the daemon's word goes along to a new process.
#[test]
fn a_restart_forgets_nobodys_name() {
    let dir = new_dir("daemon");
    let path = start(&dir, |client, _| answer(client, 1, b"ann@example.org"));
    let mut pooler = restarting(By::Service.setup(&path)).start();
    let mut client = pooler.login(&with("ann", "right"));
    assert_eq!(client.scalar("select 1"), "1");
    let new = restart(&pooler);
    pooler.wait_for_line("taken over from the old process");
    assert_eq!(client.scalar("select 2"), "2");
    client.leave();
    let line = until("the end of its session", PATIENCE, || {
        let log = pooler.log();
        let mut lines = log.lines().filter(|line| line.contains("client disconnected"));
        lines.find(|line| line.contains("terminated by the client")).map(str::to_owned)
    });
    assert!(line.ends_with("{ann@example.org}"), "{line}");
    assert!(pooler.wait_for_exit(PATIENCE).success(), "{}", pooler.log());
    new.stop();
}
