//! What a client leaves in a server beside settings and statements: temporary tables, cursors WITH
//! HOLD, session advisory locks, LISTEN, PREPARE by SQL. By default the client keeps the server as
//! long as any of it is there; a rule may ask for a reset or an error instead.

mod delays;

use crate::support::{Answer, Client, PATIENCE, Pooler, Postgres, Setup, Wire};
use rustix::process::Signal;
use std::time::Duration;

/// Long enough for an answer that should not come; a tenth of this is what a query takes.
const A_WHILE: Duration = Duration::from_millis(30);

/// Something left behind: how it is made, how its owner sees it (`sees` is what `probe` says), how
/// it goes away, and what an error about it must name.
struct Residue {
    make: &'static str,
    probe: &'static str,
    sees: &'static str,
    undo: &'static str,
    name: &'static str,
}

const LOCKS: &str =
    "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()";
const CHANNELS: &str = "select count(*) from pg_listening_channels()";

fn residues() -> Vec<Residue> {
    let residue = |make, probe, sees, undo, name| Residue { make, probe, sees, undo, name };
    let table =
        |make, undo| residue(make, "select count(*) from pg_temp.left_t", "0", undo, "temp");
    let cursor = |make, undo| residue(make, "move backward all in c; fetch c", "7", undo, "cursor");
    let lock = |make, undo| residue(make, LOCKS, "1", undo, "advisory");
    let listen = |make, undo| residue(make, CHANNELS, "1", undo, "listen");
    let prepare = |make, undo| residue(make, "execute q", "7", undo, "prepare");
    vec![
        table("create temp table left_t (i int)", "drop table left_t"),
        table("CREATE TEMPORARY TABLE left_t AS SELECT 1 WHERE false", "discard temp"),
        table("create table pg_temp.left_t (i int)", "drop table pg_temp.left_t"),
        table("select 1 as i into temp left_t where false", "discard all"),
        table("create temp view left_t as select 1 where false", "drop view left_t"),
        table(
            "begin; create temp table left_t (i int); commit",
            "begin; drop table left_t; commit",
        ),
        table("select 1; create local temp table left_t (i int)", "select 1; drop table left_t"),
        cursor("declare c scroll cursor with hold for select 7", "close c"),
        cursor("begin; declare c scroll cursor with hold for select 7; commit", "close all"),
        lock("select pg_advisory_lock(1)", "select pg_advisory_unlock(1)"),
        lock("select pg_try_advisory_lock_shared(1, 2)", "select pg_advisory_unlock_shared(1, 2)"),
        lock("SELECT Pg_Advisory_Lock (3)", "select pg_advisory_unlock_all()"),
        lock("begin; select pg_advisory_lock(4); rollback", "select pg_advisory_unlock(4)"),
        listen("listen news", "unlisten news"),
        listen("begin; listen news; commit", "unlisten *"),
        prepare("prepare q as select 7", "deallocate q"),
        prepare("begin; prepare q as select 7; rollback", "deallocate all"),
    ]
}

/// All that a server may have left, as one word of counts.
fn everything(client: &mut Client) -> String {
    let sql = format!(
        "select (select count(*) from pg_class where relnamespace = pg_my_temp_schema() and \
         relkind in ('r', 'v')) || ' ' || \
         (select count(*) from pg_cursors where is_holdable) || ' ' || ({LOCKS}) || ' ' || \
         ({CHANNELS}) || ' ' || (select count(*) from pg_prepared_statements where from_sql)"
    );
    client.scalar(&sql)
}

fn run(client: &mut Client, sql: &str, extended: bool) -> Answer {
    match extended && !sql.contains(';') {
        true => client.extended(sql, &[]),
        false => client.query(sql),
    }
}

fn make(client: &mut Client, residue: &Residue, extended: bool) {
    let answer = run(client, residue.make, extended);
    assert_eq!((answer.error(), answer.status()), (None, 'I'), "{}", residue.make);
}

fn probe(client: &mut Client, residue: &Residue) {
    let answer = client.query(residue.probe);
    let seen = answer.column().pop();
    assert_eq!(seen.as_deref(), Some(residue.sees), "{}: {:?}", residue.make, answer.error());
}

/// The scenes of this file against PostgreSQL itself: they have to be possible at all.
#[test]
fn postgresql_itself_keeps_what_is_left() {
    for residue in &residues() {
        let mut client = Postgres::shared().admin();
        make(&mut client, residue, false);
        probe(&mut client, residue);
        assert_eq!(client.query(residue.undo).error(), None, "{}", residue.undo);
        assert_eq!(everything(&mut client), "0 0 0 0 0", "{}", residue.make);
    }
}

/// Seen to fail: a server that goes back at ReadyForQuery loses the client's table, or shows it to
/// the next; one that never goes back starves them.
#[test]
fn a_client_is_pinned_until_what_it_left_is_gone() {
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    for residue in &residues() {
        for extended in [false, true] {
            println!("{} extended: {extended}", residue.make);
            make(&mut a, residue, extended);
            probe(&mut a, residue);
            b.send(&Wire::new().query("select 'at last'"));
            probe(&mut a, residue);
            assert!(b.is_silent_for(A_WHILE), "pinned: {}", residue.make);
            probe(&mut a, residue);
            let undone = run(&mut a, residue.undo, extended);
            assert_eq!(undone.error(), None, "{}", residue.undo);
            assert_eq!(b.until_ready().column(), ["at last"], "free after {}", residue.undo);
            assert_eq!(everything(&mut b), "0 0 0 0 0", "{}", residue.make);
        }
    }
    pooler.stop_with(vec![a, b]);
}

/// Seen to fail: a pooler that takes a server behind a DISCARD ALL for a new one, though the same
/// batch has left something there before the answer came.
#[test]
fn what_a_batch_leaves_behind_its_discard_all_pins() {
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    for residue in residues().iter().filter(|residue| !residue.make.contains(';')) {
        let batch = Wire::new().extended("discard all", &[]).extended(residue.make, &[]);
        a.send(&batch.sync());
        let answer = a.until_ready();
        assert_eq!((answer.error(), answer.status()), (None, 'I'), "{}", residue.make);
        b.send(&Wire::new().query("select 'at last'"));
        probe(&mut a, residue);
        assert!(b.is_silent_for(A_WHILE), "pinned: {}", residue.make);
        assert_eq!(a.query(residue.undo).error(), None, "{}", residue.undo);
        assert_eq!(b.until_ready().column(), ["at last"], "free after {}", residue.undo);
        assert_eq!(everything(&mut b), "0 0 0 0 0", "{}", residue.make);
    }
    pooler.stop_with(vec![a, b]);
}

/// What is left in parts is gone only when all of it is.
#[test]
fn a_client_that_left_two_things_is_pinned_until_both_are_gone() {
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    a.query("create temp table left_t (i int); prepare q as select 7");
    a.query("select pg_advisory_lock(1), pg_advisory_lock(1)");
    b.send(&Wire::new().query("select 'at last'"));
    for sql in ["drop table left_t", "select pg_advisory_unlock(1)", "deallocate q"] {
        assert!(b.is_silent_for(A_WHILE), "before {sql}");
        assert_eq!(a.query(sql).error(), None);
    }
    assert!(b.is_silent_for(A_WHILE), "the lock was taken twice");
    a.query("select pg_advisory_unlock(1)");
    assert_eq!(b.until_ready().column(), ["at last"]);
    pooler.stop_with(vec![a, b]);
}

/// However a pinned client leaves: the next one finds nothing of it.
#[test]
fn a_pinned_client_that_leaves_leaves_a_clean_server() {
    let pooler = Setup::transaction(1).start();
    for (number, residue) in residues().iter().enumerate() {
        let (mut a, mut b) = (pooler.client(), pooler.client());
        make(&mut a, residue, false);
        probe(&mut a, residue);
        b.send(&Wire::new().query("select 'at last'"));
        match number % 3 {
            0 => a.leave(),
            1 => a.vanish_by_reset(),
            _ => a.vanish_by_close(),
        }
        assert_eq!(b.until_ready().column(), ["at last"], "{}", residue.make);
        assert_eq!(everything(&mut b), "0 0 0 0 0", "{}", residue.make);
        b.leave();
    }
    pooler.stop();
}

/// Settings and statements of a pinned client are its own too, and stay when it is free again.
#[test]
fn a_pinned_client_keeps_its_settings_and_statements() {
    let pooler = Setup::transaction(2).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    a.query("set work_mem = '5MB'");
    a.send(&Wire::new().parse("s", "select 's'").sync());
    assert_eq!(a.until_ready().shape(), "1 Z/I");
    a.query("create temp table left_t (i int)");
    a.query("set geqo = off");
    b.query("set work_mem = '6MB'");
    a.send(&Wire::new().run("s", &[]).sync());
    assert_eq!(a.until_ready().column(), ["s"]);
    assert_eq!(a.scalar("show work_mem"), "5MB");
    a.query("drop table left_t");
    for _ in 0..3 {
        assert_eq!(b.scalar("show work_mem"), "6MB");
        assert_eq!(b.scalar("show geqo"), "on");
        assert_eq!(a.scalar("show work_mem"), "5MB");
        assert_eq!(a.scalar("show geqo"), "off");
        a.send(&Wire::new().run("s", &[]).sync());
        assert_eq!(a.until_ready().column(), ["s"]);
    }
    pooler.stop_with(vec![a, b]);
}

/// Words that only look like it, and what its own transaction takes away again. Seen to fail: a
/// search for `temp` in the text pins whoever selects from `templates`.
#[test]
fn what_only_looks_like_residue_pins_nobody() {
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    let before = "create table templates (temp int, listen text); drop table templates";
    for sql in [
        before,
        "select 'temp'",
        "select 'create temp table t (i int)'",
        "select 1 as \"listen\", 'prepare q as select 1' as temp",
        "select 1 -- pg_advisory_lock(1)",
        "select 1 /* create temp table /* nested */ x */",
        "select pg_advisory_xact_lock(1)",
        "begin; select pg_try_advisory_xact_lock(1); commit",
        "begin; create temp table t (i int); rollback",
        "begin; create temp table t (i int) on commit drop; commit",
        "begin; savepoint s; create temp table t (i int); rollback to s; commit",
        "begin; declare c cursor for select 1; commit",
        "begin; declare c cursor with hold for select 1; rollback",
        "begin; listen news; rollback",
        "begin; listen news; unlisten news; commit",
        "create temp table t (i int); drop table t",
        "prepare q as select 1; deallocate q",
        "select pg_advisory_lock(1); select pg_advisory_unlock(1)",
        "select pg_advisory_unlock_all()",
        "create temp table t (i int); select 1/0",
        "notify news, 'listen'",
        "unlisten *",
        "select count(*) from pg_locks where locktype = 'advisory'",
        "explain select pg_advisory_lock(1)",
    ] {
        for extended in [false, true] {
            let _ = run(&mut a, sql, extended);
            assert_eq!(b.query("select 'at once'").column(), ["at once"], "{sql}");
            assert_eq!(everything(&mut b), "0 0 0 0 0", "{sql}");
        }
    }
    pooler.stop_with(vec![a, b]);
}

/// As Odyssey does it: what is left is cleaned away when the transaction is over.
#[test]
fn reset_cleans_at_release() {
    let pooler = Setup::transaction(1).with(r#"pool_session_state "reset""#).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    for residue in &residues() {
        for extended in [false, true] {
            println!("{} extended: {extended}", residue.make);
            make(&mut a, residue, extended);
            assert_eq!(everything(&mut b), "0 0 0 0 0", "{}", residue.make);
            let answer = a.query(residue.probe);
            let gone = !answer.code().is_empty() || answer.column() == ["0"];
            assert!(gone, "{}: {answer:?}", residue.make);
        }
    }
    a.query("set work_mem = '5MB'; create temp table left_t (i int)");
    assert_eq!(b.scalar("show work_mem"), "4MB");
    assert_eq!(a.scalar("show work_mem"), "5MB", "a reset takes no setting of the client");
    pooler.stop_with(vec![a, b]);
}

/// The client is told what it left, and goes; the server is clean for others.
#[test]
fn error_ends_the_client_and_names_what_was_left() {
    let pooler = Setup::transaction(1).with(r#"pool_session_state "error""#).start();
    let mut b = pooler.client();
    for residue in &residues() {
        let mut a = pooler.client();
        a.send(&Wire::new().query(residue.make));
        let answer = a.until_closed();
        let error = answer.error().unwrap_or_else(|| panic!("an error: {}", residue.make));
        assert_eq!((error.severity.as_str(), error.code.as_str()), ("FATAL", "0A000"));
        let text = error.message.to_lowercase() + &error.detail.unwrap_or_default().to_lowercase();
        assert!(text.contains(residue.name), "{} names {}: {text}", residue.make, residue.name);
        assert_eq!(everything(&mut b), "0 0 0 0 0", "{}", residue.make);
    }
    let mut fine = pooler.client();
    assert_eq!(fine.query("begin; create temp table t (i int); rollback").status(), 'I');
    assert_eq!(fine.scalar("select 'temp'"), "temp");
    pooler.stop_with(vec![b, fine]);
}

fn expect_news(listener: &mut Client, payload: &str) {
    Postgres::shared().admin().query(&format!("notify gazette, '{payload}'"));
    let news = listener.read().expect("a notification comes without being asked for");
    assert_eq!((news.tag, &news.body[4..]), (b'A', format!("gazette\0{payload}\0").as_bytes()));
}

#[test]
fn notifications_reach_a_pinned_listener() {
    for option in ["", "pool_pin_on_listen yes"] {
        let pooler = Setup::transaction(2).with(option).start();
        let (mut a, mut b) = (pooler.client(), pooler.client());
        assert_eq!(a.query("listen gazette").commands(), ["LISTEN"]);
        expect_news(&mut a, "good");
        b.query("begin; select 1");
        expect_news(&mut a, "better");
        assert_eq!(a.scalar("select 1"), "1");
        b.query("notify gazette, 'not yet'");
        assert!(a.is_silent_for(A_WHILE), "before the commit");
        b.query("commit");
        assert_eq!(a.read().expect("news").tag, b'A');
        assert_eq!(everything(&mut b), "0 0 0 0 0");
        a.query("unlisten gazette");
        b.query("notify gazette, 'never'");
        assert!(a.is_silent_for(A_WHILE), "no longer listening");
        pooler.stop_with(vec![a, b]);
    }
}

/// Odyssey's default, when it is written down: LISTEN is undone at release.
#[test]
fn pool_pin_on_listen_no_undoes_listen() {
    let pooler = Setup::transaction(1).with("pool_pin_on_listen no").start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    assert_eq!(a.query("listen news").commands(), ["LISTEN"]);
    assert_eq!(everything(&mut b), "0 0 0 0 0");
    assert_eq!(a.scalar(CHANNELS), "0");
    a.query("create temp table left_t (i int)");
    b.send(&Wire::new().query("select 'at last'"));
    assert!(b.is_silent_for(A_WHILE), "only LISTEN is undone");
    a.query("drop table left_t");
    assert_eq!(b.until_ready().column(), ["at last"]);
    pooler.stop_with(vec![a, b]);
}

/// The server of a pinned client ends: the client is told, as PostgreSQL tells it.
#[test]
fn a_pinned_client_whose_server_ends_is_told() {
    let pooler = Setup::transaction(1).start();
    let mut a = pooler.client();
    a.query("create temp table left_t (i int)");
    let pid = a.scalar("select pg_backend_pid()");
    Postgres::shared().admin().query(&format!("select pg_terminate_backend({pid})"));
    let told = a.until_closed().error().expect("an error");
    assert_eq!((told.severity.as_str(), told.code.as_str()), ("FATAL", "57P01"));
    assert_eq!(pooler.client().scalar("select 1"), "1");
    pooler.stop();
}

/// Pins are told to the operator: the reason stands in the log.
#[test]
fn the_reason_of_a_pin_is_in_the_log() {
    let pooler = Setup::transaction(2).global("log_debug yes").start();
    let mut a = pooler.client();
    a.query("create temp table left_t (i int)");
    let line = pinned_line(&pooler);
    assert!(line.to_lowercase().contains("temp"), "{line}");
    pooler.stop_with(vec![a]);
}

fn pinned_line(pooler: &Pooler) -> String {
    crate::support::until("a line about the pin", PATIENCE, || {
        pooler.log().lines().find(|line| line.contains("pinned")).map(str::to_owned)
    })
}

/// A server that is terminated right behind an answer takes along what only it knew. Seen to fail:
/// the client has read SET, goes on with another server, and runs without its setting.
#[test]
fn what_a_terminated_server_took_along_is_not_lost_in_silence() {
    let postgres = Postgres::shared();
    let login = postgres.role("taken_along");
    for (make, probe, sees) in [
        ("set work_mem = '5MB'", "show work_mem", "5MB"),
        ("create temp table left_t (i int)", "select count(*) from pg_temp.left_t", "0"),
        ("select 1", "select 2", "2"),
    ] {
        let pooler = Setup::transaction(1).start();
        let mut client = pooler.login(&login);
        client.send(&Wire::new().query(&format!("select pg_sleep(0.3); {make}")));
        postgres.wait_for_backends("usename = 'taken_along' and state = 'active'", 1, PATIENCE);
        pooler.signal(Signal::STOP); // the answer and the end of the server are read in one piece
        postgres.wait_for_backends("usename = 'taken_along' and state = 'idle'", 1, PATIENCE);
        let pids = "select pg_terminate_backend(pid) from pg_stat_activity \
                    where usename = 'taken_along'";
        assert_eq!(postgres.admin().query(pids).column(), ["t"]);
        postgres.wait_for_backends("usename = 'taken_along'", 0, PATIENCE);
        pooler.signal(Signal::CONT);
        let made = client.until_ready();
        assert_eq!((made.error(), made.status()), (None, 'I'), "{make}");
        let _ = client.try_send(&Wire::new().query(probe));
        match client.try_until_ready() {
            Ok(answer) => assert_eq!(answer.column(), [sees], "{make}: {:?}", answer.error()),
            Err(told) => {
                let error = told.error().unwrap_or_else(|| panic!("the reason: {make}"));
                assert!(make != "select 1" && error.code == "08006", "{make}: {error:?}");
            }
        }
        pooler.stop();
    }
}
