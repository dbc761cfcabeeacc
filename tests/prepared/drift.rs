//! Drift: orders of messages after which a pooler believes that a server has what it has not, or
//! the other way round.

use super::wire;
use crate::support::{Client, Login, Play, Postgres, Setup, Stage, Wire, until};

fn prepares(client: &mut Client, name: &str, text: &str) {
    client.send(&wire().parse(name, text).sync());
    let answer = client.until_ready();
    assert_eq!(answer.shape(), "1 Z/I", "{name}: {:?}", answer.error());
}

/// Seen to fail: a pooler that closes what a stranger left and goes on believing that it is there.
#[test]
fn the_unnamed_statement_outlives_the_mistake_of_another_client() {
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    prepares(&mut a, "", "select 'of a'");
    b.send(&wire().run("", &[]).sync());
    assert_eq!(b.until_ready().shape(), "E/26000 Z/I", "b has none");
    a.send(&wire().run("", &[]).sync());
    let answer = a.until_ready();
    assert_eq!(answer.column(), ["of a"], "{:?}", answer.error());
    pooler.stop_with(vec![a, b]);
}

/// A skipped batch prepares nothing, and takes nothing away. Seen to fail: a pooler that forgets a
/// client's unnamed statement when the Parse that it put in front was skipped.
#[test]
fn an_error_in_front_of_the_unnamed_statement_takes_nothing_away() {
    let play = Play::new("unnamed behind an error")
        .step('a', wire().parse("", "select 'kept'").sync(), "1 Z/I")
        .step('a', wire().run("nothing", &[]).run("", &[]).sync(), "E/26000 Z/I")
        .step('a', wire().run("", &[]).sync(), "2 T D C Z/I")
        .step('a', wire().run("nothing", &[]).parse("", "select 'new'").sync(), "E/26000 Z/I");
    play.as_direct_on(&[Stage::One, Stage::Two, Stage::Roomy]);
}

/// Seen to fail: a pooler that takes the statement it meant to close for gone, though the Close was
/// skipped with the batch it stood in.
#[test]
fn skipped_closes_do_not_let_statements_pile_up() {
    const KEPT_MAX: usize = 1000;
    const ERRORS: usize = 200;
    let pooler = Setup::transaction(1).start();
    let mut client = pooler.client();
    let prepare = |client: &mut Client, numbers: std::ops::Range<usize>| {
        let parse = |number| wire().parse(&format!("s{number}"), &format!("select {number}")).0;
        client.send(&wire().raw(&numbers.map(parse).collect::<Vec<_>>().concat()).sync());
        assert_eq!(client.until_ready().error(), None);
    };
    prepare(&mut client, 0..KEPT_MAX);
    for number in 0..ERRORS {
        let text = format!("select 'never', {number}");
        client.send(&wire().run("nothing", &[]).parse("never", &text).sync());
        assert_eq!(client.until_ready().shape(), "E/26000 Z/I");
        prepare(&mut client, KEPT_MAX + number..KEPT_MAX + number + 1);
    }
    let ours = "select count(*) from pg_prepared_statements where name like 'odyssey_pstmt_%'";
    let kept: usize = client.scalar(ours).parse().unwrap();
    assert!(kept <= KEPT_MAX, "{kept} are kept");
    for number in [0, ERRORS / 2, KEPT_MAX - 1, KEPT_MAX] {
        client.send(&wire().run(&format!("s{number}"), &[]).sync());
        assert_eq!(client.until_ready().column(), [number.to_string()]);
    }
    pooler.stop_with(vec![client]);
}

/// Seen to fail: a pooler that knows of the failed transaction only when it has read so.
#[test]
fn nothing_is_prepared_in_a_transaction_that_is_about_to_fail() {
    let simple = wire().query("select 1/0").parse("s", "select 'known'").sync();
    let bind = wire().run("nothing", &[]).sync().parse("s", "select 'known'").sync();
    Play::new("about to fail")
        .step('a', wire().parse("t", "select 'known'").sync(), "1 Z/I")
        .lines("a: begin => BEGIN /T\n a: select 1 => 1 /T")
        .step('a', simple.query("rollback"), "E/22012 Z/E E/25P02 Z/E C Z/I")
        .step('a', wire().run("s", &[]).sync(), "E/26000 Z/I")
        .lines("a: begin => BEGIN /T\n a: select 1 => 1 /T")
        .step('a', bind.query("rollback"), "E/26000 Z/E E/25P02 Z/E C Z/I")
        .step('a', wire().run("s", &[]).sync(), "E/26000 Z/I")
        .step('a', wire().run("t", &[]).sync(), "2 T D C Z/I")
        .as_direct();
}

/// DEALLOCATE takes nothing back, and what was not reached was not done. Seen to fail: a pooler
/// that forgets the name when it reads the text.
#[test]
fn a_deallocate_behind_an_error_did_not_happen() {
    let parse = || wire().parse("s", "select 's'").parse("t", "select 't'").sync();
    Play::new("deallocate behind an error")
        .step('a', parse(), "1 1 Z/I")
        .lines("a: select 1/0; deallocate s => !22012")
        .step('a', wire().run("s", &[]).sync(), "2 T D C Z/I")
        .lines("a: deallocate s; select 1/0; deallocate t => DEALLOCATE !22012")
        .step('a', wire().run("s", &[]).sync(), "E/26000 Z/I")
        .step('a', wire().run("t", &[]).sync(), "2 T D C Z/I")
        .lines("a: deallocate s; deallocate t => !26000")
        .step('a', wire().run("t", &[]).sync(), "2 T D C Z/I")
        .lines("a: deallocate t; deallocate t => DEALLOCATE !26000")
        .step('a', wire().run("t", &[]).sync(), "E/26000 Z/I")
        .step('a', parse(), "1 1 Z/I")
        .step('a', wire().run("x", &[]).extended("deallocate s", &[]).sync(), "E/26000 Z/I")
        .step('a', wire().run("s", &[]).sync(), "2 T D C Z/I")
        .step('a', wire().extended("deallocate s", &[]).sync(), "1 2 n C Z/I")
        .step('a', wire().run("s", &[]).sync(), "E/26000 Z/I")
        .as_direct();
}

/// Seen to fail: a Parse that is answered because a server of another database has prepared the
/// same text.
#[test]
fn what_one_database_knows_proves_nothing_in_another() {
    assert_eq!(Postgres::shared().admin().query("create table of_one ()").error(), None);
    let pooler = Setup::transaction(1).start();
    let mut here = pooler.client();
    let mut there = pooler.login(&Login::new("app", "other"));
    prepares(&mut here, "s", "select from of_one");
    for client in [&mut there, &mut here] {
        client.send(&wire().parse("t", "select from of_one").sync());
    }
    assert_eq!(there.until_ready().shape(), "E/42P01 Z/I");
    assert_eq!(here.until_ready().shape(), "1 Z/I");
    pooler.stop_with(vec![here, there]);
}

/// A text whose result has changed is not prepared any more: who prepared it before hears so once,
/// in PostgreSQL's words, on a server without a plan of it, too. Seen to fail: a client that gives
/// the same name to another text prepares that one under the name all others still know.
#[test]
fn a_text_that_is_not_prepared_any_more_gives_its_place_to_no_other() {
    let login = Postgres::shared().role("retired");
    let mut admin = Postgres::shared().admin();
    let made = "create table retiring (i int); insert into retiring values (1);
                grant select on retiring to retired";
    assert_eq!(admin.query(made).error(), None);
    let pooler = Setup::transaction(1).start();
    let mut clients: Vec<Client> = (0..3).map(|_| pooler.login(&login)).collect();
    clients.iter_mut().for_each(|client| prepares(client, "s", "select * from retiring"));
    assert_eq!(admin.query("alter table retiring add j int default 2").error(), None);
    clients[0].send(&wire().run("s", &[]).sync());
    assert_eq!(clients[0].until_ready().shape(), "E/0A000 Z/I");
    let pid = clients[0].scalar("select pg_backend_pid()");
    admin.query(&format!("select pg_terminate_backend({pid})"));
    until("another server", crate::support::PATIENCE, || {
        let answer = pooler.login(&login).query("select pg_backend_pid()");
        (answer.column().first()? != &pid).then_some(())
    });

    clients[1].send(&wire().parse("s", "select 'of another'").sync());
    let answer = clients[1].until_ready();
    assert!(["", "42P05"].contains(&answer.code().as_str()), "{:?}", answer.error());
    clients[2].send(&wire().run("s", &[]).sync());
    let answer = clients[2].until_ready();
    assert_eq!(answer.shape(), "E/0A000 Z/I", "{:?}", answer.column());
    clients[2].send(&wire().run("s", &[]).sync());
    assert_eq!(clients[2].until_ready().rows()[0].len(), 2);
    pooler.stop_with(clients);
}

/// What is skipped takes no unnamed statement away; what fails by itself does. Seen to fail: a
/// pooler that forgets a client's unnamed statement when it reads a Parse or a Close behind an
/// error.
#[test]
fn the_unnamed_statement_outlives_a_parse_that_is_skipped() {
    let error = || wire().run("nothing", &[]);
    let run = || wire().run("", &[]).sync();
    Play::new("unnamed behind a skipped Parse")
        .step('a', wire().parse("", "select 'kept'").sync(), "1 Z/I")
        .step('a', error().parse("", "select 'new'").sync(), "E/26000 Z/I")
        .step('a', run(), "2 T D C Z/I")
        .step('a', error().close_statement("").sync(), "E/26000 Z/I")
        .step('a', run(), "2 T D C Z/I")
        .step('a', error().parse("", "selec").parse("", "select 'c'").sync(), "E/26000 Z/I")
        .step('a', run(), "2 T D C Z/I")
        .step(
            'a',
            wire().parse("", "select 'a'").run("nothing", &[]).parse("", "select 'b'").sync(),
            "1 E/26000 Z/I",
        )
        .step('a', run(), "2 T D C Z/I")
        .step('a', wire().parse("", "select '1'").parse("", "selec").sync(), "1 E/42601 Z/I")
        .step('a', run(), "E/26000 Z/I")
        .step('a', wire().parse("", "set geqo = off").sync(), "1 Z/I")
        .step('a', error().parse("", "select 'plain'").sync(), "E/26000 Z/I")
        .step('a', wire().bind("", "", &[]).execute("", 0).sync(), "2 C Z/I")
        .lines("a: show geqo => off\n b: show geqo => on")
        .as_direct_on(&[Stage::One, Stage::Two, Stage::Roomy]);
}

/// A simple query drops the unnamed statement, unless it is skipped. Seen to fail: a pooler that
/// drops it when it reads the query.
#[test]
fn the_unnamed_statement_outlives_a_query_that_is_skipped() {
    let run = || wire().run("", &[]).sync();
    let nothing = || wire().run("nothing", &[]);
    let query = |front: Wire| front.query("select 2").sync();
    let play = Play::new("unnamed behind a skipped query")
        .step('a', wire().parse("", "select 'kept'").sync(), "1 Z/I")
        .flushed('a', query(nothing()), b'Z', "E/26000 Z/I")
        .step('a', run(), "2 T D C Z/I")
        .flushed('a', query(nothing()).raw(&nothing().sync().0), b'Z', "E/26000 Z/I")
        .flushed('a', wire(), b'Z', "E/26000 Z/I")
        .step('a', run(), "2 T D C Z/I");
    // PostgreSQL 18 itself is out of step behind a query in an open batch: the next one gets XX000,
    // StartTransactionCommand: unexpected state STARTED.
    let version = Postgres::shared().admin().scalar("show server_version_num");
    let play = match version.as_str() < "180000" {
        true => play
            .flushed('a', query(wire().run("", &[])), b'Z', "2 T D C T D C Z/I")
            .flushed('a', wire(), b'Z', "Z/I")
            .step('a', run(), "E/26000 Z/I"),
        false => play,
    };
    play.as_direct_on(&[Stage::One, Stage::Two, Stage::Roomy]);
}

/// Seen to fail: a pooler that brings back what was before a batch which is skipped, though a query
/// behind that batch has dropped it.
#[test]
fn a_query_behind_a_batch_that_is_skipped_drops_the_unnamed_statement() {
    let skipped = || wire().run("nothing", &[]).parse("", "select 'skipped'").sync();
    Play::new("unnamed in front of a skipped batch")
        .step('a', wire().parse("", "select 'dropped'").sync(), "1 Z/I")
        .step('a', skipped().query("select 1"), "E/26000 Z/I T D C Z/I")
        .step('a', wire().run("", &[]).sync(), "E/26000 Z/I")
        .step('a', wire().parse("", "select 'kept'").sync(), "1 Z/I")
        .step('a', skipped().raw(&skipped().0), "E/26000 Z/I E/26000 Z/I")
        .step('a', wire().run("", &[]).sync(), "2 T D C Z/I")
        .as_direct_on(&[Stage::One, Stage::Two, Stage::Roomy]);
}

/// Seen to fail: a pooler that thinks that DISCARD ALL takes the unnamed statement, too.
#[test]
fn the_unnamed_statement_outlives_a_discard_all_of_the_protocol() {
    Play::new("unnamed behind DISCARD ALL")
        .step('a', wire().parse("d", "discard all").parse("", "select 'kept'").sync(), "1 1 Z/I")
        .step('a', wire().run("d", &[]).sync(), "2 n C Z/I")
        .step('a', wire().run("", &[]).sync(), "2 T D C Z/I")
        .step('a', wire().query("discard all"), "C Z/I")
        .step('a', wire().run("", &[]).sync(), "E/26000 Z/I")
        .as_direct_on(&[Stage::One, Stage::Two, Stage::Roomy]);
}

/// A batch that takes all names away before it speaks of one that its server lacks. Seen to fail: a
/// pooler that puts in front of the Bind what the DISCARD ALL in front of that has taken away; one
/// that gives back a name since its Close was skipped.
#[test]
fn what_a_batch_takes_away_is_gone_for_what_stands_behind_it() {
    let prepared = || {
        let parse = wire().parse("d", "discard all").parse("p", "deallocate all");
        parse.parse("s", "select 's'").sync()
    };
    let run = |name| wire().run(name, &[]);
    let mut play = Play::new("taken away in its own batch");
    for (taker, tags) in [("d", "2 n C"), ("p", "2 n C")] {
        let gone = format!("{tags} E/26000 Z/I");
        play = play
            .step('a', wire().query("deallocate all"), "C Z/I")
            .step('a', prepared(), "1 1 1 Z/I")
            .step('a', run(taker).raw(&run("s").sync().0), &gone)
            .step('a', run("s").sync(), "E/26000 Z/I")
            .step('a', prepared(), "1 1 1 Z/I")
            .step('a', run(taker).describe_statement("s").sync(), &gone)
            .step('a', prepared(), "1 1 1 Z/I")
            .step('a', wire().bind("", taker, &[]).raw(&run("s").sync().0), "2 2 T D C Z/I")
            .step(
                'a',
                run(taker).parse("s", "select 'new'").raw(&run("s").sync().0),
                &format!("{tags} 1 2 T D C Z/I"),
            )
            .step('a', run("s").sync(), "2 T D C Z/I")
            .step('a', wire().query("deallocate all"), "C Z/I")
            .step('a', prepared(), "1 1 1 Z/I")
            .step('a', run(taker).describe_statement("s").close_statement("s").sync(), &gone)
            .step('a', run("s").sync(), "E/26000 Z/I");
    }
    play.as_direct_on(&[Stage::One, Stage::Two, Stage::Roomy]);
}

/// Batches behind one that fails, in one write: what it skipped was never there. Seen to fail: a
/// pooler that believes it until the error comes. The second Parse of `s` gave its text to the
/// shared name of the first, for all clients; the Bind of the unnamed statement ran a stranger's.
#[test]
fn what_a_failing_batch_skips_was_never_there_for_the_batches_behind_it() {
    let fails = || wire().run("nothing", &[]);
    let one = "E/26000 Z/I";
    let parse = |name, text| wire().parse(name, text).sync();
    let behind = |first: Wire, second: Wire| first.sync().raw(&second.0);
    Play::new("skipped")
        .step(
            'a',
            behind(fails().parse("s", "select 1"), parse("s", "select 2")),
            "E/26000 Z/I 1 Z/I",
        )
        .step('a', wire().run("s", &[]).sync(), "2 T D C Z/I")
        .step('b', parse("s", "select 1"), "1 Z/I")
        .step('b', wire().run("s", &[]).sync(), "2 T D C Z/I")
        .step(
            'a',
            behind(fails().close_statement("s"), parse("s", "select 3")),
            "E/26000 Z/I E/42P05 Z/I",
        )
        .step('a', wire().run("s", &[]).sync(), "2 T D C Z/I")
        .step(
            'a',
            behind(fails().parse("t", "select 1"), wire().run("t", &[]).sync()),
            &format!("{one} {one}"),
        )
        .step(
            'a',
            behind(fails().parse("", "select 1"), wire().run("", &[]).sync()),
            &format!("{one} {one}"),
        )
        .step('a', parse("", "select 'mine'"), "1 Z/I")
        .step(
            'a',
            behind(fails().parse("", "select 1"), wire().run("", &[]).sync()),
            "E/26000 Z/I 2 T D C Z/I",
        )
        .step(
            'a',
            behind(fails().parse("", "select 1"), parse("", "select 5")),
            "E/26000 Z/I 1 Z/I",
        )
        .step('a', wire().run("", &[]).sync(), "2 T D C Z/I")
        .step('a', behind(wire().parse("", "selec"), parse("", "select 6")), "E/42601 Z/I 1 Z/I")
        .step('a', wire().run("", &[]).sync(), "2 T D C Z/I")
        .step(
            'a',
            behind(fails().parse("t", "select 1"), wire().query("execute t")),
            &format!("{one} {one}"),
        )
        .as_direct_on(&[Stage::One, Stage::Two, Stage::Roomy]);
}

/// A statement that its server lacks, in two batches at once of which the first fails before it.
/// Seen to fail: a pooler that believes in the second batch what it put in front in the first.
#[test]
fn what_is_put_in_front_in_a_batch_that_fails_is_put_in_front_again() {
    let pooler = Setup::transaction(1).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    prepares(&mut a, "s", "select 's'");
    assert_eq!(b.query("discard all").error(), None);
    let run = || wire().run("s", &[]);
    a.send(&wire().run("nothing", &[]).raw(&run().0).sync().raw(&run().0).sync());
    assert_eq!(a.until_ready().shape(), "E/26000 Z/I");
    let answer = a.until_ready();
    assert_eq!(answer.column(), ["s"], "{:?}", answer.error());
    prepares(&mut a, "t", "select 't'");
    assert_eq!(b.query("discard all").error(), None);
    let again = wire().parse("u", "select 't'").sync();
    a.send(&wire().run("nothing", &[]).run("t", &[]).sync().raw(&again.0));
    assert_eq!(
        (a.until_ready().shape(), a.until_ready().shape()),
        ("E/26000 Z/I".into(), "1 Z/I".into())
    );
    for name in ["t", "u"] {
        a.send(&wire().run(name, &[]).sync());
        let answer = a.until_ready();
        assert_eq!(answer.column(), ["t"], "{name}: {:?}", answer.error());
    }
    pooler.stop_with(vec![a, b]);
}

/// Seen to fail: a pooler that prepares the client's own words at the next server.
#[test]
fn an_unnamed_execute_finds_its_statement_at_another_server() {
    Play::new("unnamed EXECUTE")
        .step('a', wire().parse("s", "select $1::int, 's'").sync(), "1 Z/I")
        .step('a', wire().parse("", "execute s(1)").sync(), "1 Z/I")
        .step('a', wire().run("", &[]).sync(), "2 T D C Z/I")
        .step('a', wire().describe_statement("").sync(), "t T Z/I")
        .step('a', wire().run("", &[]).sync(), "2 T D C Z/I")
        .step('a', wire().parse("", "explain execute s(nope)").sync(), "1 Z/I")
        .step('a', wire().run("", &[]).sync(), "2 T E/42703 Z/I")
        .as_direct();
}

/// What a name in a named statement means, it means when that runs. Seen to fail: a pooler that
/// prepares the client's own words, in which no server knows a name.
#[test]
fn a_named_execute_finds_its_statement_wherever_it_runs() {
    let run = |name| wire().run(name, &[]).sync();
    Play::new("named EXECUTE")
        .step('a', wire().parse("x", "select $1::int, 'x'").sync(), "1 Z/I")
        .step('a', wire().parse("s", "execute x(1)").sync(), "1 Z/I")
        .step('a', run("s"), "2 T D C Z/I")
        .step('b', wire().parse("x", "select 'another'").parse("s", "execute x").sync(), "1 1 Z/I")
        .step('b', run("s"), "2 T D C Z/I")
        .step('a', wire().describe_statement("s").sync(), "t T Z/I")
        .step('a', run("s").raw(&run("s").0), "2 T D C Z/I 2 T D C Z/I")
        .step('a', wire().bind("", "s", &["1"]).execute("", 0).sync(), "E/08P01 Z/I")
        .lines("a: begin => BEGIN /T")
        .step('a', run("s"), "2 T D C Z/T")
        .lines("a: commit => COMMIT")
        // Closed, and of another meaning behind that.
        .step('a', wire().close_statement("x").sync(), "3 Z/I")
        .step('a', wire().bind("", "s", &[]).execute("", 0).sync(), "2 E/26000 Z/I")
        .step('a', wire().parse("x", "select $1::int + 1").sync(), "1 Z/I")
        .step('a', wire().bind("", "s", &[]).execute("", 0).sync(), "2 D C Z/I")
        .step('a', wire().parse("y", "select 2").parse("t", "execute y").sync(), "1 1 Z/I")
        .step('a', run("t"), "2 T D C Z/I")
        .step('a', wire().parse("d", "deallocate y").sync(), "1 Z/I")
        .step('a', wire().bind("", "d", &[]).execute("", 0).sync(), "2 C Z/I")
        .step('a', wire().bind("", "t", &[]).execute("", 0).sync(), "2 E/26000 Z/I")
        .step('b', run("s"), "2 T D C Z/I")
        .as_direct_on(&[Stage::One, Stage::Two, Stage::Roomy]);
}

/// Names that begin as ours do are no way to another client's statement. Seen to fail: with names
/// in named statements left as they are.
#[test]
fn a_named_execute_finds_no_statement_of_another_client() {
    let mut play = Play::new("reserved names")
        .step('b', wire().parse("secret", "select 'secret'").sync(), "1 Z/I")
        .step('b', wire().run("secret", &[]).sync(), "2 T D C Z/I");
    for number in 1..6 {
        let (name, text) = (format!("s{number}"), format!("execute odyssey_pstmt_{number}"));
        play = play.step('a', wire().parse(&name, &text).sync(), "1 Z/I").step(
            'a',
            wire().bind("", &name, &[]).execute("", 0).sync(),
            "2 E/26000 Z/I",
        );
    }
    play.as_direct();
}

/// Where an error is, it is in the client's text. Seen to fail: a pooler that hands on where it is
/// in its own.
#[test]
fn an_error_in_a_text_with_renamed_statements_says_where_it_is() {
    let parse = |name| wire().parse(name, "select $1::int").sync();
    Play::new("positions")
        .step('a', parse("s"), "1 Z/I")
        .lines(
            "a: execute s(1); selec => !42601
             a: execute s(1); select nope => 1 !42703
             a: execute s(nope) => !42703
             a: select nope; execute s(1) => !42703
             a: /* äöü */ execute s(1); execute s(2); select 'ß', nope => 1 2 !42703
             a! execute s(nope) => !42703
             a! execute s(1,) => !42601
             a: execute \"s\"(1); deallocate s; selec => !42601
             a: deallocate s; select nope => DEALLOCATE !42703",
        )
        .step('a', parse("a_rather_long_name_of_a_statement"), "1 Z/I")
        .lines(
            "a: execute a_rather_long_name_of_a_statement(1); select nope => 1 !42703
             a: set geqo = off; execute a_rather_long_name_of_a_statement(1); selec => !42601
             a: select 1/0; deallocate a_rather_long_name_of_a_statement => !22012
             a: select nope => !42703",
        )
        .step(
            'a',
            wire()
                .query("execute a_rather_long_name_of_a_statement(1); selec")
                .query("select nope"),
            "E/42601 Z/I E/42703 Z/I",
        )
        .as_direct();
}

/// Seen to fail: a pooler that prepares anew what the client named last.
#[test]
fn of_several_statements_the_one_that_failed_is_healed() {
    let login = Postgres::shared().role("healed");
    let mut admin = Postgres::shared().admin();
    let made = "create table healing (i int); insert into healing values (1);
                grant select on healing to healed";
    assert_eq!(admin.query(made).error(), None);
    let pooler = Setup::transaction(1).start();
    let mut client = pooler.login(&login);
    prepares(&mut client, "s", "select * from healing");
    prepares(&mut client, "u", "select 'other'");
    let change = |admin: &mut Client, sql: &str| assert_eq!(admin.query(sql).error(), None);

    let pipelines = [
        wire().run("s", &[]).run("u", &[]).sync(),
        wire().run("u", &[]).run("s", &[]).run("u", &[]).sync(),
        wire().query("execute s"),
        wire().query("execute u; execute s; execute u"),
        wire().query("execute u; execute s").extended("select 1", &[]).run("u", &[]).sync(),
    ];
    for (number, pipeline) in pipelines.iter().enumerate() {
        client.send(&wire().run("s", &[]).run("u", &[]).sync());
        assert_eq!(client.until_ready().error(), None);
        change(&mut admin, &format!("alter table healing add n{number} int"));
        client.send(pipeline);
        assert_eq!(client.until_ready().code(), "0A000", "{number}");
        for _ in 1..pipeline.count_of(b"QS") {
            assert_eq!(client.until_ready().error(), None, "{number}");
        }
        client.send(&wire().run("s", &[]).sync());
        let answer = client.until_ready();
        assert_eq!(answer.error(), None, "{number}");
        assert_eq!(answer.rows()[0].len(), number + 2);
    }
    pooler.stop_with(vec![client]);
}

/// Seen to fail: a pooler that leaves names in a text as they are because the transaction in front
/// of it has failed.
#[test]
fn a_text_that_ends_a_failed_transaction_may_speak_of_statements_behind_that() {
    let fails = "begin; select 1/0";
    Play::new("rollback; execute")
        .step('a', wire().parse("s", "select 'mine'").run("s", &[]).sync(), "1 2 T D C Z/I")
        .step('a', wire().query(fails), "C E/22012 Z/E")
        .step('a', wire().query("rollback; execute s"), "C T D C Z/I")
        .step('a', wire().query(fails), "C E/22012 Z/E")
        .step('a', wire().query("rollback; prepare s as select 1"), "C E/42P05 Z/I")
        .step('a', wire().query(fails), "C E/22012 Z/E")
        .step('a', wire().query("rollback").query("execute s"), "C Z/I T D C Z/I")
        .step('a', wire().query("selec").query("rollback; execute s"), "E/42601 Z/I N C T D C Z/I")
        .as_direct_on(&[Stage::One, Stage::Roomy]);
}

/// Seen to fail: a pooler that takes the unnamed statement for gone behind a query that was refused
/// before PostgreSQL read it.
#[test]
fn the_unnamed_statement_outlives_a_query_in_no_encoding() {
    Play::new("invalid query")
        .step('a', wire().parse("", "select 'kept'").sync(), "1 Z/I")
        .step('a', wire().message(b'Q', b"select '\xff'\0"), "E/22021 Z/I")
        .step('a', wire().run("", &[]).sync(), "2 T D C Z/I")
        .as_direct_on(&[Stage::One, Stage::Two, Stage::Roomy]);
}

/// Seen to fail: a pooler that takes away with one name of a text what the client has under another
/// one, and uses behind it.
#[test]
fn a_deallocate_takes_one_of_two_names_of_a_text() {
    let deallocate = |wire: Wire| wire.parse("", "deallocate s").run("", &[]);
    Play::new("two names of a text")
        .step('a', wire().parse("s", "select 1").parse("t", "select 1").sync(), "1 1 Z/I")
        .step('a', deallocate(wire()).run("t", &[]).sync(), "1 2 n C 2 T D C Z/I")
        .step('a', wire().run("s", &[]).sync(), "E/26000 Z/I")
        .step('a', wire().parse("s", "select 1").sync(), "1 Z/I")
        .step('a', deallocate(wire()).sync().run("t", &[]).sync(), "1 2 n C Z/I 2 T D C Z/I")
        .as_direct_on(&[Stage::One, Stage::Two, Stage::Roomy]);
}

/// Seen to fail: a pooler that takes the name in a query for the one that the batch in front of it
/// was about.
#[test]
fn an_error_is_not_about_what_the_query_behind_it_speaks_of() {
    let wrong = || wire().run("b", &[]).parse("b", "select 'other'").sync();
    Play::new("errors about one of two names")
        .step('a', wire().parse("a", "select 1").parse("b", "select 1").sync(), "1 1 Z/I")
        .step('a', wire().parse("s", "select 's'").sync(), "1 Z/I")
        .step(
            'a',
            wrong().query("prepare s as select 1").query("prepare b as select 1"),
            "2 T D C E/42P05 Z/I E/42P05 Z/I E/42P05 Z/I",
        )
        .step('a', wire().query("select 1; prepare b as select 1"), "T D C E/42P05 Z/I")
        .as_direct_on(&[Stage::One, Stage::Roomy]);
}

/// Seen to fail: a pooler that is told that nothing is left, and forgets what its client has
/// prepared since it asked.
#[test]
fn a_name_that_was_taken_while_the_server_was_asked_stays_taken() {
    Play::new("taken meanwhile")
        .lines("a: begin; select 1/0; rollback => BEGIN !22012 /E")
        .step('a', wire().query("prepare s as select 1"), "E/25P02 Z/E")
        .step('a', wire().parse("s", "select 1").sync(), "E/25P02 Z/E")
        .step('a', wire().query("commit"), "C Z/I")
        .step('a', wire().parse("s", "select 's'").sync(), "1 Z/I")
        .step('a', wire().parse("s", "select 2").sync(), "E/42P05 Z/I")
        .as_direct_on(&[Stage::Roomy]);
}
