//! What was done on each database: totals since the start, averages of the last interval.

use super::super::averages::{Rates, sum, wait_us};
use super::super::call::{Call, Reply, Stop};
use super::super::row::{Cell, Column, Row, long, text};
use crate::readings::{SeenTotals, database_totals};

/// `SHOW STATS`
pub const STATS: &[Column] = &[
    text("database", "its name at the server"),
    long("total_xact_count", "transactions"),
    long("total_query_count", "queries"),
    long("total_server_assignment_count", "times a client was given a server"),
    long("total_received", "bytes from clients"),
    long("total_sent", "bytes to clients"),
    long("total_xact_time", "time in transactions, in µs"),
    long("total_query_time", "time in queries, in µs"),
    long("total_wait_time", "time that clients waited for a server, in µs"),
    long("avg_xact_count", "transactions a second"),
    long("avg_query_count", "queries a second"),
    long("avg_server_assignment_count", "servers given to clients a second"),
    long("avg_recv", "bytes a second from clients"),
    long("avg_sent", "bytes a second to clients"),
    long("avg_xact_time", "time of a transaction, in µs"),
    long("avg_query_time", "time of a query, in µs"),
    long("avg_wait_time", "time of a wait for a server, in µs"),
    long("total_parse_count", "Parse messages to servers"),
    long("total_parse_count_reuse", "Parse messages that no server had to do"),
    long("total_cancel_count", "queries that a client asked to cancel"),
    long("total_client_parse_count", "Parse messages of clients"),
    long("total_server_parse_count", "as total_parse_count"),
    long("total_bind_count", "Bind messages of clients"),
    long("total_client_login_count", "clients that came"),
    long("total_requests", "as total_query_count: its name before PgBouncer 1.8"),
];

/// `SHOW STATS_TOTALS`
pub const STATS_TOTALS: &[Column] = &[
    text("database", "its name at the server"),
    long("server_assignment_count", "times a client was given a server"),
    long("xact_count", "transactions"),
    long("query_count", "queries"),
    long("bytes_received", "bytes from clients"),
    long("bytes_sent", "bytes to clients"),
    long("xact_time", "time in transactions, in µs"),
    long("query_time", "time in queries, in µs"),
    long("wait_time", "time that clients waited for a server, in µs"),
    long("client_parse_count", "Parse messages of clients"),
    long("server_parse_count", "Parse messages to servers"),
    long("bind_count", "Bind messages of clients"),
    long("client_login_count", "clients that came"),
];

/// `SHOW STATS_AVERAGES`
pub const STATS_AVERAGES: &[Column] = &[
    text("database", "its name at the server"),
    long("server_assignment_count", "servers given to clients a second"),
    long("xact_count", "transactions a second"),
    long("query_count", "queries a second"),
    long("bytes_received", "bytes a second from clients"),
    long("bytes_sent", "bytes a second to clients"),
    long("xact_time", "time of a transaction, in µs"),
    long("query_time", "time of a query, in µs"),
    long("wait_time", "time of a wait for a server, in µs"),
    long("avg_client_parse_count", "Parse messages of clients a second"),
    long("avg_server_parse_count", "Parse messages to servers a second"),
    long("avg_bind_count", "Bind messages of clients a second"),
    long("avg_client_login_count", "clients that came, a second"),
];

/// `SHOW TOTALS`
pub const TOTALS: &[Column] = &[
    text("name", "`total_` or `avg_` in front of a column of SHOW STATS_TOTALS"),
    long("value", "the sum over all databases; an average of times is that of all"),
];

fn cells(numbers: impl IntoIterator<Item = u64>) -> Vec<Cell> {
    numbers.into_iter().map(Cell::from).collect()
}

/// `SHOW STATS`
pub fn stats(call: &Call<'_>) -> Result<Reply, Stop> {
    let rates = call.shared.averages.rates();
    let rows = database_totals(call.shared).into_iter().map(|(database, seen)| {
        let lately = rates.get(&database).copied().unwrap_or_default();
        stats_row(database, &seen, &lately)
    });
    Ok(rows.collect::<Vec<Row>>().into())
}

fn stats_row(database: String, seen: &SeenTotals, lately: &Rates) -> Row {
    let SeenTotals { done, counters, logins, .. } = seen;
    let mut row: Row = vec![database.into()];
    row.extend(cells([
        done.transactions,
        done.queries,
        counters.assignments(),
        done.received_bytes,
        done.sent_bytes,
        done.transaction_us,
        done.query_us,
        wait_us(seen),
        lately.transactions,
        lately.queries,
        lately.assignments,
        lately.received_bytes,
        lately.sent_bytes,
        lately.transaction_us,
        lately.query_us,
        lately.wait_us,
        done.server_parses,
        done.reuses,
        counters.cancels,
        done.parses,
        done.server_parses,
        done.binds,
        *logins,
        done.queries,
    ]));
    row
}

/// `SHOW STATS_TOTALS`
pub fn stats_totals(call: &Call<'_>) -> Result<Reply, Stop> {
    let totals = database_totals(call.shared).into_iter();
    let rows = totals.map(|(database, seen)| {
        let mut row: Row = vec![database.into()];
        row.extend(cells(of_totals(&seen)));
        row
    });
    Ok(rows.collect::<Vec<Row>>().into())
}

/// `SHOW STATS_AVERAGES`
pub fn stats_averages(call: &Call<'_>) -> Result<Reply, Stop> {
    let rates = call.shared.averages.rates().into_iter();
    let rows = rates.map(|(database, lately)| {
        let mut row: Row = vec![database.into()];
        row.extend(cells(of_rates(&lately)));
        row
    });
    Ok(rows.collect::<Vec<Row>>().into())
}

/// `SHOW TOTALS`
pub fn totals(call: &Call<'_>) -> Result<Reply, Stop> {
    let seen = sum(&database_totals(call.shared));
    let lately = call.shared.averages.all();
    let names = || STATS_TOTALS.iter().skip(1).map(|column| &column.name);
    let row = |prefix: &str, name: &str, value: u64| -> Row {
        vec![format!("{prefix}{name}").into(), value.into()]
    };
    let totals = names().zip(of_totals(&seen)).map(|(name, value)| row("total_", name, value));
    let averages = names().zip(of_rates(&lately)).map(|(name, value)| row("avg_", name, value));
    Ok(totals.chain(averages).collect::<Vec<Row>>().into())
}

/// In the order of `STATS_TOTALS`.
fn of_totals(seen: &SeenTotals) -> [u64; 12] {
    let SeenTotals { done, counters, logins, .. } = seen;
    [
        counters.assignments(),
        done.transactions,
        done.queries,
        done.received_bytes,
        done.sent_bytes,
        done.transaction_us,
        done.query_us,
        wait_us(seen),
        done.parses,
        done.server_parses,
        done.binds,
        *logins,
    ]
}

/// In the order of `STATS_AVERAGES`.
fn of_rates(lately: &Rates) -> [u64; 12] {
    [
        lately.assignments,
        lately.transactions,
        lately.queries,
        lately.received_bytes,
        lately.sent_bytes,
        lately.transaction_us,
        lately.query_us,
        lately.wait_us,
        lately.parses,
        lately.server_parses,
        lately.binds,
        lately.logins,
    ]
}
