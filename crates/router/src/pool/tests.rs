//! A pool, decision by decision, with a clock that the test turns.

use std::time::Duration;

use super::*;

mod cancel;
mod model;
mod shares;
mod upkeep;

/// A server that cannot be in two places: it is not `Clone`.
#[derive(Debug, PartialEq, Eq)]
struct Server(u32);

type TestPool = Pool<Server, u64, u32>;

impl<S, W, C: Clone> Pool<S, W, C> {
    /// A cancel that is sent as soon as it is asked for: the server and what its canceller needs.
    pub(crate) fn begin_cancel(&mut self, client: ClientId) -> Option<(SlotKey, C)> {
        let ticket = self.ask_cancel(client)?;
        Some((ticket.slot(), self.send_cancel(ticket)?))
    }
}

/// Machine and moment, in µs, of each waiter's arrival.
type Arrivals = &'static [(usize, u64)];

const MS: Duration = Duration::from_millis(1);

fn pool(size: usize) -> TestPool {
    pool_with(sized(size))
}

fn sized(size: usize) -> Limits {
    Limits { size: Some(size), min: 0, waiters_max: 100, ttl: None, lifetime: None }
}

fn pool_with(limits: Limits) -> TestPool {
    Pool::new(limits)
}

fn asker(client: u64, machine: usize) -> Asker {
    Asker { client: ClientId(client), machine, last: None }
}

/// Opens server number `id` for `client` and leaves it leased.
fn lease(pool: &mut TestPool, client: u64, id: u32, now: Instant) -> (SlotKey, Server) {
    match pool.checkout(asker(client, 0), || unreachable!("there is room"), now) {
        Checkout::Granted(Grant::Open(slot)) => {
            assert!(pool.opened(slot, id, now));
            (slot, Server(id))
        }
        other => panic!("not an open: {other:?}"),
    }
}

/// Servers `0..homes.len()` idle on these machines, the last one used last.
fn idle(pool: &mut TestPool, homes: &[usize], now: Instant) -> Vec<SlotKey> {
    let held: Vec<_> = (0..homes.len()).map(|id| lease(pool, 900, id as u32, now)).collect();
    let mut slots = Vec::new();
    for ((slot, server), home) in held.into_iter().zip(homes) {
        assert_eq!(pool.checkin(slot, server, *home, now), Checkin::Parked);
        slots.push(slot);
    }
    slots
}

fn wait(pool: &mut TestPool, client: u64, machine: usize, now: Instant) -> Ticket {
    match pool.checkout(asker(client, machine), || client, now) {
        Checkout::Wait(ticket) => ticket,
        other => panic!("not a wait: {other:?}"),
    }
}

fn taken(checkout: Checkout<Server>) -> (SlotKey, u32) {
    match checkout {
        Checkout::Granted(Grant::Take(slot, server)) => (slot, server.0),
        other => panic!("not a take: {other:?}"),
    }
}

#[test]
fn the_own_last_server_comes_first_then_the_machine_then_any() {
    // homes of servers 0.., the one the client had last, its machine, the server it gets
    let cases: [(&[usize], Option<usize>, usize, u32); 6] = [
        (&[0, 0, 1], None, 0, 1),
        (&[0, 0, 1], None, 1, 2),
        (&[0, 0, 1], Some(0), 0, 0),
        (&[0, 0, 1], Some(0), 1, 0),
        (&[0, 0, 1], Some(2), 0, 2),
        (&[0, 1, 0], None, 7, 2),
    ];
    let now = Instant::now();
    for (homes, last, machine, expected) in cases {
        let mut pool = pool(3);
        let slots = idle(&mut pool, homes, now);
        let asker = Asker { last: last.map(|index| slots[index]), ..asker(1, machine) };
        let (slot, server) = taken(pool.checkout(asker, || unreachable!(), now));
        assert_eq!(server, expected, "{homes:?} {last:?} {machine}");
        assert_eq!(slot, slots[expected as usize]);
        let counters = pool.counters();
        assert_eq!(counters.takes_last + counters.takes_near + counters.takes_far, 1);
        assert_eq!(counters.takes_last == 1, last.is_some());
        assert_eq!(counters.takes_far == 1, machine == 7);
    }
}

#[test]
fn a_full_pool_lets_wait_and_a_full_queue_refuses() {
    let now = Instant::now();
    let limits = Limits { waiters_max: 1, ..sized(1) };
    let mut pool = pool_with(limits);
    let _held = lease(&mut pool, 1, 0, now);
    let _ticket = wait(&mut pool, 2, 0, now);
    let refused = pool.checkout(asker(3, 0), || unreachable!("refused"), now);
    assert_eq!(refused, Checkout::Refuse(Refusal::WaitersFull { limit: 1 }));
    assert_eq!((pool.counts().waiting, pool.counters().refused), (1, 1));
}

#[test]
fn a_pool_without_size_always_opens() {
    let now = Instant::now();
    let mut pool = pool_with(Limits { size: None, waiters_max: 0, ..sized(1) });
    let held: Vec<_> = (0..500).map(|n| lease(&mut pool, n, n as u32, now)).collect();
    assert_eq!(pool.counts().leased, held.len());
}

#[test]
fn a_returned_server_goes_to_the_oldest_or_past_it_by_a_millisecond() {
    // waiters, the releasing machine, who gets it
    let cases: [(Arrivals, usize, u64); 7] = [
        (&[(0, 0), (0, 10)], 0, 0),
        (&[(0, 0), (0, 10)], 1, 0),
        (&[(0, 0), (1, 1000)], 1, 1),
        (&[(0, 0), (1, 1001)], 1, 0),
        (&[(0, 0), (0, 500), (1, 900), (1, 901)], 1, 2),
        (&[(1, 0), (0, 100)], 1, 0),
        (&[(0, 0), (1, 5_000)], 2, 0),
    ];
    let start = Instant::now();
    for (waiters, home, expected) in cases {
        let mut pool = pool(1);
        let (slot, server) = lease(&mut pool, 99, 0, start);
        let tickets: Vec<Ticket> = waiters
            .iter()
            .enumerate()
            .map(|(client, (machine, at))| {
                wait(&mut pool, client as u64, *machine, start + Duration::from_micros(*at))
            })
            .collect();
        let later = start + 10 * MS;
        assert_eq!(pool.checkin(slot, server, home, later), Checkin::Wake(expected), "{waiters:?}");
        let winner = tickets[expected as usize];
        assert_eq!(pool.claim(winner), Claim::Granted(Grant::Take(slot, Server(0))));
        assert_eq!(pool.claim(winner), Claim::Stale);
        let counters = pool.counters();
        let passed = u64::from(expected != 0);
        let near = u64::from(expected == 0 && waiters[0].0 == home);
        assert_eq!(counters.handovers_passed, passed, "{waiters:?}");
        assert_eq!(counters.handovers_near, near, "{waiters:?}");
        assert_eq!(counters.handovers_far, 1 - passed - near, "{waiters:?}");
        let waited = 10 * MS - Duration::from_micros(waiters[expected as usize].1);
        assert_eq!(counters.wait_total, waited);
        assert_eq!(pool.counts().waiting, waiters.len() - 1);
    }
}

#[test]
fn a_lost_server_lets_the_oldest_waiter_open_one() {
    let now = Instant::now();
    let mut pool = pool(1);
    let (slot, _) = lease(&mut pool, 1, 0, now);
    let oldest = wait(&mut pool, 2, 0, now);
    let younger = wait(&mut pool, 3, 0, now);
    assert_eq!(pool.claim(oldest), Claim::Pending);
    assert_eq!(pool.lost(slot, now), Some(2));
    assert_eq!(pool.lost(slot, now), None, "the key is late now");
    let Claim::Granted(Grant::Open(granted)) = pool.claim(oldest) else { panic!("an open") };
    assert_ne!(granted, slot);
    assert_eq!(pool.claim(younger), Claim::Pending);
    assert_eq!(pool.lost(granted, now), Some(3), "an open that failed lets the next one try");
}

#[test]
fn who_leaves_too_late_has_the_grant_in_hand() {
    let now = Instant::now();
    let mut pool = pool(1);
    let (slot, server) = lease(&mut pool, 1, 0, now);
    let first = wait(&mut pool, 2, 0, now);
    let second = wait(&mut pool, 3, 0, now);
    assert_eq!(pool.give_up(first, now + MS), GaveUp::Left);
    assert_eq!(pool.give_up(first, now + MS), GaveUp::Stale);
    assert_eq!(pool.checkin(slot, server, 0, now + MS), Checkin::Wake(3));
    let GaveUp::Granted(Grant::Take(slot, server)) = pool.give_up(second, now + 2 * MS) else {
        panic!("the grant came first")
    };
    assert_eq!(pool.checkin(slot, server, 0, now), Checkin::Parked);
    assert_eq!((pool.counters().gave_up, pool.counters().wait_total), (1, 2 * MS));
}

#[test]
fn a_server_that_is_cleaned_serves_nobody() {
    let now = Instant::now();
    let mut pool = pool(1);
    let (slot, server) = lease(&mut pool, 1, 0, now);
    assert!(pool.resetting(slot));
    let ticket = wait(&mut pool, 2, 0, now);
    assert_eq!(pool.counts(), Counts { resetting: 1, waiting: 1, ..Counts::default() });
    assert_eq!(pool.checkin(slot, server, 0, now), Checkin::Wake(2));
    assert_eq!(pool.claim(ticket), Claim::Granted(Grant::Take(slot, Server(0))));
}

#[test]
fn a_stirred_server_is_looked_at_by_one_only() {
    let now = Instant::now();
    let mut pool = pool(2);
    let slots = idle(&mut pool, &[0, 0], now);
    assert_eq!(pool.take_idle(slots[0]), Some(Server(0)));
    assert_eq!(pool.take_idle(slots[0]), None);
    let (slot, _) = taken(pool.checkout(asker(1, 0), || unreachable!(), now));
    assert_eq!(slot, slots[1]);
    assert_eq!(pool.take_idle(slot), None, "its client will hear it");
    assert_eq!(pool.lost(slots[0], now), None);
    assert_eq!(pool.counts(), Counts { leased: 1, ..Counts::default() });
}

#[test]
fn late_keys_are_harmless() {
    let now = Instant::now();
    let mut pool = pool(2);
    let (late, server) = lease(&mut pool, 1, 0, now);
    assert_eq!(pool.lost(late, now), None);
    let (slot, _held) = lease(&mut pool, 2, 1, now);
    assert_eq!(slot.index(), late.index());
    let before = pool.counts();
    assert!(!pool.opened(late, 0, now));
    assert!(!pool.resetting(late));
    assert_eq!(pool.checkin(late, server, 0, now), Checkin::Stale(Server(0)));
    assert_eq!(pool.lost(late, now), None);
    assert_eq!(pool.take_idle(late), None);
    assert_eq!(pool.cancel_done(late, now), None);
    assert_eq!(pool.retire(late), None);
    let missing = SlotKey::from_u64(77);
    assert_eq!(pool.lost(missing, now), None);
    assert_eq!(pool.counts(), before);
}

#[test]
fn idle_servers_expire_by_disuse_and_by_age() {
    let start = Instant::now();
    let limits = Limits { ttl: Some(10 * MS), lifetime: Some(100 * MS), ..sized(9) };
    let mut pool = pool_with(limits);
    let slots = idle(&mut pool, &[0, 0, 0], start);
    assert_eq!(pool.next_expiry(), Some(start + 10 * MS));
    let (held, server) = taken(pool.checkout(asker(1, 0), || unreachable!(), start));
    assert_eq!(held, slots[2]);
    assert_eq!(pool.expire(start + 9 * MS), vec![]);
    let gone = pool.expire(start + 10 * MS);
    assert_eq!(gone, vec![(slots[0], Server(0)), (slots[1], Server(1))]);
    assert_eq!(pool.next_expiry(), None, "a leased server does not expire");
    let late = start + 95 * MS;
    assert_eq!(pool.expire(late), vec![]);
    assert_eq!(pool.checkin(held, Server(server), 0, late), Checkin::Parked);
    assert_eq!(pool.next_expiry(), Some(start + 100 * MS), "its age comes first now");
    assert_eq!(pool.expire(start + 100 * MS), vec![(held, Server(2))]);
    assert_eq!(pool.counts(), Counts::default());
}

#[test]
fn retired_servers_are_closed_when_they_come_back() {
    let now = Instant::now();
    let mut pool = pool(2);
    let (slot, server) = lease(&mut pool, 1, 0, now);
    let (other, idle) = lease(&mut pool, 2, 1, now);
    assert_eq!(pool.checkin(other, idle, 0, now), Checkin::Parked);
    assert_eq!(pool.retire_all(), vec![(other, Server(1))]);
    let (_third, _) = lease(&mut pool, 3, 2, now);
    let ticket = wait(&mut pool, 4, 0, now);
    assert_eq!(pool.checkin(slot, server, 0, now), Checkin::Close(Server(0), Some(4)));
    assert!(matches!(pool.claim(ticket), Claim::Granted(Grant::Open(_))));
}

#[test]
#[should_panic(expected = "moves from Idle to Idle")]
fn a_server_returned_twice_is_our_mistake() {
    let now = Instant::now();
    let mut pool = pool(1);
    let (slot, server) = lease(&mut pool, 1, 0, now);
    assert_eq!(pool.checkin(slot, server, 0, now), Checkin::Parked);
    let _ = pool.checkin(slot, Server(0), 0, now);
}

/// A pool that handed its servers on would never be quiet, and a server that the operator restarts
/// would take a client's transaction with it.
#[test]
fn a_paused_pool_hands_nothing_on_and_a_resumed_one_forgets_nobody() {
    let now = Instant::now();
    let mut pool = pool(2);
    let (held, server) = lease(&mut pool, 1, 0, now);
    let (other, idle) = lease(&mut pool, 2, 1, now);
    assert_eq!(pool.checkin(other, idle, 0, now), Checkin::Parked);
    assert_eq!(pool.pause(), vec![(other, Server(1))]);
    let (first, second) = (wait(&mut pool, 3, 0, now), wait(&mut pool, 4, 0, now));
    assert!(!pool.is_quiet() && !pool.is_short(now) && !pool.is_hopeless());
    assert_eq!(pool.checkin(held, server, 0, now), Checkin::Close(Server(0), None));
    assert!(pool.is_quiet());
    assert_eq!(pool.claim(first), Claim::Pending);
    assert_eq!(pool.resume(now), vec![3, 4]);
    assert!(matches!(pool.claim(first), Claim::Granted(Grant::Open(_))));
    assert!(matches!(pool.claim(second), Claim::Granted(Grant::Open(_))));
}
