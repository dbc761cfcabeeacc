//! What the console tells is true: a known load, and the same numbers in every table.

use super::*;
use crate::support::{PATIENCE, until};
use std::time::Duration;

/// Bytes of the messages of an answer.
fn bytes(answer: &Answer) -> u64 {
    answer.0.iter().map(|message| 5 + message.body.len() as u64).sum()
}

fn row_of<'a>(
    rows: &'a [Vec<(String, String)>],
    column: &str,
    name: &str,
) -> &'a Vec<(String, String)> {
    let found = rows.iter().find(|row| value(row, column) == name);
    found.unwrap_or_else(|| panic!("no {column} {name} in {rows:?}"))
}

#[test]
fn totals_are_those_of_the_load() {
    let pooler = with_console(Setup::transaction(1)).start();
    let (mut one, mut two) = (pooler.client(), pooler.client());
    let (mut sent, mut received) = (0, 0);
    for n in 0..20 {
        let sql = format!("select {n}");
        sent += 5 + sql.len() as u64 + 1;
        received += bytes(&if n % 2 == 0 { &mut one } else { &mut two }.query(&sql));
    }
    let batch = Wire::new().extended("select 'extended'", &[]).sync();
    for _ in 0..5 {
        sent += batch.0.len() as u64;
        one.send(&batch);
        received += bytes(&one.until_ready());
    }
    let mut admin = console(&pooler);
    // The pooler counts what it has sent when it has; the client may be faster.
    let stats = until("all that was sent to be counted", PATIENCE, || {
        let stats = table(&mut admin, "show stats");
        let seen = number(row_of(&stats, "database", "postgres"), "total_sent");
        (seen == received).then_some(stats)
    });
    let row = row_of(&stats, "database", "postgres");
    let expected = [
        ("total_query_count", 25),
        ("total_xact_count", 25),
        ("total_received", sent),
        ("total_sent", received),
        // The first login asked a server what it reports.
        ("total_server_assignment_count", 26),
        ("total_client_parse_count", 5),
        ("total_parse_count", 5),
        ("total_bind_count", 5),
        ("total_client_login_count", 2),
        ("total_wait_time", 0),
        ("total_cancel_count", 0),
    ];
    for (name, count) in expected {
        assert_eq!(number(row, name), count, "{name}");
    }
    let totals = table(&mut admin, "show stats_totals");
    let totals = row_of(&totals, "database", "postgres");
    let extended = table(&mut admin, "show pools_extended");
    let extended = row_of(&extended, "database", "postgres");
    let all = table(&mut admin, "show totals");
    let total = |name: &str| number(row_of(&all, "name", &format!("total_{name}")), "value");
    for (name, count) in [("query_count", 25), ("bytes_received", sent), ("bytes_sent", received)] {
        assert_eq!((number(totals, name), total(name)), (count, count), "{name}");
    }
    let traffic = ["bytes_received", "bytes_sent", "tcp_conn_count"].map(|it| number(extended, it));
    assert_eq!(traffic, [sent, received, 2]);
    // Who goes takes nothing along, nor does a route of which nothing is left.
    let before = row.clone();
    one.leave();
    two.leave();
    admin.query("reconnect");
    until("the pool to be empty", PATIENCE, || {
        let servers = table(&mut admin, "show servers");
        servers.is_empty().then_some(())
    });
    let after = table(&mut admin, "show stats");
    let after = row_of(&after, "database", "postgres");
    for name in ["total_query_count", "total_sent", "total_client_login_count"] {
        assert_eq!(number(after, name), number(&before, name), "{name}");
    }
    let goodbyes = 2 * 5;
    assert_eq!(number(after, "total_received"), number(&before, "total_received") + goodbyes);
    admin.leave();
    pooler.stop();
}

#[test]
fn who_waits_and_who_holds_is_seen_from_all_sides() {
    let pooler = with_console(Setup::transaction(1)).start();
    let mut holder = pooler.login(&Login::new("app", "postgres").option("application_name", "H"));
    let pid = holder.scalar("select pg_backend_pid()");
    holder.query("begin; select 1");
    let mut waiters: Vec<Client> = (0..3).map(|_| pooler.client()).collect();
    let mut admin = console(&pooler);
    for (at, waiter) in waiters.iter_mut().enumerate() {
        waiter.send(&Wire::new().query("select 2"));
        until("it to wait", PATIENCE, || {
            (table(&mut admin, "show waiters").len() == at + 1).then_some(())
        });
    }
    let waiting = table(&mut admin, "show waiters");
    let ahead: Vec<u64> = waiting.iter().map(|row| number(row, "ahead")).collect();
    assert_eq!(ahead, [0, 1, 2]);
    assert_eq!(value(&waiting[0], "waits_for"), "a server: 1 of 1 are in use");
    let holders = table(&mut admin, "show holders");
    assert_eq!(holders.len(), 1);
    let held = &holders[0];
    for (name, expected) in [
        ("remote_pid", pid.as_str()),
        ("application_name", "H"),
        ("state", "idle in transaction"),
        ("last_command", "SELECT 1"),
        ("pinned", "∅"),
    ] {
        assert_eq!(value(held, name), expected, "{name}");
    }
    let pools = table(&mut admin, "show pools");
    let pool = row_of(&pools, "database", "postgres");
    let counts = ["cl_active", "cl_waiting", "cl_idle", "sv_active", "sv_idle"];
    assert_eq!(counts.map(|name| number(pool, name)), [1, 3, 0, 1, 0]);
    let clients = table(&mut admin, "show clients");
    let in_state = |state| clients.iter().filter(|row| value(row, "state") == state).count();
    assert_eq!(["active", "queue", "pending"].map(in_state), [1, 3, 1], "{clients:?}");
    let active = row_of(&clients, "state", "active");
    assert_eq!(value(active, "link"), value(held, "server"));
    assert_eq!(value(active, "id"), value(held, "id"));
    let servers = table(&mut admin, "show servers");
    assert_eq!(value(&servers[0], "link"), value(held, "id"));
    assert_eq!(value(&servers[0], "remote_pid"), pid);
    assert_eq!(
        number(row_of(&table(&mut admin, "show lists"), "list", "used_clients"), "items"),
        5
    );
    crate::support::let_pass(Duration::from_millis(30));
    holder.query("commit");
    waiters.iter_mut().for_each(|waiter| assert_eq!(waiter.until_ready().column(), ["2"]));
    let stats = table(&mut admin, "show stats");
    let waited = number(row_of(&stats, "database", "postgres"), "total_wait_time");
    assert!(waited >= 90_000, "three waited for 30 ms and more: {waited} µs");
    waiters.extend([holder, admin]);
    pooler.stop_with(waiters);
}

#[test]
fn errors_are_counted_by_odysseys_names() {
    let rule = r#"authentication "none" storage "pg" pool "transaction" pool_size 1 client_max 1"#;
    let setup = Setup::new().rule("postgres", "app", rule).with("pool_timeout 50");
    let pooler = with_console(setup).start();
    let mut admin = console(&pooler);
    let mut count =
        |name: &str| number(row_of(&table(&mut admin, "show errors"), "error_type", name), "count");
    let before = count("OD_ECLIENT_READ"); // connections that tried whether the pooler listens
    for _ in 0..3 {
        pooler.refused(&Login::new("app", "elsewhere"));
    }
    let client = pooler.client();
    pooler.refused(&Login::new("app", "postgres"));
    client.vanish_by_reset();
    until("the client to be missed", PATIENCE, || {
        (count("OD_ECLIENT_READ") == before + 1).then_some(())
    });
    assert_eq!(count("OD_ROUTER_ERROR_NOT_FOUND"), 3);
    assert_eq!(count("OD_ROUTER_ERROR_LIMIT_ROUTE"), 1);
    let per_route = table(&mut admin, "show errors_per_route");
    let of = |name: &str| number(row_of(&per_route, "error_type", name), "count");
    assert_eq!((of("OD_ROUTER_ERROR_LIMIT_ROUTE"), of("OD_ECLIENT_READ")), (1, 1));
    admin.leave();
    pooler.stop();
}

#[test]
fn pins_and_prepared_statements_are_told() {
    let pooler = with_console(Setup::transaction(2).with("pool_reserve_prepared_statement yes"));
    let pooler = pooler.start();
    let mut admin = console(&pooler);
    let mut client = pooler.client();
    client.query("select pg_advisory_lock(7)");
    let pins = until("the pin to be seen", PATIENCE, || {
        Some(table(&mut admin, "show pins")).filter(|pins| pins.len() == 1)
    });
    assert_eq!(value(&pins[0], "reason"), "advisory lock");
    let parse = Wire::new().parse("mine", "select 'told'").run("mine", &[]).sync();
    client.send(&parse);
    assert_eq!(client.until_ready().column(), ["told"]);
    for command in ["show server_prep_stmts", "show global_prepared_statements"] {
        let rows = table(&mut admin, command);
        assert_eq!(rows.len(), 1, "{command}: {rows:?}");
        assert_eq!(value(&rows[0], "definition"), "select 'told'");
        assert_eq!(value(&rows[0], "refcount"), "1");
        assert!(value(&rows[0], "name").starts_with("odyssey_pstmt_"));
    }
    pooler.stop_with(vec![client, admin]);
}

/// Who does not read what he asked for must not keep others waiting, nor fill our memory.
#[test]
fn a_slow_reader_and_a_thousand_clients_hurt_nobody() {
    const CLIENTS: usize = 1000;
    let pooler = with_console(Setup::transaction(2)).start();
    let many: Vec<Client> = (0..CLIENTS).map(|_| pooler.client()).collect();
    let mut slow = console(&pooler);
    let before = pooler.memory_kib();
    slow.send(&Wire::new().query(&"show clients;".repeat(200)));
    let mut admin = console(&pooler);
    assert_eq!(table(&mut admin, "show clients").len(), CLIENTS + 2);
    let mut client = pooler.client();
    for n in 0..20 {
        assert_eq!(client.scalar(&format!("select {n}")), n.to_string());
    }
    let grown = pooler.memory_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB for what nobody reads");
    drop(slow);
    drop(many);
    pooler.stop_with(vec![client, admin]);
}
