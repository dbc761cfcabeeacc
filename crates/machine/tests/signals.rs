//! Signals as something to wait for.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use machine::{Deadline, Engine, EngineConfig, Error, Signals};
use std::sync::mpsc;
use std::time::Duration;

#[test]
fn a_signal_arrives_where_it_is_waited_for() {
    let set = [libc::SIGUSR1, libc::SIGHUP];
    Signals::block(&set).unwrap();
    assert!(Signals::block(&[-1]).is_err());
    let engine = Engine::start(EngineConfig::default()).unwrap();
    let (sender, result) = mpsc::channel();
    let wait = move || {
        let signals = Signals::new(&set).unwrap();
        let short = Deadline::after(Duration::from_millis(5));
        assert!(matches!(signals.wait(short), Err(Error::TimedOut)));
        machine::spawn("raises", || {
            // SAFETY: blocked on this thread, so it stays pending for the signalfd.
            unsafe { libc::raise(libc::SIGHUP) };
        })
        .unwrap();
        let first = signals.wait(Deadline::NEVER).unwrap();
        // SAFETY: as above.
        unsafe { libc::raise(libc::SIGUSR1) };
        sender.send((first, signals.wait(Deadline::NEVER).unwrap())).unwrap();
    };
    engine.machines()[0].spawn("waits", wait).unwrap();
    let got = result.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(got, (libc::SIGHUP, libc::SIGUSR1));
    engine.shutdown();
}
