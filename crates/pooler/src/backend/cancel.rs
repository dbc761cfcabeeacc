//! Cancels: a connection of its own to the server, that server's key, and then patience until the
//! server closes it: only then is the signal delivered, and only then may the server serve another.

use std::sync::Arc;

use machine::{Deadline, Stream};
use router::{ClientKey, SlotKey};

use super::{Home, Target};
use crate::log::Who;
use crate::shared::Shared;

/// A client's CancelRequest: finds whose key it is and cancels that client's query, if a server is
/// working for it now. Nothing is answered, whatever happens: that is the protocol.
pub fn forward(shared: &Arc<Shared>, key: ClientKey) {
    let Some((home, client)) = shared.cancel_keys.find(key) else { return };
    let Some((slot, target)) = home.route.with(|pool| pool.begin_cancel(client)) else { return };
    let mut flight = InFlight { home: &home, slot, delivered: false };
    match send(&home, &target) {
        Ok(()) => flight.delivered = true,
        Err(reason) => {
            let text = format_args!("cancel of {client:?} not delivered: {reason}");
            shared.log.error("cancel", &Who::default(), text);
        }
    }
}

/// A cancel on its way; while there is one the server serves nobody else. Its end is told to the
/// pool whatever happens.
struct InFlight<'a> {
    home: &'a Home,
    slot: SlotKey,
    /// The server closed the cancel's connection: the signal is where it belongs.
    delivered: bool,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let now = machine::now();
        let outcome = self.home.decide(|pool| {
            if !self.delivered {
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

/// Sends a cancel and waits until the server has delivered it.
pub(super) fn send(home: &Home, target: &Target) -> Result<(), String> {
    let global = &home.shared.config.global;
    let _permit = home
        .shared
        .cancels
        .acquire(global.cancel_queue_timeout)
        .map_err(|error| format!("too many cancels in flight: {error}"))?;
    let deadline = global.cancel_timeout.map_or(Deadline::NEVER, Deadline::after);
    deliver(&home.shared, target, deadline).map_err(|error| error.to_string())
}

fn deliver(shared: &Shared, target: &Target, deadline: Deadline) -> Result<(), machine::Error> {
    let stream = Stream::connect(&target.address, &shared.stream_options(), deadline)?;
    let mut bytes = Vec::new();
    wire::startup::cancel_request(&mut bytes, &target.key);
    stream.write_all(&bytes, deadline)?;
    let mut nothing = [0; 16];
    while stream.read(&mut nothing, deadline)? > 0 {}
    Ok(())
}
