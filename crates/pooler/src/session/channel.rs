//! The channel a client came through, when that is TLS: what a login may be bound to, and who its
//! certificate says it is. It decides nothing.

use std::time::Duration;

use machine::tls::Facts;

/// A client's TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Channel {
    /// `tls-server-end-point` (RFC 5929): the hash of our certificate.
    pub(crate) end_point: Option<Vec<u8>>,
    /// The common name in the client's certificate; None without one, or with a zero byte in it.
    pub(crate) common_name: Option<String>,
    /// The certificate was signed by an authority of the `listen` section. Without this it proves
    /// nothing: anybody can make one.
    pub(crate) is_verified: bool,
    /// So long did the handshake take.
    pub(crate) handshake: Duration,
    /// How it is spoken.
    pub(crate) spoken: Box<str>,
}

impl Channel {
    /// Of a connection whose handshake took so long.
    pub(crate) fn new(facts: Facts, handshake: Duration) -> Channel {
        let spoken = facts.spoken().into();
        let Facts { peer, end_point, .. } = facts;
        let is_verified = peer.as_ref().is_some_and(|peer| peer.is_verified);
        let common_name = peer.and_then(|peer| peer.common_name);
        Channel { end_point, common_name, is_verified, handshake, spoken }
    }
}
