//! The two reaches: one machine, where a cell and the task itself will do, and all machines, with
//! a lock and a notifier.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::reach::Reach;
use crate::coroutine::Task;
use crate::machine::Machine;
use crate::notified::{Notified, Notifier};
use crate::wait::{breathe, wait_once};
use crate::{Deadline, Doing, Error};

/// Between the coroutines of one machine. `!Send`, no atomic instruction.
pub enum Local {}

/// Between coroutines of any machine.
pub enum Shared {}

/// A coroutine that waits.
pub struct Sleeper(Rc<Task>);

impl Reach for Local {
    type Pointer<T> = Rc<T>;
    type Cell<T> = RefCell<T>;
    type Guard<'a, T: 'a> = RefMut<'a, T>;
    type Waker = Sleeper;
    type Seat = Sleeper;

    fn pointer<T>(value: T) -> Rc<T> {
        Rc::new(value)
    }

    fn cell<T>(value: T) -> RefCell<T> {
        RefCell::new(value)
    }

    fn is_same<T>(a: &Rc<T>, b: &Rc<T>) -> bool {
        Rc::ptr_eq(a, b)
    }

    fn lock<T>(cell: &RefCell<T>) -> RefMut<'_, T> {
        cell.borrow_mut()
    }

    fn breathe() -> Result<(), Error> {
        breathe()
    }

    fn sit() -> Sleeper {
        Sleeper(Machine::running().expect("who has breathed is a coroutine").1)
    }

    fn waker(seat: &Sleeper) -> Sleeper {
        Sleeper(Rc::clone(&seat.0))
    }

    /// It may be in another wait by now, which looks for its own reason and goes on.
    fn wake(waker: Sleeper) {
        if let Some(machine) = Machine::here() {
            machine.wake(&waker.0);
        }
    }

    fn wait(_: &Sleeper, doing: Doing, deadline: Deadline) -> Result<(), Error> {
        wait_once(doing, deadline)
    }
}

impl Reach for Shared {
    type Pointer<T> = Arc<T>;
    type Cell<T> = Mutex<T>;
    type Guard<'a, T: 'a> = MutexGuard<'a, T>;
    type Waker = Notifier;
    type Seat = Notified;

    fn pointer<T>(value: T) -> Arc<T> {
        Arc::new(value)
    }

    fn cell<T>(value: T) -> Mutex<T> {
        Mutex::new(value)
    }

    fn is_same<T>(a: &Arc<T>, b: &Arc<T>) -> bool {
        Arc::ptr_eq(a, b)
    }

    fn lock<T>(cell: &Mutex<T>) -> MutexGuard<'_, T> {
        cell.lock().unwrap_or_else(PoisonError::into_inner) // a user's panic over his own value
    }

    fn breathe() -> Result<(), Error> {
        breathe()
    }

    fn sit() -> Notified {
        Notified::new()
    }

    fn waker(seat: &Notified) -> Notifier {
        seat.notifier()
    }

    fn wake(waker: Notifier) {
        waker.notify();
    }

    fn wait(seat: &Notified, doing: Doing, deadline: Deadline) -> Result<(), Error> {
        seat.wait_for(doing, deadline) // what it means is looked up by the caller
    }
}
