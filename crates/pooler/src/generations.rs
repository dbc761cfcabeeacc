//! Generations: a map that forgets what was not used for longest, nearly. When the young are as
//! many as there may be, they become the old, and the old are forgotten.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};

/// At most twice `MAX` entries.
pub struct Generations<K, V, const MAX: usize, S = RandomState> {
    young: HashMap<K, V, S>,
    old: HashMap<K, V, S>,
}

impl<K, V, const MAX: usize, S: Default> Default for Generations<K, V, MAX, S> {
    fn default() -> Self {
        Self { young: HashMap::default(), old: HashMap::default() }
    }
}

impl<K: Eq + Hash, V, const MAX: usize, S: BuildHasher + Default> Generations<K, V, MAX, S> {
    /// Its value, which makes it young again.
    pub fn get(&mut self, key: &K) -> Option<&V> {
        if let Some((key, value)) = self.old.remove_entry(key) {
            self.insert(key, value);
        }
        self.young.get(key)
    }

    /// In the place of what was there.
    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    /// Forgets it.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let old = self.old.remove(key);
        self.young.remove(key).or(old)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::Generations;

    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let mut map = Generations::<_, _, 10>::default();
        for number in 0..1000 {
            map.insert(number, number);
            assert_eq!(map.get(&0), Some(&0), "it is used all the time");
            assert!(map.len() <= 20);
        }
        assert_eq!((map.get(&999).copied(), map.get(&500)), (Some(999), None));
        assert_eq!(map.remove(&999), Some(999));
        assert_eq!(map.get(&999), None);
    }

    /// Against one that becomes old and stays young, and is there when it was removed.
    #[test]
    fn nothing_is_there_twice() {
        let mut map = Generations::<_, _, 2>::default();
        for (key, value) in [(1, 'a'), (2, 'a'), (3, 'a'), (1, 'b')] {
            map.insert(key, value);
        }
        assert_eq!(map.remove(&1), Some('b'));
        assert_eq!(map.get(&1), None);
        assert_eq!(map.get(&2), Some(&'a'));
        assert_eq!(map.len(), 2);
    }
}
