//! Bells: how anybody wakes a service of the process, such as the janitor or the watcher. A bell
//! that rings before its service runs is lost, for each looks at everything when it begins.

use std::sync::OnceLock;

use machine::{Notified, Notifier};

/// Rings where one service waits.
#[derive(Default)]
pub struct Bell(OnceLock<Notifier>);

impl Bell {
    /// Rings there from now on. Called once, by the service that waits there.
    pub fn hang(&self, notified: &Notified) {
        let _ = self.0.set(notified.notifier());
    }

    /// There is something to look at.
    pub fn ring(&self) {
        if let Some(bell) = self.0.get() {
            bell.notify();
        }
    }
}
