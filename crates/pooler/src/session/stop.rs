//! Who is here, so that everybody can be found and asked something: each client has a standing, and
//! the roster of its machine knows all of them. What changes with each query is not here: whoever
//! wants to know that asks the client, who answers when it comes by.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use machine::{Address, Notifier, Stream};
use router::{ClientId, Interned, NumberMap};
use wire::settings::Settings;

use crate::backend::Home;
use crate::ending::Asked;
use crate::id::Id;

/// Leave when no transaction is open.
const LEAVE: u8 = 1;
/// Leave when no transaction is open, if you keep a server.
const YIELD: u8 = 2;
/// Leave, whatever you do.
const DIE: u8 = 4;
/// Say what you do.
const TELL: u8 = 8;
/// Go to the process that takes our place when no transaction is open, if it takes you.
const MOVE: u8 = 16;
/// Stop what you were told to do.
const CANCEL: u8 = 32;

/// Who a client is: what does not change as long as it is here.
pub struct Person {
    /// `c…`.
    pub id: Id,
    /// The database and the user it named; empty until it has.
    pub asked: Arc<Asked>,
    /// Where it is.
    pub address: Address,
    /// Where it came to.
    pub local: Arc<Address>,
    /// When it was accepted.
    pub since: Instant,
    /// Its process, where the system knows it: of a unix socket.
    pub process: Option<u32>,
    /// What only some have; boxed, for clients are many.
    pub marks: Option<Box<Marks>>,
}

/// What only some clients have.
#[derive(Default)]
pub struct Marks {
    /// How its TLS is spoken; None: it is not.
    pub tls: Option<Box<str>>,
    /// Who it is by the word of the daemon that knew its token.
    pub external: Option<Box<str>>,
}

impl Person {
    /// How its TLS is spoken, if it is.
    pub fn tls(&self) -> Option<&str> {
        self.marks.as_ref()?.tls.as_deref()
    }

    /// Who it is by the word of the daemon that knew its token, if one did.
    pub fn external(&self) -> Option<&str> {
        self.marks.as_ref()?.external.as_deref()
    }

    /// Its marks, to be made.
    pub(super) fn marks_mut(&mut self) -> &mut Marks {
        self.marks.get_or_insert_default()
    }

    /// The process at the other end. Behind a proxy the client is elsewhere, and is not that one.
    pub fn process(client: &Stream, address: &Address) -> Option<u32> {
        matches!(address, Address::Unix(_)).then(|| client.peer_process()).flatten()
    }

    /// Its number, by which pools and tables know it.
    pub fn client(&self) -> ClientId {
        ClientId(self.id.number())
    }
}

/// What others know of a client and may ask of it.
pub struct Standing {
    /// Who it is.
    pub person: Arc<Person>,
    /// Its route; None for a client of the console.
    pub home: Option<Arc<Home>>,
    /// Its machine.
    pub machine: u32,
    notifier: Notifier,
    words: Mutex<Words>,
    /// What was asked of it.
    asked: AtomicU8,
}

/// What a client says of itself.
struct Words {
    /// What it wants to be set, as of its last change.
    wanted: Arc<Settings>,
    /// What it said when it was asked last; taken by who asked.
    account: Option<Box<Account>>,
}

/// What a client that holds a server says of itself.
pub struct Account {
    /// What it does with its server, in the words of `pg_stat_activity`.
    pub state: &'static str,
    /// The tag of the last command that its server completed.
    pub last_command: String,
    /// What ties it to its server, if anything does.
    pub pinned: Option<Box<str>>,
    /// What its server has prepared.
    pub prepared: Vec<Interned>,
}

/// The clients of one machine.
#[derive(Default)]
pub struct Roster {
    clients: Mutex<NumberMap<ClientId, Arc<Standing>>>,
    /// Connections that came here since the start.
    arrived: AtomicU64,
}

/// One client's entry; gone when dropped.
pub struct Entry {
    roster: Arc<Roster>,
    client: ClientId,
}

/// What a client was asked for, when it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orders(u8);

impl Orders {
    /// To leave when no transaction is open.
    pub fn leaves(self) -> bool {
        self.0 & LEAVE != 0
    }

    /// To leave when no transaction is open, if it keeps a server.
    pub fn yields(self) -> bool {
        self.0 & YIELD != 0
    }

    /// To leave at once.
    pub fn dies(self) -> bool {
        self.0 & DIE != 0
    }

    /// To go to the process that takes our place.
    pub(super) fn moves(self) -> bool {
        self.0 & MOVE != 0
    }

    /// To say what it does.
    pub fn tells(self) -> bool {
        self.0 & TELL != 0
    }

    /// For anything at all?
    pub fn is_any(self) -> bool {
        self.0 != 0
    }
}

impl Standing {
    /// Of a client that rings when asked, and wants this to be set.
    pub fn new(
        person: Arc<Person>,
        home: Option<Arc<Home>>,
        notifier: Notifier,
        wanted: Arc<Settings>,
    ) -> Self {
        let machine = machine::current().expect("clients live on machines") as u32;
        let words = Mutex::new(Words { wanted, account: None });
        Self { person, home, machine, notifier, words, asked: AtomicU8::new(0) }
    }

    /// Its number, by which pools and tables know it.
    pub fn client(&self) -> ClientId {
        self.person.client()
    }

    /// What it was asked for.
    pub fn asked(&self) -> Orders {
        Orders(self.asked.load(Ordering::Acquire))
    }

    /// It is to leave at once.
    pub fn kill(&self) {
        self.ask(DIE);
    }

    /// Was it told to leave at once?
    pub fn is_killed(&self) -> bool {
        self.asked().dies()
    }

    /// What it waits for is not wanted any more.
    pub fn cancel(&self) {
        self.ask(CANCEL);
    }

    /// Was it told to stop waiting since this was asked last?
    pub fn take_cancel(&self) -> bool {
        self.asked.fetch_and(!CANCEL, Ordering::AcqRel) & CANCEL != 0
    }

    /// Its pool is paused: it is to leave if it keeps a server.
    pub fn ask_to_yield(&self) {
        self.ask(YIELD);
    }

    /// Its pool is not paused any more.
    pub fn may_stay(&self) {
        self.asked.fetch_and(!YIELD, Ordering::AcqRel);
    }

    /// It is to say what it does; see [`Standing::take_account`].
    pub fn ask_account(&self) {
        drop(self.take_account());
        self.ask(TELL);
    }

    /// What it said, if it has.
    pub fn take_account(&self) -> Option<Box<Account>> {
        self.words().account.take()
    }

    /// It says what it does.
    pub fn give_account(&self, account: Account) {
        self.words().account = Some(Box::new(account));
        self.asked.fetch_and(!TELL, Ordering::AcqRel);
    }

    /// It wants something else to be set.
    pub fn wants(&self, wanted: &Arc<Settings>) {
        let before = std::mem::replace(&mut self.words().wanted, Arc::clone(wanted));
        drop(before); // outside of the lock
    }

    /// What it wants to be set.
    pub fn wanted(&self) -> Arc<Settings> {
        Arc::clone(&self.words().wanted)
    }

    fn words(&self) -> MutexGuard<'_, Words> {
        self.words.lock().expect("nothing panics under this lock")
    }

    /// The new process does not take it: it is to leave.
    pub(super) fn is_left_behind(&self) {
        self.ask(LEAVE);
    }

    /// It is not to move or leave before it is asked again.
    pub(super) fn stays(&self) {
        self.asked.fetch_and(!(MOVE | LEAVE), Ordering::AcqRel);
    }

    /// True if it was not asked for that before.
    fn ask(&self, what: u8) -> bool {
        let fresh = self.asked.fetch_or(what, Ordering::AcqRel) & what == 0;
        self.notifier.notify();
        fresh
    }
}

impl Roster {
    /// A connection came to this machine, whatever becomes of it.
    pub fn arrive(&self) {
        self.arrived.fetch_add(1, Ordering::Relaxed);
    }

    /// How many came since the start.
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Writes a client in, until the entry is dropped.
    pub fn enter(self: &Arc<Self>, standing: Arc<Standing>) -> Entry {
        let client = standing.client();
        self.lock().insert(client, standing);
        Entry { roster: Arc::clone(self), client }
    }

    /// Asks up to `most` clients, who were not asked before, to leave. How many were.
    pub fn ask_to_leave(&self, most: usize) -> usize {
        let clients = self.lock();
        let fresh = clients.values().filter(|one| !one.asked().leaves());
        fresh.take(most).filter(|one| one.ask(LEAVE)).count()
    }

    /// Asks up to `most` clients, who were not asked before, to go to the process that takes our
    /// place.
    pub fn ask_to_move(&self, most: usize) {
        let clients = self.lock();
        let fresh = clients.values().filter(|one| !one.asked().moves());
        for one in fresh.take(most) {
            one.ask(MOVE);
        }
    }

    /// There is no such process any more: whoever has not gone stays.
    pub fn let_stay(&self) {
        for one in self.lock().values() {
            one.stays();
        }
    }

    /// Everybody who is here.
    pub fn all(&self) -> Vec<Arc<Standing>> {
        self.lock().values().map(Arc::clone).collect()
    }

    /// One of them.
    pub fn find(&self, client: ClientId) -> Option<Arc<Standing>> {
        self.lock().get(&client).map(Arc::clone)
    }

    /// How many are here.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, NumberMap<ClientId, Arc<Standing>>> {
        self.clients.lock().expect("nothing panics under this lock")
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let gone = self.roster.lock().remove(&self.client);
        drop(gone); // it may be the last owner of a home: outside of the lock
    }
}
