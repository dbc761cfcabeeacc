//! What all machines share: the configuration and everything that hangs on it. One value, made at
//! boot, passed down; a second instance in the same process would disturb nobody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use config::{Config, Rule};
use machine::{Keepalive, Notifier, StreamOptions};
use router::{CancelKeys, ClientId, ClientKey, ClientLimit, Parameters, Rules, Scope, Statements};
use wire::settings::Settings;

use crate::backend::{Home, Route, Routes};
use crate::ending::Ending;
use crate::groups::Groups;
use crate::interner::Interner;
use crate::keyring::Keyring;
use crate::log::Log;
use crate::permits::Permits;
use crate::session::Roster;
use crate::tally::Tally;

/// Keys are random: another client has the same one about never, and not so many times.
const KEY_TRIES: usize = 16;

/// Everything of one pooler.
pub struct Shared {
    /// What the operator wants.
    pub config: Config,
    /// Which client goes where.
    pub rules: Rules,
    /// Where logins wait for the members of groups.
    pub groups: Groups,
    /// Where clients went so far.
    pub routes: Routes,
    /// The prepared statements of all clients and servers.
    pub statements: Statements,
    /// Settings of clients and servers.
    pub settings: Interner<Settings>,
    /// What clients were told of their servers' parameters.
    pub reports: Interner<Parameters>,
    /// Where lines go.
    pub log: Log,
    /// Who may be cancelled by what key.
    pub cancel_keys: CancelKeys<Arc<Home>>,
    /// The global `client_max`.
    pub clients: ClientLimit,
    /// Cancels in flight, ours and our clients'.
    pub cancels: Arc<Permits>,
    /// Connections between accept and the end of routing.
    pub logins: Arc<Permits>,
    /// Derived keys.
    pub keyring: Keyring,
    /// Who is here, a roster a machine.
    pub rosters: Vec<Arc<Roster>>,
    /// Rings when the janitor has something to look at: a server that will grow old, or one that is
    /// missing.
    pub janitor: OnceLock<Notifier>,
    /// The one home of each route, by the route's address; dead ones are swept when new ones come.
    homes: Mutex<HashMap<usize, Weak<Home>>>,
}

/// A cancel key in a client's hands; forgotten when dropped.
pub struct GivenKey {
    shared: Arc<Shared>,
    key: ClientKey,
}

impl Shared {
    /// For this configuration, with this log.
    pub fn new(config: Config, log: Log) -> Self {
        let global = &config.global;
        Self {
            rules: Rules::new(&config),
            groups: Groups::default(),
            routes: Routes::new(),
            statements: Statements::new(),
            settings: Interner::default(),
            reports: Interner::default(),
            cancel_keys: CancelKeys::new(),
            clients: ClientLimit::new(Scope::Global, global.client_max),
            cancels: Arc::new(Permits::new(global.cancel_max_inflight)),
            logins: Arc::new(Permits::new(global.client_max_routing)),
            keyring: Keyring::default(),
            rosters: (0..global.workers).map(|_| Arc::default()).collect(),
            janitor: OnceLock::new(),
            homes: Mutex::default(),
            log,
            config,
        }
    }

    /// The home of a route: the same one for all its clients.
    pub fn home(self: &Arc<Self>, route: Arc<Route>) -> Arc<Home> {
        let mut homes = self.homes.lock().expect("nothing panics under this lock");
        let place = Arc::as_ptr(&route).addr();
        if let Some(home) = homes.get(&place).and_then(Weak::upgrade) {
            // A dead home of another route at the same address does not upgrade.
            return home;
        }
        homes.retain(|_, home| home.strong_count() > 0);
        let tally = Tally::new(self.rosters.len());
        let home = Arc::new(Home { shared: Arc::clone(self), route, tally });
        homes.insert(place, Arc::downgrade(&home));
        home
    }

    /// The homes that live now.
    pub fn homes(&self) -> Vec<Arc<Home>> {
        let homes = self.homes.lock().expect("nothing panics under this lock");
        homes.values().filter_map(Weak::upgrade).collect()
    }

    /// A fresh cancel key for a client.
    ///
    /// # Errors
    /// No randomness, or a collision many times over.
    pub fn key_for(self: &Arc<Self>, home: &Arc<Home>, id: ClientId) -> Result<GivenKey, Ending> {
        for _ in 0..KEY_TRIES {
            let bytes =
                crate::random::bytes().map_err(|error| Ending::Silent(error.to_string()))?;
            let key = ClientKey(bytes);
            if self.cancel_keys.register(key, Arc::clone(home), id) {
                return Ok(GivenKey { shared: Arc::clone(self), key });
            }
        }
        Err(Ending::Silent("no free cancel key".into()))
    }

    /// How sockets are set, clients' and servers'.
    pub fn stream_options(&self) -> StreamOptions {
        let global = &self.config.global;
        StreamOptions {
            nodelay: global.nodelay,
            keepalive: (global.keepalive_s > 0).then_some(Keepalive {
                idle_s: global.keepalive_s,
                interval_s: global.keepalive_interval_s,
                probes: global.keepalive_probes,
            }),
            user_timeout_ms: u32::try_from(global.keepalive_user_timeout_ms)
                .ok()
                .filter(|&ms| ms > 0),
        }
    }

    /// Somebody has to look after the servers.
    pub fn ring_janitor(&self) {
        if let Some(janitor) = self.janitor.get() {
            janitor.notify();
        }
    }

    /// Debug lines for this rule?
    pub fn is_debug(&self, rule: &Rule) -> bool {
        self.config.global.log_debug || rule.log_debug
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
