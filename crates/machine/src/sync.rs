//! Taking turns between coroutines of one machine. Between machines there are notifiers and short
//! locks.

use crate::Deadline;
use crate::census::Doing;
use crate::error::Error;
use crate::machine::Machine;
use crate::wait::{Waiter, wait_until};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

struct Ticket {
    granted: Cell<bool>,
    waiter: Waiter,
}

struct Queue {
    /// Permits nobody holds; zero while anybody waits.
    free: Cell<usize>,
    waiting: RefCell<VecDeque<Rc<Ticket>>>,
}

impl Queue {
    /// Hands a permit to the one who waited longest, or keeps it.
    fn release(&self) {
        let next = self.waiting.borrow_mut().pop_front();
        match (next, Machine::here()) {
            (Some(ticket), Some(machine)) => {
                ticket.granted.set(true);
                ticket.waiter.wake(machine);
            }
            _ => self.free.set(self.free.get() + 1),
        }
    }

    /// `ticket` waits no longer; a permit it got meanwhile goes to the next.
    fn leave(&self, ticket: &Rc<Ticket>) {
        if ticket.granted.get() {
            self.release();
        } else {
            self.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, ticket));
        }
    }
}

/// A bounded number of permits, handed out first come, first served. For the coroutines of one
/// machine. The queue is as long as the number of coroutines that wait.
pub struct Semaphore {
    queue: Rc<Queue>,
}

impl Semaphore {
    /// With so many permits.
    #[must_use]
    pub fn new(permits: usize) -> Semaphore {
        let waiting = RefCell::new(VecDeque::new());
        Semaphore { queue: Rc::new(Queue { free: Cell::new(permits), waiting }) }
    }

    /// Waits for a permit. Who gives up takes none with him, even if it was granted in the same
    /// moment.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `NotOnMachine`.
    pub fn acquire(&self, deadline: Deadline) -> Result<Permit, Error> {
        let permit = || Permit { queue: Rc::clone(&self.queue) };
        let queue = &self.queue;
        if queue.free.get() > 0 {
            queue.free.set(queue.free.get() - 1);
            return Ok(permit());
        }
        let ticket = Rc::new(Ticket { granted: Cell::new(false), waiter: Waiter::new() });
        queue.waiting.borrow_mut().push_back(Rc::clone(&ticket));
        match wait_until(Doing::Semaphore, &ticket.waiter, deadline, || ticket.granted.get()) {
            Ok(()) => Ok(permit()),
            Err(error) => {
                queue.leave(&ticket);
                Err(error)
            }
        }
    }

    /// Permits nobody holds.
    #[must_use]
    pub fn available(&self) -> usize {
        self.queue.free.get()
    }
}

/// A permit; dropping it gives it to the next.
pub struct Permit {
    queue: Rc<Queue>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.queue.release();
    }
}
