//! A `storage` section.

use std::path::Path;

use super::endpoint;
use super::global::socket_path;
use super::tls;
use crate::diagnostic::Complaints;
use crate::fields::Fields;
use crate::model::{Balancing, BalancingMethod, Endpoint, Storage, StorageKind};
use crate::options::Scope;
use crate::raw::Block;

pub(crate) const PORT: u16 = 5432; // PostgreSQL's; Odyssey would try port 0

/// What of the whole file concerns a storage.
pub(super) struct Ours<'a> {
    pub socket_dir: Option<&'a Path>,
    pub workers: usize,
    /// Our availability zone.
    pub zone: &'a str,
}

pub(super) fn read(block: &Block, our: &Ours<'_>, complaints: &mut Complaints) -> Storage {
    let fields = Fields::new(Scope::Storage, block);
    let name = block.title().to_owned();
    let kind = kind(&name, fields, complaints);
    let (endpoints, zones) = match kind {
        StorageKind::Remote => endpoints(&name, fields, our.socket_dir, complaints),
        StorageKind::Local => Default::default(),
    };
    Storage {
        name,
        kind,
        endpoints,
        balancing: balancing(block, &zones, our.zone, complaints),
        status_max_age: fields.duration("endpoints_status_poll_interval"),
        tls: tls::of_storage(fields, complaints),
        server_max_routing: fields.limit("server_max_routing").unwrap_or(our.workers),
    }
}

fn kind(name: &str, fields: Fields<'_>, complaints: &mut Complaints) -> StorageKind {
    match fields.text("type") {
        Some("remote") => StorageKind::Remote,
        Some("local") => StorageKind::Local,
        Some(other) => {
            let message = format!("storage '{name}': unknown type '{other}'");
            complaints.error(fields.place("type"), message);
            StorageKind::Local
        }
        None => {
            let message = format!("storage '{name}': 'type' is required");
            complaints.error(&fields.block.place, message);
            StorageKind::Local
        }
    }
}

fn endpoints(
    name: &str,
    fields: Fields<'_>,
    socket_dir: Option<&Path>,
    complaints: &mut Complaints,
) -> (Vec<Endpoint>, Vec<String>) {
    let port = u16::try_from(fields.integer("port")).ok().filter(|port| *port > 0);
    let Some(hosts) = fields.text("host") else {
        let Some(dir) = socket_dir else {
            let message =
                format!("storage '{name}': no host specified and unix_socket_dir is not set");
            complaints.error(&fields.block.place, message);
            return Default::default();
        };
        let path = socket_path(dir, port.unwrap_or(PORT));
        return (vec![Endpoint::Unix { path }], vec![String::new()]);
    };
    let place = fields.place("host");
    let Some(list) = endpoint::parse(hosts, port.unwrap_or(PORT)) else {
        complaints.error(place, format!("can't parse endpoints from '{hosts}'"));
        return Default::default();
    };
    if list.lacks_port && port.is_none() {
        let message = format!("storage '{name}': a host without a port, {PORT} is used");
        complaints.warning(place, message);
    }
    (list.endpoints, list.zones)
}

/// Without zones every endpoint is as near as we are.
fn balancing(
    storage: &Block,
    zones: &[String],
    zone: &str,
    complaints: &mut Complaints,
) -> Balancing {
    let mut balancing =
        Balancing { near: zones.iter().map(|one| one == zone).collect(), ..Balancing::default() };
    for block in storage.sections("balancing") {
        balancing.tells = Fields::new(Scope::Balancing, block).flag("show_notice_messages");
        for method in block.sections("method") {
            match BalancingMethod::parse(method.title()) {
                Some(known) => balancing.method = known,
                None => {
                    let message = format!("not implemented balancing method '{}'", method.title());
                    complaints.error(&method.place, message);
                }
            }
            if !Fields::new(Scope::BalancingMethod, method).flag("az_aware") {
                balancing.near.fill(true);
            }
        }
    }
    balancing
}
