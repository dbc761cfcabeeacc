//! rust-postgres, which prepares each text it is given, under names s0, s1 … of the whole process,
//! and closes the statement when the last who holds it lets go; it asks for unknown types by
//! statements of its own, which it keeps. No command line: the test that starts it is in
//! `drivers.rs`.

use crate::support::postgres::PASSWORD;
use postgres::{Client, Config, NoTls, error::SqlState};
use std::io::{Read, Write};
use std::sync::Barrier;

const CLIENTS: usize = 16;
const TEXTS: usize = 7;

/// All steps on one connection, then on 16 at a time.
pub fn run(port: u16) {
    let mut client = connect(port);
    queries(&mut client);
    copies(&mut client);
    types(&mut client);
    portals(&mut client);
    client.close().unwrap();
    let start = Barrier::new(CLIENTS);
    std::thread::scope(|scope| {
        let one = |number| {
            let start = &start;
            scope.spawn(move || one_of_many(port, number, start))
        };
        let all: Vec<_> = (0..CLIENTS).map(one).collect();
        all.into_iter().for_each(|client| client.join().unwrap());
    });
}

fn connect(port: u16) -> Client {
    let mut config = Config::new();
    config.host("127.0.0.1").port(port).user("app").dbname("postgres").password(PASSWORD);
    config.connect(NoTls).unwrap()
}

fn queries(client: &mut Client) {
    let mut transaction = client.transaction().unwrap();
    let row = transaction.query_one("select $1::int + 1, $2::text", &[&41, &"hé"]).unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (42, "hé"));
    let mut nested = transaction.transaction().unwrap();
    let refused = nested.query("select 1/0", &[]).unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::DIVISION_BY_ZERO));
    nested.rollback().unwrap();
    transaction.batch_execute("select 1; select 2").unwrap();
    transaction.commit().unwrap();
    assert_eq!(client.simple_query("select 3").unwrap().len(), 3);
    for _ in 0..3 {
        let refused = client.query("select 1 / $1::int", &[&0]).unwrap_err();
        assert_eq!(refused.code(), Some(&SqlState::DIVISION_BY_ZERO));
        let refused = client.query("selec $1", &[&0]).unwrap_err();
        assert_eq!(refused.code(), Some(&SqlState::SYNTAX_ERROR));
    }
}

fn copies(client: &mut Client) {
    let mut transaction = client.transaction().unwrap();
    transaction.batch_execute("create temp table t (i int) on commit drop").unwrap();
    let mut writer = transaction.copy_in("copy t from stdin").unwrap();
    for number in 0..10_000 {
        writeln!(writer, "{number}").unwrap();
    }
    assert_eq!(writer.finish().unwrap(), 10_000);
    let mut writer = transaction.copy_in("copy t from stdin").unwrap();
    writer.write_all(b"1\n").unwrap();
    drop(writer); // gives the COPY up half-way
    transaction.rollback().unwrap();

    let mut out = String::new();
    let all = "copy (select generate_series(1, 10000)) to stdout";
    client.copy_out(all).unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out.lines().count(), 10_000);
}

/// A type it does not know is looked up by prepared statements which it keeps for ever.
fn types(client: &mut Client) {
    client.batch_execute("drop type if exists rust_postgres_mood").unwrap();
    client.batch_execute("create type rust_postgres_mood as enum ('glad', 'sad')").unwrap();
    for _ in 0..3 {
        let row = client.query_one("select 'sad'::rust_postgres_mood", &[]).unwrap();
        assert_eq!(row.columns()[0].type_().name(), "rust_postgres_mood");
    }
}

/// A named portal of a transaction, a few rows at a time, with other queries between.
fn portals(client: &mut Client) {
    let series = client.prepare("select generate_series(1, $1::int)").unwrap();
    for _ in 0..3 {
        let mut transaction = client.transaction().unwrap();
        let portal = transaction.bind(&series, &[&25]).unwrap();
        let mut seen = 0;
        for want in [10, 10, 5] {
            seen += transaction.query_portal(&portal, 10).unwrap().len();
            let between: i32 = transaction.query_one("select 7", &[]).unwrap().get(0);
            assert_eq!((between, seen % 10), (7, want % 10));
        }
        transaction.commit().unwrap();
    }
}

/// A statement which no other number has, so that an answer tells which one ran.
fn text(number: usize) -> String {
    format!("select {number} * 1000 + $1::int")
}

fn one_of_many(port: u16, number: usize, start: &Barrier) {
    let mut client = connect(port);
    start.wait();
    let order = |at: usize| (number + at) % TEXTS;
    let kept: Vec<_> = (0..TEXTS).map(|at| client.prepare(&text(order(at))).unwrap()).collect();
    client.batch_execute(&format!("set my.tenant = 'tenant {number}'")).unwrap();
    let tenant = client.prepare("select current_setting('my.tenant')").unwrap();
    for turn in 0..40 {
        let want = (order(turn % TEXTS) * 1000 + turn) as i32;
        let value = turn as i32;
        let answer: i32 = client.query_one(&kept[turn % TEXTS], &[&value]).unwrap().get(0);
        assert_eq!(answer, want);
        let mut transaction = client.transaction().unwrap();
        let passing: i32 =
            transaction.query_one(&text(order(turn % TEXTS)), &[&value]).unwrap().get(0);
        assert_eq!(passing, want);
        let own: String = transaction.query_one(&tenant, &[]).unwrap().get(0);
        assert_eq!(own, format!("tenant {number}"));
        if turn % 3 == 0 { transaction.rollback().unwrap() } else { transaction.commit().unwrap() }
    }
    client.close().unwrap();
}
