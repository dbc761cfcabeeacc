//! What sets the two kinds of primitives apart: who may hold them, what protects their state, how
//! somebody is woken. The primitives are written once on this. Nothing here knows a machine.

use std::ops::{Deref, DerefMut};

use crate::{Deadline, Doing, Error};

/// Of one machine ([`Local`](crate::sync::Local)) or of all ([`Shared`](crate::sync::Shared)).
/// There is no third: its methods are not for use outside.
pub trait Reach: Sized + 'static {
    #[doc(hidden)]
    type Pointer<T>: Clone + Deref<Target = T>;
    #[doc(hidden)]
    type Cell<T>;
    #[doc(hidden)]
    type Guard<'a, T: 'a>: DerefMut<Target = T>;
    /// Wakes one who waits; it may come late and hit nobody.
    #[doc(hidden)]
    type Waker: 'static;
    /// Where one waits; made once a wait.
    #[doc(hidden)]
    type Seat;

    #[doc(hidden)]
    fn pointer<T>(value: T) -> Self::Pointer<T>;
    #[doc(hidden)]
    fn cell<T>(value: T) -> Self::Cell<T>;
    #[doc(hidden)]
    fn is_same<T>(a: &Self::Pointer<T>, b: &Self::Pointer<T>) -> bool;
    /// For some instructions; or for long where a permit makes sure that nobody else comes.
    #[doc(hidden)]
    fn lock<T>(cell: &Self::Cell<T>) -> Self::Guard<'_, T>;
    /// Gives others a turn now and then; fails for the cancelled and outside coroutines.
    #[doc(hidden)]
    fn breathe() -> Result<(), Error>;
    #[doc(hidden)]
    fn sit() -> Self::Seat;
    #[doc(hidden)]
    fn waker(seat: &Self::Seat) -> Self::Waker;
    #[doc(hidden)]
    fn wake(waker: Self::Waker);
    /// Until woken, which may have been for nothing.
    #[doc(hidden)]
    fn wait(seat: &Self::Seat, doing: Doing, deadline: Deadline) -> Result<(), Error>;
}

/// Some state under one lock, shared by all handles.
pub(crate) struct Place<S, R: Reach>(R::Pointer<R::Cell<S>>);

impl<S, R: Reach> Clone for Place<S, R> {
    fn clone(&self) -> Self {
        Place(self.0.clone())
    }
}

impl<S, R: Reach> Place<S, R> {
    pub(crate) fn new(state: S) -> Self {
        Place(R::pointer(R::cell(state)))
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        R::is_same(&self.0, &other.0)
    }

    /// The lock is a closure: nothing waits inside, and nothing of the user runs.
    pub(crate) fn with<T>(&self, body: impl FnOnce(&mut S) -> T) -> T {
        body(&mut R::lock(&self.0))
    }

    /// Waits until `enter` lets in at once (`None`) or who stands in the line it entered is called.
    /// Who gives up goes by `leave`, which tells whom to wake instead.
    pub(crate) fn wait(
        &self,
        (doing, deadline): (Doing, Deadline),
        enter: impl FnOnce(&mut S, R::Waker) -> Option<u64>,
        stands: impl Fn(&S, u64) -> bool,
        leave: impl FnOnce(&mut S, u64) -> Option<R::Waker>,
    ) -> Result<(), Error> {
        let seat = R::sit();
        let waker = R::waker(&seat);
        let Some(place) = self.with(|state| enter(state, waker)) else { return Ok(()) };
        while self.with(|state| stands(state, place)) {
            if let Err(error) = R::wait(&seat, doing, deadline) {
                let next = self.with(|state| leave(state, place));
                next.into_iter().for_each(R::wake);
                return Err(error);
            }
        }
        Ok(())
    }
}
