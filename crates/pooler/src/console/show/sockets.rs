//! Sockets: clients and servers in one table, by PgBouncer's names.

use super::super::call::{Call, Reply, Stop};
use super::super::row::{Column, Row, int, text};
use super::{clients, servers};
use crate::console::row::Cell;

/// `SHOW SOCKETS`
pub const SOCKETS: &[Column] = &[
    text("type", "C: a client; S: a server"),
    text("user", "as the client named it, or at the server"),
    text("database", "as the client named it, or at the server"),
    text("replication", "none, logical or physical"),
    text("state", "as in SHOW CLIENTS and SHOW SERVERS"),
    text("addr", "the other end"),
    int("port", "its port; -1 on a unix socket"),
    text("local_addr", "our end"),
    int("local_port", "its port; -1 on a unix socket"),
    text("connect_time", "when it was connected, UTC"),
    text("request_time", "as in SHOW CLIENTS and SHOW SERVERS"),
    int("wait", "how long a client has waited for a server, in s"),
    int("wait_us", "the µs beyond"),
    text("ptr", "the id"),
    text("link", "the id of the other, if the two are together"),
    int("remote_pid", "as in SHOW CLIENTS and SHOW SERVERS"),
    text("tls", "version and cipher; empty without TLS"),
    text("application_name", "what a client calls itself; empty of a server"),
    text("id", "as ptr"),
];

/// `SHOW SOCKETS`
pub fn sockets(call: &Call<'_>) -> Result<Reply, Stop> {
    let mut rows = pick(clients::CLIENTS, clients::clients(call)?);
    rows.extend(pick(servers::SERVERS, servers::servers(call)?));
    Ok(rows.into())
}

/// `SHOW ACTIVE_SOCKETS`
pub fn active_sockets(call: &Call<'_>) -> Result<Reply, Stop> {
    let mut all = sockets(call)?;
    let state = position(SOCKETS, "state").unwrap_or_default();
    let is_idle =
        |cell: &Cell| matches!(cell, Cell::Text(text) if text == "pending" || text == "idle");
    all.rows.retain(|row| row.get(state).is_some_and(|cell| !is_idle(cell)));
    Ok(all)
}

/// The columns of `SOCKETS`, out of a table that has them and more.
fn pick(columns: &[Column], reply: Reply) -> Vec<Row> {
    let places: Vec<Option<usize>> =
        SOCKETS.iter().map(|column| position(columns, &column.name)).collect();
    let picked = |row: Row| -> Row {
        let cell = |place: &Option<usize>| place.and_then(|at| row.get(at).cloned());
        places.iter().map(|place| cell(place).unwrap_or_else(|| "".into())).collect()
    };
    reply.rows.into_iter().map(picked).collect()
}

fn position(columns: &[Column], name: &str) -> Option<usize> {
    columns.iter().position(|column| column.name == name)
}
