//! The outflow: bytes from a client, cut into messages as they pass. Each message asks the
//! conversation for leave; bodies pass through uncopied, however long they are.

use machine::{Buffer, Progress, Stream};
use wire::backend::TransactionStatus;
use wire::conversation::{Owner, Purpose, Sent};
use wire::frame::{self, HEADER_BYTES, Header, Side};
use wire::scan::{self, Head};
use wire::tag::frontend as tag;
use wire::{Fault, Malformed};

use super::belongings::Belongings;
use super::translate::{Step, Translation};
use super::{Voice, attrs, preamble};
use crate::backend::{Asking, Core, Refusal};
use crate::ending::Ending;
use crate::nonsense::Nonsense;
use crate::passage::Passage;

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
    passage: Passage,
    hold: Hold,
    /// The client said goodbye behind what it asked for: nothing more will come.
    terminated: bool,
    /// The message ahead is about what no server knows.
    for_us: bool,
    /// Work since the others had their turn; see [`EFFORT_BYTES_MAX`].
    effort_bytes: usize,
    /// More is here that could pass, and others go first.
    rests: bool,
}

/// What ends a transaction, and begins another one.
const CHAIN: &[u8] = b"chain";

/// Work for one client in one go beyond the length of what it said: others wait meanwhile. A
/// mebibyte is read or copied in some milliseconds.
const EFFORT_BYTES_MAX: usize = 1 << 20;

/// Who is to answer a message.
enum Whose {
    Servers,
    Ours,
    /// That hangs on what the server will say to what is before it.
    Unclear,
}

/// Until when nothing more of the client passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// It passes.
    No,
    /// A preamble is under way with one request behind it: should it fail, the server would skip
    /// what follows, too, and nobody would answer that.
    UntilDeployed,
    /// What was asked for last decides about names and settings of what follows.
    UntilSettled,
}

impl Outflow {
    /// Nothing has come.
    pub fn new() -> Self {
        Self::with(Buffer::lease())
    }

    /// These bytes have come already.
    pub fn with(buffer: Buffer) -> Self {
        let passage = Passage::with(buffer);
        Self {
            passage,
            hold: Hold::No,
            terminated: false,
            for_us: false,
            effort_bytes: 0,
            rests: false,
        }
    }

    /// Nothing is here.
    pub fn is_empty(&self) -> bool {
        self.passage.is_empty()
    }

    /// Is there room for more?
    pub fn has_room(&self) -> bool {
        self.passage.has_room()
    }

    /// The client said goodbye; what it asked for before is still to be done.
    pub fn is_terminated(&self) -> bool {
        self.terminated
    }

    /// What came and nobody has looked at, from the start of a message on. None if the client is
    /// gone, or something of it is still on its way.
    pub fn unread(&mut self) -> Option<&[u8]> {
        // What held the next message back had to do with the server, which is given back.
        (self.is_through() && !self.terminated).then(|| self.passage.ahead())
    }

    /// Reads what the client sent, without waiting.
    ///
    /// # Errors
    /// The socket failed.
    pub fn read(&mut self, stream: &Stream) -> Result<Progress, machine::Error> {
        self.passage.read(stream)
    }

    /// What the next bytes are, for a client without a server. Flushes are dropped: there is
    /// nothing to flush. A message that fits into the buffer is waited for, so that a slow client
    /// does not hold a server while it types.
    ///
    /// # Errors
    /// The bytes are no message.
    pub fn front(&mut self) -> Result<Front, Malformed> {
        debug_assert!(self.is_through(), "a client without a server");
        loop {
            let has_room = self.has_room();
            let data = self.passage.ahead();
            let Some(header) = frame::header(Side::Frontend, data)? else {
                return Ok(Front::Incomplete);
            };
            match header.tag {
                tag::TERMINATE => return Ok(Front::Terminate),
                tag::FLUSH if data.len() >= header.frame_bytes() => {
                    self.passage.cut(header.frame_bytes());
                }
                _ if data.len() < header.frame_bytes() && has_room => {
                    return Ok(Front::Incomplete);
                }
                _ => return Ok(Front::Request),
            }
        }
    }

    /// The text of the simple query ahead, if that is what is ahead and it is here as a whole.
    pub fn query(&mut self) -> Option<&[u8]> {
        let data = self.passage.ahead();
        let header = frame::header(Side::Frontend, data).ok().flatten()?;
        let body = data.get(HEADER_BYTES..header.frame_bytes())?;
        (header.tag == tag::QUERY).then(|| body.strip_suffix(b"\0").unwrap_or(body))
    }

    /// The body of the Parse ahead, if a Sync is all that follows it.
    pub fn lone_parse(&mut self) -> Option<&[u8]> {
        let data = self.passage.ahead();
        let header = frame::header(Side::Frontend, data).ok().flatten()?;
        let (parse, behind) = data.split_at_checked(header.frame_bytes())?;
        let sync = frame::header(Side::Frontend, behind).ok().flatten()?;
        let lone =
            header.tag == tag::PARSE && sync.tag == tag::SYNC && behind.len() == sync.frame_bytes();
        lone.then(|| &parse[HEADER_BYTES..])
    }

    /// The message ahead is not for a server.
    pub fn drop_front(&mut self) {
        let header = frame::header(Side::Frontend, self.passage.ahead());
        if let Ok(Some(header)) = header {
            self.passage.cut(header.frame_bytes());
        }
    }

    /// A goodbye stands behind the whole messages that are here.
    pub fn has_goodbye(&mut self) -> bool {
        let mut rest = self.passage.ahead();
        while let Ok(Some(header)) = frame::header(Side::Frontend, rest) {
            if header.tag == tag::TERMINATE {
                return true;
            }
            let Some(behind) = rest.get(header.frame_bytes()..) else { return false };
            rest = behind;
        }
        false
    }

    /// Examines what has come: each message asks the conversation, and leaves its traces in what
    /// the server holds. Stops where the conversation is full, or must be heard first.
    ///
    /// # Errors
    /// The client broke the format or the order, or wants what its pool forbids.
    pub fn examine(
        &mut self,
        core: &mut Core,
        own: &mut Belongings,
        voice: &Voice,
    ) -> Result<(), Ending> {
        while !self.terminated && !self.is_held(core, own) {
            if self.effort_bytes > EFFORT_BYTES_MAX {
                self.rests = true;
                return Ok(());
            }
            let Some(header) = frame::header(Side::Frontend, self.passage.ahead())? else {
                return Ok(());
            };
            if header.tag == tag::TERMINATE {
                return Ok(self.terminate(core, &header)?);
            }
            match self.owner_of(&header, core, voice) {
                Whose::Servers => {}
                Whose::Ours | Whose::Unclear => return Ok(()),
            }
            if may_begin(header.tag) && core.conversation.settled() {
                self.prepare(&header, core, own)?;
            }
            if voice.logs_queries {
                self.log(&header, voice);
            }
            let Self { passage, .. } = self;
            let mut translation = Translation::new(passage, core, own, voice.statements());
            let step = translation.translate(&header)?;
            self.effort_bytes += translation.effort_bytes;
            let ends = ends_batch(header.tag) && matches!(step, Step::Passed | Step::Barrier);
            let decides = ends && own.end_batch();
            match step {
                Step::Wait => return Ok(()),
                Step::Transaction => return Err(Ending::TransactionRefused),
                Step::Barrier => self.hold = Hold::UntilSettled,
                Step::Passed if decides => {
                    self.hold = Hold::UntilSettled;
                }
                Step::Passed if ends && core.holdings.is_deploying() => {
                    self.hold = Hold::UntilDeployed;
                }
                Step::Passed => {}
            }
        }
        Ok(())
    }

    /// Could more pass at once, but that others go first?
    pub fn rests(&self) -> bool {
        self.rests
    }

    /// Are others to go first? Whoever asks lets them.
    pub fn take_rest(&mut self) -> bool {
        let tired = self.effort_bytes > EFFORT_BYTES_MAX;
        if tired {
            (self.effort_bytes, self.rests) = (0, false);
        }
        tired
    }

    /// Who answers the message ahead? What is not the server's waits until all before it is
    /// answered.
    fn owner_of(&mut self, header: &Header, core: &Core, voice: &Voice) -> Whose {
        self.for_us = false;
        if !voice.processes_virtually || header.tag != tag::QUERY {
            return Whose::Servers;
        }
        let conversation = &core.conversation;
        let is_whole = self.passage.ahead().len() >= header.frame_bytes();
        if !is_whole && header.body_bytes <= attrs::TEXT_BYTES_MAX {
            return Whose::Unclear;
        }
        let is_ours = self.query().and_then(attrs::about).is_some();
        // In a batch, and behind an error, the server says what PostgreSQL says.
        if !is_ours || conversation.is_skipping() || conversation.is_open() {
            return Whose::Servers;
        }
        match conversation.settled() {
            false if conversation.in_copy_in() => Whose::Servers,
            false => Whose::Unclear,
            true if conversation.in_doubt() => Whose::Unclear,
            true if conversation.status() == TransactionStatus::Failed => Whose::Servers,
            true => {
                self.for_us = true;
                Whose::Ours
            }
        }
    }

    /// Is the message ahead to be answered by the pooler? Whoever asks answers it.
    pub fn take_for_us(&mut self) -> bool {
        std::mem::take(&mut self.for_us)
    }

    /// A request begins: what the server lacks for it goes in front.
    fn prepare(
        &mut self,
        header: &Header,
        core: &mut Core,
        own: &mut Belongings,
    ) -> Result<(), Nonsense> {
        let front = match core.conversation.status() {
            _ if core.conversation.quiescent().is_some() => preamble::preamble(core, own)?,
            // It begins with a BEGIN, and fails there.
            TransactionStatus::Failed if self.outlives_refusal(header, core, own) => {
                preamble::preamble(core, own)?
            }
            TransactionStatus::InTransaction if core.holdings.touched.any_reset() => {
                let simple = header.tag == tag::QUERY;
                let purpose = if simple { Purpose::Query } else { Purpose::Statement };
                let repair = preamble::repair(core, own, purpose)?;
                own.decides |= simple && !repair.is_empty();
                repair
            }
            _ => return Ok(()),
        };
        if !front.is_empty() {
            self.passage.insert(&front);
        }
        Ok(())
    }

    /// The transaction failed because the client's settings were refused, and the text ahead does
    /// more than to end it: that would run without them.
    fn outlives_refusal(&mut self, header: &Header, core: &Core, own: &Belongings) -> bool {
        let was_refused = own.manner.deploys && core.holdings.settings != own.wanted;
        if header.tag != tag::QUERY || !was_refused {
            return false;
        }
        let Some(text) = self.query() else { return true };
        let ends = |one: scan::Statement<'_>| matches!(one.head, Head::Commit | Head::Rollback);
        let chains = text.windows(CHAIN.len()).any(|word| word.eq_ignore_ascii_case(CHAIN));
        scan::statements(text).any(ends) && (chains || scan::only(text).is_none())
    }

    /// Nothing more of the client may pass now.
    fn is_held(&mut self, core: &Core, own: &Belongings) -> bool {
        let over = match self.hold {
            Hold::No => true,
            Hold::UntilDeployed => !core.holdings.is_deploying(),
            // What it waits for may have been skipped; then the server waits for a Sync.
            Hold::UntilSettled => {
                let Core { conversation, holdings, .. } = core;
                let skipped = conversation.is_skipping() && holdings.refusal == Refusal::None;
                conversation.settled() || skipped
            }
        };
        if over {
            self.hold = Hold::No;
        }
        // Never in the middle of a batch: the server would not answer what is being asked.
        // A preamble that was refused is put in front anew, once the answer is here. In a
        // transaction the answer is not looked at before its end.
        let is_idle = core.conversation.status() == TransactionStatus::Idle;
        let refused = || is_idle && own.manner.deploys && core.holdings.settings != own.wanted;
        let decides = core.holdings.is_asking_for_resets()
            || (core.holdings.asking != Asking::No && refused());
        let asking = decides && !core.conversation.is_open();
        // What it copies is part of what was asked for.
        let held = !(over || core.conversation.in_copy_in()) || asking;
        if held {
            self.passage.ahead(); // the rest of what may pass
        }
        held
    }

    /// The client's request is complete, and nothing behind it passes.
    pub fn is_holding(&self) -> bool {
        self.hold != Hold::No
    }

    fn log(&mut self, header: &Header, voice: &Voice) {
        let body = self.passage.ahead().get(HEADER_BYTES..header.frame_bytes());
        voice.request(header.tag, body.unwrap_or(b"(too long to be shown)\0"));
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
            self.passage.ahead_mut()[0] = tag::FLUSH;
            self.passage.pass(HEADER_BYTES);
        }
        Ok(())
    }

    /// What may go to the server.
    pub fn passable(&self) -> &[u8] {
        self.passage.passable()
    }

    /// The first `bytes` of it have gone.
    pub fn passed(&mut self, bytes: usize) {
        self.passage.passed(bytes);
    }

    /// Everything the conversation counts as sent has gone.
    pub fn is_through(&self) -> bool {
        self.passage.passable().is_empty() && !self.passage.in_message()
    }

    /// Puts messages of ours in front of whatever the client sends next.
    pub fn inject(&mut self, messages: &[u8]) {
        debug_assert!(self.is_through(), "not in the middle of a message of the client");
        self.passage.insert(messages);
    }
}

impl Default for Outflow {
    fn default() -> Self {
        Self::new()
    }
}

/// May a request begin with it that needs settings?
fn may_begin(message: u8) -> bool {
    matches!(
        message,
        tag::QUERY
            | tag::PARSE
            | tag::BIND
            | tag::DESCRIBE
            | tag::EXECUTE
            | tag::SYNC
            | tag::CLOSE
            | tag::FUNCTION_CALL
    )
}

/// Does a ReadyForQuery come of it?
fn ends_batch(message: u8) -> bool {
    matches!(message, tag::QUERY | tag::SYNC | tag::FUNCTION_CALL)
}
