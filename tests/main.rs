//! Black-box tests: the real pooler between a real PostgreSQL and clients that behave, misbehave
//! and die. One topic a file; what they stand on is in `support`.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod auth_matrix;
mod auth_query;
mod broken_files;
mod command_line;
mod contract;
mod convert;
mod daemon;
mod doors;
mod drivers;
mod duplex;
mod endings;
mod first_login;
mod function_calls;
mod groups;
mod hostile;
mod logs;
mod metrics;
mod modes;
mod odd_orders;
mod outsiders;
mod pool_cancels;
mod pool_options;
mod pool_shares;
mod pooling;
mod prepared;
mod process;
mod queries;
mod reload;
mod replication;
mod residue;
mod routing;
mod settings;
mod slow_reader;
mod soak;
mod startup_and_auth;
mod statistics;
mod support;
mod timeouts;
mod tls;
mod tools;
mod virtual_setting;
