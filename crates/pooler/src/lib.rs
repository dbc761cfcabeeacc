//! The daemon: listeners, sessions, backends. It does what `router` decides, in straight-line code
//! on the coroutines of `machine`, with the words of `wire` and the wishes of `config`.

mod auth_query;
mod backend;
mod boot;
mod checkers;
mod cli;
mod daemon;
mod descriptors;
mod dialog;
mod durations;
mod ending;
mod errors;
mod face;
mod groups;
mod guesses;
mod histogram;
mod host;
mod id;
mod interner;
mod janitor;
mod keyring;
mod listener;
mod log;
mod metrics;
mod names;
mod nonsense;
mod passage;
mod permits;
mod pid_file;
mod random;
mod readings;
mod reload;
mod secure;
mod session;
mod shared;
mod shutdown;
mod sqlstates;
mod stats;
mod tally;
mod turns;
mod web;
mod world;

pub use cli::run;
