//! An idle engine does nothing at all, and there is one engine a process.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use machine::{
    Deadline, Engine, EngineConfig, Error, Served, Session, Stream, Wakers, start_session,
};

use common::{engine, on, pair, until_outside};

struct Idle(Stream, #[expect(dead_code, reason = "held")] Stream);

impl Session for Idle {
    fn serve(self: Box<Self>) -> Served {
        Served::Parked(self)
    }

    fn wakers(&self) -> Wakers<'_> {
        let in_an_hour = Deadline::after(Duration::from_secs(3600));
        Wakers { stream: &self.0, other: None, notified: None, deadline: in_an_hour }
    }
}

/// How often the thread of that name gave up its processor by itself: once a sleep.
fn switches(name: &str) -> String {
    let mut tasks = fs::read_dir("/proc/self/task").unwrap().flatten().map(|task| task.path());
    let read = |path: &Path, file| fs::read_to_string(path.join(file)).unwrap_or_default();
    let mine = tasks.find(|task| read(task, "comm").trim() == name).expect("it runs");
    let status = read(&mine, "status");
    let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"));
    line.expect("the kernel tells").to_owned()
}

#[test]
fn an_idle_machine_does_not_wake() {
    on(1, || {
        for _ in 0..10 {
            let (a, b) = pair();
            start_session(Box::new(Idle(a, b))).unwrap();
        }
    });
    let idle = engine().machines()[1].clone();
    until_outside("all parked", || idle.stats().sessions_parked == 10);
    let calm = |a: &machine::MachineHandle| {
        let before = a.stats();
        on(0, || machine::sleep(Duration::from_millis(20)).unwrap());
        a.stats() == before
    };
    until_outside("calm", || calm(&idle));
    let (before, switches) = (idle.stats(), switches(&idle.name()));
    // The other machine measures the time; this one has timers an hour away, sockets and sessions.
    let slept = on(0, || {
        let before = engine().machines()[0].stats();
        machine::sleep(Duration::from_millis(1500)).unwrap();
        let after = engine().machines()[0].stats();
        after.sleeps - before.sleeps
    });
    assert_eq!(idle.stats(), before, "not one turn");
    assert_eq!(
        self::switches(&idle.name()),
        switches,
        "its thread was not woken, as the kernel says"
    );
    assert!(slept <= 3, "one sleep, one wake-up, not {slept}");
}

#[test]
fn a_second_engine_is_an_error() {
    engine();
    let second = Engine::start(EngineConfig::default());
    assert!(matches!(second, Err(Error::AlreadyStarted)));
}
