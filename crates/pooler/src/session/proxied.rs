//! Clients behind a proxy that says in a PROXY header where they come from. A header is taken from
//! those whom the `listen` section names, who have to send one, and from nobody else. It is read to
//! its end and not a byte further: what follows may be TLS.

use config::Listen;
use machine::{Address, Deadline, Stream};
use wire::proxy::{self, NoHeader, Proxied};

use crate::ending::Ending;

/// One header: 16 bytes, and what `wire` allows behind them.
const CHUNK_BYTES: usize = 512;

/// Where the client really is; None: where its connection comes from.
///
/// # Errors
/// No header came from a proxy, or none that means anything, or not in time.
pub(super) fn address(
    client: &Stream,
    listen: &Listen,
    peer: &Address,
    deadline: Deadline,
) -> Result<Option<Address>, Ending> {
    let is_proxy = |from: &config::ProxyFrom| from.contains(peer.ip());
    if !listen.proxy_protocol.as_ref().is_some_and(is_proxy) {
        return Ok(None);
    }
    let (mut have, mut chunk) = (Vec::new(), [0; CHUNK_BYTES]);
    loop {
        match proxy::header(&have).map_err(|why| refused(&why))? {
            Proxied::Header(header) => return Ok(header.client.map(Address::Tcp)),
            Proxied::More(more) => {
                let chunk = &mut chunk[..more.min(CHUNK_BYTES)];
                match client.read(chunk, deadline) {
                    Ok(0) | Err(machine::Error::Closed) => return Err(Ending::ClientGone),
                    Ok(bytes) => have.extend_from_slice(&chunk[..bytes]),
                    Err(machine::Error::TimedOut) => {
                        return Err(Ending::Silent("timed out before a PROXY header".into()));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

/// What begins a connection is no startup packet. A PROXY header is worth a word: whoever sends one
/// expects to be believed.
pub(super) fn unexpected(bytes: &[u8], listen: &Listen) -> Option<Ending> {
    let text = match &listen.proxy_protocol {
        _ if !proxy::is_header(bytes) => return None,
        Some(_) => "a PROXY header from an address that is not in proxy_protocol_from",
        None => "a PROXY header, and the listen section has no proxy_protocol",
    };
    Some(Ending::Silent(text.into()))
}

fn refused(why: &NoHeader) -> Ending {
    Ending::Silent(match why {
        NoHeader::Alien => "no PROXY header from an address in proxy_protocol_from".into(),
        other => other.to_string(),
    })
}
