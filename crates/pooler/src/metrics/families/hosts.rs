//! Metrics of the hosts of storages.

use config::{Storage, StorageKind};
use router::Role;

use super::{Family, gauge};
use crate::metrics::snapshot::Snapshot;
use crate::readings::{self, HostReading};

const HOST: &[&str] = &["storage", "host"];

pub(super) const FAMILIES: &[Family] = &[
    gauge(
        "odyssey_host_alive",
        "Whether a host could be reached when that was tried last.",
        |it, out| {
            each(it, |storage, host| {
                out.put(&[&storage.name, &place(host)], u8::from(!host.seen.is_dead));
            });
        },
    )
    .by(HOST),
    gauge(
        "odyssey_host_is_primary",
        "Whether a host takes writes; absent where that is not known, as without a watchdog.",
        |it, out| {
            each(it, |storage, host| {
                if let Some(role) = host.seen.role {
                    out.put(&[&storage.name, &place(host)], u8::from(role == Role::Primary));
                }
            });
        },
    )
    .by(HOST),
    gauge(
        "odyssey_host_lag_seconds",
        "How far a host lags, as its watchdog found; absent where that is not known.",
        |it, out| {
            each(it, |storage, host| {
                if let Some(lag) = host.seen.lag {
                    out.put(&[&storage.name, &place(host)], lag.as_secs_f64());
                }
            });
        },
    )
    .by(HOST),
];

fn each(it: &Snapshot, mut put: impl FnMut(&Storage, &HostReading)) {
    let config = it.shared.config();
    let remote = config.storages.iter().filter(|storage| storage.kind == StorageKind::Remote);
    for storage in remote {
        readings::hosts(&it.shared, storage).iter().for_each(|host| put(storage, host));
    }
}

fn place(host: &HostReading) -> String {
    host.endpoint.to_string()
}
