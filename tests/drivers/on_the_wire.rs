//! Drivers that are not at hand, message by message as they send them: Npgsql, pgx 5, and what
//! lib/pq, PQprepare and psql's \gdesc have in common, a statement without a name that outlives its
//! Sync. No guess: each sequence was read in the driver's source. No command line: the tests that
//! start them are in `drivers.rs`.

use crate::support::client::Address;
use crate::support::postgres::PASSWORD;
use crate::support::{Answer, Client, Login, Wire};
use std::sync::Barrier;

const CLIENTS: usize = 16;
const TEXTS: usize = 7;

fn connect(port: u16) -> Client {
    let mut client = Client::try_connect(&Address::Tcp(port)).unwrap();
    let login = Login::new("app", "postgres").password(PASSWORD);
    client.start(&login.option("client_encoding", "UTF8")).unwrap();
    client
}

/// 16 clients at a time, all connected before the first says anything.
fn many(port: u16, one: impl Fn(Client, usize) + Sync) {
    let start = Barrier::new(CLIENTS);
    let (start, one) = (&start, &one);
    std::thread::scope(|scope| {
        let spawn = |number| {
            scope.spawn(move || {
                let client = connect(port);
                start.wait();
                one(client, number);
            })
        };
        let all: Vec<_> = (0..CLIENTS).map(spawn).collect();
        all.into_iter().for_each(|client| client.join().unwrap());
    });
}

/// One write, and the answers up to as many ReadyForQuery as there are shapes.
fn says(client: &mut Client, wire: Wire, shapes: &[&str]) -> Vec<Answer> {
    client.send(&wire);
    let answer = |shape: &&str| {
        let answer = client.until_ready();
        assert_eq!(answer.shape(), *shape, "{:?}", answer.error());
        answer
    };
    shapes.iter().map(answer).collect()
}

/// A statement which no other number has, so that an answer tells which one ran.
fn text(number: usize) -> String {
    format!("select {number} * 1000 + $1::int")
}

fn expect(answer: &Answer, number: usize, value: usize) {
    assert_eq!(answer.column(), [(number * 1000 + value).to_string()]);
}

/// Parse, Bind, Describe, Execute: what Npgsql sends for a text it has not prepared, or prepares
/// now.
fn npgsql_parse(wire: Wire, name: &str, sql: &str, values: &[&str]) -> Wire {
    wire.parse(name, sql).bind("", name, values).describe_portal("").execute("", 0)
}

/// Npgsql keeps the reset of a returned connection and sends it in one write with whatever the next
/// user says first; so it does with BEGIN.
pub fn npgsql(port: u16) {
    let mut client = connect(port);
    npgsql_batches(&mut client);
    client.leave();
    many(port, |mut client, number| {
        for turn in 0..8 {
            npgsql_unprepared(&mut client, number, turn);
        }
        npgsql_prepared(&mut client, number);
        client.leave();
    });
}

/// Nothing is prepared: the reset is DISCARD ALL.
fn npgsql_unprepared(client: &mut Client, number: usize, turn: usize) {
    let value = turn.to_string();
    let reset = Wire::new().query("DISCARD ALL");
    let own = "select current_setting('my.tenant', true)";
    let first = npgsql_parse(reset, "", own, &[]).sync();
    let answers = says(client, first, &["C Z/I", "1 2 T D C Z/I"]);
    let fresh = &answers[1].column()[0];
    assert!(fresh == "∅" || fresh.is_empty(), "{fresh} of whom had the connection before");

    assert_eq!(client.query(&format!("SET my.tenant = 'tenant {number}'")).code(), "");
    let begin = Wire::new().query("BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED");
    let asked = npgsql_parse(begin, "", &text(number), &[&value]).sync();
    let answers = says(client, asked, &["C Z/T", "1 2 T D C Z/T"]);
    expect(&answers[1], number, turn);
    let tenant = says(client, npgsql_parse(Wire::new(), "", own, &[]).sync(), &["1 2 T D C Z/T"]);
    assert_eq!(tenant[0].column(), [format!("tenant {number}")]);
    says(client, Wire::new().query("COMMIT"), &["C Z/I"]);

    let asked = npgsql_parse(Wire::new(), "", &text(turn), &[&value]).sync();
    expect(&says(client, asked, &["1 2 T D C Z/I"])[0], turn, turn);
    let tenant = says(client, npgsql_parse(Wire::new(), "", own, &[]).sync(), &["1 2 T D C Z/I"]);
    assert_eq!(tenant[0].column(), [format!("tenant {number}")]);
}

/// With something prepared the reset must leave it, so it is a list of statements instead.
fn npgsql_prepared(client: &mut Client, number: usize) {
    let order = |at: usize| (number + at) % TEXTS;
    let mut explicit = Wire::new();
    for at in 0..2 {
        let name = format!("_p{}", at + 1);
        explicit = explicit.parse(&name, &text(order(at))).describe_statement(&name);
    }
    says(client, explicit.sync(), &["1 t T 1 t T Z/I"]);
    // Max Auto Prepare=1: the only slot is closed and parsed anew, in front of its Bind.
    let first = npgsql_parse(Wire::new(), "_auto0", &text(order(2)), &["0"]).sync();
    expect(&says(client, first, &["1 2 T D C Z/I"])[0], order(2), 0);
    for turn in 0..12 {
        let value = turn.to_string();
        let reset = Wire::new().query(
            "SET SESSION AUTHORIZATION DEFAULT;RESET ALL;CLOSE ALL;UNLISTEN *;\
             SELECT pg_advisory_unlock_all();DISCARD SEQUENCES;DISCARD TEMP",
        );
        let held = reset.bind("", "_p1", &[&value]).execute("", 0).sync();
        let answers = says(client, held, &["C C C C T D C C C Z/I", "2 D C Z/I"]);
        expect(&answers[1], order(0), turn);
        let again = Wire::new().bind("", "_auto0", &[&value]).execute("", 0);
        let again = again.bind("", "_p2", &[&value]).execute("", 0).sync();
        let both = says(client, again, &["2 D C 2 D C Z/I"]);
        let want = [order(turn + 2), order(1)].map(|n| (n * 1000 + turn).to_string());
        assert_eq!(both[0].column(), want);
        let replaced = Wire::new().close_statement("_auto0");
        let replaced = npgsql_parse(replaced, "_auto0", &text(order(turn + 3)), &[&value]).sync();
        expect(&says(client, replaced, &["3 1 2 T D C Z/I"])[0], order(turn + 3), turn);
    }
    let ended = Wire::new().close_statement("_p1").close_statement("_p2").sync();
    says(client, ended, &["3 3 Z/I"]);
    let gone = Wire::new().bind("", "_p1", &["1"]).execute("", 0).sync();
    says(client, gone, &["E/26000 Z/I"]);
    says(client, Wire::new().query("DISCARD ALL"), &["C Z/I"]);
    let gone = Wire::new().bind("", "_auto0", &["1"]).execute("", 0).sync();
    says(client, gone, &["E/26000 Z/I"]);
}

/// A batch is one Sync; with error barriers, and when multiplexing, one each, all in one write.
fn npgsql_batches(client: &mut Client) {
    let mut batch = Wire::new();
    for number in 0..TEXTS {
        batch = npgsql_parse(batch, "", &text(number), &["5"]);
    }
    let shape = format!("{} Z/I", ["1 2 T D C"; TEXTS].join(" "));
    let answers = says(client, batch.sync(), &[&shape]);
    let want: Vec<String> = (0..TEXTS).map(|n| (n * 1000 + 5).to_string()).collect();
    assert_eq!(answers[0].column(), want);

    let (mut barriers, mut shapes) = (Wire::new(), Vec::new());
    for number in 0..TEXTS {
        let broken = number % 3 == 2;
        // Fails in Bind already, where the planner works it out.
        let sql = if broken { "select 1 / $1::int".to_owned() } else { text(number) };
        barriers = npgsql_parse(barriers, "", &sql, &["0"]).sync();
        shapes.push(if broken { "1 E/22012 Z/I" } else { "1 2 T D C Z/I" });
    }
    let answers = says(client, barriers, &shapes);
    for (number, answer) in answers.iter().enumerate().filter(|(number, _)| number % 3 != 2) {
        expect(answer, number, 0);
    }
}

/// The name pgx 5 gives a text: the same on every connection and in every process.
fn pgx_name(number: usize) -> String {
    format!("stmtcache_{number:048x}")
}

/// pgx 5 in its default mode: names made of the text's hash, Parse, Describe and Sync, then Bind,
/// Execute, Sync; what falls out of the cache is closed by one pipeline with one Sync.
pub fn pgx_5(port: u16) {
    pgx_schema_changes(port);
    many(port, |mut client, number| {
        for turn in 0..6 {
            let mut parses = Wire::new();
            let mut executes = Wire::new();
            let chosen: Vec<usize> = (0..4).map(|at| (number + turn + at) % TEXTS).collect();
            for each in &chosen {
                let name = pgx_name(*each);
                parses = parses.parse(&name, &text(*each)).describe_statement(&name);
                executes = executes.bind("", &name, &[&turn.to_string()]).execute("", 0);
            }
            says(&mut client, parses.sync(), &["1 t T 1 t T 1 t T 1 t T Z/I"]);
            let answer = says(&mut client, executes.sync(), &["2 D C 2 D C 2 D C 2 D C Z/I"]);
            let want = chosen.iter().map(|n| (n * 1000 + turn).to_string()).collect::<Vec<_>>();
            assert_eq!(answer[0].column(), want);
            says(&mut client, Wire::new().query("begin"), &["C Z/T"]);
            for each in &chosen {
                let one = Wire::new().bind("", &pgx_name(*each), &["7"]).execute("", 0).sync();
                expect(&says(&mut client, one, &["2 D C Z/T"])[0], *each, 7);
            }
            says(&mut client, Wire::new().query("commit"), &["C Z/I"]);
            let closes = chosen.iter().fold(Wire::new(), |w, n| w.close_statement(&pgx_name(*n)));
            says(&mut client, closes.sync(), &["3 3 3 3 Z/I"]);
            let gone = Wire::new().bind("", &pgx_name(chosen[0]), &["7"]).execute("", 0).sync();
            says(&mut client, gone, &["E/26000 Z/I"]);
        }
        client.leave();
    });
}

/// The first use after the change may fail; after Close and Parse under the same name all is well.
fn pgx_schema_changes(port: u16) {
    let (mut client, mut other) = (connect(port), connect(port));
    for sql in ["drop table if exists pgx_5_t", "create table pgx_5_t (i int)"] {
        assert_eq!(client.query(sql).code(), "");
    }
    let name = pgx_name(99);
    let sql = "select * from pgx_5_t";
    let execute = || Wire::new().bind("", &name, &[]).execute("", 0).sync();
    for column in 0..3 {
        for each in [&mut client, &mut other] {
            let parse = Wire::new().parse(&name, sql).describe_statement(&name).sync();
            let answer = says(each, parse, &["1 t T Z/I"]).remove(0);
            let row = answer.0.iter().find(|m| m.tag == b'T').unwrap();
            assert_eq!(row.body[..2], [0, column as u8 + 1], "columns described");
            says(each, execute(), &["2 C Z/I"]);
            says(each, execute(), &["2 C Z/I"]);
        }
        let add = format!("alter table pgx_5_t add column c{column} text");
        assert_eq!(client.query(&add).code(), "");
        for each in [&mut client, &mut other] {
            each.send(&execute());
            let code = each.until_ready().code();
            assert!(["", "0A000"].contains(&code.as_str()), "{code}");
            says(each, Wire::new().close_statement(&name).sync(), &["3 Z/I"]);
        }
    }
    client.leave();
    other.leave();
}

/// The statement without a name outlives its Sync: lib/pq parses and describes it in one and runs
/// it in the next, psql's \gdesc and PQdescribePrepared ask for it in a Sync of its own. Three
/// clients take turns after each Sync, so that over two servers they meet.
pub fn two_syncs(port: u16) {
    let mut clients: Vec<Client> = (0..3).map(|_| connect(port)).collect();
    for turn in 0..4 {
        for (number, client) in clients.iter_mut().enumerate() {
            let parse = Wire::new().parse("", &text(number + turn)).describe_statement("").sync();
            says(client, parse, &["1 t T Z/I"]);
        }
        for client in &mut clients {
            says(client, Wire::new().describe_statement("").sync(), &["t T Z/I"]);
        }
        for value in 0..2 {
            for (number, client) in clients.iter_mut().enumerate() {
                let run = Wire::new().bind("", "", &[&value.to_string()]).execute("", 0).sync();
                expect(&says(client, run, &["2 D C Z/I"])[0], number + turn, value);
            }
        }
        for client in &mut clients {
            // A simple query takes the unnamed statement away, as in PostgreSQL.
            assert_eq!(client.scalar("select 'simple'"), "simple");
            let run = Wire::new().bind("", "", &["1"]).execute("", 0).sync();
            says(client, run, &["E/26000 Z/I"]);
        }
    }
    clients.into_iter().for_each(Client::leave);
}
