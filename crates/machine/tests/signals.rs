//! Signals as something to wait for. Every thread must block them, the test harness's too, so the
//! test runs in a child: a signal mask is inherited.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{self, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use machine::{Deadline, Engine, EngineConfig, Error, Signals};

const CHILD: &str = "MACHINE_TEST_SIGNALS";
const SET: [i32; 2] = [libc::SIGUSR1, libc::SIGHUP];

#[test]
fn a_signal_arrives_where_it_is_waited_for() {
    Signals::block(&SET).unwrap();
    assert!(Signals::block(&[-1]).is_err());
    if env::var_os(CHILD).is_some() {
        return receive();
    }
    let mut child = Command::new(env::current_exe().unwrap());
    assert!(child.env(CHILD, "1").status().unwrap().success());
}

/// What `kill` brings on standard error: everybody by name, with what he waits for.
#[test]
fn a_signal_prints_who_waits_for_what() {
    const PRINTS: &str = "MACHINE_TEST_PRINTS";
    if env::var_os(PRINTS).is_some() {
        let config = EngineConfig { machines: 2, ..EngineConfig::default() };
        machine::run(config, |engine| {
            let hour = Duration::from_secs(3600);
            let sleeper = machine::spawn("sleeper", move || machine::sleep(hour)).unwrap();
            engine.print_census_on(libc::SIGUSR2).unwrap();
            sleeper.join(Deadline::NEVER).unwrap()
        })
        .unwrap()
        .unwrap();
    }
    Signals::block(&[libc::SIGUSR2]).unwrap(); // until somebody there waits for it
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "--nocapture", "a_signal_prints_who_waits_for_what"]);
    child.env(PRINTS, "1").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-USR2", &pid]).status().unwrap().success());
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let sleeper = lines.find(|line| line.contains("sleeper: sleep for "));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(sleeper.unwrap().contains("deadline in 3"), "an hour is 3600 seconds, some are over");
}

fn receive() {
    let engine = Engine::start(EngineConfig::default()).unwrap();
    let (sender, seen) = mpsc::channel();
    let wait = move || {
        let signals = Signals::new(&SET).unwrap();
        let short = Deadline::after(Duration::from_millis(5));
        sender.send(signals.wait(short)).unwrap();
        loop {
            sender.send(signals.wait(Deadline::NEVER)).unwrap();
        }
    };
    engine.machines()[0].spawn("waits", wait).unwrap();
    let next = || seen.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(matches!(next(), Err(Error::TimedOut)));
    for (name, number) in [("-HUP", libc::SIGHUP), ("-USR1", libc::SIGUSR1)] {
        let mut kill = Command::new("kill");
        assert!(kill.args([name, &process::id().to_string()]).status().unwrap().success());
        assert_eq!(next().unwrap(), number);
    }
}
