//! The ceiling of coroutines: an error for who asks, patience for who was promised.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use machine::{
    Deadline, Engine, EngineConfig, Error, ListenOptions, Listener, Notified, Served, Session,
    Stream, StreamOptions, Wakers, start_session, wait_any,
};

const MAX: usize = 20;

struct Counts(Stream, Rc<Cell<usize>>, Deadline);

impl Session for Counts {
    fn serve(mut self: Box<Self>) -> Served {
        self.1.set(self.1.get() + 1);
        self.2 = Deadline::NEVER;
        Served::Parked(self)
    }

    fn wakers(&self) -> Wakers<'_> {
        Wakers { stream: &self.0, other: None, notified: None, deadline: self.2 }
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        machine::sleep(Duration::from_millis(1)).unwrap();
    }
    panic!("never: {what}");
}

/// Takes every stack that is left, gives them back on request.
fn fill(release: &Rc<Cell<bool>>) -> (usize, Error) {
    for taken in 0.. {
        let release = Rc::clone(release);
        let child = machine::spawn("filler", move || until("released", || release.get()));
        if let Err(error) = child {
            return (taken, error);
        }
    }
    unreachable!()
}

fn body(engine: &'static Engine) {
    let soon = Deadline::after(Duration::from_secs(20));
    let listener = Listener::bind(
        &machine::Address::Tcp("127.0.0.1:0".parse().unwrap()),
        &ListenOptions::default(),
    )
    .unwrap();
    let stream = Stream::connect(&listener.local(), &StreamOptions::default(), soon).unwrap();
    let served = Rc::new(Cell::new(0));
    let wake = Deadline::after(Duration::from_millis(1500));
    // Served once now; parked until its deadline is due, which will be at the ceiling.
    start_session(Box::new(Once(Some(Counts(stream, Rc::clone(&served), wake))))).unwrap();
    until("parked", || served.get() == 1);

    let release = Rc::new(Cell::new(false));
    let (taken, error) = fill(&release);
    assert!((MAX / 2..MAX).contains(&taken), "{taken}");
    assert!(matches!(error, Error::TooManyCoroutines { max: MAX }), "{error}");
    let late = Notified::new();
    let notifier = late.notifier();
    engine.machines()[0].spawn("promised", move || notifier.notify()).unwrap();
    let here = engine.machines()[0].clone();
    until("a session and a spawn wait for a stack", || here.stats().starved == 2);
    assert!(!late.is_set() && served.get() == 1);
    release.set(true);
    wait_any(&[], Some(&late), soon).unwrap();
    until("the session was served", || served.get() == 2);
    let again = machine::spawn("again", || 7).unwrap();
    assert_eq!(again.join(soon).unwrap(), 7);
}

/// Parks with its deadline the first time it is served.
struct Once(Option<Counts>);

impl Session for Once {
    fn serve(mut self: Box<Self>) -> Served {
        let counts = self.0.take().unwrap();
        if counts.1.get() == 0 {
            counts.1.set(1);
            return Served::Parked(Box::new(counts));
        }
        Box::new(counts).serve()
    }

    fn wakers(&self) -> Wakers<'_> {
        self.0.as_ref().unwrap().wakers()
    }
}

/// Seen to fail: no ceiling, a panic in place of the error, a local spawn that waits its turn, and
/// a promised one that is dropped.
#[test]
fn beyond_the_ceiling_spawn_is_an_error_and_the_promised_wait() {
    let config = EngineConfig { machines: 2, coroutines_max: MAX, ..EngineConfig::default() };
    let engine: &'static Engine = Box::leak(Box::new(Engine::start(config).unwrap()));
    let (sender, done) = mpsc::channel();
    let run = move || {
        let child = machine::spawn("body", move || body(engine)).unwrap();
        sender.send(child.join(Deadline::NEVER)).unwrap();
    };
    engine.machines()[0].spawn("test", run).unwrap();
    done.recv_timeout(Duration::from_secs(60)).unwrap().unwrap();
}
