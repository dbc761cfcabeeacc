//! Belongings: what belongs to a client, whatever server it has: its settings, its prepared
//! statements, a transaction it has begun in words only. It does not know how they get to a server.

use std::sync::Arc;

use config::{PoolMode, Rule, SessionState};
use router::{ClientId, Interned, NAME_BYTES_MAX, Names, Parameters, Statements};
use wire::scan::{self, Head};
use wire::settings::{Settings, TooMany};

use super::Voice;
use super::attrs::Attrs;
use crate::backend::{Core, Finding, Holdings, Op, Reset, Suspicion, Touched};

/// An unnamed statement that is longer lives no longer than its transaction.
const UNNAMED_BYTES_MAX: usize = 64 * 1024;

/// Reads as set, and is not carried: what belongs to one transaction, and a command in the clothes
/// of a setting. PostgreSQL 16 and later refuse to reset them.
const NOBODYS: [&[u8]; 4] =
    [b"transaction_isolation", b"transaction_read_only", b"transaction_deferrable", b"seed"];

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
    /// It has an unnamed statement.
    has_unnamed: bool,
    /// The Parse body behind its name; empty if it is too long to be kept.
    unnamed: Vec<u8>,
    /// Which unnamed statement that is.
    unnamed_version: u32,
    /// That statement may change settings.
    pub unnamed_is_remarkable: bool,
    /// Its batch decides about names or settings of what follows.
    pub decides: bool,
    /// It has prepared a statement by SQL that may set something.
    pub sets_by_sql: bool,
    /// How often in a row an inquiry was not answered.
    pub unanswered: u32,
    /// It said BEGIN, and no server knows.
    pub begun: bool,
    /// What ties it to its server, in words.
    pub pinned: Option<Box<str>>,
    /// Which of several servers it wants.
    pub attrs: Attrs,
    /// Behind `application_name` (`application_name_add_host`).
    address_suffix: Option<Box<str>>,
}

/// A name and its value.
pub type Setting = (Box<[u8]>, Box<[u8]>);

/// How a pool treats its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// A server goes back after each transaction, so settings must follow the client.
    pub releases: bool,
    /// A server goes back after each statement; transactions are refused.
    pub single: bool,
    /// Prepared statements are shared and follow the client.
    pub shares_statements: bool,
    /// A statement whose result type has changed is prepared anew for its next use
    /// (`server_drop_on_cached_plan_error`, which closes the whole server in Odyssey).
    pub heals: bool,
    /// Settings are deployed (`maintain_params`).
    pub deploys: bool,
    /// What to do with a client that leaves more than settings and statements.
    pub state: SessionState,
    /// Whether a LISTEN ties its client to the server, if the rule says so.
    pub pins_on_listen: Option<bool>,
}

impl Manner {
    /// As the rule says.
    pub fn of(rule: &Rule) -> Self {
        let releases = rule.pool != PoolMode::Session;
        Self {
            releases,
            single: rule.pool == PoolMode::Statement,
            shares_statements: releases && rule.pool_reserve_prepared_statement,
            heals: rule.server_drop_on_cached_plan_error,
            deploys: rule.maintain_params,
            state: rule.pool_session_state,
            pins_on_listen: rule.pool_pin_on_listen,
        }
    }

    /// Is it to be found out what a client has left?
    pub fn asks_about(self, suspicion: Suspicion) -> bool {
        let listens = self.pins_on_listen == Some(true) && suspicion.has(Suspicion::LISTEN);
        suspicion.asks() && (self.state != SessionState::Reset || listens)
    }

    /// What to do with a client that has left this.
    pub fn verdict(self, left: &str) -> SessionState {
        match self.pins_on_listen {
            Some(false) if left == "LISTEN" => SessionState::Reset,
            Some(true) if left.starts_with("LISTEN") => SessionState::Pin,
            _ => self.state,
        }
    }
}

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
            has_unnamed: false,
            unnamed: Vec::new(),
            unnamed_version: 0,
            unnamed_is_remarkable: false,
            decides: false,
            sets_by_sql: false,
            unanswered: 0,
            begun: false,
            pinned: None,
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
        let resets = holdings.touched.names().filter(|(_, reset)| *reset == Reset::Yes);
        let resets = resets.filter_map(|(name, _)| Some((name, self.startup.get(name)?)));
        let lacking = self.wanted.iter().filter(|(name, value)| {
            holdings.settings.get(name) != Some(value) && !holdings.touched.has(name)
        });
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
    pub fn keep_unnamed(&mut self, body: Option<&[u8]>, remarkable: bool) -> (ClientId, u32) {
        self.unnamed_is_remarkable = remarkable;
        self.has_unnamed = true;
        self.unnamed_version = self.unnamed_version.wrapping_add(1);
        self.unnamed.clear();
        if let Some(body) = body.filter(|body| body.len() <= UNNAMED_BYTES_MAX) {
            self.unnamed.extend_from_slice(body);
        }
        (self.client, self.unnamed_version)
    }

    /// Its unnamed statement, and which one it is. One without a body is only where it was made.
    pub fn unnamed(&self) -> Option<((ClientId, u32), &[u8])> {
        let which = (self.client, self.unnamed_version);
        self.has_unnamed.then_some((which, &*self.unnamed))
    }

    /// Its unnamed statement is gone.
    pub fn drop_unnamed(&mut self) {
        self.has_unnamed = false;
        if self.unnamed.capacity() > 1024 {
            self.unnamed = Vec::new();
        }
        self.unnamed.clear();
    }

    /// It says PREPARE in SQL.
    pub fn prepare_by_sql(&mut self, name: &[u8]) {
        let name = &name[..name.len().min(NAME_BYTES_MAX)];
        if self.by_sql.len() < BY_SQL_MAX && !self.prepared_by_sql(name) {
            self.by_sql.push(name.into());
        }
    }

    /// Did it say PREPARE of this name?
    pub fn prepared_by_sql(&self, name: &[u8]) -> bool {
        let name = &name[..name.len().min(NAME_BYTES_MAX)];
        self.by_sql.iter().any(|known| **known == *name)
    }

    /// Nothing ties it to its server any more.
    pub fn unpin(&mut self) {
        self.pinned = None;
        self.by_sql = Vec::new();
        self.sets_by_sql = false;
    }

    /// It speaks of its statement `name`.
    pub fn speak_of(&mut self, name: &[u8]) {
        self.spoken_of.clear();
        self.spoken_of.extend_from_slice(&name[..name.len().min(SPOKEN_BYTES_MAX)]);
    }

    /// The statement it named last has another result type now, and the client has been told: if it
    /// runs it again, it is prepared again. The others who know the old one are told, too.
    pub fn heal(&mut self, statements: &Statements) {
        if let Some(old) = self.names.get(&self.spoken_of).filter(|_| self.manner.heals).cloned() {
            statements.retire(&old);
            let fresh = statements.intern(old.body());
            let name = std::mem::take(&mut self.spoken_of);
            self.rebind(&name, fresh);
        }
    }

    /// The client's name of a shared statement; of several the one it spoke of last.
    pub fn name_of(&self, number: u64) -> Option<&[u8]> {
        let spoken_of = self.names.get(&self.spoken_of);
        if spoken_of.is_some_and(|one| one.number() == number) {
            return Some(&self.spoken_of);
        }
        self.names.iter().find(|(_, one)| one.number() == number).map(|(name, _)| name)
    }

    /// A request of it will not be done: what was believed of it is taken back.
    pub fn lost(&mut self, op: Op) {
        match op {
            Op::Parse { name, .. } | Op::Pretend { name, .. } => drop(self.names.unbind(&name)),
            Op::Forget { name, statement } => self.rebind(&name, statement),
            Op::Unnamed => self.drop_unnamed(),
            Op::Prepare(_) | Op::Evict | Op::Equip | Op::Deploy(_) => {}
        }
    }

    fn rebind(&mut self, name: &[u8], statement: Interned) {
        let bound = self.names.bind(name, statement);
        debug_assert!(bound.is_ok(), "there was room for it before");
    }

    /// DEALLOCATE ALL; what is `pending` comes behind it.
    pub fn deallocated(&mut self, pending: Vec<(Box<[u8]>, Interned)>) {
        self.names.clear();
        for (name, statement) in pending {
            self.rebind(&name, statement);
        }
    }

    /// DISCARD ALL; what is `pending` comes behind it.
    pub fn discarded(&mut self, pending: Vec<(Box<[u8]>, Interned)>) {
        self.deallocated(pending);
        self.drop_unnamed();
        self.unpin();
        self.wanted = Arc::clone(&self.startup);
    }

    /// What the server told of settings that may have changed: the client wants what it has, and
    /// what it gave up falls back to what it came with.
    ///
    /// # Errors
    /// It has more than anybody may have.
    pub fn learn(&mut self, core: &mut Core, user: &str, voice: &Voice) -> Result<(), TooMany> {
        let holdings = &mut core.holdings;
        self.unanswered = 0;
        let mut findings = std::mem::take(&mut holdings.findings);
        let asked = std::mem::take(&mut holdings.asked);
        let asked_all = asked.names().all(|(name, _)| findings.iter().any(|f| f.name == name));
        if !asked_all {
            return Err(TooMany::Bytes); // a value that is longer than what is read
        }
        findings.retain(|finding| !NOBODYS.contains(&&*finding.name));
        let (mut wanted, mut held) = ((*self.wanted).clone(), (*holdings.settings).clone());
        if asked.all() {
            forget_missing(&mut wanted, &mut held, &findings);
        }
        for Finding { name, value } in &findings {
            let came_with = self.startup.get(name).is_some();
            let is_set = |value: &&[u8]| came_with || !is_absent(name, value, &wanted, user);
            let value = value.as_deref().filter(is_set);
            let is_reset = |(one, reset): (&[u8], Reset)| one == name && reset == Reset::Yes;
            let reset = asked.names().any(is_reset);
            match value {
                Some(value) if !(reset && asked.is_certain()) => {
                    held.set(name, value)?;
                    wanted.set(name, value)?;
                }
                _ => {
                    held.remove(name);
                    wanted.remove(name);
                }
            }
        }
        for (name, first) in self.startup.iter() {
            if wanted.get(name).is_none() {
                wanted.set(name, first)?;
            }
        }
        self.add_suffix(&mut wanted)?;
        holdings.unclean |= asked.all();
        holdings.settings = voice.intern_settings(held);
        self.wanted = voice.intern_settings(wanted);
        Ok(())
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

    /// `SET application_name` with the client's address behind the name, if that is the text and
    /// the rule wants it.
    pub fn suffixed(&self, text: &[u8]) -> Option<Vec<u8>> {
        let suffix = self.address_suffix.as_ref()?;
        let statement = scan::only(text)?;
        match &statement.head {
            Head::Set { name } if **name == *APPLICATION_NAME => {}
            _ => return None,
        }
        let text = statement.text.trim_ascii();
        let text = text.strip_suffix(b";").unwrap_or(text).trim_ascii_end();
        let inner = text.strip_suffix(b"'")?;
        let start = inner.iter().position(|&byte| byte == b'\'')? + 1;
        let name = &inner[start..];
        if name.iter().any(|byte| b"'\\".contains(byte)) {
            return None; // it gets it with the next transaction
        }
        let name = with_suffix(name, suffix);
        Some([&text[..start], &name, b"'"].concat())
    }

    fn add_suffix(&self, wanted: &mut Settings) -> Result<(), TooMany> {
        let found = (&self.address_suffix, wanted.get(APPLICATION_NAME));
        let (Some(suffix), Some(name)) = found else { return Ok(()) };
        match name.ends_with(suffix.as_bytes()) {
            true => Ok(()),
            false => {
                let name = with_suffix(name, suffix);
                wanted.set(APPLICATION_NAME, &name)
            }
        }
    }
}

/// An error quotes so much of a name.
const SPOKEN_BYTES_MAX: usize = 256;
/// More names than that by SQL are not told from those of the protocol.
const BY_SQL_MAX: usize = 256;

const APPLICATION_NAME: &[u8] = b"application_name";
/// PostgreSQL keeps so many bytes of an `application_name`.
const APPLICATION_NAME_BYTES_MAX: usize = 63;

/// The name with the suffix behind it; what is too long of the name goes.
pub fn with_suffix(name: &[u8], suffix: &str) -> Vec<u8> {
    let kept = name.len().min(APPLICATION_NAME_BYTES_MAX.saturating_sub(suffix.len()));
    [&name[..kept], suffix.as_bytes()].concat()
}

/// All settings were looked at: those that were not found are not set any more. What has no place
/// in the server's list is looked at by name.
fn forget_missing(wanted: &mut Settings, held: &mut Settings, findings: &[Finding]) {
    let found = |name: &[u8]| findings.iter().any(|finding| finding.name == name);
    let missing = |settings: &Settings| -> Vec<Vec<u8>> {
        settings
            .iter()
            .map(|(name, _)| name)
            .filter(|name| !found(name))
            .map(<[u8]>::to_vec)
            .collect()
    };
    for settings in [wanted, held] {
        for name in missing(settings) {
            settings.remove(&name);
        }
    }
}

/// Values that say that nothing is set.
fn is_absent(name: &[u8], value: &[u8], wanted: &Settings, user: &str) -> bool {
    match name {
        b"role" => value == b"none",
        b"session_authorization" => value == user.as_bytes(),
        // A setting of the application's own cannot be unset, only be emptied.
        _ => value.is_empty() && name.contains(&b'.') && wanted.get(name).is_none(),
    }
}

/// How a server shows what a client wrote for a parameter that is reported; `base` is how it shows
/// its own value.
pub fn shown(name: &str, value: &[u8], base: &str) -> String {
    let written = String::from_utf8_lossy(value);
    match name {
        "DateStyle" => date_style(&written, base),
        "client_encoding" => {
            let name: String = written.chars().filter(char::is_ascii_alphanumeric).collect();
            match name.to_ascii_uppercase().as_str() {
                "UNICODE" => "UTF8".into(),
                _ if written.contains('_') => written.to_ascii_uppercase(),
                upper => upper.into(),
            }
        }
        _ => written.into_owned(),
    }
}

/// `german` is `German, DMY`; `ISO` keeps the order of the base.
fn date_style(written: &str, base: &str) -> String {
    let lower = written.to_ascii_lowercase();
    let words = || lower.split([',', ' ']).filter(|word| !word.is_empty());
    let style = words().find_map(|word| match word {
        "iso" => Some("ISO"),
        "sql" => Some("SQL"),
        "german" => Some("German"),
        word if word.starts_with("postgres") => Some("Postgres"),
        _ => None,
    });
    let order = words().find_map(|word| match word {
        "ymd" => Some("YMD"),
        "mdy" | "us" => Some("MDY"),
        "dmy" => Some("DMY"),
        word if word.starts_with("noneuro") => Some("MDY"),
        word if word.starts_with("euro") => Some("DMY"),
        _ => None,
    });
    let (base_style, base_order) = base.split_once(", ").unwrap_or((base, "MDY"));
    let implied = if style == Some("German") { "DMY" } else { base_order };
    format!("{}, {}", style.unwrap_or(base_style), order.unwrap_or(implied))
}
