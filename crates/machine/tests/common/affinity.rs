//! No wait of any kind ends on another thread than it began on, whoever ends it: its deadline, its
//! cancellation, another machine. Seen to fail: a reactor that sleeps by a timer of may, which
//! wakes it on any worker. The engine does not start, by its own proof; without it this hangs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::mpsc;
use std::thread::{self, ThreadId};
use std::time::Duration;

use machine::channel::{self, Limits};
use machine::sync::shared::{Flag, Semaphore};
use machine::{Deadline, Engine, EngineConfig, Error, JoinHandle};

use crate::waits::WAITS;

pub fn check(machines: usize) {
    let config = EngineConfig { machines, ..EngineConfig::default() };
    let engine = Engine::start(config).unwrap();
    let (sender, ended) = mpsc::channel();
    let (gate, go) = (Semaphore::new(1), Flag::new());
    let (values, receiver) = channel::shared(Limits::hard(2));
    for (k, machine) in engine.machines().iter().enumerate() {
        let (sender, gate, go) = (sender.clone(), gate.clone(), go.clone());
        let (values, receiver) = (values.clone(), receiver.clone());
        let crowd = move || {
            let home = thread::current().id();
            let crowd: Vec<JoinHandle<()>> = (0..8)
                .map(|i| {
                    let (gate, go) = (gate.clone(), go.clone());
                    let (values, receiver) = (values.clone(), receiver.clone());
                    let lives = move || {
                        go.wait(crate::common::soon()).unwrap();
                        stays(home, "flag");
                        by_deadline(home, i);
                        by_cancellation(home);
                        by_others(home, &gate, || {
                            if i % 2 == 0 {
                                values.send(i, crate::common::soon()).unwrap();
                            } else {
                                receiver.recv(crate::common::soon()).unwrap();
                            }
                        });
                    };
                    machine::spawn("lives", lives).unwrap()
                })
                .collect();
            for one in crowd {
                one.join(crate::common::soon()).unwrap();
            }
            assert_eq!(machine::current(), Some(k));
            sender.send(home).unwrap();
        };
        machine.spawn("crowd", crowd).unwrap();
    }
    go.set();
    let patience = crate::common::PATIENCE * 3;
    let mut homes: Vec<_> = (0..machines).map(|_| ended.recv_timeout(patience).unwrap()).collect();
    homes.dedup();
    assert_eq!(homes.len(), machines, "each has a thread of its own");
    engine.shutdown();
}

fn stays(home: ThreadId, what: &str) {
    assert_eq!(thread::current().id(), home, "after {what}");
}

fn by_deadline(home: ThreadId, i: u64) {
    for (name, _, wait) in WAITS {
        let ended = wait(Deadline::after(Duration::from_millis(i % 4)));
        assert!(matches!(ended, Err(Error::TimedOut)), "{name}: {ended:?}");
        stays(home, name);
    }
}

fn by_cancellation(home: ThreadId) {
    for (name, _, wait) in WAITS {
        let waits = move || {
            let ended = wait(Deadline::NEVER);
            stays(home, name);
            ended
        };
        let child = machine::spawn("waits", waits).unwrap();
        machine::sleep(Duration::from_millis(1)).unwrap();
        child.cancel();
        let ended = child.join(crate::common::soon()); // some panic over a pair they did not get
        stays(home, name);
        let expected = matches!(ended, Ok(Err(Error::Cancelled)) | Err(Error::Panicked(_)));
        assert!(expected, "{name}: {ended:?}");
    }
}

fn by_others(home: ThreadId, gate: &Semaphore, exchange: impl Fn()) {
    for _ in 0..300 {
        drop(gate.acquire(crate::common::soon()).unwrap());
        stays(home, "a permit from another machine");
        exchange();
        stays(home, "a value from another machine");
    }
    let elsewhere = machine::offload(|| thread::current().id(), crate::common::soon());
    assert_ne!(elsewhere.unwrap(), home);
    stays(home, "offload");
}
