//! The outflow: bytes from a client, cut into messages as they pass. Each message asks the
//! conversation for leave; bodies pass through uncopied, however long they are.

use machine::{Buffer, Progress, Stream};
use wire::conversation::{Owner, Purpose, Sent};
use wire::frame::{self, HEADER_BYTES, Header, Side};
use wire::tag::frontend as tag;
use wire::{Fault, Malformed};

use super::Voice;
use crate::backend::Core;
use crate::nonsense::Nonsense;

/// What stands at the front of the outflow of a client that holds no server.
#[derive(Debug, PartialEq, Eq)]
pub enum Front {
    /// No whole message yet.
    Incomplete,
    /// The client says goodbye.
    Terminate,
    /// Something for a server.
    Request,
}

/// Bytes on their way from a client.
pub struct Outflow {
    buffer: Buffer,
    /// Bytes at the front that have leave to go to the server.
    cleared: usize,
    /// Bytes of the current message that have not come yet.
    body_left: usize,
    /// The client said goodbye behind what it asked for: nothing more will come.
    terminated: bool,
}

impl Outflow {
    /// Nothing has come.
    pub fn new() -> Self {
        Self::with(Buffer::lease())
    }

    /// These bytes have come already.
    pub fn with(buffer: Buffer) -> Self {
        Self { buffer, cleared: 0, body_left: 0, terminated: false }
    }

    /// Nothing is here.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Is there room for more?
    pub fn has_room(&self) -> bool {
        self.buffer.len() < self.buffer.capacity()
    }

    /// The client said goodbye; what it asked for before is still to be done.
    pub fn is_terminated(&self) -> bool {
        self.terminated
    }

    /// Reads what the client sent, without waiting.
    ///
    /// # Errors
    /// The socket failed.
    pub fn read(&mut self, stream: &Stream) -> Result<Progress, machine::Error> {
        stream.try_read_into(&mut self.buffer)
    }

    /// What the next bytes are, for a client without a server. Flushes are dropped: there is
    /// nothing to flush. A message that fits into the buffer is waited for, so that a slow client
    /// does not hold a server while it types.
    ///
    /// # Errors
    /// The bytes are no message.
    pub fn front(&mut self) -> Result<Front, Malformed> {
        debug_assert!(self.cleared == 0 && self.body_left == 0, "a client without a server");
        loop {
            let data = self.buffer.data();
            let Some(header) = frame::header(Side::Frontend, data)? else {
                return Ok(Front::Incomplete);
            };
            match header.tag {
                tag::TERMINATE => return Ok(Front::Terminate),
                tag::FLUSH if data.len() >= header.frame_bytes() => {
                    self.buffer.consume(header.frame_bytes());
                }
                _ if data.len() < header.frame_bytes() && self.has_room() => {
                    return Ok(Front::Incomplete);
                }
                _ => return Ok(Front::Request),
            }
        }
    }

    /// A goodbye stands behind the whole messages that are here.
    pub fn has_goodbye(&self) -> bool {
        let mut rest = self.buffer.data();
        while let Ok(Some(header)) = frame::header(Side::Frontend, rest) {
            if header.tag == tag::TERMINATE {
                return true;
            }
            let Some(behind) = rest.get(header.frame_bytes()..) else { return false };
            rest = behind;
        }
        false
    }

    /// Examines what has come: each message asks the conversation, and leaves its traces in the
    /// taint. Stops where the conversation is full.
    ///
    /// # Errors
    /// The client broke the format or the order.
    pub fn examine(&mut self, core: &mut Core, voice: &Voice) -> Result<(), Nonsense> {
        while !self.terminated {
            let bytes = self.body_left.min(self.buffer.len() - self.cleared);
            self.cleared += bytes;
            self.body_left -= bytes;
            let rest = &self.buffer.data()[self.cleared..];
            if self.body_left > 0 {
                return Ok(());
            }
            let Some(header) = frame::header(Side::Frontend, rest)? else { return Ok(()) };
            if header.tag == tag::TERMINATE {
                return self.terminate(core, &header);
            }
            match core.conversation.sent(header.tag, Owner::Client)? {
                Sent::Forward => {
                    let body = rest.get(HEADER_BYTES..header.frame_bytes());
                    if voice.logs_queries() {
                        voice.request(header.tag, body.unwrap_or(b"(too long to be shown)\0"));
                    }
                    mark(core, &header, body);
                    self.body_left = header.frame_bytes();
                }
                Sent::Swallow if rest.len() < header.frame_bytes() => return Ok(()),
                Sent::Swallow => self.cut(header.frame_bytes()),
                Sent::Full => return Ok(()),
            }
        }
        Ok(())
    }

    /// The client says goodbye; nothing behind it is read. In a batch without its Sync the goodbye
    /// becomes a Flush, which is as long: the server would keep its answers to itself for ever.
    fn terminate(&mut self, core: &mut Core, header: &Header) -> Result<(), Nonsense> {
        self.terminated = true;
        if header.body_bytes > 0 {
            let fault = Fault::Trailing(header.body_bytes);
            return Err(Malformed { place: "Terminate", fault }.into());
        }
        let conversation = &mut core.conversation;
        if conversation.is_open()
            && conversation.sent(tag::FLUSH, Owner::Ours(Purpose::Reset))? == Sent::Forward
        {
            self.buffer.data_mut()[self.cleared] = tag::FLUSH;
            self.cleared += HEADER_BYTES;
        }
        Ok(())
    }

    /// What may go to the server.
    pub fn passable(&self) -> &[u8] {
        &self.buffer.data()[..self.cleared]
    }

    /// The first `bytes` of it have gone.
    pub fn passed(&mut self, bytes: usize) {
        self.buffer.consume(bytes);
        self.cleared -= bytes;
    }

    /// Everything the conversation counts as sent has gone.
    pub fn is_through(&self) -> bool {
        self.cleared == 0 && self.body_left == 0
    }

    /// Puts a message of ours in front of whatever the client sends next.
    pub fn inject(&mut self, message: &[u8]) {
        debug_assert!(self.is_through(), "not in the middle of a message of the client");
        self.buffer.extend(message);
        self.buffer.data_mut().rotate_right(message.len());
        self.cleared = message.len();
    }

    /// Removes `bytes` behind what is cleared.
    fn cut(&mut self, bytes: usize) {
        self.buffer.data_mut().copy_within(..self.cleared, bytes);
        self.buffer.consume(bytes);
    }
}

impl Default for Outflow {
    fn default() -> Self {
        Self::new()
    }
}

/// What the message may leave behind in the server. A body that is not here as a whole is not read.
fn mark(core: &mut Core, header: &Header, body: Option<&[u8]>) {
    match (header.tag, body) {
        (tag::QUERY, Some(body)) => core.taint.text(body),
        (tag::PARSE, Some(body)) => core.taint.parse(body),
        (tag::QUERY | tag::PARSE | tag::FUNCTION_CALL, _) => core.taint.unknown(),
        _ => {}
    }
}
