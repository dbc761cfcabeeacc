//! Parked sessions: clients that are not saying anything. A parked session is a value in its task:
//! no stack, no buffer. When its stream is readable or hung up, its flag is set or its deadline
//! passes, a pooled stack serves it until it parks again or ends. What a session is about is not
//! known here.

use std::rc::Rc;
use std::time::Instant;

use crate::coroutine::{Job, SESSION, Task, Title};
use crate::error::Error;
use crate::io::stream::Stream;
use crate::machine::Machine;
use crate::notified::Notified;
use crate::wait::{Interest, Waitable};
use crate::{Deadline, machine};

/// One client's life, served in turns. At shutdown a parked session is dropped where nothing can
/// wait: whoever wants last words sets its flag first.
pub trait Session: 'static {
    /// Something woke it, or it is new: talk until there is nothing to say. Runs in a coroutine and
    /// may wait.
    fn serve(self: Box<Self>) -> Served;
    /// What to wake it for. Asked once after each `serve`.
    fn wakers(&self) -> Wakers<'_>;
}

/// What ends a session's sleep.
pub struct Wakers<'a> {
    /// Wakes when it is readable or hung up.
    pub stream: &'a Stream,
    /// Likewise: the other end, for a session that keeps one.
    pub other: Option<&'a Stream>,
    /// Wakes when its flag is set.
    pub notified: Option<&'a Notified>,
    /// Wakes when it passes.
    pub deadline: Deadline,
}

/// How a turn of a session ended.
pub enum Served {
    /// Keep it until a waker fires.
    Parked(Box<dyn Session>),
    /// It is over, and has been dropped.
    Ended,
}

/// Starts a session of this machine on a coroutine of its own; it need not park ever.
///
/// # Errors
/// As [`crate::spawn`]; the session is dropped then.
pub fn start_session(session: Box<dyn Session>) -> Result<(), Error> {
    let machine = machine::Machine::here().ok_or(Error::NotOnMachine)?;
    if machine.shared.is_closing() {
        return Err(Error::Closed);
    }
    machine.shared.counters.parked.add(1); // until it runs
    let task = machine.enrol(Title::of(SESSION), Job::Serve(session));
    machine.begin(task).map_err(|(task, error)| {
        machine.shared.counters.parked.sub(1);
        machine.strike(&task);
        error
    })
}

/// The running coroutine goes on as this session when its body has returned: a client whose login
/// is over. It is called `session` from now on, as all of them. Who joins the coroutine joins what
/// its body returned.
///
/// # Errors
/// `Closed` during shutdown, `NotOnMachine`; the session is dropped then.
pub fn become_session(session: Box<dyn Session>) -> Result<(), Error> {
    let (machine, task) = machine::Machine::running()?;
    if machine.shared.is_closing() {
        return Err(Error::Closed);
    }
    task.succeed_by(session);
    Ok(())
}

impl Wakers<'_> {
    fn streams(&self) -> impl Iterator<Item = &Stream> {
        std::iter::once(self.stream).chain(self.other)
    }

    fn are_satisfied(&self, now: impl FnOnce() -> Instant) -> bool {
        self.streams().any(|stream| stream.io().has(Interest::READ | Interest::HANGUP))
            || self.notified.is_some_and(Notified::is_set)
            || self.deadline.instant().is_some_and(|at| at <= now())
    }
}

/// A turn of a session, and further ones for as long as a waker is satisfied already: the others
/// run between.
pub(crate) fn serve(machine: &Machine, task: &Rc<Task>, mut session: Box<dyn Session>) -> Served {
    task.timer.deadline.set(None);
    let wakers = session.wakers();
    wakers.streams().for_each(|stream| stream.io().watch_for_nothing(task));
    if let Some(notified) = wakers.notified {
        notified.waiter().clear(task);
    }
    loop {
        session = match session.serve() {
            Served::Parked(session) => session,
            Served::Ended => return Served::Ended,
        };
        if task.cancelled.get() {
            return Served::Ended;
        }
        let wakers = session.wakers();
        if !wakers.are_satisfied(|| machine.now()) {
            if wakers.streams().any(|stream| stream.io().enlist(machine).is_err()) {
                return Served::Ended; // the system has no room for one more
            }
            for stream in wakers.streams() {
                stream.io().watch_for(Interest::READ | Interest::HANGUP, task);
            }
            if let Some(notified) = wakers.notified {
                notified.waiter().register(task);
            }
            if let Some(at) = wakers.deadline.instant() {
                machine.timers.borrow_mut().set(task, at);
            }
            return Served::Parked(session);
        }
        machine.pause(task);
    }
}

/// The stack is left; the session stays.
pub(crate) fn park(machine: &Machine, task: &Rc<Task>, session: Box<dyn Session>) {
    machine.shared.counters.parked.add(1);
    task.park(session, machine.now());
}
