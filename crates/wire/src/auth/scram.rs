//! skeleton
#![allow(missing_docs, dead_code, unused_variables, clippy::todo, reason = "skeleton")]
pub const MECHANISM: &str = "SCRAM-SHA-256";
pub const ITERATIONS_DEFAULT: u32 = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// "malformed SASLInitialResponse/SASLResponse": which part
    Malformed(&'static str),
    UnsupportedMechanism,
    /// `p=` under the plain mechanism: 0A000
    ChannelBinding,
    /// 0A000
    AuthorizationIdentity,
    /// `m=`: 0A000
    MandatoryExtension,
    NonceMismatch,
    /// c= is not the header of the first message
    BindingMismatch,
    WrongProof,
    /// client side: not in 1..=ITERATIONS_MAX
    Iterations(u32),
    /// client side: server does not know the password
    ServerSignature,
    /// client side: e=
    ServerError,
    /// OpenSSL refused (FIPS settings, memory)
    Crypto,
}

#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: [u8; 32],
    server_key: [u8; 32],
    mock: bool,
}
impl ScramVerifier {
    pub fn parse(text: &str) -> Option<ScramVerifier> {
        todo!()
    }
    /// EXPENSIVE (PBKDF2)
    pub fn from_password(
        password: impl AsRef<[u8]>,
        salt: &[u8],
        iterations: u32,
    ) -> Result<ScramVerifier, Failure> {
        todo!()
    }
    /// for users that do not exist: never matches, same salt for the same user as long as the process lives
    pub fn mock(user: &str, process_secret: &[u8]) -> Result<ScramVerifier, Failure> {
        todo!()
    }
    /// EXPENSIVE: does this cleartext password fit?
    pub fn matches_password(&self, password: impl AsRef<[u8]>) -> Result<bool, Failure> {
        todo!()
    }
    pub fn to_secret(&self) -> String {
        todo!()
    }
    pub fn salt(&self) -> &[u8] {
        todo!()
    }
    pub fn iterations(&self) -> u32 {
        todo!()
    }
}
/// server side: first(…) → (Server, server-first) → finish(…)
pub struct Server {}
impl Server {
    /// `random`: ≥ 18 random bytes make the server's half of the nonce
    pub fn first(
        verifier: ScramVerifier,
        mechanism: &[u8],
        client_first: &[u8],
        random: &[u8; 18],
    ) -> Result<(Server, Vec<u8>), Failure> {
        todo!()
    }
    pub fn finish(self, client_final: &[u8]) -> Result<Accepted, Failure> {
        todo!()
    }
}
pub struct Accepted {
    /// for AuthenticationSASLFinal
    pub server_final: Vec<u8>,
    /// for logging in to a server that stores the same verifier
    pub keys: ClientKeys,
}
#[derive(Clone, PartialEq, Eq)]
pub struct ClientKeys {}
impl ClientKeys {
    /// EXPENSIVE (PBKDF2): offload and cache by (password, salt, iterations)
    pub fn derive(
        password: impl AsRef<[u8]>,
        salt: &[u8],
        iterations: u32,
    ) -> Result<ClientKeys, Failure> {
        todo!()
    }
    /// were they made for this challenge?
    pub fn fit(&self, challenge: &Challenge) -> bool {
        todo!()
    }
}
/// client side: Client::new → client_first → challenge(server-first) → Challenge::answer(keys) → Proved::verify(server-final)
pub struct Client {}
impl Client {
    pub fn new(random: &[u8; 18]) -> Client {
        todo!()
    }
    /// for SASLInitialResponse
    pub fn client_first(&self) -> Vec<u8> {
        todo!()
    }
    pub fn challenge(self, server_first: &[u8]) -> Result<Challenge, Failure> {
        todo!()
    }
}
pub struct Challenge {}
impl Challenge {
    pub fn salt(&self) -> &[u8] {
        todo!()
    }
    pub fn iterations(&self) -> u32 {
        todo!()
    }
    /// → client-final for SASLResponse
    pub fn answer(self, keys: &ClientKeys) -> Result<(Proved, Vec<u8>), Failure> {
        todo!()
    }
}
pub struct Proved {}
impl Proved {
    pub fn verify(self, server_final: &[u8]) -> Result<(), Failure> {
        todo!()
    }
}
