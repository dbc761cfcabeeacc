//! What servers told of users, as long as it is good, in bounded room; and who is being asked about
//! now, so that a user who logs in a hundred times at once is asked about once. It knows no server.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use config::AuthQuery;
use machine::{Deadline, Notified, Notifier, Woken};

use super::row::Known;
use crate::generations::Generations;

/// Users with an answer: two generations of that, each entry some 300 bytes.
const KNOWN_MAX: usize = 10_000;

/// Users that do not exist: whoever invents names fills these, and no others.
const STRANGERS_MAX: usize = 1_000;

/// That a user does not exist is believed so long: he may be created any moment.
const STRANGER_LIFE: Duration = Duration::from_secs(1);

/// Who is asked about, and how: the answer is the same for every rule that asks the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) query: Arc<AuthQuery>,
    pub(super) user: Arc<str>,
    /// Of the client, if the query wants it; a unix socket has none.
    pub(super) address: Option<IpAddr>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// None: there is no such user.
    pub(super) known: Option<Known>,
    /// When the server was asked.
    pub(super) asked: Instant,
}

/// What came of asking; a failure in words for the log.
pub(super) type Outcome = Result<Arc<Answer>, Arc<str>>;

#[derive(Default)]
pub(super) struct Cache(Mutex<State>);

#[derive(Default)]
struct State {
    known: Generations<Key, Arc<Answer>, KNOWN_MAX>,
    strangers: Generations<Key, Arc<Answer>, STRANGERS_MAX>,
    /// As many as logins are under way at most.
    flights: HashMap<Key, Arc<Flight>>,
    /// Queries that found no server, and when; as many as there are queries in the file.
    silent: HashMap<Arc<AuthQuery>, Instant>,
}

/// A question under way, and those who wait for its answer.
#[derive(Default)]
pub(super) struct Flight(Mutex<Landing>);

#[derive(Default)]
struct Landing {
    outcome: Option<Outcome>,
    waiting: Vec<Notifier>,
}

impl Cache {
    /// The last answer, however old.
    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<Arc<Answer>> {
        self.with(|state| {
            if let Some(answer) = state.known.get(key) {
                return Some(Arc::clone(answer));
            }
            let answer = state.strangers.get(key);
            answer.filter(|answer| now < answer.asked + STRANGER_LIFE).map(Arc::clone)
        })
    }

    /// The question under way about a user; true if it is new, and to be asked by whoever called.
    pub(super) fn board(&self, key: &Key) -> (Arc<Flight>, bool) {
        self.with(|state| {
            if let Some(flight) = state.flights.get(key) {
                return (Arc::clone(flight), false);
            }
            let flight = Arc::new(Flight::default());
            state.flights.insert(key.clone(), Arc::clone(&flight));
            (flight, true)
        })
    }

    /// The question has come to its end. A failure leaves the last answer where it is.
    pub(super) fn land(&self, key: &Key, flight: &Flight, outcome: Outcome) {
        self.with(|state| {
            state.flights.remove(key);
            let Ok(answer) = &outcome else { return };
            match answer.known {
                Some(_) => {
                    state.strangers.remove(key);
                    state.known.insert(key.clone(), Arc::clone(answer));
                }
                None => {
                    state.known.remove(key);
                    state.strangers.insert(key.clone(), Arc::clone(answer));
                }
            }
        });
        flight.land(outcome);
    }

    /// Whether there was a server for this query.
    pub(super) fn heard(&self, query: &Arc<AuthQuery>, is_silent: bool, now: Instant) {
        self.with(|state| match is_silent {
            true => {
                state.silent.retain(|query, _| Arc::strong_count(query) > 1); // of other worlds
                state.silent.insert(Arc::clone(query), now);
            }
            false => {
                state.silent.remove(query);
            }
        });
    }

    /// When it was found that there is no server for this query, if there still is none.
    pub(super) fn silent_since(&self, query: &Arc<AuthQuery>) -> Option<Instant> {
        self.with(|state| state.silent.get(query).copied())
    }

    fn with<R>(&self, body: impl FnOnce(&mut State) -> R) -> R {
        body(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Flight {
    /// What came of it; None when it takes longer than that.
    ///
    /// # Errors
    /// The coroutine was cancelled.
    pub(super) fn wait(&self, patience: Deadline) -> Result<Option<Outcome>, machine::Error> {
        let notified = Notified::new();
        {
            let mut landing = self.lock();
            if let Some(outcome) = &landing.outcome {
                return Ok(Some(outcome.clone()));
            }
            landing.waiting.push(notified.notifier());
        }
        loop {
            let woken = machine::wait_any(&[], Some(&notified), patience)?;
            let _ = notified.take();
            let outcome = self.lock().outcome.clone();
            if outcome.is_some() || woken == Woken::TimedOut {
                return Ok(outcome);
            }
        }
    }

    fn land(&self, outcome: Outcome) {
        let waiting = {
            let mut landing = self.lock();
            landing.outcome = Some(outcome);
            std::mem::take(&mut landing.waiting)
        };
        waiting.iter().for_each(Notifier::notify);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Landing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, AuthQuery, Cache, Duration, Instant, Key, Known, STRANGERS_MAX};
    use std::sync::Arc;

    fn key(user: &str) -> Key {
        let query = AuthQuery { query: "q".into(), user: "u".into(), database: "d".into() };
        Key { query: Arc::new(query), user: user.into(), address: None }
    }

    fn told(cache: &Cache, user: &str, known: Option<Known>, asked: Instant) {
        let (flight, is_new) = cache.board(&key(user));
        assert!(is_new);
        cache.land(&key(user), &flight, Ok(Arc::new(Answer { known, asked })));
    }

    /// Seen to fail: with one map for both, whoever invents names takes the place of those who are.
    #[test]
    fn invented_names_displace_nobody() {
        let (cache, now) = (Cache::default(), Instant::now());
        let known = || Some(Known { secret: None, until: None });
        told(&cache, "real", known(), now);
        for number in 0..super::KNOWN_MAX * 3 {
            told(&cache, &number.to_string(), None, now);
        }
        assert!(cache.get(&key("real"), now).is_some());
        let strangers = cache.with(|state| state.strangers.len());
        assert!(strangers <= 2 * STRANGERS_MAX, "{strangers}");
    }

    #[test]
    fn a_stranger_is_believed_to_be_one_for_a_second() {
        let (cache, now) = (Cache::default(), Instant::now());
        told(&cache, "new", None, now);
        assert!(cache.get(&key("new"), now).is_some());
        assert!(cache.get(&key("new"), now + Duration::from_secs(2)).is_none());
        told(&cache, "new", Some(Known { secret: None, until: None }), now);
        assert!(cache.get(&key("new"), now + Duration::from_secs(2)).is_some());
        told(&cache, "new", None, now);
        assert!(cache.get(&key("new"), now).is_some_and(|answer| answer.known.is_none()));
    }

    #[test]
    fn one_question_is_under_way() {
        let cache = Cache::default();
        let (first, second) = (cache.board(&key("u")), cache.board(&key("u")));
        assert!(first.1 && !second.1 && Arc::ptr_eq(&first.0, &second.0));
        cache.land(&key("u"), &first.0, Err("no server".into()));
        assert!(cache.board(&key("u")).1, "the next one asks again");
        assert!(cache.board(&key("v")).1);
    }
}
