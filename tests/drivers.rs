//! Applications' drivers through the pooler: connect, parameters, transaction, error, COPY,
//! pipeline. The scripts of other languages are in `tests/drivers`; `scripts/test` installs what
//! they need.

use crate::support::postgres::PASSWORD;
use crate::support::process::run;
use crate::support::{Pooler, Setup};
use postgres::{Config, NoTls, error::SqlState};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Command;

const HINT: &str = "is missing: scripts/test installs it, POOLER_SKIP_DRIVERS=1 does without";

/// Every kind of pool, and a client that proves itself by SCRAM.
fn poolers() -> Vec<Pooler> {
    let guarded = format!(
        r#"authentication "scram-sha-256" password "{PASSWORD}" storage "pg" pool "transaction"
           pool_size 3"#
    );
    vec![
        Setup::transaction(3).start(),
        Setup::session(6).start(),
        Setup::new().rule("postgres", "app", &guarded).start(),
    ]
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/drivers")
}

/// Runs a script with the usual PG* variables in front of each pooler; it ends with a line `ok`.
fn script(interpreter: &str, probe: &[&str], file: &str) {
    if std::env::var_os("POOLER_SKIP_DRIVERS").is_some() {
        return;
    }
    let beside = directory().join(interpreter);
    let program = if beside.exists() { beside } else { PathBuf::from(interpreter) };
    let probed = Command::new(&program).args(probe).current_dir(directory()).output();
    assert!(probed.is_ok_and(|p| p.status.success()), "the driver of {file} {HINT}");
    for pooler in poolers() {
        let mut command = Command::new(&program);
        command.arg(file).current_dir(directory());
        command.env("PGHOST", "127.0.0.1").env("PGPORT", pooler.port.to_string());
        command.env("PGUSER", "app").env("PGDATABASE", "postgres").env("PGPASSWORD", PASSWORD);
        command.env("PGCONNECT_TIMEOUT", "10");
        let (good, out, err) = run(&mut command);
        assert!(good && out.ends_with("ok\n"), "{file}: {out}{err}");
        pooler.stop();
    }
}

#[test]
fn psycopg() {
    script(".venv/bin/python", &["-c", "import psycopg"], "psycopg_test.py");
}

#[test]
fn asyncpg() {
    script(".venv/bin/python", &["-c", "import asyncpg"], "asyncpg_test.py");
}

#[test]
fn node_postgres() {
    script("node", &["-e", "require('pg')"], "node_postgres_test.js");
}

#[test]
fn rust_postgres() {
    for pooler in poolers() {
        let mut config = Config::new();
        config.host("127.0.0.1").port(pooler.port).user("app").dbname("postgres");
        config.password(PASSWORD);
        let mut client = config.connect(NoTls).unwrap();
        rust_queries(&mut client);
        rust_copy(&mut client);
        client.close().unwrap();
        pooler.stop();
    }
}

fn rust_queries(client: &mut postgres::Client) {
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
}

fn rust_copy(client: &mut postgres::Client) {
    let mut transaction = client.transaction().unwrap();
    transaction.batch_execute("create temp table t (i int)").unwrap();
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
    // Between transactions the statement it prepares would stay on another server.
    let mut transaction = client.transaction().unwrap();
    transaction.copy_out(all).unwrap().read_to_string(&mut out).unwrap();
    transaction.commit().unwrap();
    assert_eq!(out.lines().count(), 10_000);
}
