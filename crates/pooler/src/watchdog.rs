//! Watchdogs: the hosts of a storage are asked again and again which role they have and how far
//! they lag. Each is asked by a coroutine of its own with bounded patience, so that a silent one
//! holds up no other. Nothing is decided here: what was seen is noted where clients look.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use config::{Rule, Storage};
use machine::{Deadline, JoinHandle};
use router::Role;
use wire::startup::Replication;

use crate::backend::{Answers, Home, Silence};
use crate::log::Who;
use crate::shared::Shared;

/// One visit, with the opening of a server. A host that takes longer is taken for dead: it would
/// cost its clients as much.
const VISIT_MAX: Duration = Duration::from_secs(3);

/// After the ceiling of coroutines was reached.
const RETRY: Duration = Duration::from_secs(1);

/// Runs as a coroutine until it is cancelled.
pub(crate) fn run(shared: &Arc<Shared>) {
    let bell = shared.watchdogs.hang();
    let mut watches: Vec<Watch> = Vec::new();
    loop {
        let rules: Vec<Arc<Rule>> =
            shared.world().rules.iter().filter(|rule| rule.watchdog.is_some()).cloned().collect();
        watches.retain(|watch| rules.iter().any(|rule| watch.is_of(rule)));
        for rule in &rules {
            if !watches.iter().any(|watch| watch.is_of(rule)) {
                watches.extend(Watch::of_all_hosts(shared, rule));
            }
        }
        watches.iter_mut().for_each(|watch| watch.advance(shared));
        let unwatched = rules.iter().any(|rule| !watches.iter().any(|it| it.is_of(rule)));
        let retry = unwatched.then(|| machine::now() + RETRY);
        if bell.wait(watches.iter().map(|watch| watch.due).chain(retry).min()).is_err() {
            return;
        }
    }
}

/// One host that is being watched.
struct Watch {
    rule: Arc<Rule>,
    home: Arc<Home>,
    /// The visit under way, and what it finds.
    visit: Option<JoinHandle<Found>>,
    /// When the last visit began.
    begun: Instant,
    /// When to ask for the lag next.
    lag_due: Instant,
    /// When to look at it next.
    due: Instant,
    /// What the log knows.
    told: Option<Found>,
}

/// What a visit found, as far as it is news when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// It answers.
    Role(Role),
    /// It answers, but not for its lag: why.
    NoLag(Role, String),
    /// It could not be asked, which says nothing about it: why.
    Unasked(String),
    /// It is out of reach, or silent: why.
    Dead(String),
}

impl Watch {
    fn of_all_hosts(shared: &Arc<Shared>, rule: &Arc<Rule>) -> Vec<Watch> {
        let (database, user) = (rule.database.to_string(), rule.user.to_string());
        let route = shared.routes.get_or_create(rule, &database, &user, Replication::No);
        let Ok(route) = route else { return Vec::new() }; // as many routes as there may be
        let (home, now) = (shared.home(route), machine::now());
        let homes = std::iter::once(&home).chain(&home.others);
        let watch = |home: &Arc<Home>| Watch {
            rule: Arc::clone(rule),
            home: Arc::clone(home),
            visit: None,
            begun: now,
            lag_due: now,
            due: now,
            told: None,
        };
        homes.map(watch).collect()
    }

    fn is_of(&self, rule: &Arc<Rule>) -> bool {
        Arc::ptr_eq(rule, &self.rule)
    }

    /// Begins a visit that is due, and learns what the last one found.
    fn advance(&mut self, shared: &Arc<Shared>) {
        let now = machine::now();
        let every = self.rule.storage.status_max_age * 3 / 4; // as Odyssey: it never gets old
        if let Some(visit) = self.visit.take_if(|visit| visit.is_finished()) {
            let found = visit.join(Deadline::at(now));
            self.tell(shared, found.unwrap_or_else(|error| Found::Unasked(error.to_string())));
            self.due = self.begun + every;
        }
        if self.visit.is_some() {
            // Nobody is to look after a dead host while we do.
            self.home.stays_dead(now);
            self.due = now + every;
            return;
        }
        if self.due > now {
            return;
        }
        self.begun = now;
        match self.begin(shared, now) {
            Ok(visit) => (self.visit, self.due) = (Some(visit), now + every),
            Err(_) => self.due = now + RETRY, // at the ceiling of coroutines
        }
    }

    fn begin(
        &mut self,
        shared: &Arc<Shared>,
        now: Instant,
    ) -> Result<JoinHandle<Found>, machine::Error> {
        let watchdog = self.rule.watchdog.as_ref();
        let query = watchdog.and_then(|it| it.lag_query.clone()).filter(|_| self.lag_due <= now);
        let every = watchdog.and_then(|it| it.lag_interval).unwrap_or_default();
        if query.is_some() {
            self.lag_due = now + every;
        }
        let asks = Asks { query, believed: every + self.rule.storage.status_max_age + VISIT_MAX };
        let (home, shared) = (Arc::clone(&self.home), Arc::clone(shared));
        machine::spawn("watchdog", move || {
            let found = visit(&home, &asks);
            shared.watchdogs.ring();
            found
        })
    }

    /// Says what is new, once.
    fn tell(&mut self, shared: &Shared, found: Found) {
        if self.told.as_ref() == Some(&found) {
            return;
        }
        let (who, host) = (Who::default(), Host(&self.rule.storage, self.home.route.key().host));
        match &found {
            Found::Role(role) => {
                let text = format_args!("{host} is a {}", role.as_str());
                shared.log.info("watchdog", &who, text);
            }
            Found::NoLag(role, reason) => {
                let text =
                    format_args!("{host} is a {}, its lag is not known: {reason}", role.as_str());
                shared.log.error("watchdog", &who, text);
            }
            Found::Unasked(reason) => {
                shared.log.error(
                    "watchdog",
                    &who,
                    format_args!("{host} cannot be asked: {reason}"),
                );
            }
            Found::Dead(reason) => {
                shared.log.error("watchdog", &who, format_args!("{host} is dead: {reason}"));
            }
        }
        self.told = Some(found);
    }
}

/// A host as the log calls it.
struct Host<'a>(&'a Storage, usize);

impl std::fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.endpoints.get(self.1) {
            Some(endpoint) => write!(f, "host {endpoint} of storage '{}'", self.0.name),
            None => write!(f, "storage '{}'", self.0.name),
        }
    }
}

/// What a visit asks for beyond the role.
struct Asks {
    /// Who knows of the last heartbeat; None: it is not time for that.
    query: Option<String>,
    /// For how long the lag is believed.
    believed: Duration,
}

/// Asks a host, and notes what it says.
fn visit(home: &Arc<Home>, asks: &Asks) -> Found {
    let answers = match home.interview(asks.query.as_deref(), Deadline::after(VISIT_MAX)) {
        Ok(answers) => answers,
        Err(Silence::Dead(reason)) => return Found::Dead(reason),
        Err(Silence::Unasked(reason)) => return Found::Unasked(reason),
    };
    let Answers { role, heartbeat } = answers;
    let ((hosts, host), now) = (home.route.spot(), machine::now());
    hosts.saw(host, role, now);
    let Some(heartbeat) = heartbeat else { return Found::Role(role) };
    match heartbeat.and_then(|seconds| lag_since(&seconds, SystemTime::now())) {
        Ok(lag) => {
            hosts.lags(host, Some(lag), now + asks.believed);
            Found::Role(role)
        }
        Err(reason) => {
            hosts.lags(host, None, now);
            Found::NoLag(role, reason)
        }
    }
}

/// How long ago that was: seconds since 1970, with a fraction or without. A heartbeat from the
/// future is one of now: two clocks are never the same.
fn lag_since(heartbeat: &str, now: SystemTime) -> Result<Duration, String> {
    let number: Option<f64> = heartbeat.trim().parse().ok();
    let then = number.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let then = then.ok_or_else(|| format!("'{heartbeat}' is no Unix time"))?;
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(now.saturating_sub(then))
}

#[cfg(test)]
mod tests {
    use super::{Duration, SystemTime, lag_since};

    #[test]
    fn a_lag_is_the_age_of_a_heartbeat() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        for (heartbeat, lag) in [
            ("990", Ok(Duration::from_secs(10))),
            (" 999.5\n", Ok(Duration::from_millis(500))),
            ("1003", Ok(Duration::ZERO)),
            ("-1", Err("'-1' is no Unix time")),
            ("now", Err("'now' is no Unix time")),
            ("", Err("'' is no Unix time")),
            ("inf", Err("'inf' is no Unix time")),
        ] {
            assert_eq!(lag_since(heartbeat, now), lag.map_err(str::to_owned), "{heartbeat}");
        }
    }
}
