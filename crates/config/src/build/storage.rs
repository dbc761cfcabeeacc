//! A `storage` section.

use std::path::Path;

use super::endpoint;
use super::global::socket_path;
use super::tls;
use crate::diagnostic::Complaints;
use crate::fields::Fields;
use crate::model::{Endpoint, Storage, StorageKind};
use crate::options::Scope;
use crate::raw::Block;

pub(crate) const PORT: u16 = 5432; // PostgreSQL's; Odyssey would try port 0

pub(super) fn read(
    block: &Block,
    socket_dir: Option<&Path>,
    workers: usize,
    complaints: &mut Complaints,
) -> Storage {
    let fields = Fields::new(Scope::Storage, block);
    let name = block.title().to_owned();
    let kind = kind(&name, fields, complaints);
    let endpoints = match kind {
        StorageKind::Remote => endpoints(&name, fields, socket_dir, complaints),
        StorageKind::Local => Vec::new(),
    };
    for balancing in block.sections("balancing") {
        check_balancing(balancing, complaints);
    }
    Storage {
        name,
        kind,
        endpoints,
        tls: tls::of_storage(fields, complaints),
        server_max_routing: fields.limit("server_max_routing").unwrap_or(workers),
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
) -> Vec<Endpoint> {
    let port = u16::try_from(fields.integer("port")).ok().filter(|port| *port > 0);
    let Some(hosts) = fields.text("host") else {
        let Some(dir) = socket_dir else {
            let message =
                format!("storage '{name}': no host specified and unix_socket_dir is not set");
            complaints.error(&fields.block.place, message);
            return Vec::new();
        };
        return vec![Endpoint::Unix { path: socket_path(dir, port.unwrap_or(PORT)) }];
    };
    let place = fields.place("host");
    let Some(list) = endpoint::parse(hosts, port.unwrap_or(PORT)) else {
        complaints.error(place, format!("can't parse endpoints from '{hosts}'"));
        return Vec::new();
    };
    if list.lacks_port && port.is_none() {
        let message = format!("storage '{name}': a host without a port, {PORT} is used");
        complaints.warning(place, message);
    }
    if list.endpoints.len() > 1 {
        let message = format!("storage '{name}': only the first endpoint is used yet");
        complaints.warning(place, message);
    }
    list.endpoints
}

/// Balancing is not built, but a typo in it is told.
fn check_balancing(balancing: &Block, complaints: &mut Complaints) {
    for method in balancing.sections("method") {
        let word = method.title();
        if !["roundrobin", "leastconn"].contains(&word) {
            complaints.error(&method.place, format!("not implemented balancing method '{word}'"));
        }
    }
}
