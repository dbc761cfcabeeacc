//! The naive pool: two lists, searched from end to end for every decision. It is slow and short
//! enough to be right by reading; keys of slots it learns from the pool it is compared with.

use super::*;

pub(super) struct NaiveSlot {
    /// None until somebody claims the permission to open it.
    pub(super) key: Option<SlotKey>,
    pub(super) state: State,
    pub(super) holder: Option<ClientId>,
    /// Number of the server value while the pool has it.
    pub(super) server: Option<u32>,
    pub(super) home: usize,
    pub(super) since: Instant,
    pub(super) born: Option<Instant>,
    /// The higher, the later it became idle.
    pub(super) used: u64,
    pub(super) cancels: u32,
    pub(super) closing: bool,
}

pub(super) struct NaiveWaiter {
    pub(super) client: ClientId,
    pub(super) machine: usize,
    pub(super) since: Instant,
}

/// What the naive pool says about a checkout; a server is told by its number.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Says {
    Take(SlotKey, u32),
    Open,
    Wait,
    Full,
}

/// What the naive pool says about a server that came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Back {
    Parked,
    Wake(u64),
    Quarantined,
    Close(u32, Option<u64>),
}

pub(super) struct Naive {
    pub(super) limits: Limits,
    pub(super) slots: Vec<NaiveSlot>,
    /// Oldest first.
    pub(super) waiters: Vec<NaiveWaiter>,
    pub(super) wait_total: Duration,
    pub(super) is_paused: bool,
    uses: u64,
}

impl Naive {
    pub(super) fn new(limits: Limits) -> Naive {
        Naive {
            limits,
            slots: Vec::new(),
            waiters: Vec::new(),
            wait_total: Duration::ZERO,
            is_paused: false,
            uses: 0,
        }
    }

    pub(super) fn find(&mut self, key: SlotKey) -> Option<&mut NaiveSlot> {
        self.slots.iter_mut().find(|slot| slot.key == Some(key))
    }

    pub(super) fn checkout(&mut self, asker: &Asker, now: Instant) -> Says {
        let idle = |slot: &&mut NaiveSlot| slot.state == State::Idle;
        let best = self.slots.iter_mut().filter(idle).max_by_key(|slot| {
            let own = slot.key == asker.last;
            (own, slot.home == asker.machine, slot.used)
        });
        if let Some(slot) = best {
            slot.state = State::Leased;
            slot.holder = Some(asker.client);
            let key = slot.key.expect("an idle slot was opened");
            return Says::Take(key, slot.server.take().expect("idle"));
        }
        if self.room() {
            self.open(Some(asker.client));
            return Says::Open;
        }
        if self.waiters.len() == self.limits.waiters_max {
            return Says::Full;
        }
        let Asker { client, machine, .. } = *asker;
        self.waiters.push(NaiveWaiter { client, machine, since: now });
        Says::Wait
    }

    pub(super) fn room(&self) -> bool {
        !self.is_paused && self.limits.size.is_none_or(|size| self.slots.len() < size)
    }

    pub(super) fn open(&mut self, holder: Option<ClientId>) {
        self.slots.push(NaiveSlot {
            key: None,
            state: State::Opening,
            holder,
            server: None,
            home: 0,
            since: Instant::now(),
            born: None,
            used: 0,
            cancels: 0,
            closing: false,
        });
    }

    pub(super) fn checkin(&mut self, key: SlotKey, server: u32, at: (usize, Instant)) -> Back {
        let (home, now) = at;
        self.uses += 1;
        let uses = self.uses;
        let slot = self.find(key).expect("live");
        slot.holder = None;
        let closing = slot.closing;
        if closing || self.is_paused || self.is_surplus() || self.ends_old(key, now) {
            return Back::Close(server, self.gone(key, now));
        }
        let slot = self.find(key).expect("live");
        (slot.server, slot.home) = (Some(server), home);
        if slot.cancels > 0 {
            slot.state = State::Quarantined;
            return Back::Quarantined;
        }
        let Some(oldest) = self.waiters.first().map(|waiter| waiter.since) else {
            let slot = self.find(key).expect("live");
            (slot.state, slot.since, slot.used) = (State::Idle, now, uses);
            return Back::Parked;
        };
        let near = |waiter: &NaiveWaiter| waiter.machine == home && waiter.since <= oldest + MS;
        let chosen = self.waiters.iter().position(near).unwrap_or(0);
        let waiter = self.waiters.remove(chosen);
        self.wait_total += now - waiter.since;
        let slot = self.find(key).expect("live");
        (slot.state, slot.holder) = (State::Leased, Some(waiter.client));
        Back::Wake(waiter.client.0)
    }

    /// The slot is free; says who is woken to open another.
    pub(super) fn gone(&mut self, key: SlotKey, now: Instant) -> Option<u64> {
        self.slots.retain(|slot| slot.key != Some(key));
        self.grant_open(now)
    }

    fn grant_open(&mut self, now: Instant) -> Option<u64> {
        if self.waiters.is_empty() || !self.room() {
            return None;
        }
        let waiter = self.waiters.remove(0);
        self.wait_total += now - waiter.since;
        self.open(Some(waiter.client));
        Some(waiter.client.0)
    }

    fn is_surplus(&self) -> bool {
        self.limits.size.is_some_and(|size| self.slots.len() > size)
    }

    /// Servers to close, the least recently used first, and who is woken.
    pub(super) fn resize(&mut self, limits: Limits, now: Instant) -> (Vec<u32>, Vec<u64>) {
        self.limits = limits;
        let mut closed = Vec::new();
        while let Some(key) = self.idle().min_by_key(|slot| slot.used).map(|slot| slot.key)
            && self.is_surplus()
        {
            closed.extend(self.evict(|_, slot| slot.key == key));
        }
        (closed, self.grant_all(now))
    }

    /// Who is woken, as long as there is room.
    pub(super) fn grant_all(&mut self, now: Instant) -> Vec<u64> {
        std::iter::from_fn(|| self.grant_open(now)).collect()
    }

    pub(super) fn cancel_done(&mut self, key: SlotKey, now: Instant) -> Option<Back> {
        let slot = self.find(key)?;
        slot.cancels -= 1;
        if slot.cancels > 0 || slot.state != State::Quarantined {
            return None;
        }
        let (server, home) = (slot.server.take().expect("quarantined"), slot.home);
        Some(self.checkin(key, server, (home, now)))
    }

    fn old_at(&self, slot: &NaiveSlot) -> Option<Instant> {
        slot.born.and_then(|born| Some(born + self.limits.lifetime?))
    }

    fn unused_at(&self, slot: &NaiveSlot) -> Option<Instant> {
        self.limits.ttl.map(|ttl| slot.since + ttl)
    }

    fn spare(&self) -> usize {
        let open = self.slots.iter().filter(|slot| slot.state != State::Opening).count();
        open.saturating_sub(self.limits.min)
    }

    fn opening(&self) -> bool {
        self.slots.iter().any(|slot| slot.state == State::Opening)
    }

    fn ends_old(&mut self, key: SlotKey, now: Instant) -> bool {
        let replaced = self.spare() > 0 || !self.waiters.is_empty();
        let slot = self.slots.iter().find(|slot| slot.key == Some(key)).expect("live");
        replaced && !self.opening() && self.old_at(slot).is_some_and(|at| at <= now)
    }

    fn idle(&self) -> impl Iterator<Item = &NaiveSlot> {
        self.slots.iter().filter(|slot| slot.state == State::Idle)
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let unused = |slot| self.unused_at(slot).filter(|_| self.spare() > 0);
        self.idle().flat_map(|slot| [self.old_at(slot), unused(slot)]).flatten().min()
    }

    pub(super) fn is_short(&self, now: Instant) -> bool {
        let old = self.idle().any(|slot| self.old_at(slot).is_some_and(|at| at <= now));
        match self.slots.len().cmp(&self.limits.min) {
            _ if self.is_paused => false,
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Equal => old,
            std::cmp::Ordering::Greater => false,
        }
    }

    pub(super) fn expire(&mut self, now: Instant) -> Vec<u32> {
        let past = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let mut due: Vec<_> = self
            .idle()
            .filter(|slot| past(self.old_at(slot)) || past(self.unused_at(slot)))
            .map(|slot| (!past(self.old_at(slot)), slot.used, slot.key))
            .collect();
        due.sort_by_key(|(unused, used, _)| (*unused, *used));
        let one = !self.room() && !self.opening() && due.first().is_some_and(|one| !one.0);
        due.truncate(self.spare().max(usize::from(one)));
        self.evict(|_, slot| due.iter().any(|(.., key)| *key == slot.key))
    }

    /// Takes out the idle servers of which `gone` is true.
    pub(super) fn evict(&mut self, gone: impl Fn(&Naive, &NaiveSlot) -> bool) -> Vec<u32> {
        let doomed = |slot: &&NaiveSlot| slot.state == State::Idle && gone(self, slot);
        let keys: Vec<_> = self.slots.iter().filter(doomed).map(|slot| slot.key).collect();
        let mut servers = Vec::new();
        self.slots.retain(|slot| {
            let goes = keys.contains(&slot.key) && slot.key.is_some();
            servers.extend(slot.server.filter(|_| goes));
            !goes
        });
        servers.sort_unstable();
        servers
    }
}
