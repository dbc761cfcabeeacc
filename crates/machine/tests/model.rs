//! A model of what different threads do to each other: the agreements about the bell and the flag,
//! and the semaphore and channel that all machines share, in every interleaving that `loom` finds
//! and with what a weak memory may show. The files are the engine's own; only their atomics, their
//! lock and their waiting are the model's.
//!
//! Seen to fail: a sleeper that does not look once more (`is_empty` taken for true), a bell without
//! its fences, a flag set by a plain store, and a waiter that gives up and keeps what it got.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "the model uses a part of each file")]

#[path = "../src/agreement.rs"]
mod agreement;
#[path = "../src/channel.rs"]
mod channel;

mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicBool, Ordering, fence};
}

mod notified {
    pub(crate) use machine::Notifier;
}

#[path = "../src/sync"]
mod sync {
    pub(crate) mod line;
    pub(crate) mod reach;
    pub(crate) mod semaphore;

    pub(crate) mod generic {
        pub(crate) use super::reach::Reach;
    }
    pub(crate) use super::{Model as Local, Model as Shared};
}

use std::sync::Arc;
use std::time::Instant;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Mutex, MutexGuard, Notify};
use loom::thread;
use machine::{Deadline, Doing, Error};
use sync::reach::Reach;
use sync::semaphore::Semaphore;

use agreement::{Bell, Call};
use channel::Limits;

/// Threads of the model in the place of coroutines. A deadline, whichever, has passed when somebody
/// would have to wait: he gives up in the middle of whatever the others do.
pub enum Model {}

impl Reach for Model {
    type Pointer<T> = Arc<T>;
    type Cell<T> = Mutex<T>;
    type Guard<'a, T: 'a> = MutexGuard<'a, T>;
    type Waker = Arc<Notify>;
    type Seat = Arc<Notify>;

    fn pointer<T>(value: T) -> Arc<T> {
        Arc::new(value)
    }

    fn cell<T>(value: T) -> Mutex<T> {
        Mutex::new(value)
    }

    fn is_same<T>(a: &Arc<T>, b: &Arc<T>) -> bool {
        Arc::ptr_eq(a, b)
    }

    fn lock<T>(cell: &Mutex<T>) -> MutexGuard<'_, T> {
        cell.lock().unwrap()
    }

    fn breathe() -> Result<(), Error> {
        Ok(())
    }

    fn sit() -> Arc<Notify> {
        Arc::new(Notify::new())
    }

    fn waker(seat: &Arc<Notify>) -> Arc<Notify> {
        Arc::clone(seat)
    }

    fn wake(waker: Arc<Notify>) {
        waker.notify();
    }

    fn wait(seat: &Arc<Notify>, _: Doing, deadline: Deadline) -> Result<(), Error> {
        if deadline != Deadline::NEVER {
            return Err(Error::TimedOut);
        }
        seat.wait();
        Ok(())
    }
}

fn explore(preemptions: usize, body: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(body);
}

/// A mailbox with its bell. The mail is a number in an atomic without any order of its own.
#[test]
fn a_sleeper_hears_of_everything_that_is_put_down() {
    explore(3, || {
        let shared = Arc::new((Bell::new(), AtomicUsize::new(0), Notify::new()));
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let (bell, mail, eventfd) = &*shared;
                    mail.fetch_add(1, Ordering::Relaxed);
                    if bell.must_ring() {
                        eventfd.notify();
                    }
                })
            })
            .collect();
        let (bell, mail, eventfd) = &*shared;
        let mut read = 0;
        while read < 2 {
            read += mail.swap(0, Ordering::Relaxed);
            if read < 2 && bell.may_sleep(|| mail.load(Ordering::Relaxed) == 0) {
                eventfd.wait(); // for ever, if nobody rings
                bell.wake_up();
            }
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

/// Two notifiers and one who waits for what they wrote before they set the flag.
#[test]
fn a_flag_is_seen_with_what_was_written_before() {
    explore(3, || {
        let shared = Arc::new((Call::new(), AtomicUsize::new(0), Notify::new()));
        let notifiers: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let (call, written, letter) = &*shared;
                    written.fetch_add(1, Ordering::Relaxed);
                    call.set();
                    if call.must_post() {
                        letter.notify();
                    }
                })
            })
            .collect();
        let (call, written, letter) = &*shared;
        let mut seen = 0;
        while seen < 2 {
            letter.wait(); // for ever, if a letter is missing
            call.received();
            if call.take() {
                seen = written.load(Ordering::Relaxed);
            }
        }
        notifiers.into_iter().for_each(|notifier| notifier.join().unwrap());
    });
}

fn impatient() -> Deadline {
    Deadline::at(Instant::now())
}

/// One who waits for a permit until there is one, and one who gives up at once.
fn users_of(semaphore: &Semaphore<Model>) -> [thread::JoinHandle<Result<(), Error>>; 2] {
    [Deadline::NEVER, impatient()].map(|deadline| {
        let semaphore = semaphore.clone();
        thread::spawn(move || semaphore.acquire(deadline).map(drop))
    })
}

/// One holds the permit, one waits for it, one gives up in between.
#[test]
fn a_permit_is_never_lost_between_threads() {
    explore(3, || {
        let semaphore = Semaphore::<Model>::new(1);
        let users = users_of(&semaphore);
        drop(semaphore.acquire(Deadline::NEVER).unwrap());
        let [patient, _] = users.map(|user| user.join().unwrap());
        assert!(patient.is_ok());
        assert_eq!(semaphore.available(), 1);
    });
}

/// Permits come and go while one waits for his and another gives up. Seen to fail: a size that is
/// written down and wakes nobody, and one who gives up and keeps what came.
#[test]
fn a_new_size_reaches_who_waits() {
    explore(3, || {
        let semaphore = Semaphore::<Model>::new(0);
        let users = users_of(&semaphore);
        semaphore.resize(2);
        semaphore.resize(1); // one of two may be in use: it ends when it comes back
        let [patient, _] = users.map(|user| user.join().unwrap());
        assert!(patient.is_ok());
        assert_eq!((semaphore.available(), semaphore.in_use()), (1, 0));
    });
}

/// Two senders for one place; one receiver gives up now and then, and the sender too.
#[test]
fn a_value_is_never_lost_between_threads() {
    explore(2, || {
        let (sender, receiver) = channel::channel::<_, Model>(Limits::hard(1));
        let sending = thread::spawn({
            let sender = sender.clone();
            move || sender.send(1, Deadline::NEVER).is_ok()
        });
        let other = thread::spawn(move || sender.send(2, impatient()).is_ok());
        let mut received = Vec::new();
        if let Ok(value) = receiver.recv(impatient()) {
            received.push(value);
        }
        while let Ok(value) = receiver.recv(Deadline::NEVER) {
            received.push(value); // until both senders are gone
        }
        received.sort_unstable();
        assert!(sending.join().unwrap());
        let expected: &[i32] = if other.join().unwrap() { &[1, 2] } else { &[1] };
        assert_eq!(received, expected);
    });
}
