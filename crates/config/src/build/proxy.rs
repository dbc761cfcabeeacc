//! `proxy_protocol`: which senders of a `listen` section say where their clients come from.

use std::net::IpAddr;

use crate::diagnostic::Complaints;
use crate::fields::Fields;
use crate::model::{AddressSelector, ProxyFrom};

const SENDERS: &str = "addresses and networks with commas, such as \"10.0.0.7,10.1.0.0/16\"; unix \
                       for a unix socket";

/// None: nobody does, or a complaint says why not.
pub(super) fn read(fields: Fields<'_>, complaints: &mut Complaints) -> Option<ProxyFrom> {
    let list = fields.text("proxy_protocol_from").unwrap_or_default();
    if !fields.flag("proxy_protocol") {
        if fields.is_set("proxy_protocol_from") {
            let message = "proxy_protocol_from has no effect without proxy_protocol";
            complaints.warning(fields.place("proxy_protocol_from"), message);
        }
        return None;
    }
    if list.trim().is_empty() {
        let message = "proxy_protocol wants proxy_protocol_from: else whoever reaches the port \
                       says where he comes from";
        complaints.error_with_hint(fields.place("proxy_protocol"), message, SENDERS);
        return None;
    }
    let mut from = ProxyFrom { networks: Vec::new(), unix: false };
    for word in list.split(',').map(str::trim) {
        match (word, network(word)) {
            ("unix", _) => from.unix = true,
            (_, Some(network)) => from.networks.push(network),
            (_, None) => {
                let message = format!("proxy_protocol_from: '{word}' is no address");
                let place = fields.place("proxy_protocol_from");
                complaints.error_with_hint(place, message, SENDERS);
            }
        }
    }
    Some(from)
}

fn network(word: &str) -> Option<AddressSelector> {
    let (address, length) = word.split_once('/').map_or((word, None), |(a, b)| (a, Some(b)));
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match length {
        Some(length) => length.parse::<u8>().ok().filter(|prefix| *prefix <= bits)?,
        None => bits,
    };
    Some(AddressSelector::Network { address, prefix }.masked())
}
