//! The loop of a machine: readiness, mail, timers, then a bounded number of coroutines, and again.
//! It is a coroutine of may's itself, the only one on its thread, and never gives the thread back:
//! it sleeps in its own epoll, at the price of one system call a wake-up. It decides who runs next
//! and nothing else.

use std::cell::Cell;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use crate::engine::Common;
use crate::machine::Machine;
use crate::mailbox::{Mail, Shared};
use crate::slab::Key;
use crate::sys::{self, Events};
use crate::{buffer, overflow, panics};

/// Events taken in one turn, and coroutines let run in one: enough to amortise the poll, few enough
/// that no socket waits longer than some 256 short runs.
const TURN_MAX: usize = 256;

/// Rounds of coroutines between two polls, at least. Two: who is woken by an event, and who is
/// woken by that (a client that waited for the server another one gives back) go without a poll
/// between them.
const ROUNDS: usize = 2;

/// Further rounds follow while no more than this many coroutines ran since the poll, which costs as
/// much as two of them: a few that wake each other, or spawn and join, poll once for many. None
/// follow when somebody paused, who does that because he works for long.
const RUNS_A_POLL: usize = 32;

/// A turn with more events than this is followed by a look whether there are more, one with fewer
/// by sleep: a machine with little to do would look in vain, and pay a system call for it.
const LULL_EVENTS_MAX: usize = 8;

/// Polls for the sake of those who stepped aside, who go on after them, whatever happens: about
/// 0.1 ms under full load.
const LATE_POLLS_MAX: usize = 8;

/// So many who stepped aside are enough to wake somebody for.
const LATE_MAX: usize = 32;

/// Letters read in one turn.
const MAILS_MAX: usize = 1024;

/// How often a machine without a free stack looks whether another machine gave one back.
const STARVED_RETRY: Duration = Duration::from_millis(10);

const BELL: Key = Key::reserved(1);
const TIMER: Key = Key::reserved(2);

/// What a new machine says when it runs: its index and its thread.
pub(crate) type Hello = SyncSender<io::Result<(usize, ThreadId)>>;

/// Body of the reactor coroutine of one machine. Never returns, or never says hello.
pub(crate) fn run(shared: Arc<Shared>, common: Arc<Common>, epoll: OwnedFd, hello: Hello) {
    let index = shared.index;
    let name = format!("{}{index}", common.thread_name);
    let name = CString::new(name).expect("no zero byte in it");
    sys::name_thread(&name);
    overflow::enter("reactor", common.stack_bytes);
    let machine = Machine::settle(shared, common);
    let reactor = match Reactor::new(machine, epoll) {
        Ok(reactor) => reactor,
        Err(error) => {
            let _ = hello.send(Err(error)); // the engine may have given up
            return;
        }
    };
    let _ = hello.send(Ok((index, thread::current().id())));
    let died = catch_unwind(AssertUnwindSafe(|| reactor.turn_for_ever()));
    // Half a machine is worse than none: its sessions would hang for ever.
    eprintln!("machine {index}: the reactor died: {died:?}: {}", panics::last());
    std::process::abort();
}

struct Reactor {
    machine: &'static Machine,
    epoll: OwnedFd,
    timer: OwnedFd,
    /// When the timerfd rings; `None` when it will not. It may ring too early, never too late.
    armed: Cell<Option<Instant>>,
    /// When this turn began; `None` before the first and in sleep.
    turned: Cell<Option<Instant>>,
}

impl Reactor {
    fn new(machine: &'static Machine, epoll: OwnedFd) -> io::Result<Reactor> {
        let (fd, timer) = (epoll.as_raw_fd(), sys::timerfd()?);
        sys::epoll_add(fd, machine.shared.bell(), sys::IN, BELL.to_bits())?;
        sys::epoll_add(fd, timer.as_raw_fd(), sys::IN, TIMER.to_bits())?;
        Ok(Reactor { machine, epoll, timer, armed: Cell::new(None), turned: Cell::new(None) })
    }

    fn turn_for_ever(&self) -> io::Result<()> {
        let machine = self.machine;
        let mut events = Events::with_capacity(TURN_MAX);
        let mut is_lull = false;
        loop {
            self.listen(&mut events, is_lull)?;
            self.take_in(&events);
            let mails = self.read_mail();
            self.fire_timers();
            if machine.has_starved() {
                machine.feed_starved();
            }
            is_lull = events.len() <= LULL_EVENTS_MAX && mails <= LULL_EVENTS_MAX;
            machine.cool_down();
            self.let_run();
            machine.run_burners();
            if machine.has_late() {
                self.hold_late(&mut events)?;
                machine.run_late();
            }
        }
    }

    /// What happened outside: what there is already, or in a lull whatever comes first.
    fn listen(&self, events: &mut Events, is_lull: bool) -> io::Result<()> {
        let machine = self.machine;
        machine.shared.counters.epoll_waits.add(1);
        let is_waited_for = machine.has_ready() || machine.has_late() || machine.has_burners();
        let may_sleep = is_lull && !is_waited_for;
        if may_sleep {
            self.set_alarm();
        }
        if !may_sleep || !machine.shared.fall_asleep() {
            return sys::epoll_poll(self.epoll.as_raw_fd(), events);
        }
        machine.shared.counters.sleeps.add(1);
        self.turn_ends(Instant::now());
        let slept = sys::epoll_sleep(self.epoll.as_raw_fd(), events);
        machine.shared.wake_up();
        slept
    }

    /// A turn goes from one look outside to the next, or to a sleep: for as long is what happens
    /// not seen.
    fn turn_ends(&self, at: Instant) {
        let counters = &self.machine.shared.counters;
        if let Some(began) = self.turned.take() {
            counters.turns.add(at.duration_since(began));
        }
        counters.buffers.set(buffer::leased_bytes() as u64);
    }

    /// Lets coroutines run, and those they wake.
    fn let_run(&self) {
        let (mut rounds, mut runs) = (0, 0);
        while rounds < ROUNDS || runs < RUNS_A_POLL {
            let ran = self.machine.run_ready(TURN_MAX);
            if ran == 0 {
                break;
            }
            (rounds, runs) = (rounds + 1, runs + ran);
            if self.machine.take_paused() && rounds >= ROUNDS {
                break;
            }
        }
    }

    /// Those who stepped aside stay there while others have something to do, whom the last round
    /// woke and whom a further poll finds: what they do wakes somebody outside, and many of them at
    /// once wake him once. It ends when nobody is found, when enough of them wait, or after
    /// [`LATE_POLLS_MAX`].
    fn hold_late(&self, events: &mut Events) -> io::Result<()> {
        for _ in 0..LATE_POLLS_MAX {
            self.let_run();
            if self.machine.late() >= LATE_MAX {
                break;
            }
            self.machine.shared.counters.epoll_waits.add(1);
            sys::epoll_poll(self.epoll.as_raw_fd(), events)?;
            if events.len() == 0 {
                break;
            }
            self.take_in(events);
        }
        self.let_run();
        Ok(())
    }

    /// A new turn begins with what happened outside.
    fn take_in(&self, events: &Events) {
        self.machine.time_goes_on();
        self.turn_ends(self.machine.now());
        self.turned.set(Some(self.machine.now()));
        for i in 0..events.len() {
            let event = events.get(i);
            let key = Key::from_bits(event.data);
            if key == TIMER {
                self.armed.set(None);
            } else if let Some(io) = self.machine.io(key) {
                io.absorb(event.flags);
                io.wake(self.machine);
            }
            // A stale key is a socket that was closed or stolen in the meantime. The bell only had
            // to end the sleep.
        }
    }

    fn read_mail(&self) -> usize {
        let mut read = 0;
        while read < MAILS_MAX {
            let Some(mail) = self.machine.shared.take() else { break };
            read += 1;
            match mail {
                Mail::Spawn { name, body } => self.spawn(name, body),
                Mail::Notified(key) => {
                    if let Some(entry) = self.machine.notified(key) {
                        entry.received(self.machine);
                    }
                }
                Mail::Inspect(look) => {
                    self.machine.shared.spawn_started();
                    panics::contain(self.machine, "inspection", || look(self.machine));
                }
                Mail::Retire(key) => self.machine.retire(key),
                Mail::Shutdown(done) => self.machine.close(done),
            }
        }
        if read > 0 {
            self.machine.shared.counters.mails.add(read as u64);
        }
        read
    }

    fn spawn(&self, name: &'static str, body: Box<dyn FnOnce() + Send>) {
        if self.machine.shared.is_closing() {
            self.machine.shared.spawn_started();
            panics::contain(self.machine, name, || drop(body)); // what it captured may have a Drop
        } else {
            self.machine.begin_mailed(name, body);
        }
    }

    fn fire_timers(&self) {
        let timers = &self.machine.timers;
        if timers.borrow().len() == 0 {
            return;
        }
        let now = self.machine.now();
        loop {
            let due = timers.borrow_mut().due(now);
            let Some(task) = due else { break };
            self.machine.wake(&task);
        }
    }

    /// Whatever is due next ends the sleep.
    fn set_alarm(&self) {
        let machine = self.machine;
        let mut next = machine.timers.borrow_mut().next();
        machine.shared.counters.timers.set(machine.timers.borrow().len() as u64);
        if machine.has_starved() {
            let retry = Instant::now() + STARVED_RETRY;
            next = Some(next.map_or(retry, |next| next.min(retry)));
        }
        if let Some(next) = next {
            self.arm(next);
        }
    }

    /// Makes the timerfd ring at `next` or before.
    fn arm(&self, next: Instant) {
        if self.armed.get().is_some_and(|armed| armed <= next) {
            return;
        }
        let delay = next.saturating_duration_since(Instant::now());
        sys::timerfd_arm(self.timer.as_raw_fd(), delay).expect("a timerfd takes any positive time");
        self.armed.set(Some(next));
    }
}
