//! The members of a group, as far as they are known. Whoever asks for them replaces them as a
//! whole; how they are asked for is not its business.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use config::Rule;

/// Names of users.
pub type Members = HashSet<Box<str>>;

/// A `group` rule and who is in the group.
#[derive(Debug)]
pub struct Group {
    rule: Arc<Rule>,
    /// Nothing panics under this lock.
    known: RwLock<Known>,
}

#[derive(Clone, Debug)]
enum Known {
    /// Nobody has answered yet, nor failed to.
    Nothing,
    /// It was asked in vain, and never answered before.
    Silence,
    /// The last answer.
    Members(Arc<Members>),
}

/// What is known about one user and a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// In it.
    Member,
    /// Not in it.
    Stranger,
    /// It was not asked yet.
    Unasked,
    /// It was asked, and there is no answer.
    Unknown,
}

impl Group {
    pub(super) fn new(rule: &Arc<Rule>) -> Group {
        Group { rule: Arc::clone(rule), known: RwLock::new(Known::Nothing) }
    }

    /// The rule of its members.
    pub fn rule(&self) -> &Arc<Rule> {
        &self.rule
    }

    /// What is known about this user.
    pub fn membership(&self, user: &str) -> Membership {
        match &*self.read() {
            Known::Nothing => Membership::Unasked,
            Known::Silence => Membership::Unknown,
            Known::Members(members) if members.contains(user) => Membership::Member,
            Known::Members(_) => Membership::Stranger,
        }
    }

    /// Nobody answered yet, nor failed to.
    pub fn is_unasked(&self) -> bool {
        matches!(&*self.read(), Known::Nothing)
    }

    /// The members it had at the last answer; None before the first.
    pub fn members(&self) -> Option<Arc<Members>> {
        match &*self.read() {
            Known::Members(members) => Some(Arc::clone(members)),
            Known::Nothing | Known::Silence => None,
        }
    }

    /// These are the members now, all of them. True when that is news.
    pub fn replace(&self, members: Members) -> bool {
        let before = self.members();
        let is_news = before.is_none_or(|before| *before != members);
        if is_news {
            let members = Known::Members(Arc::new(members));
            let before = std::mem::replace(&mut *self.write(), members);
            drop(before); // outside the lock: it may be long
        }
        is_news
    }

    /// There is no answer: the last one stays good, however old.
    pub fn gave_no_answer(&self) {
        let mut known = self.write();
        if matches!(&*known, Known::Nothing) {
            *known = Known::Silence;
        }
    }

    /// Begins with what another group knew.
    pub(super) fn inherit(&self, other: &Group) {
        let known = other.read().clone();
        *self.write() = known;
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}
