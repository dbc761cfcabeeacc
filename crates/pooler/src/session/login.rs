//! Logins: from an accepted socket to a session, as straight-line code under one deadline
//! (`client_login_timeout`): negotiation, route, proof, and what a server would tell its client.

mod granted;
mod negotiate;
mod picture;

use std::sync::Arc;

use config::{Rule, SessionAttrs, StorageKind};
use machine::{Address, Buffer, Deadline, Notified, Parcel, Seat, Stream};
use router::{ClientId, ClientKey, Wants};
use wire::frame::Side;
use wire::settings::Settings;
use wire::settings::search_path::as_set_writes;
use wire::startup::{MAJOR, MINOR_MAX, Replication, StartupMessage};
use wire::{CancelKey, Notice, encode};

use negotiate::First;
pub(super) use negotiate::Negotiated;
use picture::Source;

use super::at_console::Arrived;
use super::attrs::{self, Attrs};
use super::auth::{self, Candidate, Proof};
use super::belongings::{Belongings, with_suffix};
use super::channel::Channel;
use super::replication::Pipe;
use super::{Admitted, Person, Places, Session, Standing, Voice, farewell, proxied, routing};
use crate::backend::{self, Credentials, Home, Lease, Own};
use crate::dialog::{Dialog, Patience};
use crate::ending::{Asked, Ending};
use crate::id::{Id, Kind};
use crate::listener::Door;
use crate::log::Who;
use crate::shared::Shared;
use crate::tally::{Life, Span};
use machine::sync::shared::Permit;

/// A client that was just accepted, on its way to its machine.
pub struct Arrival {
    /// Its socket.
    pub parcel: Parcel,
    /// Where it comes from.
    pub address: Address,
    /// Where it was expected: the listening socket's address.
    pub local: Arc<Address>,
    /// Its place on the machine.
    pub seat: Seat,
    /// The `listen` section it came through, as it was then.
    pub listen: Arc<Door>,
    /// One of `client_max_routing`; given back when the client is routed.
    pub permit: Permit,
}

/// Logs a client in and starts its session; everything else ends here.
pub fn welcome(shared: &Arc<Shared>, arrival: Arrival) {
    let Arrival { parcel, address, local, seat, listen, permit } = arrival;
    let voice = Voice::new(Arc::clone(shared), stranger(shared, address, local));
    shared.roster().arrive();
    let Ok(client) = parcel.unfold_to_read() else { return };
    let timeout = listen.client_login_timeout;
    let deadline = timeout.map_or(Deadline::NEVER, Deadline::after);
    let (forwards, home) = (false, None);
    let mut login = Login { shared, client, voice, listen, deadline, forwards, home };
    match login.run(seat, permit) {
        Ok(Some(Entrance::Client(admitted, lease))) => login.start(admitted, lease),
        Ok(Some(Entrance::Console(parts))) => login.start_console(*parts),
        Ok(None) => {}
        Err(ending) => login.fail(&ending),
    }
}

/// A client of which no more is known than where it comes from.
fn stranger(shared: &Shared, address: Address, local: Arc<Address>) -> Person {
    let (id, asked) = (Id::random(Kind::Client), Arc::clone(&shared.nobody));
    let since = machine::now();
    Person { id, asked, address, local, since, process: None, marks: None }
}

const APPLICATION_NAME: &[u8] = b"application_name";
const SEARCH_PATH: &[u8] = b"search_path";

/// Parameters of a startup packet that Odyssey takes for itself, and no server knows.
const NEVER_DEPLOYED: [&[u8]; 3] =
    [b"compression", attrs::NAME.as_bytes(), attrs::LAG_NAME.as_bytes()];

pub(super) struct Login<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) client: Stream,
    pub(super) voice: Voice,
    /// The `listen` section it came through, as it was then.
    pub(super) listen: Arc<Door>,
    pub(super) deadline: Deadline,
    /// The rule wants a server's refusal forwarded; known once there is a rule.
    pub(super) forwards: bool,
    /// Its route, once there is one.
    pub(super) home: Option<Arc<Home>>,
}

/// What a client showed, and what it sent behind it.
pub(super) type Proven = (Proof, Buffer);

/// Who came in.
enum Entrance {
    /// A client of servers.
    Client(Admitted, Option<Lease>),
    /// A client of the console.
    Console(Box<Arrived>),
}

impl Login<'_> {
    /// What a session is made of, or None when there was nobody to log in (a cancel request).
    fn run(&mut self, seat: Seat, permit: Permit) -> Result<Option<Entrance>, Ending> {
        // When everything is full, cancels and the console are what is needed most.
        let admission = self.shared.clients.admit();
        self.locate().inspect_err(|_| self.shared.startup_failed())?;
        let negotiated = match self.negotiate().inspect_err(|_| self.shared.startup_failed())? {
            First::Login(negotiated) => negotiated,
            First::Cancel(key) => {
                drop(permit); // a cancel may take its time, logins need not wait for it
                self.cancel(&key);
                return Ok(None);
            }
        };
        let asked = self.name(&negotiated.message);
        let asked = asked.inspect_err(|_| self.shared.startup_failed())?;
        let replication = replication(&negotiated.message)?;
        let rule = self.rule(&asked, negotiated.channel.is_some())?;
        if rule.storage.kind == StorageKind::Local {
            drop((permit, admission));
            let console = self.enter_console(seat, rule, &asked, negotiated)?;
            return Ok(Some(Entrance::Console(console)));
        }
        let process = admission.map_err(|refusal| Ending::Refused(refusal, Arc::default()))?;
        let (home, proven) = self.reach(&rule, &asked, &negotiated, permit)?;
        if let Some(channel) = &negotiated.channel {
            home.tally.took(Span::Handshake, channel.handshake);
        }
        let route = home.admit().map_err(|refusal| Ending::Refused(refusal, Arc::clone(&asked)))?;
        let (startup, attrs) = match replication {
            Replication::No => self.settings(&home, &negotiated.message)?,
            // Its server reads the settings.
            _ => (Arc::default(), self.attrs(&home.route.rule(), None, None)),
        };
        let (rest, owed) = match self.authenticate(&home, &asked, &negotiated, proven) {
            Ok(proven) => proven,
            Err(ending) => {
                drop(route); // others may have it during the pause
                auth::pause(&self.voice, &self.client, self.deadline, &ending);
                return Err(ending);
            }
        };
        let (notified, client) = (Notified::new(), self.client_id());
        let rule = home.route.rule();
        let mut own = Box::new(Belongings::new(client, &rule, startup));
        own.attrs = attrs;
        if rule.application_name_add_host {
            own.suffix_application_name(self.host_suffix().into());
        }
        drop(rule); // not to be held over a wait
        let standing = self.standing(
            Some(&home),
            negotiated.channel.as_ref(),
            &notified,
            Arc::clone(&own.wanted),
        );
        let entry = self.shared.enter(&standing);
        let key = self.shared.key_for(&standing)?;
        let alone = match replication {
            Replication::No => None,
            _ => Some(Own::new(negotiated.message.parameters)),
        };
        let (own_server, owed) = (alone.as_ref(), owed.as_slice());
        // What servers report is the same on all hosts.
        let wants = alone.as_ref().map_or(Wants::ANYTHING, |_| attrs.wants());
        let source = Source { home: &home, notified: &notified, own: own_server, wants, owed };
        let lease = self.set_up(&source, &mut own, key.key())?;
        let places = Places { seat, process, route, entry, key };
        let admitted = Admitted { home, own, places, notified, standing, rest };
        Ok(Some(Entrance::Client(admitted, lease)))
    }

    /// What others are to know of the client.
    pub(super) fn standing(
        &mut self,
        home: Option<&Arc<Home>>,
        channel: Option<&Channel>,
        notified: &Notified,
        wanted: Arc<Settings>,
    ) -> Arc<Standing> {
        let person = self.voice.person_mut();
        if let Some(channel) = channel {
            person.marks_mut().tls = Some(channel.spoken.clone());
        }
        // Only behind a socket for all addresses has the system to be asked.
        if matches!(*person.local, Address::Tcp(address) if address.ip().is_unspecified()) {
            person.local = self.shared.places.intern(Arc::new(self.client.local()));
        }
        self.voice.standing(&self.client, home, notified, wanted)
    }

    /// Where the client is: where its connection comes from, or what a proxy says.
    fn locate(&mut self) -> Result<(), Ending> {
        let peer = self.voice.address().clone();
        match proxied::address(&self.client, &self.listen, &peer, self.deadline)? {
            None => self.voice.session("startup", format_args!("new client connection {peer}")),
            Some(address) => {
                let text = format_args!("new client connection {address} by way of {peer}");
                self.voice.session("startup", text);
                self.voice.person_mut().address = address;
            }
        }
        Ok(())
    }

    /// Who wants to be who: the names, and a protocol we speak.
    fn name(&mut self, message: &StartupMessage) -> Result<Arc<Asked>, Ending> {
        if message.major != MAJOR {
            let (major, minor) = (message.major, message.minor);
            let text = format!(
                "unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{MINOR_MAX}"
            );
            return Err(Ending::Login(Notice::fatal("0A000", text)));
        }
        let user = message.get("user").filter(|name| !name.is_empty());
        let Some(user) = user else {
            return Err(Ending::Silent("no user name in the startup packet".into()));
        };
        let database = message.get("database").filter(|name| !name.is_empty()).unwrap_or(user);
        let asked = Asked { database: database.to_owned(), user: user.to_owned() };
        let asked = Arc::new(asked);
        self.voice.person_mut().asked = Arc::clone(&asked);
        Ok(asked)
    }

    /// The rule that is meant.
    fn rule(&mut self, asked: &Arc<Asked>, tls: bool) -> Result<Arc<Rule>, Ending> {
        let rule = routing::rule_of(self.shared, &self.voice, asked, tls, self.deadline)?;
        let rule = self.shared.world().rules.by_way_of(&rule, &self.listen.storages);
        let Asked { database, user } = &**asked;
        self.voice.routed(&rule);
        self.forwards = rule.client_fwd_error;
        self.voice.session(
            "startup",
            format_args!("route '{database}.{user}' to '{}.{}'", rule.database, rule.user),
        );
        Ok(rule)
    }

    /// Its route.
    fn route(
        &mut self,
        rule: &Arc<Rule>,
        asked: &Arc<Asked>,
        replication: Replication,
    ) -> Result<Arc<Home>, Ending> {
        let Asked { database, user } = &**asked;
        if let Some(options) = self.shared.client_options(rule) {
            // A socket that takes none is closed already; the login will see that.
            let _ = self.client.set_options(&options);
        }
        let route = self.shared.routes.get_or_create(rule, database, user, replication);
        let route = route.map_err(|refusal| Ending::Refused(refusal, Arc::clone(asked)))?;
        let home = self.shared.home(route);
        self.home = Some(Arc::clone(&home));
        Ok(home)
    }

    /// What the client set in its startup packet, and what its rule sets over that; apart from it
    /// what is not for servers.
    fn settings(
        &self,
        home: &Home,
        message: &StartupMessage,
    ) -> Result<(Arc<Settings>, Attrs), Ending> {
        let refused = |code, text: String| Ending::Login(Notice::fatal(code, text));
        let rule = home.route.rule();
        let mut settings = wire::startup::settings_of(message)
            .map_err(|error| refused(error.code(), error.to_string()))?;
        for (name, value) in &rule.options {
            let set = settings.set(name.as_bytes(), value.as_bytes());
            set.map_err(|error| refused("53400", error.to_string()))?;
        }
        if self.shared.config().global.smart_search_path_enquoting
            && let Some(list) = settings.get(SEARCH_PATH).and_then(as_set_writes)
        {
            let set = settings.set(SEARCH_PATH, &list);
            set.map_err(|error| refused("53400", error.to_string()))?;
        }
        let said = [attrs::NAME, attrs::LAG_NAME].map(|name| settings.get(name.as_bytes()));
        let attrs = self.attrs(&rule, said[0], said[1]);
        for name in NEVER_DEPLOYED {
            settings.remove(name);
        }
        if rule.application_name_add_host {
            let name = settings.get(APPLICATION_NAME).unwrap_or_default();
            let name = with_suffix(name, &self.host_suffix());
            let set = settings.set(APPLICATION_NAME, &name);
            set.map_err(|error| refused("53400", error.to_string()))?;
        }
        Ok((self.shared.settings.intern(settings), attrs))
    }

    /// Which of several servers the client is to get; what it says wins over the listener, which
    /// wins over the rule. Of its lag, the rule wins over the listener.
    fn attrs(&self, rule: &Rule, said: Option<&[u8]>, lag: Option<&[u8]>) -> Attrs {
        let by_default = self.listen.target_session_attrs.or(rule.target_session_attrs);
        let own = said.and_then(attrs::parse);
        if let Some(word) = said.filter(|_| own.is_none()) {
            let word = String::from_utf8_lossy(word);
            let name = attrs::NAME;
            self.voice.error("startup", format_args!("invalid value for {name}: \"{word}\""));
        }
        let lag_max = rule.catchup_timeout.or(self.listen.catchup_timeout).unwrap_or_default();
        let lag_max_s = lag.and_then(|word| self.seconds(word));
        Attrs {
            by_default: by_default.unwrap_or(SessionAttrs::Any),
            own,
            lag_max_s: lag_max_s.unwrap_or(u32::try_from(lag_max.as_secs()).unwrap_or(u32::MAX)),
            method: self.listen.balancing_method,
        }
    }

    /// A number that the client said; anything else is ignored.
    fn seconds(&self, word: &[u8]) -> Option<u32> {
        let seconds = str::from_utf8(word).ok().and_then(|word| word.trim().parse().ok());
        if seconds.is_none() {
            let (name, word) = (attrs::LAG_NAME, String::from_utf8_lossy(word));
            self.voice.error("catchup", format_args!("invalid value for {name}: \"{word}\""));
        }
        seconds
    }

    /// What `application_name_add_host` puts behind the name.
    fn host_suffix(&self) -> String {
        format!(" - {}", self.voice.address())
    }

    /// The proof, unless there is one. Returns what the client sent behind it, and what it is to
    /// hear first.
    fn authenticate(
        &mut self,
        home: &Home,
        asked: &Arc<Asked>,
        negotiated: &Negotiated,
        proven: Option<Proven>,
    ) -> Result<(Buffer, Vec<u8>), Ending> {
        let (rule, key) = (Arc::clone(&home.route.rule()), home.route.key());
        let (proof, rest) = match proven {
            Some(proven) => proven,
            None => self.prove(&rule, key.replication, asked, negotiated)?,
        };
        let Proof { password, keys, told, owed, .. } = proof;
        // What proves to be one user is nothing to show for another.
        if key.user == asked.user {
            let password = password.filter(|_| rule.password_passthrough);
            home.show(Credentials { told, keys, password });
        }
        Ok((rest, owed))
    }

    /// The proof that a rule asks for, and what the client sent behind it. Who it is by somebody
    /// else's word is in its lines from here on.
    pub(super) fn prove(
        &mut self,
        rule: &Arc<Rule>,
        replication: Replication,
        asked: &Arc<Asked>,
        negotiated: &Negotiated,
    ) -> Result<Proven, Ending> {
        let mut dialog = self.dialog();
        dialog.raw().extend(negotiated.rest.data());
        let StartupMessage { minor, unknown_options, .. } = &negotiated.message;
        // 3.1 was never a protocol; PostgreSQL takes it for 3.0.
        let spoken = if *minor == 1 { 0 } else { (*minor).min(MINOR_MAX) };
        if spoken != *minor || !unknown_options.is_empty() {
            let mut bytes = Vec::new();
            encode::negotiate_protocol_version(&mut bytes, spoken, unknown_options);
            dialog.send(&bytes)?;
        }
        let candidate = self.candidate(rule, replication, asked, negotiated);
        let mut proof = candidate.come_in(&mut dialog)?;
        let rest = dialog.finish();
        if let Some(external) = proof.external.take() {
            self.voice.person_mut().marks_mut().external = Some(external);
        }
        Ok((proof, rest))
    }

    fn candidate<'a>(
        &'a self,
        rule: &'a Rule,
        replication: Replication,
        asked: &'a Arc<Asked>,
        negotiated: &'a Negotiated,
    ) -> Candidate<'a> {
        Candidate {
            shared: self.shared,
            rule,
            asked,
            voice: &self.voice,
            channel: negotiated.channel.as_ref(),
            replication,
            deadline: self.deadline,
        }
    }

    /// A cancel request: somebody's key, and no answer.
    fn cancel(&self, key: &CancelKey) {
        if let Some(key) = join(key) {
            backend::forward(self.shared, key);
        }
    }

    /// `lease`: a server of its own, for replication.
    fn start(self, admitted: Admitted, lease: Option<Lease>) {
        let shared = Arc::clone(self.shared);
        if let Some(lease) = lease {
            let Admitted { home, notified, standing, rest, places: _places, .. } = admitted;
            self.voice.session("main", format_args!("replication connection"));
            let pipe = Pipe::new(self.client, lease, rest);
            let ending = pipe.run(&notified, &standing, &self.voice);
            home.failed(&ending);
            return self.voice.ended(&ending, &Life::default());
        }
        let session = Session::new(self.client, self.voice, admitted);
        // At the end of the process the session drops: its socket closes.
        if let Err(error) = machine::become_session(Box::new(session)) {
            shared.log.error("setup", &Who::default(), format_args!("client refused: {error}"));
        }
    }

    /// The login is over without a session: the client is told what may be told.
    fn fail(&self, ending: &Ending) {
        match &self.home {
            Some(home) => home.failed(ending),
            None => self.shared.errors.count(ending),
        }
        if ending.is_fault() {
            let address = self.voice.address();
            self.voice.error("startup", format_args!("{ending} for '{address}' client, closing"));
        }
        if let Some(notice) = ending.notice(self.forwards) {
            let mut bytes = Vec::new();
            encode::error(&mut bytes, &self.voice.tag(notice));
            farewell(&self.client, &bytes);
        }
    }

    pub(super) fn dialog(&self) -> Dialog<'_> {
        Dialog::new(&self.client, Side::Frontend, Patience::until(self.deadline))
    }

    pub(super) fn client_id(&self) -> ClientId {
        self.voice.person().client()
    }
}

/// The kind of server it wants.
fn replication(message: &StartupMessage) -> Result<Replication, Ending> {
    let Some(value) = message.get("replication") else { return Ok(Replication::No) };
    Replication::parse(value).ok_or_else(|| {
        let text = "invalid value for parameter \"replication\"";
        Ending::Login(Notice::error("08006", text))
    })
}

/// The two halves of a key as BackendKeyData carries them.
pub(super) fn split(key: ClientKey) -> CancelKey {
    let [a, b, c, d, secret @ ..] = key.0;
    CancelKey { pid: u32::from_be_bytes([a, b, c, d]), secret: secret.to_vec() }
}

/// A key of ours; None for one that we cannot have given.
fn join(key: &CancelKey) -> Option<ClientKey> {
    let [a, b, c, d] = key.pid.to_be_bytes();
    let [e, f, g, h] = *<&[u8; 4]>::try_from(key.secret.as_slice()).ok()?;
    Some(ClientKey([a, b, c, d, e, f, g, h]))
}

/// A broken startup packet ends in silence, with the reason in the log.
fn silent(error: wire::Malformed) -> Ending {
    Ending::Silent(error.to_string())
}
