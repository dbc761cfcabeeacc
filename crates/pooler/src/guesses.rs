//! Guesses: how often a password was wrong for a user from an address, so that each refusal comes
//! later than the one before. Nobody is locked out, a right password never waits, and the memory
//! is bounded: an attacker with very many addresses makes us forget, not grow.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, BuildHasherDefault};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use machine::Address;
use router::NumberHasher;

use crate::generations::Generations;

/// The second wrong password in a row waits so long, each further one twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(125);
/// No refusal waits longer; a quarter of the usual `client_login_timeout`.
const PAUSE_MAX: Duration = Duration::from_secs(4);
/// Who made no mistake for so long begins anew.
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// Entries of one generation, 32 bytes each. There are two: when the younger one is full it takes
/// the place of the older one.
const ENTRIES_MAX: usize = 16_384;
/// An IPv6 host has at least a /64 to choose addresses from.
const HOST_BITS_V6: u32 = 64;

/// Who was wrong lately.
#[derive(Default)]
pub struct Guesses {
    /// Keys its hashes with a secret of this process, so that nobody can aim at another's entry.
    hasher: RandomState,
    wrongs: Mutex<Wrongs>,
}

/// By hash.
type Wrongs = Generations<u64, Wrong, ENTRIES_MAX, BuildHasherDefault<NumberHasher>>;

#[derive(Clone, Copy)]
struct Wrong {
    times: u32,
    last: Instant,
}

impl Guesses {
    /// A wrong password: for how long its refusal is to wait.
    pub fn wrong(&self, from: &Address, user: &str, now: Instant) -> Duration {
        let key = self.key(from, user);
        let mut wrongs = self.lock();
        let before = wrongs.remove(&key).filter(|wrong| now < wrong.last + FORGET_AFTER);
        let times = before.map_or(0, |wrong| wrong.times).saturating_add(1);
        wrongs.insert(key, Wrong { times, last: now });
        pause(times)
    }

    /// A right one: what was wrong before was a mistake.
    pub fn right(&self, from: &Address, user: &str) {
        let key = self.key(from, user);
        self.lock().remove(&key);
    }

    fn key(&self, from: &Address, user: &str) -> u64 {
        let host = from.ip().map(|ip| match ip {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits() >> HOST_BITS_V6 << HOST_BITS_V6,
        });
        self.hasher.hash_one((host, user))
    }

    fn lock(&self) -> MutexGuard<'_, Wrongs> {
        self.wrongs.lock().expect("nothing panics under this lock")
    }
}

/// The first time nobody waits: people mistype.
fn pause(times: u32) -> Duration {
    match times.checked_sub(2) {
        None => Duration::ZERO,
        Some(doublings) => {
            let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
            PAUSE_FIRST.saturating_mul(factor).min(PAUSE_MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> Address {
        Address::Tcp(address.parse().unwrap())
    }

    /// Five wrong ones in a row.
    fn misses(guesses: &Guesses, address: &str, user: &str, now: Instant) {
        for _ in 0..5 {
            guesses.wrong(&from(address), user, now);
        }
    }

    fn millis(guesses: &Guesses, address: &str, user: &str, now: Instant) -> u128 {
        guesses.wrong(&from(address), user, now).as_millis()
    }

    #[test]
    fn each_wrong_password_waits_longer_up_to_a_bound() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let waits = || millis(&guesses, "1.2.3.4:5", "app", now);
        let told: Vec<_> = (0..9).map(|_| waits()).collect();
        assert_eq!(told, [0, 125, 250, 500, 1000, 2000, 4000, 4000, 4000]);
        (0..100).for_each(|_| assert_eq!(waits(), 4000));
    }

    #[test]
    fn nobody_pays_for_anothers_guesses() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        misses(&guesses, "1.2.3.4:5", "app", now);
        assert_eq!(millis(&guesses, "1.2.3.4:6", "other", now), 0, "another user");
        assert_eq!(millis(&guesses, "1.2.3.5:5", "app", now), 0, "another host");
        assert_eq!(guesses.wrong(&Address::Unix("/s".into()), "app", now), Duration::ZERO);
        assert_ne!(millis(&guesses, "1.2.3.4:9", "app", now), 0, "another port is the same host");
        misses(&guesses, "[2001:db8::1]:5", "app", now);
        assert_ne!(millis(&guesses, "[2001:db8::2]:5", "app", now), 0, "one network of a host");
        assert_eq!(millis(&guesses, "[2001:db8:0:1::1]:5", "app", now), 0, "another network");
    }

    #[test]
    fn a_right_password_and_time_make_good() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        misses(&guesses, "1.2.3.4:5", "app", now);
        guesses.right(&from("1.2.3.4:7"), "app");
        assert_eq!(millis(&guesses, "1.2.3.4:5", "app", now), 0);
        assert_eq!(millis(&guesses, "1.2.3.4:5", "app", now), 125);
        assert_eq!(millis(&guesses, "1.2.3.4:5", "app", now + FORGET_AFTER), 0);
    }

    /// Fails against one map that is never emptied.
    #[test]
    fn a_flood_of_addresses_costs_bounded_memory() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for host in 0..100_000u32 {
            let address = Address::Tcp((IpAddr::V4(host.into()), 1).into());
            guesses.wrong(&address, "app", now);
        }
        let entries = guesses.lock().len();
        assert!((ENTRIES_MAX..=2 * ENTRIES_MAX).contains(&entries), "{entries}");
    }
}
