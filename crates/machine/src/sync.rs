//! Taking turns. Each of these comes in two reaches: those here are for the coroutines of one
//! machine (`Rc`, no atomic instruction), those of [`shared`] for coroutines of any machine.
//!
//! What they have in common: each is a handle, cheap to clone, and a clone is the same thing. Who
//! waits is served in the order of arrival. Who gives up (deadline, cancellation) leaves the line,
//! and what was given to him in that same moment goes to the next: nothing is lost. Nothing is
//! poisoned: a panic lets go like a return. Calls that may wait are for coroutines only and fail
//! with `NotOnMachine` elsewhere; the others work on any thread. A line is as long as there are
//! coroutines that wait.
//!
//! ```
//! use machine::sync::{Mutex, WaitGroup};
//! use machine::{Deadline, EngineConfig, Error};
//!
//! let sum = machine::run(EngineConfig::default(), |_| {
//!     let (sum, all) = (Mutex::new(0), WaitGroup::new());
//!     for i in 1..=4 {
//!         let (sum, member) = (sum.clone(), all.join());
//!         machine::spawn("adds", move || {
//!             let mut sum = sum.lock(Deadline::NEVER)?;
//!             let before = *sum;
//!             machine::yield_now(); // nobody else comes in between
//!             *sum = before + i;
//!             drop(member);
//!             Ok::<_, Error>(())
//!         })?;
//!     }
//!     all.wait(Deadline::NEVER)?;
//!     Ok::<_, Error>(*sum.lock(Deadline::NEVER)?)
//! });
//! assert_eq!(sum??, 10);
//! # Ok::<(), Error>(())
//! ```

pub(crate) mod event;
pub(crate) mod flag;
pub(crate) mod line;
pub(crate) mod mutex;
pub(crate) mod reach;
pub(crate) mod reaches;
pub(crate) mod semaphore;
pub(crate) mod wait_group;

pub use event::Signal;
pub use reaches::{Local, Shared};

/// An event of one machine; see [`generic::Event`].
///
/// ```
/// use machine::sync::Event;
/// let woken = machine::run(machine::EngineConfig::default(), |_| {
///     let event = Event::new();
///     let theirs = event.clone();
///     machine::spawn("signals", move || theirs.signal())?;
///     event.wait(machine::Deadline::NEVER)
/// });
/// assert_eq!(woken??, machine::sync::Signal::Direct);
/// # Ok::<(), machine::Error>(())
/// ```
///
/// It stays on its machine:
///
/// ```compile_fail
/// fn send<T: Send>() {}
/// send::<machine::sync::Event>();
/// ```
pub type Event = event::Event<Local>;

/// A flag of one machine; see [`generic::Flag`].
///
/// ```
/// use machine::sync::Flag;
/// let seen = machine::run(machine::EngineConfig::default(), |_| {
///     let ready = Flag::new();
///     let theirs = ready.clone();
///     machine::spawn("prepares", move || theirs.set())?;
///     ready.wait(machine::Deadline::NEVER)
/// });
/// seen??;
/// # Ok::<(), machine::Error>(())
/// ```
pub type Flag = flag::Flag<Local>;

/// A mutex of one machine; see [`generic::Mutex`].
pub type Mutex<T> = mutex::Mutex<T, Local>;

/// A locked [`Mutex`].
pub type MutexGuard<'a, T> = mutex::MutexGuard<'a, T, Local>;

/// A semaphore of one machine; see [`generic::Semaphore`].
///
/// ```
/// use machine::sync::Semaphore;
/// let left = machine::run(machine::EngineConfig::default(), |_| {
///     let seats = Semaphore::new(2);
///     let _permit = seats.acquire(machine::Deadline::NEVER)?;
///     Ok::<_, machine::Error>(seats.available())
/// });
/// assert_eq!(left??, 1);
/// # Ok::<(), machine::Error>(())
/// ```
///
/// It stays on its machine:
///
/// ```compile_fail
/// fn send<T: Send>() {}
/// send::<machine::sync::Semaphore>();
/// ```
pub type Semaphore = semaphore::Semaphore<Local>;

/// A permit of a [`Semaphore`].
pub type Permit = semaphore::Permit<Local>;

/// A wait group of one machine; see [`generic::WaitGroup`].
pub type WaitGroup = wait_group::WaitGroup<Local>;

/// A member of a [`WaitGroup`].
pub type Member = wait_group::Member<Local>;

/// The same for coroutines of different machines. A line and what it is about are under one lock
/// of the operating system, held for some instructions and never over a wait; a contended wait
/// costs one allocation, a wake-up across machines one letter.
///
/// ```
/// use machine::sync::shared::{Flag, Semaphore};
/// fn send<T: Send + Sync>() {}
/// send::<Semaphore>();
/// send::<Flag>();
/// let config = machine::EngineConfig { machines: 2, ..Default::default() };
/// let told = machine::run(config, |engine| {
///     let done = Flag::new();
///     let theirs = done.clone();
///     engine.machines()[1].spawn("elsewhere", move || theirs.set())?;
///     done.wait(machine::Deadline::NEVER)
/// });
/// told??;
/// # Ok::<(), machine::Error>(())
/// ```
pub mod shared {
    use super::{Shared, event, flag, mutex, semaphore, wait_group};

    /// An event of all machines; see [`super::generic::Event`].
    pub type Event = event::Event<Shared>;
    /// A flag of all machines; see [`super::generic::Flag`].
    pub type Flag = flag::Flag<Shared>;
    /// A mutex of all machines; see [`super::generic::Mutex`]. For data that is needed over a wait;
    /// what is changed in some instructions has a `std::sync::Mutex`, never held over a wait.
    pub type Mutex<T> = mutex::Mutex<T, Shared>;
    /// A locked [`Mutex`]. It stays where it was locked.
    pub type MutexGuard<'a, T> = mutex::MutexGuard<'a, T, Shared>;
    /// A semaphore of all machines; see [`super::generic::Semaphore`].
    pub type Semaphore = semaphore::Semaphore<Shared>;
    /// A permit of a [`Semaphore`].
    pub type Permit = semaphore::Permit<Shared>;
    /// A wait group of all machines; see [`super::generic::WaitGroup`].
    pub type WaitGroup = wait_group::WaitGroup<Shared>;
    /// A member of a [`WaitGroup`].
    pub type Member = wait_group::Member<Shared>;
}

/// The types behind both reaches, with their documentation.
pub mod generic {
    pub use super::event::Event;
    pub use super::flag::Flag;
    pub use super::mutex::{Mutex, MutexGuard};
    pub use super::reach::Reach;
    pub use super::semaphore::{Permit, Semaphore};
    pub use super::wait_group::{Member, WaitGroup};
}
