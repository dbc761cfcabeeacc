//! What every black-box test stands on: a throw-away PostgreSQL, the real pooler, a client that
//! speaks raw protocol, servers that misbehave on purpose. No test sleeps: it polls a condition
//! with a limit.

#[path = "../../crates/machine/tests/common/certificates.rs"]
pub mod certificates;
pub mod client;
pub mod fake;
pub mod login;
pub mod message;
pub mod papers;
pub mod play;
pub mod pooler;
pub mod postgres;
pub mod process;
pub mod seeded;
pub mod stage;

pub use client::{Answer, Client};
pub use fake::FakeServer;
pub use login::Login;
pub use message::{PgError, Wire};
pub use papers::Papers;
pub use play::{Play, Stage};
pub use pooler::{Pooler, Setup};
pub use postgres::Postgres;
pub use seeded::Seeded;

use std::time::{Duration, Instant};

/// How long an answer may take before a test calls it a hang. Generous: the machine is shared.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How long the traces of a vanished client may live on the server: a second, and some more where
/// the processor is somebody else's. Without us they live for a minute, or for ever.
pub const CLEANUP: Duration = Duration::from_secs(6);

const POLL: Duration = Duration::from_millis(5);

/// Polls until `probe` has something, or fails the test after `limit`.
pub fn until<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < end, "waited {limit:?} for {what}");
        std::thread::park_timeout(POLL);
    }
}

/// A measurement that a busy machine may spoil: it is made again, a few times at most. What is
/// wrong with the pooler spoils it each time.
pub fn in_some_try<T>(mut measure: impl FnMut() -> Result<T, String>) -> T {
    const TRIES: usize = 5;
    let mut complaints = Vec::new();
    for _ in 0..TRIES {
        match measure() {
            Ok(good) => return good,
            Err(complaint) => complaints.push(complaint),
        }
    }
    panic!("in each of {TRIES} tries: {complaints:#?}");
}

/// Lets `span` pass, for tests that prove that nothing happens meanwhile.
pub fn let_pass(span: Duration) {
    let end = Instant::now() + span;
    while let Some(rest) = end.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(rest);
    }
}
