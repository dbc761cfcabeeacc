//! Stackful coroutines with an address: one event loop a thread, sockets, timers, parked sessions.
//!
//! A *machine* is a thread with an event loop. A *coroutine* is born, waits and dies on one machine
//! (the affinity law): so it may use thread-locals and `Rc`, and [`spawn`] asks for no `Send`. What
//! changes machines is a [`Parcel`] (a folded socket), a closure given to [`MachineHandle::spawn`],
//! and the flag of a [`Notifier`]. Every wait takes a [`Deadline`] and ends early with
//! [`Error::Cancelled`] when its coroutine is cancelled. A [`Session`] that has nothing to say is
//! parked: it keeps its value and gives up its stack.
//!
//! ```
//! use machine::{Deadline, EngineConfig, Error};
//! use std::time::Duration;
//!
//! let answer = machine::run(EngineConfig::default(), |_engine| {
//!     let child = machine::spawn("child", || {
//!         machine::sleep(Duration::from_millis(1))?;
//!         Ok::<_, Error>(42)
//!     })?;
//!     child.join(Deadline::NEVER)?
//! });
//! assert_eq!(answer??, 42);
//! # Ok::<(), Error>(())
//! ```
//!
//! A server is a [`Listener`] that [serves](Listener::serve), with an example there; a client is
//! [`Stream::connect`]; a proxy is both and [`relay`].
//!
//! One thing must not be done in a coroutine: block the thread. No lock is held over a wait, files
//! and name lookups go to [`offload`], and who computes for more than a millisecond calls
//! [`yield_now`].
//!
//! Where to find it: `engine` (start, end) → `reactor` (the loop) → `machine` (what one thread
//! owns) → `coroutine`, `scope`, `park`, `wait` (who runs, who waits) → `io` (sockets), [`sync`]
//! and [`channel`] (each other), and [`tls`] inside a socket. `mailbox` and `notified` are what
//! other threads see. Unsafe code is in `substrate` (stacks), `sys`, `sys::process`, `sys::socket`
//! (system calls, a signal handler, one call of OpenSSL) and `scope` (one lifetime). The only
//! statics are the flags that make a second engine an error and let nobody claim the title of the
//! process twice, and a place in a table of OpenSSL's.

mod agreement;
mod atomic;
mod buffer;
mod census;
pub mod channel;
mod clock;
mod coroutine;
mod dump;
mod engine;
mod error;
mod io;
mod machine;
mod mailbox;
mod names;
mod notified;
mod offload;
mod overflow;
mod panics;
mod park;
mod private;
mod reactor;
mod resolve;
mod scope;
mod signal;
mod slab;
mod stats;
mod substrate;
pub mod sync;
mod sys;
mod timer;
pub mod tls;
mod wait;

pub use buffer::{BUFFER_BYTES, Buffer};
pub use census::{Census, CoroutineId, Doing, Resident};
pub use clock::Deadline;
pub use coroutine::{
    Builder, JoinHandle, current, current_id, current_name, is_cancelled, now, shield, sleep,
    spawn, step_aside, yield_now,
};
pub use engine::{Engine, EngineConfig, MachineHandle, OnPanic, Seat, run};
pub use error::Error;
pub use io::address::Address;
pub use io::listener::{ListenOptions, Listener};
pub use io::parcel::{Parcel, Watcher};
pub use io::passing::DESCRIPTORS_MAX;
pub use io::relay::{RelayEnd, RelayLimits, Relayed, Side, relay};
pub use io::stream::{Keepalive, Progress, Stream, StreamOptions};
pub use names::{Names, NamesCount};
pub use notified::{Notified, Notifier};
pub use offload::{Offload, OffloadStats, offload, offload_stats};
pub use park::{Served, Session, Wakers, become_session, start_session};
pub use private::local;
pub use resolve::{host_name, resolve};
pub use scope::{Scope, ScopedJoinHandle, scope};
pub use signal::{Signal, Signals};
pub use stats::{MachineStats, TURN_OCTAVES};
pub use sys::{process, raise_file_limit};
pub use wait::{Interest, Woken, wait_any};
