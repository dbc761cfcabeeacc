//! Cancels: what is to be cancelled, and what a cancel in flight means for its server. One that is
//! not sent yet harms nobody, so only those on their way keep a server from its next client.

use std::time::Instant;

use super::{Checkin, ClientId, Pool};
use crate::slot::{Place, SlotKey, State};

/// A cancel that waits for its turn to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a cancel that was asked for is sent or dropped"]
pub struct CancelTicket {
    slot: SlotKey,
    number: u64,
}

impl CancelTicket {
    /// The server it is for.
    pub fn slot(self) -> SlotKey {
        self.slot
    }
}

impl<S, W, C: Clone> Pool<S, W, C> {
    /// Somebody cancels what `client` runs: a ticket, if that client holds a server now and no
    /// cancel for it waits for its turn already, which will do for this one too. Then
    /// [`Pool::send_cancel`] or [`Pool::drop_cancel`].
    pub fn ask_cancel(&mut self, client: ClientId) -> Option<CancelTicket> {
        // A scan: a cancel costs a connection to the server, beside which this is nothing.
        let held = |index: &u32| {
            let place = self.slots.get(*index).place();
            place.state() == Some(State::Leased) && place.holder() == Some(client)
        };
        let index = self.slots.taken().find(held)?;
        self.counters.cancels += 1;
        let number = self.counters.cancels;
        let slot = self.slots.get_mut(index);
        if slot.queued_cancel.is_some() {
            self.counters.cancels_merged += 1;
            return None;
        }
        slot.queued_cancel = Some(number);
        Some(CancelTicket { slot: self.slots.key(index), number })
    }

    /// Its turn has come: what the canceller needs, unless the server left that client meanwhile.
    /// Until [`Pool::cancel_done`] the server is handed to nobody else.
    pub fn send_cancel(&mut self, ticket: CancelTicket) -> Option<C> {
        let index = self.slots.live(ticket.slot)?;
        let slot = self.slots.get_mut(index);
        slot.queued_cancel.take_if(|number| *number == ticket.number)?;
        let target = slot.cancel.clone()?;
        slot.cancels += 1;
        Some(target)
    }

    /// Its turn did not come in time; it is not sent.
    pub fn drop_cancel(&mut self, ticket: CancelTicket) {
        if let Some(index) = self.slots.live(ticket.slot) {
            self.slots.get_mut(index).queued_cancel.take_if(|number| *number == ticket.number);
        }
    }

    /// The connection of a cancel has ended, so it can hit nothing any more. Returns what became
    /// of the server if it was quarantined for this cancel only.
    pub fn cancel_done(&mut self, slot: SlotKey, now: Instant) -> Option<Checkin<S, W>> {
        let index = self.slots.live(slot)?;
        let slot = self.slots.get_mut(index);
        debug_assert!(slot.cancels > 0, "a cancel that is done was begun");
        slot.cancels = slot.cancels.saturating_sub(1);
        if slot.cancels > 0 {
            return None;
        }
        let &Place::Quarantined { home, .. } = slot.place() else { return None };
        let server = self.examine(index);
        Some(self.settle(index, server, home, now))
    }
}
