//! A slot: one place of a pool, and the one door through which it changes state, [`move_to`]. The
//! table `LEGAL` is the whole truth about which state may follow which; who moves a slot and why is
//! the pool's business.

use std::time::Instant;

use crate::chain::Chain;
use crate::pool::ClientId;
use crate::stats::Counts;

/// More slots than one process can have descriptors; the bound of a pool "without limit".
pub(crate) const SLOTS_MAX: usize = 1 << 20;

// Which machine's list an idle slot is in is a small number by nature; a big one is our mistake.
const MACHINES_MAX: usize = 1024;

// The only list of `Slots::idle_all`.
const ALL: usize = 0;

/// What a slot is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A server is being connected for somebody.
    Opening,
    /// The server is here and free.
    Idle,
    /// The server is in a client's hands, or was handed to a waiter that has yet to claim it.
    Leased,
    /// The server is cleaned or examined; no client has it.
    Resetting,
    /// The server is here and clean, but a cancel for its last client may still hit it.
    Quarantined,
}

/// Names one life of a slot: from the opening of a server until it is gone.
///
/// A key that outlives its server names nothing: every call with it is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotKey {
    index: u32,
    generation: u32,
}

impl SlotKey {
    /// The key as one number, for those who can carry only a number.
    pub fn as_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The key of which [`SlotKey::as_u64`] made this number; other numbers are not keys.
    pub fn from_u64(key: u64) -> SlotKey {
        SlotKey { index: key as u32, generation: (key >> 32) as u32 }
    }

    /// The number of the slot in its pool, which later servers of the slot share.
    pub fn index(self) -> u32 {
        self.index
    }
}

/// A state with what belongs to it; the server value is in the slot only while nobody holds it.
pub(crate) enum Place<S> {
    /// Nothing here; the slot is on the free list.
    Free,
    Opening {
        /// None: opened for nobody, to keep the pool's minimum.
        holder: Option<ClientId>,
    },
    Idle {
        server: S,
        /// The machine on which the server is parked.
        home: usize,
        /// When it became idle.
        since: Instant,
    },
    Leased {
        /// None: opened for nobody and about to be checked in.
        holder: Option<ClientId>,
        /// When it came into these hands.
        since: Instant,
    },
    Resetting,
    Quarantined {
        server: S,
        /// The machine on which the server is parked.
        home: usize,
    },
}

/// Place in the tables: `Free` and the five public states.
const KINDS: usize = 6;
const FREE: usize = 0;
const NAMES: [&str; KINDS] = ["Free", "Opening", "Idle", "Leased", "Resetting", "Quarantined"];

/// `LEGAL[from][to]`, both in the order of `NAMES`.
const LEGAL: [[bool; KINDS]; KINDS] = {
    const Y: bool = true;
    const N: bool = false;
    [
        // Free  Opening Idle Leased Resetting Quarantined
        [N, Y, N, N, N, N], // Free: only an opening begins a life
        [Y, N, N, Y, N, N], // Opening: failed, or opened
        [Y, N, N, Y, Y, N], // Idle: expired, taken, examined by its watcher
        [Y, N, Y, Y, Y, Y], // Leased: lost, returned, handed over, cleaned, returned under a cancel
        [Y, N, Y, Y, N, Y], // Resetting: lost, clean, clean and handed over, clean under a cancel
        [Y, N, N, N, Y, N], // Quarantined: lost, or out of quarantine and then as after a reset
    ]
};

impl<S> Place<S> {
    fn kind(&self) -> usize {
        match self {
            Place::Free => 0,
            Place::Opening { .. } => 1,
            Place::Idle { .. } => 2,
            Place::Leased { .. } => 3,
            Place::Resetting => 4,
            Place::Quarantined { .. } => 5,
        }
    }

    /// None when free.
    pub(crate) fn state(&self) -> Option<State> {
        match self {
            Place::Free => None,
            Place::Opening { .. } => Some(State::Opening),
            Place::Idle { .. } => Some(State::Idle),
            Place::Leased { .. } => Some(State::Leased),
            Place::Resetting => Some(State::Resetting),
            Place::Quarantined { .. } => Some(State::Quarantined),
        }
    }

    /// When it became idle, if it is.
    pub(crate) fn since(&self) -> Option<Instant> {
        match self {
            Place::Idle { since, .. } => Some(*since),
            _ => None,
        }
    }

    /// When its present client got it, if it has one.
    pub(crate) fn leased_since(&self) -> Option<Instant> {
        match self {
            Place::Leased { since, .. } => Some(*since),
            _ => None,
        }
    }

    /// Whose hands the slot is in, if in a client's.
    pub(crate) fn holder(&self) -> Option<ClientId> {
        match self {
            Place::Opening { holder } | Place::Leased { holder, .. } => *holder,
            _ => None,
        }
    }
}

pub(crate) struct Slot<S, C> {
    /// Lives before this one; grows when the slot becomes free.
    generation: u32,
    place: Place<S>,
    /// When the server was opened; None while opening.
    pub(crate) born: Option<Instant>,
    /// What a canceller of this server needs; None while opening.
    pub(crate) cancel: Option<C>,
    /// Cancels sent and not done. Never handed out while this is not zero.
    pub(crate) cancels: u32,
    /// The number of a cancel for its present client that waits to be sent.
    pub(crate) queued_cancel: Option<u64>,
    /// The server is closed instead of returning to the pool.
    pub(crate) closing: bool,
}

impl<S, C> Slot<S, C> {
    pub(crate) fn place(&self) -> &Place<S> {
        &self.place
    }
}

/// All slots of a pool, how many are in which state, and the idle ones in order of use.
pub(crate) struct Slots<S, C> {
    slots: Vec<Slot<S, C>>,
    /// Numbers of free slots; the last freed is used first.
    free: Vec<u32>,
    /// By kind; `Free` is not counted.
    by_kind: [usize; KINDS],
    /// Idle slots of each home machine, most recently used first.
    idle_by_machine: Chain,
    /// All idle slots, most recently used first.
    idle_all: Chain,
}

impl<S, C> Slots<S, C> {
    pub(crate) fn new() -> Slots<S, C> {
        Slots {
            slots: Vec::new(),
            free: Vec::new(),
            by_kind: [0; KINDS],
            idle_by_machine: Chain::default(),
            idle_all: Chain::default(),
        }
    }

    /// A free slot begins to open; the caller made sure that there is room.
    pub(crate) fn open(&mut self, holder: Option<ClientId>) -> SlotKey {
        let index = self.free.pop().unwrap_or_else(|| self.add());
        move_to(self, index, Place::Opening { holder });
        self.key(index)
    }

    /// The number of the slot `key` names, while its life lasts.
    pub(crate) fn live(&self, key: SlotKey) -> Option<u32> {
        let slot = self.slots.get(key.index as usize)?;
        let alive = slot.generation == key.generation && slot.place.state().is_some();
        alive.then_some(key.index)
    }

    pub(crate) fn key(&self, index: u32) -> SlotKey {
        SlotKey { index, generation: self.get(index).generation }
    }

    pub(crate) fn get(&self, index: u32) -> &Slot<S, C> {
        &self.slots[index as usize]
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> &mut Slot<S, C> {
        &mut self.slots[index as usize]
    }

    /// The idle slot of `machine` used last.
    pub(crate) fn idle_near(&self, machine: usize) -> Option<u32> {
        self.idle_by_machine.front(machine)
    }

    /// The idle slot of any machine used last.
    pub(crate) fn idle_any(&self) -> Option<u32> {
        self.idle_all.front(ALL)
    }

    /// All idle slots, most recently used first.
    pub(crate) fn idle(&self) -> impl Iterator<Item = u32> {
        self.idle_all.iter(ALL)
    }

    /// The numbers of all slots that are not free.
    pub(crate) fn taken(&self) -> impl Iterator<Item = u32> {
        (0..self.slots.len() as u32).filter(|index| self.get(*index).place.state().is_some())
    }

    /// Slots that are not free.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Slots by state; `waiting` is the queue's to fill in.
    pub(crate) fn counts(&self) -> Counts {
        let [_, opening, idle, leased, resetting, quarantined] = self.by_kind;
        Counts { opening, idle, leased, resetting, quarantined, waiting: 0 }
    }

    fn add(&mut self) -> u32 {
        let index = u32::try_from(self.slots.len()).expect("a pool has at most SLOTS_MAX slots");
        self.slots.push(Slot {
            generation: 0,
            place: Place::Free,
            born: None,
            cancel: None,
            cancels: 0,
            queued_cancel: None,
            closing: false,
        });
        index
    }
}

/// Moves the slot to `next` and returns what it was: the only way a slot changes state.
///
/// # Panics
/// When the table does not allow the move: somebody returned a server twice, or one of a slot he
/// does not hold. The pool can no longer be trusted then.
pub(crate) fn move_to<S, C>(slots: &mut Slots<S, C>, index: u32, next: Place<S>) -> Place<S> {
    let slot = &mut slots.slots[index as usize];
    let (from, to) = (slot.place.kind(), next.kind());
    assert!(LEGAL[from][to], "slot {index} moves from {} to {}", NAMES[from], NAMES[to]);
    if let Place::Idle { home, .. } = &slot.place {
        slots.idle_by_machine.remove(*home, index);
        slots.idle_all.remove(ALL, index);
    }
    match &next {
        Place::Free => {
            // Late keys stop matching here, and nothing of this server meets the next one.
            slot.generation = slot.generation.wrapping_add(1);
            (slot.born, slot.cancel, slot.closing) = (None, None, false);
            (slot.cancels, slot.queued_cancel) = (0, None);
            slots.free.push(index);
        }
        Place::Idle { home, .. } => {
            assert!(*home < MACHINES_MAX, "machine {home} exists");
            debug_assert!(slot.cancels == 0, "a server under a cancel is not idle");
            slots.idle_by_machine.push_front(*home, index);
            slots.idle_all.push_front(ALL, index);
        }
        Place::Opening { .. } | Place::Leased { .. } | Place::Resetting => {}
        Place::Quarantined { .. } => debug_assert!(slot.cancels > 0, "a cancel is in flight"),
    }
    slots.by_kind[from] -= usize::from(from != FREE);
    slots.by_kind[to] += usize::from(to != FREE);
    std::mem::replace(&mut slot.place, next)
}

#[cfg(test)]
mod tests;
