//! The keyring: what is expensive to derive from a password, kept so that it is derived once. A
//! PBKDF2 costs 1.5 ms; without this a thousand logins a second would need a core and a half. And
//! what is made up for those who have no password.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, OnceLock};

use config::Secret;
use wire::auth::scram::{ClientKeys, Failure, ScramVerifier};

/// Entries of each kind. A full ring is emptied: simpler than an order, and it happens to nobody
/// whose passwords stand in a file.
const ENTRIES_MAX: usize = 10_000;

/// A password, a salt and a number of rounds. Never printed: nothing here is `Debug`.
type ServerSalt = (String, Vec<u8>, u32);

/// What made-up salts are made of: whoever has it can tell them from others.
pub type Salts = [u8; 32];

/// Derived keys of one process.
#[derive(Default)]
pub struct Keyring {
    /// For our logins at servers.
    server_keys: Mutex<HashMap<ServerSalt, ClientKeys>>,
    /// For clients whose password is stored in plain text: by user and password.
    verifiers: Mutex<HashMap<(String, String), ScramVerifier>>,
    /// The same in all processes that took each other's place, so that a name has one salt.
    salts: OnceLock<Salts>,
}

impl Keyring {
    /// Keys for a server's salt.
    pub fn server_keys(&self, secret: &Secret, salt: &[u8], rounds: u32) -> Option<ClientKeys> {
        let wanted = (secret.reveal().to_owned(), salt.to_vec(), rounds);
        lock(&self.server_keys).get(&wanted).cloned()
    }

    /// Remembers them.
    pub fn keep_server_keys(&self, secret: &Secret, salt: &[u8], rounds: u32, keys: ClientKeys) {
        keep(&self.server_keys, (secret.reveal().to_owned(), salt.to_vec(), rounds), keys);
    }

    /// The verifier of a user's plain password.
    pub fn verifier(&self, user: &str, password: &str) -> Option<ScramVerifier> {
        lock(&self.verifiers).get(&(user.to_owned(), password.to_owned())).cloned()
    }

    /// Remembers it.
    pub fn keep_verifier(&self, user: &str, password: &str, verifier: ScramVerifier) {
        keep(&self.verifiers, (user.to_owned(), password.to_owned()), verifier);
    }

    /// A verifier that no password fits, for a user without one.
    ///
    /// # Errors
    /// OpenSSL refused.
    pub fn mock(&self, user: &str) -> Result<ScramVerifier, Failure> {
        ScramVerifier::mock(user, self.salts())
    }

    /// For the process that takes our place.
    pub fn salts(&self) -> &Salts {
        let made = || crate::random::bytes().expect("the kernel has randomness behind its start");
        self.salts.get_or_init(made)
    }

    /// Goes on with those of the process before. To be called before the first login.
    pub fn inherit(&self, salts: Salts) {
        let inherited = self.salts.set(salts);
        debug_assert!(inherited.is_ok(), "somebody has been told a salt already");
    }
}

fn keep<K: Eq + Hash, V>(ring: &Mutex<HashMap<K, V>>, key: K, value: V) {
    let mut ring = lock(ring);
    if ring.len() >= ENTRIES_MAX {
        ring.clear();
    }
    ring.insert(key, value);
}

fn lock<K, V>(ring: &Mutex<HashMap<K, V>>) -> MutexGuard<'_, HashMap<K, V>> {
    ring.lock().expect("nothing panics under this lock")
}
