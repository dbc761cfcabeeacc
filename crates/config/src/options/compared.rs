//! Every keyword beside Odyssey's, for docs/compatibility.md.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Alias, Row, Status, TABLE};

/// What is done better, by keyword. The rest of what works is the same.
const BETTER: &[(&str, &str)] = &[
    ("application_name_add_host", "nothing of the transaction is lost"),
    ("auth_query", "one secret a user; NULL, strangers, VALID UNTIL; pg_catalog alone to search"),
    ("backend_connect_timeout_ms", "covers name resolution, login and authentication too"),
    ("cache_coroutine", "256 at least: here queries of parked clients take a stack, too"),
    ("cancel_max_inflight", "one cancel stands for all that wait; changes at run time"),
    ("cancel_queue_timeout_ms", "a cancel that waits keeps no server; changes at run time"),
    ("client_fwd_error", "the reason is in a DETAIL without it, too"),
    ("client_login_timeout", "covers the wait for a first server"),
    ("client_max_routing", "changes at run time"),
    ("cpu_affinity", "auto knows control groups"),
    ("daemonize", "the parent ends when clients can come, with the daemon's status"),
    ("disable_nolinger", "an orderly end: the error text is not lost to a reset"),
    ("dns_cache_ttl", "one cache with one question for all; failures are not kept"),
    (
        "enable_online_restart",
        "sockets and idle plaintext clients go over; a new program that does not serve changes \
         nothing; an Odyssey may take our place by its own signals",
    ),
    ("group_checker_interval", "asks at the start, pauses after failures"),
    ("group_query", "asked at the start, the last answer stays good"),
    ("include", "directories and patterns; beside the including file"),
    ("keepalive", "values too large for Linux are cut, not refused"),
    ("listen", "comes, goes and changes at run time"),
    ("log_file", "made anew when it was removed; lines that were lost are counted and told"),
    ("log_format", "a json line is always JSON; logfmt and tskv by name; longer messages"),
    ("log_syslog", "RFC 5424, too, and over UDP; a daemon that stands still stops nobody"),
    ("log_to_stdout", "a reader that stands still stops nobody"),
    ("maintain_params", "every setting, of any length, however it was set"),
    ("min_pool_size", "opened all the way; servers are replaced before they end"),
    ("options", "read whole; RESET leads back to them"),
    ("password", "complaints about a hash that cannot prove the method"),
    ("password_passthrough", "never for another user's server; forgotten with the route"),
    ("pid_file", "written when clients can come; left alone if it is another's"),
    ("pool", "statement pooling refuses transactions"),
    ("pool_cancel", "never meets the next owner's query"),
    ("pool_client_idle_timeout", "exact"),
    ("pool_discard", "only when something is left, and nobody waits for it"),
    ("pool_idle_in_transaction_timeout", "exact; a virtual BEGIN counts"),
    ("pool_notice_after_waiting_ms", "a NOTICE with all fields"),
    ("pool_pin_on_listen", "the pin ends with the LISTEN"),
    ("pool_reserve_prepared_statement", "a bounded number a server; errors are the server's own"),
    ("pool_size", "changes at run time without new servers"),
    ("pool_smart_discard", "removes prepared statements by SQL, too"),
    ("pool_timeout", "first come first served; says who has the servers"),
    ("priority", "a refusal is told and not fatal"),
    ("promhttp_server_port", "true numbers, probes and a page; changes at run time"),
    ("quantiles", "in the statistics lines, too"),
    ("role", "a reload changes it for those who are at the console, too"),
    ("sequential_routing", "warns about rules nobody meets; changes at run time"),
    ("server_drop_on_cached_plan_error", "the statement is prepared anew, the server stays"),
    ("server_lifetime", "holds for servers that are never idle, too"),
    ("server_login_retry", "one tries while the others wait"),
    ("server_max_routing", "for each storage, first come first served"),
    ("shared_pool", "first come first served over all users, none starves"),
    ("soft_oom", "bytes are bytes; knows control groups"),
    ("stats_interval", "the true time is divided by"),
    ("tls", "host names are checked; direct TLS; connections are resumed"),
    ("tls_cert_file", "with its chain; another file may come at run time"),
    ("tls_protocols", "is applied"),
    ("unix_socket_dir", "a socket that nobody listens on is replaced"),
    ("unix_socket_mode", "what is not octal is refused; changes at run time"),
    ("virtual_processing", "DEFAULT and RESET work"),
    ("virtual_transaction", "everything behind the BEGIN is as in PostgreSQL"),
    ("watchdog", "several, and all hosts at once"),
    ("watchdog_lag_interval", "is applied; unset = with each visit"),
];

/// One line a keyword, in the order of the alphabet.
pub fn compared() -> String {
    let mut keywords: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let all = TABLE.iter().flat_map(|(_, rows)| rows.iter());
    for row in all.filter(|row| !row.ours) {
        let line = verdict(row);
        let names = row.aliases.iter().filter_map(|alias| match alias {
            Alias::Both(name) => Some(*name),
            Alias::Yaml(_) => None,
        });
        for name in names.chain([row.name]) {
            let lines = keywords.entry(name).or_default();
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    let mut page = String::from("| keyword | beside Odyssey |\n|---|---|\n");
    for (name, lines) in keywords {
        let better = BETTER.iter().find(|(keyword, _)| *keyword == name);
        let said = match better {
            Some((_, how)) => format!("better: {how}"),
            None => lines.join("; "),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{name}` | {said} |");
    }
    page
}

fn verdict(row: &Row) -> &'static str {
    match row.status {
        Status::Built | Status::Harmless | Status::Deprecated => "same",
        Status::Refused { .. } => "a start refuses it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_better_is_a_keyword() {
        for (name, _) in BETTER {
            assert!(super::super::is_keyword(name), "{name}");
        }
        assert!(BETTER.is_sorted(), "as the table");
    }
}
