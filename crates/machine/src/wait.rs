//! Waiting: one coroutine, several reasons. Every wait of the crate ends up here, and every one
//! ends by its reason, its deadline or the cancellation of its coroutine. A wait that is satisfied
//! already costs no system call and no switch; none allocates.

use std::cell::RefCell;
use std::ops::BitOr;
use std::rc::Rc;
use std::thread;

use crate::Deadline;
use crate::census::Doing;
use crate::coroutine::Task;
use crate::error::Error;
use crate::io::Io;
use crate::io::stream::Stream;
use crate::machine::Machine;
use crate::notified::Notified;

/// Waits that return at once before the coroutine must let others run: a fast pair of sockets is
/// always ready.
const STREAK_MAX: u32 = 64;

/// What somebody wants of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest(u8);

impl Interest {
    /// Nothing; such an entry of [`wait_any`] never wakes.
    pub const NONE: Interest = Interest(0);
    /// Bytes, end of stream or an error may be read.
    pub const READ: Interest = Interest(1);
    /// Bytes may be written.
    pub const WRITE: Interest = Interest(2);
    /// The peer ended its side, or the socket is dead. It stays so.
    pub const HANGUP: Interest = Interest(4);

    /// This if `wanted`, else nothing.
    #[must_use]
    pub fn when(self, wanted: bool) -> Interest {
        if wanted { self } else { Interest::NONE }
    }

    /// Do both want something in common?
    pub(crate) fn meets(self, other: Interest) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Interest {
    type Output = Interest;

    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}

/// Why a wait ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// A stream has what was wanted of it.
    Ready,
    /// The flag is set.
    Notified,
    /// The deadline passed.
    TimedOut,
}

/// Where the one who makes something happen finds the one who waits for it. One task at a time.
pub(crate) struct Waiter(RefCell<Option<Rc<Task>>>);

impl Waiter {
    pub(crate) const fn new() -> Waiter {
        Waiter(RefCell::new(None))
    }

    pub(crate) fn register(&self, task: &Rc<Task>) {
        let mut place = self.0.borrow_mut();
        let is_free =
            place.as_ref().is_none_or(|other| Rc::ptr_eq(other, task) || !other.waiting.get());
        assert!(is_free, "two coroutines wait for one stream, flag or handle");
        *place = Some(Rc::clone(task));
    }

    /// Ends the registration of `task`; another's stays.
    pub(crate) fn clear(&self, task: &Rc<Task>) {
        let mut place = self.0.borrow_mut();
        if place.as_ref().is_some_and(|there| Rc::ptr_eq(there, task)) {
            *place = None;
        }
    }

    pub(crate) fn is_free(&self) -> bool {
        self.0.borrow().is_none()
    }

    pub(crate) fn wake(&self, machine: &Machine) {
        if let Some(task) = self.0.take() {
            machine.wake(&task);
        }
    }
}

/// Something with readiness bits.
pub(crate) trait Waitable {
    fn io(&self) -> &Rc<Io>;
}

/// Waits until one of `wants` is satisfied, the flag of `notified` is set or `deadline` passes.
///
/// When several are true the first of cancelled, notified, ready, timed out is told. The flag stays
/// set until [`Notified::take`].
///
/// # Errors
/// `Cancelled` (also at once while the thread unwinds from a panic), `NotOnMachine`.
///
/// # Panics
/// If another coroutine waits for one of the streams or for the flag.
pub fn wait_any(
    wants: &[(&Stream, Interest)],
    notified: Option<&Notified>,
    deadline: Deadline,
) -> Result<Woken, Error> {
    wait_for(wants, notified, deadline)
}

pub(crate) fn wait_for<W: Waitable>(
    wants: &[(&W, Interest)],
    notified: Option<&Notified>,
    deadline: Deadline,
) -> Result<Woken, Error> {
    let doing = match wants {
        [] if notified.is_none() => Doing::Sleep,
        [] => Doing::Notified,
        [(_, Interest::READ)] => Doing::Read,
        [(_, Interest::WRITE)] => Doing::Write,
        _ => Doing::Several,
    };
    wait_on(doing, wants, notified, deadline)
}

/// As [`wait_any`], for who knows better what it is about.
pub(crate) fn wait_on<W: Waitable>(
    doing: Doing,
    wants: &[(&W, Interest)],
    notified: Option<&Notified>,
    deadline: Deadline,
) -> Result<Woken, Error> {
    let (machine, task) = Machine::running()?;
    loop {
        if task.is_cancelled() || thread::panicking() {
            return Err(Error::Cancelled);
        }
        let flagged = notified.is_some_and(Notified::is_set);
        if flagged || wants.iter().any(|(w, interest)| w.io().has(*interest)) {
            if task.streak.get() >= STREAK_MAX {
                machine.pause(&task);
                continue;
            }
            task.streak.set(task.streak.get() + 1);
            return Ok(if flagged { Woken::Notified } else { Woken::Ready });
        }
        if deadline.instant().is_some_and(|at| at <= machine.now()) {
            return Ok(Woken::TimedOut);
        }
        for (w, _) in wants {
            w.io().enlist(machine)?;
        }
        for (w, interest) in wants {
            w.io().watch_for(*interest, &task);
        }
        if let Some(notified) = notified {
            notified.waiter().register(&task);
        }
        machine.suspend(&task, doing, deadline);
        for (w, _) in wants {
            w.io().watch_for_nothing(&task);
        }
        if let Some(notified) = notified {
            notified.waiter().clear(&task);
        }
    }
}

/// For calls that may succeed for ever without waiting: now and then the others have a turn, and a
/// cancelled coroutine does not get away.
pub(crate) fn breathe() -> Result<(), Error> {
    let (machine, task) = Machine::running()?;
    if task.is_cancelled() || thread::panicking() {
        return Err(Error::Cancelled);
    }
    task.streak.set(task.streak.get() + 1);
    if task.streak.get() >= STREAK_MAX {
        machine.pause(&task);
    }
    Ok(())
}

/// As [`wait_for`] one thing, where a passed deadline is an error.
pub(crate) fn wait_one<W: Waitable>(
    w: &W,
    interest: Interest,
    deadline: Deadline,
) -> Result<(), Error> {
    let doing = if interest == Interest::WRITE { Doing::Write } else { Doing::Read };
    wait_one_as(doing, w, interest, deadline)
}

pub(crate) fn wait_one_as<W: Waitable>(
    doing: Doing,
    w: &W,
    interest: Interest,
    deadline: Deadline,
) -> Result<(), Error> {
    match wait_on(doing, &[(w, interest)], None, deadline)? {
        Woken::TimedOut => Err(Error::TimedOut),
        Woken::Ready | Woken::Notified => Ok(()),
    }
}

/// Waits until `is_done`; who makes it true wakes `waiter`.
pub(crate) fn wait_until(
    doing: Doing,
    waiter: &Waiter,
    deadline: Deadline,
    is_done: impl Fn() -> bool,
) -> Result<(), Error> {
    let (machine, task) = Machine::running()?;
    loop {
        if task.is_cancelled() || thread::panicking() {
            return Err(Error::Cancelled);
        }
        if is_done() {
            return Ok(());
        }
        if deadline.instant().is_some_and(|at| at <= machine.now()) {
            return Err(Error::TimedOut);
        }
        waiter.register(&task);
        machine.suspend(&task, doing, deadline);
        waiter.clear(&task);
    }
}

/// One wait, until somebody wakes the task; the caller looks whether it was for him.
pub(crate) fn wait_once(doing: Doing, deadline: Deadline) -> Result<(), Error> {
    let (machine, task) = Machine::running()?;
    if task.is_cancelled() || thread::panicking() {
        return Err(Error::Cancelled);
    }
    if deadline.instant().is_some_and(|at| at <= machine.now()) {
        return Err(Error::TimedOut);
    }
    machine.suspend(&task, doing, deadline);
    if task.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
}
