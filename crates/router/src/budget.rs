//! A budget: something of which several pools have one amount together, such as the servers of a
//! `shared_pool` or the logins under way to a storage. It knows who wants some and since when, and
//! names the pool that should be visited next; it refuses to know what a pool does with it.
//!
//! Its lock is the last one of all: it is taken under a route's lock, and nothing is called inside.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A route whose clients wait takes servers from one that is always busy only for a client that has
/// waited this much longer, and not more often than this: a server that changes its route costs a
/// login, which is many times a short transaction.
const SWAP_AFTER: Duration = Duration::from_millis(100);

/// A pool among those that share a budget; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member(pub(crate) u64);

/// A pool that should be visited, because what it waits for may be there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "clients wait until it is run"]
pub enum Errand {
    /// [`Pool::offer`](crate::Pool::offer) to this one: its oldest client may be served.
    Offer(Member),
    /// [`Pool::reclaim`](crate::Pool::reclaim) from this one: another waits for what it has idle.
    Reclaim(Member),
}

/// One amount for several pools.
pub struct Budget {
    state: Mutex<State>,
    /// Somebody is in the line: read without the lock by those who ask for errands.
    busy: AtomicBool,
    /// More is used than there is, since it became less: read without the lock by those who come
    /// back.
    overspent: AtomicBool,
}

/// What a pool lets the others know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Posted {
    /// Since when its oldest client waits that could be served but for this budget.
    wants: Option<Instant>,
    /// Since when it has idle servers.
    idle: Option<Instant>,
}

#[derive(Default)]
struct State {
    /// None: no limit.
    size: Option<usize>,
    used: usize,
    posted: HashMap<Member, Posted>,
    /// Members that want, the one whose client waits longest first.
    line: BTreeSet<(Instant, Member)>,
    /// Members with idle servers, the one that has some for longest first.
    idle: BTreeSet<(Instant, Member)>,
    /// The head of the line that was offered and did not take: not again before something changed.
    offered: Option<(Instant, Member)>,
    /// When a busy member was last made to give a server to another.
    swapped: Option<Instant>,
}

impl State {
    fn has_room(&self) -> bool {
        self.size.is_none_or(|size| self.used < size)
    }
}

/// A pool's part in a budget.
pub struct Share {
    budget: Arc<Budget>,
    member: Member,
    posted: Posted,
}

impl Budget {
    /// Of that size; `None` only counts.
    pub fn new(size: Option<usize>) -> Budget {
        let state = Mutex::new(State { size, ..State::default() });
        Budget { state, busy: AtomicBool::new(false), overspent: AtomicBool::new(false) }
    }

    /// The amount is another one from now on. What is used beyond it is given back as it becomes
    /// free; errands may follow.
    pub fn resize(&self, size: Option<usize>) {
        let mut state = self.lock();
        state.size = size;
        state.offered = None;
        self.note_overspent(&state);
    }

    /// Whether more is used than there is.
    pub fn is_overspent(&self) -> bool {
        self.overspent.load(Ordering::Acquire)
    }

    fn note_overspent(&self, state: &State) {
        let over = state.size.is_some_and(|size| state.used > size);
        self.overspent.store(over, Ordering::Release);
    }

    /// What is used now, by all pools together.
    pub fn used(&self) -> usize {
        self.lock().used
    }

    /// The amount; `None` when there is no limit.
    pub fn size(&self) -> Option<usize> {
        self.lock().size
    }

    /// Whether anybody waits for it.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Whom to visit next, if anybody; to be asked again until there is nobody. Not under a lock.
    pub fn errand(&self) -> Option<Errand> {
        if !self.is_busy() {
            return None;
        }
        let mut state = self.lock();
        let head = state.line.first().copied()?;
        if state.has_room() {
            let fresh = state.offered.replace(head) != Some(head);
            return fresh.then_some(Errand::Offer(head.1));
        }
        let (_, holder) = state.idle.pop_first()?;
        // It posts again what it has idle when it was visited.
        state.posted.entry(holder).or_default().idle = None;
        Some(Errand::Reclaim(holder))
    }

    fn post(&self, member: Member, posted: Posted) {
        let mut state = self.lock();
        let before = state.posted.insert(member, posted).unwrap_or_default();
        if let Some(since) = before.wants {
            state.line.remove(&(since, member));
        }
        if let Some(since) = before.idle {
            state.idle.remove(&(since, member));
        }
        state.line.extend(posted.wants.map(|since| (since, member)));
        state.idle.extend(posted.idle.map(|since| (since, member)));
        if posted == Posted::default() {
            state.posted.remove(&member);
        }
        self.busy.store(!state.line.is_empty(), Ordering::Release);
    }

    /// Nothing panics inside, and every change is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Share {
    /// The part of `member`.
    pub fn new(budget: Arc<Budget>, member: Member) -> Share {
        Share { budget, member, posted: Posted::default() }
    }

    /// The budget.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Spends one, for a client that waits since then: if less than `limit` is used, and no client
    /// of another member waits for longer.
    pub(crate) fn try_spend(&self, limit: Option<usize>, since: Instant) -> bool {
        let mut state = self.budget.lock();
        let limit = limit.unwrap_or(usize::MAX);
        let first = state.line.iter().find(|(_, member)| *member != self.member);
        let passes = first.is_none_or(|(other, _)| since <= *other);
        let spent = passes && state.used < limit && state.has_room();
        state.used += usize::from(spent);
        spent
    }

    pub(crate) fn give_back(&self) {
        let mut state = self.budget.lock();
        debug_assert!(state.used > 0, "what is given back was spent");
        state.used = state.used.saturating_sub(1);
        state.offered = None;
        if self.budget.is_overspent() {
            self.budget.note_overspent(&state);
        }
    }

    /// Lets the others know: since when a client waits for this budget, and whether there are idle
    /// servers (and since when). Cheap when that is as it was.
    pub(crate) fn post(&mut self, wants: Option<Instant>, idle: Option<Instant>) {
        // That there are any is enough to know; when the first of them came changes all the time.
        let idle = idle.map(|since| self.posted.idle.unwrap_or(since));
        let posted = Posted { wants, idle };
        if posted != self.posted {
            self.posted = posted;
            self.budget.post(self.member, posted);
        }
    }

    /// The idle servers were looked at by an errand: they are posted again.
    pub(crate) fn forget_idle(&mut self) {
        self.posted.idle = None;
    }

    /// Whether a server that comes back belongs to another member now, whose client waits while the
    /// budget is spent. `own` is since when this pool's oldest client waits.
    pub(crate) fn is_owed(&self, own: Option<Instant>, now: Instant) -> bool {
        if !self.budget.is_busy() {
            return false;
        }
        let mut state = self.budget.lock();
        if state.has_room() {
            return false; // there is enough for both
        }
        let other = state.line.iter().find(|(_, member)| *member != self.member);
        let Some(&(other, _)) = other else { return false };
        let Some(own) = own else { return true };
        let longer = own.saturating_duration_since(other) >= SWAP_AFTER;
        let rested = state.swapped.is_none_or(|at| now.saturating_duration_since(at) >= SWAP_AFTER);
        if longer && rested {
            state.swapped = Some(now);
        }
        longer && rested
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.post(None, None);
    }
}

#[cfg(test)]
impl Budget {
    /// Who wants, oldest first.
    pub(crate) fn line(&self) -> Vec<(Instant, Member)> {
        self.lock().line.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares<const N: usize>(size: usize) -> ([Share; N], Instant) {
        let budget = Arc::new(Budget::new(Some(size)));
        let part = |index| Share::new(budget.clone(), Member(index as u64));
        (std::array::from_fn(part), Instant::now())
    }

    /// Between the moment something is given back and the visit it leads to, another may come.
    #[test]
    fn what_was_given_back_is_for_the_oldest() {
        let ([mut old, young, mut other], now) = shares(1);
        let later = |ms| now + Duration::from_millis(ms);
        assert!(young.try_spend(None, now));
        assert!(!old.try_spend(None, later(1)) && !other.try_spend(None, later(2)));
        other.post(Some(later(2)), None);
        old.post(Some(later(1)), None);
        young.give_back();
        assert!(!young.try_spend(None, later(3)), "two wait for longer");
        assert!(!other.try_spend(None, later(2)), "one does");
        let budget = old.budget().clone();
        assert_eq!(budget.errand(), Some(Errand::Offer(Member(0))));
        assert_eq!(budget.errand(), None, "it was told");
        assert!(old.try_spend(None, later(1)));
        old.post(None, None);
        assert_eq!(budget.errand(), None, "nothing is left");
        old.give_back();
        assert_eq!(budget.errand(), Some(Errand::Offer(Member(2))));
        drop(other);
        assert_eq!(budget.errand(), None, "it is gone");
        assert!(young.try_spend(None, later(3)));
    }

    #[test]
    fn a_head_that_cannot_take_is_asked_again_after_the_next_change_only() {
        let ([mut one, mut two], now) = shares(2);
        assert!(two.try_spend(None, now));
        one.post(Some(now), None);
        let budget = one.budget().clone();
        assert_eq!(budget.errand(), Some(Errand::Offer(Member(0))));
        assert!(!one.try_spend(Some(1), now), "its own limit is lower");
        assert_eq!(budget.errand(), None);
        two.give_back();
        two.post(None, Some(now));
        assert_eq!(budget.errand(), Some(Errand::Offer(Member(0))));
    }

    #[test]
    fn a_smaller_budget_is_overspent_until_enough_came_back() {
        let ([one, two], now) = shares(2);
        assert!(one.try_spend(None, now) && two.try_spend(None, now));
        let budget = one.budget().clone();
        budget.resize(Some(1));
        assert!(budget.is_overspent());
        one.give_back();
        assert!(!budget.is_overspent() && !one.try_spend(None, now));
        budget.resize(None);
        assert!(one.try_spend(None, now));
    }

    #[test]
    fn idle_servers_are_reclaimed_when_nothing_is_left_and_the_oldest_first() {
        let ([mut one, mut two, mut poor], now) = shares(2);
        assert!(one.try_spend(None, now) && two.try_spend(None, now));
        two.post(None, Some(now));
        one.post(None, Some(now + Duration::from_millis(1)));
        let budget = one.budget().clone();
        assert_eq!(budget.errand(), None, "nobody wants them");
        poor.post(Some(now), None);
        assert_eq!(budget.errand(), Some(Errand::Reclaim(Member(1))));
        assert_eq!(budget.errand(), Some(Errand::Reclaim(Member(0))));
        assert_eq!(budget.errand(), None);
        two.forget_idle();
        two.post(None, Some(now));
        assert_eq!(budget.errand(), Some(Errand::Reclaim(Member(1))), "it had another one");
    }
}
