//! The world around pools that share: who holds what, what is under way, and what must be true
//! whenever nobody is in the middle of a decision.

use super::*;

pub(super) const CLIENTS: usize = 9;
pub(super) const POOLS: usize = 3;

/// What a client has in hand.
#[derive(Debug, Default)]
enum Hand {
    #[default]
    Empty,
    /// Since when, and the place in the order of arrival.
    Ticket(Ticket, Instant),
    Opening(SlotKey, Instant),
    Leased(SlotKey, Server),
}

pub(super) struct World {
    pub(super) pools: Vec<TestPool>,
    pub(super) now: Instant,
    sizes: [Option<usize>; POOLS],
    servers: Arc<Budget>,
    logins: Arc<Budget>,
    hands: Vec<Hand>,
    /// Pools whose server is in a reset, opened for nobody, and pools that are to be reopened.
    resets: Vec<(usize, SlotKey, Server)>,
    prewarms: Vec<(usize, SlotKey)>,
    reopens: Vec<usize>,
    queued: Vec<(usize, CancelTicket)>,
    cancels: Vec<(usize, SlotKey)>,
    /// Waiters that were woken and have not asked why.
    woken: Vec<usize>,
    /// Where each server that lives is, by its number; no one is in two places.
    alive: HashMap<u32, usize>,
    made: u32,
}

/// Client `n` wants servers of pool `n % POOLS`.
fn pool_of(client: usize) -> usize {
    client % POOLS
}

impl World {
    pub(super) fn new(sizes: [Option<usize>; POOLS], servers: usize, logins: usize) -> World {
        let servers = Arc::new(Budget::new(Some(servers)));
        let logins = Arc::new(Budget::new(Some(logins)));
        let pools = sizes.iter().enumerate().map(|(index, size)| {
            let part = |budget: &Arc<Budget>| Share::new(budget.clone(), Member(index as u64));
            let shares = Shares {
                servers: (index < POOLS - 1).then(|| part(&servers)),
                logins: Some(part(&logins)),
            };
            let min = if index == POOLS - 1 { 1 } else { 0 };
            let (ttl, lifetime) = (Some(30 * MS), Some(200 * MS));
            Pool::sharing(Limits { size: *size, min, waiters_max: 100, ttl, lifetime }, shares)
        });
        World {
            pools: pools.collect(),
            now: Instant::now(),
            sizes,
            servers,
            logins,
            hands: (0..CLIENTS).map(|_| Hand::Empty).collect(),
            resets: Vec::new(),
            prewarms: Vec::new(),
            reopens: Vec::new(),
            queued: Vec::new(),
            cancels: Vec::new(),
            woken: Vec::new(),
            alive: HashMap::new(),
            made: 0,
        }
    }

    pub(super) fn apply(&mut self, op: &Op) {
        match *op {
            Op::Step(client) => self.step(client),
            Op::Fail(client) => self.fail(client),
            Op::Full(client) => self.full(client),
            Op::Reopen(nth) => self.reopen(nth),
            Op::Reset(client) => self.reset(client),
            Op::ResetDone(nth, well) => self.reset_done(nth, well),
            Op::AskCancel(client) => {
                let pool = pool_of(client);
                let asked = self.pools[pool].ask_cancel(ClientId(client as u64));
                self.queued.extend(asked.map(|ticket| (pool, ticket)));
            }
            Op::SendCancel(nth) if !self.queued.is_empty() => {
                let (pool, ticket) = self.queued.remove(nth % self.queued.len());
                if self.pools[pool].send_cancel(ticket).is_some() {
                    self.cancels.push((pool, ticket.slot()));
                }
            }
            Op::CancelDone(nth) if !self.cancels.is_empty() => {
                let (pool, slot) = self.cancels.remove(nth % self.cancels.len());
                let outcome = self.pools[pool].cancel_done(slot, self.now);
                outcome.into_iter().for_each(|outcome| self.came_back(pool, outcome));
            }
            Op::SendCancel(_) | Op::CancelDone(_) => {}
            Op::Tick(ms) => self.now += Duration::from_millis(ms),
            Op::Expire(pool) => {
                let gone = self.pools[pool].expire(self.now);
                gone.iter().for_each(|(_, server)| self.closed(server));
            }
            Op::RetireAll(pool) => {
                let gone = self.pools[pool].retire_all();
                gone.iter().for_each(|(_, server)| self.closed(server));
            }
            Op::Prewarm(pool) => {
                let slot = self.pools[pool].prewarm(self.now);
                self.prewarms.extend(slot.map(|slot| (pool, slot)));
            }
            Op::PrewarmDone(nth, well) => self.prewarm_done(nth, well),
        }
        self.run_errands();
        self.check();
    }

    fn step(&mut self, client: usize) {
        let pool = pool_of(client);
        match std::mem::take(&mut self.hands[client]) {
            Hand::Empty => self.checkout(client, self.now),
            Hand::Ticket(ticket, since) => match self.pools[pool].claim(ticket) {
                Claim::Pending => {
                    assert!(!self.woken.contains(&client), "a woken waiter has a grant");
                    self.hands[client] = Hand::Ticket(ticket, since);
                }
                Claim::Granted(grant) => self.granted(client, grant, since),
                Claim::Stale => panic!("the ticket was not used up"),
            },
            Hand::Opening(slot, _) => {
                let server = self.open(pool, slot);
                self.hands[client] = Hand::Leased(slot, server);
            }
            Hand::Leased(slot, server) => self.checkin(pool, slot, server),
        }
    }

    fn checkout(&mut self, client: usize, since: Instant) {
        let answer =
            self.pools[pool_of(client)].checkout(asker(client as u64, 0), || client as u64, since);
        self.hands[client] = match answer {
            Checkout::Granted(Grant::Take(slot, server)) => Hand::Leased(slot, server),
            Checkout::Granted(Grant::Open(slot)) => {
                assert!(self.oldest(pool_of(client)).is_none_or(|(at, _)| since <= at), "passed");
                Hand::Opening(slot, since)
            }
            Checkout::Wait(ticket) => Hand::Ticket(ticket, since),
            Checkout::Refuse(refusal) => panic!("{refusal}"),
        };
    }

    fn granted(&mut self, client: usize, grant: Grant<Server>, since: Instant) {
        let place = self.woken.iter().position(|one| *one == client).expect("it was woken");
        self.woken.remove(place);
        self.hands[client] = match grant {
            Grant::Take(slot, server) => Hand::Leased(slot, server),
            Grant::Open(slot) => Hand::Opening(slot, since),
        };
    }

    fn open(&mut self, pool: usize, slot: SlotKey) -> Server {
        self.made += 1;
        self.alive.insert(self.made, pool);
        assert!(self.pools[pool].opened(slot, self.made, self.now));
        Server(self.made)
    }

    fn checkin(&mut self, pool: usize, slot: SlotKey, server: Server) {
        let outcome = self.pools[pool].checkin(slot, server, 0, self.now);
        self.came_back(pool, outcome);
    }

    fn came_back(&mut self, pool: usize, outcome: Checkin<Server, u64>) {
        match outcome {
            Checkin::Parked | Checkin::Quarantined => {}
            Checkin::Wake(client) => self.wake(pool, Some(client)),
            Checkin::Close(server, client) => {
                self.closed(&server);
                self.wake(pool, client);
            }
            Checkin::Stale(_) => panic!("the key is live"),
        }
    }

    /// The pool woke this client: the oldest that waited there.
    fn wake(&mut self, pool: usize, client: Option<u64>) {
        let Some(client) = client else { return };
        let oldest = self.oldest(pool).expect("it waits");
        let Hand::Ticket(_, since) = self.hands[client as usize] else { panic!("it waits") };
        assert_eq!(since, oldest.0, "{client} passed {}", oldest.1);
        self.woken.push(client as usize);
    }

    /// Of those who wait and were granted nothing.
    fn oldest(&self, pool: usize) -> Option<(Instant, usize)> {
        let waiting = (0..CLIENTS).filter(|client| pool_of(*client) == pool);
        let waiting = waiting.filter(|client| !self.woken.contains(client));
        let since = |client: usize| match self.hands[client] {
            Hand::Ticket(_, since) => Some((since, client)),
            _ => None,
        };
        waiting.filter_map(since).min()
    }

    fn closed(&mut self, server: &Server) {
        assert!(self.alive.remove(&server.0).is_some(), "closed once");
    }

    fn fail(&mut self, client: usize) {
        let pool = pool_of(client);
        match std::mem::take(&mut self.hands[client]) {
            Hand::Empty => {}
            Hand::Opening(slot, _) => self.lost(pool, slot),
            Hand::Leased(slot, server) => {
                self.closed(&server);
                self.lost(pool, slot);
            }
            Hand::Ticket(ticket, since) => match self.pools[pool].give_up(ticket, self.now) {
                GaveUp::Left => {}
                GaveUp::Granted(grant) => self.granted(client, grant, since),
                GaveUp::Stale => panic!("the ticket was not used up"),
            },
        }
    }

    fn lost(&mut self, pool: usize, slot: SlotKey) {
        let next = self.pools[pool].lost(slot, self.now);
        self.wake(pool, next);
    }

    /// As the pooler does: the refusal is told before the slot is free, and the client asks again
    /// in its old place if there is something to wait for.
    fn full(&mut self, client: usize) {
        let pool = pool_of(client);
        let Hand::Opening(slot, since) = self.hands[client] else { return };
        self.hands[client] = Hand::Empty;
        if matches!(self.pools[pool].server_full(), Full::Closed(_)) {
            self.reopens.push(pool);
        }
        self.lost(pool, slot);
        if self.pools[pool].has_live() {
            self.checkout(client, since);
        }
    }

    fn reopen(&mut self, nth: usize) {
        if !self.reopens.is_empty() {
            let pool = self.reopens.remove(nth % self.reopens.len());
            let next = self.pools[pool].reopen(self.now);
            self.wake(pool, next);
        }
    }

    fn reset(&mut self, client: usize) {
        let pool = pool_of(client);
        match std::mem::take(&mut self.hands[client]) {
            Hand::Leased(slot, server) => {
                assert!(self.pools[pool].resetting(slot));
                self.resets.push((pool, slot, server));
            }
            other => self.hands[client] = other,
        }
    }

    fn reset_done(&mut self, nth: usize, well: bool) {
        if self.resets.is_empty() {
            return;
        }
        let (pool, slot, server) = self.resets.remove(nth % self.resets.len());
        if well {
            return self.checkin(pool, slot, server);
        }
        self.closed(&server);
        self.lost(pool, slot);
    }

    fn prewarm_done(&mut self, nth: usize, well: bool) {
        if self.prewarms.is_empty() {
            return;
        }
        let (pool, slot) = self.prewarms.remove(nth % self.prewarms.len());
        if !well {
            return self.lost(pool, slot);
        }
        let server = self.open(pool, slot);
        self.checkin(pool, slot, server);
    }

    /// As `Routes::run_errands` does.
    fn run_errands(&mut self) {
        self.pools.iter_mut().for_each(Pool::post);
        let both = [self.servers.clone(), self.logins.clone()];
        for round in 0.. {
            assert!(round < 1_000, "errands come to an end");
            let Some(errand) = both.iter().find_map(|budget| budget.errand()) else { return };
            match errand {
                Errand::Offer(Member(pool)) => {
                    let next = self.pools[pool as usize].offer(self.now);
                    self.wake(pool as usize, next);
                }
                Errand::Reclaim(Member(pool)) => {
                    let server = self.pools[pool as usize].reclaim();
                    server.into_iter().for_each(|server| self.closed(&server));
                }
            }
            self.pools.iter_mut().for_each(Pool::post);
        }
    }

    fn check(&self) {
        let counts: Vec<Counts> = self.pools.iter().map(Pool::counts).collect();
        let shared: usize = counts[..POOLS - 1].iter().map(Counts::servers).sum();
        let opening: usize = counts.iter().map(|counts| counts.opening).sum();
        assert_eq!((self.servers.used(), self.logins.used()), (shared, opening));
        assert!(shared <= self.servers.size().unwrap() && opening <= self.logins.size().unwrap());
        for (pool, counts) in counts.iter().enumerate() {
            let size = self.sizes[pool];
            assert!(size.is_none_or(|size| counts.servers() <= size));
            let live = self.alive.values().filter(|home| **home == pool).count();
            assert_eq!(counts.servers() - counts.opening, live, "a server was lost");
            self.check_waiters(pool, counts);
        }
        self.check_lines();
    }

    /// Who waits in this pool has a reason, and is where the others see him.
    fn check_waiters(&self, pool: usize, counts: &Counts) {
        let oldest = self.oldest(pool);
        assert_eq!(self.pools[pool].oldest_wait(), oldest.map(|(since, _)| since));
        let Some((since, client)) = oldest else { return };
        assert_eq!(counts.idle, 0, "{client} waits beside an idle server");
        let is_shut = self.pools[pool].census().is_shut;
        assert_eq!(
            is_shut,
            self.reopens.contains(&pool),
            "who waits for a reopening is promised it"
        );
        if is_shut || self.sizes[pool].is_some_and(|size| counts.servers() >= size) {
            return;
        }
        let me = (since, Member(pool as u64));
        let posted = |budget: &Budget| budget.line().contains(&me);
        assert!(posted(&self.servers) != posted(&self.logins), "{client} is forgotten");
    }

    /// Nobody stands in a line for what is there.
    fn check_lines(&self) {
        let wants = self.servers.line();
        if !wants.is_empty() {
            let idle = self.pools[..POOLS - 1].iter().map(|pool| pool.counts().idle);
            let full = Some(self.servers.used()) == self.servers.size();
            assert!(full, "there is room for {wants:?}");
            assert_eq!(idle.sum::<usize>(), 0, "{wants:?} wait beside idle servers");
        }
        let wants = self.logins.line();
        assert!(wants.is_empty() || self.logins.used() > 0, "nobody logs in before {wants:?}");
    }

    /// Everything under way ends: everybody who waits is served.
    pub(super) fn settle(&mut self) {
        for _ in 0..40 * CLIENTS {
            while !self.reopens.is_empty() {
                self.apply(&Op::Reopen(0));
            }
            while !self.queued.is_empty() {
                self.apply(&Op::SendCancel(0));
            }
            while !self.cancels.is_empty() {
                self.apply(&Op::CancelDone(0));
            }
            while !self.resets.is_empty() {
                self.apply(&Op::ResetDone(0, true));
            }
            while !self.prewarms.is_empty() {
                self.apply(&Op::PrewarmDone(0, true));
            }
            let busy = (0..CLIENTS).find(|client| !matches!(self.hands[*client], Hand::Empty));
            let Some(_) = busy else { break };
            for client in 0..CLIENTS {
                if !matches!(self.hands[client], Hand::Empty) {
                    self.apply(&Op::Step(client));
                }
            }
        }
        assert!(self.hands.iter().all(|hand| matches!(hand, Hand::Empty)), "{:?}", self.hands);
        assert_eq!(self.woken, [], "everybody asked");
        for counts in self.pools.iter().map(Pool::counts) {
            assert_eq!((counts.waiting, counts.servers()), (0, counts.idle));
        }
    }
}
