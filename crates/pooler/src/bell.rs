//! Bells: how anybody wakes a service of the process, such as the janitor or the watcher. A bell
//! that rings before its service runs is lost, for each looks at everything when it begins.

use std::sync::OnceLock;
use std::time::Instant;

use machine::{Deadline, Notified, Notifier, Woken};

/// Rings where one service waits.
#[derive(Default)]
pub struct Bell(OnceLock<Notifier>);

impl Bell {
    /// Rings at what is returned from now on. Called once, by the service that waits there.
    pub fn hang(&self) -> Ear {
        let notified = Notified::new();
        let _ = self.0.set(notified.notifier());
        Ear(notified)
    }

    /// There is something to look at.
    pub fn ring(&self) {
        if let Some(bell) = self.0.get() {
            bell.notify();
        }
    }
}

/// Where a bell is heard.
pub struct Ear(Notified);

impl Ear {
    /// Waits for the bell, no longer than until then.
    ///
    /// # Errors
    /// The service is cancelled.
    pub fn wait(&self, until: Option<Instant>) -> Result<Woken, machine::Error> {
        let deadline = until.map_or(Deadline::NEVER, Deadline::at);
        let woken = machine::wait_any(&[], Some(&self.0), deadline)?;
        let _ = self.0.take();
        Ok(woken)
    }
}
