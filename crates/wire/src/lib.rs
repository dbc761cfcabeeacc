//! The PostgreSQL protocol, sans-I/O: frames, messages, the conversation, authentication.
//!
//! Versions 3.0 and 3.2 as PostgreSQL 13–18 speak them. Nothing here has a socket, a clock, a
//! thread or a source of randomness: bytes go in, values come out, and the other way round.

pub mod auth;
pub mod backend;
pub mod conversation;
mod cursor;
pub mod encode;
mod error;
pub mod frame;
pub mod frontend;
mod notice;
pub mod proxy;
pub mod scan;
pub mod settings;
pub mod startup;
pub mod tag;
#[cfg(test)]
mod tests;
mod text;

pub use conversation::{Conversation, Heard, Noted, Owner, Purpose, Quiescent, Sent};
pub use cursor::{Oids, Words16};
pub use error::{Fault, Malformed, Unexpected};
pub use notice::{Notice, NoticeView, Severity};
pub use settings::Settings;
pub use startup::CancelKey;
pub use text::Text;
