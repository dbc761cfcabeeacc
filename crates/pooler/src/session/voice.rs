//! A session's voice: its lines in the log and its errors to the client, both with its id.

use std::fmt::{Arguments, Display};
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::{Rule, Storage};
use machine::{Address, Notified, Stream};
use router::{Parameters, Statements};
use wire::frontend::Target;
use wire::settings::Settings;
use wire::tag::frontend as tag;
use wire::{Notice, NoticeView, Text, frontend};

use super::masked::Masked;
use super::{Person, Standing};
use crate::backend::Home;
use crate::ending::{Asked, Ending};
use crate::id::Id;
use crate::log::{Fact, Who};
use crate::shared::Shared;
use crate::sqlstates::Said;
use crate::tally::Life;

/// Who speaks.
pub struct Voice {
    shared: Arc<Shared>,
    person: Arc<Person>,
    /// Where its servers are, when that is known.
    storage: Option<Arc<Storage>>,
    /// `log_query`, of the process or of the rule.
    pub logs_queries: bool,
    /// `log_debug`, likewise.
    pub is_debug: bool,
    /// Errors carry the id (`client_show_id`).
    pub shows_id: bool,
    /// SHOW and SET of `odyssey.target_session_attrs` are answered here (`virtual_processing`).
    pub processes_virtually: bool,
}

impl Voice {
    /// A client nobody knows yet.
    pub fn new(shared: Arc<Shared>, person: Person) -> Self {
        let processes_virtually = shared.config().global.virtual_processing;
        Self {
            shared,
            person: Arc::new(person),
            storage: None,
            logs_queries: false,
            is_debug: false,
            shows_id: true,
            processes_virtually,
        }
    }

    /// Who it is.
    pub fn person(&self) -> &Arc<Person> {
        &self.person
    }

    /// Who it is, while that is still found out.
    pub fn person_mut(&mut self) -> &mut Person {
        Arc::get_mut(&mut self.person).expect("a client that is not in is known to nobody")
    }

    /// What others are to know of the client, and may ask of it: nothing is found out about it any
    /// more. `home`: its route; None at the console.
    pub fn standing(
        &mut self,
        client: &Stream,
        home: Option<&Arc<Home>>,
        notified: &Notified,
        wanted: Arc<Settings>,
    ) -> Arc<Standing> {
        let person = self.person_mut();
        person.process = Person::process(client, &person.address);
        if let Some(home) = home {
            person.asked = home.asked(&person.asked);
        }
        let (person, home) = (Arc::clone(&self.person), home.map(Arc::clone));
        Arc::new(Standing::new(person, home, notified.notifier(), wanted))
    }

    /// `c…`.
    pub fn id(&self) -> Id {
        self.person.id
    }

    /// The database and the user it named; empty before the startup message.
    pub fn asked(&self) -> &Arc<Asked> {
        &self.person.asked
    }

    /// Where the client is.
    pub fn address(&self) -> &Address {
        &self.person.address
    }

    /// Its rule is known, and with it what is said of the client, and how.
    pub fn routed(&mut self, rule: &Rule) {
        self.storage = Some(Arc::clone(&rule.storage));
        self.shows_id = rule.client_show_id;
        self.logs_queries = self.shared.config().global.log_query || rule.log_query;
        self.is_debug = self.shared.is_debug(rule);
    }

    /// An ordinary event in the life of a client, for `log_session`.
    pub fn session(&self, context: &str, message: Arguments<'_>) {
        if self.shared.logs_sessions() {
            self.shared.log.info(context, &self.who(None), message);
        }
    }

    /// Something an operator did.
    pub fn note(&self, context: &str, message: Arguments<'_>) {
        self.shared.log.info(context, &self.who(None), message);
    }

    /// Something failed.
    pub fn error(&self, context: &str, message: Arguments<'_>) {
        self.shared.log.error(context, &self.who(None), message);
    }

    /// How long a request, or a pipeline of them, took. For `log_debug`.
    pub fn query_time(&self, us: Option<u64>) {
        if let Some(us) = us.filter(|_| self.is_debug) {
            let text = format_args!("query time: {us} microseconds");
            self.shared.log.debug("main", &self.who(None), text);
        }
    }

    /// The session is over: one line says who, why, how long, and what was done.
    pub fn ended(&self, ending: &Ending, done: &Life) {
        if ending.is_fault() {
            self.error("main", format_args!("{ending}"));
        }
        if !self.shared.logs_sessions() {
            return;
        }
        let Person { address, since, .. } = &*self.person;
        let (Asked { database, user }, us) = (&**self.asked(), since.elapsed().as_micros());
        let (status, queries, transactions) = (ending.status(), done.queries, done.transactions);
        let facts = [
            ("event", Fact::Text(&"client_disconnected")),
            ("reason", Fact::Text(ending)),
            ("status", Fact::Text(&status)),
            ("working_us", Fact::Number(u64::try_from(us).unwrap_or(u64::MAX))),
            ("queries", Fact::Number(queries)),
            ("transactions", Fact::Number(transactions)),
            ("received_bytes", Fact::Number(done.received_bytes)),
            ("sent_bytes", Fact::Number(done.sent_bytes)),
        ];
        let text = format_args!(
            "client disconnected addr '{address}', io error = {ending}, status {status}, route \
             {database}.{user}, working time: {us}us, {queries} queries, {transactions} \
             transactions"
        );
        self.shared.log.info("main", &Who { facts: &facts, ..self.who(None) }, text);
    }

    /// Why a client has to leave that was asked to.
    pub fn told_to_leave(&self) -> Ending {
        match self.shared.kin.is_replaced() {
            true => Ending::Restarting,
            false => Ending::ShuttingDown,
        }
    }

    /// Everything of the process.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The statements of all clients.
    pub fn statements(&self) -> &Statements {
        &self.shared.statements
    }

    /// What equals it and was reported before.
    pub fn intern_report(&self, reported: Arc<Parameters>) -> Arc<Parameters> {
        self.shared.reports.intern(reported)
    }

    /// What equals it and belongs to other clients, too.
    pub fn intern_settings(&self, settings: Settings) -> Arc<Settings> {
        self.shared.settings.intern(settings)
    }

    /// May a BEGIN wait for what follows it (`virtual_transaction`)?
    pub fn begins_virtually(&self) -> bool {
        self.shared.config().global.virtual_transaction
    }

    /// A message of the client that a server is to get, in Odyssey's words. Values are never shown.
    pub fn request(&self, message: u8, body: &[u8]) {
        match self.describe(message, body) {
            Ok(()) => {}
            // The server will say what is wrong with it.
            Err(error) => self.error("query", format_args!("{error}")),
        }
    }

    fn describe(&self, message: u8, body: &[u8]) -> Result<(), wire::Malformed> {
        let say = |context: &str, text: Arguments<'_>| {
            self.shared.log.info(context, &self.who(None), text);
        };
        match message {
            tag::QUERY => {
                say("query", format_args!("{}", head(frontend::query(body)?)));
            }
            tag::PARSE => {
                let parse = frontend::parse(body)?;
                say("parse", format_args!("{} {}", parse.name, head(parse.query)));
            }
            tag::BIND => {
                let (portal, statement) = frontend::bind_names(body)?;
                say("bind", format_args!("bind stmt '{statement}' to portal '{portal}'"));
            }
            tag::DESCRIBE => {
                let (target, name) = frontend::describe(body)?;
                let what = if target == Target::Portal { "portal" } else { "statement" };
                say("describe", format_args!("({what}) name: {name}"));
            }
            tag::CLOSE => {
                let (target, name) = frontend::close(body)?;
                let what = if target == Target::Portal { "portal" } else { "prepared statement" };
                say("close", format_args!("{what}, name: {name}"));
            }
            tag::EXECUTE => {
                say("execute", format_args!("name: {}", frontend::execute(body)?.portal));
            }
            tag::FLUSH => say("flush", format_args!("flush")),
            tag::SYNC => say("sync", format_args!("sync")),
            _ => {}
        }
        Ok(())
    }

    /// A client is told a server's own error.
    pub fn forwards_error(&self, error: &NoticeView<'_>) {
        self.shared.sqlstates.told(Said::ByServers, &error.code().lossy());
    }

    /// A server's own error passes by.
    pub fn server_error(&self, server: Id, error: &NoticeView<'_>) {
        let who = self.who(Some(server));
        let (severity, code, message) = (error.severity(), error.code(), error.message());
        self.shared.log.error("main", &who, format_args!("{severity} {code} {message}"));
        if let Some(detail) = error.detail() {
            self.shared.log.error("main", &who, format_args!("DETAIL: {detail}"));
        }
        if let Some(hint) = error.hint() {
            self.shared.log.error("main", &who, format_args!("HINT: {hint}"));
        }
    }

    /// An error of ours as the client reads it: with our name and its id in front.
    pub fn tag(&self, mut notice: Notice) -> Notice {
        self.shared.sqlstates.told(Said::ByUs, &notice.code);
        notice.message = match self.shows_id {
            true => format!("odyssey: {}: {}", self.id(), notice.message),
            false => format!("odyssey: {}", notice.message),
        };
        notice
    }

    /// This client tried a wrong password: for how long it is not told so.
    pub fn guessed_wrong(&self, now: Instant) -> Duration {
        self.shared.guesses.wrong(self.address(), &self.asked().user, now)
    }

    fn who(&self, server: Option<Id>) -> Who<'_> {
        let Asked { database, user } = &**self.asked();
        Who {
            client: Some(self.id()),
            server,
            user: Some(user.as_str()).filter(|name| !name.is_empty()),
            database: Some(database.as_str()).filter(|name| !name.is_empty()),
            address: Some(self.address()),
            storage: self.storage.as_deref(),
            external: self.person.external(),
            facts: &[],
        }
    }
}

/// As much of a text as a line may show, and more; passwords masked.
fn head(text: Text<'_>) -> impl Display {
    const BYTES_MAX: usize = 8192;
    let bytes = text.as_bytes();
    Masked(String::from_utf8_lossy(&bytes[..bytes.len().min(BYTES_MAX)]))
}
