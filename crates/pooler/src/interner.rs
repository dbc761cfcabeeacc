//! An interner: equal values of many clients kept once. Clients of one application have the same
//! settings and were told the same; a pointer tells that faster than a comparison, and an idle
//! client costs less. It does not order, and it forgets what nobody has any more.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, Weak};

use router::NumberMap;

/// Entries before the dead ones are swept for the first time.
const SWEEP_AT_LEAST: usize = 64;

/// Values of one kind.
pub struct Interner<T> {
    hasher: RandomState,
    known: Mutex<Known<T>>,
}

struct Known<T> {
    by_hash: NumberMap<u64, Weak<T>>,
    /// Swept when so many entries are there.
    sweep_at: usize,
}

impl<T: Hash + Eq> Interner<T> {
    /// The one that is equal to `value`, which it may be itself.
    pub fn intern(&self, value: impl Borrow<T> + Into<Arc<T>>) -> Arc<T> {
        let hash = self.hasher.hash_one(value.borrow());
        let mut known = self.known.lock().expect("nothing panics under this lock");
        let found = known.by_hash.get(&hash).and_then(Weak::upgrade);
        // Two values with one hash take turns: that costs memory, nothing else.
        if let Some(found) = found.filter(|found| **found == *value.borrow()) {
            return found;
        }
        if known.by_hash.len() >= known.sweep_at {
            known.by_hash.retain(|_, weak| weak.strong_count() > 0);
            known.sweep_at = (known.by_hash.len() * 2).max(SWEEP_AT_LEAST);
        }
        let value = value.into();
        known.by_hash.insert(hash, Arc::downgrade(&value));
        value
    }
}

impl<T> Interner<T> {
    /// How many values somebody has.
    pub fn len(&self) -> usize {
        let known = self.known.lock().expect("nothing panics under this lock");
        known.by_hash.values().filter(|weak| weak.strong_count() > 0).count()
    }
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        let known = Known { by_hash: NumberMap::default(), sweep_at: SWEEP_AT_LEAST };
        Self { hasher: RandomState::new(), known: Mutex::new(known) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_dead_ones_are_forgotten() {
        let interner = Interner::<String>::default();
        let first = interner.intern(Arc::new(String::from("a")));
        assert!(Arc::ptr_eq(&first, &interner.intern(Arc::new(String::from("a")))));
        for number in 0..10 * SWEEP_AT_LEAST {
            interner.intern(Arc::new(number.to_string()));
        }
        assert!(interner.known.lock().unwrap().by_hash.len() <= SWEEP_AT_LEAST);
        assert!(Arc::ptr_eq(&first, &interner.intern(Arc::new(String::from("a")))));
    }
}
