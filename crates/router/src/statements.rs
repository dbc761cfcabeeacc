//! Statements that clients prepared, each text once however many clients and servers know it, and
//! read once however often they run it. This compares bytes and counts, and refuses to know
//! messages or who holds a statement.

mod names;
mod prepared;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use wire::scan::{self, Gist};

pub use names::{NAME_BYTES_MAX, NAMED_BYTES_MAX, NAMES_MAX, Names, NamesFull, significant_name};
pub use prepared::{Prepared, STATEMENTS_PER_SERVER_MAX};

// Clients of all machines prepare here; sixteen locks make two of them meet seldom.
const SHARDS: usize = 16;

const PREFIX: &[u8] = b"odyssey_pstmt_"; // Odyssey's, which dashboards and log filters know
const DIGITS_MAX: usize = 20; // of u64::MAX
const NAME_LEN: usize = PREFIX.len() + DIGITS_MAX;

/// One statement: a text with the types of its parameters. It is forgotten with its last handle.
pub struct Statement {
    number: u64,
    /// Of the body, under the secret of `home`.
    hash: u64,
    /// Shared with the shard, which compares it without owning the statement.
    body: Arc<[u8]>,
    /// So much of it is the query.
    query_bytes: usize,
    /// See [`scan::is_remarkable`].
    is_remarkable: bool,
    /// Made when somebody asks; few do.
    gist: OnceLock<Box<Gist>>,
    /// See [`Statements::retire`].
    retired: AtomicBool,
    /// Of the servers of which route one has prepared it last; 0: none has.
    proven: AtomicUsize,
    home: Arc<Shards>,
}

impl Statement {
    /// Its number, which no other statement of these [`Statements`] ever had or will have.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What follows the name in a Parse message: the query, a zero byte, the parameters' types.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The query in it. Who runs it a thousand times must not look for its end each time.
    pub fn query(&self) -> &[u8] {
        &self.body[..self.query_bytes]
    }

    /// May it do more than meets the eye? See [`scan::is_remarkable`].
    pub fn is_remarkable(&self) -> bool {
        self.is_remarkable
    }

    /// What it says. It is read once.
    pub fn gist(&self) -> &Gist {
        self.gist.get_or_init(|| Box::new(Gist::of(self.query())))
    }

    /// Has a server of this route prepared it? Then it is no nonsense there. Elsewhere its tables
    /// may not exist, and who asks need not know that somebody said it.
    pub fn is_proven(&self, route: usize) -> bool {
        self.proven.load(Ordering::Relaxed) == route
    }

    /// A server of this route, which is not 0, has prepared it.
    pub fn prove(&self, route: usize) {
        self.proven.store(route, Ordering::Relaxed);
    }

    /// Must it not be prepared any more? See [`Statements::retire`].
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// What it is called at servers: `odyssey_pstmt_<number>`.
    pub fn name(&self) -> StatementName {
        StatementName::new(self.number)
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        // Since the last handle went, the same text may have been interned anew. Its entry has a
        // number of its own, so it is not the one that is removed here.
        self.home.lock(self.hash).forget(self);
    }
}

/// The text is the application's secret: only the number and the length are shown.
impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Statement({}, {} bytes)", self.number, self.body.len())
    }
}

/// A handle of a [`Statement`]. Handles are equal when they hold the same statement.
///
/// Dropping the last one takes a lock for a moment; no lock is taken under that one.
#[derive(Clone, Debug)]
pub struct Interned(Arc<Statement>);

impl Deref for Interned {
    type Target = Statement;

    fn deref(&self) -> &Statement {
        &self.0
    }
}

impl PartialEq for Interned {
    fn eq(&self, other: &Interned) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Interned {}

/// The name of a statement at servers, without its final zero byte. It lives on the stack.
#[derive(Clone, Copy)]
pub struct StatementName {
    /// The name is at the end, because digits come out last first.
    bytes: [u8; NAME_LEN],
    start: usize,
}

impl StatementName {
    fn new(number: u64) -> StatementName {
        let mut bytes = [0; NAME_LEN];
        let mut start = NAME_LEN;
        let mut rest = number;
        loop {
            start -= 1;
            bytes[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        start -= PREFIX.len();
        bytes[start..start + PREFIX.len()].copy_from_slice(PREFIX);
        StatementName { bytes, start }
    }
}

impl Deref for StatementName {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl fmt::Debug for StatementName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self))
    }
}

/// All statements that some client or server knows.
///
/// Whoever keeps a handle is bounded ([`Names`], [`Prepared`]), and so are these.
#[derive(Debug)]
pub struct Statements {
    shards: Arc<Shards>,
}

impl Statements {
    /// No statements.
    pub fn new() -> Statements {
        Statements { shards: Arc::new(Shards::new()) }
    }

    /// The statement with this body; the same for everybody, as long as somebody holds it.
    pub fn intern(&self, body: &[u8]) -> Interned {
        self.intern_as(self.shards.hashing.hash_one(body), body)
    }

    /// A server has said that the statement's result has another shape now. Who knows the statement
    /// was told the old one, so it is not prepared any more; its body makes a new statement.
    pub fn retire(&self, statement: &Interned) {
        statement.retired.store(true, Ordering::Relaxed);
        self.shards.lock(statement.hash).retire(statement);
    }

    /// Statements alive.
    pub fn len(&self) -> usize {
        self.shards.sum(|shard| shard.known.len())
    }

    /// True when nobody knows a statement.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bodies of all statements alive, in bytes.
    pub fn body_bytes(&self) -> usize {
        self.shards.sum(|shard| shard.body_bytes)
    }

    fn intern_as(&self, hash: u64, body: &[u8]) -> Interned {
        let known = self.shards.lock(hash).find(hash, body);
        if let Some(known) = known {
            return known;
        }
        // A body may have megabytes: it is copied outside the lock, and then perhaps in vain.
        let fresh = self.fresh(hash, body);
        let kept = self.shards.lock(hash).keep(&fresh);
        // `fresh` may die here, which takes the lock again; `kept` came out of the lock first.
        kept.unwrap_or(fresh)
    }

    /// A statement no shard knows.
    fn fresh(&self, hash: u64, body: &[u8]) -> Interned {
        let number = self.shards.next.fetch_add(1, Ordering::Relaxed);
        let query_bytes = body.iter().position(|&byte| byte == 0).unwrap_or(body.len());
        Interned(Arc::new(Statement {
            number,
            hash,
            body: body.into(),
            query_bytes,
            is_remarkable: scan::is_remarkable(&body[..query_bytes]),
            gist: OnceLock::new(),
            retired: AtomicBool::new(false),
            proven: AtomicUsize::new(0),
            home: Arc::clone(&self.shards),
        }))
    }
}

impl Default for Statements {
    fn default() -> Statements {
        Statements::new()
    }
}

struct Shards {
    /// Clients choose the bodies; they must not choose the order in the shards too.
    hashing: RandomState,
    /// The number of the next statement.
    next: AtomicU64,
    shards: [Mutex<Shard>; SHARDS],
}

impl Shards {
    fn new() -> Shards {
        Shards {
            hashing: RandomState::new(),
            next: AtomicU64::new(0),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    fn lock(&self, hash: u64) -> MutexGuard<'_, Shard> {
        lock(&self.shards[hash as usize % SHARDS])
    }

    fn sum(&self, count: impl Fn(&Shard) -> usize) -> usize {
        self.shards.iter().map(|shard| count(&lock(shard))).sum()
    }
}

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} statements", self.sum(|shard| shard.known.len()))
    }
}

/// A panic inside left the shard as it was: nothing in it panics half way.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Shard {
    /// By hash and number: a statement finds its own entry, whoever else has its hash or its body.
    known: BTreeMap<(u64, u64), Known>,
    body_bytes: usize,
}

struct Known {
    body: Arc<[u8]>,
    /// Dead for the moment between the end of the last handle and [`Shard::forget`].
    statement: Weak<Statement>,
    /// Nobody finds it any more.
    retired: bool,
}

impl Shard {
    fn find(&self, hash: u64, body: &[u8]) -> Option<Interned> {
        let same_hash = self.known.range((hash, 0)..=(hash, u64::MAX));
        // The body first: a handle that is not given out could be the last, and end under the lock.
        let mut same_body = same_hash.filter(|(_, known)| !known.retired && *known.body == *body);
        same_body.find_map(|(_, known)| known.statement.upgrade()).map(Interned)
    }

    fn retire(&mut self, statement: &Statement) {
        if let Some(known) = self.known.get_mut(&(statement.hash, statement.number)) {
            known.retired = true;
        }
    }

    /// Makes `fresh` known; or answers who has been with the same body since it was looked for.
    fn keep(&mut self, fresh: &Interned) -> Option<Interned> {
        let found = self.find(fresh.hash, &fresh.body);
        if found.is_none() {
            let (body, statement) = (Arc::clone(&fresh.body), Arc::downgrade(&fresh.0));
            let known = Known { body, statement, retired: false };
            self.body_bytes += known.body.len();
            self.known.insert((fresh.hash, fresh.number), known);
        }
        found
    }

    /// Nothing to do for one that was never kept.
    fn forget(&mut self, statement: &Statement) {
        if self.known.remove(&(statement.hash, statement.number)).is_some() {
            self.body_bytes -= statement.body.len();
        }
    }
}
