//! The daemon: listeners, sessions, backends. It does what `router` decides, in straight-line code
//! on the coroutines of `machine`, with the words of `wire` and the wishes of `config`.

mod backend;
mod boot;
mod cli;
mod dialog;
mod ending;
mod groups;
mod id;
mod interner;
mod janitor;
mod keyring;
mod listener;
mod log;
mod nonsense;
mod passage;
mod permits;
mod random;
mod session;
mod shared;
mod shutdown;
mod stats;
mod tally;
mod turns;

pub use cli::run;
