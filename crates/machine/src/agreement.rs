//! Two agreements between a machine and other threads, each a few atomic steps that must not be
//! taken in another order: who rings for a sleeper, and who posts the letter about a flag. They are
//! checked by a model, in every interleaving.

use crate::atomic::{AtomicBool, Ordering, fence};

/// Somebody sleeps, somebody else has something for him. The one puts his thing down and then looks
/// whether to ring; the other says that he sleeps and then looks once more whether there is
/// something. With sequentially consistent fences between, at least one of them sees the other.
pub(crate) struct Bell {
    /// True from before the last look until the sleeper is up again.
    sleeping: AtomicBool,
}

impl Bell {
    pub(crate) fn new() -> Bell {
        Bell { sleeping: AtomicBool::new(false) }
    }

    /// Something was put down: must the caller ring? Of several one must.
    pub(crate) fn must_ring(&self) -> bool {
        fence(Ordering::SeqCst);
        let wakes = || {
            let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed);
            self.sleeping.compare_exchange(true, false, success, failure)
        };
        self.sleeping.load(Ordering::Relaxed) && wakes().is_ok()
    }

    /// May the caller sleep? Not if there is something after all.
    pub(crate) fn may_sleep(&self, is_empty: impl FnOnce() -> bool) -> bool {
        self.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if is_empty() {
            return true;
        }
        self.wake_up();
        false
    }

    pub(crate) fn wake_up(&self) {
        self.sleeping.store(false, Ordering::Release);
    }
}

/// A flag that anybody sets, and a letter to its owner that it is set: one on its way at a time, so
/// that a flag that is set a million times costs the mailbox one place.
pub(crate) struct Call {
    set: AtomicBool,
    /// A letter is on its way.
    posted: AtomicBool,
}

impl Call {
    pub(crate) fn new() -> Call {
        Call { set: AtomicBool::new(false), posted: AtomicBool::new(false) }
    }

    /// A read-modify-write, too: who takes a flag that several have set has seen what each of them
    /// did before. A store would hide those before the last.
    pub(crate) fn set(&self) {
        self.set.swap(true, Ordering::AcqRel);
    }

    /// It was set: must the caller post a letter?
    pub(crate) fn must_post(&self) -> bool {
        !self.posted.swap(true, Ordering::AcqRel)
    }

    /// The letter has arrived, and the flag is looked at after this. A read-modify-write, so that
    /// whoever found a letter on its way has his flag seen.
    pub(crate) fn received(&self) {
        self.posted.swap(false, Ordering::AcqRel);
    }

    /// Clears the flag; was it set?
    pub(crate) fn take(&self) -> bool {
        self.set.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }
}
