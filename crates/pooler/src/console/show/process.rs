//! The process: its version, what it counts, what takes its memory, what runs in it.

use std::collections::BTreeSet;
use std::time::Duration;

use machine::Deadline;
use wire::{Notice, Severity};

use super::super::call::{Call, Reply, Stop};
use super::super::row::{Cell, Column, Row, boolean, float, int, long, text};
use super::super::table::COMMANDS;
use super::micros;
use crate::readings::routes;
use crate::version;

/// Coroutines of one machine that are shown; a process with more is looked at otherwise.
const SHOWN_MAX: usize = 10_000;

/// A machine that does not answer within this is too busy.
const CENSUS_TIMEOUT: Duration = Duration::from_secs(1);

/// `SHOW LISTS`
pub const LISTS: &[Column] =
    &[text("list", "what is counted"), int("items", "how many there are now")];

/// `SHOW VERSION`
pub const VERSION: &[Column] = &[text("version", "as `--version` prints it")];

/// `SHOW VERSION_EXTENDED`
pub const VERSION_EXTENDED: &[Column] = &[
    text("version", "that of Odyssey whose behaviour this is, and our own"),
    text("build_type", "release or debug"),
    text("compiler", "rustc"),
    text("compiler_version", "the oldest that builds it"),
    text("arch", "64-bit"),
];

/// `SHOW IS_PAUSED`
pub const IS_PAUSED: &[Column] = &[boolean("is_paused", "all databases are paused")];

/// `SHOW STATE`
pub const STATE: &[Column] =
    &[text("key", "active, paused, suspended"), text("value", "yes or no")];

/// `SHOW HOST_UTILIZATION`
pub const HOST_UTILIZATION: &[Column] =
    &[float("cpu", "of all processors, in percent"), float("mem", "of the memory, in percent")];

/// `SHOW MEM`
pub const MEM: &[Column] = &[
    text("name", "what takes it"),
    int("size", "bytes of one"),
    int("used", "in use"),
    int("free", "kept for the next"),
    int("memtotal", "bytes of all"),
];

/// `SHOW COROUTINES`
pub const COROUTINES: &[Column] = &[
    text("id", "machine, place and generation"),
    int("machine", "its number"),
    text("name", "what it is for"),
    long("age_us", "since its start, in µs"),
    text("doing", "what it waits for"),
    long("doing_us", "for so long, in µs"),
    long("deadline_us", "until its wait ends by itself, in µs; NULL: never"),
    boolean("cancelled", "it is about to end"),
    boolean("system", "it belongs to the engine"),
];

/// `SHOW DNS_HOSTS`
pub const DNS_HOSTS: &[Column] = &[
    text("hostname", "of a server"),
    long("ttl", "for how long it is believed, in s"),
    text("addrs", "its addresses"),
];

/// `SHOW DNS_ZONES`
pub const DNS_ZONES: &[Column] = &[
    text("zonename", "of a zone"),
    long("serial", "its serial number"),
    int("count", "its hosts"),
];

/// `SHOW LISTS`
pub fn lists(call: &Call<'_>) -> Result<Reply, Stop> {
    let shared = call.shared;
    let routes = routes(shared);
    let databases: BTreeSet<&str> = routes.iter().map(|route| &*route.database).collect();
    let users: BTreeSet<&str> = routes.iter().map(|route| &*route.user).collect();
    let here: usize = shared.rosters.iter().map(|roster| roster.len()).sum();
    let consoles = shared.consoles.live();
    let logins = (shared.clients.live() + consoles).saturating_sub(here);
    let idle: usize = routes.iter().map(|route| route.counts.idle).sum();
    let servers: usize = routes.iter().map(|route| route.counts.servers()).sum();
    let names = shared.names.count();
    let row = |name: &'static str, items: usize| -> Row { vec![name.into(), items.into()] };
    Ok(vec![
        row("databases", databases.len()),
        row("users", users.len()),
        row("pools", routes.len()),
        row("free_clients", 0),
        row("used_clients", here),
        row("login_clients", logins),
        row("routing_clients", shared.logins.in_use()),
        row("free_servers", idle),
        row("used_servers", servers - idle),
        row("dns_names", names.known),
        row("dns_zones", 0),
        row("dns_queries", names.asked_now),
        row("dns_pending", names.asked_now),
    ]
    .into())
}

/// `SHOW VERSION`
pub fn version(_: &Call<'_>) -> Result<Reply, Stop> {
    Ok(vec![vec![version::line().into()]].into())
}

/// `SHOW VERSION_EXTENDED`
pub fn version_extended(_: &Call<'_>) -> Result<Reply, Stop> {
    let [compiler, its_version] = version::COMPILER;
    let row: Row =
        [version::BOTH, version::BUILD, compiler, its_version, "64-bit"].map(Cell::from).into();
    Ok(vec![row].into())
}

/// `SHOW IS_PAUSED`
pub fn is_paused(call: &Call<'_>) -> Result<Reply, Stop> {
    Ok(vec![vec![call.shared.routes.gates().is_all_paused().into()]].into())
}

/// `SHOW STATE`
pub fn state(call: &Call<'_>) -> Result<Reply, Stop> {
    let is_paused = call.shared.routes.gates().is_all_paused();
    let word = |yes: bool| if yes { "yes" } else { "no" };
    let row = |key: &'static str, yes: bool| -> Row { vec![key.into(), word(yes).into()] };
    Ok(vec![row("active", !is_paused), row("paused", is_paused), row("suspended", false)].into())
}

/// `SHOW HOST_UTILIZATION`
pub fn host_utilization(call: &Call<'_>) -> Result<Reply, Stop> {
    let seen = call.shared.host.utilization();
    let row: Row = vec![Cell::Float(seen.cpu as f32), Cell::Float(seen.memory as f32)];
    Ok(vec![row].into())
}

/// `SHOW MEM`
pub fn mem(call: &Call<'_>) -> Result<Reply, Stop> {
    let shared = call.shared;
    let machines = shared.machines.get().map_or(&[][..], |machines| machines);
    let sum = |of: fn(&machine::MachineStats) -> u64| -> u64 {
        machines.iter().map(|machine| of(&machine.stats())).sum()
    };
    let row = |name: &'static str, bytes: u64, used: u64, free: u64| -> Row {
        let total = bytes * (used + free);
        vec![name.into(), bytes.into(), used.into(), free.into(), total.into()]
    };
    let stack = shared.config().global.coroutine_stack_bytes as u64;
    let (texts, bytes) = (shared.statements.len() as u64, shared.statements.body_bytes() as u64);
    let text = bytes.checked_div(texts).unwrap_or(0);
    Ok(vec![
        row(
            "coroutine_stacks",
            stack,
            sum(|it| it.coroutines_live),
            sum(|it| it.coroutines_cached),
        ),
        row("parked_sessions", 0, sum(|it| it.sessions_parked), 0),
        vec!["prepared_statements".into(), text.into(), texts.into(), Cell::Int(0), bytes.into()],
        row("log_lines", 0, shared.log.queued() as u64, 0),
    ]
    .into())
}

/// `SHOW COROUTINES`
pub fn coroutines(call: &Call<'_>) -> Result<Reply, Stop> {
    let machines = call.shared.machines.get().map_or(&[][..], |machines| machines);
    let mut rows: Vec<Row> = Vec::new();
    for machine in machines {
        let census = machine.census(SHOWN_MAX, Deadline::after(CENSUS_TIMEOUT));
        let census = census.map_err(|error| {
            let text = format!("machine {} does not answer: {error}", machine.index());
            Notice::error("57014", text)
        })?;
        rows.extend(census.residents.iter().map(|one| -> Row {
            vec![
                one.id.to_string().into(),
                one.id.machine().into(),
                one.name.into(),
                micros(one.age),
                one.doing.to_string().into(),
                micros(one.doing_for),
                one.deadline_in.map_or(Cell::Null, micros),
                one.is_cancelled.into(),
                one.is_system.into(),
            ]
        }));
    }
    Ok(rows.into())
}

/// `SHOW DNS_HOSTS`
pub fn dns_hosts(call: &Call<'_>) -> Result<Reply, Stop> {
    let known = call.shared.names.known(machine::now()).into_iter();
    let rows = known.map(|(host, ttl, addresses)| -> Row {
        let addresses: Vec<String> = addresses.iter().map(|one| one.ip().to_string()).collect();
        vec![host.into(), ttl.as_secs().into(), addresses.join(",").into()]
    });
    Ok(rows.collect::<Vec<Row>>().into())
}

/// `SHOW DNS_ZONES`
pub fn dns_zones(_: &Call<'_>) -> Result<Reply, Stop> {
    Ok(Reply::default())
}

/// `SHOW HELP`
pub fn help(_: &Call<'_>) -> Result<Reply, Stop> {
    let mut text = "\nConsole usage\n".to_owned();
    for command in COMMANDS {
        let arguments = command.arguments;
        let line = format!("\t{} {arguments}", command.words);
        text += line.trim_end();
        text += "\n";
    }
    let notice = Notice::new(Severity::Notice, "00000", text);
    Ok(Reply { notices: vec![notice], ..Reply::default() })
}
