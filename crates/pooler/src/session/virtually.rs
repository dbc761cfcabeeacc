//! What a client is answered by the pooler itself. Without a server: a plain BEGIN, which takes
//! none before the transaction does something; a Parse of what servers have prepared for others;
//! the refusal of transactions where a server goes back after each statement. With one, too: the
//! setting that no server knows.

use machine::Deadline;
use wire::backend::TransactionStatus;
use wire::encode;
use wire::scan::{self, Head};

use super::outflow::Outflow;
use super::relay::Flows;
use super::{Session, attrs};
use crate::ending::{Ending, transaction_refused};

impl Session {
    /// Answers the request ahead if no server is needed for it. True when it did.
    pub(super) fn answer_virtually(&mut self, up: &mut Outflow) -> Result<bool, Ending> {
        let manner = self.own.manner;
        if self.voice.processes_virtually && self.answer_about_attrs(up)? {
            return Ok(true);
        }
        if manner.shares_statements && self.answer_parse(up)? {
            return Ok(true);
        }
        let may_begin = manner.releases && !self.own.begun;
        if !(may_begin || manner.single) {
            return Ok(false);
        }
        let Some(text) = up.query().filter(|text| is_candidate(manner.single, text)) else {
            return Ok(false);
        };
        let begins = may_begin && self.voice.begins_virtually();
        let mut answer = Vec::new();
        if manner.single && scan::statements(text).any(|one| opens_transaction(&one.head)) {
            encode::error(&mut answer, &transaction_refused());
            encode::ready_for_query(&mut answer, TransactionStatus::Idle);
        } else if begins && scan::only(text).is_some_and(|one| one.head == Head::BeginPlain) {
            encode::command_complete(&mut answer, "BEGIN");
            encode::ready_for_query(&mut answer, TransactionStatus::InTransaction);
            self.own.begun = true;
            self.idle.since_now(self.home.route.rule().pool_idle_in_transaction_timeout);
            self.own.drop_unnamed();
        } else {
            return Ok(false);
        }
        up.drop_front();
        self.answer(&answer)?;
        Ok(true)
    }

    /// SHOW and SET of the setting that no server knows.
    fn answer_about_attrs(&mut self, up: &mut Outflow) -> Result<bool, Ending> {
        let Some(about) = up.query().and_then(attrs::about) else { return Ok(false) };
        let status = self.begun_status();
        let answer = attrs::answer(&about, &mut self.own.attrs, status);
        up.drop_front();
        self.answer(&answer)?;
        Ok(true)
    }

    /// The same for a client that has a server, between two of its requests: the answer goes
    /// behind what the server said.
    pub(super) fn answer_in_between(&mut self, flows: &mut Flows) -> bool {
        let Some(lease) = &self.lease else { return false };
        let status = lease.server().core.conversation.status();
        if !(flows.up.take_for_us() && flows.down.ends_at_boundary()) {
            return false;
        }
        let Some(about) = flows.up.query().and_then(attrs::about) else { return false };
        let answer = attrs::answer(&about, &mut self.own.attrs, status);
        flows.up.drop_front();
        flows.down.inject(&answer);
        true
    }

    fn answer(&mut self, answer: &[u8]) -> Result<(), Ending> {
        self.traffic.sent(answer.len());
        self.client.write_all(answer, Deadline::NEVER).map_err(|_| Ending::ClientGone)
    }

    /// What a client without a server believes of its transaction.
    fn begun_status(&self) -> TransactionStatus {
        match self.own.begun {
            true => TransactionStatus::InTransaction,
            false => TransactionStatus::Idle,
        }
    }

    /// Prepares a statement that a server has prepared for somebody, without a server: whoever
    /// executes it gets it there. (pgbench waits for this answer with transactions of its own open:
    /// if it took a server, all could wait for each other.)
    fn answer_parse(&mut self, up: &mut Outflow) -> Result<bool, Ending> {
        let Some(body) = up.lone_parse() else { return Ok(false) };
        let Some(end) = body.iter().position(|&byte| byte == 0) else { return Ok(false) };
        let (name, behind) = (&body[..end], &body[end + 1..]);
        if name.is_empty() || self.own.names.get(name).is_some() {
            return Ok(false);
        }
        let statement = self.voice.statements().intern(behind);
        let single = self.own.manner.single; // it might begin a transaction
        if single
            || !statement.is_proven(self.home.number())
            || self.own.names.bind(name, statement).is_err()
        {
            return Ok(false);
        }
        let mut answer = Vec::new();
        encode::parse_complete(&mut answer);
        encode::ready_for_query(&mut answer, self.begun_status());
        up.drop_front();
        up.drop_front();
        self.answer(&answer)?;
        Ok(true)
    }
}

/// A longer text is not a BEGIN alone, and nobody needs to look.
const BEGIN_BYTES_MAX: usize = 256;

/// May it be worth a closer look? Nearly never: this sees every query.
fn is_candidate(any: bool, text: &[u8]) -> bool {
    let begins = |byte: &u8| matches!(byte, b'b' | b'B' | b'-' | b'/' | b';');
    any || (text.len() <= BEGIN_BYTES_MAX && text.trim_ascii_start().first().is_some_and(begins))
}

/// Would such a statement begin a transaction?
pub(super) fn opens_transaction(head: &Head<'_>) -> bool {
    matches!(head, Head::BeginPlain | Head::Begin)
}
