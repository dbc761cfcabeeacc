//! Metrics of the hosts of storages.

use std::fmt::Display;

use config::StorageKind;
use router::{Role, Seen};

use super::{Family, gauge};
use crate::metrics::snapshot::Snapshot;
use crate::metrics::text::Samples;
use crate::readings;

const HOST: &[&str] = &["storage", "host"];

pub(super) const FAMILIES: &[Family] = &[
    gauge(
        "odyssey_host_alive",
        "Whether a host could be reached when that was tried last.",
        |it, out| put_each(it, out, |seen| Some(u8::from(!seen.is_dead))),
    )
    .by(HOST),
    gauge(
        "odyssey_host_is_primary",
        "Whether a host takes writes; absent where that is not known, as without a watchdog.",
        |it, out| put_each(it, out, |seen| seen.role.map(|role| u8::from(role == Role::Primary))),
    )
    .by(HOST),
    gauge(
        "odyssey_host_lag_seconds",
        "How far a host lags, as its watchdog found; absent where that is not known.",
        |it, out| put_each(it, out, |seen| seen.lag.map(|lag| lag.as_secs_f64())),
    )
    .by(HOST),
];

/// What is known of each host, where it is known.
fn put_each<V: Display>(it: &Snapshot, out: &mut Samples<'_>, value: impl Fn(&Seen) -> Option<V>) {
    let config = it.shared.config();
    let remote = config.storages.iter().filter(|storage| storage.kind == StorageKind::Remote);
    for storage in remote {
        for host in readings::hosts(&it.shared, storage) {
            if let Some(value) = value(&host.seen) {
                out.put(&[&storage.name, &host.endpoint.to_string()], value);
            }
        }
    }
}
