//! Belongings: what belongs to a client, whatever server it has: its settings, its prepared
//! statements, a transaction it has begun in words only. It does not know how they get to a server.

mod application_name;
mod learn;
mod manner;
mod pack;
mod shown;

use std::sync::Arc;

use config::Rule;
use router::{ClientId, Interned, Names, Parameters, Statements, significant_name};
use wire::scan::{Backslashes, Gist, Head};
use wire::settings::Settings;

pub use application_name::with_suffix;
pub use manner::Manner;
pub use shown::shown;

use super::attrs::Attrs;
use crate::backend::{Holdings, Op, Reset, Touched, Unnamed, Which};

/// What belongs to one client.
pub struct Belongings {
    /// Whose.
    pub client: ClientId,
    /// How its pool treats it.
    pub manner: Manner,
    /// What it asked for when it came, with what its rule adds: RESET leads there.
    startup: Arc<Settings>,
    /// What it wants now.
    pub wanted: Arc<Settings>,
    /// What it was told of its server's parameters.
    pub told: Arc<Parameters>,
    /// Its prepared statements.
    pub names: Names,
    /// Names it gave by SQL, as long as it is pinned.
    by_sql: Vec<Box<[u8]>>,
    /// The one it named last.
    spoken_of: Vec<u8>,
    /// It has named one in its batch.
    spoke: bool,
    /// Its unnamed statement.
    unnamed: Unnamed,
    /// How many it had.
    unnamed_count: u32,
    /// Its batch decides about names or settings of what follows.
    pub decides: bool,
    /// It may take away names of statements.
    pub doubts_names: bool,
    /// It waits for answers that its server was told to send.
    pub flushed: bool,
    /// It has made or renewed the unnamed statement.
    pub renewed: bool,
    /// It has prepared a statement by SQL that may set something.
    pub sets_by_sql: bool,
    /// How often in a row an inquiry was not answered.
    pub unanswered: u32,
    /// What it said since this was handed in.
    pub said: Said,
    /// It said BEGIN, and no server knows.
    pub begun: bool,
    /// What ties it to its server, in words.
    pub pinned: Option<Box<str>>,
    /// It has more settings than can be carried, in this server.
    pub overloaded: bool,
    /// Which of several servers it wants.
    pub attrs: Attrs,
    /// Behind `application_name` (`application_name_add_host`).
    address_suffix: Option<Box<str>>,
}

/// How often a client said what about statements.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said {
    /// Parse messages of the client.
    pub parses: u32,
    /// Parse messages that were put in front of what it said.
    pub prepared: u32,
    /// Parse messages that no server had to do.
    pub reuses: u32,
    /// Bind messages of the client.
    pub binds: u32,
}

/// A name and its value.
pub type Setting = (Box<[u8]>, Box<[u8]>);

impl Belongings {
    /// Of a client that came with these settings.
    pub fn new(client: ClientId, rule: &Rule, startup: Arc<Settings>) -> Self {
        Self {
            client,
            manner: Manner::of(rule),
            wanted: Arc::clone(&startup),
            startup,
            told: Arc::default(),
            names: Names::new(),
            by_sql: Vec::new(),
            spoken_of: Vec::new(),
            spoke: false,
            unnamed: Unnamed::default(),
            unnamed_count: 0,
            decides: false,
            doubts_names: false,
            flushed: false,
            renewed: false,
            sets_by_sql: false,
            unanswered: 0,
            said: Said::default(),
            begun: false,
            pinned: None,
            overloaded: false,
            attrs: Attrs::default(),
            address_suffix: None,
        }
    }

    /// Each new `application_name` of its own gets this behind it.
    pub fn suffix_application_name(&mut self, suffix: Box<str>) {
        self.address_suffix = Some(suffix);
    }

    /// Did it come with settings?
    pub fn has_startup(&self) -> bool {
        !self.startup.is_empty()
    }

    /// What its server reports, with what this client has there from its next request on: what it
    /// wants and the server lacks, and what a RESET leads to. None: just what it reports.
    pub fn seen_by_client(&self, holdings: &Holdings) -> Option<Parameters> {
        let resets = holdings.touched.names().filter(|(name, reset)| {
            *reset == Reset::Yes && holdings.reports_base(name) // and was not rolled back
        });
        let resets = resets.filter_map(|(name, _)| Some((name, self.startup.get(name)?)));
        let touched = |name: &[u8]| match holdings.touched.is_named(name) {
            true => true,
            false => holdings.touched.all() && !holdings.reports_base(name),
        };
        let lacking = self
            .wanted
            .iter()
            .filter(|(name, value)| holdings.settings.get(name) != Some(value) && !touched(name));
        let values: Vec<_> = resets.chain(lacking).collect();
        let find = |name: &str| {
            let same = |(one, _): &&(&[u8], &[u8])| one.eq_ignore_ascii_case(name.as_bytes());
            values.iter().find(same).map(|(_, value)| *value)
        };
        let mut seen = (!values.is_empty()).then(|| (*holdings.reported).clone())?;
        for (name, value) in &mut seen {
            if let Some(wanted) = find(name) {
                *value = shown(name, wanted, value);
            } else if name == "is_superuser" && find("role").is_some() {
                // As long as nobody has looked: what it was when it had that role.
                let told = self.told.iter().find(|(one, _)| one == name);
                told.into_iter().for_each(|(_, told)| value.clone_from(told));
            }
        }
        Some(seen)
    }

    /// What a backslash in its texts is. Its server may not have its settings yet.
    pub fn backslashes(&self) -> Backslashes {
        Backslashes {
            escape: self.was_told("standard_conforming_strings", &["off"]),
            end_characters: self.was_told("client_encoding", &BACKSLASHES_END_CHARACTERS),
        }
    }

    /// Are its texts in UTF-8?
    pub fn speaks_utf8(&self) -> bool {
        self.was_told("client_encoding", &["UTF8"])
    }

    fn was_told(&self, name: &str, values: &[&str]) -> bool {
        self.told.iter().any(|(one, value)| one == name && values.contains(&&**value))
    }

    /// Its server reports these: the messages that tell it what is new.
    pub fn tell(&mut self, reported: &Arc<Parameters>) -> Vec<u8> {
        let before = std::mem::replace(&mut self.told, Arc::clone(reported));
        let mut messages = Vec::new();
        for (name, value) in reported.iter().filter(|one| !before.contains(one)) {
            wire::encode::parameter_status(&mut messages, name, value);
        }
        messages
    }

    /// The client made an unnamed statement; `body` is that of its Parse behind the name, if it is
    /// here.
    pub fn keep_unnamed(&mut self, body: Option<&[u8]>, remarkable: bool) -> Which {
        self.unnamed_count = self.unnamed_count.wrapping_add(1);
        self.unnamed.keep(body, self.unnamed_count, remarkable);
        self.which_unnamed()
    }

    /// Its unnamed statement, and which one it is. One without a body is only where it was made.
    pub fn unnamed(&self) -> Option<(Which, &[u8])> {
        self.unnamed.exists.then(|| (self.which_unnamed(), &*self.unnamed.body))
    }

    fn which_unnamed(&self) -> Which {
        // Plain texts are not read.
        let may_speak = self.unnamed.is_remarkable && self.manner.shares_statements;
        let gist = may_speak.then(|| self.unnamed.gist()).flatten();
        let name = gist.and_then(|gist| gist.spoken_of());
        let speaks_of = name.and_then(|name| self.names.get(name)).map(|one| one.number());
        Which { client: self.client, version: self.unnamed.version, speaks_of }
    }

    /// What its unnamed statement says, if it has one that was kept.
    pub fn unnamed_gist(&self) -> Option<Arc<Gist>> {
        self.unnamed.gist().cloned()
    }

    /// May its unnamed statement change settings?
    pub fn unnamed_is_remarkable(&self) -> bool {
        self.unnamed.exists && self.unnamed.is_remarkable
    }

    /// May one of its statements that are known?
    pub fn has_remarkable(&self) -> bool {
        !self.names.is_empty() || self.unnamed_is_remarkable()
    }

    /// Its unnamed statement, which something else replaces that may be skipped.
    pub fn take_unnamed(&mut self) -> Unnamed {
        std::mem::take(&mut self.unnamed)
    }

    /// Its batch ends: did it decide about what follows?
    pub fn end_batch(&mut self) -> bool {
        (self.doubts_names, self.renewed) = (false, false);
        (self.flushed, self.spoke) = (false, false);
        std::mem::take(&mut self.decides)
    }

    /// Its unnamed statement is gone.
    pub fn drop_unnamed(&mut self) {
        self.unnamed.drop();
    }

    /// It says PREPARE in SQL.
    pub fn prepare_by_sql(&mut self, name: &[u8]) {
        let name = significant_name(name);
        if self.by_sql.len() < BY_SQL_MAX && !self.prepared_by_sql(name) {
            self.by_sql.push(name.into());
        }
    }

    /// Did it say PREPARE of this name?
    pub fn prepared_by_sql(&self, name: &[u8]) -> bool {
        let name = significant_name(name);
        self.by_sql.iter().any(|known| **known == *name)
    }

    /// Nothing ties it to its server any more.
    pub fn unpin(&mut self) {
        (self.pinned, self.overloaded) = (None, false);
        self.by_sql = Vec::new();
        self.sets_by_sql = false;
        if !self.manner.shares_statements {
            self.names.clear(); // they were that server's
        }
    }

    /// It speaks of its statement `name`; of which one it spoke before, if of another. Behind
    /// (`behind`) requests that may be skipped a batch tells in any case.
    pub fn speak_of(&mut self, name: &[u8], behind: bool) -> Option<Box<[u8]>> {
        let name = &name[..name.len().min(SPOKEN_BYTES_MAX)];
        let first = !std::mem::replace(&mut self.spoke, true);
        if *self.spoken_of == *name && !(first && behind) {
            return None;
        }
        let before = self.spoken_of.as_slice().into();
        self.spoken_of.clear();
        self.spoken_of.extend_from_slice(name);
        Some(before)
    }

    /// A text of it speaks of its statement `name`. That cannot be taken back: what its batch said
    /// before counts more.
    pub fn speak_in_text(&mut self, name: &[u8]) {
        if !self.spoke {
            self.spoken_of.clear();
            self.spoken_of.extend_from_slice(&name[..name.len().min(SPOKEN_BYTES_MAX)]);
        }
    }

    /// The statement of this name, or else the one it named last, has another result type now, and
    /// the client has been told: if it runs it again, it is prepared again. The others who know the
    /// old one are told, too.
    pub fn heal(&mut self, name: Option<&[u8]>, statements: &Statements) {
        let name = name.unwrap_or(&self.spoken_of).to_vec();
        let Some(old) = self.renew(&name, statements) else { return };
        if let Some(Head::Execute { name }) = old.gist().only() {
            self.renew(&name.folded, statements);
        }
    }

    /// Another statement of the same text for this name; the one it had.
    fn renew(&mut self, name: &[u8], statements: &Statements) -> Option<Interned> {
        let old = self.names.get(name).filter(|_| self.manner.heals).cloned()?;
        statements.retire(&old);
        self.rebind(name, statements.intern(old.body()));
        Some(old)
    }

    /// The client's name of a shared statement; of several the one it spoke of last, or before it
    /// spoke of others.
    pub fn name_of<'a>(&'a self, number: u64, spoken: Option<&'a [u8]>) -> Option<&'a [u8]> {
        let spoken = spoken.unwrap_or(&self.spoken_of);
        match self.names.get(spoken) {
            Some(one) if one.number() == number => Some(spoken),
            // It was closed since, or was not made after all.
            None if !spoken.is_empty() => Some(spoken),
            other => {
                let mut some = self.names.iter().take(NAMES_LOOKED_THROUGH_MAX);
                let named = some.find(|(_, one)| one.number() == number);
                // One that was made of what it spoke of is told by that.
                named.map(|(name, _)| name).or(other.map(|_| spoken))
            }
        }
    }

    /// A request of it failed: what was believed of it is taken back.
    pub fn failed(&mut self, op: Op) {
        match op {
            // PostgreSQL drops the unnamed statement before it looks at the new one.
            Op::Unnamed(_) => self.drop_unnamed(),
            Op::Speak(_) => {}
            op => self.lost(op),
        }
    }

    /// A request of it was skipped: it is as if it had not been said.
    pub fn lost(&mut self, op: Op) {
        match op {
            Op::Parse { name, before: Some(before), .. } => self.rebind(&name, before),
            Op::Parse { name, .. } | Op::Pretend { name, .. } => drop(self.names.unbind(&name)),
            Op::Forget { name, statement } => self.rebind(&name, statement),
            Op::Unnamed(Some(before)) => self.unnamed = before.own,
            Op::Unnamed(None) => self.drop_unnamed(),
            Op::Speak(before) => self.spoken_of = before.into_vec(),
            Op::Prepare(_) | Op::Renew | Op::Evict(_) | Op::Sweep => {}
            Op::Equip | Op::Deploy(_) | Op::Begin => {}
        }
    }

    fn rebind(&mut self, name: &[u8], statement: Interned) {
        self.names.restore(name, statement);
    }

    /// DEALLOCATE of one name, which was that statement's.
    pub fn deallocated_one(&mut self, name: &[u8], statement: &Interned) {
        if self.names.get(name) == Some(statement) {
            self.names.unbind(name);
        }
    }

    /// DEALLOCATE ALL; what is `pending` comes behind it.
    pub fn deallocated(&mut self, pending: Vec<(Box<[u8]>, Interned)>) {
        self.names.clear();
        for (name, statement) in pending {
            self.rebind(&name, statement);
        }
    }

    /// DISCARD ALL; what is `pending` comes behind it. The unnamed statement stays, in PostgreSQL,
    /// too.
    pub fn discarded(&mut self, pending: Vec<(Box<[u8]>, Interned)>) {
        self.unpin();
        self.deallocated(pending);
        self.wanted = Arc::clone(&self.startup);
    }

    /// What RESET in a transaction has to lead to, and the server does not know: names and values.
    pub fn repairs(&self, touched: &mut Touched) -> Vec<Setting> {
        let startup = |name: &[u8]| self.startup.get(name).map(|value| (name.into(), value.into()));
        touched
            .take_resets(|name| startup(name).is_some())
            .iter()
            .filter_map(|name| startup(name))
            .collect()
    }
}

/// The encodings in which the last byte of a character may be a backslash.
const BACKSLASHES_END_CHARACTERS: [&str; 7] =
    ["SJIS", "SHIFT_JIS_2004", "BIG5", "GBK", "GB18030", "UHC", "JOHAB"];
/// An error quotes so much of a name.
const SPOKEN_BYTES_MAX: usize = 256;
/// Names among which one is looked for that an error means. Each of many errors in a row may mean
/// another; whoever has more names reads the one it spoke of.
const NAMES_LOOKED_THROUGH_MAX: usize = 4096;
/// More names than that by SQL are not told from those of the protocol.
const BY_SQL_MAX: usize = 256;
