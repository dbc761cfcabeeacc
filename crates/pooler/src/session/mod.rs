//! Sessions: a client's life between its login and its end, as straight-line code. A session that
//! has nothing to do and holds no server is parked: a small struct without a stack or a buffer.

mod at_console;
mod attrs;
mod auth;
mod belongings;
mod channel;
mod idle;
mod login;
mod long;
mod masked;
mod moving;
mod outflow;
mod preamble;
mod proxied;
mod relay;
mod remark;
mod replication;
mod routing;
mod settle;
mod spoken;
mod stop;
mod translate;
mod unnamed;
mod unshared;
mod virtually;
mod voice;

use std::sync::Arc;
use std::time::Duration;

use machine::{
    Buffer, Deadline, Interest, Notified, Progress, Seat, Served, Stream, Wakers, Woken,
};
use router::{Admission, Asker, Refusal, SlotKey};

pub use login::{Arrival, welcome};
pub use moving::move_in;
pub use stop::{Account, Entry, Person, Roster, Standing};
pub use voice::Voice;

use crate::backend::{Checkout, Home, Inflow, Lease, Leftover, NoServer, Stay, Suspicion};
use crate::ending::Ending;
use crate::shared::GivenKey;
use crate::tally::Traffic;
use crate::turns::Turns;
use belongings::Belongings;
pub use belongings::Said;
use idle::Idleness;
use outflow::{Front, Outflow};
use relay::Flows;

/// How long a client that gets our last error may take to read it before the socket closes.
const FAREWELL: Duration = Duration::from_secs(1);

/// A client that is logged in.
pub struct Session {
    client: Stream,
    /// Its route.
    home: Arc<Home>,
    voice: Voice,
    /// What is its own, whatever server it has.
    own: Box<Belongings>,
    /// Rings when the pool has an answer or somebody asks us to leave.
    notified: Notified,
    standing: Arc<Standing>,
    /// The server in its hands: none between transactions, or until a session's first query.
    lease: Option<Lease>,
    /// The server it had last: the first choice for the next transaction.
    last: Option<(usize, SlotKey)>,
    traffic: Traffic,
    /// The server at hand said FATAL: the client knows that it ends.
    fatal_heard: bool,
    /// How long the client has had nothing to say.
    idle: Idleness,
    /// Bytes that came behind the login; taken by the first `serve`.
    early: Option<Box<Buffer>>,
    places: Places,
}

/// A client that is in: what its session is made of.
struct Admitted {
    home: Arc<Home>,
    own: Box<Belongings>,
    places: Places,
    notified: Notified,
    standing: Arc<Standing>,
    /// Bytes that came behind the login.
    rest: Buffer,
}

/// What a client occupies as long as it lives; everything is given back by dropping.
#[expect(dead_code, reason = "held for their Drop")]
pub struct Places {
    /// On its machine.
    pub seat: Seat,
    /// Under the global `client_max`.
    pub process: Admission,
    /// Under the rule's `client_max`.
    pub route: Stay,
    /// In the roster of its machine.
    pub entry: Entry,
    /// Its cancel key.
    pub key: GivenKey,
}

impl machine::Session for Session {
    fn serve(mut self: Box<Self>) -> Served {
        let early = self.early.take();
        self.traffic.received(early.as_ref().map_or(0, |early| early.len()));
        let up = early.map_or_else(Outflow::new, |early| Outflow::with(*early));
        let down = Inflow::new(!self.own.manner.releases || self.own.pinned.is_some());
        let mut flows = Flows { up, down, unread: 0 };
        match self.run(&mut flows) {
            Ok(()) => Served::Parked(self),
            Err(ending) => {
                self.end(ending, flows);
                Served::Ended
            }
        }
    }

    fn wakers(&self) -> Wakers<'_> {
        let other = self.lease.as_ref().map(|lease| &lease.server().stream);
        let notified = Some(&self.notified);
        let idles = other.is_some() || self.own.begun;
        let deadline = if idles { self.idle.over() } else { Deadline::NEVER };
        Wakers { stream: &self.client, other, notified, deadline }
    }
}

impl Session {
    /// Of a client that has no server yet.
    fn new(client: Stream, voice: Voice, admitted: Admitted) -> Self {
        let Admitted { home, own, places, notified, standing, rest } = admitted;
        Self {
            client,
            home,
            voice,
            own,
            notified,
            standing,
            lease: None,
            last: None,
            traffic: Traffic::default(),
            fatal_heard: false,
            idle: Idleness::default(),
            early: Some(rest).filter(|rest| !rest.is_empty()).map(Box::new),
            places,
        }
    }

    /// Until there is nothing left to do (Ok: to be parked) or the client's life ends.
    fn run(&mut self, flows: &mut Flows) -> Result<(), Ending> {
        self.mind_lag()?;
        let mut turns = Turns::default();
        loop {
            turns.round();
            let _ = self.notified.take(); // a late grant means nothing here
            if self.lease.is_some() {
                self.relay(flows)?;
                if self.lease.is_some() {
                    return Ok(()); // parked with its server
                }
            }
            self.move_if_asked(flows)?;
            self.heed()?;
            match flows.up.front()? {
                Front::Terminate => return Err(Ending::Terminated),
                Front::Request if self.answer_virtually(&mut flows.up)? => {}
                Front::Request => self.checkout(&mut flows.up)?,
                Front::Incomplete => match flows.up.read(&self.client) {
                    Ok(Progress::Done(bytes)) => self.traffic.received(bytes),
                    Ok(Progress::Wait) if flows.up.is_empty() => return self.check_begun(),
                    Ok(Progress::Wait) => self.wait_for_client()?,
                    Ok(Progress::End) | Err(_) => return Err(Ending::ClientGone),
                },
            }
        }
    }

    /// The client is in the middle of a message.
    fn wait_for_client(&self) -> Result<(), Ending> {
        let wants = [(&self.client, Interest::READ)];
        match machine::wait_any(&wants, Some(&self.notified), Deadline::NEVER)? {
            Woken::Notified => {
                let _ = self.notified.take(); // what it means is looked up before the next wait
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A client that keeps its server may not go on with one whose host lags too far; in the middle
    /// of a transaction it may.
    fn mind_lag(&self) -> Result<(), Ending> {
        let (Some(lease), Some(lag_max)) = (&self.lease, self.own.attrs.lag_max()) else {
            return Ok(());
        };
        let is_between = lease.server().core.conversation.quiescent().is_some();
        match lease.excess(Some(lag_max)) {
            Some(lag) if is_between && self.client.is_readable() => {
                Err(self.no_server(NoServer::Lagging(lag)))
            }
            _ => Ok(()),
        }
    }

    /// A server for what the client wants to say.
    fn checkout(&mut self, up: &mut Outflow) -> Result<(), Ending> {
        let machine = machine::current().expect("sessions run on machines");
        let asker = Asker { client: self.own.client, machine, last: None };
        if self.keeps_server() && self.home.route.is_paused() {
            return Err(Ending::Paused);
        }
        let client = (!up.has_goodbye()).then_some(&self.client);
        let (notified, deadline) = (&self.notified, Deadline::NEVER);
        let standing = Some(&*self.standing);
        let (last, wants) = (self.last, self.own.attrs.wants());
        let ask = Checkout {
            asker,
            last,
            wants,
            client,
            notified,
            deadline,
            own: None,
            may_tell: true,
            standing,
        };
        let lease = self.home.checkout(&ask).map_err(|failure| self.no_server(failure))?;
        self.traffic.begin(lease.since());
        self.fatal_heard = false;
        self.lease = Some(lease);
        Ok(())
    }

    fn no_server(&self, failure: NoServer) -> Ending {
        if let NoServer::Refused(Refusal::PoolTimeout { .. }) = failure {
            self.voice.error("router", format_args!("server pool wait timed out, closing"));
        }
        Ending::no_server(failure, Arc::clone(self.voice.asked()))
    }

    /// The last act: the server is given back or brought back, the client is told, the log too.
    fn end(mut self: Box<Self>, ending: Ending, flows: Flows) {
        let Flows { up, down, .. } = flows;
        // What the server said before the end is the client's; one that is gone wants nothing.
        let gone = matches!(ending, Ending::ClientGone | Ending::Terminated | Ending::Moved);
        let rest = if gone { Vec::new() } else { down.passable().to_vec() };
        let at_boundary = !gone && down.ends_at_boundary();
        // First of all the server: others wait for it.
        self.leave_server(&ending, !up.is_through(), down);
        self.traffic.sent(rest.len());
        let (now, said) = (machine::now(), &mut self.own.said);
        let us = self.traffic.transaction_over(now, said, &self.home.tally);
        self.voice.query_time(us);
        self.voice.ended(&ending, self.traffic.life());
        self.home.failed(&ending);
        let forward = self.home.route.rule().client_fwd_error;
        let flushed =
            rest.is_empty() || self.client.write_all(&rest, Deadline::after(FAREWELL)).is_ok();
        if let Some(notice) = ending.notice(forward).filter(|_| flushed && at_boundary) {
            let mut bytes = Vec::new();
            wire::encode::error(&mut bytes, &self.voice.tag(notice));
            farewell(&self.client, &bytes);
        }
        if let Ending::Moved = ending {
            // The socket lives on in the other process: only so its events stay away from here.
            drop(self.client.into_fd());
        }
    }

    /// The server, if there is one, to where the rule says: nothing of this client stays in it.
    fn leave_server(&mut self, ending: &Ending, torn: bool, down: Inflow) {
        let Some(mut lease) = self.lease.take() else { return };
        if matches!(ending, Ending::ServerLost(_)) {
            return; // dropping the lease closes it
        }
        if !self.own.manner.releases || self.own.pinned.is_some() {
            // A session may have left anything behind, whatever its command tags said.
            let holdings = &mut lease.server_mut().core.holdings;
            holdings.suspicion.add(Suspicion::UNKNOWN);
            holdings.touched.touch_all();
        }
        lease.abandon(Leftover { torn, inflow: Some(down) });
    }
}

/// The client's last message, then the end of our side; and a moment for the client to read it, for
/// a socket that closes with unread bytes resets the connection and the message may be lost.
pub fn farewell(client: &Stream, bytes: &[u8]) {
    let deadline = Deadline::after(FAREWELL);
    if client.write_all(bytes, deadline).is_err() || client.shutdown_write().is_err() {
        return;
    }
    let mut ignored = Buffer::lease();
    while let Ok(1..) = client.read_into(&mut ignored, deadline) {
        ignored.clear();
    }
}
