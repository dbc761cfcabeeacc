//! A few operating system threads for what blocks or burns: name lookups, files, key derivation.
//! Bounded in threads and queue. A caller that gives up abandons the result; the work itself cannot
//! be stopped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::Deadline;
use crate::census::Doing;
use crate::error::Error;
use crate::machine::Machine;
use crate::notified::Notified;
use crate::panics;
use crate::sys::process;

type Work = Box<dyn FnOnce() + Send>;

/// Between two looks whether a thread has ended, which nothing tells with a deadline.
const END_POLL: Duration = Duration::from_millis(1);

/// A pool of threads: the engine has one for everybody, and who may block for long has its own. Its
/// threads start with the first piece of work and end when it is dropped.
pub struct Offload {
    threads: usize,
    queue_max: usize,
    /// What the threads are called, in front of their number.
    name: &'static str,
    /// Where they run: a machine that is pinned to a processor would pass that on to them.
    processors: Vec<usize>,
    state: Mutex<State>,
    working: Arc<AtomicUsize>,
    refused: AtomicU64,
}

/// The work that was handed over and is not done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OffloadStats {
    /// Pieces that wait for a thread.
    pub queued: usize,
    /// Pieces that are worked on.
    pub working: usize,
    /// Pieces that were refused since the start, the queue being full.
    pub refused: u64,
}

enum State {
    NotStarted,
    Running(Sender<Work>, Vec<JoinHandle<()>>),
    Stopped,
}

impl Offload {
    /// So many threads of that name (Linux shows 15 letters of it with a number behind), and so
    /// many pieces of work that may wait for one.
    pub fn new(threads: usize, queue_max: usize, name: &'static str) -> Offload {
        let (threads, queue_max) = (threads.max(1), queue_max.max(1));
        let processors = process::processors().unwrap_or_default();
        let state = Mutex::new(State::NotStarted);
        let (working, refused) = (Arc::default(), AtomicU64::new(0));
        Offload { threads, queue_max, name, processors, state, working, refused }
    }

    /// Whether its threads have processors beside the one of the caller.
    pub(crate) fn has_processors(&self) -> bool {
        self.processors.len() > 1
    }

    fn stats(&self) -> OffloadStats {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let queued = if let State::Running(queue, _) = &*state { queue.len() } else { 0 };
        let refused = self.refused.load(Ordering::Relaxed);
        OffloadStats { queued, working: self.working.load(Ordering::Relaxed), refused }
    }

    /// As [`offload`], on a thread of this pool.
    ///
    /// # Errors
    /// As [`offload`].
    pub fn run<T: Send + 'static>(
        &self,
        body: impl FnOnce() -> T + Send + 'static,
        deadline: Deadline,
    ) -> Result<T, Error> {
        Machine::running()?;
        let notified = Notified::new();
        let notifier = notified.notifier();
        let place = Arc::new(Mutex::new(None));
        let theirs = Arc::clone(&place);
        self.submit(Box::new(move || {
            let value = catch_unwind(AssertUnwindSafe(body));
            let value = value.map_err(|payload| Error::Panicked(panics::words(&*payload)));
            *theirs.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            notifier.notify();
        }))?;
        notified.wait_for(Doing::Offload, deadline)?;
        let value = place.lock().unwrap_or_else(PoisonError::into_inner).take();
        value.expect("the value is put there before the notification")
    }

    fn submit(&self, work: Work) -> Result<(), Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::NotStarted = *state {
            let (queue, threads) = self.start()?;
            *state = State::Running(queue, threads);
        }
        let State::Running(queue, _) = &*state else { return Err(Error::Closed) };
        queue.try_send(work).map_err(|error| match error {
            TrySendError::Full(_) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Error::QueueFull { queue: "offload", max: self.queue_max }
            }
            TrySendError::Disconnected(_) => Error::Closed,
        })
    }

    fn start(&self) -> Result<(Sender<Work>, Vec<JoinHandle<()>>), Error> {
        let (sender, receiver) = bounded::<Work>(self.queue_max);
        let mut threads = Vec::with_capacity(self.threads);
        for i in 0..self.threads {
            let (receiver, processors) = (receiver.clone(), self.processors.clone());
            let working = Arc::clone(&self.working);
            let builder = thread::Builder::new().name(format!("{}{i}", self.name));
            threads.push(builder.spawn(move || {
                let _ = process::pin(&processors); // or it runs where the machine does
                work_off(&receiver, &working);
            })?);
        }
        Ok((sender, threads))
    }

    /// No more work. Waits until the threads have done what is queued, and joins them; one that is
    /// still at work at `end` is left alone.
    pub(crate) fn stop(&self, end: Instant) {
        let state = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *state, State::Stopped)
        };
        let State::Running(queue, threads) = state else { return };
        drop(queue); // when the last piece is done, they end
        for thread in threads {
            while !thread.is_finished() && Instant::now() < end {
                thread::park_timeout(END_POLL);
            }
            if thread.is_finished() {
                let _ = thread.join(); // work catches its own panics
            }
        }
    }
}

fn work_off(queue: &Receiver<Work>, working: &AtomicUsize) {
    for work in queue {
        working.fetch_add(1, Ordering::Relaxed);
        work(); // catches its own panics
        working.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How far behind the threads are for what blocks.
///
/// # Errors
/// `NotOnMachine`.
pub fn offload_stats() -> Result<OffloadStats, Error> {
    let (machine, _) = Machine::running()?;
    Ok(machine.common.offload.stats())
}

/// Runs `body` on a thread of its own kind and waits for what it returns.
///
/// # Errors
/// `QueueFull` at once when the pool is behind; `TimedOut` and `Cancelled` abandon the result;
/// `Panicked`.
pub fn offload<T: Send + 'static>(
    body: impl FnOnce() -> T + Send + 'static,
    deadline: Deadline,
) -> Result<T, Error> {
    let (machine, _) = Machine::running()?;
    machine.common.offload.run(body, deadline)
}
