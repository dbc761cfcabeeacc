//! Permits: a bound on something that all machines do together, such as cancels in flight. Who
//! finds no permit waits in line, first come first served, for as long as it is willing to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use machine::{Deadline, Notified, Notifier, Woken};

/// Waiters beyond this are refused at once: the line is bounded too.
const WAITERS_MAX: usize = 65_536;

/// A number of permits, shared by all machines.
pub struct Permits {
    state: Mutex<State>,
}

struct State {
    /// All there are; while more were given out, a permit that comes back is gone.
    size: usize,
    /// Given out.
    used: usize,
    next: u64,
    /// Who waits, oldest first.
    line: VecDeque<(u64, Notifier)>,
    /// Who was given a permit and has not come to fetch it.
    granted: Vec<u64>,
}

/// The right to do the thing; given back when dropped.
pub struct Permit(Arc<Permits>);

impl Permits {
    /// So many at once.
    pub fn new(permits: usize) -> Self {
        let state =
            State { size: permits, used: 0, next: 0, line: VecDeque::new(), granted: Vec::new() };
        Self { state: Mutex::new(state) }
    }

    /// A permit, waiting for one at most `patience` (None: for ever). From a coroutine.
    ///
    /// # Errors
    /// No permit came in time, the line is too long, or the coroutine was cancelled.
    pub fn acquire(self: &Arc<Self>, patience: Option<Duration>) -> Result<Permit, machine::Error> {
        let notified = Notified::new();
        let ticket = {
            let mut state = self.lock();
            if state.used < state.size {
                state.used += 1;
                return Ok(Permit(Arc::clone(self)));
            }
            if state.line.len() >= WAITERS_MAX {
                return Err(machine::Error::QueueFull { queue: "permits", max: WAITERS_MAX });
            }
            state.next += 1;
            let ticket = state.next;
            state.line.push_back((ticket, notified.notifier()));
            ticket
        };
        let deadline = patience.map_or(Deadline::NEVER, Deadline::after);
        let woken = machine::wait_any(&[], Some(&notified), deadline);
        if self.fetch(ticket) {
            return Ok(Permit(Arc::clone(self)));
        }
        match woken {
            Ok(Woken::TimedOut) => Err(machine::Error::TimedOut),
            Ok(_) => Err(machine::Error::Cancelled),
            Err(error) => Err(error),
        }
    }

    /// How many are given out.
    pub fn used(&self) -> usize {
        self.lock().used
    }

    /// So many from now on; those that are too many end as they come back.
    pub fn resize(&self, permits: usize) {
        let woken = {
            let mut state = self.lock();
            state.size = permits;
            std::iter::from_fn(|| state.grant()).collect::<Vec<_>>()
        };
        woken.iter().for_each(Notifier::notify);
    }

    /// Out of the line; true if the permit had been given.
    fn fetch(&self, ticket: u64) -> bool {
        let mut state = self.lock();
        if let Some(place) = state.granted.iter().position(|&one| one == ticket) {
            state.granted.swap_remove(place);
            return true;
        }
        state.line.retain(|(one, _)| *one != ticket);
        false
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }
}

impl State {
    /// A permit for the first in line, if there is one for him.
    fn grant(&mut self) -> Option<Notifier> {
        if self.used >= self.size {
            return None;
        }
        let (ticket, notifier) = self.line.pop_front()?;
        self.used += 1;
        self.granted.push(ticket);
        Some(notifier)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let next = {
            let mut state = self.0.lock();
            state.used -= 1;
            state.grant()
        };
        if let Some(notifier) = next {
            notifier.notify();
        }
    }
}
