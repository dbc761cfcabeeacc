//! Applications' drivers at the console, each with its own way of asking. Their programs are in
//! `tests/drivers/console`; each gives every command that shows, by every protocol its driver has,
//! finds the right number in one of them, survives an error, pauses and resumes.

use super::*;
use crate::drivers::{command, is_skipped, shows_up};

/// Commands that show, without SHOW.
const SHOWN: &str = "stats stats_totals stats_averages totals pools pools_extended databases users \
                     clients servers sockets active_sockets waiters holders pins server_prep_stmts \
                     global_prepared_statements lists errors errors_per_route version \
                     version_extended config mem state coroutines dns_hosts dns_zones rules listen \
                     storages is_paused host_utilization";

/// Queries of the load that a program finds again.
const QUERIES: usize = 7;

fn finds_its_way(driver: &str, ready: &[&str], program: &[&str]) {
    if is_skipped() {
        return;
    }
    shows_up(driver, ready);
    let pooler = with_console(Setup::transaction(2).with("quantiles \"0.5\"")).start();
    let mut client = pooler.client();
    (0..QUERIES).for_each(|_| assert_eq!(client.scalar("select 1"), "1"));
    let mut command = command(program);
    command.arg(QUERIES.to_string());
    command.args(SHOWN.split_whitespace().map(|name| format!("show {name}")));
    command.env("PGHOST", "127.0.0.1").env("PGPORT", pooler.port.to_string());
    command.env("PGUSER", "admin").env("PGDATABASE", "console").env("PGPASSWORD", "");
    command.env("PGCONNECT_TIMEOUT", "10").env("PGSSLMODE", "disable");
    let (good, out, err) = run(&mut command);
    assert!(good && out.ends_with("ok\n"), "{driver}: {out}{err}");
    pooler.stop_with(vec![client]);
}

#[test]
fn psycopg_finds_its_way_in_the_console() {
    let python = ".venv/bin/python";
    let ready = [python, "-c", "import psycopg"];
    finds_its_way("psycopg", &ready, &[python, "console/psycopg_test.py"]);
}

#[test]
fn asyncpg_finds_its_way_in_the_console() {
    let python = ".venv/bin/python";
    let ready = [python, "-c", "import asyncpg"];
    finds_its_way("asyncpg", &ready, &[python, "console/asyncpg_test.py"]);
}

#[test]
fn node_postgres_finds_its_way_in_the_console() {
    let ready = ["node", "-e", "require('pg')"];
    finds_its_way("node-postgres", &ready, &["node", "console/node_postgres_test.js"]);
}

#[test]
fn pgjdbc_finds_its_way_in_the_console() {
    let path = ".build/console:/usr/share/java/postgresql.jar";
    let program = ["java", "-cp", path, "ConsoleByJdbc"];
    finds_its_way("pgjdbc", &["./build", "console_pgjdbc"], &program);
}

#[test]
fn pgx_finds_its_way_in_the_console() {
    finds_its_way("pgx", &["./build", "console_pgx"], &[".build/console/pgx"]);
}
