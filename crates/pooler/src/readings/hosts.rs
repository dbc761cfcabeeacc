//! Readings of hosts: what is known of each host of each storage. Of a host that nobody asks for
//! its role, and of one that no route leads to, that is little or nothing.

use config::{Endpoint, Storage};
use router::Seen;

use crate::shared::Shared;

/// One host of a storage.
pub struct HostReading {
    /// Where it is.
    pub endpoint: Endpoint,
    /// What is known of it.
    pub seen: Seen,
}

/// The hosts of a storage, in the order of the file; none of the console.
pub fn hosts(shared: &Shared, storage: &Storage) -> Vec<HostReading> {
    let (known, now) = (shared.routes.hosts_of(storage), machine::now());
    let seen = |host| known.as_ref().map(|hosts| hosts.seen(host, storage.status_max_age, now));
    let read = |(host, endpoint): (usize, &Endpoint)| HostReading {
        endpoint: endpoint.clone(),
        seen: seen(host).unwrap_or_default(),
    };
    storage.endpoints.iter().enumerate().map(read).collect()
}
