//! The configuration in force.

use std::path::PathBuf;

use config::{Name, StorageKind, Tls, UserName};
use router::Seen;

use super::super::call::{Call, Reply, Stop};
use super::super::row::{Cell, Column, Row, boolean, int, text};
use super::pools::endpoint;
use crate::readings;

/// `SHOW CONFIG`
pub const CONFIG: &[Column] = &[
    text("key", "the option"),
    text("value", "what is in force"),
    text("default", "what it is when nobody says anything"),
    text("changeable", "yes: RELOAD applies a change; no: it waits for a restart"),
];

/// `SHOW RULES`
pub const RULES: &[Column] = &[
    text("database", "as in the file; `<default>` for any"),
    text("user", "as in the file; `<default>` for any"),
    text("address", "from where clients come; `<default>` for anywhere"),
    text("connection_type", "all, local, host, hostssl or hostnossl"),
    boolean("obsolete", "it is not in force any more; such rules are not listed, so always f"),
];

/// `SHOW LISTEN`
pub const LISTEN: &[Column] = &[
    text("host", "as in the file; `(None)` on a unix socket"),
    int("port", "as in the file"),
    text("tls", "as in the file"),
    text("tls_cert_file", "as in the file; `(None)` without"),
    text("tls_key_file", "as in the file; `(None)` without"),
    text("tls_ca_file", "as in the file; `(None)` without"),
    text("tls_protocols", "as in the file; `(None)` without"),
];

/// `SHOW STORAGES`
pub const STORAGES: &[Column] = &[
    text("type", "remote: PostgreSQL; local: the console"),
    text("host", "the host, or the path of a socket; empty of the console"),
    int("port", "the port; 0 of the console"),
    text("tls", "as in the file"),
    text("tls_cert_file", "as in the file; `(None)` without"),
    text("tls_key_file", "as in the file; `(None)` without"),
    text("tls_ca_file", "as in the file; `(None)` without"),
    text("tls_protocols", "as in the file; `(None)` without"),
    text("name", "of the section in the file"),
    text(
        "state",
        "dead: nobody got there when it was tried last; else alive; nothing of the console",
    ),
    text(
        "role",
        "primary or standby, where somebody asked less than a moment ago, as a watchdog does",
    ),
    int("lag", "seconds that it lags, as a watchdog found"),
];

const NONE: &str = "(None)"; // Odyssey's word

/// `SHOW CONFIG`: our own options, and two of PgBouncer's that its exporter looks for.
pub fn config(call: &Call<'_>) -> Result<Reply, Stop> {
    let world = call.shared.world();
    let number = |limit: Option<usize>| limit.unwrap_or(0).to_string();
    let clients_max = number(world.config.global.client_max);
    let pgbouncers = [("max_client_conn", clients_max), ("max_user_connections", "0".into())];
    let row = |key: &'static str, value: String, default: String, changeable: bool| -> Row {
        let changeable = if changeable { "yes" } else { "no" };
        vec![key.into(), value.into(), default.into(), changeable.into()]
    };
    let mut rows: Vec<Row> = world
        .options
        .iter()
        .map(|one| row(one.name, one.value.clone(), one.default.clone(), one.is_reloaded))
        .collect();
    rows.extend(pgbouncers.map(|(key, value)| row(key, value, "0".into(), true)));
    Ok(rows.into())
}

/// `SHOW RULES`
pub fn rules(call: &Call<'_>) -> Result<Reply, Stop> {
    const DEFAULT: &str = "<default>";
    let world = call.shared.world();
    let rows = world.rules.iter().map(|rule| -> Row {
        let database = match &rule.database {
            Name::Named(name) => name.clone(),
            Name::Default => DEFAULT.into(),
        };
        let user = match &rule.user {
            UserName::Default => DEFAULT.into(),
            other => other.to_string(),
        };
        let address = match &rule.address {
            config::AddressSelector::All => DEFAULT.into(),
            other => other.to_string(),
        };
        let connection = rule.connection.word().unwrap_or("all");
        vec![database.into(), user.into(), address.into(), connection.into(), false.into()]
    });
    Ok(rows.collect::<Vec<Row>>().into())
}

/// `SHOW LISTEN`
pub fn listen(call: &Call<'_>) -> Result<Reply, Stop> {
    let config = call.shared.config();
    let rows = config.listens.iter().map(|listen| -> Row {
        let host = listen.host.clone().unwrap_or_else(|| NONE.to_owned());
        let mut row = vec![host.into(), Cell::Int(listen.port.into())];
        row.extend(tls(&listen.tls));
        row
    });
    Ok(rows.collect::<Vec<Row>>().into())
}

/// `SHOW STORAGES`
pub fn storages(call: &Call<'_>) -> Result<Reply, Stop> {
    let config = call.shared.config();
    let mut rows = Vec::new();
    for storage in &config.storages {
        let kind = match storage.kind {
            StorageKind::Remote => "remote",
            StorageKind::Local => "local",
        };
        let mut row = |(host, port): (String, i64), seen: [Cell; 3]| {
            let mut row: Row = vec![kind.into(), host.into(), Cell::Int(port)];
            row.extend(tls(&storage.tls));
            row.push(storage.name.clone().into());
            row.extend(seen);
            rows.push(row);
        };
        match storage.kind {
            StorageKind::Local => row((String::new(), 0), [Cell::Null, Cell::Null, Cell::Null]),
            StorageKind::Remote => {
                for host in readings::hosts(call.shared, storage) {
                    row(endpoint(&host.endpoint), seen(&host.seen));
                }
            }
        }
    }
    Ok(rows.into())
}

/// How a host is.
fn seen(seen: &Seen) -> [Cell; 3] {
    let lag = seen.lag.map(|lag| i64::try_from(lag.as_secs()).unwrap_or(i64::MAX));
    [
        if seen.is_dead { "dead" } else { "alive" }.into(),
        seen.role.map_or(Cell::Null, |role| role.as_str().into()),
        lag.map_or(Cell::Null, Cell::Int),
    ]
}

/// The mode, the files and the versions.
fn tls(tls: &Tls) -> [Cell; 5] {
    let file = |path: &Option<PathBuf>| -> Cell {
        path.as_ref().map_or(NONE.to_owned(), |path| path.display().to_string()).into()
    };
    [
        tls.mode.as_str().into(),
        file(&tls.cert_file),
        file(&tls.key_file),
        file(&tls.ca_file),
        tls.versions.list().unwrap_or_else(|| NONE.to_owned()).into(),
    ]
}
