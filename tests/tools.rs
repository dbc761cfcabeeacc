//! PostgreSQL's own programs through the pooler: psql as a person uses it, pgbench under load.

use crate::support::process::{new_dir, run, signal};
use crate::support::{PATIENCE, Pooler, Postgres, Setup, until};
use rustix::process::Signal;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

fn program(pooler: &Pooler, name: &str) -> Command {
    let mut command = Postgres::shared().program(name);
    command.args(["-h", "127.0.0.1", "-p", &pooler.port.to_string(), "-U", "app"]);
    command
}

fn psql(pooler: &Pooler, commands: &[&str]) -> (bool, String, String) {
    let mut command = program(pooler, "psql");
    command.args(["-d", "postgres", "-A", "-t", "-v", "VERBOSITY=verbose"]);
    for text in commands {
        command.args(["-c", text]);
    }
    run(&mut command)
}

#[test]
fn psql_describes_copies_and_fails_as_it_should() {
    let dir = new_dir("pooler-test-psql");
    let file = dir.join("rows.csv");
    for setup in [Setup::transaction(2), Setup::session(2)] {
        let pooler = setup.start();
        let make = "drop table if exists psql_t; create table psql_t (i int primary key, t text)";
        assert!(psql(&pooler, &[make]).0);
        let (good, out, err) = psql(&pooler, &["\\d psql_t", "\\d", "\\l", "\\du"]);
        assert!(good && out.contains("i|integer||not null|"), "{out}{err}");

        std::fs::write(&file, "1,one\n2,two\n").unwrap();
        let from = format!("\\copy psql_t from '{}' csv", file.display());
        assert_eq!(psql(&pooler, &[&from]), (true, "COPY 2\n".into(), String::new()));
        let to =
            format!("\\copy (select * from psql_t order by i desc) to '{}' csv", file.display());
        assert_eq!(psql(&pooler, &[&to]), (true, "COPY 2\n".into(), String::new()));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "2,two\n1,one\n");

        let (good, _, err) = psql(&pooler, &["select 1/0"]);
        assert!(!good && err.contains("22012: division by zero"), "{err}");
        let (_, out, err) = psql(
            &pooler,
            &["begin", "select 'in'", "selec", "select 'no'", "rollback", "select 'out'"],
        );
        assert_eq!(out, "BEGIN\nin\nROLLBACK\nout\n", "{err}");
        assert!(err.contains("42601") && err.contains("25P02"), "{err}");
        pooler.stop();
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn ctrl_c_in_psql_cancels_the_query() {
    for setup in [Setup::transaction(1), Setup::session(1)] {
        let pooler = setup.start();
        let mut command = program(&pooler, "psql");
        command.args(["-d", "postgres", "-c", "select /* ctrl-c */ pg_sleep(60)"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let asleep = "query like 'select /* ctrl-c */%' and state = 'active'";
        Postgres::shared().wait_for_backends(asleep, 1, PATIENCE);
        signal(child.id(), Signal::INT);
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(err.contains("canceling statement due to user request"), "{err}");
        Postgres::shared().wait_for_backends(asleep, 0, PATIENCE);
        pooler.stop();
    }
}

/// The tables of pgbench, made once, past the pooler.
fn pgbench_tables() {
    static MADE: OnceLock<()> = OnceLock::new();
    MADE.get_or_init(|| {
        let postgres = Postgres::shared();
        postgres.admin().query("create database bench owner app");
        let mut command = postgres.program("pgbench");
        command.args(["-h", "127.0.0.1", "-p", &postgres.port.to_string(), "-U", "app"]);
        let (good, out, err) = run(command.args(["-i", "-q", "-s", "1", "bench"]));
        assert!(good, "{out}{err}");
    });
}

fn pgbench(setup: &Setup, arguments: &[&str]) {
    pgbench_tables();
    let pooler = setup.start();
    let mut command = program(&pooler, "pgbench");
    let seconds = std::env::var("POOLER_PGBENCH_SECONDS").unwrap_or("2".into());
    command.args(["-n", "-T", &seconds, "-c", "64", "-j", "2"]).args(arguments).arg("bench");
    let (good, out, err) = run(&mut command);
    assert!(good, "{arguments:?}: {out}{err}");
    assert!(out.contains("number of failed transactions: 0 (0.000%)"), "{arguments:?}: {out}");
    let tps = out.lines().find(|line| line.starts_with("tps")).unwrap_or_default();
    println!("pgbench {arguments:?}: {tps}");
    until("pgbench's clients to be gone", PATIENCE, || {
        pooler.log().contains("client disconnected").then_some(())
    });
    pooler.stop();
}

#[test]
fn pgbench_in_transaction_pooling() {
    for arguments in [
        &["-S", "-M", "simple"][..],
        &["-S", "-M", "extended"],
        &["-M", "simple"],
        &["-M", "extended"],
        &["-S", "-C", "-c", "8"],
    ] {
        pgbench(&Setup::transaction(10), arguments);
    }
}

#[test]
fn pgbench_in_session_pooling() {
    for arguments in [&["-S", "-M", "prepared"][..], &["-M", "prepared"], &["-S", "-M", "simple"]] {
        pgbench(&Setup::session(64), arguments);
    }
}
