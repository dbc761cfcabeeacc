//! Who is on a machine: every coroutine and parked session with its name, its age and what it waits
//! for. Plain values for a console or a debugger. A coroutine notes what it waits for with one
//! store when it suspends; nothing is written for the census before somebody asks.

use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use crate::coroutine::Task;
use crate::error::Error;
use crate::machine::Machine;
use crate::mailbox::Shared;
use crate::notified::Notified;
use crate::slab::Key;
use crate::{Deadline, Engine, MachineHandle};

/// The name of one coroutine or session for as long as the process lives (2^31 later ones in the
/// same place excepted).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CoroutineId {
    machine: u32,
    key: u64,
}

impl CoroutineId {
    pub(crate) fn new(machine: usize, key: Key) -> CoroutineId {
        CoroutineId { machine: u32::try_from(machine).unwrap_or(u32::MAX), key: key.to_bits() }
    }

    /// The index of its machine.
    #[must_use]
    pub fn machine(self) -> usize {
        self.machine as usize
    }
}

/// Machine, place and generation: `0.17.3`.
impl fmt::Display for CoroutineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.machine, self.key as u32, self.key >> 32)
    }
}

/// What a coroutine or a session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Doing {
    /// It runs: it is the one that asks.
    Running,
    /// It has a reason to run and waits for its turn.
    Ready,
    /// It is due, and every stack is in use.
    Starved,
    /// A session that waits without a stack.
    Parked,
    /// [`crate::sleep`], or a wait for nothing but its deadline.
    Sleep,
    /// A stream to be readable.
    Read,
    /// A stream to be writable.
    Write,
    /// A connection attempt.
    Connect,
    /// A connection at a listener.
    Accept,
    /// One of several things of one stream or of several.
    Several,
    /// A [`Notified`] flag and nothing else.
    Notified,
    /// The end of another coroutine.
    Join,
    /// The end of all coroutines of a scope.
    Scope,
    /// Work on an offload thread, name lookups included.
    Offload,
    /// A signal.
    Signal,
    /// A [`crate::sync::Mutex`].
    Mutex,
    /// A [`crate::sync::Semaphore`].
    Semaphore,
    /// A [`crate::sync::WaitGroup`].
    WaitGroup,
    /// A [`crate::sync::Flag`].
    Flag,
    /// A [`crate::sync::Event`].
    Event,
    /// Room in a channel.
    Send,
    /// Something in a channel.
    Receive,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Doing::Running => "running",
            Doing::Ready => "ready",
            Doing::Starved => "starved",
            Doing::Parked => "parked",
            Doing::Sleep => "sleep",
            Doing::Read => "read",
            Doing::Write => "write",
            Doing::Connect => "connect",
            Doing::Accept => "accept",
            Doing::Several => "several",
            Doing::Notified => "notified",
            Doing::Join => "join",
            Doing::Scope => "scope",
            Doing::Offload => "offload",
            Doing::Signal => "signal",
            Doing::Mutex => "mutex",
            Doing::Semaphore => "semaphore",
            Doing::WaitGroup => "wait group",
            Doing::Flag => "flag",
            Doing::Event => "event",
            Doing::Send => "send",
            Doing::Receive => "receive",
        })
    }
}

/// One line of a census.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resident {
    /// Which one; it names the machine, too.
    pub id: CoroutineId,
    /// The name it was started with.
    pub name: &'static str,
    /// Since its start.
    pub age: Duration,
    /// What it is doing.
    pub doing: Doing,
    /// For so long; for who is ready, since its last wait began.
    pub doing_for: Duration,
    /// Until its deadline, if it waits with one; zero when it has passed.
    pub deadline_in: Option<Duration>,
    /// Cancelled, and not ended yet.
    pub is_cancelled: bool,
    /// A [system coroutine](crate::Builder::system).
    pub is_system: bool,
}

/// The coroutines and sessions of one machine at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// In no order, at most as many as were asked for.
    pub residents: Vec<Resident>,
    /// How many there were.
    pub total: usize,
}

impl MachineHandle {
    /// Its coroutines and parked sessions, `max` of them at most. From a coroutine it waits as a
    /// coroutine does, from a plain thread it blocks. A machine that is busy answers at its next
    /// turn, the caller's own at once. It takes some 50 ns a resident.
    ///
    /// ```
    /// # use machine::{Deadline, Doing, Engine, EngineConfig};
    /// # use std::time::Duration;
    /// let engine = Engine::start(EngineConfig::default())?;
    /// let hour = Duration::from_secs(3600);
    /// engine.machines()[0].spawn("sleeper", move || machine::sleep(hour).unwrap_or(()))?;
    /// let soon = Deadline::after(Duration::from_secs(5));
    /// let census = engine.machines()[0].census(100, soon)?;
    /// assert_eq!(census.residents[0].name, "sleeper");
    /// # Ok::<(), machine::Error>(())
    /// ```
    ///
    /// # Errors
    /// `TimedOut`: something there blocks the thread, or computes; `Cancelled`; `QueueFull` when
    /// too many have asked already; `Closed` when the machine drops the question in its shutdown.
    pub fn census(&self, max: usize, deadline: Deadline) -> Result<Census, Error> {
        match Machine::running() {
            Ok((here, _)) if here.shared.index == self.index() => Ok(take(here, max)),
            Ok(_) => ask_and_wait(self.shared(), max, deadline),
            Err(_) => ask_and_block(self.shared(), max, deadline),
        }
    }
}

impl Engine {
    /// The census of every machine, in order, of `max` each at most; a machine that does not answer
    /// in time has its error instead.
    pub fn census(&self, max: usize, deadline: Deadline) -> Vec<Result<Census, Error>> {
        self.machines().iter().map(|machine| machine.census(max, deadline)).collect()
    }
}

fn ask_and_wait(there: &Shared, max: usize, deadline: Deadline) -> Result<Census, Error> {
    let notified = Notified::new();
    let notifier = notified.notifier();
    let place = Arc::new(Mutex::new(None));
    let theirs = Arc::clone(&place);
    there.inspect(Box::new(move |machine| {
        *theirs.lock().unwrap_or_else(PoisonError::into_inner) = Some(take(machine, max));
        notifier.notify();
    }))?;
    notified.wait(deadline)?;
    let taken = place.lock().unwrap_or_else(PoisonError::into_inner).take();
    taken.ok_or(Error::Closed)
}

fn ask_and_block(there: &Shared, max: usize, deadline: Deadline) -> Result<Census, Error> {
    let (sender, answer) = mpsc::sync_channel(1);
    there.inspect(Box::new(move |machine| {
        let _ = sender.send(take(machine, max)); // who asked may have given up
    }))?;
    match deadline.remaining(Instant::now()) {
        None => answer.recv().map_err(|_| Error::Closed),
        Some(left) => answer.recv_timeout(left).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => Error::TimedOut,
            mpsc::RecvTimeoutError::Disconnected => Error::Closed,
        }),
    }
}

fn take(machine: &Machine, max: usize) -> Census {
    let now = Instant::now();
    machine.with_tasks(|tasks| Census {
        residents: tasks.iter().take(max).map(|task| resident(machine, task, now)).collect(),
        total: tasks.len(),
    })
}

fn resident(machine: &Machine, task: &Rc<Task>, now: Instant) -> Resident {
    let (is_waiting, has_stack) = (task.waiting.get(), task.stack.borrow().is_some());
    let doing = match (is_waiting, has_stack) {
        _ if machine.is_current(task) => Doing::Running,
        (true, true) => task.doing.get(),
        (true, false) => Doing::Parked,
        (false, true) => Doing::Ready,
        (false, false) => Doing::Starved,
    };
    let deadline = task.timer.deadline.get().filter(|_| is_waiting);
    Resident {
        id: CoroutineId::new(machine.shared.index, task.key),
        name: task.name(),
        age: now.saturating_duration_since(task.born),
        doing,
        doing_for: now.saturating_duration_since(task.since.get()),
        deadline_in: deadline.map(|at| at.saturating_duration_since(now)),
        is_cancelled: task.cancelled.get(),
        is_system: task.is_system,
    }
}
