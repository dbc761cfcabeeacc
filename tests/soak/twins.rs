//! Twins: the same random client twice, once on PostgreSQL itself and once through the pooler,
//! where others of its kind use the same few servers meanwhile. All they are told has to be the
//! same, message by message. It does not know what is right: PostgreSQL says so.

mod alphabet;
mod shrink;

use crate::support::message::Message;
use crate::support::play::in_words;
use crate::support::{Client, Login, PATIENCE, Pooler, Postgres, Seeded, Setup};
use alphabet::{Ends, LONG_NAME, Script, Step};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::{self, ErrorKind};
use std::thread;
use std::time::{Duration, Instant};

const CLIENTS: usize = 5;
const STEPS: usize = 40;
/// PostgreSQL has said all it will say, when nobody knows how much that is.
const SILENCE: Duration = Duration::from_millis(60);
/// For a server that others keep as long as they live.
const LONG_PATIENCE: Duration = Duration::from_secs(180);
/// Where its twin may have been told more, which a failed transaction does not tell.
const PATIENCE_BEHIND_AN_ERROR: Duration = Duration::from_secs(2);
/// How long clients are born; `POOLER_TEST_SPAN_S` says otherwise, for a night of it.
const SPAN: Duration = Duration::from_secs(6);

/// What a client was told in one step: messages in words, and its parameters if it was ready then.
#[derive(PartialEq)]
struct Told {
    messages: Vec<String>,
    parameters: Option<BTreeMap<String, String>>,
    /// The connection ended behind that.
    hung_up: bool,
}

impl Told {
    /// In a failed transaction a statement that its server lacks cannot be prepared: whatever
    /// else there is to say about it is not told then.
    fn fails_like(&self, twin: &Told) -> bool {
        let requests = |told: &'_ Told| -> Vec<Vec<String>> {
            let ends = |message: &String| message.starts_with("Z ");
            told.messages.split_inclusive(ends).map(<[String]>::to_vec).collect()
        };
        let (own, other) = (requests(self), requests(twin));
        let mut pairs = own.iter().zip(&other);
        let same = self.parameters == twin.parameters && self.hung_up == twin.hung_up;
        same && own.len() == other.len() && pairs.all(|(own, twin)| own == twin || fails(own, twin))
    }

    /// Did as many ReadyForQuery come as it waited for?
    fn was_ready(&self, step: &Step) -> bool {
        let ready = self.messages.iter().filter(|message| message.starts_with("Z ")).count();
        step.ends == Ends::Ready(ready)
    }

    /// Who breaks the protocol is sent away, by PostgreSQL in its words and by us in ours.
    fn ends_like(&self, twin: &Told) -> bool {
        let Some((last, before)) = self.messages.split_last() else { return false };
        let ours = last.starts_with("E ") && last.contains("Modyssey: ");
        ours && self.hung_up && twin.hung_up && twin.messages.starts_with(before)
    }

    /// It failed where its twin did not, and what its twin has closed or prepared there is still
    /// there, or is not: from here on they are two.
    fn parts_from(&self, twin: &Told) -> bool {
        let count =
            |told: &Told, word| told.messages.iter().filter(|m| m.starts_with(word)).count();
        ["1 ", "3 "].iter().any(|word| count(self, word) != count(twin, word))
    }

    fn is_as_good_as(&self, twin: &Told) -> bool {
        self == twin || self.fails_like(twin) || self.ends_like(twin)
    }
}

/// Is it refused, in a failed transaction, and its twin for another reason or not at all?
fn fails(own: &[String], twin: &[String]) -> bool {
    let ends = |last: &String| last == "Z \"E\"" || last.starts_with("E "); // behind a Flush
    let failed = |told: &[String]| told.last().is_some_and(ends);
    let refused = |message: &String| message.starts_with("E ") && message.contains("\"C25P02\"");
    let first = own.iter().zip(twin).find(|(own, other)| own != other);
    let flushed = !twin.iter().any(|message| message.starts_with("Z ")); // it will fail
    failed(own) && (failed(twin) || flushed) && first.is_some_and(|(own, _)| refused(own))
}

/// Why a client's life through the pooler is not that of its twin.
struct Differs {
    step: usize,
    told: Told,
}

/// Reads until PostgreSQL has said all.
fn tell(client: &mut Client, step: &Step) -> Told {
    let _ = client.try_send(&step.wire);
    let (mut messages, mut ready, mut hung_up) = (Vec::new(), 0, false);
    if let Ends::Silence = step.ends {
        client.socket.limit(SILENCE);
    }
    while step.ends != Ends::Ready(ready) && !hung_up {
        match client.try_read() {
            Ok(Some(message)) => {
                ready += usize::from(message.tag == b'Z');
                if message.tag == b'E' && in_words(&message).contains("\"VFATAL\"") {
                    client.socket.limit(PATIENCE); // the end is near
                }
                messages.push(message);
            }
            Err(error) if is_silence(&error) => break,
            Ok(None) | Err(_) => hung_up = true,
        }
    }
    client.socket.limit(PATIENCE);
    told(client, &messages, hung_up)
}

/// Reads what its twin was told, and the end if that was told it: up to the same ReadyForQuery, or
/// as many messages where there is none, unless it fails before. There is none, too, behind a Sync
/// that a COPY FROM STDIN swallows, which a Bind of the unnamed statement may begin.
fn tell_as(client: &mut Client, step: &Step, twin: &Told) -> Told {
    let _ = client.try_send(&step.wire);
    client.socket.limit(LONG_PATIENCE);
    let (mut messages, mut ready, mut hung_up) = (Vec::new(), 0, false);
    let mut due = twin.messages.len() + usize::from(twin.hung_up);
    let counts = twin.hung_up || !twin.was_ready(step);
    while !hung_up && (due > 0 || !counts) && (counts || step.ends != Ends::Ready(ready)) {
        match client.try_read() {
            Ok(Some(message)) => {
                due = due.saturating_sub(usize::from(message.tag != b'S'));
                ready += usize::from(message.tag == b'Z');
                if counts && message.tag == b'E' && !twin.hung_up {
                    client.socket.limit(PATIENCE_BEHIND_AN_ERROR);
                }
                messages.push(message);
            }
            Err(error) if is_silence(&error) => break,
            Ok(None) | Err(_) => hung_up = true,
        }
    }
    told(client, &messages, hung_up)
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn told(client: &Client, messages: &[Message], hung_up: bool) -> Told {
    let ready = messages.last().is_some_and(|last| last.tag == b'Z');
    // PostgreSQL quotes a name as it was written, we as far as it counts.
    let in_words = |message| in_words(message).replace(LONG_NAME, &LONG_NAME[..63]);
    let messages = messages.iter().filter(|message| message.tag != b'S').map(in_words).collect();
    Told { messages, parameters: ready.then(|| client.parameters.clone()), hung_up }
}

fn login(script: &Script) -> Login {
    let login = Login::new("twin", "postgres");
    script.options.iter().fold(login, |login, (name, value)| login.option(name, value))
}

/// What PostgreSQL itself says to this client, which comes anew when it was sent away.
fn directly(script: &Script) -> Vec<Told> {
    let connect = || {
        let mut client = Client::try_connect(&Postgres::shared().address()).unwrap();
        client.start(&login(script)).unwrap();
        client
    };
    let mut client = connect();
    let tell = |step| {
        let told = tell(&mut client, step);
        if told.hung_up {
            client = connect();
        }
        told
    };
    script.steps.iter().map(tell).collect()
}

/// Is it told the same through the pooler?
fn pooled(pooler: &Pooler, script: &Script, twin: &[Told]) -> Result<(), Differs> {
    let mut client = pooler.login(&login(script));
    for (number, (step, twin)) in script.steps.iter().zip(twin).enumerate() {
        let told = tell_as(&mut client, step, twin);
        if !told.is_as_good_as(twin) {
            return Err(Differs { step: number, told });
        }
        if told.parts_from(twin) {
            break;
        }
        if told.hung_up {
            client = pooler.login(&login(script));
        }
    }
    let _ = client.try_send(&script.goodbye);
    Ok(())
}

fn describe(script: &Script, twin: &[Told], differs: &Differs) -> String {
    let Differs { step, told } = differs;
    let mut text = format!("{:?}\n", script.options);
    for (number, said) in script.steps.iter().enumerate().take(step + 1) {
        let first = |message: &String| message.chars().take(1).collect::<String>();
        let told: Vec<String> = twin[number].messages.iter().map(first).collect();
        let _ = writeln!(text, "{number}: {} => {}", said.text, told.join(""));
    }
    let short = |message: &String| message.chars().take(300).collect::<String>();
    for (who, told) in [("PostgreSQL itself", &twin[*step]), ("the pooler", told)] {
        let mut lines: Vec<String> = told.messages.iter().map(short).collect();
        lines.extend(told.hung_up.then(|| "the end".into()));
        let _ = writeln!(text, "{who}:\n  {}", lines.join("\n  "));
    }
    if let (Some(one), Some(other)) = (&twin[*step].parameters, &told.parameters) {
        let differs = |(name, value): &(&String, &String)| one.get(*name) != Some(value);
        let _ =
            writeln!(text, "parameters: {:?}", other.iter().filter(differs).collect::<Vec<_>>());
    }
    text
}

/// Some clients at once, over fewer servers.
fn round(seed: u64, setup: &Setup) -> usize {
    let mut random = Seeded::from(seed);
    let make = |number| Script::new(number, STEPS, &mut random);
    let scripts: Vec<Script> = (0..CLIENTS).map(make).collect();
    if let Some(differs) = play(setup, &scripts) {
        eprintln!("POOLER_TEST_SEED={seed}\n{differs}\nand with as little as makes a difference:");
        panic!("{}", shrink::shrink(setup, scripts).unwrap_or_default());
    }
    CLIENTS * STEPS
}

/// Each of them by itself, and then all through the pooler: what somebody was told otherwise.
fn play(setup: &Setup, scripts: &[Script]) -> Option<String> {
    prepare_tables();
    let twins: Vec<Vec<Told>> = thread::scope(|scope| {
        let direct = scripts.iter().map(|script| scope.spawn(|| directly(script)));
        let direct: Vec<_> = direct.collect();
        direct.into_iter().map(|one| one.join().unwrap()).collect()
    });
    prepare_tables();
    let pooler = setup.start();
    let differences: Vec<String> = thread::scope(|scope| {
        let pooler = &pooler;
        let pairs = scripts.iter().zip(&twins);
        let threads = pairs.map(|(script, twin)| scope.spawn(move || pooled(pooler, script, twin)));
        let threads: Vec<_> = threads.collect();
        let ends = threads.into_iter().map(|one| one.join().unwrap());
        let told = ends.zip(scripts).zip(&twins);
        let differs = told.filter_map(|((end, script), twin)| Some((end.err()?, script, twin)));
        differs.map(|(differs, script, twin)| describe(script, twin, &differs)).collect()
    });
    if !differences.is_empty() {
        return Some(differences.join("\n\n"));
    }
    pooler.stop();
    None
}

fn prepare_tables() {
    let mut admin = Postgres::shared().admin();
    let left = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'twin'";
    assert_eq!(admin.query(left).error(), None);
    for number in 0..CLIENTS {
        let made = format!(
            "drop table if exists twin_{number};
             create table twin_{number} (i int primary key, t text);
             insert into twin_{number} values (1, 'one'), (2, 'two'), (3, 'three');
             grant all on twin_{number} to twin"
        );
        assert_eq!(admin.query(&made).error(), None);
    }
}

/// Whatever clients do, and in whatever order: they are told what PostgreSQL itself tells them.
#[test]
fn random_clients_are_told_what_postgresql_tells_them() {
    Postgres::shared().role("twin");
    let made = "create role twin_clerk; grant twin_clerk to twin";
    assert_eq!(Postgres::shared().admin().query(made).error(), None);
    let span = std::env::var("POOLER_TEST_SPAN_S").ok().and_then(|text| text.parse().ok());
    let end = Instant::now() + span.map_or(SPAN, Duration::from_secs);
    let mut seeds = Seeded::new(7);
    let mut steps = 0;
    for number in 0.. {
        let seed = if number == 0 { given(&mut seeds) } else { seeds.next() };
        let setup = match seed % 8 {
            0 => Setup::session(CLIENTS),
            1 => Setup::transaction(1),
            2 => Setup::transaction(3).global("virtual_transaction no"),
            3..5 => Setup::transaction(3),
            _ => Setup::transaction(2),
        };
        steps += round(seed, &setup);
        if Instant::now() > end {
            break;
        }
    }
    println!("{steps} steps");
}

/// A seed that is given is that of a round.
fn given(seeds: &mut Seeded) -> u64 {
    let given = std::env::var("POOLER_TEST_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| seeds.next())
}
