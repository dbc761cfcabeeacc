//! A question of the pooler's own to a server: one request with one ReadyForQuery at its end, such
//! as a simple query that is answered by one column of text. It goes by a route, as clients do, and
//! gives its server back; what comes is bounded in size and in time.

use std::sync::Arc;
use std::time::Duration;

use config::SessionAttrs;
use machine::{Deadline, Interest, Notified, Progress};
use router::Wants;
use wire::backend::{data_row, error};
use wire::conversation::{Owner, Sent};
use wire::encode;
use wire::frame::{self, HEADER_BYTES, Side};
use wire::tag::backend;

use super::{Checkout, Ear, Event, Home, Inflow, Lease, Leftover, Server};
use crate::dialog::Patience;
use crate::ending::{Asked, Ending};
use crate::turns::Turns;

/// More than the names of 100,000 users.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The messages of a server that answered a question.
pub struct Column(Vec<u8>);

impl Home {
    /// What a server answers to `query`.
    ///
    /// # Errors
    /// In words for the log: there was no server, or its answer took longer than `limit`.
    pub fn column(self: &Arc<Self>, query: &str, limit: Duration) -> Result<Column, String> {
        let mut request = Vec::new();
        encode::query(&mut request, query);
        self.question(&request, limit).map(Column)
    }

    /// The messages by which a server answers to `request`, which are whole messages; the last one
    /// of them is a Query or a Sync, and none prepares a statement that has a name.
    ///
    /// # Errors
    /// As [`Home::column`]; an error that the server reports is among the messages.
    pub fn question(self: &Arc<Self>, request: &[u8], limit: Duration) -> Result<Vec<u8>, String> {
        let (notified, deadline) = (Notified::new(), Deadline::after(limit));
        let attrs = self.route.rule().target_session_attrs.unwrap_or(SessionAttrs::Any);
        let wants = Wants { attrs, ..Wants::ANYTHING };
        let ask = Checkout::of_ours(wants, &notified, deadline);
        let lease = self.checkout(&ask).map_err(|failure| {
            let key = self.route.key();
            let asked = Asked { database: key.database.clone(), user: key.user.clone() };
            Ending::no_server(failure, Arc::new(asked)).to_string()
        })?;
        let (lease, answer) = over(lease, request, deadline)?;
        if let Some(proof) = lease.server().core.conversation.quiescent() {
            lease.release(proof, machine::now());
        }
        Ok(answer)
    }
}

/// What the server of a lease answers to `query`; the lease goes on.
///
/// # Errors
/// As [`Home::column`]; the lease has ended then.
pub(super) fn ask(lease: Lease, query: &str, limit: Duration) -> Result<(Lease, Column), String> {
    let mut request = Vec::new();
    encode::query(&mut request, query);
    let (lease, answer) = over(lease, &request, Deadline::after(limit))?;
    Ok((lease, Column(answer)))
}

/// Asks by a lease, which is quiet again afterwards.
fn over(mut lease: Lease, request: &[u8], deadline: Deadline) -> Result<(Lease, Vec<u8>), String> {
    let mut question =
        Question { inflow: Inflow::new(false), answer: Vec::new(), deadline, torn: false };
    let asked = question.ask(lease.server_mut(), request);
    let is_quiet = lease.server().core.conversation.quiescent().is_some();
    if is_quiet && question.inflow.is_through() {
        return asked.map(|()| (lease, question.answer));
    }
    let Question { inflow, torn, .. } = question;
    lease.abandon(Leftover { torn, inflow: Some(inflow) });
    asked.and(Err("the transaction was left open".into()))
}

/// A question under way.
struct Question {
    inflow: Inflow,
    /// The messages of the server, whole when it is ready again.
    answer: Vec<u8>,
    deadline: Deadline,
    /// Only a part of the query was sent.
    torn: bool,
}

impl Question {
    fn ask(&mut self, server: &mut Server, request: &[u8]) -> Result<(), String> {
        let mut rest = request;
        while let Ok(Some(header)) = frame::header(Side::Frontend, rest) {
            let leave = server.core.conversation.sent(header.tag, Owner::Client);
            if !matches!(leave, Ok(Sent::Forward)) {
                return Err("the server was not ready".into());
            }
            rest = &rest[header.frame_bytes()..];
        }
        server.core.holdings.unnamed = None; // a Query drops it, a Parse takes its place
        self.torn = true;
        let sent = server.stream.write_all(request, self.deadline);
        sent.map_err(|error| error.to_string())?;
        self.torn = false;
        let mut turns = Turns::default();
        while !server.core.conversation.settled() {
            turns.round();
            self.receive(server)?;
        }
        Ok(())
    }

    fn receive(&mut self, server: &mut Server) -> Result<(), String> {
        loop {
            match self.inflow.read(&server.stream).map_err(|error| error.to_string())? {
                Progress::Done(_) => break,
                Progress::End => return Err("connection closed by the server".into()),
                Progress::Wait => Patience::until(self.deadline)
                    .wait(&server.stream, Interest::READ)
                    .map_err(|broken| broken.to_string())?,
            }
        }
        let examined = self.inflow.examine(&mut server.core, &mut Deaf);
        examined.map_err(|nonsense| nonsense.to_string())?;
        let passable = self.inflow.passable();
        if self.answer.len() + passable.len() > ANSWER_BYTES_MAX {
            return Err(format!("the answer has more than {ANSWER_BYTES_MAX} bytes"));
        }
        self.answer.extend_from_slice(passable);
        self.inflow.passed(self.inflow.passable().len());
        Ok(())
    }
}

/// Everything is read from the answer.
struct Deaf;

impl Ear for Deaf {
    fn hear(&mut self, _event: Event<'_>) {}
}

impl Column {
    /// The values; rows without one are left out. This may take long: not for a machine's thread.
    ///
    /// # Errors
    /// In words for the log: the server reported an error, or there was no single column of text.
    pub fn values<T: FromIterator<Box<str>>>(&self) -> Result<T, String> {
        let mut rest = self.0.as_slice();
        let values = std::iter::from_fn(|| next_value(&mut rest).transpose());
        values.collect()
    }
}

/// The next value of the answer, which is taken from it; None behind the last one.
fn next_value(answer: &mut &[u8]) -> Result<Option<Box<str>>, String> {
    let malformed = |error: wire::Malformed| error.to_string();
    while let Some(header) = frame::header(Side::Backend, answer).map_err(malformed)? {
        let message = answer.split_off(..header.frame_bytes());
        let Some(body) = message.and_then(|message| message.get(HEADER_BYTES..)) else { break };
        match header.tag {
            backend::ERROR_RESPONSE => {
                return Err(super::inflow::words(&error(body).map_err(malformed)?));
            }
            backend::DATA_ROW => {
                let row = data_row(body).map_err(malformed)?;
                if row.len() != 1 {
                    return Err(format!("one column is expected, {} came", row.len()));
                }
                if let Some(value) = row.values().flatten().next() {
                    let text = str::from_utf8(value).map_err(|_| "a value is not UTF-8")?;
                    return Ok(Some(text.into()));
                }
            }
            _ => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::Column;
    use wire::{Notice, encode};

    fn only_column(answer: &[u8]) -> Result<Vec<Box<str>>, String> {
        Column(answer.to_vec()).values()
    }

    fn rows(rows: &[&[Option<&[u8]>]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        rows.iter().for_each(|row| encode::data_row(&mut bytes, row));
        encode::command_complete(&mut bytes, "SELECT 1");
        bytes
    }

    #[test]
    fn one_column_of_text_is_an_answer() {
        let values = only_column(&rows(&[&[Some(b"ann")], &[None], &[Some("bøb".as_bytes())]]));
        assert_eq!(values.unwrap(), ["ann".into(), "bøb".into()]);
        assert_eq!(only_column(&rows(&[])).unwrap(), []);
        for (answer, error) in [
            (rows(&[&[Some(b"ann"), None]]), "one column is expected, 2 came"),
            (rows(&[&[]]), "one column is expected, 0 came"),
            (rows(&[&[Some(b"\xff")]]), "a value is not UTF-8"),
        ] {
            assert_eq!(only_column(&answer).unwrap_err(), error);
        }
    }

    #[test]
    fn an_error_behind_rows_is_an_error() {
        let mut answer = rows(&[&[Some(b"ann")]]);
        encode::error(&mut answer, &Notice::error("22012", "division by zero"));
        assert_eq!(only_column(&answer).unwrap_err(), "ERROR 22012 division by zero");
    }
}
