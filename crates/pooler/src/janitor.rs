//! The janitor: closes servers that were idle for too long or live too long, and forgets routes
//! nobody uses. It wakes when something is due, and when a server was opened; never otherwise.

use std::sync::Arc;
use std::time::{Duration, Instant};

use machine::{Deadline, Notified};

use crate::backend::Home;
use crate::shared::Shared;

/// Not more often than this, however many servers expire one after the other: Odyssey's period.
const ROUND: Duration = Duration::from_secs(1);

/// Runs as a coroutine until it is cancelled.
pub(crate) fn run(shared: &Arc<Shared>) {
    let notified = Notified::new();
    let _ = shared.opened.set(notified.notifier());
    loop {
        let homes = shared.homes();
        homes.iter().for_each(|home| home.expire());
        shared.routes.collect(machine::now());
        let next = homes.iter().filter_map(|home| next_round(home)).min();
        drop(homes);
        if machine::wait_any(&[], Some(&notified), next.map_or(Deadline::NEVER, Deadline::at))
            .is_err()
        {
            return;
        }
        let _ = notified.take();
        if machine::sleep(ROUND).is_err() {
            return;
        }
    }
}

/// When to look at this route again: when its next idle server is due; a server in use now may be
/// idle and due half its time later.
fn next_round(home: &Home) -> Option<Instant> {
    let rule = home.route.rule();
    let (servers, idle_due) = home.route.with(|pool| (pool.counts().servers(), pool.next_expiry()));
    let limit = [rule.pool_ttl, rule.server_lifetime].into_iter().flatten().min()?;
    let in_use = (servers > 0).then(|| machine::now() + limit.div_f32(2.0).max(ROUND));
    [idle_due, in_use].into_iter().flatten().min()
}
