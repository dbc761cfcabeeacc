//! A machine: everything that belongs to one thread. It holds the sockets, the tasks, the timers
//! and the stacks of that thread, and moves tasks from waiting to ready. It does not poll (that is
//! `reactor`) and does not know what a task does (that is `coroutine` and `park`).
//!
//! Nothing here keeps a borrow or a `&mut` across a switch of stacks: fields are cells, borrowed
//! for a line.

use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use crate::census::Doing;
use crate::coroutine::{Job, Stack, Step, Task, Title};
use crate::engine::Common;
use crate::error::Error;
use crate::io::Io;
use crate::mailbox::Shared;
use crate::notified::Entry;
use crate::slab::{Key, Slab};
use crate::timer::Timers;
use crate::{Deadline, overflow, panics, substrate};

/// What may be burned in a turn before the next has to wait for another turn or go elsewhere: one
/// signature with RSA, a few with elliptic curves.
const BURN_MAX: Duration = Duration::from_micros(400);

thread_local! {
    static HERE: Cell<Option<&'static Machine>> = const { Cell::new(None) };
}

/// One thread's part of the engine. It lives as long as the process, as may's worker threads do.
pub(crate) struct Machine {
    pub(crate) shared: Arc<Shared>,
    pub(crate) common: Arc<Common>,
    thread: ThreadId,
    ios: RefCell<Slab<Rc<Io>>>,
    notifieds: RefCell<Slab<Rc<Entry>>>,
    /// Every task that has not ended, for shutdown.
    tasks: RefCell<Slab<Rc<Task>>>,
    pub(crate) timers: RefCell<Timers<Task>>,
    /// Woken, in order; the reactor lets a bounded number of them run a turn.
    ready: RefCell<VecDeque<Rc<Task>>>,
    /// Somebody let the sockets have a turn, and was promised one.
    paused: Cell<bool>,
    /// Those who let everybody else go first, in order; they run at the end of the turn.
    late: RefCell<VecDeque<Rc<Task>>>,
    /// Stacks with nothing to do, the warmest last.
    idle: RefCell<Vec<Rc<Stack>>>,
    /// Due, and no stack to be had.
    starved: RefCell<VecDeque<Rc<Task>>>,
    /// The task that runs now; `None` on the reactor's own stack.
    current: RefCell<Option<Rc<Task>>>,
    /// The time of this turn, if anybody has asked.
    now: Cell<Option<Instant>>,
    /// One value of a type, for who asks.
    pub(crate) private: RefCell<HashMap<TypeId, Rc<dyn Any>>>,
    /// For how long somebody burned the processor in this turn, of those who say so.
    burned: Cell<Duration>,
    /// Those who wait for a turn that has time left to burn, in order.
    burners: RefCell<VecDeque<Rc<Task>>>,
    /// Who waits for the last task to end.
    closing: RefCell<Option<Sender<usize>>>,
    /// Only system coroutines were left, and they are cancelled.
    system_told: Cell<bool>,
}

impl Machine {
    /// The machine of this thread, made now.
    pub(crate) fn settle(shared: Arc<Shared>, common: Arc<Common>) -> &'static Machine {
        let machine = Box::leak(Box::new(Machine {
            shared,
            common,
            thread: thread::current().id(),
            ios: RefCell::new(Slab::new()),
            notifieds: RefCell::new(Slab::new()),
            tasks: RefCell::new(Slab::new()),
            timers: RefCell::new(Timers::new()),
            ready: RefCell::new(VecDeque::new()),
            paused: Cell::new(false),
            late: RefCell::new(VecDeque::new()),
            idle: RefCell::new(Vec::new()),
            starved: RefCell::new(VecDeque::new()),
            current: RefCell::new(None),
            now: Cell::new(None),
            private: RefCell::new(HashMap::new()),
            burned: Cell::new(Duration::ZERO),
            burners: RefCell::new(VecDeque::new()),
            closing: RefCell::new(None),
            system_told: Cell::new(false),
        }));
        HERE.set(Some(machine));
        machine
    }

    /// The machine of this thread, if it has one.
    pub(crate) fn here() -> Option<&'static Machine> {
        HERE.get()
    }

    /// The machine and the task that runs on it.
    pub(crate) fn running() -> Result<(&'static Machine, Rc<Task>), Error> {
        let machine = HERE.get().ok_or(Error::NotOnMachine)?;
        let task = machine.current.borrow().clone().ok_or(Error::NotOnMachine)?;
        Ok((machine, task))
    }

    // ---- time ----------------------------------------------------------------------------------

    /// The time of this turn: the clock is read once, however many ask. It stands still meanwhile,
    /// for deadlines too, or one could be past for a wait and to come for who looks why.
    pub(crate) fn now(&self) -> Instant {
        self.now.get().unwrap_or_else(|| {
            let now = Instant::now();
            self.now.set(Some(now));
            now
        })
    }

    /// What the clock says is asked again.
    pub(crate) fn time_goes_on(&self) {
        self.now.set(None);
    }

    /// Nothing was burned in this turn yet.
    pub(crate) fn cool_down(&self) {
        self.burned.set(Duration::ZERO);
    }

    /// May the running task burn up to a millisecond? Not when others have burned in this turn
    /// what one might, so nobody waits for two; nor when some are in line for it.
    pub(crate) fn may_burn(&self) -> bool {
        self.burned.get() < BURN_MAX && !self.has_burners()
    }

    pub(crate) fn has_burners(&self) -> bool {
        self.burners() > 0
    }

    /// How many are in line.
    pub(crate) fn burners(&self) -> usize {
        self.burners.borrow().len()
    }

    /// The running task waits in line and then may burn.
    pub(crate) fn queue_to_burn(&self, task: &Rc<Task>) {
        self.burners.borrow_mut().push_back(Rc::clone(task));
        self.switch(task);
    }

    /// Lets those in line go on, as far as this turn has time.
    pub(crate) fn run_burners(&'static self) {
        while self.burned.get() < BURN_MAX {
            let Some(task) = self.burners.borrow_mut().pop_front() else { break };
            self.run(task);
        }
    }

    /// Something that may burn; how long it did is remembered for this turn.
    pub(crate) fn burn<R>(&self, body: impl FnOnce() -> R) -> R {
        let began = Instant::now();
        let made = body();
        self.burned.set(self.burned.get() + began.elapsed());
        made
    }

    // ---- tasks ---------------------------------------------------------------------------------

    /// Enters a new task into the books.
    pub(crate) fn enrol(&self, title: Title, job: Job) -> Rc<Task> {
        let (mut made, now) = (None, self.now());
        self.tasks.borrow_mut().insert_with(|key| {
            let task = Rc::new(Task::new(title, key, job, now));
            made = Some(Rc::clone(&task));
            task
        });
        self.shared.counters.spawned.add(1);
        self.shared.counters.tasks.add(1);
        if title.is_system {
            self.shared.counters.system.add(1);
        }
        made.expect("insert_with calls its closure once")
    }

    /// Strikes a task that has ended.
    pub(crate) fn strike(&self, task: &Rc<Task>) {
        self.timers.borrow_mut().remove(task);
        task.stack.replace(None);
        task.ended.set(true);
        self.tasks.borrow_mut().remove(task.key);
        self.shared.counters.tasks.sub(1);
        if task.is_system {
            self.shared.counters.system.sub(1);
        }
        self.report_if_empty();
    }

    /// Lets `task` run soon on a stack of its own; the task comes back when there is none.
    pub(crate) fn begin(&'static self, task: Rc<Task>) -> Result<(), (Rc<Task>, Error)> {
        match self.obtain_stack() {
            Ok(stack) => {
                stack.assign(&task);
                self.ready.borrow_mut().push_back(task);
                Ok(())
            }
            Err(error) => Err((task, error)),
        }
    }

    /// As [`begin`](Machine::begin), but without a free stack the task waits for one.
    pub(crate) fn begin_sometime(&'static self, task: Rc<Task>) {
        if let Err((task, _)) = self.begin(task) {
            self.starve(task);
        }
    }

    /// A coroutine that somebody sent, and that counts as a spawn in flight until it runs.
    pub(crate) fn begin_mailed(&'static self, name: &'static str, body: Box<dyn FnOnce() + Send>) {
        let task = self.enrol(Title::of(name), Job::Mailed(body));
        self.begin_sometime(task);
    }

    fn starve(&self, task: Rc<Task>) {
        self.starved.borrow_mut().push_back(task);
        self.shared.counters.starved.add(1);
    }

    /// The task that waited longest for a stack.
    pub(crate) fn take_starved(&self) -> Option<Rc<Task>> {
        let task = self.starved.borrow_mut().pop_front()?;
        self.shared.counters.starved.sub(1);
        Some(task)
    }

    pub(crate) fn has_starved(&self) -> bool {
        !self.starved.borrow().is_empty()
    }

    /// Tries again to find stacks: one may have ended on another machine.
    pub(crate) fn feed_starved(&'static self) {
        while let Some(task) = self.take_starved() {
            if let Err((task, _)) = self.begin(task) {
                self.starved.borrow_mut().push_front(task);
                self.shared.counters.starved.add(1);
                return;
            }
        }
    }

    /// `task` has a reason to run. Without effect unless it waits: two reasons wake it once.
    pub(crate) fn wake(&self, task: &Rc<Task>) {
        if task.waiting.replace(false) {
            self.ready.borrow_mut().push_back(Rc::clone(task));
            self.shared.counters.wakeups.add(1);
        }
    }

    /// Lets the tasks run that are ready now, at most `max`; how many. Whom they wake runs another
    /// time.
    pub(crate) fn run_ready(&'static self, max: usize) -> usize {
        let due = self.ready.borrow().len().min(max);
        for _ in 0..due {
            let next = self.ready.borrow_mut().pop_front();
            self.foresee();
            self.run(next.expect("only this takes from the queue"));
        }
        due
    }

    /// Did somebody pause since this was asked last?
    pub(crate) fn take_paused(&self) -> bool {
        self.paused.take()
    }

    /// With many coroutines nothing of the next one is in a cache. It is fetched while those before
    /// it run, in steps, because each thing is found by the one before: task, stack, coroutine, and
    /// where that rests.
    fn foresee(&self) {
        let ready = self.ready.borrow();
        if let Some(task) = ready.get(3) {
            substrate::foresee(&**task);
        }
        for (place, step) in [(2, Step::Stack), (1, Step::Coroutine), (0, Step::Rest)] {
            if let Some(task) = ready.get(place) {
                task.foresee(step);
            }
        }
    }

    /// Lets those run who stepped aside.
    pub(crate) fn run_late(&'static self) {
        let due = self.late.borrow().len();
        for _ in 0..due {
            let next = self.late.borrow_mut().pop_front();
            self.run(next.expect("only this takes from the queue"));
        }
    }

    fn run(&'static self, task: Rc<Task>) {
        let placed = task.stack.borrow().clone();
        let stack = match placed.map_or_else(|| self.obtain_stack(), Ok) {
            Ok(stack) => stack,
            Err(_) => return self.starve(task),
        };
        if task.stack.borrow().is_none() {
            stack.assign(&task);
        }
        drop(task);
        stack.resume();
        if self.common.paint_stacks {
            let most = &self.shared.counters.stack_used_bytes_max;
            most.set(most.get().max(stack.used_bytes() as u64));
        }
        self.current.replace(None);
    }

    /// How many stepped aside.
    pub(crate) fn late(&self) -> usize {
        self.late.borrow().len()
    }

    pub(crate) fn has_late(&self) -> bool {
        !self.late.borrow().is_empty()
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.borrow().is_empty()
    }

    // ---- waiting -------------------------------------------------------------------------------

    /// The running task waits until somebody wakes it or the deadline passes; the caller looks
    /// which.
    pub(crate) fn suspend(&self, task: &Rc<Task>, doing: Doing, deadline: Deadline) {
        task.doing.set(doing);
        task.since.set(self.now());
        if let Some(at) = deadline.instant() {
            self.timers.borrow_mut().set(task, at);
        }
        task.waiting.set(true);
        self.switch(task);
        task.timer.deadline.set(None);
    }

    /// The running task lets the others and the sockets have a turn.
    pub(crate) fn pause(&self, task: &Rc<Task>) {
        task.waiting.set(true);
        self.paused.set(true);
        self.wake(task);
        self.switch(task);
    }

    /// The running task goes on at the end of this turn.
    pub(crate) fn step_aside(&self, task: &Rc<Task>) {
        self.late.borrow_mut().push_back(Rc::clone(task));
        self.switch(task);
    }

    fn switch(&self, task: &Rc<Task>) {
        debug_assert!(self.is_current(task), "a task waits only for itself");
        debug_assert!(!thread::panicking(), "no switch while unwinding");
        task.streak.set(0);
        let place = overflow::place();
        let stack = task.stack.borrow().clone();
        stack.expect("a task that runs has a stack").park();
        debug_assert!(!task.waiting.get(), "who is resumed was woken");
        debug_assert_eq!(thread::current().id(), self.thread, "affinity law");
        overflow::back(place);
        self.current.replace(Some(Rc::clone(task)));
    }

    pub(crate) fn with_tasks<R>(&self, look: impl FnOnce(&Slab<Rc<Task>>) -> R) -> R {
        look(&self.tasks.borrow())
    }

    pub(crate) fn is_current(&self, task: &Rc<Task>) -> bool {
        self.current.borrow().as_ref().is_some_and(|current| Rc::ptr_eq(current, task))
    }

    pub(crate) fn set_current(&self, task: Option<Rc<Task>>) {
        self.current.replace(task);
    }

    // ---- stacks --------------------------------------------------------------------------------

    /// A cached stack or a new one, waiting for an assignment.
    fn obtain_stack(&'static self) -> Result<Rc<Stack>, Error> {
        if let Some(stack) = self.idle.borrow_mut().pop() {
            self.shared.counters.cached.sub(1);
            return Ok(stack);
        }
        self.common.ceiling.take()?;
        let stack = Stack::map(self);
        match stack {
            Ok(_) => self.shared.counters.stacks.add(1),
            Err(_) => self.common.ceiling.give_back(),
        }
        stack
    }

    /// Keeps a stack for later; false when enough are kept and it must end.
    pub(crate) fn keep(&self, stack: &Rc<Stack>) -> bool {
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= self.common.cached_max {
            return false;
        }
        idle.push(Rc::clone(stack));
        self.shared.counters.cached.add(1);
        true
    }

    pub(crate) fn stack_ends(&self) {
        self.shared.counters.stacks.sub(1);
        self.common.ceiling.give_back();
    }

    // ---- sockets and notifieds -----------------------------------------------------------------

    /// Registers `fd` for everything, once for its life here.
    pub(crate) fn register(&self, fd: RawFd) -> Result<Rc<Io>, Error> {
        let io = self.adopt(fd);
        if let Err(error) = io.enlist(self) {
            self.retire(io.key);
            return Err(error.into());
        }
        Ok(io)
    }

    /// Registers `fd`, and the kernel hears of it from the first who waits for it.
    pub(crate) fn adopt(&self, fd: RawFd) -> Rc<Io> {
        let mut made = None;
        self.ios.borrow_mut().insert_with(|key| {
            let io = Rc::new(Io::new(fd, key));
            made = Some(Rc::clone(&io));
            io
        });
        self.shared.counters.sockets.add(1);
        made.expect("insert_with calls its closure once")
    }

    pub(crate) fn io(&self, key: Key) -> Option<Rc<Io>> {
        self.ios.borrow().get(key).cloned()
    }

    /// Forgets a socket; whoever owns the descriptor closes it, which ends the registration.
    pub(crate) fn retire(&self, key: Key) {
        let retired = self.ios.borrow_mut().remove(key);
        if retired.is_some() {
            self.shared.counters.sockets.sub(1);
        }
    }

    pub(crate) fn add_notified(&self, make: impl FnOnce(Key) -> Rc<Entry>) -> Rc<Entry> {
        let mut notifieds = self.notifieds.borrow_mut();
        let key = notifieds.insert_with(make);
        Rc::clone(notifieds.get(key).expect("inserted a line above"))
    }

    pub(crate) fn notified(&self, key: Key) -> Option<Rc<Entry>> {
        self.notifieds.borrow().get(key).cloned()
    }

    pub(crate) fn remove_notified(&self, key: Key) {
        self.notifieds.borrow_mut().remove(key);
    }

    // ---- the end -------------------------------------------------------------------------------

    /// Cancels every task and drops every parked session, and when they have ended those of the
    /// system; `done` hears when the last one has ended.
    pub(crate) fn close(&self, done: Sender<usize>) {
        self.shared.close();
        self.closing.replace(Some(done));
        self.cancel_all(|task| !task.is_system);
        self.report_if_empty();
    }

    fn cancel_all(&self, which: impl Fn(&Task) -> bool) {
        let tasks: Vec<_> =
            self.tasks.borrow().iter().filter(|task| which(task)).cloned().collect();
        for task in tasks {
            self.cancel(&task);
        }
    }

    /// Every wait of `task` fails from now on; a parked session is dropped.
    pub(crate) fn cancel(&self, task: &Rc<Task>) {
        task.cancelled.set(true);
        if let Some(session) = task.unpark_for_good() {
            self.shared.counters.parked.sub(1);
            self.strike(task);
            panics::contain(self, task.name(), || drop(session)); // the session's own Drop
        } else if !task.is_shielded() {
            self.wake(task);
        }
    }

    fn report_if_empty(&self) {
        if self.closing.borrow().is_none() {
            return;
        }
        let (left, system) = (self.tasks.borrow().len(), self.shared.counters.system.get());
        if left > 0 {
            // Once: those who are told in the middle of this find `system_told` set.
            if left as u64 == system && !self.system_told.replace(true) {
                self.cancel_all(|task| task.is_system);
            }
            return;
        }
        if let Some(done) = self.closing.take() {
            let private = self.private.take();
            panics::contain(self, "private values", || drop(private));
            let _ = done.send(self.shared.index); // the engine may have given up waiting
        }
    }
}
