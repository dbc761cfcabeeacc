//! Statements whose texts speak of statements: EXECUTE, DEALLOCATE and PREPARE mean what their
//! client calls so when they are executed, not when they are parsed.

use super::wire;
use crate::support::Play;

/// Seen to fail: a pooler that looks a name up when the unnamed statement is parsed, and no more:
/// 26000 for what has come to be since, and what was closed is executed.
#[test]
fn an_unnamed_statement_speaks_of_what_its_client_calls_so_when_it_runs() {
    let s = |text: &str| wire().close_statement("s").parse("s", text).sync();
    Play::new("words")
        .step('a', wire().parse("", "execute s(1)").sync(), "1 Z/I")
        .step('a', wire().run("", &[]).sync(), "2 n E/26000 Z/I")
        .step('a', s("select $1::int, 'one'"), "3 1 Z/I")
        .step('a', wire().run("", &[]).sync(), "2 T D C Z/I")
        .step('a', wire().run("", &[]).run("s", &["2"]).sync(), "2 T D C 2 T D C Z/I")
        .step('a', s("select $1::text || 'two'"), "3 1 Z/I")
        .step('a', wire().run("", &[]).sync(), "2 T D C Z/I")
        .step('a', wire().close_statement("s").sync(), "3 Z/I")
        .step('a', wire().run("", &[]).sync(), "2 n E/26000 Z/I")
        .step('a', wire().parse("s", "select $1").run("", &[]).sync(), "1 2 T D C Z/I")
        .step('a', wire().parse("", "deallocate s").sync(), "1 Z/I")
        .step('a', s("select 3"), "3 1 Z/I")
        .step('a', wire().run("", &[]).run("s", &[]).sync(), "2 n C E/26000 Z/I")
        .step('a', wire().parse("", "prepare s as select 4").sync(), "1 Z/I")
        .step('a', wire().parse("s", "select 5").run("", &[]).sync(), "1 2 n E/42P05 Z/I")
        .step('a', wire().run("s", &[]).sync(), "2 T D C Z/I")
        .as_direct();
}

/// Seen to fail: a pooler that takes what may be a statement for one, and changes what a string
/// says: the client reads `odyssey_pstmt_0` in its own data.
#[test]
fn what_a_string_says_stays_as_it_is() {
    let conforming = r"select '\', '; execute s; --'";
    let escaped = r"select 'it\'; execute s; --'";
    let named = |text: &str| wire().close_statement("n").parse("n", text).run("n", &[]).sync();
    let set = |how: &str| wire().query(&format!("set standard_conforming_strings = {how}"));
    Play::new("strings")
        .step('a', wire().parse("s", "select 1").sync(), "1 Z/I")
        .step('a', wire().query(conforming), "T D C Z/I")
        .step('a', wire().extended(conforming, &[]).sync(), "1 2 T D C Z/I")
        .step('a', named(conforming), "3 1 2 T D C Z/I")
        .step('a', set("off").query(escaped), "C Z/I N T D C Z/I")
        .step('a', wire().query(escaped), "N T D C Z/I")
        .step('a', wire().extended(escaped, &[]).sync(), "N 1 2 T D C Z/I")
        .step('a', named(escaped), "3 N 1 2 T D C Z/I")
        .step(
            'a',
            wire().query(r"select E'\'; execute s; --', 'x\y'; execute s"),
            "N T D C T D C Z/I",
        )
        .step('a', set("on").query(conforming), "C Z/I T D C Z/I")
        .step('a', wire().query(r"select '\'; execute s; --'"), "T D C T D C Z/I")
        .as_direct();
}

/// A text that is not in its client's encoding is refused before it drops the unnamed statement.
/// Seen to fail: a pooler that asks what the server reports, which has not got the client's
/// encoding yet.
#[test]
fn a_text_in_its_clients_own_encoding_drops_the_unnamed_statement() {
    let foreign = || wire().message(b'Q', b"select '\xff\xfe'\0");
    Play::new("encodings")
        .step('a', wire().parse("", "select 'kept'").sync(), "1 Z/I")
        .step('a', foreign(), "E/22021 Z/I")
        .step('a', wire().run("", &[]).sync(), "2 T D C Z/I")
        .lines("a: set client_encoding = latin1 => SET")
        .step('a', wire().parse("", "select 'dropped'").sync(), "1 Z/I")
        .step('a', foreign(), "T D C Z/I")
        .step('a', wire().run("", &[]).sync(), "E/26000 Z/I")
        .as_direct();
}

/// Seen to fail: a pooler that tells the place in a query by how the unnamed statement behind it
/// was changed.
#[test]
fn an_error_in_front_of_a_renamed_statement_says_where_it_is() {
    let failing = wire().parse("s", "begin").sync();
    let unnamed = wire().parse("", "execute s(1234567890)").sync();
    let query = "begin; prepare z as select nope";
    Play::new("places_in_front")
        .step('a', wire().parse("s", "select $1::int").sync(), "1 Z/I")
        .step(
            'a',
            wire().raw(&failing.0).query(query).raw(&unnamed.0),
            "E/42P05 Z/I C E/42703 Z/E E/25P02 Z/E",
        )
        .lines("a: rollback => ROLLBACK")
        .as_direct();
}
