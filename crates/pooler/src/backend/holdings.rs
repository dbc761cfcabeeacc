//! Holdings: what a server holds of its clients: settings, prepared statements, and whatever else a
//! client may have left. Known from what passes by; believed only when the server has confirmed it.

use std::collections::VecDeque;
use std::sync::Arc;

use router::{Interned, Parameters, Prepared, STATEMENTS_PER_SERVER_MAX};
use wire::settings::Settings;

use super::{Before, Changed, Suspicion, Touched, Which};

/// Every tag of PostgreSQL fits, but for the count of rows behind some.
const TAG_BYTES_MAX: usize = 31;

/// Reported, but not for a client to set.
const UNSETTABLE: [&str; 6] = [
    "in_hot_standby",
    "integer_datetimes",
    "is_superuser",
    "server_encoding",
    "server_version",
    "session_authorization",
];

/// What a server holds.
pub struct Holdings {
    /// The route it is of, see [`Home::number`](super::Home::number).
    route: usize,
    /// What is set beyond what it came with.
    pub settings: Arc<Settings>,
    /// What may have changed since.
    pub touched: Touched,
    /// What an inquiry under way asks about; what changes meanwhile is `touched` again.
    pub asked: Touched,
    /// What it reports of its parameters, now.
    pub reported: Arc<Parameters>,
    /// What it reported when it was opened.
    base: Arc<Parameters>,
    /// The shared statements it has prepared, under their shared names.
    pub prepared: Prepared,
    /// It may have more of them than `prepared` says: one that is missing is closed first.
    pub doubtful: bool,
    /// Whose unnamed statement it has, and which one of that client; None: nobody knows.
    pub unnamed: Option<Which>,
    /// That statement's text, if it is not as its client said it.
    pub unnamed_changed: Option<Box<Changed>>,
    /// A simple query under way whose text is not as its client said it. Nothing follows it.
    pub query_changed: Option<Box<Changed>>,
    /// The statements of our own that serve settings are prepared.
    pub equipped: bool,
    /// What a client may have left besides settings and statements.
    pub suspicion: Suspicion,
    /// Requests whose fate changes any of this, in the order in which they were sent.
    ledger: VecDeque<Op>,
    /// The DEALLOCATEs under way by SQL, in their order: of which shared statement, if of one.
    leaving: VecDeque<Option<(Box<[u8]>, Interned)>>,
    /// A preamble was refused: what is to be done until the client may go on.
    pub refusal: Refusal,
    /// It was, and none has been taken since: what its client says about settings is not done.
    pub was_refused: bool,
    /// Something was set whose name nobody knows: its settings are reset before another client
    /// gets it.
    pub unclean: bool,
    /// Rows of an inquiry, as they come.
    pub findings: Vec<Finding>,
    /// How an inquiry stands.
    pub asking: Asking,
    /// Steps of a preamble that are under way and noted.
    deploying: usize,
    /// The transaction that the preamble ends in is the client's.
    pub begins: bool,
    /// The command that completed last, as far as it fits: its length, and its letters.
    last_command: (u8, [u8; TAG_BYTES_MAX]),
}

/// How an inquiry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// None is under way.
    No,
    /// One is.
    Yes,
    /// The server did not answer it.
    Failed,
}

/// A request under way, and what it changes when it is done.
#[derive(Debug)]
pub enum Op {
    /// Prepares a shared statement.
    Prepare(Interned),
    /// A client's Parse, of a statement that the server lacks; and what the name meant before, if
    /// the server is to say whether it may mean another.
    Parse { name: Box<[u8]>, statement: Interned, before: Option<Interned> },
    /// A client's Parse of a statement that the server has: it got a Close of nothing, whose answer
    /// is as long as a ParseComplete and comes at the same place.
    Pretend { name: Box<[u8]>, statement: Interned },
    /// A client's Parse or Close of the unnamed statement; what was before, if the request may be
    /// skipped.
    Unnamed(Option<Box<Before>>),
    /// A client's request that speaks of another statement than the one before it, which was this.
    Speak(Box<[u8]>),
    /// A client's Close: it too became a Close of nothing; others may use the statement.
    Forget { name: Box<[u8]>, statement: Interned },
    /// The unnamed statement of a client again, or none for a client that has none.
    Renew,
    /// Closes a statement to make room.
    Evict(Interned),
    /// Closes one that may be there.
    Sweep,
    /// Prepares the last statement of our own.
    Equip,
    /// The step of a preamble that commits its settings.
    Deploy(Arc<Settings>),
    /// The last step of a preamble: the client's BEGIN.
    Begin,
}

/// The ways of a preamble that the server refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// None was.
    None,
    /// The error went to the client; its request is skipped up to a Sync.
    Skipping,
    /// As Skipping; but nothing is to be rolled back: the transaction, if there is one, is the
    /// client's.
    Query,
    /// The Sync is answered; what the preamble began is to be rolled back.
    Synced,
    /// The ROLLBACK is under way; its ReadyForQuery is the client's.
    Excused,
}

/// One setting, or what was left (under an empty name), as an inquiry found it.
pub struct Finding {
    /// In lower case.
    pub name: Vec<u8>,
    /// None: there is no such setting.
    pub value: Option<Vec<u8>>,
}

impl Op {
    /// Is it a noted step of a preamble?
    fn deploys(&self) -> bool {
        matches!(self, Op::Deploy(_) | Op::Begin)
    }
}

impl Holdings {
    /// What a new server holds: nothing.
    pub fn new(reported: Arc<Parameters>, route: usize) -> Self {
        Self {
            route,
            settings: Arc::default(),
            touched: Touched::default(),
            asked: Touched::default(),
            base: Arc::clone(&reported),
            reported,
            prepared: Prepared::new(STATEMENTS_PER_SERVER_MAX),
            doubtful: false,
            unnamed: None,
            unnamed_changed: None,
            query_changed: None,
            equipped: false,
            suspicion: Suspicion::NONE,
            ledger: VecDeque::new(),
            leaving: VecDeque::new(),
            refusal: Refusal::None,
            was_refused: false,
            unclean: false,
            findings: Vec::new(),
            asking: Asking::No,
            deploying: 0,
            begins: false,
            last_command: (0, [0; TAG_BYTES_MAX]),
        }
    }

    /// A command of its client completed with this tag.
    pub fn completed(&mut self, tag: &[u8]) {
        let bytes = tag.len().min(TAG_BYTES_MAX);
        self.last_command.0 = bytes as u8;
        self.last_command.1[..bytes].copy_from_slice(&tag[..bytes]);
    }

    /// The tag of the command that completed last; empty if there was none.
    pub fn last_command(&self) -> String {
        let (bytes, letters) = &self.last_command;
        String::from_utf8_lossy(&letters[..usize::from(*bytes)]).into_owned()
    }

    /// It reports a parameter. One that nobody is known to have set was set by a function.
    pub fn report(&mut self, name: &str, value: &str) {
        let expected = self.settings.get(name.as_bytes());
        let base = self.base.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_bytes());
        if expected.or(base) != Some(value.as_bytes()) && !UNSETTABLE.contains(&name) {
            self.touched.suspect(name.to_ascii_lowercase().as_bytes());
        }
        let known = Arc::make_mut(&mut self.reported);
        match known.iter_mut().find(|(one, _)| one == name) {
            Some((_, old)) => value.clone_into(old),
            None => known.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Does it report of this parameter what it did when it was opened?
    pub fn reports_base(&self, name: &[u8]) -> bool {
        let value = |reported: &Parameters| {
            let same = |one: &&(String, String)| one.0.as_bytes().eq_ignore_ascii_case(name);
            reported.iter().find(same).map(|(_, value)| value.clone())
        };
        value(&self.reported) == value(&self.base)
    }

    /// What it reports of this parameter is its own default now, whatever that was before.
    pub fn rebase(&mut self, name: &[u8]) {
        let named = |one: &&(String, String)| one.0.as_bytes().eq_ignore_ascii_case(name);
        let Some(now) = self.reported.iter().find(named).cloned() else { return };
        let base = Arc::make_mut(&mut self.base);
        base.iter_mut().filter(|(one, _)| *one == now.0).for_each(|one| *one = now.clone());
    }

    /// A request was sent as noted: what it changes when it is done.
    pub fn note(&mut self, op: Op) {
        self.deploying += usize::from(op.deploys());
        self.ledger.push_back(op);
    }

    /// Noted requests under way.
    pub fn noted(&self) -> usize {
        self.ledger.len()
    }

    /// The oldest noted request is done.
    pub fn done(&mut self) -> Option<Op> {
        let op = self.ledger.pop_front()?;
        self.deploying -= usize::from(op.deploys());
        match &op {
            Op::Deploy(settings) => {
                self.settings = Arc::clone(settings);
                self.was_refused = false;
            }
            Op::Equip => self.equipped = true,
            Op::Prepare(statement) | Op::Parse { statement, .. } => {
                statement.prove(self.route);
            }
            _ => {}
        }
        Some(op)
    }

    /// The oldest `count` noted requests failed or were skipped: the newest of them first, what was
    /// believed of it is taken back. `failed`: the oldest was not skipped.
    pub fn lost(&mut self, count: usize, failed: bool) -> Vec<Op> {
        let count = count.min(self.ledger.len());
        let lost: Vec<Op> = self.ledger.drain(..count).collect();
        lost.iter().for_each(|op| self.deploying -= usize::from(op.deploys()));
        let mut lost = handed_on(lost, failed, &mut self.ledger);
        lost.reverse();
        let last = lost.len();
        for (number, op) in (1..).zip(&lost) {
            match op {
                Op::Prepare(statement) | Op::Parse { statement, .. } => {
                    if !self.prepares(statement) {
                        self.prepared.remove(statement);
                    }
                }
                Op::Unnamed(Some(before)) if !(failed && number == last) => {
                    (self.unnamed, self.unnamed_changed) = (before.held, None);
                }
                Op::Unnamed(_) | Op::Renew => self.unnamed = None,
                // What was prepared in its place has just been taken back.
                Op::Evict(statement) => {
                    self.doubtful |= self.prepared.insert(statement.clone()).is_some()
                }
                Op::Sweep => self.doubtful = true,
                Op::Pretend { .. } | Op::Forget { .. } | Op::Speak(_) => {}
                Op::Equip | Op::Deploy(_) | Op::Begin => {}
            }
        }
        lost
    }

    /// Does a request under way prepare this statement?
    fn prepares(&self, statement: &Interned) -> bool {
        self.ledger.iter().any(|op| match op {
            Op::Prepare(one) | Op::Parse { statement: one, .. } => one == statement,
            _ => false,
        })
    }

    /// Does the meaning of this name, which is that statement's now if any, hang on requests under
    /// way?
    pub fn hangs(&self, name: &[u8], statement: Option<&Interned>) -> bool {
        let gives = |op: &Op| match op {
            Op::Parse { name: one, .. } | Op::Pretend { name: one, .. } => **one == *name,
            Op::Forget { name: one, .. } => **one == *name,
            Op::Prepare(one) => Some(one) == statement,
            _ => false,
        };
        let prepared = |statement: &Interned| self.prepares(statement);
        !self.ledger.is_empty()
            && (self.ledger.iter().any(gives) || statement.is_some_and(prepared))
    }

    /// A simple query drops the unnamed statement. If it is not skipped itself (`is_certain`), what
    /// was before the requests in front of it does not come back though they are skipped.
    pub fn drop_unnamed(&mut self, is_certain: bool) {
        (self.unnamed, self.unnamed_changed) = (None, None);
        for op in self.ledger.iter_mut().filter(|_| is_certain) {
            if let Op::Unnamed(Some(before)) = op {
                **before = Before::default();
            }
        }
    }

    /// Does the unnamed statement hang on requests under way?
    pub fn unnamed_hangs(&self) -> bool {
        self.ledger.iter().any(|op| matches!(op, Op::Unnamed(_) | Op::Renew))
    }

    /// Names that requests under way will give.
    pub fn pending(&self) -> Vec<(Box<[u8]>, Interned)> {
        let named = |op: &Op| match op {
            Op::Parse { name, statement, .. } | Op::Pretend { name, statement } => {
                Some((name.clone(), statement.clone()))
            }
            _ => None,
        };
        self.ledger.iter().filter_map(named).collect()
    }

    /// Of which statement the request spoke whose answer comes now, if another one is spoken of
    /// behind it.
    pub fn spoken(&self) -> Option<&[u8]> {
        self.ledger.iter().find_map(|op| match op {
            Op::Speak(before) => Some(&**before),
            _ => None,
        })
    }

    /// Is a preamble under way?
    pub fn is_deploying(&self) -> bool {
        self.deploying > 0 || self.refusal != Refusal::None
    }

    /// Is an inquiry under way whose answer may change what the client's next request needs?
    pub fn is_asking_for_resets(&self) -> bool {
        self.asking != Asking::No && self.asked.any_reset()
    }

    /// A DEALLOCATE by SQL will come to pass unless something fails before: of a shared statement
    /// and the client's name of it, or of another.
    pub fn foresee_deallocate(&mut self, shared: Option<(Box<[u8]>, Interned)>) {
        self.leaving.push_back(shared);
    }

    /// May a DEALLOCATE under way take this statement away?
    pub fn is_leaving(&self, statement: &Interned) -> bool {
        self.leaving.iter().flatten().any(|(_, one)| one == statement)
    }

    /// A DEALLOCATE is done: of this name of a shared statement, if it was one and its client does
    /// not give the name again behind it.
    pub fn deallocated_one(&mut self) -> Option<(Box<[u8]>, Interned)> {
        let Some(foreseen) = self.leaving.pop_front() else {
            // Some statement is gone, nobody knows which.
            self.robbed();
            return None;
        };
        let (name, statement) = foreseen?;
        if !self.prepares(&statement) {
            self.prepared.remove(&statement);
        }
        for op in &mut self.ledger {
            if let Op::Parse { name: given, before, .. } = op
                && *given == name
            {
                *before = None;
            }
        }
        let gives = |op: &Op| match op {
            Op::Parse { name: given, .. } | Op::Pretend { name: given, .. } => *given == name,
            _ => false,
        };
        let again = self.ledger.iter().any(gives);
        (!again).then_some((name, statement))
    }

    /// It lacks a statement of ours, and nobody knows what else was taken away unseen: what is
    /// needed is prepared again.
    pub fn robbed(&mut self) {
        self.prepared.clear();
        (self.doubtful, self.equipped) = (true, false);
    }

    /// All that its client asked for is answered: what has not come to pass will not.
    pub fn answered(&mut self) {
        self.leaving.clear();
        self.query_changed = None;
    }

    /// All its prepared statements are gone.
    pub fn deallocated(&mut self) {
        self.prepared.clear();
        for op in &mut self.ledger {
            if let Op::Parse { before, .. } = op {
                *before = None;
            }
            if let Op::Prepare(statement) | Op::Parse { statement, .. } = op {
                // It comes behind.
                drop(self.prepared.insert(statement.clone()));
            }
        }
        (self.doubtful, self.equipped) = (false, false);
    }

    /// DISCARD ALL: it is as new.
    pub fn discarded(&mut self) {
        self.deallocated();
        self.settings_reset();
        self.suspicion = Suspicion::NONE;
        self.unnamed = None;
    }

    /// All settings are reset.
    pub fn settings_reset(&mut self) {
        self.settings = Arc::default();
        self.unclean = false;
        self.touched.clear();
        self.asked.clear();
        self.findings.clear(); // they were found before
    }

    /// Nothing is owed. What was said behind a refused preamble was skipped, and the server's
    /// settings are nobody's wish. Behind a BEGIN of the client's some of it may have been done.
    pub fn forget_refused(&mut self) {
        if std::mem::take(&mut self.was_refused) {
            self.unclean |= self.touched.any();
            self.touched.clear();
        }
    }

    /// Its client is gone: nobody waits for what we asked on its behalf.
    pub fn abandoned(&mut self) {
        (self.refusal, self.was_refused) = (Refusal::None, false);
        if self.asking != Asking::No {
            self.touched.touch_all();
            self.suspicion.add(Suspicion::UNKNOWN);
        }
        self.asking = Asking::No;
        self.asked.clear();
        self.findings = Vec::new();
    }

    /// Another client may have it as it is: its settings are known, and nothing else was left.
    pub fn is_spotless(&self) -> bool {
        !self.suspicion.is_any() && !self.touched.any() && !self.unclean
    }
}

/// Some of what was lost is replaced by requests behind it: what was before, is before those now.
fn handed_on(mut lost: Vec<Op>, failed: bool, behind: &mut VecDeque<Op>) -> Vec<Op> {
    let own = usize::from(failed);
    let speaks = behind.iter_mut().find_map(|op| match op {
        Op::Speak(before) => Some(before),
        _ => None,
    });
    if let Some(speaks) = speaks {
        let mut skipped = lost.drain(own.min(lost.len())..);
        let (mut kept, mut first) = (Vec::new(), None);
        for op in &mut skipped {
            match op {
                Op::Speak(before) => first = first.or(Some(before)),
                op => kept.push(op),
            }
        }
        drop(skipped);
        lost.extend(kept);
        *speaks = first.unwrap_or_else(|| std::mem::take(speaks));
    }
    let unnamed = behind.iter_mut().find_map(|op| match op {
        Op::Unnamed(Some(before)) => Some(before),
        _ => None,
    });
    if let Some(unnamed) = unnamed {
        hand_on_unnamed(unnamed, &mut lost, failed);
    }
    lost
}

/// The same of the unnamed statement. What was not renewed after all is not what the server had
/// before a request behind it.
fn hand_on_unnamed(unnamed: &mut Box<Before>, lost: &mut Vec<Op>, failed: bool) {
    let (mut first, mut not_renewed) = (None, false);
    let mut kept = Vec::with_capacity(lost.len());
    for (number, op) in lost.drain(..).enumerate() {
        match op {
            Op::Unnamed(_) if failed && number == 0 => first = Some(Box::default()),
            Op::Unnamed(before) => first = first.or(before),
            Op::Renew => not_renewed |= first.is_none(),
            op => kept.push(op),
        }
    }
    *lost = kept;
    *unnamed = first.unwrap_or_else(|| std::mem::take(unnamed));
    if not_renewed {
        unnamed.held = None;
    }
}

#[cfg(test)]
mod tests {
    use router::Statements;

    use super::*;

    fn holdings() -> Holdings {
        Holdings::new(Arc::default(), 1)
    }

    fn settings() -> Arc<Settings> {
        let mut settings = Settings::new();
        settings.set(b"geqo", b"off").unwrap();
        Arc::new(settings)
    }

    /// Seen to fail: settings that are believed with the last step of a preamble, when a time-out
    /// hits the client's BEGIN behind the COMMIT.
    #[test]
    fn what_a_preamble_committed_is_believed_though_its_begin_fails() {
        let mut holdings = holdings();
        holdings.note(Op::Deploy(settings()));
        holdings.note(Op::Begin);
        assert!(holdings.done().is_some() && holdings.is_deploying());
        assert_eq!(holdings.lost(1, true).len(), 1);
        assert_eq!(holdings.settings, settings());
        assert!(!holdings.is_deploying());
    }

    #[test]
    fn a_preamble_that_fails_leaves_what_was() {
        let mut holdings = holdings();
        holdings.note(Op::Deploy(settings()));
        holdings.note(Op::Begin);
        assert_eq!(holdings.lost(2, true).len(), 2);
        assert_eq!(holdings.settings, Arc::default());
        assert!(!holdings.is_deploying());
    }

    #[test]
    fn a_deallocate_that_nobody_foresaw_may_have_hit_anything() {
        let statements = Statements::new();
        let [one, two] = [b"one", b"two"].map(|text| statements.intern(text));
        let mut holdings = holdings();
        let prepare = |holdings: &mut Holdings| {
            for statement in [&one, &two] {
                assert_eq!(holdings.prepared.insert(statement.clone()), None);
            }
        };
        prepare(&mut holdings);
        holdings.foresee_deallocate(Some((b"s".as_slice().into(), one.clone())));
        holdings.foresee_deallocate(None);
        assert_eq!(holdings.deallocated_one(), Some((b"s".as_slice().into(), one.clone())));
        assert_eq!((holdings.prepared.has(&one), holdings.prepared.has(&two)), (false, true));
        assert_eq!(holdings.deallocated_one(), None);
        assert!(holdings.prepared.has(&two), "it was another's name");
        assert_eq!(holdings.deallocated_one(), None);
        assert!(holdings.prepared.is_empty() && holdings.doubtful);
    }
}
