//! Cancels and quarantine: the story that hurt, told against a pool that forgets cancels in flight
//! and against ours.

use super::*;

#[test]
fn a_cancel_needs_a_leased_server() {
    let now = Instant::now();
    let mut pool = pool(1);
    assert_eq!(pool.begin_cancel(ClientId(1)), None);
    let Checkout::Granted(Grant::Open(slot)) = pool.checkout(asker(1, 0), || 0, now) else {
        panic!("room")
    };
    assert_eq!(pool.begin_cancel(ClientId(1)), None, "nothing runs while it opens");
    assert!(pool.opened(slot, 42, now));
    assert_eq!(pool.begin_cancel(ClientId(2)), None);
    assert_eq!(pool.begin_cancel(ClientId(1)), Some((slot, 42)));
    assert!(pool.resetting(slot));
    assert_eq!(pool.begin_cancel(ClientId(1)), None, "it is not the client's any more");
    assert_eq!(pool.cancel_done(slot, now), None);
    assert_eq!(pool.checkin(slot, Server(0), 0, now), Checkin::Parked);
    assert_eq!(pool.begin_cancel(ClientId(1)), None);
    assert_eq!(pool.counters().cancels, 1);
}

#[test]
fn the_last_cancel_ends_the_quarantine() {
    let now = Instant::now();
    let mut pool = pool(1);
    let (slot, server) = lease(&mut pool, 1, 0, now);
    assert!(pool.begin_cancel(ClientId(1)).is_some());
    assert!(pool.begin_cancel(ClientId(1)).is_some());
    assert_eq!(pool.checkin(slot, server, 0, now), Checkin::Quarantined);
    let own = Asker { last: Some(slot), ..asker(1, 0) };
    let Checkout::Wait(ticket) = pool.checkout(own, || 1, now) else { panic!("even its own") };
    assert_eq!(pool.cancel_done(slot, now), None);
    assert_eq!(pool.counts().quarantined, 1);
    assert_eq!(pool.cancel_done(slot, now), Some(Checkin::Wake(1)));
    assert_eq!(pool.claim(ticket), Claim::Granted(Grant::Take(slot, Server(0))));
    assert_eq!(pool.checkin(slot, Server(0), 0, now), Checkin::Parked);
    assert_eq!(pool.cancel_done(SlotKey::from_u64(9), now), None);
}

#[test]
fn a_cancel_that_ends_with_nobody_waiting_parks_the_server() {
    let now = Instant::now();
    let mut pool = pool(1);
    let (slot, server) = lease(&mut pool, 1, 0, now);
    assert!(pool.begin_cancel(ClientId(1)).is_some());
    assert_eq!(pool.checkin(slot, server, 1, now), Checkin::Quarantined);
    assert_eq!(pool.cancel_done(slot, now), Some(Checkin::Parked));
    assert_eq!(taken(pool.checkout(asker(2, 1), || 0, now)), (slot, 0));
    assert_eq!(pool.counters().takes_near, 1, "it kept its home");
}

#[test]
fn a_quarantined_server_that_stirs_is_looked_at_and_quarantined_again() {
    let now = Instant::now();
    let mut pool = pool(1);
    let (slot, server) = lease(&mut pool, 1, 0, now);
    assert!(pool.begin_cancel(ClientId(1)).is_some());
    assert_eq!(pool.checkin(slot, server, 0, now), Checkin::Quarantined);
    let server = pool.take_idle(slot).expect("it is here");
    assert_eq!(pool.checkin(slot, server, 0, now), Checkin::Quarantined);
    let server = pool.take_idle(slot).expect("it is here");
    assert_eq!(pool.cancel_done(slot, now), None, "the watcher has it");
    assert_eq!(pool.checkin(slot, server, 0, now), Checkin::Parked);
}

#[test]
fn a_cancel_done_after_the_server_was_lost_touches_nothing() {
    let now = Instant::now();
    let mut pool = pool(1);
    let (slot, _) = lease(&mut pool, 1, 0, now);
    assert!(pool.begin_cancel(ClientId(1)).is_some());
    assert_eq!(pool.lost(slot, now), None);
    let (next, server) = lease(&mut pool, 2, 1, now);
    assert!(pool.begin_cancel(ClientId(2)).is_some());
    assert_eq!(pool.cancel_done(slot, now), None);
    assert_eq!(pool.checkin(next, server, 0, now), Checkin::Quarantined, "its own is in flight");
    assert_eq!(pool.cancel_done(next, now), Some(Checkin::Parked));
}

#[test]
fn a_retired_server_is_closed_even_under_a_cancel() {
    let now = Instant::now();
    let mut pool = pool(1);
    let (slot, server) = lease(&mut pool, 1, 0, now);
    assert!(pool.begin_cancel(ClientId(1)).is_some());
    assert_eq!(pool.checkin(slot, server, 0, now), Checkin::Quarantined);
    assert_eq!(pool.retire_all(), vec![], "not before the cancel ends");
    let ticket = wait(&mut pool, 2, 0, now);
    assert_eq!(pool.cancel_done(slot, now), Some(Checkin::Close(Server(0), Some(2))));
    assert!(matches!(pool.claim(ticket), Claim::Granted(Grant::Open(_))));
}

#[test]
fn a_cancel_that_waits_for_its_turn_keeps_nobody_waiting() {
    let now = Instant::now();
    let mut pool = pool(1);
    let (slot, server) = lease(&mut pool, 1, 0, now);
    let early = pool.ask_cancel(ClientId(1)).expect("it holds a server");
    assert_eq!(pool.checkin(slot, server, 0, now), Checkin::Parked, "nothing is on its way");
    assert_eq!(taken(pool.checkout(asker(1, 0), || 0, now)), (slot, 0));
    assert_eq!(pool.send_cancel(early), None, "the same client, but another query");
    let other = pool.ask_cancel(ClientId(1)).expect("it holds it again");
    assert_eq!(pool.send_cancel(early), None);
    assert!(pool.resetting(slot));
    assert_eq!(pool.send_cancel(other), None, "its client is gone");
    assert_eq!(pool.checkin(slot, Server(0), 0, now), Checkin::Parked);
}

#[test]
fn a_storm_of_cancels_for_one_query_is_one_cancel() {
    let now = Instant::now();
    let mut pool = pool(1);
    let (slot, server) = lease(&mut pool, 1, 7, now);
    let ticket = pool.ask_cancel(ClientId(1)).expect("the first");
    assert!((0..999).all(|_| pool.ask_cancel(ClientId(1)).is_none()));
    assert_eq!(pool.send_cancel(ticket), Some(7));
    assert_eq!(pool.send_cancel(ticket), None, "once");
    let next = pool.ask_cancel(ClientId(1)).expect("it may have come too early");
    pool.drop_cancel(next);
    assert_eq!(pool.send_cancel(next), None);
    assert_eq!(pool.checkin(slot, server, 0, now), Checkin::Quarantined);
    assert_eq!(pool.cancel_done(slot, now), Some(Checkin::Parked));
    assert_eq!((pool.counters().cancels, pool.counters().cancels_merged), (1001, 999));
}

/// What the story needs of a pool of one server, right or wrong.
trait OneServer {
    fn checkout(&mut self, client: u64) -> bool;
    fn checkin(&mut self, client: u64);
    fn begin_cancel(&mut self, client: u64) -> bool;
    fn cancel_done(&mut self);
    /// Who runs a query on the server now.
    fn owner(&self) -> Option<u64>;
}

/// Ignores cancels in flight: the server is free as soon as its client is done.
#[derive(Default)]
struct Forgetful(Option<u64>);

impl OneServer for Forgetful {
    fn checkout(&mut self, client: u64) -> bool {
        let free = self.0.is_none();
        if free {
            self.0 = Some(client);
        }
        free
    }

    fn checkin(&mut self, client: u64) {
        assert_eq!(self.0.take(), Some(client));
    }

    fn begin_cancel(&mut self, client: u64) -> bool {
        self.0 == Some(client)
    }

    fn cancel_done(&mut self) {}

    fn owner(&self) -> Option<u64> {
        self.0
    }
}

/// Ours.
struct Ours {
    pool: TestPool,
    now: Instant,
    slot: SlotKey,
    held: Option<(u64, Server)>,
}

impl Ours {
    fn new() -> Ours {
        let now = Instant::now();
        let mut pool = pool(1);
        let slot = idle(&mut pool, &[0], now)[0];
        Ours { pool, now, slot, held: None }
    }
}

impl OneServer for Ours {
    fn checkout(&mut self, client: u64) -> bool {
        match self.pool.checkout(asker(client, 0), || client, self.now) {
            Checkout::Granted(Grant::Take(_, server)) => {
                self.held = Some((client, server));
                true
            }
            Checkout::Wait(ticket) => {
                assert_eq!(self.pool.give_up(ticket, self.now), GaveUp::Left);
                false
            }
            other => panic!("one server, which exists: {other:?}"),
        }
    }

    fn checkin(&mut self, client: u64) {
        let (holder, server) = self.held.take().expect("held");
        assert_eq!(holder, client);
        let _ = self.pool.checkin(self.slot, server, 0, self.now);
    }

    fn begin_cancel(&mut self, client: u64) -> bool {
        self.pool.begin_cancel(ClientId(client)).is_some()
    }

    fn cancel_done(&mut self) {
        let _ = self.pool.cancel_done(self.slot, self.now);
    }

    fn owner(&self) -> Option<u64> {
        self.held.as_ref().map(|(client, _)| *client)
    }
}

/// Client 1 runs a query, somebody cancels it, and the cancel reaches the server after `late` of
/// the steps that follow. Returns whom it hit.
fn story(pool: &mut impl OneServer, late: usize) -> Option<u64> {
    assert!(pool.checkout(1));
    assert!(pool.begin_cancel(1));
    let mut hit = None;
    for step in 0..=3 {
        if step == late {
            hit = pool.owner();
            pool.cancel_done();
        }
        match step {
            0 => pool.checkin(1), // the query ended by itself
            1 | 2 if pool.owner().is_none() => drop(pool.checkout(2)),
            _ => {}
        }
    }
    assert_eq!(pool.owner(), Some(2), "the next client is served in the end");
    hit
}

/// `Forgetful` is the obvious wrong implementation. Seen to fail also with a `checkin` of ours that
/// ignores cancels in flight.
#[test]
fn cancel_in_flight_never_meets_the_next_owner() {
    let wrong: Vec<_> = (0..3).map(|late| story(&mut Forgetful::default(), late)).collect();
    assert_eq!(wrong, [Some(1), None, Some(2)], "without quarantine the late cancel hits client 2");
    let ours: Vec<_> = (0..3).map(|late| story(&mut Ours::new(), late)).collect();
    assert_eq!(ours, [Some(1), None, None]);
}
