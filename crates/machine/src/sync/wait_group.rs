//! A wait group: somebody waits until all of several things are done.

use super::line::Line;
use super::reach::{Place, Reach};
use crate::{Deadline, Doing, Error};

struct State<W> {
    members: usize,
    line: Line<W>,
}

/// Counts members, and lets wait until there is none. A member is done when it is dropped, by a
/// return or by a panic.
pub struct WaitGroup<R: Reach> {
    state: Place<State<R::Waker>, R>,
}

impl<R: Reach> Clone for WaitGroup<R> {
    fn clone(&self) -> Self {
        WaitGroup { state: self.state.clone() }
    }
}

impl<R: Reach> Default for WaitGroup<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Reach> WaitGroup<R> {
    /// Without members: who waits goes on at once.
    #[must_use]
    pub fn new() -> Self {
        WaitGroup { state: Place::new(State { members: 0, line: Line::new() }) }
    }

    /// One more to wait for.
    pub fn join(&self) -> Member<R> {
        self.state.with(|state| state.members += 1);
        Member { group: self.clone() }
    }

    /// Members that are not done.
    #[must_use]
    pub fn count(&self) -> usize {
        self.state.with(|state| state.members)
    }

    /// Waits until no member is left. New ones that join before it runs again do not hold it.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `NotOnMachine`.
    pub fn wait(&self, deadline: Deadline) -> Result<(), Error> {
        R::breathe()?;
        self.state.wait(
            (Doing::WaitGroup, deadline),
            |state, waker| (state.members > 0).then(|| state.line.enter(waker)),
            |state, place| state.line.stands(place),
            |state, place| {
                state.line.leave(place);
                None
            },
        )
    }
}

/// Something that a [`WaitGroup`] waits for; dropping it says that it is done.
#[must_use]
pub struct Member<R: Reach> {
    group: WaitGroup<R>,
}

impl<R: Reach> Drop for Member<R> {
    fn drop(&mut self) {
        let woken = self.group.state.with(|state| {
            state.members -= 1;
            if state.members == 0 { state.line.call_all() } else { Vec::new() }
        });
        woken.into_iter().for_each(R::wake);
    }
}
