//! Nothing is left behind: a million coroutines, a hundred thousand connections, a million timers,
//! and machines that connect, fail and relay all at once.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::cell::Cell;
use std::fs;
use std::net::TcpListener;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use machine::{Address, Deadline, Error, Listener, RelayLimits, Stream, relay};

use common::{ALL_OF_IT, connect, engine, listen, on, soon, start_on, until, until_outside};

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Stacks, sockets and sessions there are on all machines, without stacks kept for later.
fn residents() -> [u64; 3] {
    let mut sum = [0; 3];
    for machine in engine().machines() {
        let stats = machine.stats();
        let here = [stats.coroutines_live, stats.sockets, stats.sessions_parked];
        (0..3).for_each(|i| sum[i] += here[i]);
    }
    sum
}

#[test]
fn a_million_coroutines_leave_nothing() {
    const ALL: usize = 1_000_000;
    until_outside("calm", || residents() == [0; 3]);
    let count = on(0, || {
        let count = Rc::new(Cell::new(0));
        for i in 0..ALL {
            let theirs = Rc::clone(&count);
            let child = machine::spawn("child", move || theirs.set(theirs.get() + 1)).unwrap();
            if i % 100 == 0 {
                child.join(soon()).unwrap();
            }
        }
        until("all ran", || count.get() == ALL);
        assert_eq!(Rc::strong_count(&count), 1);
        count.get()
    });
    assert_eq!(count, ALL);
    until_outside("nothing is left", || residents() == [0; 3]);
    let census = engine().machines()[0].census(10, soon()).unwrap();
    assert_eq!(census.total, 0);
}

/// Accepts and closes; who is closed first keeps its port for a minute, so the clients reset.
fn swallow(listener: &Listener) -> Result<(), Error> {
    loop {
        let stream = listener.accept(soon())?.0.unfold()?;
        let swallowed = move || drop(stream.read(&mut [0; 8], soon()));
        machine::spawn("swallows", swallowed)?;
    }
}

#[test]
fn a_hundred_thousand_connections_leave_nothing() {
    const EACH: usize = 25_000;
    on(0, || ()); // the engine has what it keeps
    let before = descriptors();
    let ends = [0, 1, 0, 1].map(|k| {
        start_on(k, move || {
            let listener = Rc::new(listen());
            let theirs = Rc::clone(&listener);
            let server = machine::spawn("server", move || swallow(&theirs)).unwrap();
            for _ in 0..EACH {
                let client = connect(&listener.local()).unwrap();
                client.set_linger_reset().unwrap();
            }
            server.cancel();
            assert!(matches!(server.join(soon()), Ok(Err(Error::Cancelled))));
        })
    });
    ends.into_iter().for_each(|end| end());
    until_outside("nothing is left", || residents() == [0; 3]);
    until_outside("no descriptor is left", || descriptors() <= before);
}

/// In order and not early, and the machine does not fall behind. A million on one heap.
#[test]
fn a_million_timers_come_due_in_order() {
    const SLEEPERS: u64 = 2_000;
    const ROUNDS: u64 = 500;
    on(0, || {
        let fired = Rc::new(Cell::new(0));
        let start = Instant::now();
        let sleepers: Vec<_> = (0..SLEEPERS)
            .map(|i| {
                let fired = Rc::clone(&fired);
                let sleeps = move || {
                    let mut late_max = Duration::ZERO;
                    for round in 0..ROUNDS {
                        let for_us = 1 + (i * 7_919 + round * 104_729) % 4_000;
                        let due = machine::now() + Duration::from_micros(for_us);
                        let woken = machine::wait_any(&[], None, Deadline::at(due)).unwrap();
                        assert_eq!(woken, machine::Woken::TimedOut);
                        assert!(machine::now() >= due, "early");
                        late_max = late_max.max(machine::now() - due);
                        fired.set(fired.get() + 1);
                    }
                    late_max
                };
                machine::spawn("sleeps", sleeps).unwrap()
            })
            .collect();
        let all = Deadline::after(ALL_OF_IT);
        let ends = sleepers.into_iter().map(|sleeper| sleeper.join(all).unwrap());
        let late_max = ends.max().unwrap();
        assert_eq!(fired.get(), SLEEPERS * ROUNDS);
        println!("{:?} for a million, the latest {late_max:?} late", start.elapsed());
    });
}

#[test]
fn a_tick_does_not_drift() {
    let lateness = || {
        let (start, step) = (Instant::now(), Duration::from_millis(2));
        for tick in 1..=100 {
            let due = start + step * tick;
            machine::wait_any(&[], None, Deadline::at(due)).unwrap();
            assert!(Instant::now() >= due);
        }
        start.elapsed() - step * 100
    };
    // Where nobody gave us a processor at the end, once more.
    let late = on(1, move || (0..5).map(|_| lateness()).min());
    assert!(late < Some(Duration::from_millis(500)), "{late:?}: deadlines are points in time");
}

/// What one machine does in the hammer: sockets that end in every way, on a thread of which it
/// never leaves. An `errno` of another thread shows as an error that this call cannot have.
fn hammer(dead: &Address, echo: &Address, rounds: usize) {
    let home = thread::current().id();
    for round in 0..rounds {
        let refused = connect(dead);
        let Err(Error::Io(error)) = refused else { panic!("connected to nobody") };
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{error}");
        let far = connect(echo).unwrap();
        let (near, inner) = common::pair();
        machine::scope(|scope| {
            let between = scope.spawn("relay", || relay(&inner, &far, &RelayLimits::NONE));
            for size in [1, 100, 5_000] {
                let bytes = vec![round as u8; size];
                near.write_all(&bytes, soon()).unwrap();
                let mut back = vec![0; size];
                let mut got = 0;
                while got < size {
                    got += near.read(&mut back[got..], soon()).unwrap();
                }
                assert!(back == bytes);
            }
            let late = near.read(&mut [0; 1], Deadline::after(Duration::from_micros(200)));
            assert!(matches!(late, Err(Error::TimedOut)), "{late:?}");
            near.shutdown_write().unwrap();
            assert_eq!(near.read(&mut [0; 1], soon()).unwrap(), 0);
            let relayed = between.unwrap().join(soon()).unwrap();
            assert!(matches!(relayed.end, machine::RelayEnd::Finished), "{:?}", relayed.end);
        })
        .unwrap();
        assert_eq!(thread::current().id(), home);
    }
}

fn echo(listener: &Listener) -> Result<(), Error> {
    loop {
        let stream = listener.accept(soon())?.0.unfold()?;
        machine::spawn("echo", move || {
            let mut bytes = [0; 1000];
            while let Ok(n @ 1..) = Stream::read(&stream, &mut bytes, soon()) {
                stream.write_all(&bytes[..n], soon())?;
            }
            stream.shutdown_write()
        })?;
    }
}

/// With a coroutine that changes threads, and link-time optimisation, such a relay dies of
/// EINPROGRESS within some thousand rounds: run it with `--release`, too.
#[test]
fn errors_are_those_of_the_call() {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(); // closed again
    let dead = Address::Tcp(dead);
    let (sender, address) = std::sync::mpsc::channel();
    engine().machines()[1]
        .spawn("echoes", move || {
            let listener = listen();
            sender.send(listener.local()).unwrap();
            let _ = echo(&listener); // until nobody comes any more
        })
        .unwrap();
    let address = address.recv().unwrap();
    let rounds = if cfg!(debug_assertions) { 40 } else { 400 };
    let ends: Vec<_> = (0..16)
        .map(|i| {
            let (dead, address) = (dead.clone(), address.clone());
            start_on(i % 2, move || hammer(&dead, &address, rounds))
        })
        .collect();
    ends.into_iter().for_each(|end| end());
}
