//! The preamble: what a server lacks of a client's settings, put in front of the client's request
//! without a round trip of its own; and the inquiry, which asks what a client has changed. Both are
//! extended protocol under reserved names. A preamble carries no Sync: if it fails, PostgreSQL
//! skips the client's request by itself, and nothing runs with settings that are not its own.
//!
//! ```text
//!  BEGIN · set_config(name, value) · … · COMMIT · [BEGIN] · the client's bytes
//! ```
//!
//! The settings have a transaction of their own, so they survive a request that fails.

use std::collections::BTreeSet;
use std::sync::Arc;

use wire::conversation::{Owner, Purpose, Sent};
use wire::encode;
use wire::frontend::Target;
use wire::settings::{self, Change};
use wire::tag::frontend as tag;

use super::belongings::Belongings;
use crate::backend::{Asking, Core, Op, Suspicion, Touched};
use crate::nonsense::Nonsense;

/// A reserved statement.
struct Tool {
    name: &'static str,
    text: &'static str,
}

const BEGIN: Tool = Tool { name: "odyssey_begin", text: "BEGIN" };
const COMMIT: Tool = Tool { name: "odyssey_commit", text: "COMMIT" };
const SET: Tool = Tool {
    name: "odyssey_set",
    // NULL resets it.
    text: "SELECT pg_catalog.set_config($1, $2, false)",
};
/// As SET, if it is not set: a RESET may have come to nothing.
const SET_IF_RESET: Tool = Tool {
    name: "odyssey_set_if_reset",
    text: "SELECT pg_catalog.set_config($1, $2, false) WHERE NOT EXISTS (SELECT FROM \
           pg_catalog.pg_settings WHERE pg_catalog.lower(name) OPERATOR(pg_catalog.=) $1 \
           AND source OPERATOR(pg_catalog.=) 'session') AND (EXISTS (SELECT FROM \
           pg_catalog.pg_settings WHERE pg_catalog.lower(name) OPERATOR(pg_catalog.=) $1) \
           OR COALESCE(pg_catalog.current_setting($1, true), '') \
           OPERATOR(pg_catalog.=) ANY ('{\"\",none}'))",
};
const GET: Tool = Tool {
    name: "odyssey_get",
    text: "SELECT $1::pg_catalog.text, pg_catalog.current_setting($1, true)",
};
/// As GET, if it is not the server's default.
const GET_IF_SET: Tool = Tool {
    name: "odyssey_get_if_set",
    text: "SELECT $1::pg_catalog.text, CASE WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_settings \
           WHERE pg_catalog.lower(name) OPERATOR(pg_catalog.=) $1 AND source \
           OPERATOR(pg_catalog.<>) 'session') THEN pg_catalog.current_setting($1, true) END",
};
/// What a client set, except what has no place in `pg_settings`: roles and settings of its own.
const GET_ALL: Tool = Tool {
    name: "odyssey_get_all",
    text: "SELECT name, pg_catalog.current_setting(name, true) FROM pg_catalog.pg_settings \
           WHERE source OPERATOR(pg_catalog.=) 'session' \
           AND NOT pg_catalog.starts_with(name, 'transaction_')",
};
/// What else a client left, in words, under an empty name.
const LEFT: Tool = Tool {
    name: "odyssey_left",
    text: "SELECT ''::pg_catalog.text, pg_catalog.concat_ws(', ', \
           CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_listening_channels()) THEN 'LISTEN' END, \
           CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_class WHERE relpersistence \
           OPERATOR(pg_catalog.=) 't' AND relnamespace OPERATOR(pg_catalog.=) \
           pg_catalog.pg_my_temp_schema()) THEN 'temporary table' END, \
           CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable) \
           THEN 'cursor WITH HOLD' END, \
           CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_locks WHERE pid \
           OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND locktype \
           OPERATOR(pg_catalog.=) 'advisory') THEN 'advisory lock' END, \
           CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE NOT \
           pg_catalog.starts_with(name, 'odyssey_')) THEN 'prepared statement' END)",
};

const TOOLS: [Tool; 8] = [BEGIN, COMMIT, SET, SET_IF_RESET, GET, GET_IF_SET, GET_ALL, LEFT];

/// The name of a statement that is used once, and stays until the next one.
const ONCE: &str = "odyssey_once";
/// Settings that a repair leads back by statements of their own, of four messages each. An open
/// batch has room for as many, and nobody came with more of them so far.
const STATEMENTS_IN_REPAIR_MAX: usize = 256;

/// What is looked at by name when everything is.
const UNLISTED: [&[u8]; 2] = [b"role", b"session_authorization"];

/// Messages of ours, each noted in the conversation before it is written.
struct Script<'a> {
    core: &'a mut Core,
    purpose: Purpose,
    out: Vec<u8>,
}

/// What a server needs before it gets the client's request; nothing if it has it.
///
/// # Errors
/// The conversation takes no request now.
pub fn preamble(core: &mut Core, own: &mut Belongings) -> Result<Vec<u8>, Nonsense> {
    let deploys = own.manner.deploys && !Arc::ptr_eq(&core.holdings.settings, &own.wanted) && {
        let differ = core.holdings.settings != own.wanted;
        if !differ {
            core.holdings.settings = Arc::clone(&own.wanted); // so that a pointer tells next time
        }
        differ
    };
    if !deploys && !own.begun {
        return Ok(Vec::new());
    }
    let wanted = Arc::clone(&own.wanted);
    let held = Arc::clone(&core.holdings.settings);
    let mut script = Script { core, purpose: Purpose::Preamble, out: Vec::new() };
    // What prepares a query takes a snapshot, and no transaction of the client's begins with one.
    let has_snapshot = script.equip()?;
    if deploys || has_snapshot {
        script.run(&BEGIN, &[])?;
        let leads_to = if deploys { wanted } else { Arc::clone(&held) };
        for Change { name, value } in held.changes_to(&leads_to) {
            if name == b"datestyle" {
                script.run(&SET, &[Some(name), None])?; // half a style is added to what is there
            }
            script.run(&SET, &[Some(name), value])?;
        }
        script.run_noted(&COMMIT, Op::Deploy(Arc::clone(&leads_to)))?;
    }
    if own.begun {
        script.run_noted(&BEGIN, Op::Begin)?;
    }
    script.core.holdings.begins = std::mem::take(&mut own.begun);
    Ok(script.out)
}

/// Inside a transaction: what a RESET has to lead to for this client, as part of its transaction.
/// By SET, as far as that can say it: a query would take the snapshot behind which nobody may
/// choose an isolation level.
///
/// # Errors
/// The conversation takes no request now.
pub fn repair(core: &mut Core, own: &Belongings, purpose: Purpose) -> Result<Vec<u8>, Nonsense> {
    let certain = core.holdings.touched.is_certain();
    let tool = if certain { &SET } else { &SET_IF_RESET };
    let repairs = own.repairs(&mut core.holdings.touched);
    let by_statement = certain && repairs.len() <= STATEMENTS_IN_REPAIR_MAX;
    let mut script = Script { core, purpose, out: Vec::new() };
    for (name, value) in &repairs {
        let statement = by_statement.then(|| settings::statement(name, value)).flatten();
        if let Some(statement) = statement {
            script.run_once(&statement)?;
        } else {
            script.equip()?;
            script.run(tool, &[Some(name), Some(value)])?;
        }
    }
    Ok(script.out)
}

/// Asks what the client has changed, as far as it may have; nothing if it cannot have.
///
/// # Errors
/// The conversation takes no request now.
pub fn inquiry(core: &mut Core, own: &Belongings) -> Result<Vec<u8>, Nonsense> {
    let asks = own.manner.asks_about(core.holdings.suspicion);
    if asks {
        // What the client does while the question is under way is asked about again.
        core.holdings.suspicion = Suspicion::NONE;
    }
    let touched = std::mem::take(&mut core.holdings.touched);
    core.holdings.findings.clear();
    let mut script = Script { core, purpose: Purpose::Inquiry, out: Vec::new() };
    script.equip()?;
    if touched.all() {
        script.run(&GET_ALL, &[])?;
    }
    for name in questions(&touched, own) {
        let tool = if touched.is_unclear(name) { &GET_IF_SET } else { &GET };
        script.run(tool, &[Some(name)])?;
    }
    if asks {
        script.run(&LEFT, &[])?;
    }
    script.send(tag::SYNC)?;
    encode::sync(&mut script.out);
    let Script { core, out, .. } = script;
    core.holdings.asked = touched;
    core.holdings.asking = Asking::Yes;
    Ok(out)
}

/// The settings to ask about by name, each once: at most as many as can be touched and as a client
/// can have, twice as many answers, and the conversation has room for them.
fn questions<'a>(touched: &'a Touched, own: &'a Belongings) -> BTreeSet<&'a [u8]> {
    let mut names: BTreeSet<&[u8]> = touched.names().map(|(name, _)| name).collect();
    // The values that are kept are in the encoding that was.
    let encoding = names.contains(&b"client_encoding"[..]);
    let unlisted = |name: &&[u8]| encoding || (touched.all() && name.contains(&b'.'));
    names.extend(own.wanted.iter().map(|(name, _)| name).filter(unlisted));
    if touched.all() {
        names.extend(UNLISTED);
    }
    names
}

/// What an inquiry found left behind, in words; None if it did not look.
pub fn left(core: &mut Core) -> Option<String> {
    let findings = &mut core.holdings.findings;
    let at = findings.iter().position(|finding| finding.name.is_empty())?;
    let words = findings.remove(at).value.unwrap_or_default();
    Some(String::from_utf8_lossy(&words).into_owned())
}

impl Script<'_> {
    /// The reserved statements, if they are not sure to be there; closed first, for they may be.
    /// True if they are being prepared.
    fn equip(&mut self) -> Result<bool, Nonsense> {
        if self.core.holdings.equipped {
            return Ok(false);
        }
        let mut left = TOOLS.len();
        for tool in &TOOLS {
            self.send(tag::CLOSE)?;
            encode::close(&mut self.out, Target::Statement, tool.name);
            left -= 1;
            match left {
                0 => self.send_noted(tag::PARSE, Op::Equip)?,
                _ => self.send(tag::PARSE)?,
            }
            encode::parse(&mut self.out, tool.name, tool.text, &[]);
        }
        Ok(true)
    }

    /// A statement that is prepared for this one time.
    fn run_once(&mut self, text: &[u8]) -> Result<(), Nonsense> {
        self.send(tag::CLOSE)?;
        encode::close(&mut self.out, Target::Statement, ONCE);
        self.send(tag::PARSE)?;
        encode::parse(&mut self.out, ONCE, text, &[]);
        self.run(&Tool { name: ONCE, text: "" }, &[])
    }

    fn run(&mut self, tool: &Tool, values: &[Option<&[u8]>]) -> Result<(), Nonsense> {
        self.bind(tool, values)?;
        self.send(tag::EXECUTE)?;
        encode::execute(&mut self.out, "", 0);
        Ok(())
    }

    fn run_noted(&mut self, tool: &Tool, op: Op) -> Result<(), Nonsense> {
        self.bind(tool, &[])?;
        self.send_noted(tag::EXECUTE, op)?;
        encode::execute(&mut self.out, "", 0);
        Ok(())
    }

    fn bind(&mut self, tool: &Tool, values: &[Option<&[u8]>]) -> Result<(), Nonsense> {
        self.send(tag::BIND)?;
        encode::bind(&mut self.out, "", tool.name, values);
        Ok(())
    }

    fn send(&mut self, message: u8) -> Result<(), Nonsense> {
        let sent = self.core.conversation.sent(message, Owner::Ours(self.purpose))?;
        debug_assert_eq!(sent, Sent::Forward, "at the beginning there is room");
        Ok(())
    }

    fn send_noted(&mut self, message: u8, op: Op) -> Result<(), Nonsense> {
        let sent = self.core.conversation.sent_noted(message, Owner::Ours(self.purpose))?;
        debug_assert_eq!(sent, Sent::Forward, "at the beginning there is room");
        self.core.holdings.note(op);
        Ok(())
    }
}
