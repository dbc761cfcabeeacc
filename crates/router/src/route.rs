//! A route: one rule, one backend database, one backend user, one kind of server, and the pool they
//! share behind one short lock. It refuses to be waited in: the lock is held for a decision, never
//! for I/O.

mod adopt;
mod gated;
mod parts;

pub use gated::Gated;

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use config::{Name, Rule, Storage, UserName};
use wire::startup::Replication;

use crate::budget::{Budget, Errand, Member};
use crate::gates::Gates;
use crate::hosts::Hosts;
use crate::limits::{Admission, ClientLimit};
use crate::pool::{Limits, Pool, Retuned, Shares};
use crate::refusal::{Refusal, Scope};
use parts::{Parts, Spot};

/// Clients waiting in one pool. More than one process has coroutines for, so it never refuses
/// whom Odyssey would let wait; it is the bound of the queue's memory (about 100 bytes each).
pub const WAITERS_MAX: usize = 1 << 16;

/// Routes at once. A rule for default users makes one for each name anybody sends before he proves
/// to be that user, so the number must have a bound; an empty route is about 1 KB.
pub const ROUTES_MAX: usize = 1 << 14;

/// An empty route of a default rule is kept this long: its client may reconnect, and what was
/// learned from its server would have to be learned again.
const EMPTY_KEPT: Duration = Duration::from_secs(60);

/// What makes two clients of one rule share a pool.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RouteKey {
    /// The database at the server.
    pub database: String,
    /// The user at the server.
    pub user: String,
    /// Servers for replication are servers of another kind.
    pub replication: Replication,
    /// Which host of the rule's storages its servers are on, by its number.
    pub host: usize,
}

/// What a server tells every client at login: names and values of ParameterStatus, in its order.
pub type Parameters = Vec<(String, String)>;

/// One rule × backend database × backend user (× replication), with its pool.
///
/// A storage with several hosts makes one for each, as each has a pool of its own: that of the
/// first host is the one clients are of, and leads to the others.
///
/// `S` is an idle server, `W` wakes a waiter, `C` is what a canceller needs of a server.
pub struct Route<S, W, C> {
    key: RouteKey,
    /// Another one when a reload changed what can change under living servers.
    rule: ArcSwap<Rule>,
    /// Of the routes of all hosts together.
    clients: Arc<ClientLimit>,
    /// The rule is gone from the configuration; the route goes when it is empty.
    retired: AtomicBool,
    /// An operator paused it; the pool knows too, behind its lock.
    paused: AtomicBool,
    /// None until a server of this route told.
    learned: Mutex<Option<Arc<Parameters>>>,
    pool: Mutex<Pool<S, W, C>>,
    /// Those of the other hosts; only the route of the first host has any.
    others: Box<[Arc<Route<S, W, C>>]>,
    /// What is known of the hosts of its storage, and which one it is.
    spot: Spot,
    /// What the pool has a part in, to be asked for errands without the pool's lock.
    budgets: Vec<Arc<Budget>>,
}

/// What the routes of all hosts have together.
struct Family<S, W, C> {
    clients: Arc<ClientLimit>,
    /// Only for that of the first host.
    others: Vec<Arc<Route<S, W, C>>>,
}

/// What became of another route's clients; to be acted upon as after any other decision.
#[must_use = "somebody is to be woken, or a server to be closed"]
pub enum Done<S, W> {
    /// Wake this one: it was granted something.
    Wake(W),
    /// Close this server: its place is another route's now.
    Close(S),
    /// Nothing.
    Nothing,
}

/// All routes of the process. The order of locks: this one's, a route's pool, a budget's; no
/// closure given to [`Route::with`] may call it.
pub struct Routes<S, W, C> {
    max: usize,
    known: Mutex<Table<S, W, C>>,
    parts: Mutex<Parts>,
    /// Asked under the table's lock, so that no route is made past them.
    gates: Mutex<Gates>,
}

struct Table<S, W, C> {
    by_key: HashMap<(SameRule, RouteKey), Known<S, W, C>>,
    by_member: HashMap<Member, Weak<Route<S, W, C>>>,
    /// Routes made so far.
    made: u64,
    /// What took the place of rules that a reload took out of force, as long as somebody may come
    /// with one of them; None: nothing did.
    outdated: HashMap<SameRule, Option<Arc<Rule>>>,
}

/// A rule, which is the same one only if it is the same object: two rules that say the same have
/// different limits to keep.
#[derive(Clone)]
struct SameRule(Arc<Rule>);

struct Known<S, W, C> {
    route: Arc<Route<S, W, C>>,
    /// When a collection first found it empty; None when the last one did not.
    empty_since: Option<Instant>,
}

/// A rule as it is now. It stays as it is in the eyes of its holder; a reload may have put another
/// in its place meanwhile.
pub type RuleNow = Guard<Arc<Rule>>;

impl RouteKey {
    /// Of the first host. The rule's `storage_db` and `storage_user` win over what the client
    /// named.
    fn new(rule: &Rule, database: &str, user: &str, replication: Replication) -> RouteKey {
        RouteKey {
            database: rule.storage_db.as_deref().unwrap_or(database).to_owned(),
            user: rule.storage_user.as_deref().unwrap_or(user).to_owned(),
            replication,
            host: 0,
        }
    }
}

impl PartialEq for SameRule {
    fn eq(&self, other: &SameRule) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SameRule {}

impl Hash for SameRule {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The key keeps the rule alive, so no other rule can get its address.
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl<S, W, C: Clone> Route<S, W, C> {
    fn new(
        rule: Arc<Rule>,
        key: RouteKey,
        (shares, spot): (Shares, Spot),
        Family { clients, others }: Family<S, W, C>,
    ) -> Route<S, W, C> {
        let pool = Pool::sharing(limits(&rule), shares);
        Route {
            spot,
            others: others.into(),
            budgets: pool.budgets().map(Arc::clone).collect(),
            clients,
            retired: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            learned: Mutex::new(None),
            pool: Mutex::new(pool),
            rule: ArcSwap::new(rule),
            key,
        }
    }

    /// Decides something about the pool: the only door to it. Act on the answer after this
    /// returned; never wait inside. What it means for other routes, [`Routes::run_errands`] tells.
    ///
    /// A panic inside ends the process: it may have left a server in two hands, and the next
    /// client would read another one's rows.
    pub fn with<R>(&self, decide: impl FnOnce(&mut Pool<S, W, C>) -> R) -> R {
        let mut pool = lock(&self.pool);
        let bomb = AbortOnUnwind;
        let answer = decide(&mut pool);
        pool.post();
        std::mem::forget(bomb);
        answer
    }

    fn visit(&self, errand: Errand, now: Instant) -> Done<S, W> {
        match errand {
            Errand::Offer(_) => self.with(|pool| pool.offer(now)).map_or(Done::Nothing, Done::Wake),
            Errand::Reclaim(_) => {
                self.with(|pool| pool.reclaim()).map_or(Done::Nothing, Done::Close)
            }
        }
    }

    /// Which route this is.
    pub fn key(&self) -> &RouteKey {
        &self.key
    }

    /// The routes of the other hosts, if this is that of the first one.
    pub fn others(&self) -> &[Arc<Route<S, W, C>>] {
        &self.others
    }

    /// What is known of the hosts of its storage, and which of them is its own.
    pub fn spot(&self) -> (&Hosts, usize) {
        (&self.spot.hosts, self.spot.at)
    }

    /// The rule it follows.
    pub fn rule(&self) -> RuleNow {
        self.rule.load()
    }

    /// Takes the limits of its rule, which may be another one now; see [`Pool::retune`]. As with
    /// [`Route::with`], errands may follow.
    pub fn retune(&self, now: Instant) -> Retuned<S, W> {
        let rule = self.rule();
        self.clients.set_limit(rule.client_max);
        let mut limits = limits(&rule);
        if self.is_retired() {
            limits.min = 0;
        }
        self.with(|pool| {
            if self.is_retired() {
                pool.retune(limits, now).and_close(pool.retire_all())
            } else {
                pool.retune(limits, now)
            }
        })
    }

    /// Counts a client in for as long as the admission lives.
    ///
    /// # Errors
    /// [`Refusal::ClientMax`] when the rule's `client_max` is reached.
    pub fn admit(&self) -> Result<Admission, Refusal> {
        self.clients.admit()
    }

    /// Clients admitted now, whichever host's servers they use.
    pub fn clients(&self) -> usize {
        self.clients.live()
    }

    /// What a server of this route told at login; `None` before the first.
    pub fn learned(&self) -> Option<Arc<Parameters>> {
        lock(&self.learned).clone()
    }

    /// Remembers what a server told at login; the last one counts. Servers that tell the same share
    /// what is returned.
    pub fn learn(&self, new: Arc<Parameters>) -> Arc<Parameters> {
        let mut learned = lock(&self.learned);
        if let Some(known) = learned.as_ref().filter(|known| **known == new) {
            return Arc::clone(known);
        }
        let before = learned.replace(Arc::clone(&new));
        drop(learned);
        drop(before); // outside the lock: it may be the last owner of a long list
        new
    }

    /// The rule is gone from the configuration: the route is collected as soon as it is empty.
    fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Its rule is there again, as this one.
    fn revive(&self, rule: &Arc<Rule>) {
        self.rule.store(Arc::clone(rule));
        self.retired.store(false, Ordering::Release);
    }

    /// Its rule is out of force: those who are here may stay, and nobody comes any more.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Made for a name that somebody sent rather than for one that stands in the file.
    pub fn is_dynamic(&self) -> bool {
        let rule = self.rule();
        rule.database == Name::Default || !matches!(rule.user, UserName::Named(_))
    }

    fn is_empty(&self) -> bool {
        self.clients() == 0
            && self.with(|pool| pool.counts().servers() + pool.counts().waiting == 0)
    }
}

fn limits(rule: &Rule) -> Limits {
    Limits {
        size: rule.pool_size,
        min: rule.min_pool_size,
        waiters_max: WAITERS_MAX,
        ttl: rule.pool_ttl,
        lifetime: rule.server_lifetime,
    }
}

impl<S, W, C: Clone> Routes<S, W, C> {
    /// No routes, and room for [`ROUTES_MAX`].
    pub fn new() -> Routes<S, W, C> {
        Routes::with_max(ROUTES_MAX)
    }

    pub(crate) fn with_max(max: usize) -> Routes<S, W, C> {
        let (known, parts, gates) = (Mutex::new(Table::new()), Mutex::default(), Mutex::default());
        Routes { max, known, parts, gates }
    }

    /// The route of a client that met `rule`, named `database` and `user` and wants servers of a
    /// kind. A rule that was taken out of force after it was met leads to where it leads now, or to
    /// a route that is retired.
    ///
    /// # Errors
    /// [`Refusal::RoutesFull`] when it would be one too many and no empty one can go;
    /// [`Refusal::Disabled`].
    pub fn get_or_create(
        &self,
        rule: &Arc<Rule>,
        database: &str,
        user: &str,
        replication: Replication,
    ) -> Result<Arc<Route<S, W, C>>, Refusal> {
        let mut table = lock(&self.known);
        let (rule, in_force) = table.in_force(rule);
        let key = RouteKey::new(&rule, database, user, replication);
        let is_paused = self.pass(&rule, &key)?;
        let others = 1..rule.host_count();
        let place = (SameRule(rule), key);
        if let Some(found) = table.by_key.get(&place) {
            return Ok(Arc::clone(&found.route));
        }
        let (rule, key) = place;
        if table.by_key.len() + others.len() >= self.max {
            table.by_key.retain(|_, one| !one.is_collectable());
        }
        if table.by_key.len() + others.len() >= self.max {
            return Err(Refusal::RoutesFull { limit: self.max });
        }
        let key_of = |host| (rule.clone(), RouteKey { host, ..key.clone() });
        // Some may have outlived that of the first host.
        let known: Vec<_> =
            others.clone().map(|host| table.by_key.get(&key_of(host)).map(Known::route)).collect();
        let clients = known.iter().flatten().next().map(|other| Arc::clone(&other.clients));
        let clients =
            clients.unwrap_or_else(|| Arc::new(ClientLimit::new(Scope::Route, rule.0.client_max)));
        let mut make = |host, others| {
            let route = self.make(
                &mut table,
                key_of(host),
                Family { clients: Arc::clone(&clients), others },
            );
            if !in_force {
                route.retire();
            }
            if is_paused {
                drop(route.pause()); // it has no server yet
            }
            route
        };
        let others = others.zip(known);
        let others = others.map(|(host, known)| known.unwrap_or_else(|| make(host, Vec::new())));
        let others = others.collect();
        Ok(make(0, others))
    }

    fn make(
        &self,
        table: &mut Table<S, W, C>,
        key: (SameRule, RouteKey),
        family: Family<S, W, C>,
    ) -> Arc<Route<S, W, C>> {
        table.made += 1;
        let member = Member(table.made);
        let parts = lock(&self.parts).of(&key.0.0, key.1.host, member);
        let route = Arc::new(Route::new(Arc::clone(&key.0.0), key.1.clone(), parts, family));
        table.by_member.insert(member, Arc::downgrade(&route));
        table.by_key.insert(key, Known { route: Arc::clone(&route), empty_since: None });
        route
    }

    /// Visits the routes that share something with `from`, after a decision about that: what it
    /// gave back may be what their clients wait for, and what they have idle what its clients wait
    /// for. `act` does what each visit says; it is called without a lock. `clock`
    /// is read only if somebody waits.
    pub fn run_errands(
        &self,
        from: &Route<S, W, C>,
        clock: impl FnOnce() -> Instant,
        act: impl Fn(Done<S, W>),
    ) {
        if !from.budgets.iter().any(|budget| budget.is_busy()) {
            return;
        }
        // A visited route may share with others what `from` has no part in.
        let (mut budgets, now) = (from.budgets.clone(), clock());
        while let Some(errand) = budgets.iter().find_map(|budget| budget.errand()) {
            let (Errand::Offer(member) | Errand::Reclaim(member)) = errand;
            let route = lock(&self.known).by_member.get(&member).and_then(Weak::upgrade);
            let Some(route) = route else { continue };
            act(route.visit(errand, now));
            let is_new = |new: &&Arc<Budget>| !budgets.iter().any(|old| Arc::ptr_eq(old, new));
            let more: Vec<_> = route.budgets.iter().filter(is_new).map(Arc::clone).collect();
            budgets.extend(more);
        }
    }

    /// All routes there are now, in no order of meaning.
    pub fn snapshot(&self) -> Vec<Arc<Route<S, W, C>>> {
        lock(&self.known).by_key.values().map(|one| Arc::clone(&one.route)).collect()
    }

    /// What is known of the hosts of a storage; None: no route leads there.
    pub fn hosts_of(&self, storage: &Storage) -> Option<Arc<Hosts>> {
        lock(&self.parts).hosts(&storage.endpoints)
    }

    /// Routes there are now.
    pub fn len(&self) -> usize {
        lock(&self.known).by_key.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets routes nobody uses: retired ones at once, those of default rules when they were
    /// empty for a minute. To be called now and then; returns how many went.
    pub fn collect(&self, now: Instant) -> usize {
        let mut table = lock(&self.known);
        let before = table.by_key.len();
        table.by_key.retain(|_, one| !one.is_over(now));
        let gone = before - table.by_key.len();
        if gone > 0 {
            table.by_member.retain(|_, route| route.strong_count() > 0);
            lock(&self.parts).sweep();
        }
        table.sweep();
        gone
    }
}

impl<S, W, C: Clone> Default for Routes<S, W, C> {
    fn default() -> Routes<S, W, C> {
        Routes::new()
    }
}

impl<S, W, C: Clone> Known<S, W, C> {
    fn route(&self) -> Arc<Route<S, W, C>> {
        Arc::clone(&self.route)
    }

    /// Nobody has it and nobody can get it before the lock of `Routes` is released: two routes for
    /// one key would be two pools, each with the whole `pool_size`.
    fn is_collectable(&self) -> bool {
        (self.route.is_dynamic() || self.route.is_retired())
            && Arc::strong_count(&self.route) == 1
            && self.route.is_empty()
    }

    fn is_over(&mut self, now: Instant) -> bool {
        if !self.is_collectable() {
            self.empty_since = None;
            return false;
        }
        let since = *self.empty_since.get_or_insert(now);
        self.route.is_retired() || now.saturating_duration_since(since) >= EMPTY_KEPT
    }
}

/// Ends the process when it is dropped, which happens only when a panic unwinds past it.
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        std::process::abort();
    }
}

/// Nobody goes on with what a panic left behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|_| std::process::abort())
}

#[cfg(test)]
mod tests;
