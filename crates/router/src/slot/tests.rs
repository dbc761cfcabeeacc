//! The legality table, move by move, and keys.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::*;

/// Every legal move; all others must panic with both names.
const ALLOWED: [&str; 17] = [
    "Free > Opening",
    "Opening > Free",
    "Opening > Leased",
    "Idle > Free",
    "Idle > Leased",
    "Idle > Resetting",
    "Leased > Free",
    "Leased > Idle",
    "Leased > Leased",
    "Leased > Resetting",
    "Leased > Quarantined",
    "Resetting > Free",
    "Resetting > Idle",
    "Resetting > Leased",
    "Resetting > Quarantined",
    "Quarantined > Free",
    "Quarantined > Resetting",
];

fn place(kind: usize, now: Instant) -> Place<u32> {
    let holder = Some(ClientId(1));
    match kind {
        0 => Place::Free,
        1 => Place::Opening { holder },
        2 => Place::Idle { server: 1, home: 0, since: now },
        3 => Place::Leased { holder, since: now },
        4 => Place::Resetting,
        _ => Place::Quarantined { server: 1, home: 0 },
    }
}

/// A slot in the state of that kind, reached by legal moves.
fn slot_in(kind: usize, now: Instant) -> (Slots<u32, ()>, u32) {
    let mut slots = Slots::new();
    let key = open(&mut slots);
    let index = slots.live(key).expect("it was just opened");
    let path: &[usize] = match kind {
        0 => &[0],
        1 => &[],
        3 => &[3],
        other => &[3, other],
    };
    for step in path {
        slots.get_mut(index).cancels = u32::from(*step == 5);
        move_to(&mut slots, index, place(*step, now));
    }
    (slots, index)
}

fn open(slots: &mut Slots<u32, ()>) -> SlotKey {
    slots.open(Some(ClientId(1)))
}

#[test]
fn only_the_moves_of_the_table_are_possible() {
    let now = Instant::now();
    for (from, from_name) in NAMES.iter().enumerate() {
        for (to, to_name) in NAMES.iter().enumerate() {
            let (mut slots, index) = slot_in(from, now);
            slots.get_mut(index).cancels = u32::from(to == 5);
            let name = format!("{from_name} > {to_name}");
            let next = place(to, now);
            let moved = catch_unwind(AssertUnwindSafe(|| {
                move_to(&mut slots, index, next);
            }));
            assert_eq!(moved.is_ok(), ALLOWED.contains(&name.as_str()), "{name}");
            if let Err(panic) = moved {
                let message = panic.downcast_ref::<String>().expect("a message");
                assert!(message.contains(from_name) && message.contains(to_name), "{message}");
            } else {
                assert_eq!(slots.counts().servers(), usize::from(to != FREE), "{name}");
                assert_eq!(slots.idle_any().is_some(), to == 2, "{name}");
            }
        }
    }
}

#[test]
fn a_key_dies_with_its_server() {
    let mut slots = Slots::new();
    let first = open(&mut slots);
    let index = slots.live(first).expect("open");
    move_to(&mut slots, index, Place::Free);
    assert_eq!(slots.live(first), None);
    let second = open(&mut slots);
    assert_eq!(second.index(), first.index());
    assert_eq!(slots.live(first), None);
    assert_eq!(slots.live(second), Some(index));
}

#[test]
fn nothing_of_a_server_meets_the_next_one() {
    let mut slots: Slots<u32, u8> = Slots::new();
    let key = slots.open(None);
    let index = slots.live(key).expect("open");
    let slot = slots.get_mut(index);
    (slot.born, slot.cancel, slot.cancels) = (Some(Instant::now()), Some(7), 3);
    slot.closing = true;
    move_to(&mut slots, index, Place::Free);
    let again = slots.open(None);
    let slot = slots.get(slots.live(again).expect("open"));
    assert_eq!((slot.born, slot.cancel, slot.cancels, slot.closing), (None, None, 0, false));
}

#[test]
fn a_key_is_a_number_and_back() {
    let key = SlotKey { index: 5, generation: u32::MAX };
    assert_eq!(SlotKey::from_u64(key.as_u64()), key);
    assert_eq!(SlotKey::from_u64(u64::from(u32::MAX)).index(), u32::MAX);
}
