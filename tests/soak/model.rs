//! What a client of PostgreSQL must see after what it did: its settings over transactions and
//! savepoints, and its prepared statements. The model is run against PostgreSQL itself too.

use crate::support::{Answer, Client, Login, Seeded, Wire};
use std::collections::BTreeMap;

/// Settings: name, what a server without any says, and values to give.
const SETTINGS: [(&str, &str, [&str; 3]); 8] = [
    ("work_mem", "4MB", ["5MB", "6MB", "7MB"]),
    ("my.tenant", "", ["it's", "a \\ b", "$1; --"]),
    ("search_path", "\"$user\", public", ["nowhere", "\"a,b\", c", "pg_catalog"]),
    ("TimeZone", "GMT", ["Asia/Tokyo", "Europe/Paris", "Pacific/Chatham"]),
    ("statement_timeout", "0", ["71s", "72s", "73s"]),
    ("application_name", "", ["shop", "bank", "it's"]),
    ("geqo", "on", ["off", "on", "off"]),
    ("role", "none", ["soaked_clerk", "none", "soaked_clerk"]),
];
const ROLE: usize = SETTINGS.len() - 1;
const SEARCH_PATH: usize = 2;
/// The default of the server depends on its machine, so the login always gives one.
const TIME_ZONE: usize = 3;

type Values = [String; SETTINGS.len()];

pub enum Step {
    Good,
    /// An error that the model did not expect, or the end of the stream (57P01).
    Lost(String),
    Wrong(String),
}

pub struct Model {
    /// What RESET falls back to.
    startup: Values,
    /// What stays after a COMMIT.
    session: Values,
    /// What is seen now, SET LOCAL included.
    current: Values,
    /// (session, current) at BEGIN and at each savepoint; empty outside of a transaction.
    marks: Vec<(Values, Values)>,
    failed: bool,
    statements: BTreeMap<String, usize>,
    history: Vec<String>,
}

/// The query that shows all settings, and what a client sees that has set none but the time zone.
pub fn settings_of_nobody() -> (String, String) {
    let mut values = defaults();
    let zone = "current_setting('TimeZone')";
    values[TIME_ZONE] = "x".into();
    (look().replace(zone, "'x'"), values.join("|"))
}

fn defaults() -> Values {
    SETTINGS.map(|(_, default, _)| default.to_owned())
}

fn look() -> String {
    let each: Vec<String> = SETTINGS
        .iter()
        .map(|(name, _, _)| match *name {
            "my.tenant" => "coalesce(current_setting('my.tenant', true), '')".to_owned(),
            name => format!("current_setting('{name}')"),
        })
        .collect();
    format!("select concat_ws('|', {})", each.join(", "))
}

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// SET takes a list of identifiers for `search_path`, and a string for everything else.
fn assignment(setting: usize, value: &str) -> String {
    let name = SETTINGS[setting].0;
    let value = if setting == SEARCH_PATH { value.to_owned() } else { quoted(value) };
    format!("{name} = {value}")
}

fn last_code(answer: &Answer) -> Option<String> {
    answer.0.iter().rfind(|message| message.tag == b'E').map(|message| message.error().code)
}

impl Model {
    /// A login with some settings, and the model of the client that it makes.
    pub fn log_in(user: &str, random: &mut Seeded) -> (Login, Model) {
        let mut login = Login::new(user, "postgres");
        let mut startup = defaults();
        for (setting, (name, _, values)) in SETTINGS.iter().enumerate() {
            if setting == TIME_ZONE || random.below(4) == 0 {
                let value = values[random.below(values.len())];
                login = login.option(name, value);
                startup[setting] = value.to_owned();
            }
        }
        let history = vec![format!("login {:?}", login.options)];
        let (session, current) = (startup.clone(), startup.clone());
        let (marks, statements) = (Vec::new(), BTreeMap::new());
        (login, Model { startup, session, current, marks, failed: false, statements, history })
    }

    pub fn history(&self) -> String {
        let from = self.history.len().saturating_sub(30);
        format!("\n  {}", self.history[from..].join("\n  "))
    }

    pub fn step(&mut self, client: &mut Client, random: &mut Seeded) -> Step {
        let inside = !self.marks.is_empty();
        if self.failed {
            return match random.below(4) {
                0 if self.marks.len() > 1 => self.rollback_to(client),
                1 => self.expect_code(client, "select 1", "25P02"),
                2 => self.finish(client, "commit", false),
                _ => self.finish(client, "rollback", false),
            };
        }
        match random.below(20) {
            0..=2 => self.set(client, random, false),
            3 if inside => self.set(client, random, true),
            4 => self.reset(client, random),
            5 => self.reset_all(client),
            6 if !inside => self.discard_all(client),
            7 if !inside => self.begin(client, random),
            8 | 9 if inside => self.finish(client, "commit", true),
            10 if inside => self.finish(client, "rollback", false),
            11 if inside && self.marks.len() < 4 => self.savepoint(client),
            12 if self.marks.len() > 1 => self.rollback_to(client),
            13 => self.fail(client, random),
            14 | 15 => self.prepare(client, random),
            16 => self.close(client, random),
            17 | 18 => self.execute(client, random),
            _ => self.look(client),
        }
    }

    /// Sends, remembers, and complains of what is not expected: `codes` and the last status.
    fn say(
        &mut self,
        client: &mut Client,
        wire: &Wire,
        what: &str,
        code: &str,
    ) -> Result<Answer, Step> {
        self.history.push(format!("{what} => {code}"));
        if client.try_send(wire).is_err() {
            return Err(Step::Lost("57P01".into()));
        }
        let mut messages = Vec::new();
        for _ in 0..wire.count_of(b"QS") {
            match client.try_until_ready() {
                Ok(answer) => messages.extend(answer.0),
                // The last error is the end of the server; one before it was the request's own.
                Err(answer) => {
                    return Err(Step::Lost(last_code(&answer).unwrap_or("57P01".into())));
                }
            }
        }
        let answer = Answer(messages);
        if answer.code() != code {
            return Err(match answer.code() {
                other if other.is_empty() => Step::Wrong(format!("{what}: no error {code}")),
                other => Step::Lost(other),
            });
        }
        let status = match (self.marks.is_empty(), self.failed) {
            (true, _) => 'I',
            (false, true) => 'E',
            (false, false) => 'T',
        };
        if answer.status() != status {
            return Err(Step::Wrong(format!("{what}: status {}, not {status}", answer.status())));
        }
        Ok(answer)
    }

    fn good(&mut self, client: &mut Client, sql: &str) -> Step {
        match self.say(client, &Wire::new().query(sql), sql, "") {
            Ok(_) => Step::Good,
            Err(step) => step,
        }
    }

    fn expect_code(&mut self, client: &mut Client, sql: &str, code: &str) -> Step {
        match self.say(client, &Wire::new().query(sql), sql, code) {
            Ok(_) => Step::Good,
            Err(step) => step,
        }
    }

    fn set(&mut self, client: &mut Client, random: &mut Seeded, local: bool) -> Step {
        let setting = random.below(SETTINGS.len());
        let (name, _, values) = SETTINGS[setting];
        let value = values[random.below(values.len())];
        self.current[setting] = value.to_owned();
        if !local {
            self.session[setting] = value.to_owned();
        }
        let sql = match random.below(3) {
            0 => format!("select set_config('{name}', {}, {local})", quoted(value)),
            _ => format!("set {}{}", if local { "local " } else { "" }, assignment(setting, value)),
        };
        if random.below(3) == 0 {
            let wire = Wire::new().extended(&sql, &[]).sync();
            return self.say(client, &wire, &sql, "").map_or_else(|step| step, |_| Step::Good);
        }
        self.good(client, &sql)
    }

    fn reset(&mut self, client: &mut Client, random: &mut Seeded) -> Step {
        let setting = random.below(SETTINGS.len());
        self.forget(setting);
        let name = SETTINGS[setting].0;
        let sql = if random.below(2) == 0 {
            format!("reset {name}")
        } else {
            format!("set {name} to default")
        };
        self.good(client, &sql)
    }

    fn forget(&mut self, setting: usize) {
        self.session[setting] = self.startup[setting].clone();
        self.current[setting] = self.startup[setting].clone();
    }

    fn reset_all(&mut self, client: &mut Client) -> Step {
        (0..SETTINGS.len()).filter(|setting| *setting != ROLE).for_each(|s| self.forget(s));
        self.good(client, "reset all")
    }

    fn discard_all(&mut self, client: &mut Client) -> Step {
        (0..SETTINGS.len()).for_each(|setting| self.forget(setting));
        self.statements.clear();
        self.good(client, "discard all")
    }

    fn begin(&mut self, client: &mut Client, random: &mut Seeded) -> Step {
        self.marks.push((self.session.clone(), self.current.clone()));
        self.good(
            client,
            ["begin", "start transaction", "begin isolation level serializable"][random.below(3)],
        )
    }

    fn finish(&mut self, client: &mut Client, sql: &str, keeps: bool) -> Step {
        let (session, _) = self.marks.swap_remove(0);
        if !keeps {
            self.session = session;
        }
        self.current = self.session.clone();
        self.marks.clear();
        self.failed = false;
        self.good(client, sql)
    }

    fn savepoint(&mut self, client: &mut Client) -> Step {
        let sql = format!("savepoint s{}", self.marks.len());
        self.marks.push((self.session.clone(), self.current.clone()));
        self.good(client, &sql)
    }

    fn rollback_to(&mut self, client: &mut Client) -> Step {
        let (session, current) = self.marks.last().expect("a savepoint").clone();
        (self.session, self.current, self.failed) = (session, current, false);
        let sql = format!("rollback to s{}", self.marks.len() - 1);
        self.good(client, &sql)
    }

    fn fail(&mut self, client: &mut Client, random: &mut Seeded) -> Step {
        self.failed = !self.marks.is_empty();
        match random.below(3) {
            0 => self.expect_code(client, "selec", "42601"),
            1 => self.expect_code(client, "set work_mem = '9MB'; select 1/0", "22012"),
            _ => self.expect_code(client, "set role postgres", "42501"),
        }
    }

    fn text(kind: usize) -> String {
        format!("select 'kind {kind}', $1::text")
    }

    fn prepare(&mut self, client: &mut Client, random: &mut Seeded) -> Step {
        let (name, kind) = (format!("s{}", random.below(4)), random.below(6));
        let code = if self.statements.contains_key(&name) { "42P05" } else { "" };
        if code.is_empty() {
            self.statements.insert(name.clone(), kind);
        } else {
            self.failed = !self.marks.is_empty();
        }
        let wire = Wire::new().parse(&name, &Self::text(kind)).sync();
        let what = format!("parse {name} of {kind}");
        self.say(client, &wire, &what, code).map_or_else(|step| step, |_| Step::Good)
    }

    fn close(&mut self, client: &mut Client, random: &mut Seeded) -> Step {
        let name = format!("s{}", random.below(4));
        let known = self.statements.remove(&name).is_some();
        if random.below(2) == 0 {
            let wire = Wire::new().close_statement(&name).sync();
            let what = format!("close {name}");
            return self.say(client, &wire, &what, "").map_or_else(|step| step, |_| Step::Good);
        }
        self.failed = !known && !self.marks.is_empty();
        let sql = format!("deallocate {name}");
        self.expect_code(client, &sql, if known { "" } else { "26000" })
    }

    fn execute(&mut self, client: &mut Client, random: &mut Seeded) -> Step {
        let (name, value) = (format!("s{}", random.below(4)), random.next().to_string());
        let kind = self.statements.get(&name).copied();
        let code = if kind.is_some() { "" } else { "26000" };
        self.failed = kind.is_none() && !self.marks.is_empty();
        let wire = Wire::new().run(&name, &[&value]).sync();
        let answer = match self.say(client, &wire, &format!("execute {name}"), code) {
            Ok(answer) => answer,
            Err(step) => return step,
        };
        let expected = kind.map(|kind| vec![Some(format!("kind {kind}")), Some(value)]);
        match answer.rows().pop() == expected {
            true => Step::Good,
            false => Step::Wrong(format!("execute {name}: {:?}", answer.rows())),
        }
    }

    /// All settings, in one of three ways.
    fn look(&mut self, client: &mut Client) -> Step {
        let sql = look();
        let answer = match self.say(client, &Wire::new().query(&sql), "look", "") {
            Ok(answer) => answer,
            Err(step) => return step,
        };
        let expected = self.current.join("|");
        match answer.column() == [expected.clone()] {
            true => Step::Good,
            false => Step::Wrong(format!("saw {:?}, not {expected}", answer.column())),
        }
    }
}
