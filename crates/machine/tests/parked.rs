//! Parked sessions: ten thousand without a stack, woken by data, flag and deadline.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use machine::{
    Address, Deadline, Listener, Notified, Notifier, Progress, Served, Session, Stream, Wakers,
    become_session, start_session,
};

use common::{connect, engine, listen, on, pair, soon, until};

/// What the sessions of one test write down.
#[derive(Default)]
struct Log {
    served: Cell<usize>,
    read: RefCell<Vec<(usize, u8)>>,
    flags: Cell<usize>,
    deadlines: Cell<usize>,
    ended: Cell<usize>,
}

struct Client {
    id: usize,
    stream: Stream,
    notified: Notified,
    deadline: Deadline,
    log: Rc<Log>,
}

impl Client {
    fn new(id: usize, stream: Stream, log: &Rc<Log>) -> Client {
        let (notified, log) = (Notified::new(), Rc::clone(log));
        Client { id, stream, notified, deadline: Deadline::NEVER, log }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.log.ended.set(self.log.ended.get() + 1);
    }
}

impl Session for Client {
    fn serve(mut self: Box<Self>) -> Served {
        self.log.served.set(self.log.served.get() + 1);
        if self.notified.take() {
            self.log.flags.set(self.log.flags.get() + 1);
        }
        if self.deadline.is_past(machine::now()) {
            self.deadline = Deadline::NEVER;
            self.log.deadlines.set(self.log.deadlines.get() + 1);
        }
        let mut byte = [0; 1];
        loop {
            match self.stream.try_read(&mut byte) {
                Ok(Progress::Done(_)) if byte[0] == b'!' => panic!("as asked"),
                Ok(Progress::Done(_)) => self.log.read.borrow_mut().push((self.id, byte[0])),
                Ok(Progress::Wait) => return Served::Parked(self),
                Ok(Progress::End) | Err(_) => return Served::Ended,
            }
        }
    }

    fn wakers(&self) -> Wakers<'_> {
        let notified = Some(&self.notified);
        Wakers { stream: &self.stream, other: None, notified, deadline: self.deadline }
    }
}

const CROWD: usize = 10_000;
/// What a backlog holds. The far ends wait there, and cost no descriptor until accepted.
const PER_LISTENER: usize = 4_000;

fn crowd(log: &Rc<Log>) -> (Vec<Listener>, Vec<Notifier>) {
    let mut listeners = Vec::new();
    let mut notifiers = Vec::new();
    for id in 0..CROWD {
        if id % PER_LISTENER == 0 {
            listeners.push(listen());
        }
        let address: Address = listeners[id / PER_LISTENER].local();
        let mut client = Client::new(id, connect(&address).unwrap(), log);
        notifiers.push(client.notified.notifier());
        if id % 100 == 7 {
            client.deadline = Deadline::after(Duration::from_millis(1500));
        }
        start_session(Box::new(client)).unwrap();
        if id % 100 == 0 {
            machine::yield_now(); // let them park: this is about who waits, not about who starts
        }
    }
    (listeners, notifiers)
}

#[test]
fn ten_thousand_wait_without_a_stack() {
    on(0, || {
        let log = Rc::new(Log::default());
        let stats = || engine().machines()[0].stats();
        let parked_before = stats().sessions_parked;
        let (listeners, notifiers) = crowd(&log);
        until("all parked", || stats().sessions_parked == parked_before + CROWD as u64);
        assert!(stats().coroutines_live < 50, "{:?}", stats());
        assert!(stats().coroutines_cached <= 1024, "{:?}", stats());

        until("deadlines passed", || log.deadlines.get() == CROWD / 100);
        notifiers.iter().step_by(1000).for_each(Notifier::notify);
        until("flags seen", || log.flags.get() == CROWD / 1000);

        let mut ends = Vec::new();
        for _ in 0..20 {
            let (parcel, _) = listeners[0].accept(soon()).unwrap();
            let end = parcel.unfold().unwrap();
            end.write_all(b"hi", soon()).unwrap();
            ends.push(end);
        }
        until("data read", || log.read.borrow().len() == 40);
        assert_eq!(log.ended.get(), 0);
        drop(ends);
        until("ends seen", || log.ended.get() == 20);
        drop(listeners); // resets all who were not accepted
        until("all ended", || log.ended.get() == CROWD);
        until("all gone", || stats().sessions_parked == parked_before);
    });
}

#[test]
fn what_was_satisfied_before_parking_is_served_again_without_starving_others() {
    struct Busy(Client, Rc<Cell<bool>>);
    impl Session for Busy {
        fn serve(self: Box<Self>) -> Served {
            self.0.log.served.set(self.0.log.served.get() + 1);
            // It leaves the byte unread.
            if self.1.get() { Served::Ended } else { Served::Parked(self) }
        }
        fn wakers(&self) -> Wakers<'_> {
            self.0.wakers()
        }
    }
    on(1, || {
        let (ours, theirs) = pair();
        theirs.write_all(b"x", soon()).unwrap();
        let (log, stop) = (Rc::new(Log::default()), Rc::new(Cell::new(false)));
        let busy = Busy(Client::new(0, ours, &log), Rc::clone(&stop));
        start_session(Box::new(busy)).unwrap();
        until("served many times", || log.served.get() > 100);
        stop.set(true);
        until("ended", || log.ended.get() == 1);
    });
}

/// Seen to fail: a coroutine that ends with its body drops the session.
#[test]
fn a_coroutine_goes_on_as_a_session_when_its_body_returns() {
    on(1, || {
        let stats = || engine().machines()[1].stats();
        let (log, (ours, theirs)) = (Rc::new(Log::default()), pair());
        let (parked, served) = (stats().sessions_parked, Rc::clone(&log));
        let login = machine::spawn("login", move || {
            become_session(Box::new(Client::new(7, ours, &served))).unwrap();
            assert_eq!(machine::current_name(), Some("session"), "as all others are called");
            served.served.get()
        });
        let before = login.unwrap().join(soon()).unwrap();
        assert_eq!(before, 0, "first the body returns");
        until("it is parked", || log.served.get() == 1 && stats().sessions_parked == parked + 1);
        theirs.write_all(b"a", soon()).unwrap();
        until("it is woken", || *log.read.borrow() == [(7, b'a')]);
        theirs.write_all(b"!", soon()).unwrap();
        until("its panic ends it", || log.ended.get() == 1);
        until("nothing is left", || stats().sessions_parked == parked);
    });
}

#[test]
fn a_panic_in_a_session_ends_that_session() {
    on(1, || {
        let log = Rc::new(Log::default());
        let (ours, theirs) = pair();
        let (ours2, theirs2) = pair();
        start_session(Box::new(Client::new(1, ours, &log))).unwrap();
        start_session(Box::new(Client::new(2, ours2, &log))).unwrap();
        machine::yield_now();
        theirs.write_all(b"!", soon()).unwrap();
        until("dropped", || log.ended.get() == 1);
        assert_eq!(theirs.read(&mut [0; 1], soon()).unwrap(), 0, "its socket is closed");
        theirs2.write_all(b"y", soon()).unwrap();
        until("the other goes on", || *log.read.borrow() == [(2, b'y')]);
    });
}
