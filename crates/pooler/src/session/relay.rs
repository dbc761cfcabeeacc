//! The relay: a client and its server, both directions at once. Each direction has one bounded
//! buffer; the relay never waits for one direction while the other could move. It ends when the
//! server has been given back and the client has got all that was its own.

use config::PoolMode;
use machine::{Deadline, Interest, Progress, Woken};

use wire::backend::TransactionStatus;
use wire::conversation::{Conversation, Owner, Purpose, Sent};
use wire::tag::frontend as tag;

use super::outflow::Outflow;
use super::{Session, stop};
use crate::backend::{Event, Inflow};
use crate::ending::{Ending, ServerLoss};
use crate::turns::Turns;

/// The two directions of a relay.
pub(super) struct Flows {
    /// From the client to the server.
    pub(super) up: Outflow,
    /// From the server to the client.
    pub(super) down: Inflow,
    /// Bytes of answers to a client that has said goodbye.
    pub(super) unread: usize,
}

/// What a client that said goodbye may still be answered before its query is cancelled.
const UNREAD_BYTES_MAX: usize = 64 * 1024;

impl Session {
    /// Relays until nothing is outstanding and the server was given back (transaction pooling), or
    /// until one of the two goes.
    pub(super) fn relay(&mut self, flows: &mut Flows) -> Result<(), Ending> {
        let mut turns = Turns::default();
        loop {
            turns.round();
            let mut moved = self.listen_to_client(flows)?;
            moved |= self.tell_server(flows)?;
            moved |= self.listen_to_server(flows)?;
            self.release_if_done(flows)?;
            moved |= self.tell_client(flows)?;
            if self.lease.is_none() && flows.down.passable().is_empty() {
                return self.said_goodbye(flows);
            }
            if !moved {
                self.said_goodbye(flows)?;
                self.leave_if_told()?;
                self.wait(flows)?;
            }
        }
    }

    /// Client → buffer, and leave to go on for each message.
    fn listen_to_client(&mut self, flows: &mut Flows) -> Result<bool, Ending> {
        let Some(lease) = &mut self.lease else { return Ok(false) };
        let mut moved = false;
        // Before reading on: a goodbye that is here already makes what follows it, an end of
        // stream mostly, nobody's business. And answers may have made room in the conversation.
        flows.up.examine(&mut lease.server_mut().core, &self.voice)?;
        if self.client.is_readable() && flows.up.has_room() && !flows.up.is_terminated() {
            match flows.up.read(&self.client).map_err(|_| Ending::ClientGone)? {
                Progress::Done(_) => moved = true,
                Progress::Wait => {}
                Progress::End => return Err(Ending::ClientGone),
            }
        }
        if moved {
            flows.up.examine(&mut lease.server_mut().core, &self.voice)?;
            self.traffic.asked();
        }
        Ok(moved)
    }

    /// Buffer → server, one write.
    fn tell_server(&mut self, flows: &mut Flows) -> Result<bool, Ending> {
        let Some(lease) = &mut self.lease else { return Ok(false) };
        if flows.up.passable().is_empty() || !lease.server().stream.is_writable() {
            return Ok(false);
        }
        match lease.server().stream.try_write(flows.up.passable()) {
            Ok(Progress::Done(bytes)) => {
                self.traffic.received(bytes);
                flows.up.passed(bytes);
                Ok(true)
            }
            Ok(Progress::Wait) => Ok(false),
            Ok(Progress::End) => Err(self.last_words(flows, "connection closed".into())),
            Err(error) => Err(self.last_words(flows, error.to_string())),
        }
    }

    /// Server → buffer, and the conversation hears each message.
    fn listen_to_server(&mut self, flows: &mut Flows) -> Result<bool, Ending> {
        let Some(lease) = &mut self.lease else { return Ok(false) };
        if !lease.server().stream.is_readable() || !flows.down.has_room() {
            return Ok(false);
        }
        match flows.down.read(&lease.server().stream) {
            Ok(Progress::Done(_)) => self.hear(flows).map(|()| true),
            Ok(Progress::Wait) => Ok(false),
            Ok(Progress::End) => {
                let loss = self.loss("connection closed by the server".into());
                Err(Ending::ServerLost(loss))
            }
            Err(error) => {
                let loss = self.loss(error.to_string());
                Err(Ending::ServerLost(loss))
            }
        }
    }

    /// Buffer → client, one write.
    fn tell_client(&mut self, flows: &mut Flows) -> Result<bool, Ending> {
        let bytes = flows.down.passable().len();
        if bytes == 0 {
            return Ok(false);
        }
        if flows.up.is_terminated() {
            // It will not read any more, but what it asked for is done to the end, unless that is
            // a long answer to nobody: PostgreSQL stops at the first write that fails.
            flows.down.passed(bytes);
            flows.unread += bytes;
            return if flows.unread > UNREAD_BYTES_MAX {
                Err(Ending::Terminated)
            } else {
                Ok(true)
            };
        }
        if !self.client.is_writable() {
            return Ok(false);
        }
        match self.client.try_write(flows.down.passable()) {
            Ok(Progress::Done(bytes)) => {
                self.traffic.sent(bytes);
                flows.down.passed(bytes);
                Ok(true)
            }
            Ok(Progress::Wait) => Ok(false),
            Ok(Progress::End) | Err(_) => Err(Ending::ClientGone),
        }
    }

    /// What came from the server, message by message.
    fn hear(&mut self, flows: &mut Flows) -> Result<(), Ending> {
        let Some(lease) = &mut self.lease else { return Ok(()) };
        let (log, traffic, fatal) = (&self.voice, &mut self.traffic, &mut self.fatal_heard);
        let server = lease.server().core.id;
        let mut seen = |event: Event<'_>| match event {
            Event::Ready => traffic.answered(),
            Event::Error(error) => {
                *fatal |= error.is_fatal();
                log.server_error(server, &error);
            }
        };
        let core = &mut lease.server_mut().core;
        let heard = flows.down.examine(core, &mut seen);
        if self.home.route.rule().pool == PoolMode::Session && core.conversation.settled() {
            self.traffic.settled(machine::now());
        }
        heard.map_err(|nonsense| Ending::ServerLost(self.loss(nonsense.to_string())))
    }

    /// Transaction pooling: a server that owes nothing goes back before its last answer is written.
    fn release_if_done(&mut self, flows: &mut Flows) -> Result<(), Ending> {
        let through = flows.up.is_through() && flows.down.is_through();
        if !self.releases_between_transactions() || !through {
            return Ok(());
        }
        let Some(mut lease) = self.lease.take() else { return Ok(()) };
        let conversation = &mut lease.server_mut().core.conversation;
        if let Some(proof) = conversation.quiescent() {
            let now = machine::now();
            self.traffic.transaction_over(now, &self.home.tally);
            if !lease.server().core.dying {
                self.last = Some(lease.slot());
                lease.release(proof, now);
            }
            return Ok(());
        }
        if conversation.settled() {
            self.traffic.settled(machine::now());
            if conversation.in_doubt() && conversation.status() == TransactionStatus::Idle {
                settle_doubt(conversation, &mut flows.up)?;
            }
        }
        self.lease = Some(lease);
        Ok(())
    }

    /// A client that said goodbye is gone when nothing of what it asked for is left to do.
    fn said_goodbye(&self, flows: &Flows) -> Result<(), Ending> {
        let Some(lease) = &self.lease else { return Ok(()) };
        let conversation = &lease.server().core.conversation;
        let working = conversation.outstanding() > 0 && !conversation.in_copy_in();
        match flows.up.is_terminated() && !working && flows.up.passable().is_empty() {
            true => Err(Ending::Terminated),
            false => Ok(()),
        }
    }

    /// Waits for anything that lets one direction move.
    fn wait(&mut self, flows: &Flows) -> Result<(), Ending> {
        let mut client = match flows.up.is_terminated() {
            true => Interest::NONE,
            false if flows.up.has_room() && self.lease.is_some() => Interest::READ,
            false => Interest::HANGUP,
        };
        if !flows.down.passable().is_empty() {
            client = client | Interest::WRITE;
        }
        let woken = match &self.lease {
            None => {
                machine::wait_any(&[(&self.client, client)], Some(&self.notified), Deadline::NEVER)
            }
            Some(lease) => {
                let mut server = Interest::NONE;
                if flows.down.has_room() {
                    server = server | Interest::READ;
                }
                if !flows.up.passable().is_empty() {
                    server = server | Interest::WRITE;
                }
                let wants = [(&self.client, client), (&lease.server().stream, server)];
                machine::wait_any(&wants, Some(&self.notified), Deadline::NEVER)
            }
        };
        match woken? {
            Woken::Notified => {
                let _ = self.notified.take(); // what it means is looked up by `leave_if_told`
                Ok(())
            }
            _ if self.client_hung_up(flows) => Err(Ending::ClientGone),
            _ => Ok(()),
        }
    }

    /// The client is gone and we cannot learn it by reading, because we cannot read.
    fn client_hung_up(&self, flows: &Flows) -> bool {
        let reading = flows.up.has_room() && self.lease.is_some();
        !reading && !flows.up.is_terminated() && self.client.is_hung_up()
    }

    /// Asked to leave: at once unless a request or a transaction is open.
    fn leave_if_told(&self) -> Result<(), Ending> {
        let busy = self.lease.as_ref().is_some_and(|lease| {
            let conversation = &lease.server().core.conversation;
            conversation.quiescent().is_none()
        });
        match stop::is_told(&self.standing) && !busy {
            true => Err(Ending::ShuttingDown),
            false => Ok(()),
        }
    }

    /// The server does not take our bytes any more; what it said before it went is the client's.
    fn last_words(&mut self, flows: &mut Flows, reason: String) -> Ending {
        while let Some(lease) = &self.lease {
            if !flows.down.has_room() {
                break;
            }
            match flows.down.read(&lease.server().stream) {
                Ok(Progress::Done(_)) => {}
                Ok(Progress::Wait | Progress::End) | Err(_) => break,
            }
        }
        match self.hear(flows) {
            Ok(()) => Ending::ServerLost(self.loss(reason)),
            Err(ending) => ending,
        }
    }

    fn loss(&self, reason: String) -> ServerLoss {
        let server = self.lease.as_ref().map(|lease| lease.server().core.id);
        ServerLoss { server, reason, told: self.fatal_heard }
    }
}

/// After a COPY FROM STDIN that failed with a Sync behind it nobody can see whether one more
/// ReadyForQuery will come. An empty query of ours makes the server tell: what comes before its
/// answer is the client's.
fn settle_doubt(conversation: &mut Conversation, up: &mut Outflow) -> Result<(), Ending> {
    let mut probe = Vec::new();
    wire::encode::query(&mut probe, "");
    let leave = conversation.sent(tag::QUERY, Owner::Ours(Purpose::Probe));
    match leave.map_err(|error| Ending::Nonsense(error.into()))? {
        Sent::Forward => up.inject(&probe),
        Sent::Swallow | Sent::Full => {} // nothing is outstanding: neither can be
    }
    Ok(())
}
