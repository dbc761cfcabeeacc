//! Groups: who is in them is asked of their servers, in the background, again and again. A question
//! has a bounded life, one that fails is asked again, later and later; meanwhile the last answer
//! stays good. Logins wait only where nobody has answered yet.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use config::GroupQuery;
use machine::{Deadline, JoinHandle, Notified, Notifier, Woken};
use router::{Group, Members};

use crate::backend::Column;
use crate::bell::Bell;
use crate::ending::Ending;
use crate::log::Who;
use crate::shared::Shared;

/// One question, with the opening of a server and the wait for one.
const QUESTION_MAX: Duration = Duration::from_secs(10);

/// A login waits no longer for the first answer; then the group has none.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(5);

/// First pause after a failure, unless `group_checker_interval` is shorter; it doubles each time.
const RETRY: Duration = Duration::from_secs(1);

/// Longest pause after a failure, unless `group_checker_interval` is longer.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Where those who ask for members and those who wait for them meet.
#[derive(Default)]
pub struct Groups {
    /// Logins that wait for a first answer; as many as logins may be under way. Nothing panics
    /// under this lock.
    waiting: Mutex<Vec<Notifier>>,
    /// Rings when an answer came, or there are other groups.
    pub bell: Bell,
}

impl Groups {
    /// Waits until somebody has answered who is in the group, or failed to.
    ///
    /// # Errors
    /// The login has no time left, or the coroutine was cancelled.
    pub fn wait_for(&self, group: &Group, deadline: Deadline) -> Result<(), Ending> {
        let notified = Notified::new();
        let patience = Deadline::after(FIRST_ANSWER_MAX);
        loop {
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(notified.notifier());
            if !group.is_unasked() {
                return Ok(());
            }
            let woken = machine::wait_any(&[], Some(&notified), patience.earliest(deadline))?;
            let _ = notified.take();
            if woken == Woken::TimedOut && deadline.is_past(machine::now()) {
                return Err(Ending::Silent(format!(
                    "timed out, the members of '{}' are not known yet",
                    group.rule()
                )));
            }
            if woken == Woken::TimedOut {
                group.gave_no_answer();
            }
        }
    }

    fn wake_logins(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let woken = std::mem::take(&mut *waiting);
        drop(waiting);
        woken.iter().for_each(Notifier::notify);
    }
}

/// Runs as a coroutine until it is cancelled.
pub(crate) fn run(shared: &Arc<Shared>) {
    let bell = shared.groups.bell.hang();
    let mut watches: Vec<Watch> = Vec::new();
    loop {
        let groups: Vec<_> = shared.world().rules.groups().map(Arc::clone).collect();
        watches.retain(|watch| groups.iter().any(|group| Arc::ptr_eq(group, &watch.group)));
        for group in groups {
            if !watches.iter().any(|watch| Arc::ptr_eq(&group, &watch.group)) {
                watches.push(Watch::new(shared, group));
            }
        }
        watches.iter_mut().for_each(|watch| watch.advance(shared));
        if bell.wait(watches.iter().map(|watch| watch.due).min()).is_err() {
            return;
        }
    }
}

/// A group that is being watched.
struct Watch {
    group: Arc<Group>,
    /// The question under way; it tells whether it was answered.
    asking: Option<JoinHandle<bool>>,
    /// Questions that failed one after the other.
    failures: u32,
    /// When to look at it next.
    due: Instant,
}

impl Watch {
    fn new(shared: &Shared, group: Arc<Group>) -> Watch {
        let (database, user) = (&group.rule().database, &group.rule().user);
        let text = format_args!("start group checking for {database}.{user}");
        shared.log.info("group_checker", &Who::default(), text);
        Watch { group, asking: None, failures: 0, due: machine::now() }
    }

    /// Begins a question that is due, and learns how the last one ended.
    fn advance(&mut self, shared: &Arc<Shared>) {
        let now = machine::now();
        if let Some(asking) = self.asking.take_if(|asking| asking.is_finished()) {
            let answered = asking.join(Deadline::at(now)).unwrap_or(false);
            self.failures = if answered { 0 } else { self.failures.saturating_add(1) };
            self.due = now + pause(shared.config().global.group_checker_interval, self.failures);
        }
        if self.asking.is_some() {
            self.due = now + QUESTION_MAX; // its end rings, unless it was a panic
            return;
        }
        if self.due > now {
            return;
        }
        let (group, one) = (Arc::clone(&self.group), Arc::clone(shared));
        match machine::spawn("group", move || ask(&one, &group)) {
            Ok(asking) => {
                self.asking = Some(asking);
                self.due = now + QUESTION_MAX;
            }
            Err(_) => self.due = now + RETRY, // at the ceiling of coroutines
        }
    }
}

/// Between the end of a question and the next one.
fn pause(interval: Duration, failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => interval,
        Some(before) => {
            let first = RETRY.min(interval);
            first.saturating_mul(1 << before.min(16)).min(RETRY_MAX.max(interval))
        }
    }
}

/// Asks once. True when it was answered.
fn ask(shared: &Arc<Shared>, group: &Arc<Group>) -> bool {
    let (rule, who) = (group.rule(), Who::default());
    let name = format!("{}.{}", rule.database, rule.user);
    let answer = column(shared, group).and_then(|column| take_in(group, column));
    match &answer {
        Ok(Some(count)) => {
            let text = format_args!("group {name} has {count} members now");
            shared.log.info("group_checker", &who, text);
        }
        Ok(None) => {}
        Err(reason) => {
            group.gave_no_answer();
            let stays = match group.members() {
                Some(members) => format!("the last answer stays good, {} members", members.len()),
                None => "nobody is known to be a member".to_owned(),
            };
            let text = format_args!("group_query of {name} failed: {reason}; {stays}");
            shared.log.error("group_checker", &who, text);
        }
    }
    shared.groups.wake_logins();
    shared.groups.bell.ring();
    answer.is_ok()
}

fn column(shared: &Arc<Shared>, group: &Group) -> Result<Column, String> {
    let query = group.rule().group.as_ref().ok_or("the rule has no query")?;
    let GroupQuery { query, user, database } = query;
    let home = shared.service(database, user)?;
    home.column(query, QUESTION_MAX)
}

/// Replaces the members, where a long list holds nobody up; their number if that is news.
fn take_in(group: &Arc<Group>, column: Column) -> Result<Option<usize>, String> {
    let group = Arc::clone(group);
    let work = move || {
        let members: Members = column.values()?;
        let count = members.len();
        Ok(group.replace(members).then_some(count))
    };
    let done = machine::offload(work, Deadline::after(QUESTION_MAX));
    done.map_err(|error| error.to_string())?
}

#[cfg(test)]
mod tests {
    use super::{Duration, pause};

    #[test]
    fn failures_are_met_with_longer_and_longer_pauses() {
        let pauses = |interval_ms: u64| {
            let interval = Duration::from_millis(interval_ms);
            [0, 1, 2, 3, 6, 100].map(|failures| pause(interval, failures).as_millis())
        };
        assert_eq!(pauses(7_000), [7_000, 1_000, 2_000, 4_000, 30_000, 30_000]);
        assert_eq!(pauses(500), [500, 500, 1_000, 2_000, 16_000, 30_000]);
        assert_eq!(pauses(60_000), [60_000, 1_000, 2_000, 4_000, 32_000, 60_000]);
    }
}
