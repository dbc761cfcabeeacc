//! Everything that waits, as a table: each row waits for what never happens, until its deadline or
//! its cancellation. A new kind of wait gets a row here, and with it all the tests over the table.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::time::Duration;

use machine::channel::{self, Limits};
use machine::sync::{Event, Flag, Mutex, Semaphore, WaitGroup, shared};
use machine::{Deadline, Doing, Error, Interest, Notified, Signals, Woken, wait_any};

use crate::common::{listen, pair, soon};

/// What a row waits for, and how.
pub type Wait = (&'static str, Doing, fn(Deadline) -> Result<(), Error>);

pub const WAITS: &[Wait] = &[
    ("wait_any of nothing", Doing::Sleep, |d| woken(wait_any(&[], None, d))),
    ("read", Doing::Read, |d| {
        let (stream, _peer) = pair();
        stream.read(&mut [0; 8], d).map(drop)
    }),
    ("write", Doing::Write, |d| {
        let (stream, _peer) = pair();
        stream.write_all(&vec![0; 64 << 20], d)
    }),
    ("wait_any of a stream", Doing::Several, |d| {
        let (stream, _peer) = pair();
        woken(wait_any(&[(&stream, Interest::READ | Interest::HANGUP)], None, d))
    }),
    ("wait_any of two streams", Doing::Several, |d| {
        let (left, right) = pair();
        woken(wait_any(&[(&left, Interest::READ), (&right, Interest::READ)], None, d))
    }),
    ("accept", Doing::Accept, |d| listen().accept(d).map(drop)),
    ("notified", Doing::Notified, |d| woken(wait_any(&[], Some(&Notified::new()), d))),
    ("join", Doing::Join, |d| {
        let sleeper = machine::spawn("sleeper", || machine::sleep(Duration::from_secs(60)))?;
        let id = sleeper.id();
        let result = sleeper.join(d).map(drop);
        assert_eq!(id.machine(), machine::current().expect("on a machine"));
        result
    }),
    ("offload", Doing::Offload, |d| {
        machine::offload(|| std::thread::park_timeout(Duration::from_millis(200)), d)
    }),
    ("signal", Doing::Signal, |d| Signals::new(&[10])?.wait(d).map(drop)),
    ("mutex", Doing::Mutex, |d| {
        let mutex = Mutex::new(());
        let _mine = mutex.try_lock();
        mutex.lock(d).map(drop)
    }),
    ("shared mutex", Doing::Mutex, |d| {
        let mutex = shared::Mutex::new(());
        let _mine = mutex.try_lock();
        mutex.lock(d).map(drop)
    }),
    ("semaphore", Doing::Semaphore, |d| Semaphore::new(0).acquire(d).map(drop)),
    ("shared semaphore", Doing::Semaphore, |d| shared::Semaphore::new(0).acquire(d).map(drop)),
    ("wait group", Doing::WaitGroup, |d| {
        let group = WaitGroup::new();
        let _member = group.join();
        group.wait(d)
    }),
    ("shared wait group", Doing::WaitGroup, |d| {
        let group = shared::WaitGroup::new();
        let _member = group.join();
        group.wait(d)
    }),
    ("flag", Doing::Flag, |d| Flag::new().wait(d)),
    ("shared flag", Doing::Flag, |d| shared::Flag::new().wait(d)),
    ("event", Doing::Event, |d| Event::new().wait(d).map(drop)),
    ("shared event", Doing::Event, |d| shared::Event::new().wait(d).map(drop)),
    ("send", Doing::Send, |d| {
        let (sender, _receiver) = channel::local(Limits::hard(1));
        sender.send(1, soon())?;
        Ok(sender.send(2, d)?)
    }),
    ("shared send", Doing::Send, |d| {
        let (sender, _receiver) = channel::shared(Limits::hard(1));
        sender.send(1, soon())?;
        Ok(sender.send(2, d)?)
    }),
    ("receive", Doing::Receive, |d| {
        let (_sender, receiver) = channel::local::<u8>(Limits::hard(1));
        receiver.recv(d).map(drop)
    }),
    ("shared receive", Doing::Receive, |d| {
        let (_sender, receiver) = channel::shared::<u8>(Limits::hard(1));
        receiver.recv(d).map(drop)
    }),
];

fn woken(result: Result<Woken, Error>) -> Result<(), Error> {
    match result? {
        Woken::TimedOut => Err(Error::TimedOut),
        other => panic!("woken by {other:?}"),
    }
}
