//! The inflow: bytes from a server, cut into messages as they pass. The conversation hears of each
//! message; bodies are not copied and only three kinds are looked into. Answers that are ours are
//! cut out, what remains may pass to the client.

use machine::{Buffer, Progress, Stream};
use wire::conversation::Owner;
use wire::frame::{self, HEADER_BYTES, Header, Side};
use wire::tag::backend as tag;

use super::Core;
use crate::nonsense::Nonsense;

/// Messages that are looked into must fit; longer ones (an error with a huge DETAIL) pass unseen.
const SEEN_BYTES_MAX: usize = 64 * 1024;

/// What was seen in passing.
pub enum Event<'a> {
    /// The server reports an error.
    Error(wire::NoticeView<'a>),
    /// A request of the client is answered in full.
    Ready,
}

/// A server's error in one line.
pub(super) fn words(error: &wire::NoticeView<'_>) -> String {
    format!("{} {} {}", error.severity(), error.code(), error.message())
}

/// Bytes on their way from a server.
pub struct Inflow {
    buffer: Buffer,
    /// Bytes at the front that were examined and may pass.
    examined: usize,
    /// Bytes of the current message's body that have not been examined yet.
    body_left: usize,
    /// The current message is not for the client: its bytes are cut out.
    cutting: bool,
    /// An error of a server that owes nothing is for the client too: the server is its own.
    farewell_passes: bool,
}

impl Inflow {
    /// Nothing has come. A server that is terminated between two transactions says so to whoever
    /// is there: that concerns a client who owns its server (`farewell_passes`), and not one who
    /// gets another server for its next transaction.
    pub fn new(farewell_passes: bool) -> Self {
        let buffer = Buffer::lease();
        Self { buffer, examined: 0, body_left: 0, cutting: false, farewell_passes }
    }

    /// Is there room for more?
    pub fn has_room(&self) -> bool {
        self.buffer.len() < self.buffer.capacity()
    }

    /// Reads what the server sent, without waiting.
    ///
    /// # Errors
    /// The socket failed.
    pub fn read(&mut self, stream: &Stream) -> Result<Progress, machine::Error> {
        stream.try_read_into(&mut self.buffer)
    }

    /// What may pass to the client.
    pub fn passable(&self) -> &[u8] {
        &self.buffer.data()[..self.examined]
    }

    /// The first `bytes` of it have passed (or are not wanted).
    pub fn passed(&mut self, bytes: usize) {
        self.buffer.consume(bytes);
        self.examined -= bytes;
    }

    /// Every byte that came was examined, and no message is half here.
    pub fn is_through(&self) -> bool {
        self.examined == self.buffer.len() && self.body_left == 0
    }

    /// What may pass ends at the end of a message: only then may one of ours follow it.
    pub fn ends_at_boundary(&self) -> bool {
        self.body_left == 0 || self.cutting
    }

    /// Examines what has come. Each message moves the conversation.
    ///
    /// # Errors
    /// The server broke the format or the order; it must not be used any more.
    pub fn examine(
        &mut self,
        core: &mut Core,
        seen: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Nonsense> {
        loop {
            self.take_body();
            let rest = &self.buffer.data()[self.examined..];
            if self.body_left > 0 {
                return Ok(());
            }
            let Some(header) = frame::header(Side::Backend, rest)? else { return Ok(()) };
            let body = rest.get(HEADER_BYTES..header.frame_bytes());
            if body.is_none() && must_be_whole(&header) {
                self.buffer.reserve(self.examined + header.frame_bytes());
                return Ok(());
            }
            let unasked =
                header.tag == tag::ERROR_RESPONSE && core.conversation.quiescent().is_some();
            core.dying |= unasked;
            let owner = hear(core, &header, body, seen)?;
            self.cutting = matches!(owner, Owner::Ours(_)) || (unasked && !self.farewell_passes);
            self.body_left = header.frame_bytes();
        }
    }

    /// Lets the present bytes of the current message pass, or cuts them out.
    fn take_body(&mut self) {
        let bytes = self.body_left.min(self.buffer.len() - self.examined);
        if self.cutting && bytes > 0 {
            // What may pass moves up over what may not.
            self.buffer.data_mut().copy_within(..self.examined, bytes);
            self.buffer.consume(bytes);
        } else {
            self.examined += bytes;
        }
        self.body_left -= bytes;
    }
}

/// ReadyForQuery moves the conversation by its body; the others are worth a look.
fn must_be_whole(header: &Header) -> bool {
    let looked_into =
        matches!(header.tag, tag::READY_FOR_QUERY | tag::ERROR_RESPONSE | tag::COMMAND_COMPLETE);
    looked_into && header.frame_bytes() <= SEEN_BYTES_MAX
}

/// One message: who owns it, and what is worth telling.
fn hear(
    core: &mut Core,
    header: &Header,
    body: Option<&[u8]>,
    seen: &mut dyn FnMut(Event<'_>),
) -> Result<Owner, Nonsense> {
    if header.tag == tag::READY_FOR_QUERY {
        let status = wire::backend::ready_for_query(body.unwrap_or_default())?;
        let owner = core.conversation.ready(status)?;
        if owner == Owner::Client {
            seen(Event::Ready);
        }
        return Ok(owner);
    }
    let owner = core.conversation.received(header.tag)?;
    match (header.tag, body) {
        (tag::ERROR_RESPONSE, Some(body)) => seen(Event::Error(wire::backend::error(body)?)),
        (tag::COMMAND_COMPLETE, Some(body)) if owner == Owner::Client => core.taint.completed(body),
        (tag::COMMAND_COMPLETE, None) => core.taint.unknown(),
        _ => {}
    }
    Ok(owner)
}
