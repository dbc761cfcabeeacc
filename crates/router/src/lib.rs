//! The decisions: rules, routes and pools. No I/O, no clock, no threads.
//!
//! Every decision is a plain call that takes `now` where it needs time and returns what to do; the
//! pooler does it. Nothing here waits, and nothing here knows SQL, SQLSTATEs or sockets.

mod budget;
mod cancel;
mod chain;
mod gates;
mod hba;
mod hosts;
mod limits;
mod numbers;
mod pool;
mod queue;
mod refusal;
mod route;
mod rules;
mod slot;
mod statements;
mod stats;
#[cfg(test)]
mod testing;

pub use budget::{Budget, Errand, Member, Share};
pub use cancel::{CancelKeys, ClientKey};
pub use gates::{GATES_MAX, Gates, Stuck};
pub use hba::Visitor;
pub use hosts::{Hosts, Role, Seen, Wants, Wish};
pub use limits::{Admission, ClientLimit};
pub use numbers::{NumberHasher, NumberMap};
pub use pool::{
    Asker, CancelTicket, Census, Checkin, Checkout, Claim, ClientId, Full, GaveUp, Grant, Limits,
    Pool, Retuned, Shares, SlotView,
};
pub use queue::Ticket;
pub use refusal::{Refusal, Scope};
pub use route::{
    Done, Gated, Parameters, ROUTES_MAX, Route, RouteKey, Routes, RuleNow, WAITERS_MAX,
};
pub use rules::{Ask, CONSOLES, Group, Host, Members, Membership, Question, Rules, Verdict};
pub use slot::{SlotKey, State};
pub use statements::{
    Interned, NAME_BYTES_MAX, NAMED_BYTES_MAX, NAMES_MAX, Names, NamesFull, Prepared,
    STATEMENTS_PER_SERVER_MAX, Statement, StatementName, Statements, significant_name,
};
pub use stats::{Counters, Counts};
