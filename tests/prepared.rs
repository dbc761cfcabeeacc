//! Prepared statements: what a client prepared is there at its next transaction, on whatever
//! server, under its own name, and nobody else's is. Each play is performed on PostgreSQL itself
//! and through the pooler; the texts of errors are compared too, so a name of ours in one of them
//! is a failure.

mod bounds;
mod drift;
mod huge;
mod long;
mod servers;
mod unshared;
mod words;

use crate::support::{Login, Play, Stage, Wire};

fn wire() -> Wire {
    Wire::new()
}

const INT4: u32 = 23;
const TEXT: u32 = 25;

/// Seen to fail: a pooler that passes Parse through: the next server knows no `s1`.
#[test]
fn a_named_statement_is_there_after_a_switch_of_servers() {
    Play::new("named")
        .step('a', wire().parse("s1", "select $1::int + 1").sync(), "1 Z/I")
        .step('a', wire().run("s1", &["1"]).sync(), "2 T D C Z/I")
        .step('a', wire().describe_statement("s1").sync(), "t T Z/I")
        .step('a', wire().run("s1", &["2"]).sync(), "2 T D C Z/I")
        .step('a', wire().run("s1", &["3"]).run("s1", &["4"]).sync(), "2 T D C 2 T D C Z/I")
        .step('a', wire().run("s1", &["x"]).sync(), "E/22P02 Z/I")
        .step('a', wire().run("s1", &["5"]).sync(), "2 T D C Z/I")
        .lines("a: select 1 => 1")
        .step('a', wire().run("s1", &["6"]).sync(), "2 T D C Z/I")
        .step('a', wire().run("s1", &[]).sync(), "E/08P01 Z/I")
        .step('a', wire().describe_statement("s1").describe_statement("s1").sync(), "t T t T Z/I")
        .lines("a: begin => BEGIN /T")
        .step('a', wire().run("s1", &["7"]).sync(), "2 T D C Z/T")
        .step('a', wire().parse("s2", "select 'of the transaction'").sync(), "1 Z/T")
        .lines("a: rollback => ROLLBACK")
        .step('a', wire().run("s2", &[]).sync(), "2 T D C Z/I")
        .as_direct();
}

/// Two errors in one read. Seen to fail: a pooler that finds its name for a statement in the second
/// error and changes the length of the first: everything behind is nonsense.
#[test]
fn an_error_behind_an_error_is_about_its_own_statement() {
    // So much that the server is ahead of whoever reads.
    let much = || wire().query("select repeat('x', 4000000)");
    let two = |first: Wire| much().raw(&first.0).sync().parse("s", "select 2").sync();
    Play::new("two errors")
        .step('a', wire().parse("s", "select 1").sync(), "1 Z/I")
        .step('a', two(wire().run("", &[])), "T D C Z/I E/26000 Z/I E/42P05 Z/I")
        .step('a', two(wire().extended("selec", &[])), "T D C Z/I E/42601 Z/I E/42P05 Z/I")
        .step('a', two(wire().query("select 1/0")), "T D C Z/I E/22012 Z/I Z/I E/42P05 Z/I")
        .step('a', wire().run("s", &[]).sync(), "2 T D C Z/I")
        .as_direct();
}

/// Seen to fail: a pooler that looks its client's name up when the error comes, by what the client
/// has said since; one that thinks that a batch speaks of what a skipped one spoke of last.
#[test]
fn an_error_names_the_statement_it_is_about_whatever_was_said_behind_it() {
    let parse = |name: &str| wire().parse(name, "select 1");
    Play::new("names of the past")
        .step('a', parse("s").parse("t", "select 1").sync(), "1 1 Z/I")
        .step('a', parse("s").sync().close_statement("s").sync(), "E/42P05 Z/I 3 Z/I")
        .step('a', parse("s").sync(), "1 Z/I")
        .step('a', parse("s").sync().run("t", &["1"]).sync(), "E/42P05 Z/I E/08P01 Z/I")
        .step('a', parse("t").sync().run("s", &[]).sync(), "E/42P05 Z/I 2 T D C Z/I")
        .step('a', wire().run("t", &["1"]).run("s", &[]).sync(), "E/08P01 Z/I")
        .step(
            'a',
            parse("s").run("t", &[]).sync().run("t", &["1"]).sync(),
            "E/42P05 Z/I E/08P01 Z/I",
        )
        .step('a', wire().parse("x", "select 2").sync(), "1 Z/I")
        .step('a', wire().run("t", &["1"]).parse("", "execute x").sync(), "E/08P01 Z/I")
        .as_direct_on(&[Stage::One, Stage::Two, Stage::Roomy]);
}

/// A batch that may take all names away, and fails before it does. Seen to fail: a pooler that
/// forgets a name that the batch would have given anew.
#[test]
fn a_name_that_was_to_be_given_anew_is_kept_when_nothing_came_of_it() {
    let anew = |first: Wire| first.parse("s", "select 2").sync();
    Play::new("anew")
        .step('a', wire().parse("s", "select 1").parse("d", "discard all").sync(), "1 1 Z/I")
        .step('a', anew(wire().run("d", &["1"])), "E/08P01 Z/I")
        .step('a', wire().run("s", &[]).sync(), "2 T D C Z/I")
        .step('a', anew(wire().run("nothing", &[]).extended("deallocate all", &[])), "E/26000 Z/I")
        .step('a', wire().run("s", &[]).sync(), "2 T D C Z/I")
        .step('a', anew(wire().parse("", "discard all")), "1 E/42P05 Z/I")
        .step('a', wire().run("s", &[]).sync(), "2 T D C Z/I")
        .step(
            'a',
            anew(wire().extended("discard all", &[]).parse("", "selec")),
            "1 2 n C E/42601 Z/I",
        )
        .step('a', wire().run("s", &[]).sync(), "E/26000 Z/I")
        .as_direct();
}

/// Seen to fail: a pooler that thinks that whatever decides about settings decides about names.
#[test]
fn a_name_behind_a_reset_of_its_own_batch_is_still_taken() {
    let taken = |first: &str| wire().parse("", first).parse("s", "select 2").sync();
    Play::new("taken")
        .login('a', Login::new("app", "postgres").option("geqo", "off"))
        .step('a', wire().parse("s", "select 1").sync(), "1 Z/I")
        .step('a', taken("reset all"), "1 E/42P05 Z/I")
        .step('a', taken("set geqo to default"), "1 E/42P05 Z/I")
        .step('a', wire().parse("s", "deallocate s").sync(), "E/42P05 Z/I")
        .step('a', wire().run("s", &[]).sync(), "2 T D C Z/I")
        .as_direct();
}

/// Each client has names of its own. Seen to fail: the second Parse of `s` gets 42P05, or the first
/// client gets the second one's answer.
#[test]
fn two_clients_may_give_one_name_to_two_texts() {
    Play::new("one name")
        .step('a', wire().parse("s", "select 'of a', $1::int").sync(), "1 Z/I")
        .step('b', wire().parse("s", "select 'of b', $1::text, 3").sync(), "1 Z/I")
        .step('a', wire().run("s", &["1"]).sync(), "2 T D C Z/I")
        .step('b', wire().run("s", &["x"]).sync(), "2 T D C Z/I")
        .step('c', wire().run("s", &["1"]).sync(), "E/26000 Z/I")
        .step('b', wire().close_statement("s").sync(), "3 Z/I")
        .step('b', wire().run("s", &["x"]).sync(), "E/26000 Z/I")
        .step('a', wire().run("s", &["1"]).sync(), "2 T D C Z/I")
        .step('b', wire().parse("s", "select 'of a', $1::int").sync(), "1 Z/I")
        .step('b', wire().run("s", &["2"]).sync(), "2 T D C Z/I")
        .as_direct();
}

/// A text with other types is another statement. Seen to fail: a map keyed by the text alone.
#[test]
fn types_in_parse_make_another_statement() {
    let sql = "select $1, pg_typeof($1)";
    Play::new("types")
        .step(
            'a',
            wire().parse_typed("s", sql, &[INT4]).describe_statement("s").sync(),
            "1 t T Z/I",
        )
        .step(
            'b',
            wire().parse_typed("s", sql, &[TEXT]).describe_statement("s").sync(),
            "1 t T Z/I",
        )
        .step('a', wire().run("s", &["1"]).sync(), "2 T D C Z/I")
        .step('b', wire().run("s", &["x"]).sync(), "2 T D C Z/I")
        .step('a', wire().run("s", &["x"]).sync(), "E/22P02 Z/I")
        .step('a', wire().parse_typed("u", sql, &[0]).describe_statement("u").sync(), "E/42P08 Z/I")
        .step('a', wire().parse_typed("v", sql, &[4_000_000]).sync(), "E/XX000 Z/I")
        .step('a', wire().parse_typed("v", "select $1 + $2", &[INT4]).sync(), "1 Z/I")
        .step('a', wire().run("v", &["1", "2"]).sync(), "2 T D C Z/I")
        .as_direct();
}

/// The client's names stand in what the client is told. Seen to fail: `odyssey_pstmt_0` in a text.
#[test]
fn errors_name_the_clients_own_statement() {
    let two = "select $1::int + $2::int";
    Play::new("errors")
        .step('a', wire().parse("s1", two).sync(), "1 Z/I")
        .step('a', wire().run("s1", &["1"]).sync(), "E/08P01 Z/I")
        .step('a', wire().parse("s1", "select 1").sync(), "E/42P05 Z/I")
        .step('a', wire().run("s1", &["1", "2"]).sync(), "2 T D C Z/I")
        .step('a', wire().parse("s1", two).sync(), "E/42P05 Z/I")
        .step('a', wire().run("nowhere", &[]).sync(), "E/26000 Z/I")
        .step('a', wire().describe_statement("no where \"'").sync(), "E/26000 Z/I")
        .step('a', wire().describe_portal("nowhere").sync(), "E/34000 Z/I")
        .step('a', wire().execute("nowhere", 0).sync(), "E/34000 Z/I")
        .step('a', wire().parse("odd \"'\\ name", two).sync(), "1 Z/I")
        .step('a', wire().run("odd \"'\\ name", &["1"]).sync(), "E/08P01 Z/I")
        .step('a', wire().parse("odyssey_pstmt_0", "select 'mine'").sync(), "1 Z/I")
        .step('a', wire().run("odyssey_pstmt_0", &[]).sync(), "2 T D C Z/I")
        .step('b', wire().run("odyssey_pstmt_0", &[]).sync(), "E/26000 Z/I")
        .step('b', wire().parse(&"n".repeat(200), "select 'long'").sync(), "1 Z/I")
        .step('b', wire().run(&"n".repeat(200), &[]).sync(), "2 T D C Z/I")
        .as_direct();
}

#[test]
fn close_of_an_unknown_name_is_fine_and_the_name_is_free() {
    Play::new("close")
        .step('a', wire().close_statement("s").sync(), "3 Z/I")
        .step('a', wire().parse("s", "select 1").sync(), "1 Z/I")
        .step('a', wire().close_statement("s").parse("s", "select 2").sync(), "3 1 Z/I")
        .step('a', wire().run("s", &[]).sync(), "2 T D C Z/I")
        .step('a', wire().close_statement("s").run("s", &[]).sync(), "3 E/26000 Z/I")
        .step('a', wire().parse("s", "select 3").run("s", &[]).close_statement("s").sync(), {
            "1 2 T D C 3 Z/I"
        })
        .step('a', wire().run("s", &[]).sync(), "E/26000 Z/I")
        .step(
            'a',
            wire().close_portal("p").close_portal("").close_statement("").sync(),
            "3 3 3 Z/I",
        )
        .lines("a: begin; selec => !42601\n a: begin => BEGIN /T\n a: selec => !42601 /E")
        .step('a', wire().close_statement("s").sync(), "3 Z/E")
        .lines("a: rollback => ROLLBACK")
        .as_direct();
}

/// What is parsed behind an error does not exist afterwards. Seen to fail: a map that is changed
/// when the message passes instead of when its answer comes.
#[test]
fn statements_behind_an_error_do_not_exist() {
    let failing = wire().parse("a1", "select 1").parse("bad", "selec").parse("a2", "select 2");
    let late = wire().parse("b1", "select 1").run("b1", &[]).parse("d", "select 1/0").run("d", &[]);
    let closing = wire().parse("bad", "selec").close_statement("a1");
    let two = wire().parse("bad", "selec").parse("c1", "select 1").sync();
    let two = two.parse("c2", "select 2").sync();
    Play::new("behind an error")
        .step('a', failing.sync(), "1 E/42601 Z/I")
        .step('a', wire().run("a1", &[]).sync(), "2 T D C Z/I")
        .step('a', wire().run("a2", &[]).sync(), "E/26000 Z/I")
        .step('a', wire().parse("a2", "select 3").sync(), "1 Z/I")
        .step('a', wire().run("a2", &[]).sync(), "2 T D C Z/I")
        .step('a', closing.sync(), "E/42601 Z/I")
        .step('a', wire().run("a1", &[]).sync(), "2 T D C Z/I")
        .step('a', late.parse("b2", "select 2").sync(), "1 2 T D C 1 E/22012 Z/I")
        .step('a', wire().run("b1", &[]).sync(), "2 T D C Z/I")
        .step('a', wire().run("b2", &[]).sync(), "E/26000 Z/I")
        .step('a', two, "E/42601 Z/I 1 Z/I")
        .step('a', wire().run("c1", &[]).sync(), "E/26000 Z/I")
        .step('a', wire().run("c2", &[]).sync(), "2 T D C Z/I")
        .as_direct();
}

/// Seen to fail: a name that is taken by a Parse which the server refused.
#[test]
fn a_parse_error_takes_no_name() {
    Play::new("parse error")
        .before("drop table if exists comes_later")
        .step('a', wire().parse("s", "select * from comes_later").sync(), "E/42P01 Z/I")
        .step('a', wire().run("s", &[]).sync(), "E/26000 Z/I")
        .step('a', wire().parse("s", "select * from comes_later").sync(), "E/42P01 Z/I")
        .lines("a: create table comes_later (i int) => CREATE TABLE")
        .step('a', wire().parse("s", "select * from comes_later").sync(), "1 Z/I")
        .step('a', wire().run("s", &[]).sync(), "2 T C Z/I")
        .step('a', wire().parse("", "selec").sync(), "E/42601 Z/I")
        .step('a', wire().run("", &[]).sync(), "E/26000 Z/I")
        .lines("a: drop table comes_later => DROP TABLE")
        .as_direct();
}

/// Nothing is parsed in a failed transaction. Seen to fail: a ParseComplete made up by the pooler.
#[test]
fn in_a_failed_transaction_everything_is_refused() {
    Play::new("failed transaction")
        .step('a', wire().parse("s", "select 1").parse("r", "rollback").sync(), "1 1 Z/I")
        .step('b', wire().parse("t", "select 'elsewhere'").sync(), "1 Z/I")
        .lines("a: begin => BEGIN /T\n a: selec => !42601 /E")
        .step('a', wire().run("s", &[]).sync(), "E/25P02 Z/E")
        .step('a', wire().parse("t", "select 'elsewhere'").sync(), "E/25P02 Z/E")
        .step('a', wire().parse("", "select 1").sync(), "E/25P02 Z/E")
        .step('a', wire().describe_statement("s").sync(), "E/25P02 Z/E")
        .step('a', wire().run("nowhere", &[]).sync(), "E/26000 Z/E")
        .step('a', wire().bind("", "r", &[]).execute("", 0).sync(), "2 C Z/I")
        .step('a', wire().run("t", &[]).sync(), "E/26000 Z/I")
        .step('a', wire().run("s", &[]).sync(), "2 T D C Z/I")
        .as_direct();
}

/// As lib/pq does it: Parse and Describe up to a Sync, then Bind of the unnamed statement in a
/// transaction of its own. Seen to fail: the second half meets another server, and executes what
/// somebody else left there or finds nothing.
#[test]
fn the_unnamed_statement_lives_over_two_syncs() {
    let prepare = |sql: &str| wire().parse("", sql).describe_statement("").sync();
    Play::new("two Syncs")
        .step('a', prepare("select 'of a', $1::int"), "1 t T Z/I")
        .step('b', prepare("select 'of b', $1::text"), "1 t T Z/I")
        .step('a', wire().run("", &["1"]).sync(), "2 T D C Z/I")
        .step('b', wire().run("", &["x"]).sync(), "2 T D C Z/I")
        .step('a', wire().run("", &["2"]).sync(), "2 T D C Z/I")
        .step('a', wire().run("", &[]).sync(), "E/08P01 Z/I")
        .step('a', prepare("select 'next'"), "1 t T Z/I")
        .step('a', wire().run("", &[]).sync(), "2 T D C Z/I")
        .step('a', wire().close_statement("").sync(), "3 Z/I")
        .step('a', wire().run("", &[]).sync(), "E/26000 Z/I")
        .step('b', wire().describe_statement("").sync(), "t T Z/I")
        .as_direct();
}

/// Seen to fail: Bind passed through executes what another client left on that server.
#[test]
fn the_unnamed_statement_of_another_client_is_never_executed() {
    Play::new("somebody's unnamed")
        .step('b', wire().extended("select 'secret of b'", &[]).sync(), "1 2 T D C Z/I")
        .step('a', wire().run("", &[]).sync(), "E/26000 Z/I")
        .step('a', wire().describe_statement("").sync(), "E/26000 Z/I")
        .step('a', wire().extended("select 'of a'", &[]).sync(), "1 2 T D C Z/I")
        .step('b', wire().run("", &[]).sync(), "2 T D C Z/I")
        .step('c', wire().run("", &[]).sync(), "E/26000 Z/I")
        .as_direct();
}

#[test]
fn a_simple_query_drops_the_unnamed_statement() {
    Play::new("dropped")
        .step('a', wire().parse("", "select 1").sync(), "1 Z/I")
        .lines("a: select 2 => 2")
        .step('a', wire().run("", &[]).sync(), "E/26000 Z/I")
        .step('a', wire().parse("", "select 1").sync(), "1 Z/I")
        .lines("a: => ()")
        .step('a', wire().run("", &[]).sync(), "E/26000 Z/I")
        .step('a', wire().parse("", "select 1").sync(), "1 Z/I")
        .lines("a: selec => !42601")
        .step('a', wire().run("", &[]).sync(), "E/26000 Z/I")
        .step('a', wire().parse("", "select 1").sync().query("select 2"), "1 Z/I T D C Z/I")
        .step('a', wire().run("", &[]).sync(), "E/26000 Z/I")
        .step('a', wire().parse("n", "select 'named'").sync(), "1 Z/I")
        .lines("a: select 2 => 2")
        .step('a', wire().run("n", &[]).sync(), "2 T D C Z/I")
        .as_direct();
}

#[test]
fn portals_live_as_long_as_their_transaction() {
    let rows = "select generate_series(1, 5)";
    let open = wire().parse("s", rows).bind("p", "s", &[]).execute("p", 2);
    Play::new("portals")
        .step('a', open.execute("p", 2).execute("p", 2).sync(), "1 2 D s D s D C Z/I")
        .step('a', wire().execute("p", 0).sync(), "E/34000 Z/I")
        .step('a', wire().bind("p", "s", &[]).bind("p", "s", &[]).sync(), "2 E/42P03 Z/I")
        .step('a', wire().bind("p", "s", &[]).close_portal("p").execute("p", 0).sync(), {
            "2 3 E/34000 Z/I"
        })
        .lines("a: begin => BEGIN /T")
        .step('a', wire().bind("p", "s", &[]).execute("p", 3).sync(), "2 D s Z/T")
        .step('a', wire().close_statement("s").sync(), "3 Z/T")
        .step('a', wire().describe_portal("p").execute("p", 0).sync(), "T D C Z/T")
        .lines("a: commit => COMMIT")
        .step('a', wire().run("s", &[]).sync(), "E/26000 Z/I")
        .as_direct();
}

/// A Flush without a Sync keeps the server, and what was parsed before it is there after it.
#[test]
fn flush_without_sync() {
    let parse = wire().parse("s", "select $1::int").describe_statement("s").flush();
    Play::new("flush")
        .flushed('a', parse, b'T', "1 t T")
        .flushed('a', wire().run("s", &["1"]).flush(), b'C', "2 T D C")
        .flushed('a', wire().parse("t", "select 'second'").flush(), b'1', "1")
        .step('a', wire().run("t", &[]).sync(), "2 T D C Z/I")
        .step('a', wire().run("s", &["2"]).sync(), "2 T D C Z/I")
        .flushed('a', wire().run("nowhere", &[]).flush(), b'E', "E/26000")
        .step('a', wire().parse("u", "select 'skipped'").flush().sync(), "Z/I")
        .step('a', wire().run("u", &[]).sync(), "E/26000 Z/I")
        .flushed('a', wire().parse("t", "select 1").flush(), b'E', "E/42P05")
        .step('a', wire().sync(), "Z/I")
        .flushed('a', wire().close_statement("t").flush(), b'3', "3")
        .step('a', wire().run("t", &[]).sync(), "E/26000 Z/I")
        .as_direct();
}

/// Batches that come in one go are executed one by one, perhaps on different servers.
#[test]
fn pipelined_batches_prepare_and_execute() {
    let prepare = wire().parse("s", "select $1::int").sync().0;
    let run = |value: &str| wire().run("s", &[value]).sync().0;
    let all = wire().raw(&prepare).raw(&run("1")).raw(&run("2")).raw(&prepare).raw(&run("3"));
    let close = wire().close_statement("s").sync().raw(&run("4")).raw(&prepare).raw(&run("5"));
    let mixed = wire().raw(&run("6")).query("select 7").raw(&run("8")).query("selec");
    let mixed = mixed.raw(&run("x")).raw(&run("9"));
    let unnamed = wire().extended("select 'one'", &[]).sync().run("", &[]).sync();
    Play::new("batches")
        .step('a', all, "1 Z/I 2 T D C Z/I 2 T D C Z/I E/42P05 Z/I 2 T D C Z/I")
        .step('a', close, "3 Z/I E/26000 Z/I 1 Z/I 2 T D C Z/I")
        .step('a', mixed, "2 T D C Z/I T D C Z/I 2 T D C Z/I E/42601 Z/I E/22P02 Z/I 2 T D C Z/I")
        .step('a', unnamed.query("select 2").run("", &[]).sync(), {
            "1 2 T D C Z/I 2 T D C Z/I T D C Z/I E/26000 Z/I"
        })
        .as_direct();
}

/// Session pooling and `pool_reserve_prepared_statement no` inside one transaction: names pass
/// through.
#[test]
fn the_same_in_session_pooling() {
    let discard = wire().extended("discard all", &[]).sync(); // which keeps the unnamed statement
    Play::new("session")
        .setup(|_| crate::support::Setup::session(5))
        .step('a', wire().parse("s", "select $1::int").sync(), "1 Z/I")
        .step('b', wire().run("s", &["1"]).sync(), "E/26000 Z/I")
        .step('a', wire().run("s", &["1"]).sync(), "2 T D C Z/I")
        .step('a', wire().run("s", &[]).sync(), "E/08P01 Z/I")
        .step('a', wire().parse("s", "select 1").sync(), "E/42P05 Z/I")
        .lines("a: execute s(5) => 5\n a: deallocate s => DEALLOCATE\n a: deallocate s => !26000")
        .lines("a: prepare q as select 7 => PREPARE\n a: execute q => 7")
        .step('a', wire().run("q", &[]).sync(), "2 T D C Z/I")
        .step('a', discard.run("", &[]).sync(), "1 2 n C Z/I 2 n C Z/I")
        .as_direct_on(&[Stage::Roomy]);
}
