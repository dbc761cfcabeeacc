//! How many files a configuration may have open at once, and whether the process may have that
//! many. An operator who learns it at start need not learn it from clients.

use std::sync::Arc;

use config::{Config, SharedPool};

/// For the log, listeners, machines and the library: far more than they need.
const OTHERS: usize = 64;

/// Of each machine: its epoll descriptors, its bell, its timer and a pipe or two.
const PER_MACHINE: usize = 8;

/// Below this many clients at once a limit is worth a word even if the file sets no `client_max`:
/// it is what a login shell or an old unit gives, and nobody has meant it for a pooler.
const CLIENTS_FEW: usize = 4096;

/// What there is to say about a limit of `allowed` open files; None if it will do.
pub(crate) fn complaint(config: &Config, allowed: u64) -> Option<String> {
    let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
    let (servers, bounded) = servers(config);
    let global = &config.global;
    let others = OTHERS + PER_MACHINE * global.workers + config.listens.len();
    let left = allowed.saturating_sub(servers).saturating_sub(others);
    let text = format!("the limit of open files is {allowed}");
    match global.client_max {
        Some(clients) if clients > left => {
            let needed = clients + servers + others;
            let more = if bounded { "" } else { ", and some pools have no limit" };
            Some(format!(
                "{text}, but {clients} clients (client_max), {servers} servers (pool_size) and \
                 {others} other files may need {needed}{more}: raise it (LimitNOFILE of systemd, \
                 ulimit -n)"
            ))
        }
        None if left < CLIENTS_FEW => Some(format!(
            "{text}: enough for about {left} clients beside {servers} servers, and client_max sets \
             no limit; more will have to wait in the kernel's queue"
        )),
        _ => None,
    }
}

/// Servers that may be open at once if each rule has one route, and whether that is all: a default
/// rule has many routes. A watchdog has one at each host, which is nothing beside the others.
fn servers(config: &Config) -> (usize, bool) {
    let (mut total, mut bounded) = (0, true);
    let mut shared: Vec<&Arc<SharedPool>> = Vec::new();
    for rule in config.rules.iter().filter(|rule| rule.watchdog.is_none()) {
        let size = match &rule.shared_pool {
            Some(pool) if shared.iter().any(|other| Arc::ptr_eq(other, pool)) => continue,
            Some(pool) => {
                shared.push(pool);
                pool.pool_size
            }
            None => rule.pool_size,
        };
        bounded &= size.is_some();
        total += size.unwrap_or(0);
    }
    (total, bounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &str, allowed: u64, expected: Option<&str>) {
        let rule = |user: &str, pool: &str| {
            format!(
                "database \"d\" {{ user \"{user}\" {{ authentication \"none\" storage \"s\" pool \
                 \"session\" {pool} }} }}\n"
            )
        };
        let text = format!(
            "log_format \"%m\" listen {{ host \"*\" port 1 }} storage \"s\" {{ type \"remote\" \
             host \"h\" port 2 }} shared_pool \"p\" {{ pool_size 30 }}\n{}{}{}{head}\n",
            rule("a", "pool_size 100"),
            rule("b", "shared_pool \"p\""),
            rule("c", "shared_pool \"p\""),
        );
        let config = config::parse("f", &text, config::Format::Conf).unwrap().config;
        let said = complaint(&config, allowed);
        match expected {
            Some(part) => assert!(said.as_ref().is_some_and(|it| it.contains(part)), "{said:?}"),
            None => assert_eq!(said, None),
        }
    }

    #[test]
    fn clients_servers_and_the_rest_are_counted() {
        let needed = 1000 + 130 + 64 + 8 + 1;
        check("client_max 1000", needed, None);
        check("client_max 1000", needed - 1, Some("1000 clients (client_max), 130 servers"));
        check("client_max 1000", 0, Some("may need 1203"));
        check("client_max 1000", u64::MAX, None);
        check("", 1024, Some("enough for about 821 clients beside 130 servers"));
        check("", 100_000, None);
    }
}
