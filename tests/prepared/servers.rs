//! Prepared statements by SQL, and what servers are left with.

use super::wire;
use crate::support::{Client, PATIENCE, Play, Pooler, Postgres, Setup, Stage, until};
use std::collections::BTreeSet;

/// What the one server of a pool has prepared by the protocol, except what settings travel in.
fn prepared(client: &mut Client, text: &str) -> Vec<String> {
    let sql = "select name || '|' || statement from pg_prepared_statements where not from_sql";
    let rows = client.query(sql).column();
    let names = rows.iter().filter_map(|row| row.split_once('|'));
    names.filter(|(_, statement)| *statement == text).map(|(name, _)| name.to_owned()).collect()
}

/// However many clients use it, under whatever names. Seen to fail: one statement a client.
#[test]
fn one_text_is_prepared_once_a_server() {
    const SHARED: &str = "select 'shared', $1::int";
    let pooler = Setup::transaction(1).start();
    let mut clients: Vec<Client> = (0..20).map(|_| pooler.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let name = format!("name{number}");
        client.send(&wire().parse(&name, SHARED).run(&name, &["7"]).sync());
        assert_eq!(client.until_ready().shape(), "1 2 T D C Z/I");
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&wire().run(&format!("name{number}"), &["8"]).sync());
        assert_eq!(client.until_ready().shape(), "2 T D C Z/I");
    }
    let names = prepared(&mut clients[0], SHARED);
    assert_eq!(names.len(), 1, "{names:?}");
    let digits = names[0].strip_prefix("odyssey_pstmt_").expect("as Odyssey names them");
    assert!(digits.parse::<u64>().is_ok(), "{names:?}");
    clients[1].send(&wire().close_statement("name1").sync());
    assert_eq!(clients[1].until_ready().shape(), "3 Z/I");
    drop(clients.split_off(1));
    assert_eq!(prepared(&mut clients[0], SHARED), names, "a close costs the server nothing");
    pooler.stop_with(clients);
}

/// Seen to fail: statements pile up on a server until it is closed.
#[test]
fn a_server_keeps_a_bounded_number_of_statements() {
    const TEXTS: usize = 6000;
    const KEPT_MAX: usize = 5000;
    let pooler = Setup::transaction(1).start();
    let mut client = pooler.client();
    for first in (0..TEXTS).step_by(100) {
        let mut batch = wire();
        for number in first..first + 100 {
            let name = format!("s{number}");
            batch = batch.parse(&name, &format!("select {number}")).run(&name, &[]).sync();
            if number % 3 == 0 {
                batch = batch.close_statement(&name).sync();
            }
        }
        let readies = batch.count_of(b"S");
        client.send(&batch);
        for _ in 0..readies {
            assert_eq!(client.until_ready().error(), None);
        }
    }
    let sql = "select count(*) from pg_prepared_statements";
    let kept: usize = client.scalar(sql).parse().unwrap();
    println!("{kept} of {TEXTS} statements are kept");
    assert!((1..=KEPT_MAX).contains(&kept), "{kept}");
    for number in [1, 2, TEXTS - 2, 4, 1001] {
        client.send(&wire().run(&format!("s{number}"), &[]).sync());
        let answer = client.until_ready();
        assert_eq!(answer.column(), [number.to_string()], "{:?}", answer.error());
    }
    client.send(&wire().run("s3", &[]).sync());
    assert_eq!(client.until_ready().code(), "26000");
    pooler.stop_with(vec![client]);
}

/// Thousands of clients' worth of distinct names on few texts, and texts that nobody uses any more,
/// leave the pooler as small as before.
#[test]
fn statements_that_nobody_has_any_more_cost_nothing() {
    let pooler = Setup::transaction(1).start();
    let round = |pooler: &Pooler, base: usize| {
        let mut client = pooler.client();
        let mut batch = wire();
        for number in 0..100 {
            let text = format!("select {} /* {} */", base + number, "x".repeat(5000));
            batch = batch.parse(&format!("s{number}"), &text);
        }
        client.send(&batch.sync());
        assert_eq!(client.until_ready().status(), 'I');
    };
    (0..3).for_each(|number| round(&pooler, number * 100));
    let before = pooler.memory_kib();
    (3..25).for_each(|number| round(&pooler, number * 100));
    let grown = pooler.memory_kib().saturating_sub(before);
    println!("{grown} KiB for 11 MB of statements that came and went");
    assert!(grown < 6 * 1024, "{grown} KiB");
    pooler.stop();
}

/// Reference §12.3, 4. Seen to fail: the pooler believes that the server has what it has not.
#[test]
fn deallocate_all_inside_a_multi_statement_query_desynchronises_nothing() {
    Play::new("DEALLOCATE ALL")
        .step('a', wire().parse("s1", "select 'one'").sync(), "1 Z/I")
        .step('b', wire().parse("s1", "select 'one'").sync(), "1 Z/I")
        .step('a', wire().run("s1", &[]).sync(), "2 T D C Z/I")
        .lines("a: deallocate all; select 1 => DEALLOCATE ALL 1")
        .step('a', wire().run("s1", &[]).sync(), "E/26000 Z/I")
        .step('b', wire().run("s1", &[]).sync(), "2 T D C Z/I")
        .step('a', wire().parse("s1", "select 'one'").sync(), "1 Z/I")
        .step('a', wire().run("s1", &[]).sync(), "2 T D C Z/I")
        .lines("a: select 1; deallocate s1; select 2 => 1 DEALLOCATE 2")
        .step('a', wire().run("s1", &[]).sync(), "E/26000 Z/I")
        .step('b', wire().run("s1", &[]).sync(), "2 T D C Z/I")
        .step('a', wire().parse("s1", "select 'again'").sync(), "1 Z/I")
        .lines("a: select 1; deallocate s1; select 1/0 => 1 DEALLOCATE !22012")
        .step('a', wire().run("s1", &[]).sync(), "E/26000 Z/I")
        .as_direct();
}

/// Reference §12.3, 4, second half. Seen to fail: a virtual DEALLOCATE succeeds always.
#[test]
fn deallocate_of_an_unknown_name_does_not_succeed() {
    Play::new("DEALLOCATE")
        .lines("a: deallocate nowhere => !26000\n a: deallocate prepare \"No where\" => !26000")
        .step('a', wire().parse("s", "select 1").parse("Odd Name", "select 2").sync(), "1 1 Z/I")
        .step('b', wire().parse("of_b", "select 1").sync(), "1 Z/I")
        .lines("a: deallocate of_b => !26000\n a: deallocate S => DEALLOCATE")
        .step('a', wire().run("s", &[]).sync(), "E/26000 Z/I")
        .step('b', wire().run("of_b", &[]).sync(), "2 T D C Z/I")
        .lines("a: deallocate Odd => !26000\n a: DEALLOCATE \"Odd Name\"; => DEALLOCATE")
        .step('a', wire().run("Odd Name", &[]).sync(), "E/26000 Z/I")
        .step('a', wire().parse("s", "select 1").sync(), "1 Z/I")
        .lines("a! deallocate s => DEALLOCATE\n a! deallocate s => !26000")
        .step('a', wire().parse("s", "select 3").sync(), "1 Z/I")
        .lines("a! deallocate all => DEALLOCATE ALL")
        .step('a', wire().run("s", &[]).sync(), "E/26000 Z/I")
        .step('a', wire().parse("s", "select 4").sync(), "1 Z/I")
        .step('a', wire().run("s", &[]).sync(), "2 T D C Z/I")
        .step('b', wire().run("of_b", &[]).sync(), "2 T D C Z/I")
        .as_direct();
}

/// Reference §12.3, 3. Seen to fail: a virtual answer that says `T` in a failed transaction.
#[test]
fn ready_for_query_says_e_when_it_has_to() {
    Play::new("status E")
        .step('a', wire().parse("s", "select 1").sync(), "1 Z/I")
        .lines(
            "a: begin => BEGIN /T
             a: select 1/0 => !22012 /E
             a: deallocate all => !25P02 /E
             a: deallocate s => !25P02 /E
             a: set application_name = 'x' => !25P02 /E
             a: show work_mem => !25P02 /E
             a: begin => !25P02 /E
             a: => () /E
             a: discard all => !25P02 /E",
        )
        .step('a', wire().close_statement("s").sync(), "3 Z/E")
        .lines("a: commit => ROLLBACK")
        .step('a', wire().run("s", &[]).sync(), "E/26000 Z/I")
        .as_direct();
}

/// DEALLOCATE is not taken back by ROLLBACK, and DISCARD ALL forgets this client's statements only.
#[test]
fn deallocate_and_discard_forget_this_clients_statements_only() {
    Play::new("forgetting")
        .step('a', wire().parse("s", "select 's'").parse("t", "select 't'").sync(), "1 1 Z/I")
        .step('b', wire().parse("s", "select 's'").sync(), "1 Z/I")
        .lines("a: begin; deallocate s => BEGIN DEALLOCATE /T\n a: rollback => ROLLBACK")
        .step('a', wire().run("s", &[]).sync(), "E/26000 Z/I")
        .step('a', wire().run("t", &[]).sync(), "2 T D C Z/I")
        .lines("a: discard plans => DISCARD PLANS")
        .step('a', wire().run("t", &[]).sync(), "2 T D C Z/I")
        .lines("a: discard all => DISCARD ALL")
        .step('a', wire().run("t", &[]).sync(), "E/26000 Z/I")
        .step('a', wire().parse("t", "select 't'").sync(), "1 Z/I")
        .step('b', wire().run("s", &[]).sync(), "2 T D C Z/I")
        .lines("a: discard all; select 1 => !25001")
        .step('a', wire().run("t", &[]).sync(), "2 T D C Z/I")
        .lines("a! discard all => DISCARD ALL")
        .step('a', wire().run("t", &[]).sync(), "E/26000 Z/I")
        .step('b', wire().run("s", &[]).sync(), "2 T D C Z/I")
        .as_direct();
}

/// PREPARE, EXECUTE and DEALLOCATE as SQL. Each client has a server of its own here: a client that
/// prepared by SQL keeps its server (see `residue`).
#[test]
fn prepare_execute_and_deallocate_by_sql() {
    Play::new("SQL")
        .lines(
            "a: prepare q(int) as select $1 + 1 => PREPARE
             a: execute q(1) => 2
             b: execute q(1) => !26000
             b: prepare q as select 'of b' => PREPARE
             a: execute q(2) => 3
             b: execute q => of b
             a: prepare q as select 1 => !42P05
             a: execute q('x') => !22P02
             a: prepare r as select 'r'; execute r; deallocate r => PREPARE r DEALLOCATE
             a: prepare r as select 'r'; deallocate r; execute r => PREPARE DEALLOCATE !26000
             a: begin; prepare stays as select 'stays' => BEGIN PREPARE /T
             a: rollback => ROLLBACK
             a: execute stays => stays
             a: deallocate q => DEALLOCATE
             a: execute q(1) => !26000
             b: execute q => of b
             a: deallocate all => DEALLOCATE ALL
             a: execute stays => !26000
             b: discard all => DISCARD ALL
             b: execute q => !26000
             a: select count(*) from pg_prepared_statements where from_sql => 0",
        )
        .as_direct_on(&[Stage::Roomy]);
}

/// PostgreSQL has one name space for both ways. Seen to fail: names that are the client's in one
/// way and the pooler's in the other.
#[test]
fn sql_and_protocol_share_one_name_space() {
    Play::new("one name space")
        .step('a', wire().parse("s", "select $1::int").sync(), "1 Z/I")
        .lines("a: execute s(7) => 7\n a: prepare s as select 1 => !42P05")
        .lines("a: prepare q as select 'by SQL' => PREPARE")
        .step('a', wire().run("q", &[]).sync(), "2 T D C Z/I")
        .step('a', wire().parse("q", "select 1").sync(), "E/42P05 Z/I")
        .step('a', wire().close_statement("q").sync(), "3 Z/I")
        .lines("a: execute q => !26000\n a: prepare q as select 'again' => PREPARE")
        .lines("a: execute q => again\n a: deallocate all => DEALLOCATE ALL")
        .step('a', wire().run("s", &["1"]).sync(), "E/26000 Z/I")
        .as_direct_on(&[Stage::Roomy]);
}

/// A table changes under a statement. PostgreSQL itself fails until the client prepares again; the
/// pooler may heal it at once, or report it once, and a retry works.
#[test]
fn cached_plan_must_not_change_result_type_is_healed() {
    for servers in [1, 2] {
        let mut admin = Postgres::shared().admin();
        let made = admin.query(
            "drop table if exists changing; create table changing (i int);
             insert into changing values (1); grant select on changing to app",
        );
        assert_eq!(made.error(), None);
        let pooler = Setup::transaction(servers).start();
        let (mut a, mut b) = (pooler.client(), pooler.client());
        for client in [&mut a, &mut b] {
            client.send(&wire().parse("s", "select * from changing").run("s", &[]).sync());
            assert_eq!(client.until_ready().shape(), "1 2 T D C Z/I");
        }
        assert_eq!(admin.query("alter table changing add j int default 2").error(), None);
        for client in [&mut a, &mut b] {
            let run = wire().run("s", &[]).sync();
            client.send(&run);
            let first = client.until_ready();
            let text = first.error().map(|e| (e.code, e.message));
            let told = ("0A000".into(), "cached plan must not change result type".into());
            assert!(text.is_none() || text == Some(told), "{first:?}");
            client.send(&run);
            let answer = client.until_ready();
            assert_eq!(answer.shape(), "2 T D C Z/I", "the retry: {:?}", answer.error());
            assert_eq!(answer.rows()[0].len(), 2);
        }
        pooler.stop_with(vec![a, b]);
    }
}

/// Whoever chose so has it as in PostgreSQL: it fails until the client prepares again.
#[test]
fn a_cached_plan_is_not_healed_where_the_rule_says_no() {
    let mut admin = Postgres::shared().admin();
    let made = admin.query(
        "drop table if exists unhealed; create table unhealed (i int);
         grant select on unhealed to app",
    );
    assert_eq!(made.error(), None);
    let pooler = Setup::transaction(1).with("server_drop_on_cached_plan_error no").start();
    let mut client = pooler.client();
    client.send(&wire().parse("s", "select * from unhealed").run("s", &[]).sync());
    assert_eq!(client.until_ready().shape(), "1 2 T C Z/I");
    assert_eq!(admin.query("alter table unhealed add j int").error(), None);
    for _ in 0..2 {
        client.send(&wire().run("s", &[]).sync());
        assert_eq!(client.until_ready().code(), "0A000");
    }
    pooler.stop_with(vec![client]);
}

/// Statements travel with their client through the death of servers.
#[test]
fn statements_survive_the_server_they_were_prepared_on() {
    let login = Postgres::shared().role("survivors");
    let pooler = Setup::transaction(1).start();
    let mut client = pooler.login(&login);
    client.send(&wire().parse("s", "select pg_backend_pid(), $1::int").sync());
    assert_eq!(client.until_ready().shape(), "1 Z/I");
    let mut pids = BTreeSet::new();
    for _ in 0..3 {
        client.send(&wire().run("s", &["1"]).sync());
        let answer = client.until_ready();
        let pid = answer.column().pop().unwrap_or_else(|| panic!("{:?}", answer.error()));
        assert!(pids.insert(pid.clone()), "a new server");
        Postgres::shared().admin().query(&format!("select pg_terminate_backend({pid})"));
        Postgres::shared().wait_for_backends(&format!("pid = {pid}"), 0, PATIENCE);
        until("the pooler to have noticed", PATIENCE, || {
            let answer = pooler.login(&login).query("select pg_backend_pid()");
            (answer.column().first()? != &pid).then_some(())
        });
    }
    pooler.stop_with(vec![client]);
}

/// What a function does inside is not seen, but for the errors that come of it: one. Seen to fail:
/// a pooler that goes on believing that the server has what it says it has not.
#[test]
fn a_server_whose_statements_a_function_took_away_gets_them_again() {
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b, mut thief) = (pooler.client(), pooler.client(), pooler.client());
    for (client, name) in [(&mut a, "s"), (&mut b, "t")] {
        client.send(&wire().parse(name, &format!("select '{name}'")).sync());
        assert_eq!(client.until_ready().error(), None);
        client.query("set work_mem = '5MB'");
    }
    let run = |client: &mut Client, name: &str| {
        client.send(&wire().run(name, &[]).sync());
        client.until_ready().code()
    };
    for _ in 0..2 {
        thief.query("do $$ begin execute 'deallocate all'; end $$");
        assert_eq!(thief.query("set work_mem = '6MB'").error(), None);
        let told = [run(&mut a, "s"), run(&mut b, "t"), run(&mut a, "s"), run(&mut b, "t")];
        assert!(["26000", ""].contains(&&*told[0]), "{told:?}");
        assert_eq!(told[1..], ["", "", ""]);
        assert_eq!(a.scalar("show work_mem"), "5MB");
        assert_eq!(thief.scalar("show work_mem"), "6MB");
    }
    pooler.stop_with(vec![a, b, thief]);
}
