//! What holds of every wait there is: the table of them is in `common/waits.rs`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/waits.rs"]
mod waits;

use std::cell::Cell;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use machine::{Deadline, Error, Interest, wait_any};

use common::{engine, listen, on, pair, soon};
use waits::WAITS;

const SHORT: Duration = Duration::from_millis(10);

/// Seen to fail: a wait in a loop that looks for its reason and not for its cancellation.
#[test]
fn cancel_ends_every_wait() {
    on(0, || {
        for (name, doing, wait) in WAITS {
            let child = machine::spawn("waits", || wait(Deadline::NEVER)).unwrap();
            let seen = || {
                let census = engine().machines()[0].census(1000, soon()).unwrap();
                let mine = census.residents.into_iter().find(|one| one.id == child.id());
                mine.map(|one| one.doing)
            };
            common::until(name, || seen() == Some(*doing));
            assert!(!child.is_finished(), "{name}");
            child.cancel();
            child.cancel();
            match child.join(soon()).unwrap() {
                Err(Error::Cancelled) => {}
                other => panic!("{name}: {other:?}"),
            }
        }
    });
}

#[test]
fn a_cancelled_coroutine_cannot_wait() {
    on(0, || {
        for (name, _, wait) in WAITS {
            let tries = || {
                assert!(machine::is_cancelled());
                // What leads up to the wait may fail first, and panic over it.
                wait(Deadline::NEVER)
            };
            let child = machine::spawn("waits", tries).unwrap();
            child.cancel();
            let ended = child.join(soon());
            let expected = matches!(ended, Ok(Err(Error::Cancelled)) | Err(Error::Panicked(_)));
            assert!(expected, "{name}: {ended:?}");
        }
    });
}

#[test]
fn a_shield_puts_cancellation_off() {
    on(0, || {
        for (name, _, wait) in WAITS {
            let waits = || {
                let shielded = machine::shield(|| wait(Deadline::after(SHORT)));
                (shielded, machine::sleep(SHORT))
            };
            let child = machine::spawn("waits", waits).unwrap();
            machine::yield_now();
            child.cancel();
            let (shielded, then) = child.join(soon()).unwrap();
            assert!(matches!(shielded, Err(Error::TimedOut)), "{name}: {shielded:?}");
            assert!(matches!(then, Err(Error::Cancelled)), "{name}: {then:?}");
        }
    });
}

#[test]
fn every_wait_ends_by_its_deadline() {
    on(1, || {
        for (name, _, wait) in WAITS {
            let start = Instant::now();
            let ended = wait(Deadline::after(SHORT));
            assert!(matches!(ended, Err(Error::TimedOut)), "{name}: {ended:?}");
            assert!(start.elapsed() >= SHORT, "{name} came early");
            assert!(matches!(wait(Deadline::at(start)), Err(Error::TimedOut)), "{name}, past");
        }
    });
}

/// Other coroutines of both machines do the same meanwhile, so that there is somebody to be mixed
/// up with.
#[test]
fn no_wait_ends_on_another_thread() {
    let crowds = [0, 1].map(|k| {
        common::start_on(k, move || {
            let home = thread::current().id();
            let stays = move |name: &str| assert_eq!(thread::current().id(), home, "{name}");
            let crowd: Vec<_> = (0..20)
                .map(|i| {
                    let waits = move || {
                        for (name, _, wait) in WAITS {
                            let ended = wait(Deadline::after(Duration::from_millis(i % 5)));
                            assert!(matches!(ended, Err(Error::TimedOut)), "{name}: {ended:?}");
                            stays(name);
                        }
                    };
                    machine::spawn("waits", waits).unwrap()
                })
                .collect();
            crowd.into_iter().for_each(|one| one.join(soon()).unwrap());
        })
    });
    crowds.into_iter().for_each(|wait| wait());
}

/// Two bytes of two streams arrive in one batch of events. Seen to fail: a wake that queues a task
/// that is queued already, which runs it in the middle of its next wait.
#[test]
fn two_reasons_in_one_batch_wake_once() {
    on(0, || {
        let (a, a_far) = pair();
        let (b, b_far) = pair();
        let waits = move || {
            let wants = [(&a, Interest::READ), (&b, Interest::READ)];
            wait_any(&wants, None, soon()).unwrap();
            let both = a.is_readable() && b.is_readable();
            let start = Instant::now();
            machine::sleep(SHORT).unwrap();
            (both, start.elapsed())
        };
        let before = engine().machines()[0].stats().wakeups;
        let child = machine::spawn("waits", waits).unwrap();
        machine::yield_now();
        a_far.write_all(b"x", soon()).unwrap();
        b_far.write_all(b"x", soon()).unwrap();
        let (both, slept) = child.join(soon()).unwrap();
        assert!(both, "one batch");
        assert!(slept >= SHORT, "the second reason did not end the next wait");
        assert!(engine().machines()[0].stats().wakeups - before <= 6);
    });
}

/// Seen to fail: a loop that lets a few who yield run dozens of times between two polls. Each may
/// have worked for a millisecond.
#[test]
fn who_yields_lets_the_sockets_have_a_turn() {
    on(0, || {
        let (near, far) = pair();
        let (reads, seen) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let counts = Rc::clone(&reads);
        let reader = machine::spawn("reads", move || {
            while near.read(&mut [0; 1], soon()).unwrap() > 0 {
                counts.set(counts.get() + 1);
            }
        });
        machine::yield_now();
        for round in 1..=100 {
            far.write_all(b"x", soon()).unwrap();
            let mut yields = 0;
            while reads.get() < round {
                machine::yield_now();
                yields += 1;
            }
            seen.set(seen.get().max(yields));
        }
        far.shutdown_write().unwrap();
        reader.unwrap().join(soon()).unwrap();
        assert!(seen.get() <= 4, "{} yields before a byte was heard of", seen.get());
    });
}

/// A machine whose coroutines never run out goes on hearing of its sockets and its clock. Seen to
/// fail: a loop that polls only when nobody is ready.
#[test]
fn who_spins_on_yields_starves_nobody() {
    on(1, || {
        let spinners: Vec<_> = (0..8)
            .map(|_| {
                let spin = || {
                    while !machine::is_cancelled() {
                        machine::yield_now();
                    }
                };
                machine::spawn("spins", spin).unwrap()
            })
            .collect();
        let listener = Rc::new(listen());
        let theirs = Rc::clone(&listener);
        let echo = machine::spawn("echo", move || {
            let stream = theirs.accept(soon())?.0.unfold()?;
            let mut bytes = [0; 16];
            loop {
                match stream.read(&mut bytes, soon())? {
                    0 => return Ok::<_, Error>(()),
                    n => stream.write_all(&bytes[..n], soon())?,
                }
            }
        });
        let start = Instant::now();
        let stream = common::connect(&listener.local()).unwrap();
        for _ in 0..200 {
            stream.write_all(b"ping", soon()).unwrap();
            stream.read(&mut [0; 16], soon()).unwrap();
        }
        machine::sleep(SHORT).unwrap();
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        drop(stream);
        echo.unwrap().join(soon()).unwrap().unwrap();
        spinners.iter().for_each(machine::JoinHandle::cancel);
    });
}
