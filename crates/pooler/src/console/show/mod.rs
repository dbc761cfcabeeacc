//! What SHOW shows, a file a subject: the columns of each answer, and the rows as they are now.

pub mod clients;
pub mod config;
pub mod errors;
pub mod pools;
pub mod process;
pub mod servers;
pub mod sockets;
pub mod stats;

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use machine::Address;
use wire::startup::Replication;

use super::row::Cell;
use crate::calendar::Civil;

/// A host, and a port; -1 where there is none.
fn place(address: &Address) -> [Cell; 2] {
    match address {
        Address::Tcp(tcp) => {
            let ip: IpAddr = tcp.ip().to_canonical();
            [ip.to_string().into(), Cell::Int(tcp.port().into())]
        }
        Address::Unix(_) => [address.to_string().into(), Cell::Int(-1)],
    }
}

/// The word for what a client replicates, or its server.
fn replication(kind: Replication) -> &'static str {
    match kind {
        Replication::No => "none",
        Replication::Logical => "logical",
        Replication::Physical => "physical",
    }
}

/// Whole seconds, and the microseconds beyond.
fn seconds(time: Option<Duration>) -> [Cell; 2] {
    let time = time.unwrap_or_default();
    [time.as_secs().into(), Cell::Int(time.subsec_micros().into())]
}

fn micros(time: Duration) -> Cell {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).into()
}

/// A moment as `2024-02-29 23:59:59 UTC`.
fn moment(at: Instant) -> Cell {
    let ago = machine::now().saturating_duration_since(at);
    let then = SystemTime::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH);
    let since_epoch = then.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{} UTC", Civil::of(since_epoch.as_secs())).into()
}
