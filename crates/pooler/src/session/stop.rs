//! Who is here, so that everybody can be asked to leave: each client has a standing, and the roster
//! of its machine knows all of them. Nothing else is known about clients from outside.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use machine::Notifier;
use router::ClientId;

/// What others may ask of a client.
pub struct Standing {
    /// What it was asked: one of the three below, in their order.
    asked: AtomicU8,
    notifier: Notifier,
}

/// Nothing.
const STAY: u8 = 0;
/// Go to the new process when no transaction is open, if it takes you.
const MOVE: u8 = 1;
/// Leave when no transaction is open, one way or the other.
const LEAVE: u8 = 2;

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
        Self { asked: AtomicU8::new(STAY), notifier }
    }
}

/// Was this client asked to leave?
pub(super) fn is_told(standing: &Standing) -> bool {
    standing.asked.load(Ordering::Acquire) >= LEAVE
}

/// Was it asked to go to the new process, or to leave?
pub(super) fn is_to_move(standing: &Standing) -> bool {
    standing.asked.load(Ordering::Acquire) >= MOVE
}

/// The new process does not take this client: it has to leave.
pub(super) fn give_up(standing: &Standing) {
    standing.asked.store(LEAVE, Ordering::Release);
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

    /// Writes a client in, until the entry is dropped.
    pub fn enter(self: &Arc<Self>, client: ClientId, standing: Arc<Standing>) -> Entry {
        self.lock().insert(client, standing);
        Entry { roster: Arc::clone(self), client }
    }

    /// Asks up to `most` clients, who were not asked before, to leave. How many were.
    pub fn ask_to_leave(&self, most: usize) -> usize {
        self.ask(LEAVE, most)
    }

    /// Asks up to `most` clients, who were not asked anything before, to go to the new process. How
    /// many were.
    pub fn ask_to_move(&self, most: usize) -> usize {
        self.ask(MOVE, most)
    }

    /// There is no new process any more: who has not gone stays.
    pub fn let_stay(&self) {
        self.lock().values().for_each(|one| one.asked.store(STAY, Ordering::Release));
    }

    fn ask(&self, what: u8, most: usize) -> usize {
        let clients = self.lock();
        let fresh = |one: &&Arc<Standing>| one.asked.fetch_max(what, Ordering::AcqRel) < what;
        clients.values().filter(fresh).take(most).map(|one| one.notifier.notify()).count()
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
