//! Columns and types on the wire. Views are made for the columns of Odyssey in its order; exporters
//! look others up by name.

use super::*;

/// Odyssey's columns: `name` or `name:type`, where the type is s (text, if nothing is said), l
/// (int8), d (int4), b (bool), f (float4).
const ODYSSEYS: &[(&str, &str)] = &[
    (
        "stats",
        "database total_xact_count:l total_query_count:l total_server_assignment_count:l \
         total_received:l total_sent:l total_xact_time:l total_query_time:l total_wait_time:l \
         avg_xact_count:l avg_query_count:l avg_server_assignment_count:l avg_recv:l avg_sent:l \
         avg_xact_time:l avg_query_time:l avg_wait_time:l total_parse_count:l \
         total_parse_count_reuse:l total_cancel_count:l",
    ),
    (
        "pools",
        "database user cl_active:l cl_waiting:l sv_active:l sv_idle:l sv_used:l sv_tested:l \
         sv_login:l maxwait:l maxwait_us:l pool_mode",
    ),
    // The three of traffic are int4 there, with values of 64 bits.
    (
        "pools_extended",
        "database user cl_active:l cl_waiting:l sv_active:l sv_idle:l sv_used:l sv_tested:l \
         sv_login:l maxwait:l maxwait_us:l pool_mode bytes_received:l bytes_sent:l \
         tcp_conn_count:l",
    ),
    (
        "databases",
        "name host port:l database force_user pool_size:l reserve_pool:l pool_mode \
         max_connections:l current_connections:l paused:l disabled:l",
    ),
    (
        "servers",
        "type user database state addr port:d local_addr local_port:d connect_time request_time \
         wait:d wait_us:d ptr link remote_pid:d tls offline",
    ),
    (
        "clients",
        "type user database state storage_user addr port:d local_addr local_port:d connect_time \
         request_time wait:d wait_us:d id ptr coro:d remote_pid:d tls",
    ),
    ("lists", "list items:d"),
    ("errors", "error_type count:l"),
    ("errors_per_route", "error_type user database count:l"),
    ("version", "version"),
    ("version_extended", "version build_type compiler compiler_version arch"),
    ("listen", "host port:d tls tls_cert_file tls_key_file tls_ca_file tls_protocols"),
    ("storages", "type host port:d tls tls_cert_file tls_key_file tls_ca_file tls_protocols"),
    ("rules", "database user address connection_type obsolete:b"),
    ("server_prep_stmts", "type user database sid name definition refcount"),
    ("global_prepared_statements", "name definition refcount"),
    ("is_paused", "is_paused:b"),
    ("host_utilization", "cpu:f mem:f"),
];

/// What tools look for beside, by name.
const OTHERS: &[(&str, &str)] = &[
    ("config", "key value default changeable"),
    ("databases", "min_pool_size:l max_client_connections:l current_client_connections:l"),
    ("stats", "total_client_parse_count:l total_server_parse_count:l total_bind_count:l"),
    (
        "stats_totals",
        "database server_assignment_count:l xact_count:l query_count:l bytes_received:l \
         bytes_sent:l xact_time:l query_time:l wait_time:l client_parse_count:l \
         server_parse_count:l bind_count:l",
    ),
    ("stats_averages", "database xact_count:l query_count:l bytes_received:l bytes_sent:l"),
    ("totals", "name value:l"),
    (
        "pools",
        "cl_active_cancel_req:l cl_waiting_cancel_req:l sv_active_cancel:l sv_being_canceled:l",
    ),
    ("clients", "application_name link replication"),
    ("servers", "replication"),
    ("users", "name pool_size pool_mode max_user_connections:l current_connections:l"),
    ("mem", "name size:d used:d free:d memtotal:d"),
    ("state", "key value"),
    ("sockets", "type user database state addr port:d ptr link remote_pid:d tls"),
    ("active_sockets", "type user database state addr port:d ptr link remote_pid:d tls"),
    ("dns_hosts", "hostname ttl:l addrs"),
    ("dns_zones", "zonename serial:l count:d"),
    ("waiters", "id user database application_name addr port:d wait_us:l ahead:d waits_for"),
    ("holders", "server remote_pid:d id user held_us:l state last_command pinned"),
    ("pins", "id user database application_name server reason held_us:l"),
    ("coroutines", "id machine:d name age_us:l doing doing_us:l deadline_us:l"),
];

fn expected(list: &str) -> Vec<(String, u32)> {
    let column = |word: &str| {
        let (name, kind) = word.split_once(':').unwrap_or((word, "s"));
        let oid = match kind {
            "l" => 20,
            "d" => 23,
            "b" => 16,
            "f" => 700,
            _ => 25,
        };
        (name.to_owned(), oid)
    };
    list.split_whitespace().map(column).collect()
}

#[test]
fn columns_are_those_that_views_and_tools_were_made_for() {
    let pooler = with_console(Setup::transaction(2).with("quantiles \"0.5,0.99\"")).start();
    let mut client = pooler.client();
    client.query("select 1");
    let mut admin = console(&pooler);
    for (what, list) in ODYSSEYS {
        let answer = admin.query(&format!("show {what}"));
        assert_eq!(answer.error(), None, "{what}");
        let (seen, expected) = (columns(&answer), expected(list));
        assert_eq!(seen[..expected.len()], expected, "{what}");
        let tag = if *what == "host_utilization" { "HOST_UTILIZATION" } else { "SHOW" };
        assert_eq!(answer.commands(), [tag], "{what}");
    }
    for (what, list) in OTHERS {
        let seen = columns(&admin.query(&format!("SHOW {what};")));
        for column in expected(list) {
            assert!(seen.contains(&column), "{what} has no {column:?}: {seen:?}");
        }
    }
    let extended = columns(&admin.query("show pools_extended"));
    let names: Vec<&str> = extended[15..].iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["query_0.5", "transaction_0.5", "query_0.99", "transaction_0.99"]);
    pooler.stop_with(vec![client, admin]);
}

/// Many drivers ask for numbers in PostgreSQL's own format.
#[test]
fn every_row_can_be_read_in_both_formats() {
    let pooler = with_console(Setup::transaction(2)).start();
    let mut client = pooler.client();
    client.query("select 1");
    let mut admin = console(&pooler);
    let all = ODYSSEYS.iter().chain(OTHERS).map(|(what, _)| *what);
    for what in all {
        let sql = format!("show {what}");
        let text = admin.query(&sql);
        let body = [0, 0, 0, 0, 0, 0, 0, 1, 0, 1]; // all columns in binary
        let batch = Wire::new().parse("", &sql).message(b'B', &body).execute("", 0).sync();
        admin.send(&batch);
        let binary = admin.until_ready();
        assert_eq!(binary.error(), None, "{what}");
        for (at, (_, oid)) in columns(&text).iter().enumerate() {
            for message in binary.0.iter().filter(|message| message.tag == b'D') {
                let lengths = lengths(&message.body);
                let fits = match oid {
                    20 => 8,
                    23 | 700 => 4,
                    16 => 1,
                    _ => lengths[at],
                };
                assert!(lengths[at] == fits || lengths[at] == -1, "{what}: column {at}");
            }
        }
    }
    pooler.stop_with(vec![client, admin]);
}

fn lengths(body: &[u8]) -> Vec<i32> {
    let (mut rest, mut lengths) = (&body[2..], Vec::new());
    while !rest.is_empty() {
        let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
        lengths.push(length);
        rest = &rest[4 + length.max(0) as usize..];
    }
    lengths
}
