//! Shut: a server said that it has too many connections. While others of the route are alive, its
//! clients wait for those instead of failing, and after a pause the oldest of them tries again.

use std::sync::Arc;
use std::time::Duration;

use router::Full;

use super::{Home, OpenFailure};
use crate::log::Who;

/// However often the server says so, it is asked again after this.
const PAUSE_MAX: Duration = Duration::from_secs(1);

impl Home {
    /// Whether the client that met this failure waits for another server.
    pub(super) fn may_wait_out(&self, failure: &OpenFailure) -> bool {
        let waits = failure.is_full() && self.route.rule().pool_timeout.is_some();
        waits && self.route.with(|pool| pool.has_live())
    }

    /// Opens nothing for a while, if there are clients that would wait and a server they could get.
    pub(super) fn shut(self: &Arc<Self>, failure: &OpenFailure) {
        if self.route.rule().pool_timeout.is_none() {
            return;
        }
        let Full::Closed(refusals) = self.route.with(|pool| pool.server_full()) else { return };
        if refusals == 1 {
            let who = Who { server: Some(failure.server), ..Who::default() };
            let text = format_args!("{failure}; waiting for a server that is open");
            self.shared.log.error("pool", &who, text);
        }
        let pause = self.pause(refusals);
        let home = Arc::clone(self);
        let spawned = machine::spawn("login retry", move || {
            let _ = machine::sleep(pause); // a cancelled one reopens at once
            home.reopen();
        });
        if spawned.is_err() {
            self.reopen();
        }
    }

    fn reopen(&self) {
        let now = machine::now();
        if let Some(waker) = self.decide(|pool| pool.reopen(now)) {
            waker.notify();
        }
    }

    /// `server_login_retry`, and twice as long after each refusal that follows.
    fn pause(&self, refusals: u32) -> Duration {
        let first = self.shared.config().global.server_login_retry;
        let grown = first.saturating_mul(1 << refusals.saturating_sub(1).min(16));
        grown.min(PAUSE_MAX.max(first))
    }
}
