//! Checkers: those outside who are asked whether a password is right, a PAM service or an LDAP
//! server, by calls that block. Each has a few threads of its own, so that one that hangs harms
//! nobody who logs in by another, nor anything else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use machine::{Deadline, Offload};

/// Of one checker. As many logins by it go on at once; the others wait.
const THREADS: usize = 4;
/// Logins that wait for one of them; more are refused at once.
const QUEUE_MAX: usize = 256;
/// Checkers there are threads for. They come from the configuration; those of former ones end when
/// there are more.
const CHECKERS_MAX: usize = 32;

/// The threads of all of them.
#[derive(Default)]
pub struct Checkers(Mutex<HashMap<String, Arc<Offload>>>);

impl Checkers {
    /// Runs `body`, which asks the checker of that name, on one of its threads. From a coroutine.
    ///
    /// # Errors
    /// `TimedOut` by the deadline, `QueueFull`, `Cancelled`, `Panicked`.
    pub fn ask<T: Send + 'static>(
        &self,
        name: &str,
        body: impl FnOnce() -> T + Send + 'static,
        deadline: Deadline,
    ) -> Result<T, machine::Error> {
        // Nobody waits for it any more: the thread is for those who do.
        let body = move || (!deadline.is_past(Instant::now())).then(body);
        let answer = self.threads(name).run(body, deadline)?;
        answer.ok_or(machine::Error::TimedOut)
    }

    fn threads(&self, name: &str) -> Arc<Offload> {
        let mut checkers = self.0.lock().expect("nothing panics under this lock");
        if let Some(threads) = checkers.get(name) {
            return Arc::clone(threads);
        }
        if checkers.len() >= CHECKERS_MAX {
            checkers.retain(|_, threads| Arc::strong_count(threads) > 1);
        }
        let threads = Arc::new(Offload::new(THREADS, QUEUE_MAX, "checker-"));
        checkers.insert(name.to_owned(), Arc::clone(&threads));
        threads
    }
}
