//! The relay: a client and its server, both directions at once. Each direction has one bounded
//! buffer; the relay never waits for one direction while the other could move. It ends when the
//! server has been given back and the client has got all that was its own.

use std::sync::Arc;

use machine::{Interest, Progress, Woken};
use wire::backend::TransactionStatus;

use super::belongings::Belongings;
use super::idle::Idleness;
use super::outflow::Outflow;
use super::{Account, Session, Voice};
use crate::backend::{Ear, Event, Holdings, Inflow, Lease, Server};
use crate::ending::{Ending, ServerLoss};
use crate::id::Id;
use crate::tally::Traffic;
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
    /// Relays until nothing is outstanding: the server was given back, or is kept while its client
    /// says nothing. Or until one of the two goes.
    pub(super) fn relay(&mut self, flows: &mut Flows) -> Result<(), Ending> {
        let mut turns = Turns::default();
        loop {
            turns.round();
            if flows.up.take_rest() {
                machine::yield_now();
            }
            if self.standing.is_killed() {
                return Err(Ending::Killed);
            }
            self.listen_to_client(flows)?;
            self.tell_server(flows)?;
            let mut heard = self.listen_to_server(flows)?;
            heard |= self.answer_in_between(flows);
            self.release_if_done(flows)?;
            self.tell_client(flows)?;
            if self.lease.is_none() && flows.down.passable().is_empty() {
                self.traffic.told(&self.home.tally);
                return self.said_goodbye(flows);
            }
            // What was heard may let more of the client pass.
            if !(heard || flows.up.rests() || self.can_go_on(flows)) {
                self.said_goodbye(flows)?;
                self.heed()?;
                if self.has_nothing_to_do(flows) {
                    self.traffic.told(&self.home.tally);
                    return self.rest(flows);
                }
                self.wait(flows)?;
            }
        }
    }

    /// Could a direction move at once?
    fn can_go_on(&self, flows: &Flows) -> bool {
        let Flows { up, down, .. } = flows;
        let client = &self.client;
        if (client.is_writable() || up.is_terminated()) && !down.passable().is_empty() {
            return true;
        }
        let Some(lease) = &self.lease else { return false };
        let server = &lease.server().stream;
        (client.is_readable() && up.has_room() && !up.is_terminated())
            || (server.is_writable() && !up.passable().is_empty())
            || (server.is_readable() && down.has_room())
    }

    /// Client → buffer, and leave to go on for each message.
    fn listen_to_client(&mut self, flows: &mut Flows) -> Result<(), Ending> {
        let Some(lease) = &mut self.lease else { return Ok(()) };
        let mut moved = false;
        // Before reading on: a goodbye that is here already makes what follows it, an end of
        // stream mostly, nobody's business. And answers may have made room in the conversation.
        flows.up.examine(&mut lease.server_mut().core, &mut self.own, &self.voice)?;
        if self.client.is_readable() && flows.up.has_room() && !flows.up.is_terminated() {
            match flows.up.read(&self.client).map_err(|_| Ending::ClientGone)? {
                Progress::Done(bytes) => {
                    self.traffic.received(bytes);
                    moved = true;
                }
                Progress::Wait => {}
                Progress::End => return Err(Ending::ClientGone),
            }
        }
        if moved {
            flows.up.examine(&mut lease.server_mut().core, &mut self.own, &self.voice)?;
            self.traffic.asked();
            self.idle = Idleness::default();
        }
        Ok(())
    }

    /// Buffer → server, one write.
    fn tell_server(&mut self, flows: &mut Flows) -> Result<(), Ending> {
        let Some(lease) = &mut self.lease else { return Ok(()) };
        if flows.up.passable().is_empty() || !lease.server().stream.is_writable() {
            return Ok(());
        }
        match lease.server().stream.try_write(flows.up.passable()) {
            Ok(Progress::Done(bytes)) => {
                flows.up.passed(bytes);
                Ok(())
            }
            Ok(Progress::Wait) => Ok(()),
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
    fn tell_client(&mut self, flows: &mut Flows) -> Result<(), Ending> {
        let bytes = flows.down.passable().len();
        if bytes == 0 {
            return Ok(());
        }
        if flows.up.is_terminated() {
            // It will not read any more, but what it asked for is done to the end, unless that is
            // a long answer to nobody: PostgreSQL stops at the first write that fails.
            flows.down.passed(bytes);
            flows.unread += bytes;
            return if flows.unread > UNREAD_BYTES_MAX { Err(Ending::Terminated) } else { Ok(()) };
        }
        if !self.client.is_writable() {
            return Ok(());
        }
        match self.client.try_write(flows.down.passable()) {
            Ok(Progress::Done(bytes)) => {
                self.traffic.sent(bytes);
                flows.down.passed(bytes);
                Ok(())
            }
            Ok(Progress::Wait) => Ok(()),
            Ok(Progress::End) | Err(_) => Err(Ending::ClientGone),
        }
    }

    /// What came from the server, message by message.
    fn hear(&mut self, flows: &mut Flows) -> Result<(), Ending> {
        let Some(lease) = &mut self.lease else { return Ok(()) };
        let core = &mut lease.server_mut().core;
        let mut ear = Hearing {
            voice: &self.voice,
            traffic: &mut self.traffic,
            own: &mut self.own,
            fatal: &mut self.fatal_heard,
            server: core.id,
        };
        let heard = flows.down.examine(core, &mut ear);
        heard.map_err(|nonsense| Ending::ServerLost(self.loss(nonsense.to_string())))
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
        let patience = self.patience(flows);
        let mut client = match flows.up.is_terminated() {
            true => Interest::NONE,
            false if flows.up.has_room() && self.lease.is_some() => Interest::READ,
            false => Interest::HANGUP,
        };
        if !flows.down.passable().is_empty() {
            client = client | Interest::WRITE;
        }
        let woken = match &self.lease {
            None => machine::wait_any(&[(&self.client, client)], Some(&self.notified), patience),
            Some(lease) => {
                let mut server = Interest::NONE;
                if flows.down.has_room() {
                    server = server | Interest::READ;
                }
                if !flows.up.passable().is_empty() {
                    server = server | Interest::WRITE;
                }
                let wants = [(&self.client, client), (&lease.server().stream, server)];
                machine::wait_any(&wants, Some(&self.notified), patience)
            }
        };
        match woken? {
            Woken::Notified => {
                let _ = self.notified.take(); // what it means is looked up by `heed`
                Ok(())
            }
            Woken::TimedOut => Err(self.idled()),
            _ if self.client_hung_up(flows) => Err(Ending::ClientGone),
            _ => Ok(()),
        }
    }

    /// The client is gone and we cannot learn it by reading, because we cannot read.
    fn client_hung_up(&self, flows: &Flows) -> bool {
        let reading = flows.up.has_room() && self.lease.is_some();
        !reading && !flows.up.is_terminated() && self.client.is_hung_up()
    }

    /// Does what it was asked for: to leave waits for the end of a request or a transaction.
    pub(super) fn heed(&self) -> Result<(), Ending> {
        let asked = self.standing.asked();
        if !asked.is_any() {
            return Ok(());
        }
        if asked.tells() {
            self.standing.give_account(self.account());
        }
        let conversation = |lease: &Lease| lease.server().core.conversation.quiescent();
        let is_busy = self.lease.as_ref().is_some_and(|lease| conversation(lease).is_none());
        match () {
            () if asked.dies() => Err(Ending::Killed),
            () if is_busy => Ok(()),
            () if asked.leaves() && !self.voice.shared().kin.is_in_doubt() => {
                Err(self.voice.told_to_leave())
            }
            () if asked.yields() && self.lease.is_some() => Err(Ending::Paused),
            () => Ok(()),
        }
    }

    /// What it does just now.
    fn account(&self) -> Account {
        let core = self.lease.as_ref().map(|lease| &lease.server().core);
        let state = match core.map(|core| (core.conversation.settled(), core.conversation.status()))
        {
            None | Some((true, TransactionStatus::Idle)) => "idle",
            Some((false, _)) => "active",
            Some((true, TransactionStatus::InTransaction)) => "idle in transaction",
            Some((true, TransactionStatus::Failed)) => "idle in transaction (aborted)",
        };
        Account {
            state,
            last_command: core.map(|core| core.holdings.last_command()).unwrap_or_default(),
            pinned: self.own.pinned.clone(),
            prepared: core
                .map(|core| core.holdings.prepared.iter().cloned().collect())
                .unwrap_or_default(),
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

    /// A client that keeps its server, and has said nothing more: it can be parked.
    fn has_nothing_to_do(&self, flows: &Flows) -> bool {
        let Some(lease) = &self.lease else { return false };
        let Server { stream, core } = lease.server();
        flows.up.is_empty()
            && flows.down.is_empty()
            && flows.up.is_through()
            && flows.down.is_through()
            && core.conversation.settled()
            && !core.conversation.in_doubt()
            && !(self.client.is_readable() || stream.is_readable())
    }

    pub(super) fn loss(&self, reason: String) -> ServerLoss {
        let server = self.lease.as_ref().map(|lease| lease.server().core.id);
        ServerLoss { server, reason, told: self.fatal_heard }
    }
}

/// The session as it hears what comes from its server.
struct Hearing<'a> {
    voice: &'a Voice,
    traffic: &'a mut Traffic,
    own: &'a mut Belongings,
    fatal: &'a mut bool,
    server: Id,
}

impl Ear for Hearing<'_> {
    fn hear(&mut self, event: Event<'_>) {
        match event {
            Event::Ready => self.traffic.answered(),
            Event::Error(error, passes) => {
                *self.fatal |= passes && error.is_fatal();
                if passes {
                    self.traffic.failed();
                    self.voice.forwards_error(&error);
                }
                self.voice.server_error(self.server, &error);
            }
            Event::Discarded(pending) => self.own.discarded(pending),
            Event::DeallocatedOne(name, statement) => {
                self.own.deallocated_one(&name, &statement);
            }
            Event::Deallocated(pending) => self.own.deallocated(pending),
            Event::Lost(op) => self.own.lost(op),
            Event::Failed(op) => self.own.failed(op),
            Event::Stale(name) => self.own.heal(name, self.voice.statements()),
        }
    }

    fn name_of<'a>(&'a self, number: u64, spoken: Option<&'a [u8]>) -> Option<&'a [u8]> {
        self.own.name_of(number, spoken)
    }

    fn news(&mut self, holdings: &mut Holdings) -> Option<Vec<u8>> {
        let differs = !Arc::ptr_eq(&holdings.settings, &self.own.wanted);
        if (differs || holdings.touched.any_reset())
            && let Some(seen) = self.own.seen_by_client(holdings)
        {
            return Some(self.own.tell(&self.voice.intern_report(Arc::new(seen))));
        }
        if Arc::ptr_eq(&holdings.reported, &self.own.told) {
            return None;
        }
        holdings.reported = self.voice.intern_report(Arc::clone(&holdings.reported));
        Some(self.own.tell(&holdings.reported))
    }
}
