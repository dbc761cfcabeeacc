//! Settling: what happens when everything a client asked for is answered. A transaction that is
//! over leaves settings, which go with the client, and may leave more, which only its server has.
//! What cannot be known from what passed by is asked, and the client waits for none of it.

use config::SessionState;
use wire::backend::TransactionStatus;
use wire::conversation::{Owner, Purpose, Sent};
use wire::encode;
use wire::tag::frontend as tag;

use super::relay::Flows;
use super::{Session, preamble};
use crate::backend::{Asking, Core, Refusal, Suspicion};
use crate::ending::Ending;
use crate::nonsense::Nonsense;

/// A message of ours about the state of a server, before it is written.
type Message = (u8, Purpose, fn(&mut Vec<u8>));

/// An inquiry that was not answered so often will not be.
const TRIES: u32 = 3;

const SYNC: Message = (tag::SYNC, Purpose::Preamble, encode::sync);
const SYNC_QUERY: Message = (tag::SYNC, Purpose::Excuse, encode::sync);
const ROLLBACK: Message = (tag::QUERY, Purpose::Excuse, |out| encode::query(out, "ROLLBACK"));
const PROBE: Message = (tag::QUERY, Purpose::Probe, |out| encode::query(out, ""));

impl Session {
    /// Gives the server back if nothing is left to do with it. That is before the last answer is
    /// written: whoever waits for the server need not wait for this client.
    pub(super) fn release_if_done(&mut self, flows: &mut Flows) -> Result<(), Ending> {
        if !(flows.up.is_through() && flows.down.is_through()) {
            return Ok(());
        }
        let Some(lease) = &mut self.lease else { return Ok(()) };
        let core = &mut lease.server_mut().core;
        if let Some(message) = next_of_refusal(core, flows) {
            return Ok(say(core, flows, message)?);
        }
        if !core.conversation.settled() {
            return Ok(());
        }
        let Some(proof) = core.conversation.quiescent() else {
            return self.settle_open(flows);
        };
        let keeps = self.settle_idle(flows)? || self.keeps_server();
        let (now, said) = (machine::now(), &mut self.own.said);
        let us = self.traffic.transaction_over(now, said, &self.home.tally);
        self.voice.query_time(us);
        if keeps {
            return Ok(());
        }
        let Some(lease) = self.lease.take() else { return Ok(()) };
        if !lease.server().core.dying {
            self.last = Some(lease.place());
            lease.release(proof, now);
        }
        Ok(())
    }

    /// Everything is answered, and a transaction is open or a doubt is left.
    fn settle_open(&mut self, flows: &mut Flows) -> Result<(), Ending> {
        let us = self.traffic.settled(machine::now(), &mut self.own.said, &self.home.tally);
        self.voice.query_time(us);
        let Some(lease) = &mut self.lease else { return Ok(()) };
        let core = &mut lease.server_mut().core;
        let status = core.conversation.status();
        if core.conversation.in_doubt() && status == TransactionStatus::Idle {
            // After a COPY FROM STDIN that failed with a Sync behind it nobody can see whether one
            // more ReadyForQuery will come. An empty query of ours makes the server tell: what
            // comes before its answer is the client's.
            return Ok(say(core, flows, PROBE)?);
        }
        match self.own.manner.single && status != TransactionStatus::Idle {
            true => Err(Ending::TransactionRefused),
            false => Ok(()),
        }
    }

    /// No transaction is open: what did the last one change? True while that is being found out.
    fn settle_idle(&mut self, flows: &mut Flows) -> Result<bool, Ending> {
        let Some(lease) = &mut self.lease else { return Ok(false) };
        let core = &mut lease.server_mut().core;
        if core.holdings.asking != Asking::No {
            let answer = std::mem::replace(&mut core.holdings.asking, Asking::No);
            self.learn(answer == Asking::Yes)?;
        }
        // Since the question was asked the client may have changed more.
        if !self.has_to_ask() {
            return Ok(false);
        }
        let Some(lease) = &mut self.lease else { return Ok(false) };
        let core = &mut lease.server_mut().core;
        if core.dying {
            // It takes along what only it knows. Its client goes with it, and has its answers
            // first.
            return Ok(true);
        }
        let inquiry = preamble::inquiry(core, &self.own)?;
        flows.up.inject(&inquiry);
        Ok(true)
    }

    /// May the client have changed something that only its server knows?
    fn has_to_ask(&mut self) -> bool {
        let Some(lease) = &mut self.lease else { return false };
        let (core, own) = (&mut lease.server_mut().core, &self.own);
        let holdings = &mut core.holdings;
        holdings.forget_refused();
        if !own.manner.releases || own.overloaded {
            // Its server is its own, but a RESET leads to what the client came with.
            let asks = holdings.touched.any_reset() && own.has_startup() && own.manner.deploys;
            if !asks {
                holdings.touched.clear();
            }
            holdings.suspicion = Suspicion::NONE;
            return asks;
        }
        let settings = own.manner.deploys && holdings.touched.any();
        settings || own.manner.asks_about(holdings.suspicion)
    }

    /// What the server said to an inquiry, or that it said nothing.
    fn learn(&mut self, answered: bool) -> Result<(), Ending> {
        let Some(lease) = &mut self.lease else { return Ok(()) };
        let core = &mut lease.server_mut().core;
        if !answered {
            self.own.unanswered += 1;
            if self.own.unanswered < TRIES {
                // A cancel of the client's, a time-out: it was not meant for us.
                let asked = std::mem::take(&mut core.holdings.asked);
                core.holdings.touched.ask_again(asked);
                core.holdings.suspicion.add(Suspicion::UNKNOWN);
                return Ok(());
            }
            // Nothing is known, so nothing may leave the server. It is cleaned when the client
            // goes.
            core.holdings.asked.clear();
            core.holdings.touched.clear();
            core.holdings.suspicion = Suspicion::NONE;
            self.pin("settings that the server does not tell".into());
            return Ok(());
        }
        let left = preamble::left(core);
        let user = self.home.route.key().user.as_str();
        if self.own.learn(core, user, &self.voice).is_err() {
            return self.overload();
        }
        self.standing.wants(&self.own.wanted);
        // What the client has done since the question was asked is asked about next.
        let outdated = self.own.manner.asks_about(core.holdings.suspicion);
        match left {
            None => Ok(()),
            Some(left) if left.is_empty() && outdated => Ok(()),
            Some(left) if left.is_empty() => {
                self.own.unpin();
                Ok(())
            }
            Some(left) => match self.own.manner.verdict(&left) {
                SessionState::Pin => {
                    self.pin(left);
                    Ok(())
                }
                SessionState::Reset => {
                    core.holdings.suspicion.add(Suspicion::CERTAIN);
                    self.own.unpin();
                    Ok(())
                }
                SessionState::Error => {
                    core.holdings.suspicion.add(Suspicion::UNKNOWN);
                    Err(Ending::LeftBehind(left))
                }
            },
        }
    }

    /// The client has set more than can be carried: it keeps its server until it leaves.
    fn overload(&mut self) -> Result<(), Ending> {
        const WHAT: &str = "more settings than can be carried";
        if self.own.manner.releases && self.own.manner.state != SessionState::Pin {
            if let Some(lease) = &mut self.lease {
                let holdings = &mut lease.server_mut().core.holdings;
                holdings.suspicion.add(Suspicion::UNKNOWN);
                holdings.touched.touch_all();
            }
            return Err(Ending::LeftBehind(WHAT.into()));
        }
        self.own.overloaded = true;
        self.pin(WHAT.into());
        Ok(())
    }

    /// The client keeps its server.
    fn pin(&mut self, left: String) {
        if self.own.pinned.as_deref() != Some(&left) {
            self.home.tally.pinned();
            if let Some(lease) = &self.lease {
                let server = lease.server().core.id;
                self.voice.session("pin", format_args!("pinned to server {server}: {left}"));
            }
        }
        self.own.pinned = Some(left.into());
    }

    pub(super) fn keeps_server(&self) -> bool {
        !self.own.manner.releases || self.own.pinned.is_some()
    }
}

/// What is to be said next when a server refused a preamble: the client has its error; its request
/// is skipped, and it may go on when what the preamble began is rolled back.
fn next_of_refusal(core: &mut Core, flows: &Flows) -> Option<Message> {
    match core.holdings.refusal {
        // A batch brings its Sync; a simple query, behind which nothing more passes, brings none.
        Refusal::Skipping if core.conversation.is_skipping() => {
            flows.up.is_holding().then_some(SYNC)
        }
        Refusal::Query if core.conversation.is_skipping() => {
            flows.up.is_holding().then_some(SYNC_QUERY)
        }
        Refusal::Synced => {
            core.holdings.refusal = Refusal::Excused;
            Some(ROLLBACK)
        }
        _ => None,
    }
}

fn say(core: &mut Core, flows: &mut Flows, message: Message) -> Result<(), Nonsense> {
    let (tag, purpose, encode) = message;
    let sent = core.conversation.sent(tag, Owner::Ours(purpose))?;
    debug_assert_eq!(sent, Sent::Forward, "next to nothing is outstanding");
    if tag == self::tag::QUERY {
        core.holdings.unnamed = None; // a simple query drops it
    }
    let mut bytes = Vec::new();
    encode(&mut bytes);
    flows.up.inject(&bytes);
    Ok(())
}
