//! The janitor: closes servers that were idle for too long or live too long, opens those that a
//! route is to keep, and forgets routes nobody uses. It wakes when something is due, and when a
//! server was opened or lost; never otherwise.

use std::sync::Arc;
use std::time::{Duration, Instant};

use config::{Authentication, Name, Rule, StorageKind, UserName};
use machine::{Deadline, JoinHandle};
use wire::startup::Replication;

use crate::backend::Home;
use crate::shared::Shared;
use crate::world::World;

/// Not more often than this, however many servers expire one after the other: Odyssey's period.
const ROUND: Duration = Duration::from_secs(1);

/// A server that cannot be opened is not worth more than one attempt in this time.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// A route that keeps servers open, whether or not it has clients.
struct Kept {
    home: Arc<Home>,
    /// The server that is being opened: one at a time.
    opening: Option<JoinHandle<bool>>,
    /// Attempts that failed one after the other.
    failures: u32,
    /// Not to be tried before.
    retry_at: Option<Instant>,
}

/// Runs as a coroutine until it is cancelled.
pub(crate) fn run(shared: &Arc<Shared>) {
    let bell = shared.janitor.hang();
    let (mut kept, mut world) = (Vec::new(), None);
    loop {
        keep_what_is_in_force(shared, &mut kept, &mut world);
        let homes = shared.homes();
        homes.iter().for_each(|home| look_after(home));
        kept.iter_mut().for_each(Kept::fill);
        let expiries = homes.iter().filter_map(|home| next_round(home));
        let next = expiries.chain(kept.iter().filter_map(Kept::next_round)).min();
        drop(homes); // a route is collected when nobody has it
        shared.routes.collect(machine::now());
        if bell.wait(next).is_err() || machine::sleep(ROUND).is_err() {
            return;
        }
    }
}

/// After a reload other rules keep servers.
fn keep_what_is_in_force(
    shared: &Arc<Shared>,
    kept: &mut Vec<Kept>,
    seen: &mut Option<Arc<World>>,
) {
    let world = Arc::clone(&shared.world());
    if seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &world)) {
        return;
    }
    kept.retain(Kept::is_in_force);
    for rule in &world.config.rules {
        let Some(home) = home_to_keep(shared, rule) else { continue };
        for home in std::iter::once(&home).chain(&home.others) {
            if !kept.iter().any(|one| Arc::ptr_eq(&one.home, home)) {
                let home = Arc::clone(home);
                kept.push(Kept { home, opening: None, failures: 0, retry_at: None });
            }
        }
    }
    *seen = Some(world);
}

/// The home of a rule that keeps servers; None when it keeps nothing. Its route lives as long as
/// the rule does.
fn home_to_keep(shared: &Arc<Shared>, rule: &Arc<Rule>) -> Option<Arc<Home>> {
    let (Name::Named(database), UserName::Named(user)) = (&rule.database, &rule.user) else {
        return None;
    };
    let serves =
        rule.storage.kind == StorageKind::Remote && rule.authentication != Authentication::Block;
    if rule.min_pool_size == 0 || !serves {
        return None;
    }
    let route = shared.routes.get_or_create(rule, database, user, Replication::No).ok()?;
    Some(shared.home(route))
}

/// Closes what is to be closed.
fn look_after(home: &Home) {
    if home.route.is_retired() && home.route.clients() == 0 {
        home.retune();
    } else {
        home.expire();
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

impl Kept {
    fn is_in_force(&self) -> bool {
        let rule = self.home.route.rule();
        let serves = rule.authentication != Authentication::Block;
        !self.home.route.is_retired() && rule.min_pool_size > 0 && serves
    }

    /// Begins to open a server, if one is missing and none is on its way.
    fn fill(&mut self) {
        let now = machine::now();
        if let Some(opening) = self.opening.take_if(|opening| opening.is_finished()) {
            let opened = opening.join(Deadline::at(now)).unwrap_or(false);
            self.failures = if opened { 0 } else { self.failures.saturating_add(1) };
            self.retry_at = (!opened).then(|| now + pause(self.failures));
        }
        if self.opening.is_none() && self.retry_at.is_none_or(|at| at <= now) {
            self.opening = self.home.prewarm();
        }
    }

    /// A server that is being opened rings when that has ended.
    fn next_round(&self) -> Option<Instant> {
        let now = machine::now();
        if self.opening.is_some() || !self.home.route.with(|pool| pool.is_short(now)) {
            return None;
        }
        Some(self.retry_at.unwrap_or(now))
    }
}

/// Twice as long after each failure.
fn pause(failures: u32) -> Duration {
    ROUND.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(RETRY_MAX)
}
