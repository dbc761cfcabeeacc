//! The unnamed statement where nothing is shared: no client runs what another one has left there.

use super::wire;
use crate::support::{Client, Setup};

const NOT_SHARED: &str = "pool_reserve_prepared_statement no";

/// What the client reads who binds its unnamed statement; the rows, or the error's code.
fn bound(client: &mut Client) -> String {
    client.send(&wire().run("", &[]).sync());
    let answer = client.until_ready();
    answer.error().map_or_else(|| answer.column().join(","), |_| answer.code())
}

fn parse(client: &mut Client, text: &str) {
    client.send(&wire().parse("", text).sync());
    assert_eq!(client.until_ready().shape(), "1 Z/I");
}

/// Seen to fail: a pooler that lets a Bind pass as it comes. The first client got 'two', which the
/// other one had prepared on the server that both had in turn.
#[test]
fn the_unnamed_statement_that_is_bound_in_a_later_transaction_is_the_clients_own() {
    let pooler = Setup::transaction(1).with(NOT_SHARED).start();
    let [mut one, mut two, mut none] = [(); 3].map(|()| pooler.client());
    parse(&mut one, "select 'one'");
    parse(&mut two, "select 'two'");
    assert_eq!(bound(&mut none), "26000", "it has prepared nothing");
    assert_eq!(bound(&mut one), "one");
    assert_eq!(bound(&mut two), "two");
    one.send(&wire().describe_statement("").sync());
    assert_eq!(one.until_ready().error(), None);
    assert_eq!(bound(&mut two), "two");
    one.send(&wire().close_statement("").sync());
    assert_eq!(one.until_ready().shape(), "3 Z/I");
    assert_eq!((bound(&mut one), bound(&mut two)), ("26000".into(), "two".into()));
    assert_eq!(two.scalar("select 'a query drops it'"), "a query drops it");
    assert_eq!(bound(&mut two), "26000");
    none.send(&wire().describe_statement("").sync());
    assert_eq!(none.until_ready().code(), "26000");
    // PostgreSQL drops it before it looks at the new one.
    parse(&mut one, "select 'three'");
    one.send(&wire().extended("selec", &[]).sync().run("", &[]).sync());
    let codes = [one.until_ready(), one.until_ready()].map(|answer| answer.code());
    assert_eq!(codes, ["42601", "26000"]);
    pooler.stop_with(vec![one, two, none]);
}

/// A server of a session pool has another client when the first one has left.
#[test]
fn what_a_client_that_left_had_prepared_is_not_run_by_the_next_one() {
    let pooler = Setup::session(1).with("pool_discard no").start();
    let mut one = pooler.client();
    parse(&mut one, "select 'one'");
    assert_eq!(bound(&mut one), "one");
    one.leave();
    let mut two = pooler.client();
    assert_eq!(bound(&mut two), "26000");
    parse(&mut two, "select 'two'");
    assert_eq!((bound(&mut two), bound(&mut two)), ("two".into(), "two".into()));
    pooler.stop_with(vec![two]);
}
