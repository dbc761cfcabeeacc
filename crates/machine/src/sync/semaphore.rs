//! A semaphore: a bounded number of permits, handed out first come, first served.

use super::line::Permits;
use super::reach::{Place, Reach};
use crate::{Deadline, Doing, Error};

/// A bounded number of permits, handed out first come, first served.
pub struct Semaphore<R: Reach> {
    permits: Place<Permits<R::Waker>, R>,
}

impl<R: Reach> Clone for Semaphore<R> {
    fn clone(&self) -> Self {
        Semaphore { permits: self.permits.clone() }
    }
}

impl<R: Reach> Semaphore<R> {
    /// With so many permits.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        Semaphore { permits: Place::new(Permits::new(permits)) }
    }

    /// Waits for a permit. Who gives up takes none with him, even if it was granted in the same
    /// moment.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `NotOnMachine`.
    pub fn acquire(&self, deadline: Deadline) -> Result<Permit<R>, Error> {
        self.acquire_for(Doing::Semaphore, deadline)?;
        Ok(Permit { semaphore: self.clone() })
    }

    /// A permit if there is one.
    #[must_use]
    pub fn try_acquire(&self) -> Option<Permit<R>> {
        let taken = self.permits.with(Permits::take);
        taken.then(|| Permit { semaphore: self.clone() })
    }

    /// So many permits more than there were.
    pub fn add(&self, permits: usize) {
        let called = self.permits.with(|all| all.grow(permits));
        called.into_iter().for_each(R::wake);
    }

    /// So many permits in all from now on. When they are fewer than before, those that are too many
    /// end as they are given back.
    pub fn resize(&self, permits: usize) {
        let called = self.permits.with(|all| all.resize(permits));
        called.into_iter().for_each(R::wake);
    }

    /// Permits nobody holds.
    #[must_use]
    pub fn available(&self) -> usize {
        self.permits.with(|permits| usize::try_from(permits.free()).unwrap_or(0))
    }

    /// Permits somebody holds.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.permits.with(|permits| usize::try_from(permits.in_use()).unwrap_or(0))
    }

    pub(crate) fn acquire_for(&self, doing: Doing, deadline: Deadline) -> Result<(), Error> {
        R::breathe()?;
        if self.permits.with(Permits::take) {
            return Ok(());
        }
        self.permits.wait(
            (doing, deadline),
            |permits, waker| if permits.take() { None } else { Some(permits.enter(waker)) },
            Permits::stands,
            Permits::leave,
        )
    }

    pub(crate) fn try_take(&self) -> bool {
        self.permits.with(Permits::take)
    }

    pub(crate) fn release(&self) {
        if let Some(next) = self.permits.with(Permits::give) {
            R::wake(next);
        }
    }
}

/// A permit; dropping it gives it to the next.
#[must_use]
pub struct Permit<R: Reach> {
    semaphore: Semaphore<R>,
}

impl<R: Reach> Permit<R> {
    /// Keeps it for ever: there is one permit less. [`Semaphore::add`] makes a new one.
    pub fn forget(self) {
        self.semaphore.permits.with(Permits::shrink);
    } // and here it is given back
}

impl<R: Reach> Drop for Permit<R> {
    fn drop(&mut self) {
        self.semaphore.release();
    }
}
