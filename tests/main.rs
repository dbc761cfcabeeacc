//! Black-box tests: the real pooler between a real PostgreSQL and clients that behave, misbehave
//! and die. One topic a file; what they stand on is in `support`.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod drivers;
mod duplex;
mod endings;
mod hostile;
mod pool_cancels;
mod pool_options;
mod pool_shares;
mod pooling;
mod process;
mod queries;
mod slow_reader;
mod startup_and_auth;
mod support;
mod tools;
