//! An event: it happens again and again, and may make others happen.

use super::line::Line;
use super::reach::{Place, Reach};
use crate::{Deadline, Doing, Error};

/// Events that one signal may pass; a ring of events ends here, too.
const HOPS_MAX: usize = 32;

/// By what a wait for an [`Event`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The event itself was signalled.
    Direct,
    /// Another one was, from which it [propagates](Event::propagate_to).
    Propagated,
}

struct State<R: Reach> {
    line: Line<R::Waker>,
    /// A signal that nobody waited for.
    left: Option<Signal>,
    /// The signal that those heard who are on their way.
    last: Signal,
    /// How many those were, less those who gave up on their way.
    hearers: usize,
    /// Where signals go on to.
    next: Option<Event<R>>,
}

/// Something that happens again and again. A signal wakes all who wait; when nobody waits, it is
/// left for the next who does, once. It carries no data.
pub struct Event<R: Reach> {
    state: Place<State<R>, R>,
}

impl<R: Reach> Clone for Event<R> {
    fn clone(&self) -> Self {
        Event { state: self.state.clone() }
    }
}

impl<R: Reach> Default for Event<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Reach> Event<R> {
    /// Not signalled, propagating to none.
    #[must_use]
    pub fn new() -> Self {
        let (line, last) = (Line::new(), Signal::Direct);
        Event { state: Place::new(State { line, left: None, last, hearers: 0, next: None }) }
    }

    /// Whenever this one is signalled, `other` is, too: one coroutine can wait for any of several
    /// events. Replaces what was said before; `None` ends it. A signal is passed on 32 times at
    /// most and not back to where it began, so a ring of events does no harm, but is never freed.
    pub fn propagate_to(&self, other: Option<&Event<R>>) {
        let before = self.state.with(|state| std::mem::replace(&mut state.next, other.cloned()));
        drop(before); // outside of the lock: it may be the last handle of another
    }

    /// Happens now.
    pub fn signal(&self) {
        let mut next = self.hear(Signal::Direct);
        for _ in 1..HOPS_MAX {
            let Some(event) = next.filter(|event| !event.state.is_same(&self.state)) else {
                return;
            };
            next = event.hear(Signal::Propagated);
        }
    }

    /// Waits for a signal, or takes the one that was left.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `NotOnMachine`.
    pub fn wait(&self, deadline: Deadline) -> Result<Signal, Error> {
        R::breathe()?;
        let mut left = None;
        self.state.wait(
            (Doing::Event, deadline),
            |state, waker| {
                left = state.left.take();
                if left.is_some() { None } else { Some(state.line.enter(waker)) }
            },
            |state, place| state.line.stands(place),
            |state, place| {
                if !state.line.leave(place) {
                    state.hearers = state.hearers.saturating_sub(1); // of an earlier signal, too
                    if state.hearers == 0 && state.left.is_none() {
                        state.left = Some(state.last); // nobody heard it
                    }
                }
                None
            },
        )?;
        Ok(left.unwrap_or_else(|| self.state.with(|state| state.last)))
    }

    /// The signal that was left, if any.
    #[must_use]
    pub fn take(&self) -> Option<Signal> {
        self.state.with(|state| state.left.take())
    }

    fn hear(&self, signal: Signal) -> Option<Event<R>> {
        let (woken, next) = self.state.with(|state| {
            let woken = state.line.call_all();
            match woken.is_empty() {
                true => state.left = Some(signal),
                false => (state.last, state.hearers) = (signal, woken.len()),
            }
            (woken, state.next.clone())
        });
        woken.into_iter().for_each(R::wake);
        next
    }
}
