//! The client's side, toward servers: client-first, server-first → client-final, server-final →
//! verified. The expensive step is between them: `ClientKeys::derive` with the challenge's salt and
//! count, or keys that were kept. Only `Proved::verify` says that the server knows the password.

use base64::Engine as _;
use openssl::memcmp;

use super::{Attributes, BASE64, ClientKeys, Failure, ITERATIONS_MAX, Key, NONCE_BYTES};
use super::{count, hmac, key, nonce, sha256, xor};

/// What an exchange is bound to, so that nobody in the middle of it can pass it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// To nothing: there is no channel with a name.
    None,
    /// To nothing, but to the server's word that it cannot bind: one that can will see that
    /// somebody has changed what it offered.
    Unoffered,
    /// To the hash of the server's certificate (`tls-server-end-point`, RFC 5929): the mechanism
    /// is [`super::MECHANISM_PLUS`].
    EndPoint(Vec<u8>),
}

impl Binding {
    /// In front of the first message. No other identity is asked for.
    fn header(&self) -> &'static str {
        match self {
            Binding::None => "n,,",
            Binding::Unoffered => "y,,",
            Binding::EndPoint(_) => "p=tls-server-end-point,,",
        }
    }

    /// The header and what it is about, as the last message repeats it.
    fn repeated(&self) -> String {
        let data: &[u8] = match self {
            Binding::None | Binding::Unoffered => &[],
            Binding::EndPoint(hash) => hash,
        };
        BASE64.encode([self.header().as_bytes(), data].concat())
    }
}

/// Before server-first.
#[derive(Debug)]
pub struct Client {
    pub(super) binding: Binding,
    pub(super) nonce: String,
    /// The first message without its header.
    pub(super) bare: String,
}

impl Client {
    /// `random`: the client's half of the nonce.
    pub fn new(random: &[u8; NONCE_BYTES], binding: Binding) -> Client {
        let nonce = BASE64.encode(random);
        let bare = format!("n=,r={nonce}"); // PostgreSQL's user name is in the startup packet
        Client { binding, nonce, bare }
    }

    /// For SASLInitialResponse.
    pub fn client_first(&self) -> Vec<u8> {
        format!("{}{}", self.binding.header(), self.bare).into_bytes()
    }

    /// Takes what AuthenticationSASLContinue brought.
    pub fn challenge(self, server_first: &[u8]) -> Result<Challenge, Failure> {
        let mut attributes = Attributes::new(server_first);
        let nonce = nonce(attributes.expect(b'r', "nonce")?)?;
        let salt = attributes.expect(b's', "salt")?;
        let iterations = attributes.expect(b'i', "iteration count")?;
        attributes.end()?;
        // A server that adds nothing of its own would accept a recorded exchange.
        if nonce.strip_prefix(&self.nonce).is_none_or(str::is_empty) {
            return Err(Failure::NonceMismatch);
        }
        let malformed = Failure::Malformed("iteration count");
        let digits = std::str::from_utf8(iterations).map_err(|_| malformed)?;
        let iterations = count(digits).ok_or(malformed)?;
        if iterations > ITERATIONS_MAX {
            return Err(Failure::Iterations(iterations));
        }
        Ok(Challenge {
            repeated: self.binding.repeated(),
            nonce: nonce.to_owned(),
            bare: self.bare,
            server_first: server_first.to_vec(),
            salt: BASE64.decode(salt).map_err(|_| Failure::Malformed("salt"))?,
            iterations,
        })
    }
}

/// Waits for keys.
#[derive(Debug)]
pub struct Challenge {
    /// What the exchange is bound to.
    repeated: String,
    /// Both halves.
    nonce: String,
    bare: String,
    server_first: Vec<u8>,
    salt: Vec<u8>,
    iterations: u32,
}

impl Challenge {
    /// What to derive the keys with: any number of bytes.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// What to derive the keys with: 1..=[`ITERATIONS_MAX`].
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Do these keys answer it without a new derivation?
    pub fn fits(&self, keys: &ClientKeys) -> bool {
        keys.fit(&self.salt, self.iterations)
    }

    /// Gives what SASLResponse brings.
    pub fn answer(self, keys: &ClientKeys) -> Result<(Proved, Vec<u8>), Failure> {
        if !self.fits(keys) {
            return Err(Failure::KeysDoNotFit);
        }
        let proved = format!("c={},r={}", self.repeated, self.nonce);
        let message: [&[u8]; 5] =
            [self.bare.as_bytes(), b",", &self.server_first, b",", proved.as_bytes()];
        let proof = xor(keys.client_key, hmac(&sha256(&keys.client_key), &message)?);
        let signature = hmac(&keys.server_key, &message)?;
        let client_final = format!("{proved},p={}", BASE64.encode(proof));
        Ok((Proved { signature }, client_final.into_bytes()))
    }
}

/// Waits for the server's own proof.
pub struct Proved {
    /// What the server must send.
    pub(super) signature: Key,
}

impl std::fmt::Debug for Proved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("scram::Proved(***)")
    }
}

impl Proved {
    /// Takes what AuthenticationSASLFinal brought. An AuthenticationOk without it proves nothing.
    pub fn verify(self, server_final: &[u8]) -> Result<(), Failure> {
        if server_final.starts_with(b"e=") {
            return Err(Failure::ServerError);
        }
        let mut attributes = Attributes::new(server_final);
        let signature = attributes.expect(b'v', "signature")?;
        attributes.end()?;
        let signature = key(signature).ok_or(Failure::Malformed("signature"))?;
        match memcmp::eq(&signature, &self.signature) {
            true => Ok(()),
            false => Err(Failure::ServerSignature),
        }
    }
}
