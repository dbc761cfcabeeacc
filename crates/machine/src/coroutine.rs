//! Coroutines: a task is what is to be done, a stack is where it is done. A task that runs has a
//! stack; a finished one gives its stack back to the machine for the next; a parked session is a
//! task without one. No coroutine ever changes threads, so what it runs needs no `Send`.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use crate::census::{CoroutineId, Doing};
use crate::error::Error;
use crate::machine::Machine;
use crate::park::{self, Served, Session};
use crate::slab::Key;
use crate::substrate::Coroutine;
use crate::timer::{Timed, TimerSlot};
use crate::wait::{Waiter, wait_until};
use crate::{Deadline, overflow, panics, substrate};

/// How a task is entered into the books.
#[derive(Clone, Copy)]
pub(crate) struct Title {
    pub(crate) name: &'static str,
    pub(crate) is_system: bool,
}

impl Title {
    pub(crate) const fn of(name: &'static str) -> Title {
        Title { name, is_system: false }
    }
}

/// What a task does when it gets a stack.
pub(crate) enum Job {
    /// A coroutine of this machine.
    Local(Box<dyn FnOnce()>),
    /// A coroutine that came by mail, and counts against the mailbox until it runs.
    Mailed(Box<dyn FnOnce() + Send>),
    /// A session with something to say.
    Serve(Box<dyn Session>),
}

/// What every session is called.
pub(crate) const SESSION: &str = "session";

/// The way from a task to what it runs on.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Stack,
    Coroutine,
    /// Where it left its stack.
    Rest,
}

/// Something to be done, from its spawn to its end.
pub(crate) struct Task {
    /// Another one when it goes on as a session.
    name: Cell<&'static str>,
    pub(crate) key: Key,
    /// For services of the engine's user: it is cancelled when only such are left.
    pub(crate) is_system: bool,
    pub(crate) born: Instant,
    /// What it waits for, or waited for last.
    pub(crate) doing: Cell<Doing>,
    /// When that wait began.
    pub(crate) since: Cell<Instant>,
    /// Taken while it runs; present before the first run and while parked, and when a running one
    /// has said as what it goes on.
    job: Cell<Option<Job>>,
    /// Where it runs; `None` while parked or starved.
    pub(crate) stack: RefCell<Option<Rc<Stack>>>,
    /// Somebody may wake it. Cleared by the first who does: it is queued once.
    pub(crate) waiting: Cell<bool>,
    pub(crate) cancelled: Cell<bool>,
    /// It is struck from the books.
    pub(crate) ended: Cell<bool>,
    /// Depth of [`shield`]s.
    shields: Cell<u32>,
    /// Waits in a row that found their reason there already.
    pub(crate) streak: Cell<u32>,
    pub(crate) timer: TimerSlot,
}

impl Timed for Task {
    fn timer(&self) -> &TimerSlot {
        &self.timer
    }
}

impl Task {
    pub(crate) fn new(title: Title, key: Key, job: Job, now: Instant) -> Task {
        Task {
            name: Cell::new(title.name),
            key,
            is_system: title.is_system,
            born: now,
            doing: Cell::new(Doing::Ready),
            since: Cell::new(now),
            job: Cell::new(Some(job)),
            stack: RefCell::new(None),
            waiting: Cell::new(false),
            cancelled: Cell::new(false),
            ended: Cell::new(false),
            shields: Cell::new(0),
            streak: Cell::new(0),
            timer: TimerSlot::new(),
        }
    }

    /// Has the processor fetch what a run of it will touch; what leads there has to be there.
    pub(crate) fn foresee(&self, step: Step) {
        let stack = self.stack.borrow();
        let Some(stack) = stack.as_deref() else { return };
        if let Step::Stack = step {
            return substrate::foresee(stack);
        }
        let coroutine = stack.coroutine.borrow();
        match (coroutine.as_deref(), step) {
            (Some(coroutine), Step::Rest) => coroutine.foresee(),
            (Some(coroutine), _) => substrate::foresee(coroutine),
            (None, _) => {}
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.get() && !self.is_shielded()
    }

    /// Has the machine struck it?
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    pub(crate) fn is_shielded(&self) -> bool {
        self.shields.get() > 0
    }

    /// Gives its session back to wait without a stack. The caller has registered who may wake it.
    pub(crate) fn park(&self, session: Box<dyn Session>, now: Instant) {
        self.since.set(now);
        self.stack.replace(None);
        self.job.set(Some(Job::Serve(session)));
        self.waiting.set(true);
    }

    /// It runs, and goes on as this session.
    pub(crate) fn succeed_by(&self, session: Box<dyn Session>) {
        self.job.set(Some(Job::Serve(session)));
        self.name.set(SESSION);
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name.get()
    }

    /// The session, if this task is parked and nobody has woken it yet.
    pub(crate) fn unpark_for_good(&self) -> Option<Job> {
        if !self.waiting.get() || self.stack.borrow().is_some() {
            return None;
        }
        let job = self.job.take()?;
        self.waiting.set(false);
        Some(job)
    }
}

/// A stack and the loop that runs on it.
pub(crate) struct Stack {
    coroutine: RefCell<Option<Rc<Coroutine>>>,
    assigned: RefCell<Option<Rc<Task>>>,
}

impl Stack {
    /// Maps a stack that waits for its first task.
    pub(crate) fn map(machine: &'static Machine) -> Result<Rc<Stack>, Error> {
        let stack = Rc::new(Stack { coroutine: RefCell::new(None), assigned: RefCell::new(None) });
        let theirs = Rc::clone(&stack);
        let stack_kind = (machine.common.stack_bytes, machine.common.paint_stacks);
        let coroutine = Coroutine::map(stack_kind, move || theirs.live(machine))?;
        stack.coroutine.replace(Some(coroutine));
        Ok(stack)
    }

    fn coroutine(&self) -> Rc<Coroutine> {
        self.coroutine.borrow().clone().expect("a stack is mapped before it is used")
    }

    /// Lets its task run until that waits, parks or ends.
    pub(crate) fn resume(&self) {
        self.coroutine().resume();
    }

    pub(crate) fn used_bytes(&self) -> usize {
        self.coroutine().used_bytes()
    }

    /// Sleeps until the next `resume`. Only what runs on it may call this.
    pub(crate) fn park(&self) {
        self.coroutine().park();
    }

    pub(crate) fn assign(self: &Rc<Stack>, task: &Rc<Task>) {
        let before = self.assigned.replace(Some(Rc::clone(task)));
        debug_assert!(before.is_none(), "an idle stack has no task");
        task.stack.replace(Some(Rc::clone(self)));
    }

    fn live(self: Rc<Stack>, machine: &'static Machine) {
        loop {
            let task = self.next_task();
            machine.set_current(Some(Rc::clone(&task)));
            overflow::enter(task.name(), machine.common.stack_bytes);
            run(machine, task);
            machine.set_current(None);
            if let Some(next) = machine.take_starved() {
                self.assign(&next);
            } else if !machine.keep(&self) {
                break;
            }
        }
        machine.stack_ends();
    }

    fn next_task(&self) -> Rc<Task> {
        loop {
            if let Some(task) = self.assigned.take() {
                return task;
            }
            self.park();
        }
    }
}

/// Runs a task until it ends or parks. A panic ends it, and nothing else.
fn run(machine: &'static Machine, task: Rc<Task>) {
    task.streak.set(0);
    let job = task.job.take().expect("a task that gets a stack has a job");
    let outcome = catch_unwind(AssertUnwindSafe(|| match job {
        Job::Local(body) => {
            body();
            go_on(machine, &task)
        }
        Job::Mailed(body) => {
            machine.shared.spawn_started();
            body();
            go_on(machine, &task)
        }
        Job::Serve(session) => {
            machine.shared.counters.parked.sub(1);
            park::serve(machine, &task, session)
        }
    }));
    match outcome {
        Ok(Served::Parked(session)) => park::park(machine, &task, session),
        Ok(Served::Ended) => machine.strike(&task),
        Err(_) => {
            machine.strike(&task);
            panics::report(machine, task.name());
        }
    }
}

/// As the session that the body has left, if any.
fn go_on(machine: &'static Machine, task: &Rc<Task>) -> Served {
    match task.job.take() {
        Some(Job::Serve(session)) => park::serve(machine, task, session),
        _ => Served::Ended,
    }
}

struct Outcome<T> {
    value: Cell<Option<Result<T, Error>>>,
    is_there: Cell<bool>,
    waiter: Waiter,
}

impl<T> Outcome<T> {
    fn set(&self, machine: &Machine, value: Result<T, Error>) {
        self.value.set(Some(value));
        self.is_there.set(true);
        self.waiter.wake(machine);
    }
}

/// Starts a coroutine on this machine; it runs when the caller next waits. `name` appears in panics
/// and overflows.
///
/// # Errors
/// `TooManyCoroutines` at the ceiling, `Io` when no stack could be mapped, `Closed` during
/// shutdown, `NotOnMachine` on any other thread. Nothing was started then.
pub fn spawn<T: 'static>(
    name: &'static str,
    body: impl FnOnce() -> T + 'static,
) -> Result<JoinHandle<T>, Error> {
    start(Title::of(name), body)
}

/// A coroutine that is more than a name and a body.
///
/// ```
/// # use machine::{Builder, Engine, EngineConfig};
/// # use std::time::Duration;
/// # let engine = Engine::start(EngineConfig::default())?;
/// # let (sender, done) = std::sync::mpsc::channel();
/// # engine.machines()[0].spawn("main", move || {
/// // It keeps the books to the last: at shutdown it is cancelled when all others have ended.
/// let clerk = Builder::new("clerk").system().spawn(|| machine::sleep(Duration::MAX));
/// # clerk.unwrap().cancel();
/// # sender.send(()).unwrap();
/// # })?;
/// # done.recv().unwrap();
/// # Ok::<(), machine::Error>(())
/// ```
#[derive(Clone, Copy)]
#[must_use]
pub struct Builder(Title);

impl Builder {
    /// An ordinary coroutine so far.
    pub fn new(name: &'static str) -> Builder {
        Builder(Title::of(name))
    }

    /// A system coroutine serves the others: [`crate::Engine::shutdown`] cancels it when only
    /// system coroutines are left on its machine. `MachineStats::system` counts them.
    pub fn system(self) -> Builder {
        Builder(Title { is_system: true, ..self.0 })
    }

    /// Starts it; see [`spawn`].
    ///
    /// # Errors
    /// As [`spawn`].
    pub fn spawn<T: 'static>(
        self,
        body: impl FnOnce() -> T + 'static,
    ) -> Result<JoinHandle<T>, Error> {
        start(self.0, body)
    }
}

fn start<T: 'static>(
    title: Title,
    body: impl FnOnce() -> T + 'static,
) -> Result<JoinHandle<T>, Error> {
    launch(title, |job| job, body)
}

/// Starts `body` as a coroutine; `finish` makes of its job what the machine can have.
pub(crate) fn launch<'body, T: 'body>(
    title: Title,
    finish: impl FnOnce(Box<dyn FnOnce() + 'body>) -> Box<dyn FnOnce()>,
    body: impl FnOnce() -> T + 'body,
) -> Result<JoinHandle<T>, Error> {
    let machine = Machine::here().ok_or(Error::NotOnMachine)?;
    if machine.shared.is_closing() {
        return Err(Error::Closed);
    }
    let outcome = Rc::new(Outcome {
        value: Cell::new(None),
        is_there: Cell::new(false),
        waiter: Waiter::new(),
    });
    let theirs = Rc::clone(&outcome);
    let job = Job::Local(finish(Box::new(move || {
        let value = panics::caught(title.name, body);
        theirs.set(machine, value);
    })));
    let task = machine.enrol(title, job);
    if let Err((task, error)) = machine.begin(Rc::clone(&task)) {
        machine.strike(&task);
        return Err(error);
    }
    let id = CoroutineId::new(machine.shared.index, task.key);
    Ok(JoinHandle { outcome, task, id })
}

/// A coroutine of this machine, to be joined or cancelled. Dropping it lets the coroutine go on
/// alone. It stays on its machine:
///
/// ```compile_fail
/// fn send<T: Send>() {}
/// send::<machine::JoinHandle<u8>>();
/// ```
pub struct JoinHandle<T> {
    outcome: Rc<Outcome<T>>,
    task: Rc<Task>,
    id: CoroutineId,
}

impl<T> JoinHandle<T> {
    /// Waits for its end and takes what it returned.
    ///
    /// # Errors
    /// `Panicked` if it did; `TimedOut` and `Cancelled` are the caller's own, and let the coroutine
    /// go on.
    pub fn join(self, deadline: Deadline) -> Result<T, Error> {
        let outcome = &self.outcome;
        wait_until(Doing::Join, &outcome.waiter, deadline, || outcome.is_there.get())?;
        outcome.value.take().expect("only join takes the value, and it takes the handle too")
    }

    /// Every wait of that coroutine, the present one included, fails with `Cancelled` from now on.
    /// It is not stopped by force: it ends when it returns.
    pub fn cancel(&self) {
        if let Some(machine) = Machine::here().filter(|_| !self.is_finished()) {
            machine.cancel(&self.task);
        }
    }

    pub(crate) fn task(&self) -> &Rc<Task> {
        &self.task
    }

    /// Which one it is.
    #[must_use]
    pub fn id(&self) -> CoroutineId {
        self.id
    }

    /// Has it ended?
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.outcome.is_there.get()
    }
}

/// The index of the machine this thread is.
#[must_use]
pub fn current() -> Option<usize> {
    Machine::here().map(|machine| machine.shared.index)
}

/// The coroutine that runs this.
#[must_use]
pub fn current_id() -> Option<CoroutineId> {
    Machine::running().ok().map(|(here, task)| CoroutineId::new(here.shared.index, task.key))
}

/// The name of the coroutine that runs this.
#[must_use]
pub fn current_name() -> Option<&'static str> {
    Machine::running().ok().map(|(_, task)| task.name())
}

/// Waits for `duration`.
///
/// # Errors
/// `Cancelled`, `NotOnMachine`.
pub fn sleep(duration: Duration) -> Result<(), Error> {
    match wait_until(Doing::Sleep, &Waiter::new(), Deadline::after(duration), || false) {
        Err(Error::TimedOut) => Ok(()),
        other => other,
    }
}

/// Lets the sockets and the other coroutines have a turn. Without effect outside a coroutine and
/// while the thread unwinds from a panic.
pub fn yield_now() {
    if let Ok((machine, task)) = Machine::running()
        && !thread::panicking()
    {
        machine.pause(&task);
    }
}

/// Goes on when the coroutines that are ready have run, and those that a few further polls find
/// ready: after eight polls at the latest, some 0.1 ms under full load, and at once where nobody
/// else has anything to do. For one that has just given something away and has only a farewell left
/// to say: who got it can use it now, and many farewells at once wake their readers once. Without
/// effect where [`yield_now`] has none.
pub fn step_aside() {
    if let Ok((machine, task)) = Machine::running()
        && !thread::panicking()
    {
        machine.step_aside(&task);
    }
}

/// The time of this turn of the loop: when its first asker asked. It stands still until the next
/// poll; who measures something that takes no wait asks `Instant::now`.
#[must_use]
pub fn now() -> Instant {
    Machine::here().map_or_else(Instant::now, Machine::now)
}

/// Would a wait fail with `Cancelled`? False under a [`shield`] and outside coroutines.
#[must_use]
pub fn is_cancelled() -> bool {
    Machine::running().is_ok_and(|(_, task)| task.is_cancelled())
}

/// Runs `body` with cancellation put off: its waits do not fail with `Cancelled`, those after it
/// do. For the few words that must still be said.
pub fn shield<R>(body: impl FnOnce() -> R) -> R {
    struct Shield(Rc<Task>);
    impl Drop for Shield {
        fn drop(&mut self) {
            self.0.shields.set(self.0.shields.get() - 1);
        }
    }
    let _shield = Machine::running().ok().map(|(_, task)| {
        task.shields.set(task.shields.get() + 1);
        Shield(task)
    });
    body()
}
