//! Texts that are too long to be looked at as a whole: their beginning is, and names of statements
//! in it mean what they mean elsewhere.

use super::wire;
use crate::support::{Client, Login, Play, Pooler, Setup, Stage, Wire};

/// More than is read of a query, and more than is read of a statement.
const LONG: usize = 80_000;
const LONGER: usize = 1_200_000;

/// A pooler with one server, on which the other client of two has prepared a statement; and what
/// the server calls it.
fn with_statement_of_another() -> (Pooler, [Client; 2], String) {
    let pooler = Setup::transaction(1).start();
    let (mut client, mut other) = (pooler.client(), pooler.client());
    other.send(&wire().parse("s", "select 'of another'").sync());
    assert_eq!(other.until_ready().error(), None);
    let name = client.scalar("select name from pg_prepared_statements where statement like '%of%'");
    assert!(name.starts_with("odyssey_pstmt_"), "{name}");
    (pooler, [client, other], name)
}

/// By each way there is to send so long a text.
fn ways(text: &str) -> [(&'static str, Wire); 3] {
    let named = wire().parse("mine", text).run("mine", &[]);
    [
        ("a query", wire().query(text)),
        ("the unnamed statement", wire().extended(text, &[]).sync()),
        ("a named statement", named.sync()),
    ]
}

/// Seen to fail: a pooler that lets all pass that is too long to be read. The client was shown what
/// the other one had prepared, and could take it away.
#[test]
fn a_long_text_runs_no_statement_of_another_client() {
    let (pooler, [mut client, mut other], name) = with_statement_of_another();
    for verb in ["execute", "/* first */ EXPLAIN EXECUTE", "deallocate", "prepare x as execute"] {
        let text = format!("{verb} {name} /* {} */", "x".repeat(LONGER));
        for (way, batch) in ways(&text) {
            client.send(&batch);
            let error = client.until_ready().error();
            let error = error.unwrap_or_else(|| panic!("{verb} by {way}: nothing is refused"));
            let expected = if verb.contains(" as ") { "42601" } else { "26000" };
            assert_eq!(error.code, expected, "{verb} by {way}: {error:?}");
            if expected == "26000" {
                let own = format!("prepared statement \"{name}\" does not exist");
                assert_eq!(error.message, own, "{verb} by {way}");
            }
            client.send(&wire().close_statement("mine").sync());
            assert_eq!(client.until_ready().shape(), "3 Z/I");
        }
    }
    other.send(&wire().run("s", &[]).sync());
    assert_eq!(other.until_ready().column(), ["of another"]);
    pooler.stop_with(vec![client, other]);
}

/// Seen to fail: such a text spoke of what the server calls so, and the client's own statement did
/// not exist. Places in errors are those of the client's text.
#[test]
fn a_long_text_speaks_of_statements_as_a_short_one_does() {
    let value = "v".repeat(LONG);
    let execute = format!("execute s('{value}')");
    let late = format!("execute s('{value}'); select nonsense");
    let unnamed = format!("execute s('{}')", "v".repeat(LONGER));
    Play::new("long texts")
        .login('a', Login::new("app", "postgres"))
        .step('a', wire().parse("s", "select length($1)").sync(), "1 Z/I")
        .step('a', wire().query(&execute), "T D C Z/I")
        .step('a', wire().query(&late), "T D C E/42703 Z/I")
        .step('a', wire().extended(&unnamed, &[]).sync(), "1 2 T D C Z/I")
        .step('a', wire().query(&format!("deallocate s -- {value}")), "C Z/I")
        .step('a', wire().query(&execute), "E/26000 Z/I")
        .step('a', wire().run("s", &["x"]).sync(), "E/26000 Z/I")
        .as_direct_on(&[Stage::One, Stage::Roomy]);
}
