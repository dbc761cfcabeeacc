//! The minimum of a pool and the end of its servers.

use super::*;

const LIFE: Duration = Duration::from_secs(60);

fn kept(size: usize, min: usize) -> TestPool {
    pool_with(Limits { min, ttl: Some(10 * MS), lifetime: Some(LIFE), ..sized(size) })
}

/// A server nobody asked for, as the janitor makes one.
fn prewarm(pool: &mut TestPool, id: u32, now: Instant) -> SlotKey {
    let slot = pool.prewarm(now).expect("the pool is short");
    assert!(pool.opened(slot, id, now));
    assert_eq!(pool.checkin(slot, Server(id), 1, now), Checkin::Parked);
    slot
}

#[test]
fn a_minimum_is_opened_for_nobody() {
    let now = Instant::now();
    let mut pool = kept(2, 1);
    assert!(pool.is_short(now));
    let slot = pool.prewarm(now).expect("room");
    assert_eq!(pool.prewarm(now), None, "one is on its way");
    assert!(pool.opened(slot, 0, now));
    assert_eq!(pool.begin_cancel(ClientId(0)), None);
    assert_eq!(pool.checkin(slot, Server(0), 1, now), Checkin::Parked);
    let view: Vec<SlotView> = pool.slots().collect();
    assert_eq!(view.len(), 1);
    assert_eq!((view[0].state, view[0].home, view[0].holder), (State::Idle, Some(1), None));
    assert_eq!(view[0].idle_since, Some(now));
    assert_eq!(pool.counters().prewarms, 1);
}

/// Seen to fail: an expiry that knows no minimum closes all three.
#[test]
fn the_minimum_outlives_its_ttl() {
    let now = Instant::now();
    let mut pool = kept(5, 2);
    let slots = idle(&mut pool, &[0, 0, 0], now);
    let late = now + 10 * MS;
    assert_eq!(pool.next_expiry(), Some(late));
    assert_eq!(pool.expire(late), vec![(slots[0], Server(0))], "the one unused for longest");
    assert_eq!(pool.next_expiry(), Some(now + LIFE), "nobody has to look at the ttl of the rest");
    assert_eq!(pool.expire(now + 100 * MS), vec![]);
}

#[test]
fn an_old_server_of_the_minimum_is_replaced_before_it_ends() {
    let now = Instant::now();
    let mut pool = kept(3, 2);
    let slots = [prewarm(&mut pool, 0, now), prewarm(&mut pool, 1, now)];
    let late = now + LIFE;
    assert_eq!(pool.expire(late), vec![], "first the next one");
    let next = pool.prewarm(late).expect("one is old");
    assert_eq!(pool.expire(late), vec![], "which may fail yet");
    assert_eq!(pool.prewarm(late), None, "one at a time");
    assert!(pool.opened(next, 2, late));
    assert_eq!(pool.checkin(next, Server(2), 0, late), Checkin::Parked);
    assert_eq!(pool.expire(late), vec![(slots[0], Server(0))]);
    prewarm(&mut pool, 3, late);
    assert_eq!(pool.expire(late), vec![(slots[1], Server(1))]);
    assert!(!pool.is_short(late));
}

#[test]
fn without_room_the_end_comes_first_and_one_at_a_time() {
    let now = Instant::now();
    let mut pool = kept(2, 2);
    let slots = [prewarm(&mut pool, 0, now), prewarm(&mut pool, 1, now)];
    let late = now + LIFE;
    assert_eq!(pool.prewarm(late), None, "no room");
    assert_eq!(pool.expire(late), vec![(slots[0], Server(0))]);
    assert_eq!(pool.expire(late), vec![], "not before there is another");
    prewarm(&mut pool, 2, late);
    assert_eq!(pool.expire(late), vec![(slots[1], Server(1))]);
}

/// Seen to fail: a pool that looks at the age of idle servers only keeps this one for ever.
#[test]
fn a_server_that_goes_from_waiter_to_waiter_ends_at_its_age() {
    let now = Instant::now();
    let mut pool = kept(1, 1);
    let (slot, server) = lease(&mut pool, 1, 0, now);
    let ticket = wait(&mut pool, 2, 0, now);
    let young = now + LIFE - MS;
    assert_eq!(pool.checkin(slot, server, 0, young), Checkin::Wake(2));
    let Claim::Granted(Grant::Take(slot, server)) = pool.claim(ticket) else { panic!("granted") };
    let ticket = wait(&mut pool, 3, 0, young);
    assert_eq!(pool.checkin(slot, server, 0, now + LIFE), Checkin::Close(Server(0), Some(3)));
    assert!(matches!(pool.claim(ticket), Claim::Granted(Grant::Open(_))));
}

#[test]
fn servers_of_one_age_do_not_end_all_at_once() {
    let now = Instant::now();
    let mut pool = kept(2, 0);
    let (one, first) = lease(&mut pool, 1, 0, now);
    let (two, second) = lease(&mut pool, 2, 1, now);
    let tickets = [wait(&mut pool, 3, 0, now), wait(&mut pool, 4, 0, now)];
    let late = now + LIFE;
    assert_eq!(pool.checkin(one, first, 0, late), Checkin::Close(Server(0), Some(3)));
    assert_eq!(pool.checkin(two, second, 0, late), Checkin::Wake(4), "one is being opened");
    assert!(matches!(pool.claim(tickets[0]), Claim::Granted(Grant::Open(_))));
    assert!(matches!(pool.claim(tickets[1]), Claim::Granted(Grant::Take(..))));
}
