//! Waiting for a server: until the pool grants one, the client leaves or its patience ends. What a
//! client is told meanwhile is said here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use machine::{Deadline, Interest, Progress, Stream, Woken};
use router::{Claim, GaveUp, Grant, Refusal, Ticket};
use wire::{Notice, Severity};

use super::home::{Checkout, Home, NoServer};
use super::{IdleServer, OpenFailure};

/// The rest of a notice of which a part was taken must follow, or the client reads nonsense.
const NOTICE_PATIENCE: Duration = Duration::from_secs(1);

/// A client in the queue of a pool.
pub(super) struct Waiting<'a> {
    pub home: &'a Arc<Home>,
    pub ask: &'a Checkout<'a>,
    pub ticket: Ticket,
    /// When it asked for a server.
    pub since: Instant,
}

impl Waiting<'_> {
    /// What the pool grants, before the client leaves and before `deadline`.
    ///
    /// While no server is open and none may be, the wait is only as long as one may take to
    /// connect: whoever had his turn could not open one either.
    pub fn run(
        self,
        deadline: Deadline,
        mut notice: Option<Instant>,
    ) -> Result<Grant<IdleServer>, NoServer> {
        let connect = || self.home.shared.config().global.backend_connect_timeout;
        let mut told = false;
        // Nearly always a server is open, and a wait that sets no timer is a cheap one.
        let hopeless = self.home.route.with(|pool| pool.is_hopeless());
        let mut look = hopeless.then(|| self.since + connect());
        loop {
            let next = [notice, look].into_iter().flatten().min();
            let woken = self.wait(next.map_or(Deadline::NEVER, Deadline::at).earliest(deadline));
            if matches!(woken, Ok(Woken::Notified)) {
                let _ = self.ask.notified.take();
                match self.home.route.with(|pool| pool.claim(self.ticket)) {
                    Claim::Granted(grant) => return Ok(self.granted(grant, told)),
                    Claim::Pending | Claim::Stale if self.is_killed() => {
                        return self.leave(woken, machine::now(), told);
                    }
                    // Rung for another reason, a stop perhaps: who waits is inside a request.
                    Claim::Pending | Claim::Stale => continue,
                }
            }
            let now = machine::now();
            if !matches!(woken, Ok(Woken::TimedOut)) || deadline.is_past(now) {
                return self.leave(woken, now, told);
            }
            if notice.take_if(|at| *at <= now).is_some() {
                told = self.tell("waiting for free backend connection");
            }
            if look.is_some_and(|at| at <= now) {
                if self.home.route.with(|pool| pool.is_hopeless()) {
                    return self.give_up_hope(now);
                }
                look = Some(now + connect());
            }
        }
    }

    fn is_killed(&self) -> bool {
        self.ask.standing.is_some_and(|standing| standing.is_killed())
    }

    fn wait(&self, deadline: Deadline) -> Result<Woken, machine::Error> {
        let notified = Some(self.ask.notified);
        match self.ask.client {
            Some(client) => machine::wait_any(&[(client, Interest::HANGUP)], notified, deadline),
            None => machine::wait_any(&[], notified, deadline),
        }
    }

    fn granted(&self, grant: Grant<IdleServer>, told: bool) -> Grant<IdleServer> {
        if told {
            let ms = self.since.elapsed().as_millis();
            self.tell(&format!("waiting took {ms} ms"));
        }
        grant
    }

    fn give_up_hope(&self, now: Instant) -> Result<Grant<IdleServer>, NoServer> {
        match self.home.decide(|pool| pool.give_up(self.ticket, now)) {
            GaveUp::Granted(grant) => Ok(grant),
            GaveUp::Left | GaveUp::Stale => Err(NoServer::Open(OpenFailure::hopeless())),
        }
    }

    /// The wait is over without an answer: out of the queue.
    fn leave(
        &self,
        woken: Result<Woken, machine::Error>,
        now: Instant,
        told: bool,
    ) -> Result<Grant<IdleServer>, NoServer> {
        let timed_out = matches!(woken, Ok(Woken::TimedOut));
        let (gave_up, census) =
            self.home.decide(|pool| (pool.give_up(self.ticket, now), pool.census()));
        match gave_up {
            // Granted at the last moment: a client that is still there takes it.
            GaveUp::Granted(grant) if timed_out => return Ok(self.granted(grant, told)),
            GaveUp::Granted(grant) => self.home.refund(grant),
            GaveUp::Left | GaveUp::Stale => {}
        }
        let waited = now.duration_since(self.since);
        if timed_out && told {
            self.tell(&format!("waiting took {} ms, timeout", waited.as_millis()));
        }
        let (size, census) = (self.home.route.rule().pool_size, Box::new(census));
        Err(match woken {
            Ok(Woken::TimedOut) => NoServer::Refused(Refusal::PoolTimeout { size, waited, census }),
            Ok(Woken::Notified) => NoServer::Killed,
            Ok(_) => NoServer::ClientGone,
            Err(error) => NoServer::Failed(error),
        })
    }

    fn tell(&self, text: &str) -> bool {
        self.ask.client.is_some_and(|client| tell(client, text))
    }
}

/// A NOTICE, unless the client takes nothing now; true if it was sent. Its server, when it comes,
/// does not wait for a client that reads slowly.
pub(super) fn tell(client: &Stream, text: &str) -> bool {
    let mut bytes = Vec::new();
    wire::encode::notice(&mut bytes, &Notice::new(Severity::Notice, "00000", text));
    match client.try_write(&bytes) {
        Ok(Progress::Done(sent)) if sent == bytes.len() => true,
        Ok(Progress::Done(sent)) => finish(client, &bytes[sent..]),
        Ok(Progress::Wait | Progress::End) | Err(_) => false,
    }
}

/// Sends what is left of a message. A client that does not take it gets nothing more: it could not
/// tell where the next message begins.
fn finish(client: &Stream, rest: &[u8]) -> bool {
    let sent = client.write_all(rest, Deadline::after(NOTICE_PATIENCE)).is_ok();
    if !sent {
        let _ = client.shutdown_write();
    }
    sent
}
