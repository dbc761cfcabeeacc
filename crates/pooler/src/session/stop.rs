//! Who is here, so that everybody can be asked to leave: each client has a standing, and the roster
//! of its machine knows all of them. Nothing else is known about clients from outside.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use machine::Notifier;
use router::ClientId;

/// What others may ask of a client.
pub struct Standing {
    /// Leave when no transaction is open.
    leave: AtomicBool,
    notifier: Notifier,
}

/// The clients of one machine.
#[derive(Default)]
pub struct Roster {
    clients: Mutex<HashMap<ClientId, Arc<Standing>>>,
    /// Connections that came here since the start.
    arrived: AtomicU64,
}

/// One client's entry; gone when dropped.
pub struct Entry {
    roster: Arc<Roster>,
    client: ClientId,
}

impl Standing {
    /// A client that rings when asked.
    pub fn new(notifier: Notifier) -> Self {
        Self { leave: AtomicBool::new(false), notifier }
    }
}

/// Was this client asked to leave?
pub(super) fn is_told(standing: &Standing) -> bool {
    standing.leave.load(Ordering::Acquire)
}

impl Roster {
    /// A connection came to this machine, whatever becomes of it.
    pub fn arrive(&self) {
        self.arrived.fetch_add(1, Ordering::Relaxed);
    }

    /// How many came since the start.
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Clients that are logged in and here.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Writes a client in, until the entry is dropped.
    pub fn enter(self: &Arc<Self>, client: ClientId, standing: Arc<Standing>) -> Entry {
        self.lock().insert(client, standing);
        Entry { roster: Arc::clone(self), client }
    }

    /// Asks up to `most` clients, who were not asked before, to leave. How many were.
    pub fn ask_to_leave(&self, most: usize) -> usize {
        let clients = self.lock();
        let fresh = clients.values().filter(|one| !one.leave.swap(true, Ordering::AcqRel));
        fresh.take(most).map(|one| one.notifier.notify()).count()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClientId, Arc<Standing>>> {
        self.clients.lock().expect("nothing panics under this lock")
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.roster.lock().remove(&self.client);
    }
}
