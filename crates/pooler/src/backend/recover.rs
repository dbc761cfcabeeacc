//! Recovery: a server whose client is gone, brought back to a state in which nobody can tell that
//! there was one. What runs is cancelled, what is open is rolled back, what was set is discarded.
//! A server that cannot be brought back in time is closed; nothing is ever assumed.

use std::sync::Arc;
use std::time::Duration;

use machine::{Deadline, Interest, Progress};
use wire::conversation::{Owner, Purpose, Quiescent, Sent};
use wire::encode;
use wire::tag::frontend as tag;

use super::{Ear, Event, Home, Inflow, Lease, Server, Suspicion, cancel};
use crate::dialog::Patience;
use crate::log::Who;
use crate::turns::Turns;

/// What a client left in the pipes when it went.
pub struct Leftover {
    /// The server did not get all that the conversation counts as sent: it waits for the rest of a
    /// message that will never come.
    pub torn: bool,
    /// What the server sent and nobody has examined.
    pub inflow: Option<Inflow>,
}

impl Leftover {
    /// Nothing in the pipes.
    pub fn nothing() -> Self {
        Self { torn: false, inflow: None }
    }
}

/// Odyssey's list of resets that keep prepared statements.
const SMART_DISCARD: &str = "SET SESSION AUTHORIZATION DEFAULT;RESET ALL;CLOSE ALL;UNLISTEN *;\
     SELECT pg_advisory_unlock_all();DISCARD PLANS;DISCARD SEQUENCES;DISCARD TEMP";
/// Settings alone, whatever the rule says: none may reach another client.
const RESET_SETTINGS: &str = "SET SESSION AUTHORIZATION DEFAULT;RESET ALL";

/// Runs as a coroutine of its own; the client waits for nothing.
pub(super) fn run(mut lease: Lease, leftover: Leftover) {
    let home = Arc::clone(lease.home());
    let id = lease.server().core.id;
    let mut inflow = leftover.inflow.unwrap_or_else(|| Inflow::new(false));
    // What was the client's is nobody's now, and its buffer may be full of it.
    inflow.passed(inflow.passable().len());
    let mut rescue = Rescue { home: &home, inflow, turns: Turns::default() };
    match rescue.run(lease.server_mut(), leftover.torn) {
        Ok(proof) => lease.checkin(proof, machine::now()),
        Err(reason) => {
            let who = Who { server: Some(id), ..Who::default() };
            let message = format_args!("reset unsuccessful, closing server connection: {reason}");
            home.shared.log.info("reset", &who, message);
        }
    }
}

/// How long a cancel may take to show before another is sent.
const CANCEL_AGAIN: Duration = Duration::from_millis(100);

/// The last error the server reported.
struct Complaint(Option<String>);

impl Ear for Complaint {
    fn hear(&mut self, event: Event<'_>) {
        if let Event::Error(error, _) = event {
            self.0 = Some(super::inflow::words(&error));
        }
    }
}

struct Rescue<'a> {
    home: &'a Home,
    inflow: Inflow,
    turns: Turns,
}

impl Rescue<'_> {
    fn run(&mut self, server: &mut Server, torn: bool) -> Result<Quiescent, String> {
        let rule = self.home.route.rule();
        let running = server.core.conversation.outstanding() > 0;
        if torn || (running && !rule.pool_cancel) {
            // The server may be busy with what came before; closing alone would let it go on.
            if running && rule.pool_cancel {
                cancel::send(self.home, &server.core.target)?;
            }
            return Err("left in the middle of a request".into());
        }
        self.fail_copy(server)?;
        self.stop(server)?;
        self.close_batch(server)?;
        if server.core.conversation.in_doubt() {
            self.ask(server, "", Purpose::Probe)?;
        }
        if server.core.conversation.quiescent().is_none() {
            if !rule.pool_rollback {
                return Err("left in a transaction".into());
            }
            self.ask(server, "ROLLBACK", Purpose::Rollback)?;
        }
        server.core.holdings.abandoned();
        if !server.core.holdings.is_spotless() {
            self.discard(server)?;
        }
        if !self.inflow.is_through() {
            return Err("half a message behind its reset".into());
        }
        server.core.conversation.quiescent().ok_or_else(|| "not quiet after its reset".into())
    }

    /// A COPY that the client fed will get no more data.
    fn fail_copy(&mut self, server: &mut Server) -> Result<(), String> {
        if !server.core.conversation.in_copy_in() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        encode::copy_fail(&mut bytes, "client disconnected");
        self.request(server, tag::COPY_FAIL, Purpose::Reset, &bytes)
    }

    /// Cancels until nothing is owed: each cancel ends one request of a pipeline, and one that
    /// comes before the server has read the request is lost. Nobody else has this server, so
    /// sending another is safe.
    fn stop(&mut self, server: &mut Server) -> Result<(), String> {
        let deadline = self.deadline();
        if server.core.conversation.is_open() && server.core.conversation.outstanding() > 0 {
            // What was executed without a Sync may have been answered, into the server's own
            // buffer.
            let mut bytes = Vec::new();
            encode::flush(&mut bytes);
            self.request(server, tag::FLUSH, Purpose::Reset, &bytes)?;
        }
        let mut failure = String::from("timed out");
        while server.core.conversation.outstanding() > 0 {
            if deadline.is_past(machine::now()) {
                return Err(failure);
            }
            if let Err(reason) = cancel::send(self.home, &server.core.target) {
                failure = reason;
            }
            let again = Deadline::after(CANCEL_AGAIN).earliest(deadline);
            let wants = [(&server.stream, Interest::READ)];
            machine::wait_any(&wants, None, again).map_err(|error| error.to_string())?;
            while server.core.conversation.outstanding() > 0 && self.receive_ready(server)? {}
        }
        Ok(())
    }

    /// Ends a batch that never got its Sync. A Sync of ours would commit what the client executed,
    /// and PostgreSQL rolls back for a client that goes away: so do we. A simple ROLLBACK ends the
    /// implicit transaction (with a warning in the server's log). A batch that failed has rolled
    /// back already and needs the Sync.
    fn close_batch(&mut self, server: &mut Server) -> Result<(), String> {
        if server.core.conversation.is_skipping() {
            let mut bytes = Vec::new();
            encode::sync(&mut bytes);
            self.request(server, tag::SYNC, Purpose::Reset, &bytes)?;
            let deadline = self.deadline();
            while !server.core.conversation.settled() {
                self.receive(server, deadline)?;
            }
        }
        match server.core.conversation.is_open() {
            true => self.ask(server, "ROLLBACK", Purpose::Rollback),
            false => Ok(()),
        }
    }

    /// Removes what a client may have left, as the rule says; settings in any case.
    fn discard(&mut self, server: &mut Server) -> Result<(), String> {
        let rule = self.home.route.rule();
        let left = std::mem::take(&mut server.core.holdings.suspicion);
        if left.is_any() && rule.pool_discard {
            self.ask(server, "DISCARD ALL", Purpose::Reset)?;
            server.core.holdings.discarded();
        } else if left.has(Suspicion::STATEMENT) {
            self.ask(server, "DEALLOCATE ALL", Purpose::Reset)?;
            server.core.holdings.deallocated();
        }
        match &rule.pool_discard_query {
            Some(query) if left.is_any() => self.ask(server, query, Purpose::Reset)?,
            None if left.is_any() && rule.pool_smart_discard => {
                self.ask(server, SMART_DISCARD, Purpose::Reset)?;
                server.core.holdings.settings_reset();
            }
            _ => {}
        }
        let holdings = &server.core.holdings;
        if holdings.touched.any() || holdings.unclean {
            self.ask(server, RESET_SETTINGS, Purpose::Reset)?;
            server.core.holdings.settings_reset();
        }
        Ok(())
    }

    /// A simple query of ours, answered without an error.
    fn ask(&mut self, server: &mut Server, query: &str, purpose: Purpose) -> Result<(), String> {
        let mut bytes = Vec::new();
        encode::query(&mut bytes, query);
        server.core.holdings.unnamed = None; // a simple query drops it
        self.request(server, tag::QUERY, purpose, &bytes)?;
        let deadline = self.deadline();
        while !server.core.conversation.settled() {
            if let Some(error) = self.receive(server, deadline)? {
                return Err(format!("{query}: {error}"));
            }
        }
        Ok(())
    }

    /// Sends one message of ours, which the conversation hears of first.
    fn request(
        &mut self,
        server: &mut Server,
        message: u8,
        purpose: Purpose,
        bytes: &[u8],
    ) -> Result<(), String> {
        let leave = server.core.conversation.sent(message, Owner::Ours(purpose));
        match leave.map_err(|error| error.to_string())? {
            Sent::Forward => {
                let sent = server.stream.write_all(bytes, self.deadline());
                sent.map_err(|error| error.to_string())
            }
            Sent::Swallow | Sent::Void => Ok(()),
            Sent::Full => Err("too many answers due".into()),
        }
    }

    /// Waits for bytes and drops what was the client's. The error the server reported, if any.
    fn receive(
        &mut self,
        server: &mut Server,
        deadline: Deadline,
    ) -> Result<Option<String>, String> {
        loop {
            match self.inflow.read(&server.stream).map_err(|error| error.to_string())? {
                Progress::Done(_) => return self.examine(server),
                Progress::End => return Err("connection closed by the server".into()),
                Progress::Wait => Patience::until(deadline)
                    .wait(&server.stream, Interest::READ)
                    .map_err(|broken| broken.to_string())?,
            }
        }
    }

    /// As `receive` for what is there already; false when nothing is.
    fn receive_ready(&mut self, server: &mut Server) -> Result<bool, String> {
        match self.inflow.read(&server.stream).map_err(|error| error.to_string())? {
            Progress::Done(_) => self.examine(server).map(|_| true),
            Progress::End => Err("connection closed by the server".into()),
            Progress::Wait => Ok(false),
        }
    }

    fn examine(&mut self, server: &mut Server) -> Result<Option<String>, String> {
        self.turns.round();
        let mut complaint = Complaint(None);
        let examined = self.inflow.examine(&mut server.core, &mut complaint);
        examined.map_err(|error| error.to_string())?;
        self.inflow.passed(self.inflow.passable().len());
        Ok(complaint.0)
    }

    fn deadline(&self) -> Deadline {
        self.home.route.rule().pool_reset_timeout.map_or(Deadline::NEVER, Deadline::after)
    }
}
