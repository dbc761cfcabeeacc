//! Cancels: a connection of its own to the server, that server's key, and then patience until the
//! server closes it: only then is the signal delivered, and only then may the server serve another.

use std::io::ErrorKind;
use std::sync::Arc;

use machine::sync::shared::Permit;
use machine::{Deadline, Stream};
use router::{ClientId, ClientKey, SlotKey};

use super::secure::Spoken;
use super::{Home, Target};
use crate::id::Id;
use crate::log::Who;
use crate::session::Standing;
use crate::shared::Shared;

/// A client's CancelRequest: finds whose key it is and cancels that client's query, if a server is
/// working for it now. Nothing is answered, whatever happens: that is the protocol.
/// A client that is not here may be with the other process of an online restart.
pub fn forward(shared: &Arc<Shared>, key: ClientKey) {
    match shared.cancel_keys.find(key) {
        Some(standing) => deliver_to(shared, &standing),
        None => shared.kin.cancel(key),
    }
}

/// As [`forward`], for a client of this process only.
pub fn forward_here(shared: &Arc<Shared>, key: ClientKey) {
    if let Some(standing) = shared.cancel_keys.find(key) {
        deliver_to(shared, &standing);
    }
}

fn deliver_to(shared: &Shared, standing: &Standing) {
    let client = standing.client();
    match &standing.home {
        // A client has a server of one host at a time.
        Some(home) => home.family().for_each(|home| forward_to(shared, home, client)),
        None => standing.cancel(),
    }
}

fn forward_to(shared: &Shared, home: &Home, client: ClientId) {
    let Some(ticket) = home.route.with(|pool| pool.ask_cancel(client)) else { return };
    let permit = match permit(shared) {
        Ok(permit) => permit,
        Err(reason) => {
            home.route.with(|pool| pool.drop_cancel(ticket));
            return complain(shared, client, &reason);
        }
    };
    // None: the query ended while the cancel waited for its turn.
    let Some(target) = home.route.with(|pool| pool.send_cancel(ticket)) else { return };
    let mut flight = InFlight { home, slot: ticket.slot(), is_harmless: false };
    match deliver(shared, &target) {
        Ok(()) => flight.is_harmless = true,
        Err(failure) => {
            flight.is_harmless = !failure.sent;
            complain(shared, client, &failure.error);
        }
    }
    drop(flight); // others may send theirs when this one can hit nobody any more
    drop(permit);
}

fn complain(shared: &Shared, client: ClientId, reason: &str) {
    let client = Id::of_client(client.0);
    let text = format_args!("cancel of {client} not delivered: {reason}");
    shared.log.error("cancel", &Who::default(), text);
}

/// A cancel on its way; while there is one the server serves nobody else. Its end is told to the
/// pool whatever happens.
struct InFlight<'a> {
    home: &'a Home,
    slot: SlotKey,
    /// It was never sent, or the server closed its connection: the signal is where it belongs.
    is_harmless: bool,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let now = machine::now();
        let outcome = self.home.decide(|pool| {
            if !self.is_harmless {
                // It may arrive later, in another client's query: that server must go.
                let idle = pool.retire(self.slot);
                debug_assert!(idle.is_none(), "a server with a cancel in flight is not idle");
            }
            pool.cancel_done(self.slot, now)
        });
        if let Some(outcome) = outcome {
            self.home.settle(outcome);
        }
    }
}

/// Sends a cancel to a server nobody else will get, and waits until it has delivered it.
pub(super) fn send(home: &Home, target: &Target) -> Result<(), String> {
    let _permit = permit(&home.shared)?;
    deliver(&home.shared, target).map_err(|failure| failure.error)
}

/// One of `cancel_max_inflight`, within `cancel_queue_timeout_ms`.
fn permit(shared: &Shared) -> Result<Permit, String> {
    let patience = shared.config().global.cancel_queue_timeout;
    let permit = shared.cancels.acquire(patience.map_or(Deadline::NEVER, Deadline::after));
    permit.map_err(|error| format!("too many cancels in flight: {error}"))
}

/// Why a cancel was not delivered, and whether the server may have got it nevertheless.
struct Undelivered {
    error: String,
    sent: bool,
}

/// Within `cancel_timeout_ms`.
fn deliver(shared: &Shared, target: &Target) -> Result<(), Undelivered> {
    let deadline = shared.config().global.cancel_timeout.map_or(Deadline::NEVER, Deadline::after);
    let unsent = |error: String| Undelivered { error, sent: false };
    let mut stream = Stream::connect(&target.address, &shared.stream_options(), deadline)
        .map_err(|error| unsent(error.to_string()))?;
    if let Some(secured) = &target.secured {
        // The key of a server that is spoken to in secret is a secret.
        match secured.start(shared, &mut stream, deadline) {
            Ok(Spoken::Tls) => {}
            Ok(Spoken::Plain) => return Err(unsent("the server speaks no TLS any more".into())),
            Err(reason) => return Err(unsent(reason.to_string())),
        }
    }
    let mut bytes = Vec::new();
    wire::startup::cancel_request(&mut bytes, &target.key);
    let finished = finish(&stream, &bytes, deadline);
    finished.map_err(|error| Undelivered { error: error.to_string(), sent: true })
}

fn finish(stream: &Stream, bytes: &[u8], deadline: Deadline) -> Result<(), machine::Error> {
    stream.write_all(bytes, deadline)?;
    let mut nothing = [0; 16];
    loop {
        match stream.read(&mut nothing, deadline) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // A server that was told to cancel just goes, and says nothing of TLS either.
            Err(machine::Error::Io(error)) if error.kind() == ErrorKind::UnexpectedEof => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}
