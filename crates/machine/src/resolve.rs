//! Names of hosts to addresses, by the system's resolver on an offload thread. No cache: that is
//! policy.

use crate::Deadline;
use crate::error::Error;
use crate::offload::offload;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// The addresses of `host`, in the resolver's order, at least one. A numeric address is taken at
/// its word, at once, with or without brackets.
///
/// # Errors
/// `Resolve` with the resolver's reason; `TimedOut`, `Cancelled`, `QueueFull` as in [`offload`].
pub fn resolve(host: &str, port: u16, deadline: Deadline) -> Result<Vec<SocketAddr>, Error> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = bare.parse::<IpAddr>() {
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

#[expect(clippy::disallowed_methods, reason = "getaddrinfo blocks, on a thread that may block")]
fn look_up(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((name, port).to_socket_addrs()?.collect())
}
