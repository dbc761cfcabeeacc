//! A flag: something that happens once, and everybody may wait for it.

use super::line::Line;
use super::reach::{Place, Reach};
use crate::{Deadline, Doing, Error};

struct State<W> {
    set: bool,
    line: Line<W>,
}

/// Is not set, and then is set for ever. To wait for a flag together with streams use
/// [`crate::Notified`].
pub struct Flag<R: Reach> {
    state: Place<State<R::Waker>, R>,
}

impl<R: Reach> Clone for Flag<R> {
    fn clone(&self) -> Self {
        Flag { state: self.state.clone() }
    }
}

impl<R: Reach> Default for Flag<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Reach> Flag<R> {
    /// Not set.
    #[must_use]
    pub fn new() -> Self {
        Flag { state: Place::new(State { set: false, line: Line::new() }) }
    }

    /// Sets it and wakes all who wait.
    pub fn set(&self) {
        let woken = self.state.with(|state| {
            state.set = true;
            state.line.call_all()
        });
        woken.into_iter().for_each(R::wake);
    }

    /// Is it set?
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.state.with(|state| state.set)
    }

    /// Waits until it is set.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `NotOnMachine`.
    pub fn wait(&self, deadline: Deadline) -> Result<(), Error> {
        R::breathe()?;
        self.state.wait(
            (Doing::Flag, deadline),
            |state, waker| (!state.set).then(|| state.line.enter(waker)),
            |state, place| state.line.stands(place),
            |state, place| {
                state.line.leave(place);
                None
            },
        )
    }
}
