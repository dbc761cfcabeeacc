//! A mutex that may be held over a wait: who waits for it gives his thread to others.

use std::ops::{Deref, DerefMut};

use super::reach::Reach;
use super::semaphore::Semaphore;
use crate::{Deadline, Doing, Error};

struct Guarded<T, R: Reach> {
    /// One permit: who has it may open the cell.
    turn: Semaphore<R>,
    value: R::Cell<T>,
}

/// A value for one coroutine at a time, also while that waits. Who waits longest is next; a panic
/// of who holds it lets go and poisons nothing.
pub struct Mutex<T, R: Reach> {
    inner: R::Pointer<Guarded<T, R>>,
}

impl<T, R: Reach> Clone for Mutex<T, R> {
    fn clone(&self) -> Self {
        Mutex { inner: self.inner.clone() }
    }
}

impl<T, R: Reach> Mutex<T, R> {
    /// Around `value`.
    #[must_use]
    pub fn new(value: T) -> Self {
        let (turn, value) = (Semaphore::new(1), R::cell(value));
        Mutex { inner: R::pointer(Guarded { turn, value }) }
    }

    /// Waits for its turn. One that locks what it has locked waits for itself: give a deadline.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `NotOnMachine`.
    pub fn lock(&self, deadline: Deadline) -> Result<MutexGuard<'_, T, R>, Error> {
        self.inner.turn.acquire_for(Doing::Mutex, deadline)?;
        Ok(self.open())
    }

    /// Locks it if nobody has.
    #[must_use]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T, R>> {
        self.inner.turn.try_take().then(|| self.open())
    }

    fn open(&self) -> MutexGuard<'_, T, R> {
        let turn = Turn { turn: &self.inner.turn };
        MutexGuard { value: R::lock(&self.inner.value), _turn: turn }
    }
}

struct Turn<'a, R: Reach> {
    turn: &'a Semaphore<R>,
}

impl<R: Reach> Drop for Turn<'_, R> {
    fn drop(&mut self) {
        self.turn.release();
    }
}

/// A locked mutex; dropping it lets the next one in.
#[must_use]
pub struct MutexGuard<'a, T: 'a, R: Reach> {
    value: R::Guard<'a, T>,
    /// Behind the value, which is closed before the next one comes.
    _turn: Turn<'a, R>,
}

impl<T, R: Reach> Deref for MutexGuard<'_, T, R> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T, R: Reach> DerefMut for MutexGuard<'_, T, R> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
