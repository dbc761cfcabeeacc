//! `auth_query`: the secrets of clients, asked of a server by an internal rule. What a server told
//! is good for [`FRESH`], and renewed behind a login in the second half of that; what is older
//! counts only while no server answers, at most for [`STALE`]. It judges no proof.

mod cache;
mod row;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use config::{AuthQuery, Secret};
use machine::Deadline;
use machine::sync::shared::Semaphore;

use crate::log::Who;
use crate::shared::Shared;
use cache::{Answer, Cache, Flight, Key, Outcome};

/// An answer is good for this; Odyssey's ten seconds.
const FRESH: Duration = Duration::from_secs(10);

/// From this age on a login that uses an answer has it renewed and does not wait for that.
const RENEWED: Duration = Duration::from_secs(5);

/// How old an answer may be that is used because no server answers.
const STALE: Duration = Duration::from_secs(300);

/// A login that has such an answer waits this long for another one.
const STALE_PATIENCE: Duration = Duration::from_millis(500);

/// Where no server answered, those who have an answer do not wait again before this is over; and a
/// wrong password has a user asked for again not more often.
const PAUSE: Duration = Duration::from_secs(1);

/// One question, with the opening of a server.
const QUESTION_MAX: Duration = Duration::from_secs(5);

/// Questions at once, of all queries.
const QUESTIONS_MAX: usize = 16;

/// What all logins of the process know of the users that servers told.
pub struct AuthQueries {
    cache: Cache,
    questions: Semaphore,
}

/// What there is to check a proof against.
#[derive(Clone, Debug)]
pub enum Found {
    /// This.
    Secret(Told),
    /// Nothing, and why, for the operator: the client is not to learn of it.
    Nothing(&'static str),
}

/// A secret, and where it comes from.
#[derive(Clone, Debug)]
pub struct Told {
    /// Plain, `md5…` or a SCRAM verifier.
    pub secret: Secret,
    key: Key,
    answer: Arc<Answer>,
}

/// Why nobody can say whether there is a secret; in words for the log.
#[derive(Debug)]
pub enum Failure {
    /// No server told.
    Unanswered(String),
    /// The login ends.
    Ended(machine::Error),
}

impl Default for AuthQueries {
    fn default() -> Self {
        Self { cache: Cache::default(), questions: Semaphore::new(QUESTIONS_MAX) }
    }
}

impl AuthQueries {
    /// The secret of a user who wants to log in, from there.
    ///
    /// # Errors
    /// See [`Failure`]; it was logged where it was not only this login's.
    pub fn find(
        &self,
        shared: &Arc<Shared>,
        query: &Arc<AuthQuery>,
        (user, address): (&str, Option<IpAddr>),
        deadline: Deadline,
    ) -> Result<Found, Failure> {
        let address = address.filter(|_| query.query.contains("%h"));
        let key = Key { query: Arc::clone(query), user: user.into(), address };
        let now = machine::now();
        let last = self.cache.get(&key, now);
        let age = last.as_ref().map(|answer| now.saturating_duration_since(answer.asked));
        let answer = match (last, age) {
            (Some(answer), Some(age)) if age < FRESH => {
                if age >= RENEWED && answer.known.is_some() {
                    let _ = self.ask(shared, &key);
                }
                answer
            }
            (Some(answer), Some(age)) if age < STALE => {
                self.renewed(shared, &key, answer, deadline)?
            }
            _ => self.first(shared, &key, deadline)?,
        };
        Ok(judge(key, answer))
    }

    /// A proof did not fit what was told: another secret, if there is another by now. Whoever
    /// guesses has no more questions asked than one in [`PAUSE`] for each name.
    pub fn doubt(&self, shared: &Arc<Shared>, told: &Told, deadline: Deadline) -> Option<Told> {
        if told.answer.asked.elapsed() < PAUSE {
            return None;
        }
        let newer = self.cache.get(&told.key, machine::now());
        let newer = newer.filter(|newer| newer.asked > told.answer.asked).map(Ok);
        let patience = Deadline::after(STALE_PATIENCE).earliest(deadline);
        let answer = match newer {
            Some(newer) => newer,
            None => self.ask(shared, &told.key).wait(patience).ok().flatten()?,
        };
        match judge(told.key.clone(), answer.ok()?) {
            Found::Secret(newer) if newer.secret != told.secret => Some(newer),
            _ => None,
        }
    }

    /// Another answer, or after a while the one there is.
    fn renewed(
        &self,
        shared: &Arc<Shared>,
        key: &Key,
        last: Arc<Answer>,
        deadline: Deadline,
    ) -> Result<Arc<Answer>, Failure> {
        let silent = self.cache.silent_since(&key.query);
        if silent.is_some_and(|since| since.elapsed() < PAUSE) {
            return Ok(last);
        }
        let patience = Deadline::after(STALE_PATIENCE).earliest(deadline);
        match self.ask(shared, key).wait(patience).map_err(Failure::Ended)? {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(_)) | None => Ok(last),
        }
    }

    fn first(
        &self,
        shared: &Arc<Shared>,
        key: &Key,
        deadline: Deadline,
    ) -> Result<Arc<Answer>, Failure> {
        let patience = Deadline::after(QUESTION_MAX).earliest(deadline);
        match self.ask(shared, key).wait(patience).map_err(Failure::Ended)? {
            Some(outcome) => outcome.map_err(|why| Failure::Unanswered(why.to_string())),
            None => Err(Failure::Unanswered("there was no answer in time".into())),
        }
    }

    /// Has a user asked for, unless he is being asked for.
    fn ask(&self, shared: &Arc<Shared>, key: &Key) -> Arc<Flight> {
        let (flight, is_new) = self.cache.board(key);
        if is_new {
            let (shared, key) = (Arc::clone(shared), key.clone());
            let question = Question { shared, key, flight: Arc::clone(&flight), outcome: None };
            // At the ceiling of coroutines it is dropped, and so answered.
            let _ = machine::spawn("auth_query", move || question.run());
        }
        flight
    }
}

/// What an answer means now.
fn judge(key: Key, answer: Arc<Answer>) -> Found {
    let Some(known) = &answer.known else { return Found::Nothing("auth_query knows no such user") };
    if known.until.is_some_and(|until| until <= SystemTime::now()) {
        return Found::Nothing("the password has expired (VALID UNTIL)");
    }
    match known.secret.clone() {
        Some(secret) => Found::Secret(Told { secret, key, answer }),
        None => Found::Nothing("auth_query says that the user has no password"),
    }
}

/// A question, which whoever waits for is answered however it ends.
struct Question {
    shared: Arc<Shared>,
    key: Key,
    flight: Arc<Flight>,
    /// None until there is one.
    outcome: Option<Outcome>,
}

impl Question {
    fn run(mut self) {
        let asked = machine::now();
        let answer = self.put();
        let known = answer.inspect_err(|why| {
            let AuthQuery { database, user, .. } = self.key.query.as_ref();
            let (who, asked_for) = (Who::default(), &self.key.user);
            let text = format_args!(
                "auth_query by {database}.{user} for user '{asked_for}' failed: {why}"
            );
            self.shared.log.error("auth_query", &who, text);
        });
        self.outcome = Some(match known {
            Ok(known) => Ok(Arc::new(Answer { known, asked })),
            Err(why) => Err(why.into()),
        });
    }

    fn put(&self) -> Result<Option<row::Known>, String> {
        let queries = &self.shared.auth_queries;
        let text = text(&self.key)?;
        let permit = queries.questions.acquire(Deadline::after(QUESTION_MAX));
        let _permit = permit.map_err(|error| format!("no turn: {error}"))?;
        let answer = self
            .shared
            .service(&self.key.query.database, &self.key.query.user)
            .and_then(|home| home.question(&row::request(&text, &self.key.user), QUESTION_MAX));
        queries.cache.heard(&self.key.query, answer.is_err(), machine::now());
        row::read(&answer?)
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| Err("it was not put".into()));
        self.shared.auth_queries.cache.land(&self.key, &self.flight, outcome);
    }
}

/// The query with what Odyssey puts into it: `%u`, the user, and `%h`, the client's address. A name
/// that could mean something to SQL is not put there: `$1` is for those.
fn text(key: &Key) -> Result<String, String> {
    let Key { query, user, address } = key;
    let mut text = query.query.clone();
    if text.contains("%u") {
        let is_plain = |letter: char| {
            letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.' | '@')
        };
        if !user.chars().all(is_plain) || user.contains("--") {
            return Err("the user's name cannot stand in the query (%u); $1 takes any name".into());
        }
        text = text.replace("%u", user);
    }
    if text.contains("%h") {
        let shown = address.map_or_else(|| "local".to_owned(), |address| address.to_string());
        text = text.replace("%h", &shown);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::{AuthQuery, Key, text};
    use std::sync::Arc;

    /// Seen to fail: Odyssey puts any name into the text.
    #[test]
    fn no_name_becomes_sql() {
        let check = |query: &str, user: &str, expected: Option<&str>| {
            let (database, asks) = ("d".into(), "u".into());
            let query = AuthQuery { query: query.into(), user: asks, database };
            let address = Some([10, 0, 0, 1].into());
            let key = Key { query: Arc::new(query), user: user.into(), address };
            assert_eq!(text(&key).ok().as_deref(), expected, "{user}");
        };
        check("select $1", "x' or 1=1 --", Some("select $1"));
        check("select '%u', '%h'", "ann.b@c-d_1", Some("select 'ann.b@c-d_1', '10.0.0.1'"));
        for name in ["x'", "x\"", "a b", "a;b", "a--b", "a\\", "$1", "ä"] {
            check("select '%u'", name, None);
        }
    }
}
