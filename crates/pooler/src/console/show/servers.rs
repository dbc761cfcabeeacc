//! Servers, and what they have prepared.

use std::collections::{BTreeMap, HashMap};

use router::{ClientId, Interned, State};

use super::super::call::{Call, Reply, Stop};
use super::super::row::{Cell, Column, Row, int, text};
use super::clients::prepared_by_holders;
use super::{moment, place, replication, seconds};
use crate::id::Id;
use crate::readings::{self, ServerReading, server_state};
use crate::turns::Turns;

/// A text that is longer is cut: nobody reads more, and everybody may ask.
const SHOWN_BYTES_MAX: usize = 16 * 1024;

/// `SHOW SERVERS`, in Odyssey's order, then what PgBouncer has more.
pub const SERVERS: &[Column] = &[
    text("type", "S; SI for queries of the pooler's own"),
    text("user", "at the server"),
    text("database", "at the server"),
    text(
        "state",
        "active, idle, tested: it is being reset; being_canceled: a cancel is on its way",
    ),
    text("addr", "the server's end"),
    int("port", "its port; -1 on a unix socket"),
    text("local_addr", "our end"),
    int("local_port", "its port; -1 on a unix socket"),
    text("connect_time", "when it was connected, UTC"),
    text("request_time", "when its client got it, UTC; NULL if nobody has it"),
    int("wait", "always 0: a server waits for nobody"),
    int("wait_us", "always 0"),
    text("ptr", "its id, in every line of the log"),
    text("link", "the id of the client that has it; empty if nobody has it"),
    int("remote_pid", "its process at PostgreSQL"),
    text("tls", "version and cipher; empty without TLS"),
    text("offline", "1: it is closed when nobody uses it"),
    text("id", "as ptr"),
    text("replication", "none, logical or physical"),
];

/// `SHOW SERVER_PREP_STMTS`
pub const SERVER_PREP_STMTS: &[Column] = &[
    text("type", "always S"),
    text("user", "at the server"),
    text("database", "at the server"),
    text("sid", "the id of the server"),
    text("name", "of the statement at the server"),
    text("definition", "its text"),
    text("refcount", "servers that have it"),
];

/// `SHOW GLOBAL_PREPARED_STATEMENTS`
pub const GLOBAL_PREPARED_STATEMENTS: &[Column] = &[
    text("name", "of the statement at servers"),
    text("definition", "its text"),
    text("refcount", "servers that have it"),
];

/// `SHOW SERVERS`
pub fn servers(call: &Call<'_>) -> Result<Reply, Stop> {
    Ok(readings::servers(call.shared).iter().map(server_row).collect::<Vec<Row>>().into())
}

fn server_row(server: &ServerReading) -> Row {
    let ServerReading { home, slot, target } = server;
    let key = home.route.key();
    let [addr, port] = place(&target.address);
    let [local, local_port] = place(&target.local);
    let [wait, wait_us] = seconds(None);
    let is_own = home.route.rule().routing == config::PoolRouting::Internal;
    vec![
        if is_own { "SI" } else { "S" }.into(),
        key.user.clone().into(),
        key.database.clone().into(),
        server_state(slot.state).into(),
        addr,
        port,
        local,
        local_port,
        slot.born.map_or(Cell::Null, moment),
        slot.leased_since.map_or(Cell::Null, moment),
        wait,
        wait_us,
        target.id.to_string().into(),
        slot.holder.map_or(String::new(), |client| Id::of_client(client.0).to_string()).into(),
        u64::from(target.key.pid).into(),
        target.tls.as_deref().unwrap_or_default().to_owned().into(),
        if slot.is_closing { "1" } else { "0" }.into(),
        target.id.to_string().into(),
        replication(key.replication).into(),
    ]
}

/// What each server has prepared; those whose clients are too busy to say are missing.
fn prepared(call: &Call<'_>) -> Vec<(ServerReading, Vec<Interned>)> {
    let (mut turns, mut idle) = (Turns::default(), HashMap::new());
    for home in call.shared.homes() {
        turns.round();
        idle.extend(home.parked_statements());
    }
    let said = prepared_by_holders(call);
    let of_holder = |client: Option<ClientId>| {
        client.and_then(|client| said.get(&client)).map(|account| account.prepared.clone())
    };
    let servers = readings::servers(call.shared).into_iter().filter_map(|server| {
        let statements = match server.slot.state {
            State::Leased => of_holder(server.slot.holder)?,
            _ => idle.remove(&server.target.id)?,
        };
        Some((server, statements))
    });
    servers.collect()
}

/// How many servers have each statement.
fn references(prepared: &[(ServerReading, Vec<Interned>)]) -> BTreeMap<u64, (Interned, u64)> {
    let mut counts: BTreeMap<u64, (Interned, u64)> = BTreeMap::new();
    for statement in prepared.iter().flat_map(|(_, statements)| statements) {
        let entry = counts.entry(statement.number()).or_insert_with(|| (statement.clone(), 0));
        entry.1 += 1;
    }
    counts
}

/// `SHOW SERVER_PREP_STMTS`
pub fn server_prep_stmts(call: &Call<'_>) -> Result<Reply, Stop> {
    let (prepared, mut turns) = (prepared(call), Turns::default());
    let counts = references(&prepared);
    let mut rows = Vec::new();
    for (server, statements) in &prepared {
        let key = server.home.route.key();
        for statement in statements {
            turns.round();
            let count = counts.get(&statement.number()).map_or(0, |(_, count)| *count);
            let mut row: Row = vec![
                "S".into(),
                key.user.clone().into(),
                key.database.clone().into(),
                server.target.id.to_string().into(),
            ];
            row.extend(statement_cells(statement, count));
            rows.push(row);
        }
    }
    Ok(rows.into())
}

/// `SHOW GLOBAL_PREPARED_STATEMENTS`
pub fn global_prepared_statements(call: &Call<'_>) -> Result<Reply, Stop> {
    let counts = references(&prepared(call));
    let rows = counts.values().map(|(statement, count)| statement_cells(statement, *count).into());
    Ok(rows.collect::<Vec<Row>>().into())
}

fn statement_cells(statement: &Interned, count: u64) -> [Cell; 3] {
    let name = String::from_utf8_lossy(&statement.name()).into_owned();
    let body = statement.body();
    let end = body.iter().position(|byte| *byte == 0).unwrap_or(body.len());
    let text = String::from_utf8_lossy(&body[..end.min(SHOWN_BYTES_MAX)]).into_owned();
    [name.into(), text.into(), count.to_string().into()]
}
