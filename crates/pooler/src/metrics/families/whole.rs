//! Metrics of the process as a whole.

use std::env::consts::ARCH;
use std::time::{Duration, SystemTime};

use super::{Family, counter, gauge};
use crate::errors::NAMES;
use crate::metrics::snapshot::{Row, Snapshot};
use crate::sqlstates::Said;
use crate::version;

pub(super) const FAMILIES: &[Family] = &[
    gauge("odyssey_version_info", "Which program this is; always 1.", |_, out| {
        let [compiler, its_version] = version::COMPILER;
        out.put(&[version::BOTH, version::BUILD, compiler, its_version, ARCH], 1);
    })
    .by(&["version", "build_type", "compiler", "compiler_version", "arch"])
    .odysseys(),
    gauge("odyssey_exporter_up", "Whether the numbers can be had; always 1.", |_, out| out.one(1))
        .odysseys(),
    gauge("odyssey_is_paused", "Whether an operator has paused all pools.", |it, out| {
        out.one(u8::from(it.is_paused));
    })
    .odysseys(),
    gauge("odyssey_ready", "Whether /readyz says that clients may be sent here.", |it, out| {
        out.one(u8::from(it.unready.is_none()));
    }),
    gauge("odyssey_start_time_seconds", "When the process was started, in Unix time.", |it, out| {
        out.one(unix_s(it.started));
    }),
    gauge("odyssey_uptime_seconds", "How long ago that is.", |it, out| {
        out.one(it.started.elapsed().unwrap_or_default().as_secs_f64());
    }),
    // clients and servers over all routes
    gauge("odyssey_lists_databases", "Databases of routes.", |it, out| out.one(it.databases()))
        .odysseys(),
    gauge("odyssey_lists_users", "Users of routes.", |it, out| out.one(it.users())).odysseys(),
    gauge("odyssey_lists_pools", "Routes.", |it, out| out.one(it.shared.routes.len())).odysseys(),
    gauge("odyssey_lists_free_clients", "Always 0: a client that left is gone.", |_, out| {
        out.one(0);
    })
    .odysseys(),
    gauge("odyssey_lists_used_clients", "Connections of clients, logins included.", |it, out| {
        out.one(it.shared.clients.live());
    })
    .odysseys(),
    gauge("odyssey_lists_login_clients", "Of these, those that are not logged in yet.", |it, out| {
        let inside: usize = it.shared.rosters.iter().map(|roster| roster.len()).sum();
        out.one(it.shared.clients.live().saturating_sub(inside));
    })
    .odysseys(),
    gauge(
        "odyssey_lists_routing_clients",
        "Connections between accept and the end of routing.",
        |it, out| out.one(it.shared.logins.in_use()),
    )
    .odysseys(),
    gauge("odyssey_lists_free_servers", "Connections to servers that are idle.", |it, out| {
        out.one(it.sum(|row| row.counts.idle));
    })
    .odysseys(),
    gauge("odyssey_lists_used_servers", "Connections to servers in use.", |it, out| {
        out.one(it.sum(|row| row.counts.servers() - row.counts.idle));
    })
    .odysseys(),
    gauge("odyssey_lists_cached_dns_names", "Names of hosts that are known.", |it, out| {
        out.one(it.names.known);
    })
    .odysseys(),
    gauge("odyssey_lists_cached_dns_zones", "Always 0.", |_, out| out.one(0)).odysseys(),
    gauge("odyssey_lists_in_flight_dns_queries", "Names that are being resolved.", |it, out| {
        out.one(it.names.asked_now);
    })
    .odysseys(),
    gauge("odyssey_client_max", "The global client_max; 0 is no limit.", |it, out| {
        out.one(it.shared.config().global.client_max.unwrap_or(0));
    }),
    counter(
        "odyssey_startup_failures_total",
        "Connections that ended before they said who wants to go where.",
        |it, out| out.one(it.shared.startup_errors()),
    ),
    // errors
    counter("odyssey_errors_total", "Sessions that ended in an error, by Odyssey's names.", {
        |it, out| {
            let counts = it.shared.errors.counts();
            NAMES.iter().zip(counts).for_each(|(name, n)| out.put(&[name], n));
        }
    })
    .by(&["type"])
    .odysseys(),
    counter(
        "odyssey_sqlstate_errors_total",
        "Errors that clients were told, by who said it (pooler, server) and class of SQLSTATE.",
        |it, out| {
            for (name, said) in [("pooler", Said::ByUs), ("server", Said::ByServers)] {
                let classes = it.shared.sqlstates.by_class(said);
                classes.for_each(|(class, n)| out.put(&[name, &class], n));
            }
        },
    )
    .by(&["source", "class"]),
    // what goes on around
    counter("odyssey_reloads_total", "Reloads, by result (applied, rejected).", |it, out| {
        out.put(&["applied"], it.reloads.applied);
        out.put(&["rejected"], it.reloads.rejected);
    })
    .by(&["result"]),
    gauge(
        "odyssey_config_time_seconds",
        "When the configuration in force came into force, in Unix time.",
        |it, out| out.one(unix_s(it.reloads.last.unwrap_or(it.started))),
    ),
    gauge("odyssey_log_lines_queued", "Lines that wait for the log's writer.", |it, out| {
        out.one(it.shared.log.queued());
    }),
    counter("odyssey_log_lines_dropped_total", "Lines lost: no room, or no place for them.", |it, out| {
        out.one(it.shared.log.dropped());
    }),
    counter("odyssey_dns_queries_total", "Questions for names of hosts.", |it, out| {
        out.one(it.names.asked);
    }),
    counter("odyssey_dns_failures_total", "Of these, those without an answer.", |it, out| {
        out.one(it.names.failed);
    }),
    gauge("odyssey_cancels_in_flight", "Cancels on their way to servers.", |it, out| {
        out.one(it.shared.cancels.in_use());
    }),
    gauge("odyssey_interned", "Values kept once for all, by kind.", |it, out| {
        out.put(&["settings"], it.shared.settings.len());
        out.put(&["reports"], it.shared.reports.len());
        out.put(&["statements"], it.shared.statements.len());
    })
    .by(&["kind"]),
    // memory
    gauge(
        "odyssey_memory_bytes",
        "Memory by kind: buffers in use, stacks of coroutines (address space), texts of statements.",
        |it, out| {
            let stacks = it.machines.iter().map(|it| it.coroutines_live + it.coroutines_cached);
            let stack_bytes = it.shared.config().global.coroutine_stack_bytes as u64;
            out.put(&["buffers"], it.machines.iter().map(|it| it.buffer_bytes).sum::<u64>());
            out.put(&["stacks"], stacks.sum::<u64>() * stack_bytes);
            out.put(&["statements"], it.shared.statements.body_bytes());
        },
    )
    .by(&["kind"]),
    gauge("process_resident_memory_bytes", "Memory of the process.", |it, out| {
        it.process.iter().for_each(|it| out.one(it.resident_bytes));
    }),
    gauge("process_virtual_memory_bytes", "Address space of the process.", |it, out| {
        it.process.iter().for_each(|it| out.one(it.virtual_bytes));
    }),
    gauge("process_open_fds", "Open descriptors.", |it, out| {
        it.process.iter().for_each(|it| out.one(it.descriptors));
    }),
    counter("process_cpu_seconds_total", "Time on processors, of user and kernel.", |it, out| {
        let centiseconds = |cs: u64| Duration::from_millis(cs * 10).as_secs_f64();
        it.process.iter().for_each(|it| out.one(centiseconds(it.cpu_cs)));
    }),
];

impl Snapshot {
    fn sum(&self, of: impl Fn(&Row) -> usize) -> usize {
        self.rows.iter().map(of).sum()
    }

    fn databases(&self) -> usize {
        self.rates.len()
    }

    fn users(&self) -> usize {
        let mut users: Vec<&str> = self.rows.iter().map(|row| row.user.as_str()).collect();
        users.sort_unstable();
        users.dedup();
        users.len()
    }
}

fn unix_s(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
