//! Deadlines. A deadline is a point in time, never a length: it survives retries without growing.
//! It does not read the clock by itself except where a caller asks for "so long from now".

use std::time::{Duration, Instant};

/// The last moment something may happen, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// No deadline.
    pub const NEVER: Deadline = Deadline(None);

    /// `duration` from now; a duration too long for the clock means never.
    #[must_use]
    pub fn after(duration: Duration) -> Deadline {
        Deadline(Instant::now().checked_add(duration))
    }

    /// At `instant`.
    #[must_use]
    pub fn at(instant: Instant) -> Deadline {
        Deadline(Some(instant))
    }

    /// Has it passed?
    #[must_use]
    pub fn is_past(self, now: Instant) -> bool {
        self.0.is_some_and(|at| at <= now)
    }

    /// The one that comes first.
    #[must_use]
    pub fn earliest(self, other: Deadline) -> Deadline {
        match (self.0, other.0) {
            (Some(a), Some(b)) => Deadline(Some(a.min(b))),
            (a, b) => Deadline(a.or(b)),
        }
    }

    /// How long is left; zero when it has passed, `None` when it never comes.
    #[must_use]
    pub fn remaining(self, now: Instant) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(now))
    }

    /// The instant, `None` for never.
    #[must_use]
    pub fn instant(self) -> Option<Instant> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_is_after_everything() {
        let now = Instant::now();
        let soon = Deadline::at(now + Duration::from_secs(1));
        assert_eq!(Deadline::NEVER.earliest(soon), soon);
        assert_eq!(soon.earliest(Deadline::NEVER), soon);
        assert_eq!(Deadline::NEVER.earliest(Deadline::NEVER), Deadline::NEVER);
        assert!(!Deadline::NEVER.is_past(now + Duration::from_secs(1 << 30)));
        assert_eq!(Deadline::NEVER.remaining(now), None);
        assert_eq!(Deadline::after(Duration::MAX), Deadline::NEVER);
    }

    #[test]
    fn a_deadline_is_past_at_its_own_instant() {
        let now = Instant::now();
        let at = Deadline::at(now + Duration::from_secs(1));
        assert!(!at.is_past(now));
        assert!(at.is_past(now + Duration::from_secs(1)));
        assert_eq!(at.remaining(now), Some(Duration::from_secs(1)));
        assert_eq!(at.remaining(now + Duration::from_secs(5)), Some(Duration::ZERO));
        assert_eq!(at.earliest(Deadline::at(now)), Deadline::at(now));
    }
}
