//! The server's side: client-first → server-first, client-final → server-final. Each step consumes
//! the one before, so a proof cannot be tried twice against one nonce. No step is expensive.

use base64::Engine as _;

use super::{Attributes, BASE64, ClientKeys, Failure, ScramVerifier};
use super::{MECHANISM, MECHANISM_PLUS};
use super::{NONCE_BYTES, NONCE_CHARACTERS_MAX};
use super::{hmac, key, nonce, xor};

/// After server-first: waits for the proof.
pub struct Server {
    verifier: ScramVerifier,
    /// The client's first message without its header.
    client_first_bare: Vec<u8>,
    server_first: String,
    /// Both halves.
    nonce: String,
    /// The header of the client's first message and what it binds to, as its last one must repeat
    /// it.
    binding: String,
}

/// What the client may choose from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer<'a> {
    /// `tls-server-end-point` of the channel (RFC 5929); None where there is none to bind to.
    pub end_point: Option<&'a [u8]>,
}

impl Offer<'_> {
    /// For AuthenticationSASL: the mechanisms, the better one first.
    pub fn mechanisms(&self) -> &'static [&'static str] {
        match self.end_point {
            Some(_) => &[MECHANISM_PLUS, MECHANISM],
            None => &[MECHANISM],
        }
    }
}

/// The client knows the password.
#[derive(Debug)]
pub struct Accepted {
    /// For AuthenticationSASLFinal: our own proof.
    pub server_final: Vec<u8>,
    /// To log in as this client to a server that stores the same verifier.
    pub keys: ClientKeys,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("scram::Server(***)")
    }
}

impl Server {
    /// Takes what SASLInitialResponse brought; gives what AuthenticationSASLContinue brings back.
    pub fn first(
        verifier: ScramVerifier,
        offer: Offer<'_>,
        mechanism: impl AsRef<[u8]>,
        client_first: &[u8],
        random: &[u8; NONCE_BYTES],
    ) -> Result<(Server, Vec<u8>), Failure> {
        let chosen = offer.mechanisms().iter().find(|it| it.as_bytes() == mechanism.as_ref());
        let chosen = chosen.ok_or(Failure::UnsupportedMechanism)?;
        Server::start(verifier, (offer, chosen), client_first, &BASE64.encode(random))
    }

    pub(super) fn start(
        verifier: ScramVerifier,
        (offer, chosen): (Offer<'_>, &str),
        client_first: &[u8],
        own_nonce: &str,
    ) -> Result<(Server, Vec<u8>), Failure> {
        let (flag, header, bare) = split_header(client_first)?;
        let bound = bound(flag, offer, chosen)?;
        let binding = BASE64.encode([header, bound].concat());
        let mut attributes = Attributes::new(bare);
        attributes.expect(b'n', "user name")?; // PostgreSQL's is in the startup packet
        let client_nonce = nonce(attributes.expect(b'r', "nonce")?)?;
        if client_nonce.len() > NONCE_CHARACTERS_MAX {
            return Err(Failure::LongNonce);
        }
        attributes.end()?;
        let nonce = format!("{client_nonce}{own_nonce}");
        let salt = BASE64.encode(&verifier.salt);
        let server_first = format!("r={nonce},s={salt},i={}", verifier.iterations);
        let reply = server_first.clone().into_bytes();
        let client_first_bare = bare.to_vec();
        Ok((Server { verifier, client_first_bare, server_first, nonce, binding }, reply))
    }

    /// Takes what SASLResponse brought.
    pub fn finish(self, client_final: &[u8]) -> Result<Accepted, Failure> {
        // The proof is the last attribute; everything in front of it is proved.
        let at = client_final.windows(3).rposition(|window| window == b",p=");
        let (proved, proof) = client_final.split_at(at.ok_or(Failure::Malformed("proof"))?);
        let mut attributes = Attributes::new(proved);
        if attributes.expect(b'c', "header")? != self.binding.as_bytes() {
            return Err(Failure::BindingMismatch);
        }
        if attributes.expect(b'r', "nonce")? != self.nonce.as_bytes() {
            return Err(Failure::NonceMismatch);
        }
        attributes.end()?;
        let proof = key(&proof[3..]).ok_or(Failure::Malformed("proof"))?;
        let message: [&[u8]; 5] =
            [&self.client_first_bare, b",", self.server_first.as_bytes(), b",", proved];
        let client_key = xor(proof, hmac(&self.verifier.stored_key, &message)?);
        let signature = hmac(&self.verifier.server_key, &message)?;
        if !self.verifier.is_client_key(client_key) {
            return Err(Failure::WrongProof);
        }
        let ScramVerifier { iterations, salt, server_key, .. } = self.verifier;
        Ok(Accepted {
            server_final: format!("v={}", BASE64.encode(signature)).into_bytes(),
            keys: ClientKeys { salt, iterations, client_key, server_key },
        })
    }
}

/// What the client says about binding, the header that says so, and what is behind it.
fn split_header(client_first: &[u8]) -> Result<(Flag, &[u8], &[u8]), Failure> {
    let mut parts = client_first.splitn(3, |&byte| byte == b',');
    let flag = match parts.next().unwrap_or_default() {
        b"n" => Flag::Cannot,
        b"y" => Flag::NotOffered,
        b"p=tls-server-end-point" => Flag::EndPoint,
        [b'p', b'=', ..] => return Err(Failure::ChannelBinding),
        _ => return Err(Failure::Malformed("channel binding flag")),
    };
    match parts.next() {
        Some(b"") => {}
        Some([b'a', b'=', ..]) => return Err(Failure::AuthorizationIdentity),
        _ => return Err(Failure::Malformed("header")),
    }
    let bare = parts.next().ok_or(Failure::Malformed("header"))?;
    let header = &client_first[..client_first.len() - bare.len()];
    Ok((flag, header, bare))
}

/// What the client says about binding.
#[derive(Clone, Copy)]
enum Flag {
    /// It cannot.
    Cannot,
    /// It could, and believes that we cannot.
    NotOffered,
    /// It binds to the server's certificate.
    EndPoint,
}

/// What the client binds to, behind its header.
fn bound<'a>(flag: Flag, offer: Offer<'a>, chosen: &str) -> Result<&'a [u8], Failure> {
    match (flag, offer.end_point, chosen == MECHANISM_PLUS) {
        (Flag::EndPoint, Some(end_point), true) => Ok(end_point),
        (Flag::EndPoint, _, _) => Err(Failure::ChannelBinding),
        (_, _, true) => Err(Failure::Malformed("channel binding flag")),
        (Flag::Cannot, _, false) | (Flag::NotOffered, None, false) => Ok(b""),
        // Somebody between us took our offer away (RFC 5802, 6).
        (Flag::NotOffered, Some(_), false) => Err(Failure::Downgrade),
    }
}
