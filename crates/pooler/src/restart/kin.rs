//! Kin: the processes before and after this one, while they live beside it. Sessions find here
//! where they can go, cancels where else their client may be. It does not know how the processes
//! came to be.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use machine::sync::shared::Semaphore;
use machine::{Deadline, Notified, Notifier, Woken};
use router::ClientKey;

use super::frame::{Frame, LUGGAGE_BYTES_MAX};
use super::line::{Letter, Outbox};
use super::luggage::Luggage;

/// Clients on their way at once: with the bound of their luggage a bound of memory.
const ON_THE_WAY_MAX: usize = 32;

/// The new process answers at once, or asks a server for a group first. Behind this nobody knows
/// who has the client, and it is nobody's any more.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What became of a client that was offered to the new process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is there now.
    Taken,
    /// It is still here, for this reason.
    Refused(String),
    /// It is still here, and there is nobody to take it.
    Nobody,
    /// Nobody knows: it must not go on here.
    Lost,
}

/// The processes beside this one.
#[derive(Default)]
pub struct Kin {
    successor: Mutex<Option<Arc<Desk>>>,
    predecessor: Mutex<Option<Arc<Outbox>>>,
    /// The process in whose place we were started; 0 for none.
    parent: AtomicU32,
    /// Another process takes our place.
    replaced: AtomicBool,
    /// The line to it is lost, and nobody knows yet whether it lives.
    lost: AtomicBool,
}

/// Where clients go from here.
pub(super) struct Desk {
    outbox: Arc<Outbox>,
    /// For [`ON_THE_WAY_MAX`].
    places: Semaphore,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    closed: bool,
    clients: HashMap<u64, Arc<Answer>>,
}

struct Answer {
    verdict: Mutex<Option<Verdict>>,
    notifier: Notifier,
}

impl Kin {
    /// Is there a new process that takes clients?
    pub fn has_successor(&self) -> bool {
        lock(&self.successor).is_some()
    }

    /// Is the old process still there?
    pub fn has_predecessor(&self) -> bool {
        let parent = self.parent.load(Ordering::Relaxed);
        parent != 0 && std::os::unix::process::parent_id() == parent
    }

    /// Does another process take our place?
    pub fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Relaxed)
    }

    /// Another process takes our place, or does not any more.
    pub fn set_replaced(&self, replaced: bool) {
        self.replaced.store(replaced, Ordering::Relaxed);
        if !replaced {
            self.set_lost(false);
        }
    }

    /// Is the process that takes our place about to be gone? Nobody is sent away until that is
    /// known: the place may be ours again.
    pub fn is_in_doubt(&self) -> bool {
        self.is_replaced() && self.lost.load(Ordering::Relaxed)
    }

    pub(super) fn set_lost(&self, lost: bool) {
        self.lost.store(lost, Ordering::Relaxed);
    }

    /// Offers a client to the new process. From a coroutine; it waits for the answer.
    pub fn offer(
        &self,
        pack: impl FnOnce() -> Luggage,
        socket: impl FnOnce() -> Option<OwnedFd>,
    ) -> Verdict {
        let Some(desk) = lock(&self.successor).clone() else { return Verdict::Nobody };
        let Ok(_place) = desk.places.acquire(Deadline::NEVER) else { return Verdict::Nobody };
        let luggage = pack().bytes();
        if luggage.len() > LUGGAGE_BYTES_MAX {
            return Verdict::Refused("it has too many prepared statements".into());
        }
        match socket() {
            Some(socket) => desk.send(luggage, socket),
            None => Verdict::Refused("there are no more descriptors".into()),
        }
    }

    /// A cancel request for nobody here: for the other process, if there is one.
    pub fn cancel(&self, ClientKey(key): ClientKey) {
        let desk = lock(&self.successor).clone();
        let successor = desk.map(|desk| Arc::clone(&desk.outbox));
        let Some(other) = successor.or_else(|| lock(&self.predecessor).clone()) else { return };
        let _ = other.post(Frame::Cancel { key }); // it could not be answered anyway
    }

    pub(super) fn set_successor(&self, desk: Option<Arc<Desk>>) {
        let before = std::mem::replace(&mut *lock(&self.successor), desk);
        if let Some(desk) = before {
            desk.close();
        }
    }

    pub(super) fn set_parent(&self, process: u32) {
        self.parent.store(process, Ordering::Relaxed);
    }

    pub(super) fn set_predecessor(&self, outbox: Option<Arc<Outbox>>) {
        *lock(&self.predecessor) = outbox;
    }
}

impl Desk {
    pub(super) fn new(outbox: Arc<Outbox>) -> Self {
        let places = Semaphore::new(ON_THE_WAY_MAX);
        Self { outbox, places, waiting: Mutex::default() }
    }

    fn send(&self, luggage: Vec<u8>, socket: OwnedFd) -> Verdict {
        let notified = Notified::new();
        let notifier = notified.notifier();
        let answer = Arc::new(Answer { verdict: Mutex::default(), notifier });
        let ticket = {
            let mut waiting = lock(&self.waiting);
            if waiting.closed {
                return Verdict::Nobody;
            }
            waiting.next += 1;
            let ticket = waiting.next;
            waiting.clients.insert(ticket, Arc::clone(&answer));
            ticket
        };
        let frame = Frame::Client { ticket, luggage };
        let letter = Letter { frame, descriptors: vec![socket], sent: None };
        if self.outbox.post(letter).is_err() {
            lock(&self.waiting).clients.remove(&ticket);
            return Verdict::Nobody;
        }
        // Nothing else may end this wait: half a hand-over would leave the client with both.
        let deadline = Deadline::after(ANSWER_TIMEOUT);
        let woken = machine::shield(|| machine::wait_any(&[], Some(&notified), deadline));
        lock(&self.waiting).clients.remove(&ticket);
        match woken {
            Ok(Woken::Notified) => {
                lock(&answer.verdict).take().expect("a verdict is there before its notification")
            }
            _ => Verdict::Lost,
        }
    }

    /// The new process has answered.
    pub(super) fn answer(&self, ticket: u64, verdict: Verdict) {
        let answer = lock(&self.waiting).clients.remove(&ticket);
        if let Some(answer) = answer {
            answer.give(verdict);
        }
    }

    /// It will not answer any more. What it has not answered it has not touched.
    fn close(&self) {
        let clients = {
            let mut waiting = lock(&self.waiting);
            waiting.closed = true;
            std::mem::take(&mut waiting.clients)
        };
        clients.values().for_each(|answer| answer.give(Verdict::Nobody));
    }
}

impl Answer {
    fn give(&self, verdict: Verdict) {
        *lock(&self.verdict) = Some(verdict);
        self.notifier.notify();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics under this lock")
}
