//! Moving: a client goes from one process to the other while it says nothing (online restart). Its
//! socket and its belongings travel; no server does. It moves only where it could be parked: no
//! server in its hands, nothing owed, no BEGIN that nobody has heard. Replication clients, those
//! that are pinned, those of a session pool that have their server, those under TLS and those whose
//! servers open by what somebody else showed stay until they leave.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::{Authentication, BalancingMethod, Rule, SessionAttrs, StorageKind};
use machine::{Address, Buffer, Deadline, Notified, Parcel, Seat};
use router::{ClientId, ClientKey};
use wire::startup::Replication;

use super::attrs::Attrs;
use super::belongings::Belongings;
use super::relay::Flows;
use super::{Admitted, Person, Places, Session, Voice, routing};
use crate::ending::{Asked, Ending};
use crate::id::Id;
use crate::restart::{Luggage, Verdict};
use crate::shared::Shared;

/// A client that comes from the old process waits for its rule no longer than that.
const ROUTING_TIMEOUT: Duration = Duration::from_secs(10);

impl Session {
    /// A client that was asked to go, or to leave, goes to the new process, if it can and that one
    /// takes it.
    ///
    /// # Errors
    /// It has gone.
    pub(super) fn move_if_asked(&mut self, flows: &mut Flows) -> Result<(), Ending> {
        let asked = self.standing.asked();
        if !(asked.moves() || asked.leaves()) || asked.dies() {
            return Ok(());
        }
        let shared = Arc::clone(self.voice.shared());
        let needs_others = self.home.relies_on_others_than(&self.voice.asked().user);
        let stays = self.own.begun || self.client.tls().is_some() || needs_others;
        if stays || !shared.kin.has_successor() {
            return Ok(());
        }
        let Some(unread) = flows.up.unread() else { return Ok(()) };
        let (pack, socket) = (|| self.pack(unread), || self.client.duplicate().ok());
        match shared.kin.offer(pack, socket) {
            Verdict::Taken => Err(Ending::Moved),
            Verdict::Lost => Err(Ending::ClientGone),
            Verdict::Nobody => {
                // The line broke a moment ago. It is asked again, by who knows more then.
                self.standing.stays();
                Ok(())
            }
            Verdict::Refused(reason) => {
                self.voice.error("online-restart", format_args!("not handed over: {reason}"));
                self.standing.is_left_behind();
                Ok(())
            }
        }
    }

    fn pack(&self, unread: &[u8]) -> Luggage {
        let Person { id, asked, address, since, .. } = &**self.voice.person();
        let Asked { database, user } = &**asked;
        let Attrs { by_default, own, lag_max_s, method } = self.own.attrs;
        let number = |attrs| SessionAttrs::ALL.iter().position(|one| *one == attrs);
        let number = |attrs| number(attrs).and_then(|at| u8::try_from(at).ok()).unwrap_or(0);
        Luggage {
            id: id.number(),
            user: user.clone(),
            database: database.clone(),
            address: address.clone(),
            key: self.places.key.key().0,
            age_ms: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
            attrs_by_default: number(by_default),
            attrs_own: own.map_or(0, |own| number(own) + 1),
            lag_max_s,
            method: method.map(|method| method.as_str().to_owned()),
            storages: self.storages(),
            external: self.voice.person().external().map(str::to_owned),
            shown: self.home.shown_by(user),
            unread: unread.to_vec(),
            ..self.own.pack()
        }
    }

    /// Those of its listener, if that has any.
    fn storages(&self) -> Vec<String> {
        let rule = self.home.route.rule();
        let names = rule.storages().map(|storage| storage.name.clone());
        if rule.is_detour { names.collect() } else { Vec::new() }
    }
}

/// A client that was with the old process, on this machine. Nobody has touched its socket if this
/// fails.
///
/// # Errors
/// Why it cannot be served here, in words.
pub fn move_in(
    shared: &Arc<Shared>,
    luggage: Luggage,
    parcel: Parcel,
    seat: Seat,
) -> Result<Box<Session>, String> {
    let words = |ending: Ending| ending.to_string();
    let Luggage { id, user, database, address, key, .. } = &luggage;
    let (id, key) = (Id::of_client(*id), ClientKey(*key));
    let asked = Arc::new(Asked { database: database.clone(), user: user.clone() });
    let person = Person {
        id,
        asked: Arc::clone(&asked),
        address: address.clone(),
        local: Arc::new(Address::Unix(PathBuf::new())),
        since: since(luggage.age_ms),
        process: None,
        marks: None,
    };
    let mut voice = Voice::new(Arc::clone(shared), person);
    if let Some(external) = &luggage.external {
        voice.person_mut().marks_mut().external = Some(external.as_str().into());
    }
    let deadline = Deadline::after(ROUTING_TIMEOUT);
    let rule = routing::rule_of(shared, &voice, &asked, false, deadline).map_err(words)?;
    let rule = shared.world().rules.by_way_of(&rule, &luggage.storages);
    if let Some(reason) = unfit(&rule) {
        return Err(reason.into());
    }
    voice.routed(&rule);
    let process = shared.clients.admit().map_err(|refusal| refusal.to_string())?;
    let route = shared.routes.get_or_create(&rule, database, user, Replication::No);
    let home = shared.home(route.map_err(|refusal| refusal.to_string())?);
    let route = home.admit().map_err(|refusal| refusal.to_string())?;
    if let Some(shown) = &luggage.shown {
        home.inherit(user, shown);
    }
    let mut own = Box::new(unpack(shared, &rule, voice.person().client(), &luggage)?);
    own.attrs = attrs(&luggage);
    let stream = parcel.unfold().map_err(|error| error.to_string())?;
    // A socket that takes no options is closed already; the session will see that.
    let options = shared.client_options(&rule).unwrap_or_else(|| shared.stream_options());
    let _ = stream.set_options(&options);
    let notified = Notified::new();
    voice.person_mut().local = shared.places.intern(Arc::new(stream.local()));
    let standing = voice.standing(&stream, Some(&home), &notified, Arc::clone(&own.wanted));
    let Some(key) = shared.same_key(&standing, key) else {
        drop(stream.into_fd()); // it stays with the old process
        return Err("its cancel key is taken".into());
    };
    let entry = shared.enter(&standing);
    voice.session("online-restart", format_args!("taken over from the old process"));
    let places = Places { seat, process, route, entry, key };
    let rest = rest(&luggage.unread);
    let admitted = Admitted { home, own, places, notified, standing, rest };
    Ok(Box::new(Session::new(stream, voice, admitted)))
}

/// Why clients of this rule are not served by a session.
fn unfit(rule: &Rule) -> Option<&'static str> {
    if rule.authentication == Authentication::Block {
        return Some("its rule lets nobody in");
    }
    if rule.ldap_credentials.is_some() {
        return Some("its rule asks LDAP who it is at the server");
    }
    (rule.storage.kind != StorageKind::Remote).then_some("its rule leads to the console")
}

fn unpack(
    shared: &Shared,
    rule: &Rule,
    client: ClientId,
    luggage: &Luggage,
) -> Result<Belongings, String> {
    let own = Belongings::unpack(shared, rule, client, luggage).ok_or("its luggage is broken")?;
    match own.names.is_empty() || own.manner.shares_statements {
        true => Ok(own),
        false => Err("its rule shares no prepared statements any more".into()),
    }
}

fn attrs(luggage: &Luggage) -> Attrs {
    let word = |number: u8| SessionAttrs::ALL.get(usize::from(number)).copied();
    Attrs {
        by_default: word(luggage.attrs_by_default).unwrap_or(SessionAttrs::Any),
        own: luggage.attrs_own.checked_sub(1).and_then(word),
        lag_max_s: luggage.lag_max_s,
        method: luggage.method.as_deref().and_then(BalancingMethod::parse),
    }
}

fn rest(unread: &[u8]) -> Buffer {
    let mut buffer = Buffer::lease();
    buffer.reserve(unread.len());
    buffer.extend(unread);
    buffer
}

/// When it came; now, where the clock does not go back that far.
fn since(age_ms: u64) -> Instant {
    let now = machine::now();
    now.checked_sub(Duration::from_millis(age_ms)).unwrap_or(now)
}
