//! Who is on a machine: asked from a coroutine, from another machine and from a plain thread.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use machine::sync::Semaphore;
use machine::{
    Builder, Census, Deadline, Doing, Error, Interest, Notified, Resident, Served, Session, Stream,
    Wakers, start_session, wait_any,
};

use common::{engine, listen, on, pair, soon, start_on, until_outside};

const HOUR: Duration = Duration::from_secs(3600);

struct Quiet(Stream, #[expect(dead_code, reason = "held")] Stream);

impl Session for Quiet {
    fn serve(self: Box<Self>) -> Served {
        Served::Parked(self)
    }

    fn wakers(&self) -> Wakers<'_> {
        Wakers { stream: &self.0, other: None, notified: None, deadline: Deadline::after(HOUR) }
    }
}

fn find<'a>(census: &'a Census, name: &str) -> &'a Resident {
    let found = census.residents.iter().find(|resident| resident.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {census:?}"))
}

/// One of each, named after what it will be seen doing.
fn populate() -> Vec<machine::JoinHandle<Result<(), Error>>> {
    let (mute, peer) = pair();
    let (left, right) = pair();
    let (quiet, taken) = (listen(), Semaphore::new(0));
    let sleeper = machine::spawn("sleep", || machine::sleep(HOUR)).unwrap();
    let (a, b) = pair();
    start_session(Box::new(Quiet(a, b))).unwrap();
    let read = move || {
        let _peer = peer;
        mute.read(&mut [0; 8], soon()).map(drop)
    };
    let several = move || {
        let wants = [(&left, Interest::READ), (&right, Interest::READ)];
        wait_any(&wants, None, Deadline::NEVER).map(drop)
    };
    let notified = || wait_any(&[], Some(&Notified::new()), Deadline::NEVER).map(drop);
    vec![
        machine::spawn("read", read).unwrap(),
        machine::spawn("several", several).unwrap(),
        machine::spawn("notified", notified).unwrap(),
        machine::spawn("accept", move || quiet.accept(Deadline::NEVER).map(drop)).unwrap(),
        machine::spawn("semaphore", move || taken.acquire(Deadline::NEVER).map(drop)).unwrap(),
        machine::spawn("join", move || sleeper.join(Deadline::NEVER)?).unwrap(),
        Builder::new("system").system().spawn(|| machine::sleep(HOUR)).unwrap(),
    ]
}

#[test]
fn everybody_is_told_with_what_it_waits_for() {
    on(0, || {
        let population = Rc::new(populate());
        machine::sleep(Duration::from_millis(5)).unwrap();
        let here = &engine().machines()[0];
        let census = here.census(1000, soon()).unwrap();
        for doing in
            ["sleep", "read", "several", "notified", "accept", "semaphore", "join", "running"]
        {
            let name = if doing == "running" { "test" } else { doing };
            assert_eq!(find(&census, name).doing.to_string(), doing);
        }
        let session = find(&census, "session");
        assert_eq!(session.doing, Doing::Parked);
        assert!(session.deadline_in.is_some_and(|left| left > HOUR / 2 && left <= HOUR));
        assert!(find(&census, "read").deadline_in.is_some());
        assert!(find(&census, "accept").deadline_in.is_none());
        let sleeper = find(&census, "sleep");
        assert!(sleeper.age >= Duration::from_millis(5) && sleeper.age >= sleeper.doing_for);
        assert!(find(&census, "system").is_system && !sleeper.is_system);
        assert_eq!(here.stats().system, 1);
        let me = machine::current_id().unwrap();
        assert_eq!((find(&census, "test").id, me.machine()), (me, 0));
        assert_eq!(find(&census, "join").id, population[5].id());
        assert_eq!(census.total, census.residents.len());
        let few = here.census(2, soon()).unwrap();
        assert_eq!((few.residents.len(), few.total), (2, census.total), "bounded");
        population[0].cancel();
        assert!(find(&here.census(99, soon()).unwrap(), "read").is_cancelled);
        assert_eq!(find(&here.census(99, soon()).unwrap(), "read").doing, Doing::Ready);
        population.iter().for_each(machine::JoinHandle::cancel);
    });
}

/// Seen to fail: no deadline on the side of who asks, be it a thread or a coroutine.
#[test]
fn a_machine_that_does_not_turn_is_told_as_that() {
    let (sender, blocked) = mpsc::channel();
    let (release, held) = mpsc::channel::<()>();
    let blocking = start_on(1, move || {
        sender.send(()).unwrap();
        held.recv().unwrap(); // what nobody should do
    });
    blocked.recv().unwrap();
    let short = || Deadline::after(Duration::from_millis(30));
    let other = &engine().machines()[1];
    assert!(matches!(other.census(10, short()), Err(Error::TimedOut)), "asked by a thread");
    let asked = on(0, move || engine().machines()[1].census(10, short()));
    assert!(matches!(asked, Err(Error::TimedOut)), "asked by a coroutine");
    until_outside("the other machine answers in that time", || {
        let both = engine().census(10, short());
        assert!(matches!(both[..], [_, Err(Error::TimedOut)]), "{both:?}");
        both[0].is_ok()
    });
    release.send(()).unwrap();
    blocking();
    until_outside("it answers again", || other.census(10, soon()).is_ok());
    let census = on(0, || engine().machines()[1].census(10, soon())).unwrap();
    assert!(census.residents.iter().all(|resident| resident.id.machine() == 1));
}
