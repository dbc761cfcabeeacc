//! Cancel keys: which client a CancelRequest means. It maps our own keys to clients, and refuses to
//! know servers' keys, randomness or connections.

use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, MutexGuard};

use crate::numbers::NumberMap;

// Logins of all machines register here; sixteen locks make two of them meet seldom.
const SHARDS: usize = 16;

/// The eight bytes a client is given in BackendKeyData: process id and secret.
///
/// `Debug` shows nothing of it: who knows the key can cancel that client's queries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClientKey(pub [u8; 8]);

impl Hash for ClientKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from_ne_bytes(self.0));
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientKey(..)")
    }
}

/// All keys given out, each with the client `C` that has it.
///
/// A key is here while its client lives, so their number is bounded by the number of clients.
pub struct CancelKeys<C> {
    shards: [Mutex<NumberMap<ClientKey, C>>; SHARDS],
}

impl<C: Clone> CancelKeys<C> {
    /// No keys.
    pub fn new() -> CancelKeys<C> {
        CancelKeys { shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// Gives `key` to `client`; false when somebody has it, then try again with new randomness.
    #[must_use = "a key that is taken belongs to another client"]
    pub fn register(&self, key: ClientKey, client: C) -> bool {
        match self.shard(key).entry(key) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(client);
                true
            }
        }
    }

    /// Forgets `key`; true if it was known.
    pub fn remove(&self, key: ClientKey) -> bool {
        let removed = self.shard(key).remove(&key);
        // `removed` may be the client's last owner: it is dropped here, outside the lock.
        removed.is_some()
    }

    /// Whom a cancel with `key` means.
    pub fn find(&self, key: ClientKey) -> Option<C> {
        self.shard(key).get(&key).cloned()
    }

    /// Keys given out now.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// True when no key is given out.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: ClientKey) -> MutexGuard<'_, NumberMap<ClientKey, C>> {
        // The last byte is of the secret half, which is random even if the first is a made-up pid.
        lock(&self.shards[usize::from(key.0[7]) % SHARDS])
    }
}

impl<C: Clone> Default for CancelKeys<C> {
    fn default() -> CancelKeys<C> {
        CancelKeys::new()
    }
}

/// A panic inside left the map as it was: every change of it is one call.
fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    shard.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_its_client_until_it_is_removed() {
        let keys = CancelKeys::new();
        let key = ClientKey([1, 2, 3, 4, 5, 6, 7, 8]);
        assert!(keys.is_empty());
        assert!(keys.register(key, "client"));
        assert_eq!(keys.find(key), Some("client"));
        assert_eq!(keys.find(ClientKey([1, 2, 3, 4, 5, 6, 7, 9])), None);
        assert!(keys.remove(key));
        assert!(!keys.remove(key));
        assert_eq!(keys.find(key), None);
    }

    #[test]
    fn a_taken_key_stays_with_its_first_owner() {
        let keys = CancelKeys::new();
        let key = ClientKey([0; 8]);
        assert!(keys.register(key, "first"));
        assert!(!keys.register(key, "second"));
        assert_eq!(keys.find(key), Some("first"));
        assert_eq!(keys.len(), 1);
    }

    #[test]
    fn a_printed_key_tells_nothing() {
        assert_eq!(format!("{:?}", ClientKey([9; 8])), "ClientKey(..)");
    }
}
