//! Who wakes whom: notifications between machines, cancellation and deadlines in every wait,
//! panics.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use machine::{Deadline, Error, Interest, Notified, Notifier, Woken, wait_any};

use common::{connect, engine, listen, on, pair, soon, start_on, until, until_outside};

const SHORT: Duration = Duration::from_millis(15);

/// Plays its side of ping-pong: a lost wake-up ends it by the deadline.
fn rally(notified: &Notified, other: &Notifier, rounds: usize, serves: bool) {
    if serves {
        other.notify();
    }
    for round in 0..rounds {
        let woken = wait_any(&[], Some(notified), soon()).unwrap();
        assert_eq!(woken, Woken::Notified, "wake-up {round} was lost");
        assert!(notified.take());
        if !serves || round + 1 < rounds {
            other.notify();
        }
    }
}

/// Seen to fail: a machine that does not look at its mail again after it said that it sleeps. The
/// rally stands still.
#[test]
fn no_wake_up_between_machines_is_lost() {
    const ROUNDS: usize = 20_000;
    const PAIRS: usize = 4;
    let games: Vec<_> = (0..PAIRS)
        .map(|_| {
            let (to_left, from_right) = mpsc::channel();
            let (to_right, from_left) = mpsc::channel();
            let left = start_on(0, move || {
                let notified = Notified::new();
                to_right.send(notified.notifier()).unwrap();
                let other = receive(&from_right);
                rally(&notified, &other, ROUNDS, true);
            });
            let right = start_on(1, move || {
                let notified = Notified::new();
                to_left.send(notified.notifier()).unwrap();
                let other = receive(&from_left);
                rally(&notified, &other, ROUNDS, false);
            });
            (left, right)
        })
        .collect();
    for (left, right) in games {
        left();
        right();
    }
}

/// All who step aside in a turn go on when all have run whom they woke; in the same turn, in which
/// time stands still. Seen to fail with `yield_now` in its place: each giver follows its own taker.
#[test]
fn who_steps_aside_goes_on_behind_all_others_of_the_turn() {
    on(0, || {
        let order = Rc::new(RefCell::new(Vec::new()));
        let pairs = [("taker 1", "giver 1"), ("taker 2", "giver 2")].map(|(taker, giver)| {
            let (order, notified) = (Rc::clone(&order), Notified::new());
            let notifier = notified.notifier();
            let taking = machine::spawn(taker, {
                let order = Rc::clone(&order);
                move || {
                    assert_eq!(wait_any(&[], Some(&notified), soon()).unwrap(), Woken::Notified);
                    order.borrow_mut().push(taker);
                }
            });
            let gives = move || {
                notifier.notify();
                let before = machine::now();
                machine::step_aside();
                assert_eq!(machine::now(), before, "one turn");
                order.borrow_mut().push(giver);
            };
            (taking.unwrap(), giver, gives)
        });
        machine::sleep(SHORT).unwrap(); // the takers wait
        let before = machine::now();
        let pairs = pairs.map(|(taking, name, gives)| (taking, machine::spawn(name, gives)));
        for (taking, giving) in pairs {
            taking.join(soon()).unwrap();
            giving.unwrap().join(soon()).unwrap();
        }
        assert_eq!(*order.borrow(), ["taker 1", "taker 2", "giver 1", "giver 2"]);
        machine::sleep(SHORT).unwrap();
        assert!(machine::now() >= before + SHORT, "time goes on");
    });
}

/// Sockets that never rest do not keep those aside who stepped there. Seen to fail without a bound
/// on the polls that go first: nobody stops the two, who talk for ever.
#[test]
fn who_steps_aside_is_not_forgotten_while_sockets_talk() {
    on(0, || {
        let ((left, right), over) = (pair(), Rc::new(Cell::new(false)));
        let talk = |name: &'static str, stream: machine::Stream, begins: bool| {
            let over = Rc::clone(&over);
            let talks = move || {
                let mut byte = [0];
                if begins {
                    stream.write_all(&byte, soon()).unwrap();
                }
                while !over.get() && stream.read(&mut byte, soon()).unwrap() > 0 {
                    stream.write_all(&byte, soon()).unwrap();
                }
                let _ = stream.shutdown_write(); // the other may have gone
            };
            machine::spawn(name, talks).unwrap()
        };
        let talkers = [talk("left", left, true), talk("right", right, false)];
        machine::sleep(SHORT).unwrap(); // they talk
        let aside = Rc::clone(&over);
        let steps = machine::spawn("aside", move || {
            machine::step_aside();
            aside.set(true);
        });
        steps.unwrap().join(soon()).unwrap();
        for talker in talkers {
            talker.join(soon()).unwrap();
        }
    });
}

fn receive<T>(channel: &mpsc::Receiver<T>) -> T {
    let mut got = None;
    until("a message", || {
        got = channel.try_recv().ok();
        got.is_some()
    });
    got.unwrap()
}

#[test]
fn a_thousand_threads_worth_of_notifications_is_a_few_letters() {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    let (sender, notifiers) = mpsc::channel();
    let waiting = start_on(0, move || {
        let notified = Notified::new();
        sender.send(notified.notifier()).unwrap();
        while seen.load(Ordering::Acquire) < 4 {
            assert_eq!(wait_any(&[], Some(&notified), soon()).unwrap(), Woken::Notified);
            assert!(notified.take());
        }
    });
    let notifier: Notifier = notifiers.recv().unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (notifier, count) = (notifier.clone(), Arc::clone(&count));
            thread::spawn(move || {
                (0..10_000).for_each(|_| notifier.notify());
                count.fetch_add(1, Ordering::AcqRel);
                notifier.notify();
            })
        })
        .collect();
    waiting();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_flag_stays_set_and_a_dead_one_hits_nobody() {
    on(0, || {
        let notified = Notified::new();
        let notifier = notified.notifier();
        notifier.notify();
        notifier.notify();
        for _ in 0..2 {
            assert_eq!(wait_any(&[], Some(&notified), soon()).unwrap(), Woken::Notified);
        }
        assert!(notified.take() && !notified.take() && !notified.is_set());
        drop(notified);
        let fresh = Notified::new(); // in the place of the dead one
        notifier.notify();
        assert!(!fresh.is_set());
    });
}

#[test]
fn a_coroutine_cancelled_before_it_runs_cannot_wait() {
    on(0, || {
        let (ran, said) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
        let (r, s) = (Rc::clone(&ran), Rc::clone(&said));
        let child = machine::spawn("child", move || {
            r.set(true);
            s.set(machine::is_cancelled());
            machine::sleep(Duration::from_secs(3600))
        })
        .unwrap();
        child.cancel();
        assert!(matches!(child.join(soon()).unwrap(), Err(Error::Cancelled)));
        assert!(ran.get() && said.get());
    });
}

#[test]
fn of_several_reasons_the_first_in_rank_is_told() {
    on(0, || {
        let (ours, theirs) = pair();
        theirs.write_all(b"x", soon()).unwrap();
        until("readable", || ours.is_readable());
        let notified = Notified::new();
        notified.notifier().notify();
        let past = Deadline::at(machine::now());
        let want = [(&ours, Interest::READ)];
        assert_eq!(wait_any(&want, Some(&notified), past).unwrap(), Woken::Notified);
        assert!(notified.take());
        assert_eq!(wait_any(&want, Some(&notified), past).unwrap(), Woken::Ready);
        let none = [(&ours, Interest::NONE)];
        assert_eq!(wait_any(&none, Some(&notified), past).unwrap(), Woken::TimedOut);
    });
}

#[test]
fn a_panic_ends_one_coroutine_and_is_told() {
    struct Waits;
    impl Drop for Waits {
        fn drop(&mut self) {
            let waited = machine::sleep(Duration::from_secs(3600));
            assert!(matches!(waited, Err(Error::Cancelled)), "a wait while unwinding fails");
        }
    }
    on(0, || {
        let before = engine().machines()[0].stats().panics;
        let child = machine::spawn("unlucky", || {
            let _waits = Waits;
            machine::sleep(Duration::from_millis(1)).unwrap();
            panic!("by design {}", 1);
        });
        match child.unwrap().join(soon()) {
            Err(Error::Panicked(message)) => {
                assert!(message.starts_with("by design 1 ("), "{message}");
                assert!(message.contains("wake.rs:"), "{message}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(engine().machines()[0].stats().panics, before + 1);
        machine::sleep(Duration::from_millis(1)).unwrap();
    });
    match on(1, || machine::offload(|| panic!("over there"), soon())) {
        Err::<(), _>(Error::Panicked(message)) => assert_eq!(message, "over there"),
        other => panic!("{other:?}"),
    }
}

/// Seen to fail: a reactor that sleeps by a timer of may, which wakes it on any worker. The engine
/// does not start.
#[test]
fn one_coroutine_sees_one_thread_over_all_its_waits() {
    on(1, || {
        let home = thread::current().id();
        let same = |what: &str| assert_eq!(thread::current().id(), home, "after {what}");
        machine::yield_now();
        same("yield");
        machine::sleep(Duration::from_millis(2)).unwrap();
        same("sleep");
        let (ours, theirs) = pair();
        same("connect and accept");
        ours.write_all(&[0; 100], soon()).unwrap();
        theirs.read(&mut [0; 100], soon()).unwrap();
        same("read");
        assert_ne!(machine::offload(|| thread::current().id(), soon()).unwrap(), home);
        same("offload");
        let notified = Notified::new();
        let notifier = notified.notifier();
        engine().machines()[0].spawn("notifier", move || notifier.notify()).unwrap();
        wait_any(&[], Some(&notified), soon()).unwrap();
        same("a notification from another machine");
        let child = machine::spawn("child", || thread::current().id()).unwrap();
        assert_eq!(child.join(soon()).unwrap(), home);
        same("join");
        assert_eq!(machine::current(), Some(1));
    });
}

#[test]
fn names_resolve_and_numbers_need_no_resolver() {
    on(0, || {
        let to = |host: &str| machine::resolve(host, 5432, soon());
        assert_eq!(to("127.0.0.1").unwrap(), ["127.0.0.1:5432".parse().unwrap()]);
        assert_eq!(to("[::1]").unwrap(), ["[::1]:5432".parse().unwrap()]);
        assert!(to("localhost").unwrap().iter().all(|address| address.ip().is_loopback()));
        match to("no such host") {
            Err(Error::Resolve { host, .. }) => assert_eq!(host, "no such host"),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn outside_a_machine_nothing_waits() {
    engine();
    assert_eq!(machine::current(), None);
    let nowhere = |result: Result<(), Error>| matches!(result, Err(Error::NotOnMachine));
    assert!(nowhere(machine::sleep(SHORT)));
    assert!(nowhere(machine::spawn("x", || ()).map(drop)));
    assert!(nowhere(machine::offload(|| (), soon())));
    assert!(nowhere(wait_any(&[], None, Deadline::NEVER).map(drop)));
    assert!(nowhere(connect(&listen().local()).map(drop)));
    machine::yield_now();
}

#[test]
fn two_waiters_for_one_flag_are_a_bug_that_shows() {
    on(1, || {
        let notified = Rc::new(Notified::new());
        let theirs = Rc::clone(&notified);
        let first = machine::spawn("first", move || wait_any(&[], Some(&theirs), soon())).unwrap();
        machine::sleep(Duration::from_millis(1)).unwrap();
        let theirs = Rc::clone(&notified);
        let second = machine::spawn("second", move || wait_any(&[], Some(&theirs), soon()));
        assert!(matches!(second.unwrap().join(soon()), Err(Error::Panicked(_))));
        notified.notifier().notify();
        assert_eq!(
            first.join(soon()).unwrap().unwrap(),
            Woken::Notified,
            "the first keeps its place"
        );
    });
}

#[test]
fn seats_are_load() {
    let (least, before) = (engine().least_loaded(), engine().least_loaded().load());
    let seats: Vec<_> = (0..3).map(|_| least.seat()).collect();
    assert_eq!(least.load(), before + 3);
    assert_ne!(engine().least_loaded().index(), least.index());
    drop(seats);
    until_outside("the seats are free", || least.load() == before);
}

/// An acceptor does it for each client when its machine is the one with the fewest. It fails
/// where each is a letter, and where nobody counts those that do not run yet.
#[test]
fn who_spawns_on_its_own_machine_writes_no_letter_and_is_refused_like_others() {
    let (started, refused, letters) = on(0, || {
        let here = &engine().machines()[0];
        let (letters, ran) = (here.stats().mails, Arc::new(AtomicUsize::new(0)));
        let spawn = || {
            let ran = Arc::clone(&ran);
            here.spawn("own", move || {
                ran.fetch_add(1, Ordering::Relaxed);
            })
        };
        let (started, refused) = (0..=5000usize).find_map(|n| Some((n, spawn().err()?))).unwrap();
        until("they run", || ran.load(Ordering::Relaxed) == started);
        spawn().unwrap();
        (started, refused, here.stats().mails - letters)
    });
    assert!(matches!(refused, Error::QueueFull { queue: "spawn", max: 4096 }));
    assert_eq!((started, letters), (4096, 0));
}
