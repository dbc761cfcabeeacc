//! Hosts: what is known of the servers' hosts of one storage, and in which order a client tries
//! them. Who connects tells how that went; nothing here connects, or reads a clock.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use config::{Balancing, BalancingMethod, SessionAttrs, Storage};

/// The hosts of one storage, in the order of the file; shared by all its routes.
pub struct Hosts {
    known: Box<[Mutex<Known>]>,
    /// Whose turn it is among those in our availability zone, and among the others.
    turns: [AtomicUsize; 2],
}

/// What a host turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It is in recovery.
    Standby,
}

/// What a client wants of its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wants {
    /// Which role it is to have.
    pub attrs: SessionAttrs,
    /// It is to lag by less than this; None: no matter.
    pub lag_max: Option<Duration>,
    /// By what it is chosen; None: as the storage says.
    pub method: Option<BalancingMethod>,
}

/// A client's want, and where.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Where hosts are, and by what one is chosen.
    pub storage: &'a Storage,
    /// Which of them.
    pub wants: Wants,
}

/// What is known of a host, now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Nobody got there when it was tried last.
    pub is_dead: bool,
    /// Its role, if that was seen lately.
    pub role: Option<Role>,
    /// How far it lags, if that was seen lately.
    pub lag: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// When nobody could get there; None since somebody could.
    dead: Option<Instant>,
    /// Its role, and when that was seen.
    role: Option<(Role, Instant)>,
    /// How far it lags, and until when that is believed.
    lag: Option<(Duration, Instant)>,
}

impl Wants {
    /// Any host at all.
    pub const ANYTHING: Wants = Wants { attrs: SessionAttrs::Any, lag_max: None, method: None };
}

impl Role {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Primary => "primary",
            Role::Standby => "standby",
        }
    }

    /// Whether a client that wants `attrs` takes it. Who prefers something takes everything.
    pub fn suits(self, attrs: SessionAttrs) -> bool {
        match attrs {
            SessionAttrs::ReadWrite => self == Role::Primary,
            SessionAttrs::ReadOnly => self == Role::Standby,
            SessionAttrs::PreferStandby | SessionAttrs::Any => true,
        }
    }
}

impl Hosts {
    /// So many, of which nothing is known: each is believed to live.
    pub fn new(count: usize) -> Hosts {
        Hosts { known: (0..count).map(|_| Mutex::default()).collect(), turns: Default::default() }
    }

    /// The hosts to try, the best one first; none when all are known to be dead, unfit or too far
    /// behind.
    /// `load` is how many servers a host has for whoever asks.
    ///
    /// What is known is believed for `endpoints_status_poll_interval`. Then one who asks is sent to
    /// the dead again, and the others believe in its death for as long once more: a host that hangs
    /// costs one client its patience in each interval, not all of them.
    pub fn order(
        &self,
        wish: &Wish<'_>,
        load: impl Fn(usize) -> usize,
        now: Instant,
    ) -> Vec<usize> {
        let max_age = wish.storage.status_max_age;
        let Balancing { method, near, .. } = &wish.storage.balancing;
        let fit: Vec<usize> =
            (0..self.known.len()).filter(|&host| self.is_fit(host, wish, max_age, now)).collect();
        let is_near = |host: &usize| near.get(*host).copied().unwrap_or(true);
        let (mut near, mut far): (Vec<_>, Vec<_>) = fit.into_iter().partition(is_near);
        match wish.wants.method.unwrap_or(*method) {
            BalancingMethod::RoundRobin => {
                for (part, turn) in [&mut near, &mut far].into_iter().zip(&self.turns) {
                    let turn = turn.fetch_add(1, Ordering::Relaxed);
                    let first = turn.checked_rem(part.len()).unwrap_or(0);
                    part.rotate_left(first);
                }
            }
            BalancingMethod::LeastConn => {
                near.sort_by_key(|host| load(*host));
                far.sort_by_key(|host| load(*host));
            }
        }
        near.append(&mut far);
        if wish.wants.attrs == SessionAttrs::PreferStandby {
            near.sort_by_key(|&host| self.role(host, max_age, now) != Some(Role::Standby));
        }
        near
    }

    /// The role of a host, if it was seen lately.
    pub fn role(&self, host: usize, max_age: Duration, now: Instant) -> Option<Role> {
        self.known(host).role(max_age, now)
    }

    /// Somebody saw its role.
    pub fn saw(&self, host: usize, role: Role, now: Instant) {
        self.known(host).role = Some((role, now));
    }

    /// Somebody got there.
    pub fn lives(&self, host: usize) {
        self.known(host).dead = None;
    }

    /// Nobody got there.
    pub fn died(&self, host: usize, now: Instant) {
        *self.known(host) = Known { dead: Some(now), ..Known::default() };
    }

    /// Whether nobody got there when it was tried last.
    pub fn is_dead(&self, host: usize) -> bool {
        self.known(host).dead.is_some()
    }

    /// Somebody asked how far it lags. It is believed until then; None: that is not known.
    pub fn lags(&self, host: usize, lag: Option<Duration>, until: Instant) {
        self.known(host).lag = lag.map(|lag| (lag, until));
    }

    /// How far the host lags, if that is too far.
    pub fn excess(&self, host: usize, lag_max: Option<Duration>, now: Instant) -> Option<Duration> {
        let lag_max = lag_max?;
        self.known(host).lag(now).filter(|lag| *lag >= lag_max)
    }

    /// What is known of a host.
    pub fn seen(&self, host: usize, max_age: Duration, now: Instant) -> Seen {
        let known = self.known(host);
        Seen { is_dead: known.dead.is_some(), role: known.role(max_age, now), lag: known.lag(now) }
    }

    fn is_fit(&self, host: usize, wish: &Wish<'_>, max_age: Duration, now: Instant) -> bool {
        let mut known = self.known(host);
        match &mut known.dead {
            Some(since) if is_fresh(*since, max_age, now) => return false,
            Some(since) => *since = now, // this one looks again, for all
            None => {}
        }
        let Wants { attrs, lag_max, .. } = wish.wants;
        let lags = lag_max.is_some_and(|max| known.lag(now).is_some_and(|lag| lag >= max));
        !lags && known.role(max_age, now).is_none_or(|role| role.suits(attrs))
    }

    fn known(&self, host: usize) -> MutexGuard<'_, Known> {
        // Nothing panics under it, and nobody would go on with what a panic left behind.
        self.known[host].lock().unwrap_or_else(|_| std::process::abort())
    }
}

impl Known {
    fn role(&self, max_age: Duration, now: Instant) -> Option<Role> {
        let (role, seen) = self.role?;
        is_fresh(seen, max_age, now).then_some(role)
    }

    fn lag(&self, now: Instant) -> Option<Duration> {
        let (lag, until) = self.lag?;
        (now < until).then_some(lag)
    }
}

fn is_fresh(seen: Instant, max_age: Duration, now: Instant) -> bool {
    now.saturating_duration_since(seen) < max_age
}

#[cfg(test)]
mod tests;
