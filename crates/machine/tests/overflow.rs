//! A coroutine that outgrows its stack ends the process, with a line that names it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

use machine::{Engine, EngineConfig};

const CHILD: &str = "MACHINE_TEST_OVERFLOW";

fn deeper(n: u64) -> u64 {
    let room = black_box([n; 64]);
    if n == 0 { 0 } else { deeper(n - 1) + room[3] }
}

#[test]
fn an_overflow_names_its_coroutine() {
    if env::var_os(CHILD).is_some() {
        let engine = Engine::start(EngineConfig::default()).unwrap();
        let dig = || {
            machine::spawn("innocent", || machine::sleep(Duration::from_secs(1))).unwrap();
            machine::sleep(Duration::from_millis(5)).unwrap();
            black_box(deeper(u64::MAX));
        };
        engine.machines()[0].spawn("digger", dig).unwrap();
        loop {
            std::thread::park();
        }
    }
    let mut child = Command::new(env::current_exe().unwrap());
    let output = child.args(["--nocapture"]).env(CHILD, "1").output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("coroutine \"digger\" has overflowed its stack"), "{words}");
    assert!(output.status.signal().is_some(), "{:?}", output.status);
}
