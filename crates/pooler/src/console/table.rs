//! The table of commands: one row each, with who may give it, its columns and what it does. A new
//! command is a new row.

use config::Role;

use super::call::{Call, Reply, Stop};
use super::row::Column;
use super::text::Statement;
use super::{act, show};
use crate::shared::Shared;

/// A command.
pub struct Command {
    /// Its words, in capital letters.
    pub words: &'static str,
    /// What follows them, for people.
    pub arguments: &'static str,
    /// What it needs.
    pub right: Right,
    /// The columns of its answer, none if it has no rows.
    pub columns: &'static [Column],
    /// Columns behind these that depend on the configuration.
    pub more: Option<fn(&Shared) -> Vec<Column>>,
    /// The tag of its answer.
    pub tag: &'static str,
    /// Does it.
    pub run: fn(&Call<'_>) -> Result<Reply, Stop>,
    /// What it does, for people.
    #[cfg_attr(not(test), expect(dead_code, reason = "the page of commands says it"))]
    pub meaning: &'static str,
}

/// Who may give a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Whoever may look.
    Look,
    /// Who may change something.
    Change,
}

impl Right {
    /// Whether a role has it. A rule that says nothing lets look.
    pub fn is_of(self, role: Option<Role>) -> bool {
        match role {
            Some(Role::Admin) => true,
            Some(Role::Stat) | None => self == Right::Look,
            Some(Role::NotAllow) => false,
        }
    }
}

const fn show(
    words: &'static str,
    columns: &'static [Column],
    run: fn(&Call<'_>) -> Result<Reply, Stop>,
    meaning: &'static str,
) -> Command {
    let (right, more) = (Right::Look, None);
    Command { words, arguments: "", right, columns, more, tag: "SHOW", run, meaning }
}

const fn act(
    words: &'static str,
    arguments: &'static str,
    run: fn(&Call<'_>) -> Result<Reply, Stop>,
    meaning: &'static str,
) -> Command {
    let (right, more) = (Right::Change, None);
    Command { words, arguments, right, columns: &[], more, tag: words, run, meaning }
}

/// Every command there is.
pub static COMMANDS: &[Command] = &[
    show(
        "SHOW STATS",
        show::stats::STATS,
        show::stats::stats,
        "What was done on each database since the start, and on average during the last \
         `stats_interval`.",
    ),
    show(
        "SHOW STATS_TOTALS",
        show::stats::STATS_TOTALS,
        show::stats::stats_totals,
        "The totals of SHOW STATS, by PgBouncer's names.",
    ),
    show(
        "SHOW STATS_AVERAGES",
        show::stats::STATS_AVERAGES,
        show::stats::stats_averages,
        "The averages of SHOW STATS, by PgBouncer's names.",
    ),
    show("SHOW TOTALS", show::stats::TOTALS, show::stats::totals, "All databases together."),
    show(
        "SHOW POOLS",
        show::pools::POOLS,
        show::pools::pools,
        "Clients and servers of each pool, by database and user at the server. Pools of several \
         rules that have both in common are one row.",
    ),
    Command {
        more: Some(show::pools::quantiles),
        ..show(
            "SHOW POOLS_EXTENDED",
            show::pools::POOLS_EXTENDED,
            show::pools::pools_extended,
            "SHOW POOLS with traffic, and with two columns for each of the `quantiles` of all \
             rules. The last row, `aggregated`, is of all pools together.",
        )
    },
    show(
        "SHOW DATABASES",
        show::pools::DATABASES,
        show::pools::databases,
        "Where the pools lead, and how large they may be.",
    ),
    show("SHOW USERS", show::pools::USERS, show::pools::users, "Users at servers."),
    show("SHOW CLIENTS", show::clients::CLIENTS, show::clients::clients, "Who is logged in."),
    show("SHOW SERVERS", show::servers::SERVERS, show::servers::servers, "Connections to servers."),
    show(
        "SHOW SOCKETS",
        show::sockets::SOCKETS,
        show::sockets::sockets,
        "Connections of both kinds, by PgBouncer's names.",
    ),
    show(
        "SHOW ACTIVE_SOCKETS",
        show::sockets::SOCKETS,
        show::sockets::active_sockets,
        "Of SHOW SOCKETS those that do something.",
    ),
    show(
        "SHOW WAITERS",
        show::clients::WAITERS,
        show::clients::waiters,
        "Clients that wait for a server, and for what.",
    ),
    show(
        "SHOW HOLDERS",
        show::clients::HOLDERS,
        show::clients::holders,
        "Clients that hold a server, since when and what for. They are asked: one that is too \
         busy to answer within 0.3 s has NULL for what only it knows.",
    ),
    show(
        "SHOW PINS",
        show::clients::PINS,
        show::clients::pins,
        "Clients of transaction pools that keep their server, and why.",
    ),
    show(
        "SHOW SERVER_PREP_STMTS",
        show::servers::SERVER_PREP_STMTS,
        show::servers::server_prep_stmts,
        "Which statements each server has prepared.",
    ),
    show(
        "SHOW GLOBAL_PREPARED_STATEMENTS",
        show::servers::GLOBAL_PREPARED_STATEMENTS,
        show::servers::global_prepared_statements,
        "Statements that any server has prepared, each text once.",
    ),
    show("SHOW LISTS", show::process::LISTS, show::process::lists, "How many there are of what."),
    show(
        "SHOW ERRORS",
        show::errors::ERRORS,
        show::errors::errors,
        "How often clients ended badly since the start, by Odyssey's names.",
    ),
    show(
        "SHOW ERRORS_PER_ROUTE",
        show::errors::ERRORS_PER_ROUTE,
        show::errors::errors_per_route,
        "The same by user and database at the server.",
    ),
    show("SHOW VERSION", show::process::VERSION, show::process::version, "The version."),
    show(
        "SHOW VERSION_EXTENDED",
        show::process::VERSION_EXTENDED,
        show::process::version_extended,
        "The version in parts.",
    ),
    show(
        "SHOW CONFIG",
        show::config::CONFIG,
        show::config::config,
        "Options of the whole process.",
    ),
    show("SHOW RULES", show::config::RULES, show::config::rules, "Rules in the order of matching."),
    show("SHOW LISTEN", show::config::LISTEN, show::config::listen, "The `listen` sections."),
    show(
        "SHOW STORAGES",
        show::config::STORAGES,
        show::config::storages,
        "The servers of the `storage` sections.",
    ),
    show("SHOW IS_PAUSED", show::process::IS_PAUSED, show::process::is_paused, "Is PAUSE on?"),
    show(
        "SHOW STATE",
        show::process::STATE,
        show::process::state,
        "The same by PgBouncer's names.",
    ),
    Command {
        tag: "HOST_UTILIZATION",
        ..show(
            "SHOW HOST_UTILIZATION",
            show::process::HOST_UTILIZATION,
            show::process::host_utilization,
            "How busy the host is; zeroes without `enable_host_watcher`.",
        )
    },
    show("SHOW MEM", show::process::MEM, show::process::mem, "What takes memory."),
    show(
        "SHOW COROUTINES",
        show::process::COROUTINES,
        show::process::coroutines,
        "What runs or waits in the process.",
    ),
    show(
        "SHOW DNS_HOSTS",
        show::process::DNS_HOSTS,
        show::process::dns_hosts,
        "Names of servers that were resolved.",
    ),
    show(
        "SHOW DNS_ZONES",
        show::process::DNS_ZONES,
        show::process::dns_zones,
        "Always empty: no zone is watched.",
    ),
    show("SHOW HELP", &[], show::process::help, "This list, as a notice."),
    act(
        "PAUSE",
        "[database]",
        act::pause,
        "Hands out no server any more, and waits until all are given back and closed. Clients of \
         session pools, and pinned ones, are disconnected when no transaction is open; all others \
         wait. Cancelled or disconnected, it stays in force.",
    ),
    act("RESUME", "[database]", act::resume, "Ends PAUSE, SUSPEND and KILL."),
    act("SUSPEND", "", act::suspend, "PAUSE without waiting."),
    act(
        "DISABLE",
        "database",
        act::disable,
        "Refuses new clients with SQLSTATE 57P03; those who are here stay.",
    ),
    act("ENABLE", "database", act::enable, "Ends DISABLE."),
    act(
        "KILL",
        "[database]",
        act::kill,
        "Ends all clients at once and pauses the database; what they ran is cancelled and rolled \
         back. RESUME lets new ones in.",
    ),
    act(
        "KILL_CLIENT",
        "id",
        act::kill_client,
        "Ends a client at once, by the `id` of SHOW CLIENTS; what it ran is cancelled and rolled \
         back.",
    ),
    act("RECONNECT", "[database]", act::reconnect, "Closes servers as they are given back."),
    act("DROP SERVERS", "", act::reconnect, "RECONNECT of all databases, by Odyssey's name."),
    act(
        "WAIT_CLOSE",
        "[database]",
        act::wait_close,
        "Waits until the servers that RECONNECT is to close are closed.",
    ),
    act(
        "RELOAD",
        "",
        act::reload,
        "Reads the configuration again. If it is rejected that is an error, with the complaints \
         as its detail; what needs a restart is told as notices.",
    ),
    act(
        "SHUTDOWN",
        "[WAIT_FOR_CLIENTS | WAIT_FOR_SERVERS]",
        act::shutdown,
        "The graceful end, as by SIGTERM.",
    ),
];

/// Commands of the others that are refused, each with the reason.
pub static REFUSED: &[(&str, &str)] = &[
    ("SHOW FDS", "descriptors are no business of clients; SHOW SOCKETS lists connections"),
    ("CREATE MODULE", "there are no modules that could be loaded"),
    ("DROP MODULE", "there are no modules that could be unloaded"),
];

impl Command {
    /// All columns of its answer.
    pub fn all_columns(&self, shared: &Shared) -> Vec<Column> {
        let more = self.more.map(|more| more(shared)).unwrap_or_default();
        self.columns.iter().cloned().chain(more).collect()
    }

    /// How many words it has.
    pub fn len(&self) -> usize {
        self.words.split(' ').count()
    }

    /// What a statement is, if it is one.
    pub fn find(statement: &Statement) -> Option<&'static Command> {
        COMMANDS.iter().find(|command| begins(statement, command.words))
    }
}

/// Why a statement is refused, if it is one of those.
pub fn refusal(statement: &Statement) -> Option<&'static str> {
    let found = REFUSED.iter().find(|(words, _)| begins(statement, words));
    found.map(|(_, reason)| *reason)
}

fn begins(statement: &Statement, words: &str) -> bool {
    words.split(' ').enumerate().all(|(at, word)| statement.keyword(at).as_deref() == Some(word))
}
