//! Mutexes, semaphores, wait groups, flags, events and channels, of both reaches: order, what
//! happens to those who give up in the moment they are served, and a crowd on two machines.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use machine::channel::{self, Limits, Receiver, Sender};
use machine::sync::generic::{Event, Flag, Mutex, Reach, Semaphore, WaitGroup};
use machine::sync::{Local, Shared, Signal, shared};
use machine::{Deadline, Error, Notified, Woken, wait_any};

use common::{engine, on, soon, start_on, until};

const SHORT: Duration = Duration::from_millis(15);

type Order = Rc<RefCell<Vec<usize>>>;

/// Ten in a line: some pass their deadline, the first is granted and cancelled in one turn.
fn permits_go_on<R: Reach>() {
    let semaphore = Semaphore::<R>::new(1);
    let order = Order::default();
    let first = semaphore.acquire(soon()).unwrap();
    let children: Vec<_> = (0..10)
        .map(|i| {
            let (semaphore, order) = (semaphore.clone(), Rc::clone(&order));
            let waits = move || {
                let deadline = if i % 3 == 1 { Deadline::after(SHORT) } else { soon() };
                let permit = semaphore.acquire(deadline)?;
                order.borrow_mut().push(i);
                machine::step_aside();
                drop(permit);
                Ok::<_, Error>(())
            };
            machine::spawn("child", waits).unwrap()
        })
        .collect();
    machine::sleep(SHORT * 2).unwrap();
    children[9].cancel();
    children[0].cancel();
    drop(first); // granted to 0, which is cancelled in the same turn: it must pass on
    children.into_iter().for_each(|child| drop(child.join(soon()).unwrap()));
    assert_eq!(*order.borrow(), [2, 3, 5, 6, 8]);
    assert_eq!(semaphore.available(), 1);
    semaphore.try_acquire().unwrap().forget();
    assert!(semaphore.try_acquire().is_none());
    semaphore.add(3);
    assert_eq!((semaphore.available(), semaphore.in_use()), (3, 0));

    let held = [semaphore.try_acquire(), semaphore.try_acquire()];
    semaphore.resize(1);
    let theirs = semaphore.clone();
    let waits = machine::spawn("waits", move || theirs.acquire(soon()).map(drop)).unwrap();
    machine::yield_now();
    drop(held);
    waits.join(soon()).unwrap().unwrap();
    assert_eq!(
        (semaphore.available(), semaphore.in_use()),
        (1, 0),
        "one of two came back for good"
    );
    let held = semaphore.try_acquire();
    let theirs = semaphore.clone();
    let waits = machine::spawn("waits", move || theirs.acquire(soon()).map(drop)).unwrap();
    machine::yield_now();
    semaphore.resize(2);
    waits.join(soon()).unwrap().unwrap();
    drop(held);
}

/// Seen to fail: a waiter that gives up and keeps what was granted to it, and one that goes to the
/// head of the line.
#[test]
fn permits_are_handed_out_in_order_and_never_lost() {
    on(0, permits_go_on::<Local>);
    on(1, permits_go_on::<Shared>);
}

fn a_lock_outlives_its_holders<R: Reach>() {
    let mutex = Mutex::<_, R>::new(Vec::new());
    let held = mutex.lock(soon()).unwrap();
    assert!(mutex.try_lock().is_none());
    assert!(matches!(mutex.lock(Deadline::after(SHORT)).map(drop), Err(Error::TimedOut)));
    let children: Vec<_> = (0..6)
        .map(|i| {
            let mutex = mutex.clone();
            let waits = move || {
                let mut order = mutex.lock(soon()).unwrap();
                machine::yield_now();
                order.push(i);
                assert!(i != 2, "by design, while it holds the lock");
            };
            machine::spawn("child", waits).unwrap()
        })
        .collect();
    machine::yield_now();
    children[3].cancel();
    drop(held);
    for (i, child) in children.into_iter().enumerate() {
        let ended = child.join(soon());
        assert_eq!(ended.is_ok(), i != 2 && i != 3, "{i}");
    }
    assert_eq!(*mutex.try_lock().unwrap(), [0, 1, 2, 4, 5], "not poisoned, in order");
}

#[test]
fn a_panic_lets_go_of_a_lock_and_poisons_nothing() {
    on(0, a_lock_outlives_its_holders::<Local>);
    on(1, a_lock_outlives_its_holders::<Shared>);
}

fn all_are_waited_for<R: Reach>() {
    let (group, flag) = (WaitGroup::<R>::new(), Flag::<R>::new());
    group.wait(soon()).unwrap();
    let done = Rc::new(Cell::new(0));
    for i in 0..5 {
        let (member, flag, done) = (group.join(), flag.clone(), Rc::clone(&done));
        let waits = move || {
            let _member = member;
            flag.wait(soon()).unwrap();
            done.set(done.get() + 1);
            assert!(i != 3, "a panic is an end, too");
        };
        machine::spawn("member", waits).unwrap();
    }
    assert_eq!(group.count(), 5);
    assert!(matches!(group.wait(Deadline::after(SHORT)), Err(Error::TimedOut)));
    flag.set();
    flag.set();
    group.wait(soon()).unwrap();
    flag.wait(soon()).unwrap();
    assert_eq!((done.get(), group.count(), flag.is_set()), (5, 0, true));
}

#[test]
fn a_group_ends_with_its_last_member_however_that_ends() {
    on(0, all_are_waited_for::<Local>);
    on(1, all_are_waited_for::<Shared>);
}

fn signals_are_heard<R: Reach>() {
    let [a, b, c] = std::array::from_fn(|_| Event::<R>::new());
    a.propagate_to(Some(&b));
    b.propagate_to(Some(&c));
    c.propagate_to(Some(&a)); // a ring
    a.signal();
    a.signal();
    assert_eq!(a.wait(soon()).unwrap(), Signal::Direct);
    assert_eq!(c.wait(soon()).unwrap(), Signal::Propagated);
    assert_eq!((a.take(), b.take()), (None, Some(Signal::Propagated)), "left once, taken once");
    c.propagate_to(None);
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let c = c.clone();
            machine::spawn("waits", move || c.wait(soon())).unwrap()
        })
        .collect();
    machine::yield_now();
    waiting[0].cancel();
    a.signal();
    let heard: Vec<_> = waiting.into_iter().map(|one| one.join(soon()).unwrap()).collect();
    let [Err(Error::Cancelled), Ok(Signal::Propagated), Ok(Signal::Propagated)] = heard[..] else {
        panic!("{heard:?}");
    };
    a.propagate_to(None);
    let both = (a.take(), c.take());
    assert!(matches!(both, (Some(Signal::Direct), None)), "nobody waited for a; c: {both:?}");
}

#[test]
fn a_signal_goes_on_and_is_left_for_who_comes_later() {
    on(0, signals_are_heard::<Local>);
    on(1, signals_are_heard::<Shared>);
}

type Ends<R> = (Sender<usize, R>, Receiver<usize, R>);

fn values_stay_in_order<R: Reach>((sender, receiver): Ends<R>) {
    for n in 0..2 {
        sender.send(n, soon()).unwrap();
    }
    let full = sender.send(9, Deadline::after(SHORT)).unwrap_err();
    assert!(matches!(full.error, Error::TimedOut) && full.value == 9);
    sender.try_send(2).unwrap();
    sender.try_send(3).unwrap();
    let refused = sender.try_send(4).unwrap_err();
    assert!(matches!(refused.error, Error::QueueFull { max: 4, .. }) && refused.value == 4);
    let waits = {
        let sender = sender.clone();
        move || sender.send(4, soon())
    };
    let waits = machine::spawn("sends", waits).unwrap();
    assert_eq!(receiver.recv(soon()).unwrap(), 0);
    receiver.unread(0);
    assert_eq!(receiver.len(), 4);
    for n in 0..3 {
        assert!(!waits.is_finished(), "the debt is paid first");
        assert_eq!(receiver.try_recv().unwrap(), Some(n));
    }
    waits.join(soon()).unwrap().unwrap();
    let second = receiver.clone();
    drop(receiver);
    drop(sender);
    assert_eq!(second.recv(soon()).unwrap(), 3, "what is in it is received after the end");
    assert_eq!(second.recv(soon()).unwrap(), 4);
    assert!(matches!(second.recv(soon()), Err(Error::Closed)));
    assert!(matches!(second.try_recv(), Err(Error::Closed)));
}

#[test]
fn a_channel_holds_no_more_than_it_should_and_keeps_the_order() {
    on(0, || values_stay_in_order(channel::local(Limits::soft(2))));
    on(1, || values_stay_in_order(channel::shared(Limits { soft: 2, hard: 4 })));
}

/// Receivers wait in line; some give up in the moment a value is theirs. Seen to fail: a receiver
/// that leaves without passing its value on.
fn values_survive_who_gives_up<R: Reach>((sender, receiver): Ends<R>) {
    let got = Order::default();
    let receivers: Vec<_> = (0..6)
        .map(|_| {
            let (receiver, got) = (receiver.clone(), Rc::clone(&got));
            let waits = move || receiver.recv(soon()).map(|n| got.borrow_mut().push(n));
            machine::spawn("receives", waits).unwrap()
        })
        .collect();
    machine::yield_now();
    for n in 0..4 {
        sender.try_send(n).unwrap();
    }
    assert_eq!(receiver.try_recv().unwrap(), None, "others come for them");
    receivers[0].cancel();
    receivers[2].cancel();
    until("all received", || got.borrow().len() == 4);
    assert_eq!(*got.borrow(), [0, 1, 2, 3]);
    receiver.close();
    receivers.into_iter().for_each(|one| {
        let ended = one.join(soon()).unwrap();
        assert!(matches!(ended, Ok(()) | Err(Error::Cancelled)), "{ended:?}");
    });
    let late = sender.send(5, soon()).unwrap_err();
    assert!(matches!(late.error, Error::Closed) && sender.is_closed());
}

#[test]
fn a_receiver_that_gives_up_takes_nothing_with_it() {
    on(0, || values_survive_who_gives_up(channel::local(Limits::hard(4))));
    on(1, || values_survive_who_gives_up(channel::shared(Limits::hard(4))));
}

#[test]
fn the_last_receiver_takes_the_channel_with_it() {
    struct Rings(Sender<usize, Local>);
    impl Drop for Rings {
        fn drop(&mut self) {
            assert!(self.0.is_closed(), "dropped outside of the lock");
        }
    }
    on(0, || {
        let (probe, _keep) = channel::local(Limits::hard(1));
        probe.close();
        let (sender, receiver) = channel::local(Limits::hard(2));
        sender.try_send(Rings(probe.clone())).unwrap();
        sender.try_send(Rings(probe)).unwrap();
        let waits = machine::spawn("sends", {
            let sender = sender.clone();
            let probe = channel::local(Limits::hard(1)).0;
            probe.close();
            move || sender.send(Rings(probe), soon()).map_err(|unsent| unsent.error)
        });
        machine::yield_now();
        drop(receiver);
        assert!(matches!(waits.unwrap().join(soon()).unwrap(), Err(Error::Closed)));
        assert!(sender.is_empty());
    });
}

#[test]
fn a_channel_and_a_stream_are_waited_for_together() {
    on(0, || {
        let (sender, receiver) = channel::shared(Limits::hard(4));
        let (ours, _theirs) = common::pair();
        let notified = Notified::new();
        receiver.announce(notified.notifier());
        engine().machines()[1].spawn("sends", move || sender.try_send(7).unwrap()).unwrap();
        let mut heard = Vec::new();
        loop {
            let want = [(&ours, machine::Interest::READ)];
            assert_eq!(wait_any(&want, Some(&notified), soon()).unwrap(), Woken::Notified);
            assert!(notified.take());
            loop {
                match receiver.try_recv() {
                    Ok(Some(n)) => heard.push(n),
                    Ok(None) => break,
                    Err(_) => return assert_eq!(heard, [7]),
                }
            }
        }
    });
}

/// Two machines and plain threads, all sending; two machines receiving, now and then giving up.
/// Seen to fail: a notifier that posts its letter before it sets the flag.
#[test]
fn a_crowd_on_two_machines_loses_nothing() {
    const EACH: usize = 3_000;
    let (sender, receiver) = channel::shared(Limits::hard(8));
    let (sum, count) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = shared::Semaphore::new(3);
    let mut ends: Vec<Box<dyn FnOnce()>> = Vec::new();
    for i in 0..8 {
        let (sender, gate) = (sender.clone(), gate.clone());
        ends.push(Box::new(start_on(i % 2, move || {
            for n in 0..EACH {
                let _permit = gate.acquire(soon()).unwrap();
                sender.send(n, soon()).unwrap();
            }
        })));
    }
    for i in 0..6 {
        let (receiver, sum, count) = (receiver.clone(), Arc::clone(&sum), Arc::clone(&count));
        ends.push(Box::new(start_on(i % 2, move || {
            loop {
                let soon = Deadline::after(Duration::from_micros(50 + 100 * (i as u64 % 3)));
                match receiver.recv(if i % 2 == 0 { soon } else { common::soon() }) {
                    Ok(n) => {
                        sum.fetch_add(n, Ordering::Relaxed);
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(Error::TimedOut) => {}
                    Err(Error::Closed) => return,
                    Err(error) => panic!("{error}"),
                }
            }
        })));
    }
    drop((sender, receiver));
    ends.into_iter().for_each(|end| end());
    assert_eq!(count.load(Ordering::Relaxed), 8 * EACH);
    assert_eq!(sum.load(Ordering::Relaxed), 8 * EACH * (EACH - 1) / 2);
    assert_eq!(gate.available(), 3);
}
