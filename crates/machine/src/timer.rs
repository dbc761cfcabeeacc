//! Deadlines of waiting tasks: a binary heap with one entry a task. It reads no clock. A wait that
//! ends early leaves its entry where it is, and the next wait of that task finds it: as long as the
//! new deadline is not earlier than the entry, starting and ending a wait is one store. An entry
//! that comes due too early moves on.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

const NOWHERE: usize = usize::MAX;

/// What a timed thing carries.
pub(crate) struct TimerSlot {
    /// When it wants to be woken; `None` while it does not wait for time.
    pub(crate) deadline: Cell<Option<Instant>>,
    /// Its place in the heap.
    position: Cell<usize>,
}

impl TimerSlot {
    pub(crate) const fn new() -> TimerSlot {
        TimerSlot { deadline: Cell::new(None), position: Cell::new(NOWHERE) }
    }
}

/// Something with a deadline.
pub(crate) trait Timed {
    fn timer(&self) -> &TimerSlot;
}

struct Entry<T> {
    /// Never later than the item's deadline.
    at: Instant,
    item: Rc<T>,
}

/// The heap, earliest entry first.
pub(crate) struct Timers<T> {
    heap: Vec<Entry<T>>,
}

impl<T: Timed> Timers<T> {
    pub(crate) const fn new() -> Timers<T> {
        Timers { heap: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Wakes `item` at `deadline`. Ending the wait is `slot.deadline.set(None)`.
    pub(crate) fn set(&mut self, item: &Rc<T>, deadline: Instant) {
        let slot = item.timer();
        slot.deadline.set(Some(deadline));
        let position = slot.position.get();
        if position == NOWHERE {
            slot.position.set(self.heap.len());
            self.heap.push(Entry { at: deadline, item: Rc::clone(item) });
            self.up(self.heap.len() - 1);
        } else if deadline < self.heap[position].at {
            self.heap[position].at = deadline;
            self.up(position);
        }
    }

    /// Forgets `item`: it ends.
    pub(crate) fn remove(&mut self, item: &T) {
        let position = item.timer().position.get();
        if position != NOWHERE {
            self.take(position);
        }
        item.timer().deadline.set(None);
    }

    /// An item whose deadline has passed, taken out; call until `None`.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Rc<T>> {
        while self.heap.first().is_some_and(|entry| entry.at <= now) {
            match self.heap[0].item.timer().deadline.get() {
                Some(deadline) if deadline > now => self.postpone(deadline),
                wanted => {
                    let item = self.take(0);
                    item.timer().deadline.set(None);
                    if wanted.is_some() {
                        return Some(item);
                    }
                }
            }
        }
        None
    }

    /// When the next deadline really comes.
    pub(crate) fn next(&mut self) -> Option<Instant> {
        loop {
            let first = self.heap.first()?;
            match first.item.timer().deadline.get() {
                None => drop(self.take(0)),
                Some(deadline) if deadline > first.at => self.postpone(deadline),
                Some(_) => return Some(first.at),
            }
        }
    }

    /// Moves the first entry to the time its item wants now.
    fn postpone(&mut self, deadline: Instant) {
        self.heap[0].at = deadline;
        self.down(0);
    }

    fn take(&mut self, position: usize) -> Rc<T> {
        let entry = self.heap.swap_remove(position);
        entry.item.timer().position.set(NOWHERE);
        if position < self.heap.len() {
            self.heap[position].item.timer().position.set(position);
            self.up(position);
            self.down(position);
        }
        entry.item
    }

    fn up(&mut self, mut position: usize) {
        while position > 0 {
            let parent = (position - 1) / 2;
            if self.heap[parent].at <= self.heap[position].at {
                return;
            }
            self.swap(parent, position);
            position = parent;
        }
    }

    fn down(&mut self, mut position: usize) {
        loop {
            let left = position * 2 + 1;
            if left >= self.heap.len() {
                return;
            }
            let right = left + 1;
            let right_first = right < self.heap.len() && self.heap[right].at < self.heap[left].at;
            let child = if right_first { right } else { left };
            if self.heap[position].at <= self.heap[child].at {
                return;
            }
            self.swap(position, child);
            position = child;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.heap[a].item.timer().position.set(a);
        self.heap[b].item.timer().position.set(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    struct Thing {
        name: usize,
        slot: TimerSlot,
    }

    impl Timed for Thing {
        fn timer(&self) -> &TimerSlot {
            &self.slot
        }
    }

    fn things(n: usize) -> Vec<Rc<Thing>> {
        (0..n).map(|name| Rc::new(Thing { name, slot: TimerSlot::new() })).collect()
    }

    fn at(base: Instant, ms: u64) -> Instant {
        base + Duration::from_millis(ms)
    }

    #[test]
    fn deadlines_come_due_in_order() {
        let (base, things, mut timers) = (Instant::now(), things(500), Timers::<Thing>::new());
        for thing in &things {
            timers.set(thing, at(base, (thing.name as u64 * 7919) % 1000));
        }
        let mut seen = Vec::new();
        for ms in 0..1000 {
            while let Some(thing) = timers.due(at(base, ms)) {
                assert_eq!((thing.name as u64 * 7919) % 1000, ms);
                seen.push(thing.name);
            }
        }
        assert_eq!((seen.len(), timers.len()), (500, 0));
    }

    #[test]
    fn a_later_deadline_keeps_the_entry_and_an_earlier_one_moves_it() {
        let (base, things, mut timers) = (Instant::now(), things(1), Timers::<Thing>::new());
        let thing = &things[0];
        timers.set(thing, at(base, 10));
        timers.set(thing, at(base, 30));
        assert_eq!(timers.len(), 1, "one entry a task");
        assert!(timers.due(at(base, 20)).is_none(), "the early entry moves on");
        assert_eq!(timers.next(), Some(at(base, 30)));
        timers.set(thing, at(base, 5));
        assert_eq!(timers.next(), Some(at(base, 5)));
        assert_eq!(timers.due(at(base, 5)).map(|t| t.name), Some(0));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn an_ended_wait_hits_nobody() {
        let (base, things, mut timers) = (Instant::now(), things(3), Timers::<Thing>::new());
        for thing in &things {
            timers.set(thing, at(base, 10));
        }
        things[0].slot.deadline.set(None);
        timers.remove(&things[1]);
        assert_eq!(timers.next(), Some(at(base, 10)));
        assert_eq!(timers.due(at(base, 10)).map(|t| t.name), Some(2));
        assert!(timers.due(at(base, 10)).is_none());
        assert_eq!(timers.len(), 0);
        assert_eq!(Rc::strong_count(&things[0]), 1);
    }

    #[test]
    fn random_sets_and_removes_keep_the_order() {
        let (base, things, mut timers) = (Instant::now(), things(64), Timers::<Thing>::new());
        let mut seed = 12345u64;
        let mut now = 0;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let thing = &things[(seed >> 33) as usize % things.len()];
            match (seed >> 20) % 4 {
                0 => timers.remove(thing),
                1 => thing.slot.deadline.set(None),
                _ => timers.set(thing, at(base, now + (seed >> 40) % 50)),
            }
            if (seed >> 50).is_multiple_of(8) {
                now += 1;
                while timers.due(at(base, now)).is_some() {}
                for thing in &things {
                    assert!(thing.slot.deadline.get().is_none_or(|d| d > at(base, now)));
                }
                let first = things.iter().filter_map(|t| t.slot.deadline.get()).min();
                assert_eq!(timers.next(), first);
            }
        }
    }
}
