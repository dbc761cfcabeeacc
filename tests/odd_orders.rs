//! State of clients in the odd order: what is prepared in one batch and run in the next, what is
//! undone, refused, pipelined, computed, or hidden behind SQL. Each of these was seen to fail, with
//! a setting lost, leaked or believed.

use crate::support::{Client, Login, Play, Postgres, Setup, Stage, Wire};

fn wire() -> Wire {
    Wire::new()
}

fn app() -> Login {
    Login::new("app", "postgres")
}

fn role(name: &str) -> String {
    format!(
        "do $do$ begin if not exists (select from pg_roles where rolname = '{name}') \
         then create role \"{name}\"; end if; end $do$; grant \"{name}\" to app;"
    )
}

/// Prepares the unnamed statement in one batch and runs it in the next, as lib/pq does.
fn in_two(client: &mut Client, name: &str, sql: &str) {
    client.send(&wire().parse(name, sql).describe_statement(name).sync());
    let answer = client.until_ready();
    assert_eq!(answer.error(), None, "{sql}");
    client.send(&wire().bind("", name, &[]).execute("", 0).sync());
    let answer = client.until_ready();
    assert_eq!(answer.error(), None, "{sql}");
}

#[test]
fn unnamed_lock_in_two_batches() {
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    in_two(&mut a, "", "select pg_advisory_lock(4711)");
    b.send(
        &wire().query(
            "select count(*) from pg_locks where locktype='advisory' and pid=pg_backend_pid()",
        ),
    );
    b.socket.limit(std::time::Duration::from_millis(700));
    if let Ok(Some(_)) = b.try_read() {
        let answer = b.until_ready();
        assert_eq!(answer.column(), ["0"], "the other client has the lock");
    }
}

#[test]
fn unnamed_set_config_in_two_batches() {
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    in_two(&mut a, "", "select set_config('work_mem', '9MB', false)");
    assert_eq!(b.scalar("show work_mem"), "4MB");
    assert_eq!(a.scalar("show work_mem"), "9MB");
}

#[test]
fn unnamed_set_in_two_batches() {
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    in_two(&mut a, "", "set work_mem = '9MB'");
    in_two(&mut a, "", "set my.tenant = 'mine'");
    assert_eq!(b.scalar("show work_mem"), "4MB");
    assert_eq!(b.scalar("select coalesce(current_setting('my.tenant', true), '')"), "");
    assert_eq!(a.scalar("show work_mem"), "9MB");
    assert_eq!(a.scalar("show my.tenant"), "mine");
}

#[test]
fn reset_in_two_batches() {
    for name in ["", "s"] {
        let pooler = Setup::transaction(1).start();
        let (mut a, mut b) = (pooler.client(), pooler.client());
        a.query("set work_mem = '9MB'");
        a.send(&wire().parse(name, "reset work_mem").describe_statement(name).sync());
        a.until_ready();
        assert_eq!(b.scalar("show work_mem"), "4MB", "leaked ({name})");
        assert_eq!(a.scalar("show work_mem"), "9MB", "lost ({name})");
    }
}

#[test]
fn reset_undone_by_savepoint() {
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    a.query("begin");
    a.query("set work_mem = '9MB'");
    a.query("savepoint s");
    a.query("reset work_mem");
    a.query("rollback to s");
    a.query("commit");
    assert_eq!(b.scalar("show work_mem"), "4MB", "leaked");
    assert_eq!(a.scalar("show work_mem"), "9MB", "lost");
}

/// Hang: the barrier hides that the preamble holds the request.
#[test]
fn refused_preamble_in_front_of_discard_all() {
    let mut admin = Postgres::shared().admin();
    admin.query(&role("r05"));
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    a.query("set role r05");
    assert_eq!(b.scalar("select current_user"), "app");
    admin.query("revoke r05 from app");
    let answer = a.query("discard all");
    assert_eq!(answer.shape(), "E/42501 Z/I");
}

/// Hang: a RESET that cannot be repaired in front of a simple query.
#[test]
fn refused_repair_in_front_of_a_query() {
    let mut admin = Postgres::shared().admin();
    admin.query(&role("r06"));
    let pooler = Setup::transaction(1).start();
    let mut a = pooler.login(&app().option("role", "r06"));
    assert_eq!(a.scalar("select current_user"), "r06");
    admin.query("revoke r06 from app");
    a.query("begin");
    a.query("select count(*) from pg_class");
    a.query("reset role");
    let answer = a.query("select 1");
    assert_eq!(answer.status(), 'E');
}

#[test]
fn pipelined_behind_reset() {
    for reset in ["reset all", "reset work_mem", "set work_mem to default"] {
        let pooler = Setup::transaction(1).start();
        let mut a = pooler.login(&app().option("work_mem", "5MB"));
        a.query("set work_mem = '9MB'");
        a.send(&wire().query(reset).query("show work_mem"));
        a.until_ready();
        assert_eq!(a.until_ready().column(), ["5MB"], "{reset}");
    }
}

#[test]
fn pipelined_behind_reset_extended() {
    for reset in ["reset all", "discard all"] {
        let pooler = Setup::transaction(1).start();
        let mut a = pooler.login(&app().option("work_mem", "5MB"));
        a.query("set work_mem = '9MB'");
        a.send(&wire().query(reset).extended("show work_mem", &[]).sync());
        a.until_ready();
        assert_eq!(a.until_ready().column(), ["5MB"], "{reset}");
        a.send(&wire().extended(reset, &[]).sync().extended("show work_mem", &[]).sync());
        a.until_ready();
        assert_eq!(a.until_ready().column(), ["5MB"], "extended {reset}");
    }
}

#[test]
fn custom_setting_with_a_computed_name() {
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    a.query("select set_config('my.' || 'tenant', 'secret', false)");
    assert_eq!(b.scalar("select coalesce(current_setting('my.tenant', true), '')"), "");
}

#[test]
fn custom_setting_in_a_long_text() {
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    let comment = "x".repeat(70_000);
    a.query(&format!("/* {comment} */ set my.tenant = 'secret'"));
    assert_eq!(b.scalar("select coalesce(current_setting('my.tenant', true), '')"), "");
}

#[test]
fn seventy_custom_settings() {
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    let sets: Vec<_> = (0..70).map(|n| format!("set my.n{n} = 'secret'")).collect();
    a.query(&sets.join(";"));
    assert_eq!(b.scalar("select coalesce(current_setting('my.n69', true), '')"), "");
    assert_eq!(a.scalar("select coalesce(current_setting('my.n69', true), '')"), "secret");
}

#[test]
fn a_value_longer_than_a_finding() {
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    a.query("select set_config('my.big', repeat('x', 1100000), false)");
    let length = "select coalesce(length(current_setting('my.big', true)), 0)";
    b.send(&wire().query(length));
    pooler.wait_for_line("pinned to server");
    assert_eq!(a.scalar(length), "1100000", "lost");
    a.query("create temp table r17 (i int)");
    a.query("drop table r17");
    assert_eq!(a.scalar(length), "1100000", "the end of one reason is not that of the other");
    a.query("discard all");
    assert_eq!(b.until_ready().column(), ["0"], "leaked");
    assert_eq!(a.scalar(length), "0");
}

#[test]
fn a_value_longer_than_a_finding_where_nobody_may_pin() {
    for state in ["reset", "error"] {
        let setup = Setup::transaction(1).with(&format!(r#"pool_session_state "{state}""#));
        let pooler = setup.start();
        let (mut a, mut b) = (pooler.client(), pooler.client());
        a.query("select set_config('my.big', repeat('x', 1100000), false)");
        let told = a.until_closed().error().expect("it is not lost in silence");
        assert_eq!(told.code, "0A000", "{state}");
        let length = "select coalesce(length(current_setting('my.big', true)), 0)";
        assert_eq!(b.scalar(length), "0", "leaked ({state})");
    }
}

#[test]
fn an_update_of_pg_settings() {
    for sql in [
        "update pg_settings set setting = '9MB' where name = 'work_mem'",
        "UPDATE pg_catalog.pg_settings SET setting = '9MB' WHERE name = 'work_mem'",
    ] {
        let pooler = Setup::transaction(1).start();
        let (mut a, mut b) = (pooler.client(), pooler.client());
        a.query(sql);
        assert_eq!(b.scalar("show work_mem"), "4MB", "leaked");
        assert_eq!(a.scalar("show work_mem"), "9MB", "lost");
        let mut c = pooler.client();
        in_two(&mut c, "s", sql);
        assert_eq!(b.scalar("show work_mem"), "4MB", "leaked, in the extended protocol");
        assert_eq!(c.scalar("show work_mem"), "9MB", "lost, in the extended protocol");
    }
}

/// Bind of the unnamed statement to perhaps a value, and a NULL.
fn bind_with_null(first: Option<&str>) -> Wire {
    let mut body = vec![0, 0, 0, 0];
    body.extend(if first.is_some() { [0, 2] } else { [0, 1] });
    if let Some(value) = first {
        body.extend((value.len() as u32).to_be_bytes());
        body.extend(value.as_bytes());
    }
    body.extend([0xff; 4]);
    body.extend([0, 0]);
    wire().message(b'B', &body)
}

/// NULL is a RESET. It leads to what the client gave at startup, not to the server's default.
#[test]
fn set_config_with_null() {
    for (setup, binds) in [(Setup::transaction(1), true), (Setup::session(2), false)] {
        let pooler = setup.start();
        let mut a = pooler.login(&app().option("options", "-c work_mem=7MB"));
        let mut b = pooler.client();
        a.query("select set_config('work_mem', '9MB', false), null");
        b.query("select 1");
        assert_eq!(a.scalar("show work_mem"), "9MB", "a NULL elsewhere");
        a.query("select set_config('work_mem', null, false)");
        b.query("select 1");
        assert_eq!(a.scalar("show work_mem"), "7MB");
        for (name, value) in [("'work_mem'", "$1"), ("$1", "$2")].into_iter().filter(|_| binds) {
            a.query("set work_mem = '9MB'");
            let sql = format!("select set_config({name}, {value}::text, false)");
            a.send(&wire().parse("", &sql).describe_statement("").sync());
            assert_eq!(a.until_ready().error(), None);
            let first = if value == "$1" { None } else { Some("work_mem") };
            a.send(&bind_with_null(first).execute("", 0).sync());
            assert_eq!(a.until_ready().error(), None);
            b.query("select 1");
            assert_eq!(a.scalar("show work_mem"), "7MB", "{sql}");
        }
    }
}

#[test]
fn unnamed_statement_longer_than_kept() {
    for size in [70_000, 300_000, 1_200_000] {
        let pooler = Setup::transaction(1).start();
        let mut a = pooler.client();
        let sql = format!("select length('{}')", "x".repeat(size));
        let answer = a.extended(&sql, &[]);
        assert_eq!(answer.column(), [size.to_string()], "{:?}", answer.error());
        a.send(&wire().parse("", &sql).describe_statement("").flush());
        a.until_tag(b'T');
        a.send(&wire().bind("", "", &[]).execute("", 0).sync());
        let answer = a.until_ready();
        assert_eq!(answer.column(), [size.to_string()], "{:?}", answer.error());
    }
}

/// A timeout of the client's own hits our inquiry.
#[test]
fn a_statement_timeout_that_hits_the_inquiry_pins() {
    let pooler = Setup::transaction(1).start();
    for round in 0..20 {
        let (mut a, mut b) = (pooler.client(), pooler.client());
        a.query("set statement_timeout = '1ms'; create temp table r14 (i int); drop table r14");
        assert_eq!(b.scalar("select 1"), "1", "{round}");
        a.leave();
        b.query("deallocate all");
        b.leave();
    }
}

#[test]
fn our_statements_changed_by_sql() {
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    b.query("set work_mem = '9MB'");
    a.query("deallocate odyssey_set");
    a.query("prepare odyssey_set as select $1::text, $2::text");
    assert_eq!(b.scalar("show work_mem"), "9MB");
}

#[test]
fn our_statement_deallocated_by_sql() {
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    b.query("set work_mem = '9MB'");
    a.query("deallocate odyssey_begin");
    assert_eq!(b.scalar("show work_mem"), "9MB");
}

#[test]
fn set_config_by_a_statement_prepared_by_sql() {
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    a.query("prepare x as select set_config('work_mem', '9MB', false)");
    a.query("execute x");
    a.query("deallocate x");
    assert_eq!(b.scalar("show work_mem"), "4MB");
    assert_eq!(a.scalar("show work_mem"), "9MB");
}

#[test]
fn execute_by_sql_of_a_remarkable_statement() {
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    a.send(&wire().parse("x", "select set_config('work_mem', '9MB', false)").sync());
    a.until_ready();
    assert_eq!(a.query("execute x").column(), ["9MB"]);
    assert_eq!(b.scalar("show work_mem"), "4MB");
    assert_eq!(a.scalar("show work_mem"), "9MB");
}

/// BEGIN was answered by the pooler; its first statement fails with the preamble, the second one
/// of the same pipeline runs outside of any transaction.
#[test]
fn virtual_begin_and_a_preamble_that_fails_in_a_pipeline() {
    let mut admin = Postgres::shared().admin();
    admin.query("drop table if exists r19; create table r19 (i int); grant all on r19 to public");
    admin.query(&role("r19"));
    let pooler = Setup::transaction(1).with("pool_reserve_prepared_statement yes").start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    a.query("set role r19");
    b.query("select 1");
    assert_eq!(a.query("begin").status(), 'T');
    admin.query("revoke r19 from app");
    let insert = "insert into r19 values (1)";
    assert_eq!(a.query(insert).shape(), "E/42501 Z/E", "PostgreSQL: in a failed transaction");
    admin.query("grant r19 to app");
    assert_eq!(a.query(insert).shape(), "E/25P02 Z/E");
    a.query("commit");
    assert_eq!(admin.scalar("select count(*) from r19"), "0", "half a transaction was committed");
}

#[test]
fn many_statements_executed_in_one_text() {
    let pooler = Setup::transaction(1).start();
    let mut a = pooler.client();
    let mut all = wire();
    for n in 0..8 {
        all = all.parse(&format!("s{n}"), &format!("select {n}"));
    }
    a.send(&all.sync());
    a.until_ready();
    pooler.client().query("deallocate all");
    let text: Vec<_> = (0..8).map(|n| format!("execute s{n}")).collect();
    let answer = a.query(&text.join(";"));
    assert_eq!(answer.error(), None);
    assert_eq!(answer.column().len(), 8);
    // The same with a conversation that is nearly full.
    pooler.client().query("discard all");
    let mut all = wire().query("select pg_sleep(0.3)");
    for _ in 0..4085 {
        all = all.sync();
    }
    a.send(&all.query(&text.join(";")));
    for _ in 0..4086 {
        a.until_ready();
    }
    let answer = a.until_ready();
    assert_eq!(answer.error(), None);
    assert_eq!(answer.column().len(), 8);
}

#[test]
fn long_names_in_the_ledger() {
    let pooler = Setup::transaction(1).start();
    let mut a = pooler.client();
    let mut b = pooler.client();
    b.send(&wire().parse("t", "select 1").sync());
    b.until_ready();
    let before = pooler.memory_kib();
    let name = "n".repeat(900_000);
    a.send(&wire().query("select pg_sleep(5)"));
    let sender = a.socket.try_clone();
    let thread = std::thread::spawn(move || {
        use std::io::Write;
        let mut sender = sender;
        for n in 0..200 {
            let name = format!("{n}{name}");
            if sender.write_all(&wire().parse(&name, "select 1").0).is_err() {
                return;
            }
        }
        let _ = sender.write_all(&wire().sync().0);
    });
    a.until_ready();
    let grown = pooler.memory_peak_kib().saturating_sub(before);
    a.socket.shutdown(std::net::Shutdown::Both);
    thread.join().unwrap();
    assert!(grown < 32 * 1024, "{grown} KiB");
}

#[test]
fn names_by_sql_are_bounded() {
    let pooler = Setup::transaction(1).start();
    let mut a = pooler.client();
    a.query("select 1");
    let before = pooler.memory_kib();
    for n in 0..256 {
        let name = format!("{n}{}", "n".repeat(60_000));
        a.query(&format!("prepare \"{name}\" as selec"));
    }
    let grown = pooler.memory_kib().saturating_sub(before);
    assert!(grown < 4 * 1024, "{grown} KiB");
}

#[test]
fn parse_by_protocol_behind_extended_discard_all() {
    Play::new("discard all by the extended protocol, statements behind it")
        .step('a', wire().parse("s", "select 1").sync(), "1 Z/I")
        .step(
            'a',
            wire().extended("discard all", &[]).sync().parse("s", "select 2").sync(),
            "1 2 n C Z/I 1 Z/I",
        )
        .step('a', wire().run("s", &[]).sync(), "2 T D C Z/I")
        .as_direct_on(&[Stage::Roomy]);
}

#[test]
fn parse_by_protocol_behind_extended_deallocate() {
    Play::new("deallocate by the extended protocol, statements behind it")
        .step('a', wire().parse("s", "select 1").sync(), "1 Z/I")
        .step(
            'a',
            wire().extended("deallocate all", &[]).parse("s", "select 2").sync(),
            "1 2 n C 1 Z/I",
        )
        .step('a', wire().run("s", &[]).sync(), "2 T D C Z/I")
        .as_direct_on(&[Stage::Roomy]);
}

#[test]
fn chain_and_savepoints() {
    Play::new("chains")
        .lines(
            "a: begin => BEGIN /T
             a: set work_mem = '9MB' => SET /T
             a: commit and chain => COMMIT /T
             a: set geqo = off => SET /T
             a: rollback and chain => ROLLBACK /T
             a: show geqo => on /T
             a: commit => COMMIT
             a: show work_mem => 9MB
             b: show work_mem => 4MB
             a: begin; set work_mem = '10MB'; savepoint s => BEGIN SET SAVEPOINT /T
             a: set work_mem = '11MB'; rollback to s; commit => SET ROLLBACK COMMIT
             b: show work_mem => 4MB
             a: show work_mem => 10MB
             a: set work_mem = '12MB'; select 1/0 => SET !22012
             b: show work_mem => 4MB
             a: show work_mem => 10MB
             a: begin; reset work_mem; savepoint s => BEGIN RESET SAVEPOINT /T
             a: set work_mem = '12MB'; rollback to s; commit => SET ROLLBACK COMMIT
             a: show work_mem => 4MB
             b: show work_mem => 4MB
             a: set work_mem = '9MB' => SET
             a: begin; reset work_mem; set work_mem = '10MB'; rollback => BEGIN RESET SET ROLLBACK
             a: show work_mem => 9MB
             b: show work_mem => 4MB",
        )
        .as_direct();
}

#[test]
fn two_touches_of_a_reset_and_an_error() {
    Play::new("reset that is skipped")
        .lines("a: set work_mem = '9MB' => SET")
        .step(
            'a',
            wire()
                .extended("selec", &[])
                .parse("", "reset work_mem")
                .bind("", "", &[])
                .execute("", 0)
                .sync(),
            "E/42601 Z/I",
        )
        .lines(
            "b: show work_mem => 4MB
                a: show work_mem => 9MB
                a: begin; set work_mem = '10MB'; savepoint s => BEGIN SET SAVEPOINT /T
                a: reset nothing => !42704 /E
                a: rollback to s => ROLLBACK /T
                a: commit => COMMIT
                b: show work_mem => 4MB
                a: show work_mem => 10MB",
        )
        .as_direct();
}

/// Seen to fail: a pooler that tells its client what a RESET leads to, though it was rolled back.
#[test]
fn a_reset_that_is_rolled_back_is_not_told() {
    let fails = |reset: &str| wire().extended(reset, &[]).run("nothing", &[]).sync();
    Play::new("reset, then an error")
        .login('a', app().option("DateStyle", "SQL, DMY"))
        .lines("a: set datestyle = german => SET")
        .step('a', fails("reset all"), "1 2 n C E/26000 Z/I")
        .step('a', fails("reset datestyle"), "1 2 n C E/26000 Z/I")
        .lines(
            "a: show datestyle => German, DMY
             a: reset datestyle; select 1/0 => RESET !22012
             a: begin; reset datestyle; rollback => BEGIN RESET ROLLBACK
             a: show datestyle => German, DMY
             a: reset datestyle => RESET
             a: show datestyle => SQL, DMY",
        )
        .as_direct();
}

/// Seen to fail: a pooler that believes with the tag of a SET that what was prepared, and not run,
/// has been reset.
#[test]
fn a_reset_that_is_prepared_and_not_run_resets_nothing() {
    let other = |wire: Wire| wire.extended("set local geqo = off", &[]).sync();
    let bound = wire().parse("", "reset work_mem").bind("p", "", &[]);
    Play::new("reset, not run")
        .login('a', app().option("work_mem", "8MB"))
        .lines("a: set work_mem = '5MB' => SET")
        .step('a', other(wire().parse("", "reset all")), "1 1 2 n N C Z/I")
        .lines("a: show work_mem => 5MB")
        .step('a', other(bound), "1 2 1 2 n N C Z/I")
        .lines("a: show work_mem => 5MB")
        .as_direct();
}

/// Seen to fail: a pooler that forgets the RESET for the SET behind it, which is taken back.
#[test]
fn a_set_over_a_reset_is_taken_back() {
    Play::new("reset, and set for a while")
        .login('a', app().option("work_mem", "8MB"))
        .lines(
            "a: set work_mem = '5MB' => SET
             a: begin; reset work_mem; savepoint s => BEGIN RESET SAVEPOINT /T
             a: set work_mem = '6MB' => SET /T
             a: rollback to s => ROLLBACK /T
             a: show work_mem => 8MB /T
             a: commit => COMMIT
             a: show work_mem => 8MB",
        )
        .as_direct();
}

/// Seen to fail: a pooler that looks at a named statement when it is prepared, and not when it is
/// run, where names are the client's own.
#[test]
fn a_reset_by_name_is_noticed_each_time_in_session_pooling() {
    let run = || wire().run("s", &[]).sync();
    Play::new("reset by name")
        .setup(|_| Setup::session(5))
        .login('a', app().option("TimeZone", "Europe/Paris").option("work_mem", "8MB"))
        .step('a', wire().parse("s", "reset all").sync(), "1 Z/I")
        .lines("a: set timezone = 'Asia/Tokyo' => SET")
        .step('a', run(), "2 n C Z/I")
        .lines("a: show timezone => Europe/Paris")
        .lines("a: begin; set work_mem = '5MB' => BEGIN SET /T")
        .step('a', run(), "2 n C Z/T")
        .lines("a: show work_mem => 8MB /T")
        .lines("a: execute s; set timezone = 'Asia/Tokyo' => RESET SET /T")
        .step('a', wire().close_statement("s").parse("s", "select 1").sync(), "3 1 Z/T")
        .step('a', run(), "2 T D C Z/T")
        .lines("a: show timezone => Asia/Tokyo /T")
        .as_direct_on(&[Stage::Roomy]);
}
