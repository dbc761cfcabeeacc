//! A limit of clients and the admissions under it. It counts, and refuses to know who they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::refusal::{Refusal, Scope};

/// How many clients may be here at once: `client_max`, of the process or of a route.
#[derive(Debug)]
pub struct ClientLimit {
    scope: Scope,
    /// `usize::MAX`: no limit.
    limit: AtomicUsize,
    /// Admissions alive.
    live: Arc<AtomicUsize>,
}

/// One client's place under a [`ClientLimit`]; dropping it gives the place back.
#[derive(Debug)]
#[must_use = "dropping an admission gives the place back"]
pub struct Admission {
    live: Arc<AtomicUsize>,
}

impl ClientLimit {
    /// A limit nobody is under yet; `None` admits everybody and only counts.
    pub fn new(scope: Scope, limit: Option<usize>) -> ClientLimit {
        let limit = AtomicUsize::new(limit.unwrap_or(usize::MAX));
        ClientLimit { scope, limit, live: Arc::default() }
    }

    /// Another limit for those who come; nobody who is here has to go.
    pub fn set_limit(&self, limit: Option<usize>) {
        self.limit.store(limit.unwrap_or(usize::MAX), Ordering::Release);
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`Refusal::ClientMax`] when all places are taken.
    pub fn admit(&self) -> Result<Admission, Refusal> {
        let max = self.limit.load(Ordering::Acquire);
        let taken = self.live.fetch_update(Ordering::AcqRel, Ordering::Acquire, |live| {
            (live < max).then_some(live + 1)
        });
        match taken {
            Ok(_) => Ok(Admission { live: Arc::clone(&self.live) }),
            Err(_) => Err(Refusal::ClientMax { scope: self.scope, limit: max }),
        }
    }

    /// Admissions alive now.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let before = self.live.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "an admission was counted when it was made");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_admission_makes_room() {
        let limit = ClientLimit::new(Scope::Route, Some(2));
        let first = limit.admit().unwrap();
        let _second = limit.admit().unwrap();
        let refusal = limit.admit().unwrap_err();
        assert_eq!(refusal, Refusal::ClientMax { scope: Scope::Route, limit: 2 });
        drop(first);
        let _third = limit.admit().unwrap();
        assert_eq!(limit.live(), 2);
    }

    #[test]
    fn a_lower_limit_drives_nobody_out() {
        let limit = ClientLimit::new(Scope::Global, None);
        let mut all: Vec<_> = (0..3).map(|_| limit.admit().unwrap()).collect();
        limit.set_limit(Some(2));
        assert!(limit.admit().is_err());
        all.truncate(1);
        all.push(limit.admit().unwrap());
        assert!(limit.admit().is_err());
        limit.set_limit(None);
        all.push(limit.admit().unwrap());
        assert_eq!(limit.live(), 3);
    }

    #[test]
    fn no_limit_only_counts() {
        let limit = ClientLimit::new(Scope::Global, None);
        let all: Vec<_> = (0..100).map(|_| limit.admit().unwrap()).collect();
        assert_eq!(limit.live(), all.len());
        drop(all);
        assert_eq!(limit.live(), 0);
    }
}
