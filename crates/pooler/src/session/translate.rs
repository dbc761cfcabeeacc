//! Translation: what a client says, in the words of the server it has. Statements get their shared
//! names, what the server lacks goes in front, and what it has is not prepared again. No answer is
//! ever made up: a Parse of what the server has becomes a Close of nothing, whose answer has the
//! length of a ParseComplete and comes, or fails to come, exactly where the other would.

use router::{Interned, Statements, significant_name};
use wire::backend::TransactionStatus;
use wire::conversation::{Owner, Purpose, Sent};
use wire::encode;
use wire::frame::{HEADER_BYTES, Header};
use wire::frontend::Target;
use wire::scan;
use wire::tag::frontend as tag;
use wire::{Fault, Malformed};

use super::belongings::Belongings;
use super::long::names_in_beginning;
use super::spoken::{Edits, names_in};
use super::unnamed::replaced;
use super::virtually::opens_transaction;
use crate::backend::{ALIEN, Asking, Core, OUTDATED, Op, Suspicion};
use crate::nonsense::Nonsense;
use crate::passage::Passage;

/// A longer query is not looked at: the server is asked what it did.
const SEEN_BYTES_MAX: usize = 64 * 1024;
/// A longer statement is not shared: it keeps its client's name and ties it to the server.
const SHARED_BYTES_MAX: usize = 1 << 20;
/// A prepared statement of this name is never made.
const NOTHING: &[u8] = b"odyssey_nothing";
/// Names that begin so are ours.
pub(super) const RESERVED: &[u8] = b"odyssey_";
/// Answers due to what is put in front of one message for each statement that it speaks of.
pub(super) const FRONT_MAX: usize = 4;

/// What became of the message ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It may pass.
    Passed,
    /// As Passed; and nothing more until what it does is known.
    Barrier,
    /// More of it must come first, or answers.
    Wait,
    /// It would begin a transaction, and its pool has none.
    Transaction,
}

/// What a client's name for a statement stands for.
enum Found {
    /// This statement, and the server has it when the message ahead comes.
    Ready(Interned),
    /// One that was prepared when its result had another type: nobody prepares it any more, and
    /// the server has no plan of it that could say so.
    Outdated,
    /// Nothing that we know of.
    Unknown,
}

/// A client's words on their way to a server.
pub struct Translation<'a> {
    pub passage: &'a mut Passage,
    pub core: &'a mut Core,
    pub own: &'a mut Belongings,
    pub statements: &'a Statements,
    /// Of which statement the client spoke before the message ahead.
    pub spoken_before: Option<Box<[u8]>>,
    /// What the message ahead cost beyond its own length, in bytes read or copied.
    pub effort_bytes: usize,
    /// The message ahead has reset all settings already, as far as it was looked at.
    pub(super) has_reset_all: bool,
}

impl<'a> Translation<'a> {
    /// Of one message of the client.
    pub fn new(
        passage: &'a mut Passage,
        core: &'a mut Core,
        own: &'a mut Belongings,
        statements: &'a Statements,
    ) -> Self {
        let (spoken_before, effort_bytes, has_reset_all) = (None, 0, false);
        Self { passage, core, own, statements, spoken_before, effort_bytes, has_reset_all }
    }

    /// The message ahead, which begins with this header.
    ///
    /// # Errors
    /// The client broke the format or the order.
    pub fn translate(&mut self, header: &Header) -> Result<Step, Nonsense> {
        if self.core.conversation.is_skipping() {
            return self.send(header, header.frame_bytes());
        }
        match header.tag {
            tag::QUERY | tag::PARSE | tag::BIND | tag::DESCRIBE | tag::CLOSE
                if self.core.conversation.room() <= FRONT_MAX =>
            {
                Ok(Step::Wait)
            }
            tag::QUERY => self.query(header),
            tag::PARSE => {
                let step = self.parse(header)?;
                self.own.said.parses += u32::from(step == Step::Passed);
                Ok(step)
            }
            tag::BIND => {
                let step = self.bind(header)?;
                self.own.said.binds += u32::from(step == Step::Passed);
                Ok(step)
            }
            tag::DESCRIBE | tag::CLOSE => self.describe_or_close(header),
            tag::FUNCTION_CALL => {
                self.core.holdings.suspicion.add(Suspicion::UNKNOWN);
                self.core.holdings.touched.touch_all();
                self.send(header, header.frame_bytes())
            }
            _ => self.send(header, header.frame_bytes()),
        }
    }

    /// The body of the message ahead, if it is here as a whole.
    pub(super) fn body(&mut self, header: &Header) -> Option<&[u8]> {
        self.passage.ahead().get(HEADER_BYTES..header.frame_bytes())
    }

    /// Lets the message ahead pass, now of `bytes`, if the conversation does.
    pub(super) fn send(&mut self, header: &Header, bytes: usize) -> Result<Step, Nonsense> {
        self.send_as(header.tag, bytes)
    }

    /// As `send`; when it is done, or not, `op` is.
    pub(super) fn send_noted(
        &mut self,
        message: u8,
        bytes: usize,
        op: Op,
    ) -> Result<Step, Nonsense> {
        let sent = self.core.conversation.sent_noted(message, Owner::Client)?;
        if sent == Sent::Forward {
            self.core.holdings.note(op);
        }
        self.sent(sent, bytes)
    }

    fn sent(&mut self, sent: Sent, bytes: usize) -> Result<Step, Nonsense> {
        match sent {
            Sent::Forward | Sent::Void => self.passage.pass(bytes),
            Sent::Swallow if self.passage.ahead().len() < bytes => return Ok(Step::Wait),
            Sent::Swallow => self.passage.cut(bytes),
            Sent::Full => return Ok(Step::Wait),
        }
        Ok(Step::Passed)
    }

    // Simple queries.

    fn query(&mut self, header: &Header) -> Result<Step, Nonsense> {
        let mut barrier = false;
        let mut bytes = header.frame_bytes();
        if self.body(header).is_none() && bytes <= SEEN_BYTES_MAX {
            self.passage.want(bytes);
            return Ok(Step::Wait);
        }
        if self.lacks_beginning(header) {
            return Ok(Step::Wait);
        }
        self.drop_unnamed(header)?;
        let watchful = self.is_watchful();
        let (text, is_whole) = self.query_text(header);
        if watchful || !is_whole || scan::is_remarkable(text) {
            let text = text.to_vec();
            let names = names_in_beginning(&text, is_whole, self.own.backslashes());
            if self.awaits_names(&names, &text) {
                return Ok(Step::Wait);
            }
            if !is_whole {
                self.unseen(); // what it begins with is known, the rest is to be asked about
            }
            let due = self.core.conversation.outstanding();
            barrier = self.remark(&text);
            let edits = match self.own.suffixed(&text).filter(|_| is_whole) {
                Some(edit) => vec![edit],
                None => self.renamed(&names, Purpose::Query)?,
            };
            if let Some(mut changed) = self.changed(&text, &edits, &names) {
                changed.goes_on(header.body_bytes.saturating_sub(text.len()));
                (bytes, barrier) = (self.amend(&edits, 0), true);
                self.core.holdings.query_changed = Some(changed);
            }
            barrier |= self.core.conversation.outstanding() > due;
        }
        let step = self.send(header, bytes)?;
        Ok(if barrier && step == Step::Passed { Step::Barrier } else { step })
    }

    /// The client has left something in its server, or may have: each text may take it away.
    pub(super) fn is_watchful(&self) -> bool {
        self.own.pinned.is_some() || self.core.holdings.asking != Asking::No
    }

    // Statements.

    fn parse(&mut self, header: &Header) -> Result<Step, Nonsense> {
        let bytes = header.frame_bytes();
        if self.body(header).is_none() {
            if bytes <= SHARED_BYTES_MAX {
                self.passage.want(bytes);
                return Ok(Step::Wait);
            }
            return self.parse_long(header);
        }
        let watchful = self.is_watchful();
        let Self { passage, own, core, .. } = self;
        let body = &passage.ahead()[HEADER_BYTES..bytes];
        let name = text_at(body, 0)?;
        let behind = &body[name.len() + 1..];
        let text = text_at(behind, 0)?;
        if !watchful && !scan::is_remarkable(text) && name.is_empty() {
            // By far the most frequent: no copy but the one that is kept.
            let op = replaced(own, core);
            let kept = own.manner.releases.then_some(behind); // else only whose it is
            core.holdings.unnamed = Some(own.keep_unnamed(kept, false));
            return self.send_noted(tag::PARSE, bytes, op);
        }
        let (name, behind) = (name.to_vec(), behind.to_vec());
        self.parse_remarkable(header, &name, &behind)
    }

    /// A Parse with a name, or of a text that may do more than meets the eye.
    fn parse_remarkable(
        &mut self,
        header: &Header,
        name: &[u8],
        behind: &[u8],
    ) -> Result<Step, Nonsense> {
        if !name.is_empty() && self.awaits(name, true) {
            return Ok(Step::Wait);
        }
        let text = text_at(behind, 0)?;
        let mut bytes = header.frame_bytes();
        let (mut edits, mut changed) = (Edits::new(), None);
        if self.own.manner.single && scan::statements(text).any(|one| opens_transaction(&one.head))
        {
            return Ok(Step::Transaction);
        }
        if self.is_watchful() || scan::is_remarkable(text) {
            let names = match name.is_empty() {
                true => names_in(text, self.own.backslashes()),
                false => Vec::new(),
            };
            if self.awaits_names(&names, text) {
                return Ok(Step::Wait);
            }
            edits = self.renamed(&names, Purpose::Statement)?;
            changed = self.changed(text, &edits, &names);
        }
        if name.is_empty() {
            let op = replaced(self.own, self.core);
            self.core.holdings.unnamed = Some(self.own.keep_unnamed(Some(behind), true));
            if changed.is_some() {
                bytes = self.amend(&edits, 1);
                self.core.holdings.unnamed_changed = changed;
            }
            return self.send_noted(tag::PARSE, bytes, op);
        }
        match self.own.manner.shares_statements {
            true => self.parse_named(name, behind),
            false => self.parse_unshared(header, name, behind),
        }
    }

    fn parse_named(&mut self, name: &[u8], behind: &[u8]) -> Result<Step, Nonsense> {
        if let Some(statement) = self.ensure(name, Purpose::Statement)? {
            // The server shall say that it exists.
            self.speak_of(name);
            let bytes = self.rename(0, name.len(), &statement.name());
            return self.send_as(tag::PARSE, bytes);
        }
        if self.own.prepared_by_sql(name) {
            // The server shall say that it exists; if it does not, the name is as good as that.
            self.core.holdings.suspicion.add(Suspicion::STATEMENT);
            return self.send_as(tag::PARSE, HEADER_BYTES + name.len() + 1 + behind.len());
        }
        let statement = self.statements.intern(behind);
        if self.own.names.bind(name, statement.clone()).is_err() {
            // More than anybody needs: as one that is too long.
            self.core.holdings.suspicion.add(Suspicion::STATEMENT);
            return self.send_as(tag::PARSE, HEADER_BYTES + name.len() + 1 + behind.len());
        }
        let whole_name = name.len();
        let name: Box<[u8]> = significant_name(name).into();
        let holdings = &mut self.core.holdings;
        // In a failed transaction a Close would succeed.
        let conversation = &self.core.conversation;
        let may_fail =
            conversation.status_may_change() || conversation.status() == TransactionStatus::Failed;
        if !may_fail && holdings.prepared.touch(&statement) {
            let mut message = Vec::with_capacity(32);
            encode::close(&mut message, Target::Statement, NOTHING);
            let whole = HEADER_BYTES + whole_name + 1 + behind.len();
            self.passage.splice(0, whole, &message);
            self.own.said.reuses += 1;
            let op = Op::Pretend { name, statement };
            return self.send_noted(tag::CLOSE, message.len(), op);
        }
        self.make_room(&statement, may_fail, Purpose::Statement)?;
        let bytes = self.rename(0, whole_name, &statement.name());
        self.send_noted(tag::PARSE, bytes, Op::Parse { name, statement, before: None })
    }

    fn send_as(&mut self, message: u8, bytes: usize) -> Result<Step, Nonsense> {
        if let Some(before) = self.spoken_before.take() {
            return self.send_noted(message, bytes, Op::Speak(before));
        }
        let sent = self.core.conversation.sent(message, Owner::Client)?;
        self.sent(sent, bytes)
    }

    fn bind(&mut self, header: &Header) -> Result<Step, Nonsense> {
        let looks = self.own.manner.shares_statements || self.own.has_remarkable();
        let looks = looks || self.is_watchful();
        if !looks && self.has_own_unnamed() {
            return self.send(header, header.frame_bytes());
        }
        let body = &self.passage.ahead()[HEADER_BYTES..];
        let body = &body[..body.len().min(header.body_bytes)];
        let names = text_at(body, 0)
            .and_then(|portal| Ok((portal.len(), text_at(body, portal.len() + 1)?.to_vec())));
        let (portal_bytes, name) = match names {
            Ok(names) => names,
            Err(_) if body.len() < header.body_bytes && self.passage.can_get_more() => {
                return Ok(Step::Wait);
            }
            Err(fault) => return Err(fault.into()),
        };
        if !looks && !name.is_empty() {
            return self.send(header, header.frame_bytes());
        }
        if self.awaits(&name, false) {
            return Ok(Step::Wait);
        }
        let remarkable = self.is_remarkable(&name);
        if remarkable && self.body(header).is_none() && header.frame_bytes() <= SEEN_BYTES_MAX {
            self.passage.want(header.frame_bytes());
            return Ok(Step::Wait);
        }
        if remarkable && self.awaits_inside(&name) {
            return Ok(Step::Wait);
        }
        if remarkable {
            self.remark_values(header);
        }
        let gives_null = remarkable && self.gives_null(header);
        let bytes = match self.own.manner.shares_statements {
            true => self.refer(header, portal_bytes + 1, &name, remarkable)?,
            false => {
                self.remark_unshared(&name);
                if name.is_empty() {
                    self.ensure_unnamed(true)?;
                }
                header.frame_bytes()
            }
        };
        if gives_null {
            self.core.holdings.touched.doubt();
            self.own.decides |= self.own.has_startup();
        }
        self.send(header, bytes)
    }

    /// May the client's statement do more than meets the eye?
    fn is_remarkable(&self, name: &[u8]) -> bool {
        match self.own.names.get(name) {
            Some(statement) if !name.is_empty() => statement.is_remarkable(),
            _ => name.is_empty() && self.own.unnamed_is_remarkable(),
        }
    }

    fn describe_or_close(&mut self, header: &Header) -> Result<Step, Nonsense> {
        let (bytes, shares) = (header.frame_bytes(), self.own.manner.shares_statements);
        let Some(body) = self.body(header) else {
            return match self.passage.can_get_more() {
                true => Ok(Step::Wait),
                false => Err(too_long(header).into()),
            };
        };
        let is_statement = body.first() == Some(&b'S');
        if !is_statement || !(shares || body.get(1) == Some(&0)) {
            // Without sharing a client may close what is ours.
            let ours = body.get(1..).is_some_and(|name| name.starts_with(RESERVED));
            self.core.holdings.equipped &= !(is_statement && ours);
            return self.send(header, bytes); // a name that is remembered too long is no harm
        }
        let name = text_at(body, 1)?.to_vec();
        let closes_unnamed = name.is_empty() && header.tag == tag::CLOSE;
        if !closes_unnamed && self.awaits(&name, header.tag == tag::CLOSE) {
            return Ok(Step::Wait);
        }
        if header.tag == tag::DESCRIBE {
            let remarkable = self.is_remarkable(&name);
            if remarkable && self.awaits_inside(&name) {
                return Ok(Step::Wait);
            }
            let bytes = self.refer(header, 1, &name, remarkable)?;
            return self.send(header, bytes);
        }
        if name.is_empty() {
            let op = replaced(self.own, self.core);
            self.own.drop_unnamed();
            self.core.holdings.unnamed = None;
            return self.send_noted(tag::CLOSE, bytes, op);
        }
        let Some(statement) = self.own.names.unbind(&name) else {
            // One that does not exist, or one that ties its client to this server.
            if self.own.pinned.is_some() {
                self.core.holdings.suspicion.add(Suspicion::STATEMENT);
            }
            let bytes = self.refer(header, 1, &name, false)?;
            return self.send(header, bytes);
        };
        let bytes = self.rename(1, name.len(), NOTHING);
        let name = significant_name(&name).into();
        self.send_noted(tag::CLOSE, bytes, Op::Forget { name, statement })
    }

    /// The message ahead speaks of the client's statement `name`, `at` bytes into its body: the
    /// server gets the statement if it lacks it, and the message speaks of what the server has.
    /// Returns its length now.
    fn refer(
        &mut self,
        header: &Header,
        at: usize,
        name: &[u8],
        remarkable: bool,
    ) -> Result<usize, Nonsense> {
        let binds = header.tag == tag::BIND;
        let may_do_more = binds && (self.is_watchful() || remarkable);
        if name.is_empty() {
            if may_do_more {
                self.remark_unnamed();
                if let Some(gist) = self.own.unnamed_gist() {
                    self.foresee_deallocate(&gist);
                }
            }
            self.ensure_unnamed(binds)?;
            return Ok(header.frame_bytes());
        }
        match self.find(name, Purpose::Statement)? {
            Found::Outdated => {
                self.speak_of(name);
                return Ok(self.rename(at, name.len(), &[OUTDATED, name].concat()));
            }
            Found::Ready(statement) => {
                if may_do_more {
                    self.own.decides |= self.remark_gist(statement.gist());
                }
                let statement = match remarkable {
                    true => self.in_servers_words(statement, binds)?,
                    false => statement,
                };
                self.speak_of(name);
                return Ok(self.rename(at, name.len(), &statement.name()));
            }
            Found::Unknown => {}
        }
        if name.starts_with(RESERVED) {
            // Ours, or another client's: to this client there is no such statement.
            return Ok(self.rename(at, name.len(), &[ALIEN, name].concat()));
        }
        Ok(header.frame_bytes())
    }

    /// The client's statement of this name, which the server has when the message ahead comes. An
    /// outdated one is gone: the server says so, and the name is free.
    pub(super) fn ensure(
        &mut self,
        name: &[u8],
        purpose: Purpose,
    ) -> Result<Option<Interned>, Nonsense> {
        match self.find(name, purpose)? {
            Found::Ready(statement) => return Ok(Some(statement)),
            Found::Outdated => drop(self.own.names.unbind(name)),
            Found::Unknown => {}
        }
        Ok(None)
    }

    /// What the client's name for a statement stands for; what the server lacks of it is in front.
    fn find(&mut self, name: &[u8], purpose: Purpose) -> Result<Found, Nonsense> {
        let Some(statement) = self.own.names.get(name).cloned() else {
            return Ok(Found::Unknown);
        };
        if statement.is_retired() && !self.core.holdings.prepared.has(&statement) {
            return Ok(Found::Outdated);
        }
        self.supply(&statement, purpose)?;
        Ok(Found::Ready(statement))
    }

    /// The server has this statement when the message ahead comes.
    pub(super) fn supply(
        &mut self,
        statement: &Interned,
        purpose: Purpose,
    ) -> Result<(), Nonsense> {
        if self.core.holdings.prepared.touch(statement) {
            return Ok(());
        }
        self.make_room(statement, false, purpose)?;
        let mut front = Vec::with_capacity(statement.body().len() + 48);
        encode::parse_renamed(&mut front, &*statement.name(), statement.body());
        self.put_in_front(tag::PARSE, purpose, Op::Prepare(statement.clone()), &front)?;
        self.own.said.prepared += 1;
        Ok(())
    }

    /// The server counts as having this statement; what it has to close before is in front.
    fn make_room(
        &mut self,
        statement: &Interned,
        may_be_there: bool,
        purpose: Purpose,
    ) -> Result<(), Nonsense> {
        let mut front = Vec::with_capacity(48);
        if may_be_there || self.core.holdings.doubtful {
            encode::close(&mut front, Target::Statement, &*statement.name());
            self.put_in_front(tag::CLOSE, purpose, Op::Sweep, &front)?;
        }
        if let Some(evicted) = self.core.holdings.prepared.insert(statement.clone()) {
            front.clear();
            encode::close(&mut front, Target::Statement, &*evicted.name());
            self.put_in_front(tag::CLOSE, purpose, Op::Evict(evicted), &front)?;
        }
        Ok(())
    }

    /// The message ahead speaks of this statement of the client.
    fn speak_of(&mut self, name: &[u8]) {
        let behind = self.core.conversation.outstanding() > 0; // alone, a failure is about it
        self.spoken_before = self.own.speak_of(name, behind).filter(|_| behind);
    }

    pub(super) fn put_in_front(
        &mut self,
        message: u8,
        purpose: Purpose,
        op: Op,
        bytes: &[u8],
    ) -> Result<(), Nonsense> {
        let sent = self.core.conversation.sent_noted(message, Owner::Ours(purpose))?;
        assert_eq!(
            sent,
            Sent::Forward,
            "there is room, and nothing is skipped: both were looked at"
        );
        self.core.holdings.note(op);
        self.passage.insert(bytes);
        Ok(())
    }

    /// Changes a name of `name_bytes` that begins `at` bytes into the body of the message ahead.
    /// Returns the length of the message now.
    fn rename(&mut self, at: usize, name_bytes: usize, name: &[u8]) -> usize {
        self.passage.amend(HEADER_BYTES + at, name_bytes, name)
    }
}

/// The query in what follows the name in a Parse.
pub(super) fn statement_query(behind: &[u8]) -> &[u8] {
    behind.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// The string that begins `at` bytes into the body.
pub(super) fn text_at(body: &[u8], at: usize) -> Result<&[u8], Malformed> {
    let rest = body.get(at..).unwrap_or_default();
    let fault = Malformed { place: "a name", fault: Fault::Unterminated("a string") };
    rest.iter().position(|&byte| byte == 0).map(|end| &rest[..end]).ok_or(fault)
}

fn too_long(header: &Header) -> Malformed {
    let fault = Fault::Trailing(header.body_bytes);
    Malformed { place: wire::tag::frontend::name(header.tag), fault }
}
