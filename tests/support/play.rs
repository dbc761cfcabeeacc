//! A play: the same steps of the same clients, once on PostgreSQL itself and then through the
//! pooler, where other clients use the servers in between. Every message has to be the same. It
//! knows nothing of what is played.

use super::message::Message;
use super::stage::Company;
use super::{Answer, Client, Login, Postgres, Setup, Wire};
use std::collections::BTreeMap;

/// How many servers the pooler has, and who else uses them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stage {
    /// One server. Between two steps a stranger with settings and statements of its own uses it.
    One,
    /// Two servers, and strangers that hold them in such a way that a client meets the other one
    /// at each transaction. Not for clients that keep their server.
    Two,
    /// A server for everybody.
    Roomy,
}

pub struct Play {
    name: String,
    before: String,
    logins: BTreeMap<char, Login>,
    steps: Vec<Step>,
    setup: fn(Setup) -> Setup,
}

/// What one client sends, and what it waits for.
pub struct Step {
    pub who: char,
    text: String,
    pub wire: Wire,
    ends: Ends,
    expected: Expected,
}

#[derive(Clone, Copy)]
enum Ends {
    /// As many ReadyForQuery.
    Ready(usize),
    /// A message with this tag.
    Tag(u8),
}

enum Expected {
    Nothing,
    /// As `brief` writes it.
    Brief(String),
    /// As `Answer::shape` writes it.
    Shape(String),
}

/// What a client was told in one step: the messages in words, what its parameters are now, and the
/// transaction status (`?` without a ReadyForQuery).
#[derive(PartialEq)]
struct Told {
    messages: Vec<String>,
    parameters: BTreeMap<String, String>,
    status: char,
}

impl Play {
    pub fn new(name: &str) -> Play {
        Play {
            name: name.into(),
            before: String::new(),
            logins: BTreeMap::new(),
            steps: Vec::new(),
            setup: |setup| setup,
        }
    }

    /// SQL of a superuser before each performance.
    pub fn before(mut self, sql: &str) -> Play {
        self.before = sql.into();
        self
    }

    /// How this client logs in; the others are `app` without any parameter.
    pub fn login(mut self, who: char, login: Login) -> Play {
        self.logins.insert(who, login);
        self
    }

    /// Changes to the pooler's configuration.
    pub fn setup(mut self, setup: fn(Setup) -> Setup) -> Play {
        self.setup = setup;
        self
    }

    /// Lines such as `a: set work_mem = '5MB' => SET`, or `a! …` for the extended protocol. What
    /// stands behind the arrow is what `brief` says; without an arrow nothing is expected but what
    /// PostgreSQL says.
    pub fn lines(mut self, lines: &str) -> Play {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (said, expected) = match line.rsplit_once("=>") {
                Some((said, expected)) => (said, Expected::Brief(expected.trim().into())),
                None => (line, Expected::Nothing),
            };
            let mut letters = said.chars();
            let who = letters.next().expect("a line has a speaker");
            let kind = letters.next();
            let sql = letters.as_str().trim();
            let wire = match kind {
                Some(':') => Wire::new().query(sql),
                Some('!') => Wire::new().extended(sql, &[]).sync(),
                _ => panic!("`a: sql` or `a! sql`: {line}"),
            };
            let text = said.trim().to_owned();
            self.steps.push(Step { who, text, wire, ends: Ends::Ready(1), expected });
        }
        self
    }

    /// Messages that end in as many ReadyForQuery as they ask for; `shape` is what
    /// `Answer::shape` says of the answers.
    pub fn step(mut self, who: char, wire: Wire, shape: &str) -> Play {
        let ends = Ends::Ready(wire.count_of(b"QSF"));
        let text = wire.tags();
        let expected = Expected::Shape(shape.into());
        self.steps.push(Step { who, text, wire, ends, expected });
        self
    }

    /// Messages that end in a Flush; the answer is read up to this tag.
    pub fn flushed(mut self, who: char, wire: Wire, tag: u8, shape: &str) -> Play {
        let text = wire.tags();
        let expected = Expected::Shape(shape.into());
        self.steps.push(Step { who, text, wire, ends: Ends::Tag(tag), expected });
        self
    }

    /// On one server and on two.
    pub fn as_direct(&self) {
        self.as_direct_on(&[Stage::One, Stage::Two]);
    }

    pub fn as_direct_on(&self, stages: &[Stage]) {
        let postgres = Postgres::shared();
        let direct = self.perform("PostgreSQL itself", &mut Company::absent(), |login| {
            let mut client = Client::try_connect(&postgres.address()).expect("PostgreSQL accepts");
            client.start(login).expect("PostgreSQL lets us in");
            client
        });
        for stage in stages {
            let size = [1, 2, 5][*stage as usize];
            let pooler = (self.setup)(Setup::transaction(size)).start();
            let mut company = Company::new(*stage, &pooler, &self.login_of('a'));
            let place = format!("the pooler ({stage:?})");
            let pooled = self.perform(&place, &mut company, |login| pooler.login(login));
            self.compare(&place, &direct, &pooled);
        }
    }

    fn login_of(&self, who: char) -> Login {
        self.logins.get(&who).cloned().unwrap_or_else(|| Login::new("app", "postgres"))
    }

    fn perform(
        &self,
        place: &str,
        company: &mut Company,
        connect: impl Fn(&Login) -> Client,
    ) -> Vec<Told> {
        if !self.before.is_empty() {
            let prepared = Postgres::shared().admin().query(&self.before);
            assert_eq!(prepared.error(), None, "{}: {}", self.name, self.before);
        }
        let mut clients = BTreeMap::new();
        for step in &self.steps {
            clients.entry(step.who).or_insert_with(|| connect(&self.login_of(step.who)));
        }
        let mut told = Vec::new();
        for (number, step) in self.steps.iter().enumerate() {
            let at = format!("{}, step {number} on {place}: {}", self.name, step.text);
            println!("{at}"); // shown if it hangs
            company.before(step.who);
            let client = clients.get_mut(&step.who).expect("all are connected");
            let _ = client.try_send(&step.wire);
            let answer = step.read(client);
            step.check(&answer, &at);
            let status = answer.status();
            let messages = answer.0.iter().filter(|m| m.tag != b'S').map(in_words).collect();
            told.push(Told { messages, parameters: client.parameters.clone(), status });
            company.after(step.who, status);
        }
        told
    }

    fn compare(&self, place: &str, direct: &[Told], pooled: &[Told]) {
        for (number, (direct, pooled)) in direct.iter().zip(pooled).enumerate() {
            let text = &self.steps[number].text;
            let at = format!("{}, step {number}: {text}", self.name);
            let (left, right) = (direct.messages.join("\n  "), pooled.messages.join("\n  "));
            assert!(left == right, "{at}\nPostgreSQL itself:\n  {left}\n{place}:\n  {right}");
            assert_eq!(direct.status, pooled.status, "{at}: the status on {place}");
            assert_eq!(direct.parameters, pooled.parameters, "{at}: the parameters on {place}");
        }
    }
}

impl Step {
    fn read(&self, client: &mut Client) -> Answer {
        match self.ends {
            Ends::Tag(tag) => client.until_tag(tag),
            Ends::Ready(count) => {
                let answers = (0..count).flat_map(|_| client.until_ready().0);
                Answer(answers.collect())
            }
        }
    }

    fn check(&self, answer: &Answer, at: &str) {
        match &self.expected {
            Expected::Nothing => {}
            Expected::Brief(expected) => {
                assert_eq!(brief(answer), *expected, "{at}\n{:?}", answer.error());
            }
            Expected::Shape(expected) => {
                assert_eq!(answer.shape(), *expected, "{at}\n{:?}", answer.error());
            }
        }
    }
}

/// An answer to SQL in few words: the first column of each row, the tags of commands without rows,
/// `!SQLSTATE`, `~SQLSTATE` of a notice, `()` for an empty query, `/T` or `/E` when in a
/// transaction.
pub fn brief(answer: &Answer) -> String {
    let mut words = Vec::new();
    let mut rows = false;
    for message in &answer.0 {
        match message.tag {
            b'D' => words.push(message.row()[0].clone().unwrap_or("∅".into())),
            b'C' if !rows => words.push(message.strings()[0].clone()),
            b'E' => words.push(format!("!{}", message.error().code)),
            b'N' => words.push(format!("~{}", message.error().code)),
            b'I' => words.push("()".into()),
            b'Z' if message.body[0] != b'I' => {
                words.push(format!("/{}", char::from(message.body[0])));
            }
            _ => {}
        }
        rows = message.tag == b'D';
    }
    words.join(" ")
}

/// A message without what differs between two servers: places in the source of PostgreSQL, oids
/// of tables, process ids.
pub fn in_words(message: &Message) -> String {
    let tag = char::from(message.tag);
    match message.tag {
        b'E' | b'N' => {
            let fields = message.strings();
            let mut told: Vec<&String> =
                fields.iter().filter(|field| !field.starts_with(['F', 'L', 'R'])).collect();
            told.sort();
            format!("{tag} {told:?}")
        }
        b'T' => format!("T {}", columns(&message.body[2..]).join(", ")),
        b'A' => format!("A {}", String::from_utf8_lossy(&message.body[4..])),
        _ => format!("{tag} {:?}", String::from_utf8_lossy(&message.body)),
    }
}

/// Name, type, modifier and format of each column.
fn columns(mut rest: &[u8]) -> Vec<String> {
    let mut columns = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let (name, tail) = rest.split_at(end);
        let kind = &tail[7..19];
        columns.push(format!("{} {kind:?}", String::from_utf8_lossy(name)));
        rest = &tail[19..];
    }
    columns
}
