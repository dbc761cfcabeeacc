//! A SOCKS 5 proxy: a real one, and nothing in it is PostgreSQL's.
//!
//! Teaches: what a proxy for another protocol looks like on this engine. A handshake of a few bytes
//! is read and answered in straight-line code under one deadline; names are resolved off the loop;
//! then [`machine::relay`] does the rest. RFC 1928: CONNECT, to names and addresses, without a
//! login.
//!
//! Run: `cargo run --release -p machine --example 13_socks5 -- 127.0.0.1:1080`, then
//! `curl --socks5-hostname 127.0.0.1:1080 https://example.org/`. Without arguments it says this:
//!
//! ```text
//! usage: 13_socks5 LISTEN
//! ```
//!
//! Try: two machines, with a parcel for each connection as in `08_two_machines`.

use machine::{
    Address, Deadline, EngineConfig, Error, ListenOptions, Listener, RelayLimits, Stream,
    StreamOptions,
};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

const VERSION: u8 = 5;
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// Why a client was turned away; the codes are the protocol's.
enum Refusal {
    /// It does not speak SOCKS 5, or hung up.
    Nonsense(&'static str),
    /// It wants to prove something; we only take those who need not.
    NoMethod,
    /// It wants something else than a connection.
    Command(u8),
    AddressType(u8),
    /// There is nobody there.
    Unreachable(Error),
    Engine(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Engine(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Nonsense(what) => f.write_str(what),
            Refusal::NoMethod => f.write_str("it offers no way in without a login"),
            Refusal::Command(command) => write!(f, "command {command} is not CONNECT"),
            Refusal::AddressType(kind) => write!(f, "there are no addresses of type {kind}"),
            Refusal::Unreachable(error) => write!(f, "the target cannot be reached: {error}"),
            Refusal::Engine(error) => error.fmt(f),
        }
    }
}

/// One client until the relay begins.
struct Handshake<'a> {
    client: &'a Stream,
    deadline: Deadline,
}

impl Handshake<'_> {
    /// From the first byte to a connection with whom the client wants to talk to.
    fn run(&self) -> Result<Stream, Refusal> {
        self.agree()?;
        let [version, command, _, kind] = self.bytes()?;
        match (version, command) {
            (VERSION, 1) => {}
            (VERSION, other) => return Err(self.refuse(7, Refusal::Command(other))),
            _ => return Err(Refusal::Nonsense("not SOCKS 5")),
        }
        let targets = self.targets(kind)?;
        self.client.set_options(&StreamOptions::NODELAY)?;
        let mut last = Error::TimedOut;
        for target in targets {
            match Stream::connect(&Address::Tcp(target), &StreamOptions::NODELAY, self.deadline) {
                Ok(server) => {
                    self.answer(0)?;
                    return Ok(server);
                }
                Err(error) => last = error,
            }
        }
        Err(self.refuse(4, Refusal::Unreachable(last)))
    }

    /// Who offers to come in without proving anything may.
    fn agree(&self) -> Result<(), Refusal> {
        let [version, count] = self.bytes()?;
        if version != VERSION {
            return Err(Refusal::Nonsense("not SOCKS 5"));
        }
        let methods = self.many(count)?;
        let is_taken = methods.contains(&0);
        let answer = [VERSION, if is_taken { 0 } else { 0xff }];
        self.client.write_all(&answer, self.deadline)?;
        if is_taken { Ok(()) } else { Err(Refusal::NoMethod) }
    }

    /// Where the client wants to go: every address its name has.
    fn targets(&self, kind: u8) -> Result<Vec<SocketAddr>, Refusal> {
        let addresses = match kind {
            1 => vec![IpAddr::V4(Ipv4Addr::from(self.bytes::<4>()?))],
            4 => vec![IpAddr::V6(Ipv6Addr::from(self.bytes::<16>()?))],
            3 => {
                let [length] = self.bytes()?;
                let name = self.many(length)?;
                let port = u16::from_be_bytes(self.bytes()?);
                let name = String::from_utf8(name);
                let name = name.map_err(|_| Refusal::Nonsense("a name that is not text"))?;
                let found = machine::resolve(&name, port, self.deadline);
                return found.map_err(|error| self.refuse(4, Refusal::Unreachable(error)));
            }
            other => return Err(self.refuse(8, Refusal::AddressType(other))),
        };
        let port = u16::from_be_bytes(self.bytes()?);
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    /// Tells the client the code, if it still listens.
    fn refuse(&self, code: u8, refusal: Refusal) -> Refusal {
        let _ = self.answer(code);
        refusal
    }

    fn answer(&self, code: u8) -> Result<(), Error> {
        self.client.write_all(&[VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0], self.deadline)
    }

    fn bytes<const N: usize>(&self) -> Result<[u8; N], Refusal> {
        let mut bytes = [0; N];
        self.client.read_exact(&mut bytes, self.deadline)?;
        Ok(bytes)
    }

    fn many(&self, count: u8) -> Result<Vec<u8>, Refusal> {
        let mut bytes = vec![0; count.into()];
        self.client.read_exact(&mut bytes, self.deadline)?;
        Ok(bytes)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(listen) = std::env::args().nth(1) else {
        println!("usage: 13_socks5 LISTEN");
        return Ok(());
    };
    let listener = Listener::bind(&Address::Tcp(listen.parse()?), &ListenOptions::default())?;
    println!("SOCKS 5 on {}", listener.local());
    machine::run(EngineConfig::default(), move |_engine| {
        let limits = RelayLimits { idle: Some(SILENCE_MAX), ..RelayLimits::NONE };
        listener.serve("client", move |client, peer| {
            let handshake = Handshake { client: &client, deadline: Deadline::after(HANDSHAKE_MAX) };
            match handshake.run() {
                Ok(server) => _ = machine::relay(&client, &server, &limits),
                Err(refusal) => eprintln!("{peer}: {refusal}"),
            }
        })
    })??;
    Ok(())
}
