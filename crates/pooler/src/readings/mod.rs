//! Readings: what can be known of the process now, as plain values, for whoever shows it: the
//! console, metrics. They are taken when somebody asks; nothing is written for them that is not
//! written anyway. They are in no order, and each is true for its own moment only.

mod archive;
mod clients;
mod hosts;
mod routes;
mod servers;

pub use archive::Archive;
pub use clients::{ClientReading, ClientState, accounts, clients};
pub use hosts::hosts;
pub use routes::{Counted, RouteReading, SeenTotals, counted, database_totals, routes};
pub use servers::{ServerReading, server_state, servers};
