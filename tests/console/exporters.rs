//! What monitoring asks, word for word, and what it needs to find in the answers. Any command that
//! fails, any label twice, and it reports that the pooler is down.

use super::*;
use std::collections::HashSet;

/// prometheus-community/pgbouncer_exporter: its commands, its labels and its numbers.
const PGBOUNCER: &[(&str, &str, &str)] = &[
    ("SHOW STATS", "", ""),
    ("SHOW VERSION;", "version", ""),
    ("SHOW LISTS;", "list", "items"),
    ("SHOW CONFIG;", "key", ""),
    ("SHOW CLIENTS;", "", ""),
    (
        "SHOW databases;",
        "name host port database force_user pool_mode",
        "pool_size reserve_pool max_connections current_connections paused disabled",
    ),
    (
        "SHOW stats_totals;",
        "database",
        "query_count query_time bytes_received bytes_sent wait_time xact_count xact_time \
         client_parse_count server_parse_count bind_count server_assignment_count",
    ),
    (
        "SHOW pools;",
        "database user",
        "cl_active cl_active_cancel_req cl_waiting cl_waiting_cancel_req sv_active \
         sv_active_cancel sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait",
    ),
];

/// Odyssey's own, likewise.
const ODYSSEY: &[(&str, &str, &str)] = &[
    ("show version_extended;", "version build_type compiler compiler_version arch", ""),
    ("show lists;", "list", "items"),
    ("show is_paused;", "is_paused", ""),
    ("show errors;", "error_type", "count"),
    (
        "show stats;",
        "database",
        "avg_xact_count avg_query_count avg_recv avg_sent avg_xact_time avg_query_time \
         avg_wait_time",
    ),
    ("show databases;", "name database force_user", "pool_size"),
    ("show pools_extended;", "database user", ""),
];

#[test]
fn exporters_find_what_they_look_for() {
    // Two users under one rule, and two rules with one user at the server: rows that could collide.
    let own = r#"authentication "none" storage "pg" pool "transaction" storage_user "app""#;
    let setup = Setup::transaction(2).rule("postgres", "alias", own);
    let pooler = with_console(setup.with("quantiles \"0.5\"")).start();
    let users = ["app", "postgres", "alias"].map(|user| Login::new(user, "postgres"));
    let mut clients: Vec<Client> = users.iter().map(|login| pooler.login(login)).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.scalar("select 1"), "1"));
    let mut admin = console(&pooler);
    for (command, labels, numbers) in PGBOUNCER.iter().chain(ODYSSEY) {
        let rows = table(&mut admin, command);
        assert!(!rows.is_empty(), "{command}");
        let mut seen = HashSet::new();
        for row in &rows {
            let label: Vec<&str> = labels.split_whitespace().map(|name| value(row, name)).collect();
            assert!(
                labels.is_empty() || seen.insert(label.join("|")),
                "{command}: {label:?} twice"
            );
            numbers.split_whitespace().for_each(|name| _ = number(row, name));
        }
    }
    let config = table(&mut admin, "SHOW CONFIG;");
    for key in ["max_client_conn", "max_user_connections"] {
        let row = config.iter().find(|row| value(row, "key") == key).expect("it is looked up");
        number(row, "value");
    }
    // Of which kind lib/pq takes a column to be decides what becomes of it.
    let lists = admin.query("show lists");
    assert_eq!(columns(&lists), [("list".to_owned(), 25), ("items".to_owned(), 23)]);
    clients.push(admin);
    pooler.stop_with(clients);
}
