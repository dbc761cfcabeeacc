//! The inflow: bytes from a server, cut into messages as they pass. The conversation hears of each
//! message; bodies are not copied and only few kinds are looked into. Answers that are ours are
//! cut out, what remains may pass to the client.

use std::ops::Range;

use machine::{Progress, Stream};
use router::Interned;
use wire::conversation::{Heard, Noted, Owner, Purpose};
use wire::frame::{self, HEADER_BYTES, Header, Side};
use wire::settings::SETTINGS_BYTES_MAX;
use wire::tag::backend as tag;
use wire::{Malformed, NoticeView};

use super::holdings::{Asking, Finding, Holdings, Op, Refusal};
use super::{Core, Suspicion};
use crate::nonsense::Nonsense;
use crate::passage::Passage;

/// Messages that are looked into must fit; longer ones (an error with a huge DETAIL) pass unseen.
const SEEN_BYTES_MAX: usize = 64 * 1024;
/// A setting is found whole, however long.
const FINDING_BYTES_MAX: usize = SETTINGS_BYTES_MAX + 1024;
/// More findings than settings can be.
const FINDINGS_MAX: usize = 4096;

/// The routine that reports "cached plan must not change result type", whatever the language.
const STALE_PLAN: &[u8] = b"RRevalidateCachedQuery\0";

/// In front of the name of a statement that was prepared when its result had another type, and that
/// this server has not: what the server says of such a name becomes what it says of such a plan.
pub const OUTDATED: &[u8] = b"odyssey_outdated:";

/// The fields by which drivers know it.
const STALE_ERROR: &[u8] = b"SERROR\0VERROR\0C0A000\0Mcached plan must not change result type\0\
    Fplancache.c\0RRevalidateCachedQuery\0\0";

/// In front of a name that a client gave and we reserve: no statement is called so.
pub const ALIEN: &[u8] = b"odyssey_client:";

/// What was seen in passing.
pub enum Event<'a> {
    /// The server reports an error; does the client read it?
    Error(NoticeView<'a>, bool),
    /// A request of the client is answered in full.
    Ready,
    /// A DEALLOCATE of the client took this name from this statement.
    DeallocatedOne(Box<[u8]>, Interned),
    /// DEALLOCATE ALL of the client is done; these names it gives again behind it.
    Deallocated(Vec<(Box<[u8]>, Interned)>),
    /// DISCARD ALL likewise.
    Discarded(Vec<(Box<[u8]>, Interned)>),
    /// Something the client asked for, or we for it, will not be done.
    Lost(Op),
    /// The same, and it is what the error that comes is about.
    Failed(Op),
    /// A statement of the client has another result type than when it was prepared: the one of this
    /// name, or else the one it spoke of last.
    Stale(Option<&'a [u8]>),
}

/// Who hears what passes.
pub trait Ear {
    /// Something was seen.
    fn hear(&mut self, event: Event<'_>);
    /// The client's name of a shared statement; errors speak of it. `spoken`: of which it spoke, if
    /// it has spoken of another one since.
    fn name_of<'a>(&'a self, _number: u64, _spoken: Option<&'a [u8]>) -> Option<&'a [u8]> {
        None
    }
    /// The client is about to read that its request is answered: what it has to hear before of what
    /// the server reports now.
    fn news(&mut self, _holdings: &mut Holdings) -> Option<Vec<u8>> {
        None
    }
}

/// A server's error in one line.
pub fn words(error: &NoticeView<'_>) -> String {
    format!("{} {} {}", error.severity(), error.code(), error.message())
}

/// Bytes on their way from a server.
pub struct Inflow {
    passage: Passage,
    /// An error of a server that owes nothing is for the client too: the server is its own.
    farewell_passes: bool,
}

impl Inflow {
    /// Nothing has come. A server that is terminated between two transactions says so to whoever
    /// is there: that concerns a client who owns its server (`farewell_passes`), and not one who
    /// gets another server for its next transaction.
    pub fn new(farewell_passes: bool) -> Self {
        Self { passage: Passage::new(), farewell_passes }
    }

    /// Nothing is here.
    pub fn is_empty(&self) -> bool {
        self.passage.is_empty()
    }

    /// Is there room for more?
    pub fn has_room(&self) -> bool {
        self.passage.has_room()
    }

    /// Reads what the server sent, without waiting.
    ///
    /// # Errors
    /// The socket failed.
    pub fn read(&mut self, stream: &Stream) -> Result<Progress, machine::Error> {
        self.passage.read(stream)
    }

    /// What may pass to the client.
    pub fn passable(&self) -> &[u8] {
        self.passage.passable()
    }

    /// The first `bytes` of it have passed (or are not wanted).
    pub fn passed(&mut self, bytes: usize) {
        self.passage.passed(bytes);
    }

    /// Puts whole messages of ours behind what may pass, which ends at the end of a message.
    pub fn inject(&mut self, messages: &[u8]) {
        debug_assert!(self.ends_at_boundary(), "not in the middle of a message of the server");
        self.passage.insert(messages);
    }

    /// Every byte that came was examined, and no message is half here.
    pub fn is_through(&self) -> bool {
        self.passage.unjudged() == 0 && !self.passage.in_message()
    }

    /// What may pass ends at the end of a message: only then may one of ours follow it.
    pub fn ends_at_boundary(&self) -> bool {
        self.passage.ends_at_boundary()
    }

    /// Examines what has come. Each message moves the conversation.
    ///
    /// # Errors
    /// The server broke the format or the order; it must not be used any more.
    pub fn examine(&mut self, core: &mut Core, ear: &mut dyn Ear) -> Result<(), Nonsense> {
        loop {
            let ahead = self.passage.ahead();
            let Some(header) = frame::header(Side::Backend, ahead)? else { return Ok(()) };
            let whole = ahead.get(HEADER_BYTES..header.frame_bytes());
            if whole.is_none() && must_be_whole(&header, core) {
                self.passage.want(header.frame_bytes());
                return Ok(());
            }
            let unasked = header.tag == tag::ERROR_RESPONSE && {
                let quiet = core.conversation.quiescent().is_some();
                core.dying |= quiet;
                quiet
            };
            let passes = match header.tag {
                tag::READY_FOR_QUERY => {
                    let passes = ready(core, whole.unwrap_or_default(), ear)?;
                    if passes && let Some(news) = ear.news(&mut core.holdings) {
                        self.passage.insert(&news);
                    }
                    passes
                }
                _ => self.hear(core, &header, ear)?,
            };
            let bytes = self.length(&header);
            match passes && (!unasked || self.farewell_passes) {
                true => self.passage.pass(bytes),
                false => self.passage.cut(bytes),
            }
        }
    }

    /// The length of the message ahead now: that of an error or a notice may have changed.
    fn length(&mut self, header: &Header) -> usize {
        match header.tag {
            tag::ERROR_RESPONSE | tag::NOTICE_RESPONSE => {
                let now = frame::header(Side::Backend, self.passage.ahead()).ok().flatten();
                now.map_or(header.frame_bytes(), |now| now.frame_bytes())
            }
            _ => header.frame_bytes(),
        }
    }

    /// One message, any but ReadyForQuery: what is worth telling, and may it pass?
    fn hear(
        &mut self,
        core: &mut Core,
        header: &Header,
        ear: &mut dyn Ear,
    ) -> Result<bool, Nonsense> {
        let Heard { owner, noted } = core.conversation.received(header.tag)?;
        let mut named = false;
        match noted {
            Noted::Nothing => {}
            Noted::Done => self.done(core, header.tag),
            Noted::Lost { count, failed } => {
                let mut lost = core.holdings.lost(count, failed);
                let first = if failed { lost.pop() } else { None };
                named = !matches!(first, None | Some(Op::Unnamed(_) | Op::Renew));
                lost.into_iter().for_each(|op| ear.hear(Event::Lost(op)));
                first.into_iter().for_each(|op| ear.hear(Event::Failed(op)));
            }
        }
        if matches!(header.tag, tag::ERROR_RESPONSE | tag::NOTICE_RESPONSE) {
            self.restore_place(core, header, named);
        }
        let ours = matches!(owner, Owner::Ours(_));
        let bytes = self.length(header);
        let ahead = self.passage.ahead();
        let Some(body) = ahead.get(HEADER_BYTES..bytes) else {
            return Ok(too_long(core, header.tag, owner));
        };
        match (header.tag, owner) {
            (tag::ERROR_RESPONSE, _) => {
                let passes = is_the_clients(core, owner) && (!core.dying || self.farewell_passes);
                let mut bytes = body.len();
                if body.windows(OUTDATED.len()).any(|name| name == OUTDATED) {
                    self.passage.amend(HEADER_BYTES, bytes, STALE_ERROR);
                    bytes = STALE_ERROR.len();
                }
                let body = &self.passage.ahead()[HEADER_BYTES..HEADER_BYTES + bytes];
                ear.hear(Event::Error(confessed(core, body)?, passes));
                core.holdings.touched.undo();
                if misses_ours(body) {
                    core.holdings.robbed();
                }
                if body.windows(STALE_PLAN.len()).any(|field| field == STALE_PLAN) {
                    ear.hear(Event::Stale(spoken(core)));
                }
                self.restore_name(core, ear);
                return Ok(passes);
            }
            (tag::COMMAND_COMPLETE, Owner::Client) => {
                let tag = body.strip_suffix(b"\0").unwrap_or(body);
                completed(core, tag);
                match tag {
                    b"DISCARD ALL" => ear.hear(Event::Discarded(core.holdings.pending())),
                    b"DEALLOCATE ALL" => ear.hear(Event::Deallocated(core.holdings.pending())),
                    b"DEALLOCATE" => {
                        if let Some((name, statement)) = core.holdings.deallocated_one() {
                            ear.hear(Event::DeallocatedOne(name, statement));
                        }
                    }
                    _ => {}
                }
            }
            (tag::DATA_ROW, Owner::Ours(Purpose::Inquiry)) => {
                core.holdings.findings.extend(finding(body, core.holdings.findings.len())?);
            }
            // Servers report what has changed since they last did, whoever was their client then.
            // Ours hears what has changed since it last heard, and as from PostgreSQL 14 on: before
            // ReadyForQuery.
            (tag::PARAMETER_STATUS, _) => {
                let (name, value) = wire::backend::parameter_status(body)?;
                core.holdings.report(&name.lossy(), &value.lossy());
                return Ok(false);
            }
            // It belongs to whoever listens, whatever is being asked.
            (tag::NOTIFICATION_RESPONSE, _) => {
                return Ok(owner != Owner::Ours(Purpose::Reset));
            }
            _ => {}
        }
        Ok(!ours)
    }

    /// A request whose fate mattered is done.
    fn done(&mut self, core: &mut Core, answer: u8) {
        if let Some(Op::Pretend { .. }) = core.holdings.done() {
            debug_assert_eq!(answer, tag::CLOSE_COMPLETE, "a Close of nothing was sent");
            self.passage.ahead_mut()[0] = tag::PARSE_COMPLETE;
        }
    }

    /// The place that an error or a notice speaks of, in the client's words. An error about a
    /// `named` statement is about no text that was changed.
    fn restore_place(&mut self, core: &Core, header: &Header, named: bool) {
        let Holdings { query_changed, unnamed_changed, .. } = &core.holdings;
        let changed = match query_changed {
            Some(query) => (core.conversation.outstanding() == 1).then_some(query),
            None => {
                let is_about_it = !named && !core.conversation.is_at_query();
                unnamed_changed.as_ref().filter(|_| is_about_it)
            }
        };
        let Some(changed) = changed else { return };
        let body = self.passage.ahead().get(HEADER_BYTES..header.frame_bytes());
        let Some((range, told)) = body.and_then(place) else { return };
        let place = changed.place(told).to_string();
        self.passage.amend(HEADER_BYTES + range.start, range.len(), place.as_bytes());
    }

    /// An error that speaks of a shared statement gets the client's name of it.
    fn restore_name(&mut self, core: &Core, ear: &dyn Ear) {
        const SHARED: &[u8] = b"odyssey_pstmt_";
        let ahead = self.passage.ahead();
        // Not what comes behind it: that may be an error, too.
        let Ok(Some(header)) = frame::header(Side::Backend, ahead) else { return };
        let ahead = &ahead[..ahead.len().min(header.frame_bytes())];
        if let Some(at) = ahead.windows(ALIEN.len()).position(|window| window == ALIEN) {
            self.passage.amend(at, ALIEN.len(), b"");
            return;
        }
        let Some(at) = ahead.windows(SHARED.len()).position(|window| window == SHARED) else {
            return;
        };
        let digits = ahead[at + SHARED.len()..].iter().take_while(|b| b.is_ascii_digit());
        let number = digits.fold((0u64, 0), |(number, count), digit| {
            (number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')), count + 1)
        });
        let Some(name) = ear.name_of(number.0, spoken(core)) else { return };
        self.passage.amend(at, SHARED.len() + number.1, name);
    }
}

/// Of which statement that speaks which is answered now, as far as that was noted.
fn spoken(core: &Core) -> Option<&[u8]> {
    let query = core.holdings.query_changed.as_ref();
    let query = query.filter(|_| core.conversation.outstanding() == 1);
    query.and_then(|query| query.speaking()).or_else(|| core.holdings.spoken())
}

/// Where the place stands in an error or a notice, and which it is.
fn place(body: &[u8]) -> Option<(Range<usize>, usize)> {
    let mut start = 0;
    for field in body.split(|&byte| byte == 0) {
        let end = start + field.len();
        if let Some(digits) = field.strip_prefix(b"P") {
            let place = std::str::from_utf8(digits).ok()?.parse().ok()?;
            return Some((start + 1..end, place));
        }
        start = end + 1;
    }
    None
}

/// A message that is not looked into: may it pass?
fn too_long(core: &mut Core, message: u8, owner: Owner) -> bool {
    match message {
        tag::ERROR_RESPONSE => {
            core.holdings.touched.undo();
            return is_the_clients(core, owner);
        }
        tag::COMMAND_COMPLETE => core.holdings.suspicion.add(Suspicion::UNKNOWN),
        _ => {}
    }
    matches!(owner, Owner::Client)
}

/// ReadyForQuery; may it pass?
fn ready(core: &mut Core, body: &[u8], ear: &mut dyn Ear) -> Result<bool, Nonsense> {
    let status = wire::backend::ready_for_query(body)?;
    let owner = core.conversation.ready(status)?;
    if core.conversation.is_out_of_step() {
        core.unfit = Some("it says that a transaction is over that nobody has ended");
    }
    if core.holdings.refusal == Refusal::Skipping {
        core.holdings.refusal = Refusal::Synced;
        return Ok(false);
    }
    let passes = matches!(owner, Owner::Client | Owner::Ours(Purpose::Excuse));
    if passes {
        core.holdings.refusal = Refusal::None;
        if core.conversation.outstanding() == 0 {
            core.holdings.answered();
        }
    }
    if core.conversation.quiescent().is_some() {
        core.holdings.touched.settle();
    }
    if passes {
        ear.hear(Event::Ready);
    }
    Ok(passes)
}

/// An error, and what it says of its server: PostgreSQL's transactions count their states and find
/// an impossible one, and nobody goes on behind a FATAL.
fn confessed<'a>(core: &mut Core, body: &'a [u8]) -> Result<NoticeView<'a>, Malformed> {
    let error = wire::backend::error(body)?;
    let is = |kind, text| error.field(kind).is_some_and(|it| it == text);
    if error.is_fatal() {
        core.unfit = Some("it goes on behind a fatal error");
    } else if is(b'C', "XX000") && is(b'F', "xact.c") {
        core.unfit = Some("its transactions are out of step");
    }
    Ok(error)
}

/// Does it miss a statement that it was believed to have? A function may have deallocated it.
fn misses_ours(body: &[u8]) -> bool {
    let has = |word: &[u8]| body.windows(word.len()).any(|window| window == word);
    has(b"\0C26000\0") && has(b"\"odyssey_") && !has(ALIEN)
}

/// Whose error is it? What we sent for the client's sake fails for it too.
fn is_the_clients(core: &mut Core, owner: Owner) -> bool {
    match owner {
        Owner::Client | Owner::Ours(Purpose::Statement) => true,
        Owner::Ours(Purpose::Preamble) if core.holdings.refusal == Refusal::None => {
            core.holdings.refusal = match core.holdings.begins {
                true => Refusal::Query,
                false => Refusal::Skipping,
            };
            core.holdings.was_refused = true;
            true
        }
        Owner::Ours(Purpose::Query) => {
            core.holdings.refusal = Refusal::Query;
            true
        }
        Owner::Ours(Purpose::Inquiry) => {
            core.holdings.asking = Asking::Failed;
            false
        }
        Owner::Ours(_) => false,
    }
}

/// A command of the client completed.
fn completed(core: &mut Core, tag: &[u8]) {
    let last = core.conversation.outstanding() == 1;
    let more = core.conversation.outstanding() > 1 || core.conversation.is_open();
    let holdings = &mut core.holdings;
    holdings.completed(tag);
    if last && let Some(query) = &mut holdings.query_changed {
        query.completed();
    }
    match tag {
        b"SET" | b"RESET" => holdings.touched.completed(),
        b"DISCARD ALL" => {
            let unnamed = holdings.unnamed; // it stays
            let (touched, suspicion) = (std::mem::take(&mut holdings.touched), holdings.suspicion);
            holdings.discarded();
            holdings.unnamed = unnamed;
            if more {
                // What stands behind it in its batch has set and left its own by now.
                (holdings.touched, holdings.suspicion) = (touched, suspicion);
                holdings.touched.forget_unseen(); // PostgreSQL 13 reports before it answers
            }
        }
        b"DEALLOCATE ALL" => holdings.deallocated(),
        b"ROLLBACK" => holdings.touched.undo(),
        b"DO" | b"CALL" => {
            holdings.touched.touch_all();
            holdings.suspicion.completed(tag);
        }
        _ => holdings.suspicion.completed(tag),
    }
}

/// A row of an inquiry: a name and a value.
fn finding(body: &[u8], found: usize) -> Result<Option<Finding>, Nonsense> {
    let row = wire::backend::data_row(body)?;
    let mut values = row.values();
    let name = values.next().flatten().unwrap_or_default().to_ascii_lowercase();
    let value = values.next().flatten().map(<[u8]>::to_vec);
    Ok((found < FINDINGS_MAX).then_some(Finding { name, value }))
}

/// ReadyForQuery moves the conversation by its body; the others are worth a look.
fn must_be_whole(header: &Header, core: &Core) -> bool {
    match header.tag {
        tag::READY_FOR_QUERY
        | tag::ERROR_RESPONSE
        | tag::PARAMETER_STATUS
        | tag::COMMAND_COMPLETE => header.frame_bytes() <= SEEN_BYTES_MAX,
        tag::NOTICE_RESPONSE => {
            let Holdings { query_changed, unnamed_changed, .. } = &core.holdings;
            (query_changed.is_some() || unnamed_changed.is_some())
                && header.frame_bytes() <= SEEN_BYTES_MAX
        }
        tag::DATA_ROW => {
            core.conversation.head() == Some(Owner::Ours(Purpose::Inquiry))
                && header.frame_bytes() <= FINDING_BYTES_MAX
        }
        _ => false,
    }
}
