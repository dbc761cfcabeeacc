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
    utc(since_epoch.as_secs()).into()
}

/// The civil calendar, by the days since 0000-03-01.
fn utc(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153; // 0 is March
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year_of_era + era * 400 + next;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day_of_month:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (seconds, shown) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (4_102_444_800, "2100-01-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(seconds), shown);
        }
    }
}
