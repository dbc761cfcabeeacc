//! The address selector of a rule: a network such as `10.0.0.0/8`, or the name of a host.

use std::net::IpAddr;

use crate::diagnostic::{Complaints, Place};
use crate::model::AddressSelector;

const HOST_NAME_BYTES_MAX: usize = 255;

/// None after a complaint.
pub(super) fn parse(
    text: &str,
    place: &Place,
    complaints: &mut Complaints,
) -> Option<AddressSelector> {
    let (host, length) = match text.split_once('/') {
        Some((host, length)) => (host, Some(length)),
        None => (text, None),
    };
    let Ok(address) = host.parse::<IpAddr>() else {
        if is_host_name(text) {
            return Some(AddressSelector::Host { name: text.to_owned() });
        }
        complaints.error(place, format!("invalid address or hostname: '{text}'"));
        return None;
    };
    let Some(length) = length else {
        complaints.error(place, format!("expected network mask in '{text}'"));
        return None;
    };
    let Some(prefix) = prefix(length, address) else {
        complaints.error(place, format!("invalid network prefix length in '{text}'"));
        return None;
    };
    let selector = AddressSelector::Network { address, prefix };
    let network = selector.masked();
    if network != selector {
        // Odyssey never matches such a rule.
        complaints.warning(place, format!("address '{text}' has host bits set, {network} is used"));
    }
    Some(selector)
}

/// Odyssey takes a negative length for 0.
fn prefix(length: &str, address: IpAddr) -> Option<u8> {
    let length: i64 = length.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    u8::try_from(length.max(0)).ok().filter(|prefix| *prefix <= bits)
}

/// RFC 952, with one leading dot for all names that end so.
fn is_host_name(text: &str) -> bool {
    let name = text.strip_prefix('.').unwrap_or(text);
    let label = |label: &str| {
        label.starts_with(|first: char| first.is_ascii_alphanumeric())
            && label.ends_with(|last: char| last.is_ascii_alphanumeric())
            && label.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
    };
    text.len() <= HOST_NAME_BYTES_MAX && name.split('.').all(label)
}
