//! Numbers for things the kernel and other threads speak about: a place and its generation. A key
//! outlives the thing it named and then names nothing; it is never a pointer. Places are reused,
//! generations are not.

/// The name of one entry for as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// As the 64 bits an epoll event carries.
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.index) | u64::from(self.generation) << 32
    }

    /// From the 64 bits of an event.
    pub(crate) fn from_bits(bits: u64) -> Key {
        Key { index: bits as u32, generation: (bits >> 32) as u32 }
    }

    /// A key no slab ever gives out, for the few descriptors the reactor keeps for itself.
    pub(crate) const fn reserved(n: u32) -> Key {
        Key { index: u32::MAX, generation: n }
    }
}

struct Place<T> {
    /// Odd while it is taken, so that a fresh key never equals a stale one.
    generation: u32,
    value: Option<T>,
}

/// A growing table of entries.
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Slab<T> {
        Slab { places: Vec::new(), free: Vec::new() }
    }

    /// Takes a place; `make` learns the key first.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(Key) -> T) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, value: None });
            u32::try_from(self.places.len() - 1).expect("fewer than 2^32 entries")
        });
        let place = &mut self.places[index as usize];
        place.generation = place.generation.wrapping_add(1);
        let key = Key { index, generation: place.generation };
        place.value = Some(make(key));
        key
    }

    /// The entry of `key` if it still lives.
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let place = self.places.get(key.index as usize)?;
        if place.generation == key.generation { place.value.as_ref() } else { None }
    }

    /// Ends the entry of `key`, if it still lives.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let value = place.value.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(key.index);
        Some(value)
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|place| place.value.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seen to fail: a `get` that ignores the generation finds the new entry by the old key.
    #[test]
    fn a_stale_key_names_nothing() {
        let mut slab = Slab::new();
        let old = slab.insert_with(|_| "old");
        assert_eq!(slab.remove(old), Some("old"));
        let new = slab.insert_with(|_| "new");
        assert_eq!((old.index, slab.get(old)), (new.index, None), "same place, other generation");
        assert_eq!(slab.remove(old), None);
        assert_eq!(slab.get(new), Some(&"new"));
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn a_key_survives_the_kernel() {
        let mut slab = Slab::new();
        for _ in 0..3 {
            let key = slab.insert_with(|key| key);
            assert_eq!(slab.get(Key::from_bits(key.to_bits())), Some(&key));
            slab.remove(key);
        }
        assert_eq!(slab.get(Key::reserved(0)), None);
        assert_eq!(slab.iter().count(), 0);
    }
}
