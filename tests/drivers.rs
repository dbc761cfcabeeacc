//! Applications' drivers with their own defaults, prepared statements included: first against
//! PostgreSQL itself, so that a program which asks too much is found out before a pooler is blamed,
//! then through every kind of pool. The programs of other languages are in `tests/drivers`, each
//! with what is special about its driver at its head; they end with 16 clients at a time.
//! `scripts/test` installs and builds what they need.

mod logins;
mod on_the_wire;
mod rust_postgres;

pub use logins::Psycopg;

use crate::support::postgres::PASSWORD;
use crate::support::process::run;
use crate::support::{Pooler, Postgres, Setup};
use std::path::PathBuf;
use std::process::Command;

/// Servers of a transaction pool: fewer than a program's clients, so that all of them wander.
const SERVERS: usize = 2;

/// Servers of a session pool: one for each client of a program, and a few for its first steps.
const SESSIONS: usize = 20;

const HINT: &str = "is missing: scripts/setup test installs it, POOLER_SKIP_DRIVERS=1 does without";

/// What a driver connects to.
struct Front {
    what: &'static str,
    port: u16,
    /// `None`: PostgreSQL itself.
    pooler: Option<Pooler>,
}

impl Front {
    fn of(what: &'static str, setup: &Setup) -> Front {
        let pooler = setup.start();
        Front { what, port: pooler.port, pooler: Some(pooler) }
    }

    fn stop(self) {
        if let Some(pooler) = self.pooler {
            pooler.stop();
        }
    }
}

/// PostgreSQL, every kind of pool, and a client that proves itself by SCRAM.
fn fronts() -> impl Iterator<Item = Front> {
    let direct = || Front { what: "PostgreSQL", port: Postgres::shared().port, pooler: None };
    let guarded = || {
        let options = format!(
            r#"authentication "scram-sha-256" password "{PASSWORD}" storage "pg"
               pool "transaction" pool_size {SERVERS}"#
        );
        Front::of("transaction, SCRAM", &Setup::new().rule("postgres", "app", &options))
    };
    let kinds: [Box<dyn Fn() -> Front>; 4] = [
        Box::new(direct),
        Box::new(|| Front::of("session", &Setup::session(SESSIONS))),
        Box::new(|| Front::of("transaction", &Setup::transaction(SERVERS))),
        Box::new(guarded),
    ];
    kinds.into_iter().map(|start| start())
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/drivers")
}

/// A program of `tests/drivers`, or one of the system.
pub fn command(words: &[&str]) -> Command {
    let beside = directory().join(words[0]);
    let program = if beside.exists() { beside } else { PathBuf::from(words[0]) };
    let mut command = Command::new(program);
    command.args(&words[1..]).current_dir(directory());
    command
}

/// Whoever runs the tests does without drivers.
pub fn is_skipped() -> bool {
    std::env::var_os("POOLER_SKIP_DRIVERS").is_some()
}

/// `ready` shows that a driver is there, or builds its program.
pub fn shows_up(driver: &str, ready: &[&str]) {
    let probed = command(ready).output();
    let why = match &probed {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Some(error.to_string()),
    };
    assert!(why.is_none(), "{driver} {HINT}\n{}", why.unwrap_or_default());
}

/// Runs a program with the usual PG* variables in front of each kind of server; it ends with a line
/// `ok`. `ready` shows that its driver is there, or builds it.
fn passes(driver: &str, ready: &[&str], program: &[&str]) {
    if is_skipped() {
        return;
    }
    shows_up(driver, ready);
    for front in fronts() {
        let mut command = command(program);
        command.env("PGHOST", "127.0.0.1").env("PGPORT", front.port.to_string());
        command.env("PGUSER", "app").env("PGDATABASE", "postgres").env("PGPASSWORD", PASSWORD);
        command.env("PGCONNECT_TIMEOUT", "10").env("PGSSLMODE", "disable");
        let begun = std::time::Instant::now();
        let (good, out, err) = run(&mut command);
        assert!(good && out.ends_with("ok\n"), "{driver} on {}: {out}{err}", front.what);
        println!("{driver} on {}: {:.1?}", front.what, begun.elapsed());
        front.stop();
    }
}

fn before_each_front(run: fn(u16)) {
    for front in fronts() {
        println!("on {}", front.what);
        run(front.port);
        front.stop();
    }
}

#[test]
fn psycopg() {
    passes(
        "psycopg",
        &[".venv/bin/python", "-c", "import psycopg"],
        &[".venv/bin/python", "psycopg_test.py"],
    );
}

#[test]
fn asyncpg() {
    passes(
        "asyncpg",
        &[".venv/bin/python", "-c", "import asyncpg"],
        &[".venv/bin/python", "asyncpg_test.py"],
    );
}

#[test]
fn node_postgres() {
    passes("node-postgres", &["node", "-e", "require('pg')"], &["node", "node_postgres_test.js"]);
}

#[test]
fn postgres_js() {
    passes("postgres.js", &["node", "-e", "require('postgres')"], &["node", "postgres_js_test.js"]);
}

#[test]
fn pgjdbc() {
    let path = ".build/pgjdbc:/usr/share/java/postgresql.jar";
    passes("pgjdbc", &["./build", "pgjdbc"], &["java", "-cp", path, "PgJdbc"]);
}

#[test]
fn pgx() {
    passes("pgx", &["./build", "pgx"], &[".build/pgx"]);
}

#[test]
fn lib_pq() {
    passes("lib/pq", &["./build", "lib_pq"], &[".build/lib_pq"]);
}

#[test]
fn sqlx() {
    passes("sqlx", &["./build", "sqlx"], &[".build/sqlx"]);
}

#[test]
fn rust_postgres() {
    before_each_front(rust_postgres::run);
}

#[test]
fn npgsql() {
    before_each_front(on_the_wire::npgsql);
}

#[test]
fn pgx_5() {
    before_each_front(on_the_wire::pgx_5);
}

#[test]
fn a_statement_without_a_name_outlives_its_sync() {
    before_each_front(on_the_wire::two_syncs);
}
