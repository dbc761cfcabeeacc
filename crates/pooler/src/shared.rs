//! What all machines share: the configuration and everything that hangs on it. One value, made at
//! boot, passed down; a second instance in the same process would disturb nobody.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::SystemTime;

use arc_swap::{ArcSwap, Guard};
use config::{Global, Rule, StorageKind};
use crossbeam_channel::Sender;
use machine::{Address, Keepalive, MachineHandle, Names, StreamOptions};
use router::{CancelKeys, ClientKey, ClientLimit, NumberMap, Parameters, Scope, Statements};
use wire::settings::Settings;
use wire::startup::Replication;

use crate::auth_query::AuthQueries;
use crate::backend::{Home, LastPicture, Route, Routes, Shown};
use crate::bell::Bell;
use crate::checkers::Checkers;
use crate::console::averages::Averages;
use crate::console::{CONSOLES_MAX, ONLOOKERS_MAX};
use crate::ending::{Asked, Ending};
use crate::errors::Errors;
use crate::face::Stage;
use crate::groups::Groups;
use crate::guesses::Guesses;
use crate::host::Host;
use crate::interner::Interner;
use crate::keyring::Keyring;
use crate::log::Log;
use crate::metrics::Ledger;
use crate::readings::Archive;
use crate::reload::Reloads;
use crate::restart::Kin;
use crate::session::{Entry, Roster, Standing};
use crate::sqlstates::Sqlstates;
use crate::tally::Tally;
use crate::web::Web;
use crate::world::{InForce, Origin, World};
use machine::sync::shared::Semaphore;

/// Keys are random: another client has the same one about never, and not so many times.
const KEY_TRIES: usize = 16;

/// Everything of one pooler.
pub struct Shared {
    /// What the operator wants, and which client goes where; another one after a reload.
    world: ArcSwap<World>,
    /// `log_session` of that: each login asks seven times.
    logs_sessions: AtomicBool,
    /// Where that comes from.
    pub origin: Origin,
    /// Who wants it to be read again.
    pub reloads: Reloads,
    /// Where logins wait for the members of groups.
    pub groups: Groups,
    /// Rings when a visit to a host is over, or there are other watchdogs.
    pub watchdogs: Bell,
    /// The secrets of clients that servers told.
    pub auth_queries: AuthQueries,
    /// Where clients went so far.
    pub routes: Routes,
    /// The prepared statements of all clients and servers.
    pub statements: Statements,
    /// Settings of clients and servers.
    pub settings: Interner<Settings>,
    /// What clients were told of their servers' parameters.
    pub reports: Interner<Parameters>,
    /// Where clients came to.
    pub places: Interner<Address>,
    /// Who has not said yet who it is.
    pub nobody: Arc<Asked>,
    /// Where lines go.
    pub log: Log,
    /// Who may be cancelled by what key.
    pub cancel_keys: CancelKeys<Arc<Standing>>,
    /// The global `client_max`.
    pub clients: ClientLimit,
    /// Cancels in flight, ours and our clients'.
    pub cancels: Semaphore,
    /// Connections between accept and the end of routing.
    pub logins: Semaphore,
    /// What the host watcher saw.
    pub host: Host,
    /// When this was made.
    pub started: SystemTime,
    /// Connections that never said what they want.
    startup_errors: AtomicU64,
    /// How many of them were printed.
    startup_errors_printed: AtomicU64,
    /// What clients were told.
    pub sqlstates: Sqlstates,
    /// Under which names routes are shown.
    pub ledger: Ledger,
    /// What is asked for over HTTP.
    pub web: Web,
    /// Where hosts are.
    pub names: Names,
    /// Derived keys.
    pub keyring: Keyring,
    /// What went wrong for clients, those that had no route too.
    pub errors: Errors,
    /// What was counted on routes that nobody uses any more.
    pub archive: Archive,
    /// Clients of the console.
    pub consoles: ClientLimit,
    /// Those of them who may only look.
    pub onlookers: ClientLimit,
    /// What was done lately.
    pub averages: Averages,
    /// The machines; none before they run.
    pub machines: OnceLock<Arc<[MachineHandle]>>,
    /// Who asks all clients something; one at a time.
    pub roll: Semaphore,
    /// Who else is asked whether a password is right.
    pub checkers: Checkers,
    /// Wrong passwords.
    pub guesses: Guesses,
    /// Who is here, a roster a machine.
    pub rosters: Vec<Arc<Roster>>,
    /// Rings when the janitor has something to look at: a server that will grow old, or one that is
    /// missing.
    pub janitor: Bell,
    /// Rings when other files are to be watched.
    pub watcher: Bell,
    /// Rings when the statistics are to be told otherwise.
    pub stats: Bell,
    /// The processes before and after this one.
    pub kin: Kin,
    /// The bytes in use while there is too little memory for more clients; 0 otherwise.
    pub soft_oom: AtomicU64,
    /// Where the face of the process hears what to show.
    stages: OnceLock<Sender<Stage>>,
    /// The one home of each route, by the route's address; dead ones are swept when new ones come.
    homes: Mutex<NumberMap<usize, Weak<Home>>>,
}

/// A cancel key in a client's hands; forgotten when dropped.
pub struct GivenKey {
    shared: Arc<Shared>,
    key: ClientKey,
}

impl Shared {
    /// For this world, which came from there, with this log.
    pub fn new(world: World, origin: Origin, log: Log) -> Self {
        let global = &world.config.global;
        Self {
            origin,
            reloads: Reloads::default(),
            groups: Groups::default(),
            watchdogs: Bell::default(),
            auth_queries: AuthQueries::default(),
            routes: Routes::new(),
            statements: Statements::new(),
            settings: Interner::default(),
            reports: Interner::default(),
            places: Interner::default(),
            nobody: Arc::default(),
            cancel_keys: CancelKeys::new(),
            clients: ClientLimit::new(Scope::Global, global.client_max),
            cancels: Semaphore::new(global.cancel_max_inflight),
            logins: Semaphore::new(global.client_max_routing),
            host: Host::default(),
            started: SystemTime::now(),
            startup_errors: AtomicU64::new(0),
            startup_errors_printed: AtomicU64::new(0),
            sqlstates: Sqlstates::default(),
            ledger: Ledger::default(),
            web: Web::default(),
            names: Names::new(global.dns_cache_ttl),
            keyring: Keyring::default(),
            errors: Errors::default(),
            archive: Archive::default(),
            consoles: ClientLimit::new(Scope::Route, Some(CONSOLES_MAX)),
            onlookers: ClientLimit::new(Scope::Route, Some(ONLOOKERS_MAX)),
            averages: Averages::default(),
            machines: OnceLock::new(),
            roll: Semaphore::new(1),
            checkers: Checkers::default(),
            guesses: Guesses::default(),
            rosters: (0..global.workers).map(|_| Arc::default()).collect(),
            janitor: Bell::default(),
            watcher: Bell::default(),
            stats: Bell::default(),
            kin: Kin::default(),
            soft_oom: AtomicU64::new(0),
            stages: OnceLock::new(),
            homes: Mutex::default(),
            log,
            logs_sessions: AtomicBool::new(global.log_session),
            world: ArcSwap::from_pointee(world),
        }
    }

    /// What is in force now: one look, one world.
    pub fn world(&self) -> Guard<Arc<World>> {
        self.world.load()
    }

    /// The configuration in force now.
    pub fn config(&self) -> InForce {
        InForce(self.world())
    }

    /// Are logins and ends of sessions logged (`log_session`)?
    pub fn logs_sessions(&self) -> bool {
        self.logs_sessions.load(Ordering::Relaxed)
    }

    /// From now on this is in force.
    pub fn publish(&self, world: World) {
        self.logs_sessions.store(world.config.global.log_session, Ordering::Relaxed);
        self.world.store(Arc::new(world));
    }

    /// The home of a route: the same one for all its clients.
    pub fn home(self: &Arc<Self>, route: Arc<Route>) -> Arc<Home> {
        let others = route.others().iter().map(|other| self.home(Arc::clone(other))).collect();
        let mut homes = self.homes.lock().expect("nothing panics under this lock");
        let place = Arc::as_ptr(&route).addr();
        if let Some(home) = homes.get(&place).and_then(Weak::upgrade) {
            // A dead home of another route at the same address does not upgrade.
            return home;
        }
        homes.retain(|_, home| home.strong_count() > 0);
        let tally = Tally::new(self.rosters.len());
        let (errors, logins) = (Errors::default(), AtomicU64::new(0));
        let (shared, shown) = (Arc::clone(self), Shown::default());
        let (picture, asked) = (LastPicture::default(), OnceLock::new());
        let home = Home { shared, route, asked, tally, errors, logins, shown, picture, others };
        let home = Arc::new(home);
        home.time();
        homes.insert(place, Arc::downgrade(&home));
        self.ledger.open();
        home
    }

    /// The home of a question of our own, which goes by an internal rule.
    ///
    /// # Errors
    /// In words for the log: there is no such rule, or no route for it.
    pub fn service(self: &Arc<Self>, database: &str, user: &str) -> Result<Arc<Home>, String> {
        let rule = self.world().rules.service(database, user).map(Arc::clone);
        let rule = rule.ok_or_else(|| format!("no internal rule for {database}.{user}"))?;
        if rule.storage.kind == StorageKind::Local {
            return Err(format!("the internal rule '{rule}' leads to the console"));
        }
        let route = self.routes.get_or_create(&rule, database, user, Replication::No);
        Ok(self.home(route.map_err(|refusal| refusal.to_string())?))
    }

    /// The homes that live now.
    pub fn homes(&self) -> Vec<Arc<Home>> {
        let homes = self.homes.lock().expect("nothing panics under this lock");
        homes.values().filter_map(Weak::upgrade).collect()
    }

    /// From now on [`Shared::tell`] is heard there.
    pub fn set_stages(&self, stages: Sender<Stage>) {
        let _ = self.stages.set(stages); // once, at boot
    }

    /// Lets the face of the process show it.
    pub fn tell(&self, stage: Stage) {
        if let Some(stages) = self.stages.get() {
            let _ = stages.try_send(stage); // a face that is behind shows the latest state later
        }
    }

    /// The roster of this machine.
    pub fn roster(&self) -> &Arc<Roster> {
        &self.rosters[machine::current().expect("clients live on machines")]
    }

    /// Writes a client in, on this machine, until the entry is dropped.
    pub fn enter(&self, standing: &Arc<Standing>) -> Entry {
        self.roster().enter(Arc::clone(standing))
    }

    /// The cancel key that a client has already; None if somebody else has it too.
    pub fn same_key(self: &Arc<Self>, holder: &Arc<Standing>, key: ClientKey) -> Option<GivenKey> {
        let is_free = self.cancel_keys.register(key, Arc::clone(holder));
        is_free.then(|| GivenKey { shared: Arc::clone(self), key })
    }

    /// A fresh cancel key for a client.
    ///
    /// # Errors
    /// No randomness, or a collision many times over.
    pub fn key_for(self: &Arc<Self>, holder: &Arc<Standing>) -> Result<GivenKey, Ending> {
        for _ in 0..KEY_TRIES {
            let bytes =
                crate::random::bytes().map_err(|error| Ending::Silent(error.to_string()))?;
            let key = ClientKey(bytes);
            if self.cancel_keys.register(key, Arc::clone(holder)) {
                return Ok(GivenKey { shared: Arc::clone(self), key });
            }
        }
        Err(Ending::Silent("no free cancel key".into()))
    }

    /// How sockets are set, servers' and those of clients that are not routed yet.
    pub fn stream_options(&self) -> StreamOptions {
        stream_options(&self.config().global, &config::Keepalive::default())
    }

    /// How the sockets of a rule's clients are set; None: as all others.
    pub fn client_options(&self, rule: &Rule) -> Option<StreamOptions> {
        let own = rule.keepalive != config::Keepalive::default();
        own.then(|| stream_options(&self.config().global, &rule.keepalive))
    }

    /// A connection ended before it said what it wants.
    pub fn startup_failed(&self) {
        self.startup_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// How many did since the start.
    pub fn startup_errors(&self) -> u64 {
        self.startup_errors.load(Ordering::Relaxed)
    }

    /// How many did since this was asked last.
    pub fn startup_errors_to_print(&self) -> u64 {
        let all = self.startup_errors();
        all - self.startup_errors_printed.swap(all, Ordering::Relaxed)
    }

    /// Debug lines for this rule?
    pub fn is_debug(&self, rule: &Rule) -> bool {
        rule.log_debug || self.config().global.log_debug
    }
}

/// How the sockets of a rule's clients are set; what it leaves out is as for the process.
pub fn stream_options(global: &Global, rule: &config::Keepalive) -> StreamOptions {
    let or = |own: u32, all: u32| if own > 0 { own } else { all };
    let keepalive = Keepalive {
        idle_s: or(rule.idle_s, global.keepalive_s),
        interval_s: or(rule.interval_s, global.keepalive_interval_s),
        probes: or(rule.probes, global.keepalive_probes),
    };
    let user_timeout_ms = match rule.user_timeout_ms {
        0 => global.keepalive_user_timeout_ms,
        own if own > 0 => own,
        _ => config::keepalive_gives_up_ms(
            keepalive.idle_s.into(),
            keepalive.interval_s.into(),
            keepalive.probes.into(),
        ),
    };
    StreamOptions {
        nodelay: global.nodelay,
        keepalive: (keepalive.idle_s > 0).then_some(keepalive),
        user_timeout_ms: u32::try_from(user_timeout_ms).ok().filter(|&ms| ms > 0),
    }
}

impl GivenKey {
    /// The key itself.
    pub fn key(&self) -> ClientKey {
        self.key
    }
}

impl Drop for GivenKey {
    fn drop(&mut self) {
        self.shared.cancel_keys.remove(self.key);
    }
}
