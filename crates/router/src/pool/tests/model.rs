//! The pool against a naive one: random operations of several clients on two machines, with a
//! clock the test turns. Every decision must be the same, and after each the invariants hold.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use naive::{Back, Naive, Says};

mod naive;

const CLIENTS: usize = 6;
const MACHINES: usize = 2;

#[derive(Clone, Debug)]
enum Op {
    /// The client checks out (and names its last server) or goes on with what it holds: claims a
    /// ticket, finishes an opening, returns the server.
    Step {
        client: usize,
        name_last: bool,
        home: usize,
    },
    /// What the client holds is lost, or it leaves the queue.
    Fail {
        client: usize,
    },
    /// The client's server goes into its reset.
    Reset {
        client: usize,
    },
    /// The oldest reset ends well or badly.
    ResetDone {
        well: bool,
        home: usize,
    },
    /// The server with the nth key ever seen stirs.
    Stir {
        nth: usize,
    },
    Cancel {
        client: usize,
    },
    /// The nth cancel in flight ends.
    CancelDone {
        nth: usize,
    },
    Tick {
        us: u64,
    },
    Expire,
    Retire {
        nth: usize,
    },
    RetireAll,
    Resize {
        size: Option<usize>,
        min: usize,
    },
    Prewarm,
    Pause,
    Resume,
    /// Every call with the nth key ever seen, if its server is gone.
    Late {
        nth: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let (client, home, nth) = (0..CLIENTS, 0..MACHINES, 0..64_usize);
    prop_oneof![
        12 => (client.clone(), any::<bool>(), home.clone())
            .prop_map(|(client, name_last, home)| Op::Step { client, name_last, home }),
        1 => client.clone().prop_map(|client| Op::Fail { client }),
        1 => client.clone().prop_map(|client| Op::Reset { client }),
        2 => (any::<bool>(), home).prop_map(|(well, home)| Op::ResetDone { well, home }),
        1 => nth.clone().prop_map(|nth| Op::Stir { nth }),
        2 => client.prop_map(|client| Op::Cancel { client }),
        2 => nth.clone().prop_map(|nth| Op::CancelDone { nth }),
        3 => prop_oneof![0..8_u64, 0..160_u64].prop_map(|n| Op::Tick { us: n * 250 }),
        1 => Just(Op::Expire),
        1 => nth.clone().prop_map(|nth| Op::Retire { nth }),
        1 => prop_oneof![9 => Just(Op::Expire), 1 => Just(Op::RetireAll)],
        1 => Just(Op::Prewarm),
        1 => prop_oneof![1 => Just(Op::Pause), 3 => Just(Op::Resume)],
        1 => (sizes(), 0..4_usize).prop_map(|(size, min)| Op::Resize { size, min }),
        1 => nth.prop_map(|nth| Op::Late { nth }),
    ]
}

fn sizes() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![9 => (1..5_usize).prop_map(Some), 1 => Just(None)]
}

fn limits() -> impl Strategy<Value = Limits> {
    let time = || prop::option::of((1..60_u64).prop_map(Duration::from_millis));
    let all = (sizes(), 0..4_usize, 0..7_usize, time(), time());
    all.prop_map(|(size, min, waiters_max, ttl, lifetime)| Limits {
        size,
        min,
        waiters_max,
        ttl,
        lifetime,
    })
}

/// What a client has in hand.
#[derive(Debug, Default)]
enum Hand {
    #[default]
    Empty,
    Ticket(Ticket),
    Opening(SlotKey),
    Leased(SlotKey, Server),
}

/// Both pools, and everything that is outside of them.
struct World {
    pool: TestPool,
    naive: Naive,
    now: Instant,
    hands: Vec<Hand>,
    /// The last server of each client.
    last: Vec<Option<SlotKey>>,
    resets: Vec<(SlotKey, Server)>,
    cancels: Vec<SlotKey>,
    /// Every key ever given out.
    keys: Vec<SlotKey>,
    /// Servers made so far; each has its own number.
    servers: u32,
    /// Opens that did not become servers.
    failed: u64,
    /// Checkouts.
    asked: u64,
    /// Waiters that were woken and have not asked why.
    woken: HashSet<u64>,
}

impl World {
    fn new(limits: Limits) -> World {
        World {
            pool: pool_with(limits),
            naive: Naive::new(limits),
            now: Instant::now(),
            hands: (0..CLIENTS).map(|_| Hand::Empty).collect(),
            last: vec![None; CLIENTS],
            resets: Vec::new(),
            cancels: Vec::new(),
            keys: Vec::new(),
            servers: 0,
            failed: 0,
            asked: 0,
            woken: HashSet::new(),
        }
    }

    fn apply(&mut self, op: &Op) {
        let before = self.naive.slots.len();
        match *op {
            Op::Step { client, name_last, home } => self.step(client, name_last, home),
            Op::Fail { client } => self.fail(client),
            Op::Reset { client } => self.reset(client),
            Op::ResetDone { well, home } => self.reset_done(well, home),
            Op::Stir { nth } => self.stir(nth),
            Op::Cancel { client } => self.cancel(client),
            Op::CancelDone { nth } => self.cancel_done(nth),
            Op::Tick { us } => self.now += Duration::from_micros(us),
            Op::Expire => self.expire(),
            Op::Retire { nth } => self.retire(nth),
            Op::RetireAll => self.retire_all(),
            Op::Resize { size, min } => self.resize(size, min),
            Op::Prewarm => self.prewarm(),
            Op::Pause => self.pause(),
            Op::Resume => self.resume(),
            Op::Late { nth } => self.late(nth),
        }
        self.check();
        let (size, now) = (self.naive.limits.size, self.naive.slots.len());
        assert!(size.is_none_or(|size| now <= size.max(before)), "over size");
    }

    fn step(&mut self, client: usize, name_last: bool, home: usize) {
        match std::mem::take(&mut self.hands[client]) {
            Hand::Empty => self.checkout(client, name_last),
            Hand::Ticket(ticket) => self.claim(client, ticket),
            Hand::Opening(key) => {
                let server = self.opened(key);
                self.last[client] = Some(key);
                self.hands[client] = Hand::Leased(key, server);
            }
            Hand::Leased(key, server) => self.checkin(key, server, home),
        }
    }

    fn checkout(&mut self, client: usize, name_last: bool) {
        let last = self.last[client].filter(|_| name_last);
        let id = ClientId(client as u64);
        self.asked += 1;
        let asker = Asker { client: id, machine: client % MACHINES, last };
        let answer = self.pool.checkout(asker, || id.0, self.now);
        let says = self.naive.checkout(&asker, self.now);
        match answer {
            Checkout::Granted(Grant::Take(key, server)) => {
                assert_eq!(says, Says::Take(key, server.0));
                self.take(client, key, server);
            }
            Checkout::Granted(Grant::Open(key)) => {
                assert_eq!(says, Says::Open);
                self.open(Some(client), key);
                self.hands[client] = Hand::Opening(key);
            }
            Checkout::Wait(ticket) => {
                assert_eq!(says, Says::Wait);
                self.hands[client] = Hand::Ticket(ticket);
            }
            Checkout::Refuse(refusal) => {
                let limit = self.naive.limits.waiters_max;
                assert_eq!((says, refusal), (Says::Full, Refusal::WaitersFull { limit }));
            }
        }
    }

    fn claim(&mut self, client: usize, ticket: Ticket) {
        let was_woken = self.woken.remove(&(client as u64));
        match self.pool.claim(ticket) {
            Claim::Pending => {
                assert!(!was_woken, "a woken waiter has a grant");
                self.hands[client] = Hand::Ticket(ticket);
            }
            Claim::Granted(grant) => {
                assert!(was_woken, "who has a grant was woken");
                assert_eq!(self.pool.claim(ticket), Claim::Stale);
                self.granted(client, grant);
            }
            Claim::Stale => panic!("the ticket was not used up"),
        }
    }

    fn granted(&mut self, client: usize, grant: Grant<Server>) {
        match grant {
            Grant::Take(key, server) => {
                let slot = self.naive.find(key).expect("live");
                assert_eq!((slot.state, slot.server.take()), (State::Leased, Some(server.0)));
                self.take(client, key, server);
            }
            Grant::Open(key) => {
                self.open(Some(client), key);
                self.hands[client] = Hand::Opening(key);
            }
        }
    }

    fn take(&mut self, client: usize, key: SlotKey, server: Server) {
        let view = self.pool.slots().find(|view| view.slot == key).expect("live");
        assert_eq!((view.state, view.holder), (State::Leased, Some(ClientId(client as u64))));
        self.last[client] = Some(key);
        self.hands[client] = Hand::Leased(key, server);
    }

    /// The naive pool learns the key of the slot it opened for that client.
    fn open(&mut self, client: Option<usize>, key: SlotKey) {
        assert!(!self.keys.contains(&key), "a key lives once");
        self.keys.push(key);
        let holder = client.map(|client| ClientId(client as u64));
        let fits = |slot: &&mut naive::NaiveSlot| slot.key.is_none() && slot.holder == holder;
        self.naive.slots.iter_mut().find(fits).expect("the naive pool opened it").key = Some(key);
    }

    fn opened(&mut self, key: SlotKey) -> Server {
        self.servers += 1;
        assert!(self.pool.opened(key, self.servers, self.now));
        let now = self.now;
        let slot = self.naive.find(key).expect("live");
        (slot.state, slot.born) = (State::Leased, Some(now));
        Server(self.servers)
    }

    fn checkin(&mut self, key: SlotKey, server: Server, home: usize) {
        let says = self.naive.checkin(key, server.0, (home, self.now));
        let answer = self.pool.checkin(key, server, home, self.now);
        self.compare_back(answer, says);
    }

    fn compare_back(&mut self, answer: Checkin<Server, u64>, says: Back) {
        let answer = match answer {
            Checkin::Parked => Back::Parked,
            Checkin::Wake(client) => Back::Wake(client),
            Checkin::Quarantined => Back::Quarantined,
            Checkin::Close(server, wake) => Back::Close(server.0, wake),
            Checkin::Stale(_) => panic!("the key is live"),
        };
        assert_eq!(answer, says);
        if let Back::Wake(client) | Back::Close(_, Some(client)) = answer {
            self.wake(client);
        }
    }

    fn wake(&mut self, client: u64) {
        assert!(self.woken.insert(client), "woken once");
    }

    fn fail(&mut self, client: usize) {
        match std::mem::take(&mut self.hands[client]) {
            Hand::Empty => {}
            Hand::Opening(key) => {
                self.failed += 1;
                self.lost(key);
            }
            Hand::Leased(key, _) => self.lost(key),
            Hand::Ticket(ticket) => {
                let id = ClientId(client as u64);
                match self.pool.give_up(ticket, self.now) {
                    GaveUp::Left => {
                        let waits = self.naive.waiters.iter().position(|one| one.client == id);
                        let waiter = self.naive.waiters.remove(waits.expect("it waits"));
                        self.naive.wait_total += self.now - waiter.since;
                    }
                    GaveUp::Granted(grant) => {
                        assert!(self.woken.remove(&id.0));
                        self.granted(client, grant);
                    }
                    GaveUp::Stale => panic!("the ticket was not used up"),
                }
            }
        }
    }

    fn lost(&mut self, key: SlotKey) {
        let says = self.naive.gone(key, self.now);
        let answer = self.pool.lost(key, self.now);
        assert_eq!(answer, says);
        answer.into_iter().for_each(|client| self.wake(client));
    }

    fn reset(&mut self, client: usize) {
        match std::mem::take(&mut self.hands[client]) {
            Hand::Leased(key, server) => {
                assert!(self.pool.resetting(key));
                let slot = self.naive.find(key).expect("live");
                (slot.state, slot.holder) = (State::Resetting, None);
                self.resets.push((key, server));
            }
            other => self.hands[client] = other,
        }
    }

    fn reset_done(&mut self, well: bool, home: usize) {
        if self.resets.is_empty() {
            return;
        }
        let (key, server) = self.resets.remove(0);
        if well { self.checkin(key, server, home) } else { self.lost(key) }
    }

    fn stir(&mut self, nth: usize) {
        let Some(&key) = self.keys.get(nth % self.keys.len().max(1)) else { return };
        let slot = self.naive.find(key);
        let here = slot.filter(|slot| matches!(slot.state, State::Idle | State::Quarantined));
        let says = here.map(|slot| {
            slot.state = State::Resetting;
            slot.server.take().expect("it is in the pool")
        });
        let answer = self.pool.take_idle(key);
        assert_eq!(answer.as_ref().map(|server| server.0), says);
        self.resets.extend(answer.map(|server| (key, server)));
    }

    fn cancel(&mut self, client: usize) {
        let id = ClientId(client as u64);
        let answer = self.pool.begin_cancel(id);
        let leased = |slot: &&mut naive::NaiveSlot| {
            slot.state == State::Leased && slot.holder == Some(id) && slot.key.is_some()
        };
        let slot = self.naive.slots.iter_mut().find(leased);
        assert_eq!(answer.map(|(key, _)| Some(key)), slot.as_ref().map(|slot| slot.key));
        if let (Some((key, target)), Some(slot)) = (answer, slot) {
            slot.cancels += 1;
            self.cancels.push(key);
            if let Hand::Leased(held, server) = &self.hands[client] {
                assert_eq!((*held, server.0), (key, target), "the target is the client's server");
            }
        }
    }

    fn cancel_done(&mut self, nth: usize) {
        if self.cancels.is_empty() {
            return;
        }
        let key = self.cancels.swap_remove(nth % self.cancels.len());
        let says = self.naive.cancel_done(key, self.now);
        let answer = self.pool.cancel_done(key, self.now);
        assert_eq!(answer.is_some(), says.is_some());
        if let (Some(answer), Some(says)) = (answer, says) {
            self.compare_back(answer, says);
        }
    }

    fn expire(&mut self) {
        let now = self.now;
        assert_eq!(self.pool.next_expiry(), self.naive.next_expiry());
        let says = self.naive.expire(now);
        self.compare_closed(says, |pool| pool.expire(now));
    }

    fn retire(&mut self, nth: usize) {
        let Some(&key) = self.keys.get(nth % self.keys.len().max(1)) else { return };
        if let Some(slot) = self.naive.find(key) {
            slot.closing = true;
        }
        let says = self.naive.evict(|_, slot| slot.key == Some(key));
        self.compare_closed(says, |pool| {
            pool.retire(key).into_iter().map(|server| (key, server)).collect()
        });
    }

    fn retire_all(&mut self) {
        self.naive.slots.iter_mut().for_each(|slot| slot.closing = true);
        let says = self.naive.evict(|_, _| true);
        self.compare_closed(says, Pool::retire_all);
    }

    fn resize(&mut self, size: Option<usize>, min: usize) {
        let limits = Limits { size, min, ..self.naive.limits };
        let (closed, woken) = self.naive.resize(limits, self.now);
        let Retuned { close, wake } = self.pool.retune(limits, self.now);
        assert_eq!(close.iter().map(|server| server.0).collect::<Vec<_>>(), closed);
        assert_eq!(wake, woken);
        wake.into_iter().for_each(|client| self.wake(client));
    }

    fn compare_closed(
        &mut self,
        says: Vec<u32>,
        ask: impl FnOnce(&mut TestPool) -> Vec<(SlotKey, Server)>,
    ) {
        let mut closed: Vec<u32> = ask(&mut self.pool).into_iter().map(|(_, s)| s.0).collect();
        closed.sort_unstable();
        assert_eq!(closed, says);
    }

    fn prewarm(&mut self) {
        let says = self.naive.is_short(self.now);
        assert_eq!(self.pool.is_short(self.now), says);
        let answer = self.pool.prewarm(self.now);
        assert_eq!(answer.is_some(), says && self.naive.room());
        if let Some(key) = answer {
            self.naive.open(None);
            self.open(None, key);
            let server = self.opened(key);
            self.check();
            self.checkin(key, server, 0);
        }
    }

    fn pause(&mut self) {
        self.naive.is_paused = true;
        self.naive.slots.iter_mut().for_each(|slot| slot.closing = true);
        let says = self.naive.evict(|_, _| true);
        self.compare_closed(says, Pool::pause);
        assert!(self.pool.is_paused());
    }

    fn resume(&mut self) {
        self.naive.is_paused = false;
        let woken = self.naive.grant_all(self.now);
        assert_eq!(self.pool.resume(self.now), woken);
        woken.into_iter().for_each(|client| self.wake(client));
    }

    fn late(&mut self, nth: usize) {
        let Some(&key) = self.keys.get(nth % self.keys.len().max(1)) else { return };
        if self.naive.find(key).is_some() {
            return;
        }
        assert!(!self.pool.opened(key, 0, self.now));
        assert!(!self.pool.resetting(key));
        assert_eq!(self.pool.checkin(key, Server(0), 0, self.now), Checkin::Stale(Server(0)));
        assert_eq!(self.pool.lost(key, self.now), None);
        assert_eq!(self.pool.cancel_done(key, self.now), None);
    }

    /// What must hold after every operation.
    fn check(&self) {
        let views: Vec<SlotView> = self.pool.slots().collect();
        assert_eq!(views.len(), self.naive.slots.len());
        for slot in self.naive.slots.iter().filter(|slot| slot.key.is_some()) {
            let view = views.iter().find(|view| Some(view.slot) == slot.key).expect("a slot");
            let expected = (slot.state, slot.holder, slot.cancels, slot.born);
            assert_eq!((view.state, view.holder, view.cancels, view.born), expected);
            assert!(view.state != State::Idle || view.cancels == 0, "idle under a cancel");
            let home = slot.server.filter(|_| slot.state != State::Leased).map(|_| slot.home);
            assert_eq!(view.home, home);
        }
        let counts = self.pool.counts();
        let in_state = |state| views.iter().filter(|view| view.state == state).count();
        assert_eq!(counts.opening, in_state(State::Opening));
        assert_eq!(counts.idle, in_state(State::Idle));
        assert_eq!(counts.leased, in_state(State::Leased));
        assert_eq!(counts.resetting, in_state(State::Resetting));
        assert_eq!(counts.quarantined, in_state(State::Quarantined));
        assert_eq!(counts.waiting, self.naive.waiters.len());
        assert_eq!(self.pool.oldest_wait(), self.naive.waiters.first().map(|one| one.since));
        if counts.waiting > 0 {
            assert!(counts.idle == 0 && !self.naive.room(), "somebody waits for nothing");
        }
        self.check_one_hand();
        self.check_counters(&counts);
    }

    /// A slot is in one hand at most.
    fn check_one_hand(&self) {
        let in_hands = self.hands.iter().filter_map(|hand| match hand {
            Hand::Opening(key) | Hand::Leased(key, _) => Some(*key),
            Hand::Empty | Hand::Ticket(_) => None,
        });
        let all: Vec<SlotKey> = in_hands.chain(self.resets.iter().map(|(key, _)| *key)).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len(), "two hands: {all:?}");
    }

    fn check_counters(&self, counts: &Counts) {
        let counters = self.pool.counters();
        let granted = counters.handovers() + counters.grants_open;
        assert_eq!(counters.checkouts(), self.asked);
        assert_eq!(counters.waits, granted + counters.gave_up + counts.waiting as u64);
        assert_eq!(counters.wait_total, self.naive.wait_total);
        assert_eq!(counters.opens, counters.closed + counts.servers() as u64);
        assert_eq!(counters.opens, counters.opened + self.failed + counts.opening as u64);
        assert_eq!(counters.opened, u64::from(self.servers));
    }

    /// Servers return, resets and cancels end: everybody who waits is granted something.
    fn settle(&mut self) {
        self.resume();
        for _ in 0..10 * CLIENTS {
            while !self.cancels.is_empty() {
                self.apply(&Op::CancelDone { nth: 0 });
            }
            while !self.resets.is_empty() {
                self.apply(&Op::ResetDone { well: true, home: 0 });
            }
            for client in 0..CLIENTS {
                if !matches!(self.hands[client], Hand::Empty) {
                    self.apply(&Op::Step { client, name_last: false, home: client % MACHINES });
                }
            }
        }
        assert!(self.hands.iter().all(|hand| matches!(hand, Hand::Empty)), "{:?}", self.hands);
        assert!(self.woken.is_empty());
        let counts = self.pool.counts();
        assert_eq!((counts.waiting, counts.servers()), (0, counts.idle));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn the_pool_decides_as_the_naive_one(
        limits in limits(),
        ops in prop::collection::vec(op(), 0..200),
    ) {
        let mut world = World::new(limits);
        for op in &ops {
            world.apply(op);
        }
        world.settle();
    }
}
