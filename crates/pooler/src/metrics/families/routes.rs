//! Metrics by database and user, as they are at the server, and by database.

use std::time::Duration;

use super::{Family, counter, gauge, histogram, summary};
use crate::durations::{BOUNDS_US, Distribution};
use crate::metrics::snapshot::{Rates, Row, Snapshot};
use crate::metrics::text::{Samples, Steps};
use crate::rate::{mean, per_second};
use crate::tally::Span;

pub(super) const FAMILIES: &[Family] = &[
    // as Odyssey's exporter has them
    gauge("odyssey_database_avg_tx_per_second", "Transactions a second, in the last interval.", {
        |it, out| rates(it, out, |rate| rate.per_second(rate.since.transactions))
    })
    .by(DATABASE)
    .of_routes()
    .odysseys(),
    gauge("odyssey_database_avg_query_per_second", "Queries a second, in the last interval.", {
        |it, out| rates(it, out, |rate| rate.per_second(rate.since.queries))
    })
    .by(DATABASE)
    .of_routes()
    .odysseys(),
    gauge("odyssey_database_avg_recv_bytes_per_second", "Bytes a second from clients.", {
        |it, out| rates(it, out, |rate| rate.per_second(rate.since.received_bytes))
    })
    .by(DATABASE)
    .of_routes()
    .odysseys(),
    gauge("odyssey_database_avg_sent_bytes_per_second", "Bytes a second to clients.", {
        |it, out| rates(it, out, |rate| rate.per_second(rate.since.sent_bytes))
    })
    .by(DATABASE)
    .of_routes()
    .odysseys(),
    gauge("odyssey_database_avg_xact_time_seconds", "Mean length of transactions.", |it, out| {
        rates(it, out, |rate| mean_us(rate.since.transaction_us, rate.since.transactions));
    })
    .by(DATABASE)
    .of_routes()
    .odysseys(),
    gauge("odyssey_database_avg_query_time_seconds", "Mean length of queries.", |it, out| {
        rates(it, out, |rate| mean_us(rate.since.query_us, rate.since.queries));
    })
    .by(DATABASE)
    .of_routes()
    .odysseys(),
    gauge(
        "odyssey_database_avg_wait_time_seconds",
        "Mean wait for a server of those who waited.",
        |it, out| {
            rates(it, out, |rate| mean_us(rate.waited.as_micros() as u64, rate.waits));
        },
    )
    .by(DATABASE)
    .of_routes()
    .odysseys(),
    gauge("odyssey_client_pool_active_route", "Clients that have a server.", |it, out| {
        each(it, out, Row::clients_active);
    })
    .by(ROUTE)
    .of_routes()
    .odysseys(),
    gauge(
        "odyssey_client_pool_waiting_route",
        "Clients that wait for a server; Odyssey shows its idle clients here.",
        |it, out| each(it, out, |row| row.counts.waiting),
    )
    .by(ROUTE)
    .of_routes()
    .odysseys(),
    gauge(
        "odyssey_client_pool_maxwait_seconds_route",
        "How long the client that waits longest has waited so far.",
        |it, out| each(it, out, |row| row.longest_wait.as_secs_f64()),
    )
    .by(ROUTE)
    .of_routes()
    .odysseys(),
    gauge(
        "odyssey_server_pool_capacity_configured_route",
        "Servers there may be (pool_size); of a pool without limit, servers there are.",
        |it, out| each(it, out, |row| row.capacity),
    )
    .by(ROUTE)
    .of_routes()
    .odysseys(),
    gauge(
        "odyssey_server_pool_state_route",
        "Servers by state: active (a client has it), idle, used (always 0), tested (being reset, or \
         behind a cancel), login (being opened).",
        |it, out| {
            for row in &it.rows {
                let counts = &row.counts;
                let mut put = |state, n: usize| out.put(&[&row.user, &row.database, state], n);
                put("active", counts.leased);
                put("idle", counts.idle);
                put("used", 0);
                put("tested", counts.resetting + counts.quarantined);
                put("login", counts.opening);
            }
        },
    )
    .by(&["user", "database", "state"])
    .of_routes()
    .odysseys(),
    gauge("odyssey_route_pool_mode_info", "The pooling of a route; always 1.", |it, out| {
        for row in &it.rows {
            row.mode.iter().for_each(|mode| out.put(&[&row.user, &row.database, mode], 1));
        }
    })
    .by(&["user", "database", "mode"])
    .of_routes()
    .odysseys(),
    counter("odyssey_route_bytes_received_total", "Bytes from clients, behind the login.", {
        |it, out| each(it, out, |row| row.seen.done.received_bytes)
    })
    .by(ROUTE)
    .of_routes()
    .odysseys(),
    counter("odyssey_route_bytes_sent_total", "Bytes to clients, behind the login.", |it, out| {
        each(it, out, |row| row.seen.done.sent_bytes);
    })
    .by(ROUTE)
    .of_routes()
    .odysseys(),
    counter("odyssey_route_tcp_connections_total", "Connections of clients.", |it, out| {
        each(it, out, |row| row.seen.logins);
    })
    .by(ROUTE)
    .of_routes()
    .odysseys(),
    summary(
        "odyssey_route_query_duration_seconds",
        "Quantiles of queries of the last interval, of rules that have quantiles.",
        |it, out| quantiles(it, out, |row| &row.times.queries),
    )
    .by(QUANTILE)
    .of_routes()
    .odysseys(),
    summary(
        "odyssey_route_transaction_duration_seconds",
        "Quantiles of transactions of the last interval, of rules that have quantiles.",
        |it, out| quantiles(it, out, |row| &row.times.transactions),
    )
    .by(QUANTILE)
    .of_routes()
    .odysseys(),
    // and what it has not
    gauge("odyssey_clients", "Clients by state: active, waiting (for a server), idle.", {
        |it, out| {
            for row in &it.rows {
                let mut put = |state, n: usize| out.put(&[&row.user, &row.database, state], n);
                put("active", row.clients_active());
                put("waiting", row.counts.waiting);
                put("idle", row.clients_idle());
            }
        }
    })
    .by(&["user", "database", "state"])
    .of_routes(),
    counter("odyssey_queries_total", "Requests answered by a ReadyForQuery.", |it, out| {
        each(it, out, |row| row.seen.done.queries);
    })
    .by(ROUTE)
    .of_routes(),
    counter("odyssey_transactions_total", "Transactions.", |it, out| {
        each(it, out, |row| row.seen.done.transactions);
    })
    .by(ROUTE)
    .of_routes(),
    counter("odyssey_server_errors_total", "Errors of servers that clients were told.", |it, out| {
        each(it, out, |row| row.seen.done.errors);
    })
    .by(ROUTE)
    .of_routes(),
    counter(
        "odyssey_checkouts_total",
        "Requests for a server by what came of it: last (the one the client had last), near (idle, \
         of the same machine), far (idle, of another), opened, waited, refused.",
        |it, out| {
            for row in &it.rows {
                let pool = &row.seen.counters;
                let mut put = |result, n: u64| out.put(&[&row.user, &row.database, result], n);
                put("last", pool.takes_last);
                put("near", pool.takes_near);
                put("far", pool.takes_far);
                put("opened", pool.checkout_opens);
                put("waited", pool.waits);
                put("refused", pool.refused);
            }
        },
    )
    .by(&["user", "database", "result"])
    .of_routes(),
    counter("odyssey_waits_given_up_total", "Waits that ended without a server.", |it, out| {
        each(it, out, |row| row.seen.counters.gave_up);
    })
    .by(ROUTE)
    .of_routes(),
    counter("odyssey_servers_opened_total", "Connections made to servers.", |it, out| {
        each(it, out, |row| row.seen.counters.opened);
    })
    .by(ROUTE)
    .of_routes(),
    counter("odyssey_server_connect_failures_total", "Servers that could not be opened.", {
        |it, out| each(it, out, |row| row.seen.connect_failures)
    })
    .by(ROUTE)
    .of_routes(),
    counter("odyssey_cancels_total", "Cancels of a query that ran.", |it, out| {
        each(it, out, |row| row.seen.counters.cancels);
    })
    .by(ROUTE)
    .of_routes(),
    counter("odyssey_pins_total", "Clients tied to their server by what they left there.", {
        |it, out| each(it, out, |row| row.seen.pins)
    })
    .by(ROUTE)
    .of_routes(),
    histogram("odyssey_query_seconds", "Requests, from the first byte to the ReadyForQuery.", {
        |it, out| spans(it, out, Span::Query)
    })
    .by(ROUTE)
    .of_routes(),
    histogram("odyssey_transaction_seconds", "Transactions, from the first request on.", {
        |it, out| spans(it, out, Span::Transaction)
    })
    .by(ROUTE)
    .of_routes(),
    histogram("odyssey_wait_seconds", "Waits for a server, of clients that had to wait.", {
        |it, out| spans(it, out, Span::Wait)
    })
    .by(ROUTE)
    .of_routes(),
    histogram("odyssey_connect_seconds", "Opening of servers: name, connection and login.", {
        |it, out| spans(it, out, Span::Connect)
    })
    .by(ROUTE)
    .of_routes(),
    histogram("odyssey_login_seconds", "Logins of clients, from the accept on.", |it, out| {
        spans(it, out, Span::Login);
    })
    .by(ROUTE)
    .of_routes(),
    histogram("odyssey_tls_handshake_seconds", "TLS handshakes with clients.", |it, out| {
        spans(it, out, Span::Handshake);
    })
    .by(ROUTE)
    .of_routes(),
];

const ROUTE: &[&str] = &["user", "database"];
const DATABASE: &[&str] = &["database"];
const QUANTILE: &[&str] = &["user", "database", "quantile"];

fn each<N: std::fmt::Display>(snapshot: &Snapshot, out: &mut Samples<'_>, of: fn(&Row) -> N) {
    for row in &snapshot.rows {
        out.put(&[&row.user, &row.database], of(row));
    }
}

fn rates(snapshot: &Snapshot, out: &mut Samples<'_>, of: fn(&Rates) -> f64) {
    snapshot.rates.iter().for_each(|(database, rate)| out.put(&[database], of(rate)));
}

fn spans(snapshot: &Snapshot, out: &mut Samples<'_>, span: Span) {
    for row in &snapshot.rows {
        out.histogram(&[&row.user, &row.database], steps(&row.seen.spans[span as usize]));
    }
}

fn steps(of: &Distribution) -> Steps<impl IntoIterator<Item = f64>, impl IntoIterator<Item = u64>> {
    Steps {
        bounds_s: BOUNDS_US.iter().map(|us| seconds(*us)),
        counts: of.steps,
        total_s: seconds(of.total_us),
    }
}

fn quantiles(
    snapshot: &Snapshot,
    out: &mut Samples<'_>,
    of: fn(&Row) -> &crate::histogram::Counts,
) {
    for row in &snapshot.rows {
        for quantile in &row.quantiles {
            let us = of(row).quantile(*quantile);
            out.put(&[&row.user, &row.database, &quantile.to_string()], seconds(us));
        }
    }
}

fn mean_us(total_us: u64, count: u64) -> f64 {
    seconds(mean(total_us, count))
}

fn seconds(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}

impl Rates {
    fn per_second(&self, n: u64) -> f64 {
        per_second(n, self.elapsed)
    }
}
