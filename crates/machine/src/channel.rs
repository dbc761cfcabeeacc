//! Channels: values on their way from coroutines to coroutines, in order. [`local`] ones stay on
//! one machine, [`shared`] ones connect machines. Both are bounded, both ends may be cloned, and
//! both have deadlines: no end waits for ever unless it says so.
//!
//! ```
//! use machine::channel::{self, Limits};
//! use machine::{Deadline, EngineConfig, Error};
//!
//! let config = EngineConfig { machines: 2, ..EngineConfig::default() };
//! let heard = machine::run(config, |engine| {
//!     let (sender, receiver) = channel::shared(Limits::hard(4));
//!     engine.machines()[1].spawn("counts", move || {
//!         for n in 0..10 {
//!             sender.send(n, Deadline::NEVER).expect("the receiver listens"); // waits for room
//!         }
//!     })?;
//!     let mut heard = Vec::new();
//!     loop {
//!         match receiver.recv(Deadline::NEVER) {
//!             Ok(n) => heard.push(n),
//!             Err(Error::Closed) => return Ok::<_, Error>(heard), // the sender is gone
//!             Err(error) => return Err(error),
//!         }
//!     }
//! });
//! assert_eq!(heard??, (0..10).collect::<Vec<_>>());
//! # Ok::<(), Error>(())
//! ```

use std::collections::VecDeque;
use std::fmt;

use crate::notified::Notifier;
use crate::sync::generic::Reach;
use crate::sync::line::Permits;
use crate::sync::reach::Place;
use crate::sync::{Local, Shared};
use crate::{Deadline, Doing, Error};

/// How much a channel holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So many values, and [`Sender::send`] waits. At least 1.
    pub soft: usize,
    /// So many, and [`Sender::try_send`] refuses. At least `soft`.
    pub hard: usize,
}

impl Limits {
    /// `n` for those who can wait and for those who cannot.
    #[must_use]
    pub const fn hard(n: usize) -> Limits {
        Limits { soft: n, hard: n }
    }

    /// `n` for those who can wait, twice as many for those who cannot.
    #[must_use]
    pub const fn soft(n: usize) -> Limits {
        Limits { soft: n, hard: n.saturating_mul(2) }
    }
}

/// A value that was not sent, and why.
pub struct SendError<T> {
    /// It comes back.
    pub value: T,
    /// `Closed`, `QueueFull`, `TimedOut`, `Cancelled` or `NotOnMachine`.
    pub error: Error,
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T> std::error::Error for SendError<T> {}

impl<T> From<SendError<T>> for Error {
    fn from(unsent: SendError<T>) -> Error {
        unsent.error
    }
}

/// What the ends share. Every value has a permit of `ready`, every free place one of `room`.
struct State<T, W> {
    values: VecDeque<T>,
    /// Values that nobody comes for yet.
    ready: Permits<W>,
    /// Places below the soft limit that nobody comes for; negative beyond it.
    room: Permits<W>,
    limits: Limits,
    senders: usize,
    receivers: usize,
    closed: bool,
    /// Hears of every value and of the end.
    herald: Option<Notifier>,
}

impl<T, W> State<T, W> {
    /// Takes one in that has its place; who waits for a value is to be woken.
    fn push(&mut self, value: T) -> (Option<W>, Option<Notifier>) {
        self.values.push_back(value);
        (self.ready.give(), self.herald.clone())
    }

    /// No more values come in; everybody who waits is to be woken.
    fn close(&mut self) -> (Vec<W>, Option<Notifier>) {
        self.closed = true;
        let mut woken = self.ready.dissolve();
        woken.extend(self.room.dissolve());
        (woken, self.herald.take())
    }

    fn is_full(&self) -> bool {
        let places = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        places(self.limits.soft) - self.room.free() >= places(self.limits.hard)
    }
}

type Core<T, R> = Place<State<T, <R as Reach>::Waker>, R>;

/// The ends of a channel between coroutines of one machine. Neither can leave it:
///
/// ```compile_fail
/// fn send<T: Send>(_: T) {}
/// send(machine::channel::local::<u8>(machine::channel::Limits::hard(1)));
/// ```
#[must_use]
pub fn local<T>(limits: Limits) -> (Sender<T, Local>, Receiver<T, Local>) {
    channel(limits)
}

/// The ends of a channel between coroutines of any machines. Plain threads have the calls that do
/// not wait.
#[must_use]
pub fn shared<T: Send>(limits: Limits) -> (Sender<T, Shared>, Receiver<T, Shared>) {
    channel(limits)
}

pub(crate) fn channel<T, R: Reach>(limits: Limits) -> (Sender<T, R>, Receiver<T, R>) {
    let soft = limits.soft.max(1);
    let core = Place::new(State {
        values: VecDeque::new(),
        ready: Permits::new(0),
        room: Permits::new(soft),
        limits: Limits { soft, hard: limits.hard.max(soft) },
        senders: 1,
        receivers: 1,
        closed: false,
        herald: None,
    });
    (Sender { core: core.clone() }, Receiver { core })
}

fn wake<R: Reach>((waiter, herald): (Option<R::Waker>, Option<Notifier>)) {
    waiter.into_iter().for_each(R::wake);
    herald.iter().for_each(Notifier::notify);
}

fn wake_all<R: Reach>((waiters, herald): (Vec<R::Waker>, Option<Notifier>)) {
    waiters.into_iter().for_each(R::wake);
    herald.iter().for_each(Notifier::notify);
}

/// The end that values go into. When the last one is dropped, the receivers get what is left and
/// then `Closed`.
pub struct Sender<T, R: Reach> {
    core: Core<T, R>,
}

impl<T, R: Reach> Sender<T, R> {
    /// Waits for a place below the soft limit and puts `value` there.
    ///
    /// # Errors
    /// `Closed` when nobody can receive it any more, `TimedOut`, `Cancelled`, `NotOnMachine`; the
    /// value comes back.
    pub fn send(&self, value: T, deadline: Deadline) -> Result<(), SendError<T>> {
        if let Err(error) = self.reserve(deadline) {
            return Err(SendError { value, error });
        }
        let sent = self.core.with(|state| match state.closed {
            true => Err(value),
            false => Ok(state.push(value)),
        });
        sent.map(wake::<R>).map_err(|value| SendError { value, error: Error::Closed })
    }

    /// A place, or the end of the channel.
    fn reserve(&self, deadline: Deadline) -> Result<(), Error> {
        R::breathe()?;
        if self.core.with(|state| state.closed || state.room.take()) {
            return Ok(());
        }
        self.core.wait(
            (Doing::Send, deadline),
            |state, waker| match state.closed || state.room.take() {
                true => None,
                false => Some(state.room.enter(waker)),
            },
            |state, place| state.room.stands(place),
            |state, place| state.room.leave(place),
        )
    }

    /// Puts `value` into the channel now, up to the hard limit and past those who wait for a place:
    /// for who cannot wait. It may be called on any thread that may have the sender.
    ///
    /// # Errors
    /// `QueueFull` at the hard limit, `Closed`; the value comes back.
    pub fn try_send(&self, value: T) -> Result<(), SendError<T>> {
        let sent = self.core.with(|state| {
            if state.closed {
                return Err((value, Error::Closed));
            }
            if state.is_full() {
                let max = state.limits.hard;
                return Err((value, Error::QueueFull { queue: "channel", max }));
            }
            state.room.overdraw();
            Ok(state.push(value))
        });
        sent.map(wake::<R>).map_err(|(value, error)| SendError { value, error })
    }

    /// Ends the channel: nobody can send any more, what is in it can be received.
    pub fn close(&self) {
        wake_all::<R>(self.core.with(State::close));
    }

    /// Can nobody send any more?
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.core.with(|state| state.closed)
    }

    /// Values in the channel.
    #[must_use]
    pub fn len(&self) -> usize {
        self.core.with(|state| state.values.len())
    }

    /// Is none in it?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T, R: Reach> Clone for Sender<T, R> {
    fn clone(&self) -> Self {
        self.core.with(|state| state.senders += 1);
        Sender { core: self.core.clone() }
    }
}

impl<T, R: Reach> Drop for Sender<T, R> {
    fn drop(&mut self) {
        let woken = self.core.with(|state| {
            state.senders -= 1;
            if state.senders == 0 { state.close() } else { (Vec::new(), None) }
        });
        wake_all::<R>(woken);
    }
}

/// The end that values come out of. When the last one is dropped, what is left is dropped and the
/// senders get `Closed`.
pub struct Receiver<T, R: Reach> {
    core: Core<T, R>,
}

impl<T, R: Reach> Receiver<T, R> {
    /// Waits for a value. Several receivers are served in the order of their arrival.
    ///
    /// # Errors
    /// `Closed` when the channel is closed and empty, `TimedOut`, `Cancelled`, `NotOnMachine`; no
    /// value is lost by any of them.
    pub fn recv(&self, deadline: Deadline) -> Result<T, Error> {
        R::breathe()?;
        self.core.wait(
            (Doing::Receive, deadline),
            |state, waker| match state.ready.take() || state.closed {
                true => None,
                false => Some(state.ready.enter(waker)),
            },
            |state, place| state.ready.stands(place),
            |state, place| state.ready.leave(place),
        )?;
        self.pop().ok_or(Error::Closed) // of an open channel everybody here has his value
    }

    /// A value if there is one that nobody else comes for.
    ///
    /// # Errors
    /// `Closed` when the channel is closed and empty.
    pub fn try_recv(&self) -> Result<Option<T>, Error> {
        match self.core.with(|state| (state.ready.take(), state.closed)) {
            (false, false) => Ok(None),
            _ => self.pop().map(Some).ok_or(Error::Closed),
        }
    }

    fn pop(&self) -> Option<T> {
        let (value, next) = self.core.with(|state| {
            let value = state.values.pop_front();
            debug_assert!(value.is_some() || state.closed, "a permit stands for a value");
            let next = if value.is_some() { state.room.give() } else { None };
            (value, next)
        });
        next.into_iter().for_each(R::wake);
        value
    }

    /// Puts back what was received, in front of all others; the limits do not hold it up.
    pub fn unread(&self, value: T) {
        let woken = self.core.with(|state| {
            state.values.push_front(value);
            state.room.overdraw();
            (state.ready.give(), state.herald.clone())
        });
        wake::<R>(woken);
    }

    /// `herald` is notified of every value that comes and of the end, from now on: so a coroutine
    /// waits for a channel and for streams together ([`crate::wait_any`]). It takes the flag first
    /// and then what [`try_recv`](Receiver::try_recv) gives, until that gives nothing.
    pub fn announce(&self, herald: Notifier) {
        let is_due = self.core.with(|state| {
            let is_due = state.closed || !state.values.is_empty();
            state.herald = Some(herald.clone());
            is_due
        });
        if is_due {
            herald.notify();
        }
    }

    /// Ends the channel: nobody can send any more, what is in it can be received.
    pub fn close(&self) {
        wake_all::<R>(self.core.with(State::close));
    }

    /// Values in the channel.
    #[must_use]
    pub fn len(&self) -> usize {
        self.core.with(|state| state.values.len())
    }

    /// Is none in it?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T, R: Reach> Clone for Receiver<T, R> {
    fn clone(&self) -> Self {
        self.core.with(|state| state.receivers += 1);
        Receiver { core: self.core.clone() }
    }
}

impl<T, R: Reach> Drop for Receiver<T, R> {
    fn drop(&mut self) {
        let (woken, left) = self.core.with(|state| {
            state.receivers -= 1;
            match state.receivers {
                0 => (state.close(), std::mem::take(&mut state.values)),
                _ => ((Vec::new(), None), VecDeque::new()),
            }
        });
        wake_all::<R>(woken);
        drop(left); // outside of the lock: values have a Drop of their own
    }
}
