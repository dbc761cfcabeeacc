//! The desk: a console client's statements and portals, how its transaction stands, and what each
//! message of the two protocols is answered with. What a statement does is elsewhere.

use std::collections::HashMap;
use std::mem::take;

use wire::backend::TransactionStatus;
use wire::frontend::{self, Target};
use wire::tag::frontend as tag;
use wire::{Notice, encode};

use super::Console;
use super::call::{Call, Reply, Stop};
use super::row::{self, Column, Format, Row};
use super::small_talk::{self, Talk};
use super::table::{self, Command};
use super::text::{self, Statement};
use crate::ending::Ending;
use crate::turns::Turns;

/// Statements and portals of one client; drivers keep a few.
const NAMES_MAX: usize = 256;

/// So much of an answer is sent before more of it is made.
const CHUNK_BYTES: usize = 64 * 1024;

/// What a client has prepared.
#[derive(Default)]
pub struct Desk {
    statements: HashMap<String, Prepared>,
    portals: HashMap<String, Portal>,
    status: Status,
    /// An error happened in a batch: what comes before its Sync is not done.
    is_skipping: bool,
}

/// How its transaction stands; there is nothing in it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Status {
    #[default]
    Idle,
    Open,
    Failed,
}

/// What a statement of the client's means.
#[derive(Clone)]
enum Prepared {
    /// Nothing.
    Empty,
    /// A command of the console.
    Command(&'static Command, Statement),
    /// What drivers say to a server.
    Talk(Talk),
}

/// A prepared statement, bound.
struct Portal {
    prepared: Prepared,
    /// None: all text; one: for all columns; else one each.
    formats: Vec<Format>,
    columns: Vec<Column>,
    /// What is left of its answer when it was suspended.
    rest: Option<Answer>,
}

/// An answer, worked out.
struct Answer {
    notices: Vec<Notice>,
    rows: std::vec::IntoIter<Row>,
    tag: &'static str,
}

impl Console {
    /// Answers one message.
    pub(super) fn answer(
        &mut self,
        message: u8,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Ending> {
        if self.desk.is_skipping && !matches!(message, tag::SYNC | tag::TERMINATE) {
            return Ok(());
        }
        let done = match message {
            tag::QUERY => return self.query(body, out),
            tag::SYNC => {
                self.desk.is_skipping = false;
                self.ready(out);
                return Ok(());
            }
            tag::TERMINATE => return Err(Ending::Terminated),
            tag::FLUSH => return self.flush(out),
            tag::PARSE => self.parse(body, out),
            tag::BIND => self.bind(body, out),
            tag::DESCRIBE => self.describe(body, out),
            tag::EXECUTE => self.execute(body, out),
            tag::CLOSE => self.close(body, out),
            other => {
                let name = wire::tag::frontend::name(other);
                let notice = Notice::error("0A000", format!("unsupported request '{name}'"));
                Err(notice.with_hint("the console takes queries, simple and extended").into())
            }
        };
        match done {
            Ok(()) => Ok(()),
            Err(Stop::Over(ending)) => Err(ending),
            Err(Stop::Said(notice)) => {
                self.complain(notice, out);
                self.desk.is_skipping = true;
                Ok(())
            }
        }
    }

    /// A simple query: its statements one after the other, up to the first that fails.
    fn query(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Ending> {
        let text = frontend::query(body)?.lossy().into_owned();
        self.desk.portals.remove("");
        match self.run_all(&text, out) {
            Ok(()) => {}
            Err(Stop::Over(ending)) => {
                let _ = self.flush(out);
                return Err(ending);
            }
            Err(Stop::Said(notice)) => self.complain(notice, out),
        }
        self.ready(out);
        self.flush(out)
    }

    fn run_all(&mut self, text: &str, out: &mut Vec<u8>) -> Result<(), Stop> {
        let statements = split(text)?;
        if statements.is_empty() {
            encode::empty_query_response(out);
        }
        for statement in statements {
            let prepared = self.prepare(statement)?;
            let columns = self.columns(&prepared);
            let answer = self.run_one(&prepared, out)?;
            if !columns.is_empty() {
                row::describe(out, &columns, |_| Format::Text);
            }
            self.tell(answer, &columns, &[], out)?;
        }
        Ok(())
    }

    fn parse(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Stop> {
        let parse = frontend::parse(body).map_err(Ending::from).map_err(Stop::Over)?;
        let mut statements = split(&parse.query.lossy())?;
        let prepared = match (statements.pop(), statements.pop()) {
            (None, _) => Prepared::Empty,
            (Some(one), None) => self.prepare(one)?,
            (Some(_), Some(_)) => {
                let text = "cannot insert multiple commands into a prepared statement";
                return Err(Notice::error("42601", text).into());
            }
        };
        let name = parse.name.lossy().into_owned();
        make_room(self.desk.statements.len(), self.desk.statements.contains_key(&name))?;
        self.desk.statements.insert(name, prepared);
        encode::parse_complete(out);
        Ok(())
    }

    fn bind(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Stop> {
        let bind = frontend::bind(body).map_err(Ending::from).map_err(Stop::Over)?;
        let prepared = self.statement(&bind.statement.lossy())?.clone();
        if bind.values().next().is_some() {
            let text = "statements of the console have no parameters";
            return Err(Notice::error("08P01", text).into());
        }
        let formats = bind.result_formats.iter().map(|format| match format {
            0 => Format::Text,
            _ => Format::Binary,
        });
        let (formats, columns) = (formats.collect(), self.columns(&prepared));
        let name = bind.portal.lossy().into_owned();
        make_room(self.desk.portals.len(), self.desk.portals.contains_key(&name))?;
        self.desk.portals.insert(name, Portal { prepared, formats, columns, rest: None });
        encode::bind_complete(out);
        Ok(())
    }

    fn describe(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Stop> {
        let (target, name) = frontend::describe(body).map_err(Ending::from).map_err(Stop::Over)?;
        let (columns, formats) = match target {
            Target::Statement => {
                let columns = self.columns(self.statement(&name.lossy())?);
                encode::parameter_description(out, &[]);
                (columns, Vec::new())
            }
            Target::Portal => {
                let portal = self.portal(&name.lossy())?;
                (portal.columns.clone(), portal.formats.clone())
            }
        };
        match columns.is_empty() {
            true => encode::no_data(out),
            false => row::describe(out, &columns, |at| format_of(&formats, at)),
        }
        Ok(())
    }

    fn execute(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Stop> {
        let execute = frontend::execute(body).map_err(Ending::from).map_err(Stop::Over)?;
        let name = execute.portal.lossy().into_owned();
        let portal = self.portal(&name)?;
        let (prepared, columns) = (portal.prepared.clone(), portal.columns.clone());
        let formats = portal.formats.clone();
        let rest = self.desk.portals.get_mut(&name).and_then(|portal| portal.rest.take());
        let mut answer = match rest {
            Some(rest) => rest,
            None if matches!(prepared, Prepared::Empty) => {
                encode::empty_query_response(out);
                return Ok(());
            }
            None => self.run_one(&prepared, out)?,
        };
        let wanted = usize::try_from(execute.rows_max).unwrap_or(0);
        if wanted == 0 || answer.rows.len() <= wanted {
            return self.tell(answer, &columns, &formats, out);
        }
        let part: Vec<Row> = answer.rows.by_ref().take(wanted).collect();
        self.send_rows(part.into_iter(), &columns, &formats, out)?;
        encode::empty(out, wire::tag::backend::PORTAL_SUSPENDED);
        if let Some(portal) = self.desk.portals.get_mut(&name) {
            portal.rest = Some(answer);
        }
        Ok(())
    }

    fn close(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Stop> {
        let (target, name) = frontend::close(body).map_err(Ending::from).map_err(Stop::Over)?;
        let name = name.lossy();
        match target {
            Target::Statement => drop(self.desk.statements.remove(&*name)),
            Target::Portal => drop(self.desk.portals.remove(&*name)),
        }
        encode::close_complete(out);
        Ok(())
    }

    /// What a statement means.
    fn prepare(&self, statement: Statement) -> Result<Prepared, Notice> {
        if let Some(command) = Command::find(&statement) {
            return Ok(Prepared::Command(command, statement));
        }
        if let Some(reason) = table::refusal(&statement) {
            return Err(Notice::error("0A000", reason));
        }
        if let Some(talk) = small_talk::understand(&statement, &self.voice)? {
            return Ok(Prepared::Talk(talk));
        }
        let text = format!("console command error: {}", statement.shown());
        Err(Notice::error("42601", text).with_hint("SHOW HELP lists the commands"))
    }

    /// The columns of its answer; none if it has no rows.
    fn columns(&self, prepared: &Prepared) -> Vec<Column> {
        match prepared {
            Prepared::Empty => Vec::new(),
            Prepared::Command(command, _) => command.all_columns(&self.shared),
            Prepared::Talk(talk) => talk.columns.clone(),
        }
    }

    /// Does it.
    fn run_one(&mut self, prepared: &Prepared, out: &mut Vec<u8>) -> Result<Answer, Stop> {
        match prepared {
            Prepared::Empty => {
                Ok(Answer { notices: Vec::new(), rows: Vec::new().into_iter(), tag: "" })
            }
            Prepared::Talk(talk) => Ok(self.talk(talk)),
            Prepared::Command(command, statement) => {
                if self.desk.status == Status::Failed {
                    let text = "current transaction is aborted, commands ignored until end of \
                                transaction block";
                    return Err(Notice::error("25P02", text).into());
                }
                if !command.right.is_of(self.role()) {
                    let text = "Unsuitable user role to emit console command";
                    let notice = Notice::error("42501", text);
                    return Err(notice.with_hint("the rule's `role` says what it may do").into());
                }
                self.flush(out).map_err(Stop::Over)?; // it may take its time
                self.note(command, statement);
                let _ = self.standing.take_cancel(); // meant for an earlier one
                let call = Call {
                    shared: &self.shared,
                    words: &statement.words[command.len()..],
                    client: &self.client,
                    notified: &self.notified,
                    standing: &self.standing,
                };
                let Reply { notices, rows } = (command.run)(&call)?;
                Ok(Answer { notices, rows: rows.into_iter(), tag: command.tag })
            }
        }
    }

    /// What somebody changed is in the log.
    fn note(&self, command: &Command, statement: &Statement) {
        if command.right == table::Right::Change {
            self.voice.note("console", format_args!("{}", statement.shown()));
        }
    }

    fn talk(&mut self, talk: &Talk) -> Answer {
        let mut tag = talk.tag;
        match tag {
            "BEGIN" if self.desk.status == Status::Idle => self.desk.status = Status::Open,
            "COMMIT" | "ROLLBACK" => {
                let failed = take(&mut self.desk.status) == Status::Failed;
                tag = if failed { "ROLLBACK" } else { tag };
            }
            "DEALLOCATE ALL" | "DISCARD ALL" => self.desk.statements.clear(),
            _ => {}
        }
        let rows: Vec<Row> = talk.row.iter().cloned().collect();
        Answer { notices: Vec::new(), rows: rows.into_iter(), tag }
    }

    fn tell(
        &self,
        answer: Answer,
        columns: &[Column],
        formats: &[Format],
        out: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        let Answer { notices, rows, tag } = answer;
        notices.iter().for_each(|notice| encode::notice(out, notice));
        let count = rows.len();
        self.send_rows(rows, columns, formats, out)?;
        match tag {
            "SELECT" => encode::command_complete(out, &format!("SELECT {count}")),
            _ => encode::command_complete(out, tag),
        }
        Ok(())
    }

    fn send_rows(
        &self,
        rows: impl Iterator<Item = Row>,
        columns: &[Column],
        formats: &[Format],
        out: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        let mut turns = Turns::default();
        for row in rows {
            turns.round();
            row::data(out, columns, &row, |at| format_of(formats, at));
            if out.len() >= CHUNK_BYTES {
                self.flush(out).map_err(Stop::Over)?;
            }
        }
        Ok(())
    }

    fn complain(&mut self, notice: Notice, out: &mut Vec<u8>) {
        if self.desk.status == Status::Open {
            self.desk.status = Status::Failed;
        }
        self.voice.note("console", format_args!("{}: {}", notice.code, notice.message));
        encode::error(out, &self.voice.tag(notice));
    }

    fn ready(&mut self, out: &mut Vec<u8>) {
        let status = match self.desk.status {
            Status::Idle => TransactionStatus::Idle,
            Status::Open => TransactionStatus::InTransaction,
            Status::Failed => TransactionStatus::Failed,
        };
        encode::ready_for_query(out, status);
        if self.desk.status == Status::Idle {
            self.desk.portals.clear(); // they live as long as their transaction
        }
    }

    fn statement(&self, name: &str) -> Result<&Prepared, Notice> {
        let missing = || format!("prepared statement \"{name}\" does not exist");
        self.desk.statements.get(name).ok_or_else(|| Notice::error("26000", missing()))
    }

    fn portal(&self, name: &str) -> Result<&Portal, Notice> {
        let missing = || format!("portal \"{name}\" does not exist");
        self.desk.portals.get(name).ok_or_else(|| Notice::error("34000", missing()))
    }
}

fn split(text: &str) -> Result<Vec<Statement>, Notice> {
    text::split(text).map_err(|text::Unfinished| {
        Notice::error("42601", "console command error: a quote or a comment has no end")
    })
}

fn make_room(names: usize, is_known: bool) -> Result<(), Notice> {
    match names < NAMES_MAX || is_known {
        true => Ok(()),
        false => Err(Notice::error("54000", format!("more than {NAMES_MAX} names"))),
    }
}

fn format_of(formats: &[Format], at: usize) -> Format {
    match formats {
        [] => Format::Text,
        [one] => *one,
        each => each.get(at).copied().unwrap_or_default(),
    }
}
