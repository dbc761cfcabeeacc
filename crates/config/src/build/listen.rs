//! A `listen` section.

use std::path::Path;

use super::{Known, detour, proxy, session_attrs, tls};
use crate::diagnostic::Complaints;
use crate::fields::Fields;
use crate::model::{BalancingMethod, Listen};
use crate::options::Scope;
use crate::raw::Block;

pub(super) fn read(
    block: &Block,
    socket_dir: Option<&Path>,
    known: &Known<'_>,
    complaints: &mut Complaints,
) -> Listen {
    let fields = Fields::new(Scope::Listen, block);
    if !fields.is_set("port") {
        let hint = "there is no default; Odyssey's files say 6432";
        complaints.error_with_hint(&block.place, "listen section is missing 'port'", hint);
    }
    if !fields.is_set("host") && socket_dir.is_none() {
        let message = "listen host is not set and no unix_socket_dir is specified";
        let hint = "set host for TCP, or unix_socket_dir at the top level for a unix socket";
        complaints.error_with_hint(&block.place, message, hint);
    }
    Listen {
        host: fields.string("host"),
        port: u16::try_from(fields.integer("port")).unwrap_or(0),
        backlog: fields.small("backlog"),
        client_login_timeout: fields.time_limit("client_login_timeout"),
        tls: tls::of_listen(fields, complaints),
        proxy_protocol: proxy::read(fields, complaints),
        target_session_attrs: session_attrs(fields, complaints),
        storages: detour::storages(fields, known, complaints),
        balancing_method: method(fields, complaints),
        catchup_timeout: fields.time_limit("catchup_timeout"),
    }
}

/// There are three more words for it, which end Odyssey when a query arrives.
fn method(fields: Fields<'_>, complaints: &mut Complaints) -> Option<BalancingMethod> {
    let word = fields.text("balancing_method")?;
    let known = BalancingMethod::parse(word);
    if known.is_none() {
        let message = format!("not implemented balancing method '{word}'");
        let hint = "roundrobin or leastconn";
        complaints.error_with_hint(fields.place("balancing_method"), message, hint);
    }
    known
}
