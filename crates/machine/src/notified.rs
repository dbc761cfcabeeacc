//! A flag that one coroutine waits for and anybody may set, from any thread. It is level-triggered:
//! set stays set until taken, and setting it twice is setting it once. It carries no data.

use std::rc::Rc;
use std::sync::Arc;

use crate::Deadline;
use crate::agreement::Call;
use crate::census::Doing;
use crate::error::Error;
use crate::io::stream::Stream;
use crate::machine::Machine;
use crate::mailbox::{Mail, Shared};
use crate::slab::Key;
use crate::wait::{Waiter, Woken, wait_on};

/// The part both sides see.
struct Flag {
    home: Arc<Shared>,
    key: Key,
    call: Call,
}

/// The part the home machine sees.
pub(crate) struct Entry {
    flag: Arc<Flag>,
    pub(crate) waiter: Waiter,
}

impl Entry {
    /// The letter arrived.
    pub(crate) fn received(&self, machine: &Machine) {
        self.flag.call.received();
        self.waiter.wake(machine);
    }
}

/// The waiting end. It stays on its machine:
///
/// ```compile_fail
/// fn send<T: Send>() {}
/// send::<machine::Notified>();
/// ```
pub struct Notified {
    entry: Rc<Entry>,
}

impl Notified {
    /// A new flag, not set.
    ///
    /// # Panics
    /// Outside a machine.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it panics outside a machine: no default")]
    pub fn new() -> Notified {
        let machine = Machine::here().expect("a Notified is made on a machine");
        let entry = machine.add_notified(|key| {
            let home = Arc::clone(&machine.shared);
            let flag = Arc::new(Flag { home, key, call: Call::new() });
            Rc::new(Entry { flag, waiter: Waiter::new() })
        });
        Notified { entry }
    }

    /// Another end that sets the flag.
    #[must_use]
    pub fn notifier(&self) -> Notifier {
        Notifier { flag: Arc::clone(&self.entry.flag) }
    }

    /// Clears the flag; was it set?
    #[must_use]
    pub fn take(&self) -> bool {
        self.entry.flag.call.take()
    }

    /// Is it set?
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.entry.flag.call.is_set()
    }

    /// Waits until it is set, and clears it. [`wait_any`](crate::wait_any) waits for streams too.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `NotOnMachine`.
    ///
    /// # Panics
    /// If another coroutine waits for it.
    pub fn wait(&self, deadline: Deadline) -> Result<(), Error> {
        self.wait_for(Doing::Notified, deadline)
    }

    pub(crate) fn wait_for(&self, doing: Doing, deadline: Deadline) -> Result<(), Error> {
        match wait_on::<Stream>(doing, &[], Some(self), deadline)? {
            Woken::TimedOut => Err(Error::TimedOut),
            Woken::Ready | Woken::Notified => {
                let _ = self.take();
                Ok(())
            }
        }
    }

    pub(crate) fn waiter(&self) -> &Waiter {
        &self.entry.waiter
    }
}

impl Drop for Notified {
    fn drop(&mut self) {
        if let Some(machine) = Machine::here() {
            machine.remove_notified(self.entry.flag.key);
        }
    }
}

/// The setting end: cheap to clone, usable from any thread. It may outlive its [`Notified`].
#[derive(Clone)]
pub struct Notifier {
    flag: Arc<Flag>,
}

impl Notifier {
    /// Sets the flag and wakes who waits for it.
    pub fn notify(&self) {
        let flag = &self.flag;
        flag.call.set();
        if let Some(machine) = Machine::here().filter(|here| here.shared.index == flag.home.index) {
            if let Some(entry) = machine.notified(flag.key) {
                entry.waiter.wake(machine);
            }
        } else if flag.call.must_post() {
            flag.home.post(Mail::Notified(flag.key));
        }
    }
}
