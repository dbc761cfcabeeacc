//! Online restart: another process takes the place of this one. The old one starts the new one,
//! hands it its listening sockets and its idle clients, and ends when its last client is gone; if
//! the new one does not come up, nothing has happened. Between the two is a *line*, a Unix socket
//! that the new one finds as its standard input. No server and no statistics are handed over.

mod frame;
mod kin;
mod line;
mod luggage;
mod predecessor;
mod successor;

pub use kin::{Kin, Verdict};
pub use luggage::{Luggage, Unnamed};
pub(crate) use predecessor::{Inheritance, follow};
pub(crate) use successor::{News, Raising, Word};
