//! Names of hosts to addresses and back, by the system's resolver on an offload thread. No cache:
//! that is policy.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use crate::Deadline;
use crate::error::Error;
use crate::offload::offload;
use crate::sys::socket;

/// The addresses of `host`, in the resolver's order, at least one. A numeric address is taken at
/// its word, at once, with or without brackets.
///
/// # Errors
/// `Resolve` with the resolver's reason; `TimedOut`, `Cancelled`, `QueueFull` as in [`offload`].
pub fn resolve(host: &str, port: u16, deadline: Deadline) -> Result<Vec<SocketAddr>, Error> {
    if let Some(ip) = numeric(host) {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let failed = |reason: String| Error::Resolve { host: host.to_owned(), reason };
    let name = host.to_owned();
    match offload(move || look_up(&name, port), deadline)? {
        Ok(addresses) if addresses.is_empty() => Err(failed("no address".to_owned())),
        Ok(addresses) => Ok(addresses),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// The address that `host` is, with or without brackets, unless it is a name.
pub(crate) fn numeric(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

#[expect(clippy::disallowed_methods, reason = "getaddrinfo blocks, on a thread that may block")]
fn look_up(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((name, port).to_socket_addrs()?.collect())
}

/// The name of the host with this address; None if it has none, or one that leads to other
/// addresses only: anybody can give his own address any name.
///
/// # Errors
/// `Io` when the resolver fails; `TimedOut`, `Cancelled`, `QueueFull` as in [`offload`].
pub fn host_name(address: IpAddr, deadline: Deadline) -> Result<Option<String>, Error> {
    let confirmed = move || {
        let Some(name) = socket::name_of(address)? else { return Ok(None) };
        let known = look_up(&name, 0)?.iter().any(|one| one.ip().to_canonical() == address);
        Ok::<_, io::Error>(known.then_some(name))
    };
    Ok(offload(confirmed, deadline)??)
}
