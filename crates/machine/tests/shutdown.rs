//! The end of an engine: everything is cancelled, nothing is started any more, and it does not take
//! long.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use machine::{
    Deadline, Engine, EngineConfig, Error, Served, Session, Stream, Wakers, start_session,
};

use common::{pair, until_outside};

struct Parked(Stream, #[expect(dead_code, reason = "held")] (Stream, Counted));

impl Session for Parked {
    fn serve(self: Box<Self>) -> Served {
        Served::Parked(self)
    }

    fn wakers(&self) -> Wakers<'_> {
        Wakers { stream: &self.0, other: None, notified: None, deadline: Deadline::NEVER }
    }
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// Threads of this process that are called so.
fn threads(prefix: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.map(|task| std::fs::read_to_string(task.path().join("comm")));
    names.filter(|name| name.as_ref().is_ok_and(|name| name.starts_with(prefix))).count()
}

/// A system coroutine is there until all others of its machine have ended. Seen to fail: one that
/// is cancelled with the others, which has 200 to come.
fn clerk(counted: Counted, ordinary: Arc<AtomicUsize>) {
    let serve = move || {
        let _counted = counted;
        let waited = machine::sleep(Duration::from_secs(3600));
        assert!(matches!(waited, Err(Error::Cancelled)));
        assert!(ordinary.load(Ordering::Acquire) >= 100, "those of one machine at least");
    };
    machine::Builder::new("clerk").system().spawn(serve).unwrap();
}

#[test]
fn shutdown_ends_coroutines_and_parked_sessions() {
    let engine = Engine::start(EngineConfig { machines: 2, ..EngineConfig::default() }).unwrap();
    let machines = engine.machines().to_vec();
    let ended = Arc::new(AtomicUsize::new(0));
    let ordinary = Arc::new(AtomicUsize::new(0));
    for machine in &machines {
        for _ in 0..100 {
            let counted = Counted(Arc::clone(&ended));
            let ended_by = Arc::clone(&ordinary);
            let waits = move || {
                let _counted = counted;
                let waited = machine::sleep(Duration::from_secs(3600));
                assert!(matches!(waited, Err(Error::Cancelled)));
                let words = machine::shield(|| machine::sleep(Duration::from_millis(5)));
                words.expect("there is time for last words");
                assert!(matches!(machine::spawn("late", || ()), Err(Error::Closed)));
                ended_by.fetch_add(1, Ordering::AcqRel);
            };
            machine.spawn("waits", waits).unwrap();
            let counted = Counted(Arc::clone(&ended));
            let parks = move || {
                let (a, b) = pair();
                start_session(Box::new(Parked(a, (b, counted)))).unwrap();
            };
            machine.spawn("parks", parks).unwrap();
        }
        let (counted, ordinary) = (Counted(Arc::clone(&ended)), Arc::clone(&ordinary));
        machine.spawn("serves", move || clerk(counted, ordinary)).unwrap();
    }
    until_outside("the clerks serve", || machines.iter().all(|m| m.stats().system == 1));
    until_outside("all parked", || machines.iter().all(|m| m.stats().sessions_parked == 100));
    let offloads = || machine::offload(|| (), Deadline::NEVER);
    machines[0].spawn("offloads", move || offloads().unwrap_or(())).unwrap();
    until_outside("offload threads run", || threads("offload-") > 0);
    engine.shutdown();
    assert_eq!(threads("offload-"), 0, "joined");
    assert_eq!(ended.load(Ordering::Acquire), 402);
    for machine in &machines {
        let stats = machine.stats();
        assert_eq!((stats.sessions_parked, stats.sockets, stats.panics), (0, 0, 0));
        assert!(matches!(machine.spawn("late", || ()), Err(Error::Closed)));
    }
    assert!(matches!(Engine::start(EngineConfig::default()), Err(Error::AlreadyStarted)));
}
