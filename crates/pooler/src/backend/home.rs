//! A home: one route with the process around it. All traffic between sessions and the route's pool
//! goes through here: a decision under the route's lock, then, outside of it, the deed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use config::SessionAttrs;
use machine::{Deadline, Notified, Progress, Stream, Watcher};
use router::{Admission, Asker, Checkin, ClientId, Done, Grant, Refusal, SlotKey, Wants};
use wire::frame::{self, Side};
use wire::tag::backend as tag;

use super::waiting::Waiting;
use super::{IdleServer, LastPicture, Lease, OpenFailure, Own, Server, Shown, Target, Waker};
use crate::dialog::Patience;
use crate::ending::{Asked, Ending};
use crate::errors::Errors;
use crate::id::{Id, Kind};
use crate::log::Who;
use crate::session::Standing;
use crate::shared::Shared;
use crate::tally::{Span, Tally};

/// Rule × database × user, and its pool of servers.
pub type Route = router::Route<IdleServer, Waker, Arc<Target>>;
type Pool = router::Pool<IdleServer, Waker, Arc<Target>>;
/// One that was paused or resumed.
pub(super) type Gated = router::Gated<IdleServer, Waker, Arc<Target>>;
/// All routes.
pub type Routes = router::Routes<IdleServer, Waker, Arc<Target>>;

/// A route and the process around it; one for each route.
pub struct Home {
    /// Everything of the process.
    pub shared: Arc<Shared>,
    /// The route, and behind its lock the pool.
    pub route: Arc<Route>,
    /// What its first client called itself; most others say the same.
    pub(crate) asked: OnceLock<Arc<Asked>>,
    /// What was done here.
    pub tally: Tally,
    /// What went wrong here.
    pub errors: Errors,
    /// Clients that came here.
    pub logins: AtomicU64,
    /// What clients showed that servers want to see.
    pub shown: Shown,
    /// What the client that logged in last was told of its server.
    pub picture: LastPicture,
    /// Those of the storage's other hosts, if this is that of the first one; clients are of that.
    pub others: Box<[Arc<Home>]>,
}

/// Who asks for a server, and what ends the wait.
pub struct Checkout<'a> {
    /// The client and its machine.
    pub asker: Asker,
    /// The server it had last: its host, and its slot there.
    pub last: Option<(usize, SlotKey)>,
    /// Which of several hosts it wants.
    pub wants: Wants,
    /// The client's socket: when it hangs up the wait ends. None for a client that said goodbye
    /// behind its request: that is done though nobody waits for it.
    pub client: Option<&'a Stream>,
    /// Rings when the pool has an answer.
    pub notified: &'a Notified,
    /// Ends the wait though `pool_timeout` would not: a login has a limit of its own.
    pub deadline: Deadline,
    /// The client wants a server for itself alone; its route has no others.
    pub own: Option<&'a Own>,
    /// The client is logged in and may be told that it waits.
    pub may_tell: bool,
    /// Where a client that waits is told to go.
    pub standing: Option<&'a Standing>,
}

impl<'a> Checkout<'a> {
    /// For a question of our own: no client waits for it.
    pub fn of_ours(wants: Wants, notified: &'a Notified, deadline: Deadline) -> Checkout<'a> {
        let machine = machine::current().expect("questions are asked by coroutines");
        let client = ClientId(Id::random(Kind::Client).number());
        Checkout {
            asker: Asker { client, machine, last: None },
            last: None,
            wants,
            client: None,
            notified,
            deadline,
            own: None,
            may_tell: false,
            standing: None,
        }
    }
}

/// A client's place on a route, under the rule's `client_max`.
pub struct Stay {
    home: Arc<Home>,
    /// None only while it is dropped.
    admission: Option<Admission>,
}

/// Why there is no server.
#[derive(Debug)]
pub enum NoServer {
    /// The policy says no.
    Refused(Refusal),
    /// A server could not be opened.
    Open(OpenFailure),
    /// Every host is known to be out of reach, or to have the wrong role.
    NoHost,
    /// No host has the role that is wanted.
    Unfit(SessionAttrs),
    /// Every host lags too far behind; the best one by this.
    Lagging(Duration),
    /// The client went away while it waited.
    ClientGone,
    /// The client was told to go.
    Killed,
    /// The engine says no.
    Failed(machine::Error),
}

impl Home {
    /// Counts a client in.
    ///
    /// # Errors
    /// See [`router::Route::admit`].
    pub fn admit(self: &Arc<Self>) -> Result<Stay, Refusal> {
        let admission = Some(self.route.admit()?);
        self.logins.fetch_add(1, Ordering::Relaxed);
        Ok(Stay { home: Arc::clone(self), admission })
    }

    /// What equals `asked` and most clients of this route have.
    pub fn asked(&self, asked: &Arc<Asked>) -> Arc<Asked> {
        let first = self.asked.get_or_init(|| Arc::clone(asked));
        Arc::clone(if **first == **asked { first } else { asked })
    }

    /// A client of this route is over, or could not become one.
    pub fn failed(&self, ending: &Ending) {
        self.errors.count(ending);
        self.shared.errors.count(ending);
    }

    /// A server of this host for the client, waiting for one if need be, at most `pool_timeout`.
    /// Errors are as those of `checkout`.
    pub(super) fn checkout_here(self: &Arc<Self>, ask: &Checkout<'_>) -> Result<Lease, NoServer> {
        let (since, host) = (machine::now(), self.route.key().host);
        let last = ask.last.filter(|(of, _)| *of == host).map(|(_, slot)| slot);
        let asker = Asker { last, ..ask.asker };
        loop {
            let decision =
                self.decide(|pool| pool.checkout(asker, || ask.notified.notifier(), since));
            let (grant, begun) = match decision {
                router::Checkout::Granted(grant) => (grant, since),
                router::Checkout::Wait(ticket) => {
                    let (deadline, notice) = self.patience(ask, since);
                    let (joined, waiting) =
                        (machine::now(), Waiting { home: self, ask, ticket, since });
                    let granted = waiting.run(deadline, notice);
                    let now = machine::now();
                    self.tally.took(Span::Wait, now.duration_since(joined));
                    (granted?, now)
                }
                router::Checkout::Refuse(refusal) => return Err(NoServer::Refused(refusal)),
            };
            match self.accept(grant, ask) {
                Ok(Some((slot, server))) => {
                    return Ok(Lease::new(Arc::clone(self), slot, server, begun));
                }
                // It asks again, in its old place.
                Ok(None) => {}
                Err(failure) if self.may_wait_out(&failure) => {}
                Err(failure) => return Err(NoServer::Open(failure)),
            }
        }
    }

    /// Tells the routes that there are from each other; not 0.
    pub fn number(&self) -> usize {
        Arc::as_ptr(&self.route).addr()
    }

    /// Decides something about the pool, and runs the errands that follow from it.
    pub(super) fn decide<R>(&self, decide: impl FnOnce(&mut Pool) -> R) -> R {
        let answer = self.route.with(decide);
        self.shared.routes.run_errands(&self.route, machine::now, |done| match done {
            Done::Wake(waker) => waker.notify(),
            Done::Close(idle) => self.say_goodbye(idle),
            Done::Nothing => {}
        });
        answer
    }

    /// Until when a client waits, and when it is told that it does.
    fn patience(&self, ask: &Checkout<'_>, since: Instant) -> (Deadline, Option<Instant>) {
        let rule = self.route.rule();
        let patience = rule.pool_timeout.map_or(Deadline::NEVER, |it| Deadline::at(since + it));
        let notice = rule.pool_notice_after_waiting.filter(|_| ask.may_tell);
        (patience.earliest(ask.deadline), notice.map(|after| since + after))
    }

    /// Gives a server back that owes nothing and holds nothing.
    pub(super) fn checkin(self: &Arc<Self>, slot: SlotKey, mut server: Server, now: Instant) {
        server.core.returned = now;
        let idle = server.fold_watched(Arc::clone(self), slot.as_u64());
        let here = machine::current().expect("servers are checked in by coroutines");
        let outcome = self.decide(|pool| pool.checkin(slot, idle, here, now));
        self.settle(outcome);
    }

    /// The server of `slot` is no more; whoever waits longest may open another.
    pub(super) fn lost(&self, slot: SlotKey) {
        let now = machine::now();
        if let Some(waker) = self.decide(|pool| pool.lost(slot, now)) {
            waker.notify();
        }
        self.missed();
    }

    /// Does what the pool said about a server that came back.
    pub(super) fn settle(&self, outcome: Checkin<IdleServer, Waker>) {
        match outcome {
            Checkin::Parked | Checkin::Quarantined => {}
            Checkin::Wake(waker) => {
                waker.notify();
                // Its query goes out before our client's answer: the server is what others wait
                // for, and a turn that writes to all servers and then to all clients wakes each
                // side once.
                machine::step_aside();
            }
            Checkin::Stale(server) => self.say_goodbye(server),
            Checkin::Close(server, waker) => {
                self.say_goodbye(server);
                if let Some(waker) = waker {
                    waker.notify();
                }
                self.missed();
            }
        }
    }

    /// The end of an idle server.
    pub(super) fn say_goodbye(&self, idle: IdleServer) {
        if let Ok(server) = idle.unfold() {
            server.say_goodbye();
        }
    }

    /// Makes a server of what the pool granted; None when the idle one turned out to be dead.
    fn accept(
        self: &Arc<Self>,
        grant: Grant<IdleServer>,
        ask: &Checkout<'_>,
    ) -> Result<Option<(SlotKey, Server)>, OpenFailure> {
        match grant {
            Grant::Take(slot, idle) => {
                let held = Held { home: self, slot };
                Ok(self.revive(idle).map(|server| (held.keep(), server)))
            }
            Grant::Open(slot) => {
                let Checkout { client, deadline, own, .. } = *ask;
                self.fill(slot, Patience { deadline, client }, own).map(Some)
            }
        }
    }

    /// A new server for a slot that is opening; if there is none, the slot is given up.
    pub(super) fn fill(
        self: &Arc<Self>,
        slot: SlotKey,
        mut patience: Patience<'_>,
        own: Option<&Own>,
    ) -> Result<(SlotKey, Server), OpenFailure> {
        let held = Held { home: self, slot };
        let timeout = self.shared.config().global.backend_connect_timeout;
        patience.deadline = patience.deadline.earliest(Deadline::after(timeout));
        let server = self.open(&patience, own).inspect_err(|failure| {
            if failure.is_full() {
                self.shut(failure); // before somebody else is given the slot
            }
        })?;
        let (target, born) = (Arc::clone(&server.core.target), server.core.born);
        let known = self.decide(|pool| pool.opened(slot, target, born));
        debug_assert!(known, "we hold the opening slot");
        Ok((held.keep(), server))
    }

    /// Gives back what was granted to somebody who left.
    pub(super) fn refund(self: &Arc<Self>, grant: Grant<IdleServer>) {
        match grant {
            Grant::Open(slot) => self.lost(slot),
            // While it was granted nobody listened to it.
            Grant::Take(slot, idle) => match self.revive(idle) {
                Some(server) => self.checkin(slot, server, machine::now()),
                None => self.lost(slot),
            },
        }
    }

    /// An idle server back to life; None when it is not fit for use.
    fn revive(&self, idle: IdleServer) -> Option<Server> {
        let id = idle.core.id;
        let server = idle.unfold().ok()?;
        // Readable means: it said something while nobody listened. No system call otherwise.
        if !server.stream.is_readable() {
            return Some(server);
        }
        match listen_in(&server) {
            Ok(()) => Some(server),
            Err(reason) => {
                let who = Who { server: Some(id), ..Who::default() };
                self.shared.log.error("pool", &who, format_args!("idle server lost: {reason}"));
                None
            }
        }
    }
}

/// The last one to leave a retired route lets the janitor know.
impl Drop for Stay {
    fn drop(&mut self) {
        drop(self.admission.take());
        if self.home.route.is_retired() {
            self.home.shared.janitor.ring();
        }
    }
}

/// What was counted here is not forgotten with the last who has to do with the route.
impl Drop for Home {
    fn drop(&mut self) {
        let counters = self.route.with(router::Pool::take_counters);
        self.shared.archive.keep(self, &counters);
        self.shared.ledger.close();
    }
}

/// A slot in our hands whose server is not fit for use yet: dropped, it is given up.
struct Held<'a> {
    home: &'a Home,
    slot: SlotKey,
}

impl Held<'_> {
    /// The server is fit: its lease looks after the slot from now on.
    fn keep(self) -> SlotKey {
        std::mem::ManuallyDrop::new(self).slot
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.home.lost(self.slot);
    }
}

/// The idle server of a slot became readable: notices are dropped, an end is noticed.
impl Watcher for Home {
    fn stirred(self: Arc<Self>, key: u64) {
        let slot = SlotKey::from_u64(key);
        // None: somebody took it meanwhile and will see for himself.
        let Some(idle) = self.route.with(|pool| pool.take_idle(slot)) else { return };
        match self.revive(idle) {
            Some(server) => self.checkin(slot, server, machine::now()),
            None => self.lost(slot),
        }
    }
}

/// An idle server has nothing to say that is longer.
const NOTICE_BYTES_MAX: usize = 64 * 1024;

/// Reads what an idle server says. Notices and parameter reports are all it may say.
fn listen_in(server: &Server) -> Result<(), String> {
    let mut inbox = machine::Buffer::lease();
    loop {
        match server.stream.try_read_into(&mut inbox) {
            Ok(Progress::Done(_)) => {}
            Ok(Progress::Wait) if inbox.is_empty() => return Ok(()),
            Ok(Progress::Wait) => return Err("half a message while idle".into()),
            Ok(Progress::End) => return Err("connection closed by the server".into()),
            Err(error) => return Err(error.to_string()),
        }
        while let Some(header) =
            frame::header(Side::Backend, inbox.data()).map_err(|error| error.to_string())?
        {
            let bytes = header.frame_bytes();
            if bytes > NOTICE_BYTES_MAX {
                return Err(format!("a message of {bytes} bytes while idle"));
            }
            if bytes > inbox.len() {
                inbox.reserve(bytes);
                break;
            }
            if !matches!(
                header.tag,
                tag::NOTICE_RESPONSE | tag::PARAMETER_STATUS | tag::NOTIFICATION_RESPONSE
            ) {
                let body = &inbox.data()[frame::HEADER_BYTES..bytes];
                return Err(said(header.tag, body));
            }
            inbox.consume(bytes);
        }
    }
}

fn said(message: u8, body: &[u8]) -> String {
    match wire::backend::error(body) {
        Ok(error) if message == tag::ERROR_RESPONSE => super::inflow::words(&error),
        _ => format!("unexpected message '{}' while idle", char::from(message)),
    }
}
