//! PostgreSQL's own programs through the pooler: psql as a person uses it, alone and two at a time,
//! pg_dump, pgbench under load.

mod psql;

use crate::support::process::{new_dir, run, signal};
use crate::support::{PATIENCE, Pooler, Postgres, Setup, until};
use psql::Psql;
use rustix::process::Signal;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

fn program(pooler: &Pooler, name: &str) -> Command {
    program_at(pooler.port, name)
}

pub fn program_at(port: u16, name: &str) -> Command {
    let mut command = Postgres::shared().program(name);
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", "app"]);
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

/// PostgreSQL itself, session pooling, and one server for everybody: psql must not be able to tell.
fn without_a_difference(servers: usize, run: impl Fn(u16)) {
    run(Postgres::shared().port);
    for setup in [Setup::session(3), Setup::transaction(servers)] {
        let pooler = setup.start();
        run(pooler.port);
        pooler.stop();
    }
}

fn two_psqls(port: u16) -> [Psql; 2] {
    [0, 1].map(|_| Psql::start(program_at(port, "psql")))
}

/// What a psql of ours has set: name and value. A tenant's name of 4 KB among them.
fn own_settings(number: usize) -> Vec<(&'static str, String)> {
    vec![
        ("search_path", format!("psql_{number}, public")),
        ("timezone", format!("Etc/GMT-{}", number + 1)),
        ("datestyle", ["SQL, DMY", "German, DMY"][number].into()),
        ("statement_timeout", format!("{}s", 50 + number)),
        ("application_name", format!("psql number {number}")),
        ("my.tenant", format!("tenant {number} ").repeat(455)),
        ("role", format!("psql_role_{number}")),
    ]
}

#[test]
fn two_psqls_over_one_server_have_settings_of_their_own() {
    for number in 0..2 {
        let mut admin = Postgres::shared().admin();
        let role = format!("psql_role_{number}");
        assert_eq!(admin.query(&format!("create role {role}")).code(), "");
        assert_eq!(admin.query(&format!("grant {role} to app")).code(), "");
    }
    without_a_difference(1, |port| {
        let mut both = two_psqls(port);
        for (number, psql) in both.iter_mut().enumerate() {
            for (name, value) in own_settings(number) {
                let quoted = if name == "search_path" { value } else { format!("'{value}'") };
                assert_eq!(psql.says(&format!("set {name} = {quoted};")), "");
            }
        }
        for _ in 0..3 {
            for (number, psql) in both.iter_mut().enumerate() {
                for (name, value) in own_settings(number) {
                    assert_eq!(psql.says(&format!("show {name};")), format!("{value}\n"));
                }
                psql.says("begin; set local my.tenant = 'local'; set timezone = 'UTC';");
                assert_eq!(psql.says("show my.tenant; rollback;"), "local\n");
            }
        }
        let [first, second] = &mut both;
        assert_eq!(first.says("reset all; reset role;"), "");
        let shown = first.says("show application_name; show my.tenant; show role;");
        assert_eq!(shown, "psql\n\nnone\n");
        let [.., (_, tenant), (_, role)] = &own_settings(1)[..] else { panic!("seven of them") };
        let shown = second.says("show my.tenant; show role;");
        assert_eq!(shown, format!("{tenant}\n{role}\n"));
        both.into_iter().for_each(Psql::quit);
    });
}

#[test]
fn two_psqls_have_statements_of_their_own() {
    without_a_difference(2, |port| {
        let mut both = two_psqls(port);
        for (number, psql) in both.iter_mut().enumerate() {
            let prepare = format!("prepare mine (int) as select $1 * 10 + {number};");
            assert_eq!(psql.says(&prepare), "");
        }
        for turn in 0..3 {
            for (number, psql) in both.iter_mut().enumerate() {
                let want = format!("{}\n", turn * 10 + number);
                assert_eq!(psql.says(&format!("execute mine({turn});")), want);
            }
        }
        let [first, second] = &mut both;
        let gone = first.says("deallocate mine;\nexecute mine(1);\n\\echo :SQLSTATE");
        assert_eq!(gone, "26000\n");
        assert_eq!(second.says("execute mine(1);"), "11\n");
        let gone = second.says("discard all;\nexecute mine(1);\n\\echo :SQLSTATE");
        assert_eq!(gone, "26000\n");
        both.into_iter().for_each(Psql::quit);
    });
}

#[test]
fn psqls_own_commands_do_not_meet() {
    without_a_difference(1, |port| {
        let mut both = two_psqls(port);
        for turn in 0..3 {
            for psql in &mut both {
                // Prepares without a name, and describes that in a Sync of its own.
                let columns = psql.says(&format!("select {turn} as a, 'x'::text as b \\gdesc"));
                assert_eq!(columns, "a|integer\nb|text\n");
                let set = psql.says(&format!("select {turn} as mine \\gset\n\\echo :mine"));
                assert_eq!(set, format!("{turn}\n"));
                let run = "select 'select ' || g from generate_series(1, 2) g \\gexec";
                assert_eq!(psql.says(run), "1\n2\n");
                // Reads by a cursor, in a transaction that psql begins and ends by itself.
                let few = "\\set FETCH_COUNT 10\nselect generate_series(1, 25);";
                let want: String = (1..=25).map(|i| format!("{i}\n")).collect();
                assert_eq!(psql.says(few), want);
                assert_eq!(psql.says("\\unset FETCH_COUNT"), "");
            }
        }
        both.into_iter().for_each(Psql::quit);
    });
}

/// Names the first line that differs, not hundreds that do not.
fn same_lines(lines: &[String], wanted: &[String]) {
    for (line, want) in lines.iter().zip(wanted) {
        assert_eq!(line, want);
    }
    assert_eq!(lines.len(), wanted.len());
}

#[test]
fn a_fresh_psql_sees_what_it_would_see_without_us() {
    let all = |port| {
        let mut command = program_at(port, "psql");
        command.args(["-d", "postgres", "-A", "-t", "-c", "show all"]);
        command.env("PGOPTIONS", "-c my.tenant=fresh -c statement_timeout=77s").env("PGTZ", "UTC");
        let (good, out, err) = run(&mut command);
        assert!(good, "{err}");
        out.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let want = all(Postgres::shared().port);
    without_a_difference(1, |port| {
        let mut before = Psql::start(program_at(port, "psql"));
        let set = "set work_mem = '11MB'; set datestyle = german; set enable_sort = off;";
        assert_eq!(before.says(set), "");
        for _ in 0..2 {
            same_lines(&all(port), &want);
            assert_eq!(before.says("show work_mem; show enable_sort;"), "11MB\noff\n");
        }
        before.quit();
    });
}

/// A plain dump without the key that newer releases draw for each one.
fn dump(port: u16) -> Option<Vec<String>> {
    let (good, out, err) = run(program_at(port, "pg_dump").args(["-n", "dumped", "postgres"]));
    // pg_dump refuses servers newer than itself.
    if !good && err.contains("server version mismatch") {
        return None;
    }
    assert!(good, "{err}");
    let kept = out.lines().filter(|line| !line.contains("restrict "));
    Some(kept.map(str::to_owned).collect())
}

#[test]
fn pg_dump_is_the_same_and_leaves_nothing() {
    let grant = "grant create on database postgres to app";
    assert_eq!(Postgres::shared().admin().query(grant).code(), "");
    without_a_difference(1, |port| {
        let mut psql = Psql::start(program_at(port, "psql"));
        for sql in [
            "drop schema if exists dumped cascade; create schema dumped;",
            "create table dumped.t (i int primary key, v text);",
            "insert into dumped.t select g, repeat('x', g) from generate_series(1, 99) g;",
        ] {
            assert_eq!(psql.says(sql), "");
        }
        if let Some(want) = dump(Postgres::shared().port) {
            assert!(want.iter().any(|line| line.starts_with("COPY dumped.t")), "{want:?}");
            for _ in 0..2 {
                same_lines(&dump(port).expect("the same version"), &want);
                // It sets search_path to nothing, and much more.
                let shown = psql.says("show search_path; show row_security; show datestyle;");
                assert_eq!(shown, "\"$user\", public\non\nISO, MDY\n");
            }
        }
        psql.quit();
    });
}

/// The tables of pgbench, made once, past the pooler.
pub fn pgbench_tables() {
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
        &["-S", "-M", "prepared"],
        &["-M", "prepared"],
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
