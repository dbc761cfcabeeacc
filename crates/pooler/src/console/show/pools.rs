//! Pools and where they lead. Rows that would be the same to whoever looks them up by name are one
//! row: tools take two of them for an error.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use config::{Endpoint, Quantile, Rule};
use router::Counts;

use super::super::call::{Call, Reply, Stop};
use super::super::row::{Cell, Column, Row, Type, long, text};
use super::seconds;
use crate::histogram::Counts as Histogram;
use crate::readings::{Counted, RouteReading, counted, routes};
use crate::shared::Shared;
use crate::tally::Times;

/// What all tables of pools begin with, in Odyssey's order, and then more.
macro_rules! pools_with {
    ($($more:expr),* $(,)?) => {
        &[
            text("database", "its name at the server"),
            text("user", "its name at the server"),
            long("cl_active", "clients that hold a server"),
            long("cl_waiting", "clients that wait for a server"),
            long("sv_active", "servers in clients' hands"),
            long("sv_idle", "servers that are free"),
            long("sv_used", "always 0: no server has to be checked before its use"),
            long("sv_tested", "servers that are being reset"),
            long("sv_login", "servers that are being connected"),
            long("maxwait", "how long the oldest waiting client has waited, in s"),
            long("maxwait_us", "the µs beyond"),
            text("pool_mode", "session, transaction or statement"),
            $($more),*
        ]
    };
}

/// `SHOW POOLS`: then what PgBouncer has more.
pub const POOLS: &[Column] = pools_with![
    long("cl_idle", "clients that have nothing to do"),
    long("cl_active_cancel_req", "cancels on their way to servers"),
    long("cl_waiting_cancel_req", "always 0: cancels wait for no server"),
    long("sv_active_cancel", "as cl_active_cancel_req: each has a connection"),
    long("sv_being_canceled", "servers that are free but for a cancel on its way"),
    long("paused", "1 if it is paused"),
];

/// `SHOW POOLS_EXTENDED`: then Odyssey's, and two for each quantile behind them.
pub const POOLS_EXTENDED: &[Column] = pools_with![
    long("bytes_received", "bytes from clients"),
    long("bytes_sent", "bytes to clients"),
    long("tcp_conn_count", "clients that came"),
];

/// `SHOW DATABASES`, in Odyssey's order, then what PgBouncer has more.
pub const DATABASES: &[Column] = &[
    text("name", "of the database at the server"),
    text("host", "of its first server; the path of a socket"),
    long("port", "of its first server"),
    text("database", "as in the rule; `default_db` for any"),
    text("force_user", "the user at the server"),
    long("pool_size", "servers there may be; 0: as many as wanted"),
    long("reserve_pool", "always 0: there is no reserve"),
    text("pool_mode", "session, transaction or statement"),
    long("max_connections", "clients there may be (`client_max`); 0: as many as come"),
    long("current_connections", "servers there are"),
    long("paused", "1 if it is paused"),
    long("disabled", "1 if it is disabled"),
    long("min_pool_size", "servers that are kept open"),
    long("server_lifetime", "age at which a server is closed, in s; 0: none"),
    long("max_client_connections", "as max_connections"),
    long("current_client_connections", "clients there are"),
];

/// `SHOW USERS`
pub const USERS: &[Column] = &[
    text("name", "of the user at the server"),
    text("pool_size", "always empty: pools have sizes, users have none"),
    text("reserve_pool_size", "always empty"),
    text("pool_mode", "of its pools, if they have one in common"),
    long("max_user_connections", "always 0: no limit"),
    long("current_connections", "servers there are"),
    long("max_user_client_connections", "always 0: no limit"),
    long("current_client_connections", "clients there are"),
];

/// What the routes have in common that make one row.
#[derive(Default)]
struct Pool {
    counts: Counts,
    clients: usize,
    cancels: u64,
    oldest_wait: Option<Duration>,
    modes: BTreeSet<&'static str>,
    is_paused: bool,
    received_bytes: u64,
    sent_bytes: u64,
    logins: u64,
    times: Option<Times>,
}

impl Pool {
    fn add(&mut self, route: &RouteReading) {
        self.counts = self.counts.plus(&route.counts);
        self.clients += route.clients;
        self.cancels += route.cancels;
        self.oldest_wait = self.oldest_wait.max(route.oldest_wait);
        self.modes.insert(route.rule.pool.as_str());
        self.is_paused |= route.is_paused;
        self.received_bytes += route.seen.done.received_bytes;
        self.sent_bytes += route.seen.done.sent_bytes;
        self.logins += route.seen.logins;
        if let Some(times) = &route.times {
            self.times = Some(self.times.take().unwrap_or_default().plus(times));
        }
    }

    /// What a pool of Odyssey's shows.
    fn cells(&self) -> Row {
        let counts = &self.counts;
        let [wait, wait_us] = seconds(self.oldest_wait);
        let mode = self.modes.iter().copied().collect::<Vec<_>>().join(",");
        vec![
            counts.leased.into(),
            counts.waiting.into(),
            counts.leased.into(),
            counts.idle.into(),
            Cell::Int(0),
            counts.resetting.into(),
            counts.opening.into(),
            wait,
            wait_us,
            mode.into(),
        ]
    }

    /// What PgBouncer has more.
    fn more(&self) -> Row {
        let counts = &self.counts;
        let busy = counts.leased + counts.waiting;
        vec![
            self.clients.saturating_sub(busy).into(),
            self.cancels.into(),
            Cell::Int(0),
            self.cancels.into(),
            counts.quarantined.into(),
            Cell::Int(self.is_paused.into()),
        ]
    }
}

/// By database and user at the server.
fn by_name(routes: Vec<RouteReading>) -> BTreeMap<(String, String), Pool> {
    let mut pools: BTreeMap<(String, String), Pool> = BTreeMap::new();
    for route in routes {
        pools.entry((route.database.clone(), route.user.clone())).or_default().add(&route);
    }
    pools
}

/// `SHOW POOLS`
pub fn pools(call: &Call<'_>) -> Result<Reply, Stop> {
    let rows = by_name(routes(call.shared)).into_iter().map(|((database, user), pool)| {
        let mut row: Row = vec![database.into(), user.into()];
        row.extend(pool.cells());
        row.extend(pool.more());
        row
    });
    Ok(rows.collect::<Vec<Row>>().into())
}

/// `SHOW POOLS_EXTENDED`
pub fn pools_extended(call: &Call<'_>) -> Result<Reply, Stop> {
    let quantiles = all_quantiles(call.shared);
    // Traffic that is counted since the start, also of routes that are gone and came again.
    let Counted { routes, gone } = counted(call.shared);
    let gone: BTreeMap<_, _> = gone.into_iter().collect();
    let (mut rows, mut all) = (Vec::new(), None::<Times>);
    for (names, pool) in by_name(routes) {
        let gone = gone.get(&names).copied().unwrap_or_default();
        let (database, user) = names;
        let mut row: Row = vec![database.into(), user.into()];
        row.extend(pool.cells());
        row.push((pool.received_bytes + gone.done.received_bytes).into());
        row.push((pool.sent_bytes + gone.done.sent_bytes).into());
        row.push((pool.logins + gone.logins).into());
        row.extend(times(pool.times.as_ref(), &quantiles));
        rows.push(row);
        if let Some(times) = pool.times {
            all = Some(all.unwrap_or_default().plus(&times));
        }
    }
    let mut last: Row = vec!["aggregated".into(), "aggregated".into()];
    last.resize(POOLS_EXTENDED.len(), Cell::Null);
    last.extend(times(all.as_ref(), &quantiles));
    rows.push(last);
    Ok(rows.into())
}

/// Columns for the quantiles of all rules.
pub fn quantiles(shared: &Shared) -> Vec<Column> {
    let column =
        |name: String, meaning| Column { name: name.into(), kind: Type::Int8, ..text("", meaning) };
    let pair = |quantile: Quantile| {
        let query = column(format!("query_{quantile}"), "of the times of queries, in µs");
        let transaction =
            column(format!("transaction_{quantile}"), "of the times of transactions, in µs");
        [query, transaction]
    };
    all_quantiles(shared).into_iter().flat_map(pair).collect()
}

fn all_quantiles(shared: &Shared) -> Vec<Quantile> {
    let config = shared.config();
    let mut all: Vec<Quantile> =
        config.rules.iter().flat_map(|rule| rule.quantiles.iter().copied()).collect();
    all.sort_by_key(|quantile| quantile.rank(1_000_000));
    all.dedup();
    all
}

fn times(times: Option<&Times>, quantiles: &[Quantile]) -> Row {
    let of = |counts: &Histogram, quantile| match counts.total() {
        0 => Cell::Null,
        _ => counts.quantile(quantile).into(),
    };
    let pair = |quantile: &Quantile| match times {
        None => [Cell::Null, Cell::Null],
        Some(times) => [of(&times.queries, *quantile), of(&times.transactions, *quantile)],
    };
    quantiles.iter().flat_map(pair).collect()
}

/// `SHOW DATABASES`
pub fn databases(call: &Call<'_>) -> Result<Reply, Stop> {
    type Names = (String, String, i64, String, String, &'static str);
    let gates = call.shared.routes.gates();
    let mut found: BTreeMap<Names, (Pool, Arc<Rule>)> = BTreeMap::new();
    for route in routes(call.shared) {
        let (host, port) = first_host(&route.rule);
        let rule_database = route.rule.database.to_string();
        let (database, user) = (route.database.clone(), route.user.clone());
        let names = (database, host, port, rule_database, user, route.rule.pool.as_str());
        let new = || (Pool::default(), Arc::clone(&route.rule));
        found.entry(names).or_insert_with(new).0.add(&route);
    }
    let rows =
        found.into_iter().map(|((database, host, port, rule_database, user, mode), value)| {
            let (pool, rule) = value;
            let is_disabled = gates.is_disabled([database.as_str(), rule_database.as_str()]);
            let clients_max = rule.client_max.unwrap_or(0);
            let lifetime = rule.server_lifetime.unwrap_or_default();
            vec![
                database.into(),
                host.into(),
                Cell::Int(port),
                rule_database.into(),
                user.into(),
                rule.pool_size.unwrap_or(0).into(),
                Cell::Int(0),
                mode.into(),
                clients_max.into(),
                pool.counts.servers().into(),
                Cell::Int(pool.is_paused.into()),
                Cell::Int(is_disabled.into()),
                rule.min_pool_size.into(),
                lifetime.as_secs().into(),
                clients_max.into(),
                pool.clients.into(),
            ]
        });
    Ok(rows.collect::<Vec<Row>>().into())
}

/// `SHOW USERS`
pub fn users(call: &Call<'_>) -> Result<Reply, Stop> {
    let mut users: BTreeMap<String, Pool> = BTreeMap::new();
    for route in routes(call.shared) {
        users.entry(route.user.clone()).or_default().add(&route);
    }
    let rows = users.into_iter().map(|(name, pool)| {
        let modes: Vec<&'static str> = pool.modes.iter().copied().collect();
        let mode = if let [one] = modes[..] { one.into() } else { Cell::Null };
        vec![
            name.into(),
            "".into(),
            "".into(),
            mode,
            Cell::Int(0),
            pool.counts.servers().into(),
            Cell::Int(0),
            pool.clients.into(),
        ]
    });
    Ok(rows.collect::<Vec<Row>>().into())
}

/// Of a rule's storage; the port of a socket is in its name.
pub fn first_host(rule: &Rule) -> (String, i64) {
    rule.storage.endpoints.first().map_or((String::new(), 0), endpoint)
}

/// Where a server listens.
pub fn endpoint(endpoint: &Endpoint) -> (String, i64) {
    match endpoint {
        Endpoint::Tcp { host, port } => (host.clone(), (*port).into()),
        Endpoint::Unix { path } => {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let port = name.rsplit('.').next().and_then(|port| port.parse().ok());
            (path.display().to_string(), port.unwrap_or(-1))
        }
    }
}
