//! A client of the storm: connects, speaks TLS if it is to, proves who it is by whatever method it
//! is asked for, and leaves as soon as it is in.

use machine::tls::{Client, Common, Verify, Version};
use machine::{Address, Buffer, Deadline, Stream, StreamOptions};
use std::cell::RefCell;
use std::error::Error;
use std::net::SocketAddr;
use wire::auth::md5;
use wire::auth::scram::{self, Binding, ClientKeys, NONCE_BYTES};
use wire::backend::{self, Authentication};
use wire::frame::{self, HEADER_BYTES, Side};
use wire::{encode, startup};

/// Who logs in.
#[derive(Clone)]
pub struct Person {
    pub user: String,
    pub database: String,
    pub password: String,
}

impl Default for Person {
    fn default() -> Person {
        Person { user: "bench".into(), database: "stub".into(), password: String::new() }
    }
}

/// How.
#[derive(Clone)]
pub struct Manner {
    /// `off`, `full`, `resume`, and the last two with `12` behind.
    pub tls: String,
    /// SCRAM keys are derived at each login, as libpq does; or once.
    pub derives: bool,
}

impl Default for Manner {
    fn default() -> Manner {
        Manner { tls: "off".into(), derives: false }
    }
}

/// Where all clients of a round come in.
pub struct Door {
    address: Address,
    person: Person,
    derives: bool,
    tls: Option<Client>,
    resumes: bool,
    keys: RefCell<Option<ClientKeys>>,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

impl Door {
    /// A door to this address.
    pub fn new(address: SocketAddr, person: &Person, manner: &Manner) -> Outcome<Door> {
        let (mode, highest) = match manner.tls.strip_suffix("12") {
            Some(mode) => (mode, Some(Version::Tls1_2)),
            None => (manner.tls.as_str(), None),
        };
        let tls = match mode {
            "off" => None,
            "full" | "resume" => {
                let common = Common { highest, ..Common::default() };
                Some(Client::load(&common, Verify::Nothing)?)
            }
            other => return Err(format!("TLS \"{other}\"?").into()),
        };
        Ok(Door {
            address: Address::Tcp(address),
            person: person.clone(),
            derives: manner.derives,
            tls,
            resumes: mode == "resume",
            keys: RefCell::default(),
        })
    }

    /// One login, by the client of this number.
    pub fn come_and_go(&self, number: usize, deadline: Deadline) -> Outcome<()> {
        let options = StreamOptions { nodelay: true, ..StreamOptions::default() };
        let mut stream = Stream::connect(&self.address, &options, deadline)?;
        if let Some(client) = &self.tls {
            stream.write_all(&startup::ssl_request(), deadline)?;
            let mut answer = [0];
            stream.read(&mut answer, deadline)?;
            if answer != *b"S" {
                return Err("the server speaks no TLS".into());
            }
            // Sessions are kept by the host's name.
            let host = self.resumes.then(|| format!("client{number}.invalid"));
            stream.connect_tls(client, host.as_deref(), deadline)?;
        }
        Talk { stream, deadline, inbox: Buffer::lease(), spent: 0 }.log_in(self)
    }

    /// The keys for a challenge.
    fn keys(&self, challenge: &scram::Challenge, deadline: Deadline) -> Outcome<ClientKeys> {
        if let Some(keys) = self.keys.borrow().clone().filter(|keys| challenge.fits(keys)) {
            return Ok(keys);
        }
        let (salt, iterations) = (challenge.salt().to_vec(), challenge.iterations());
        let password = self.person.password.clone();
        let derive = move || ClientKeys::derive(password, &salt, iterations);
        let keys = machine::offload(derive, deadline)?.map_err(|failure| format!("{failure:?}"))?;
        if !self.derives {
            self.keys.replace(Some(keys.clone()));
        }
        Ok(keys)
    }
}

/// The login, message by message.
struct Talk {
    stream: Stream,
    deadline: Deadline,
    inbox: Buffer,
    spent: usize,
}

impl Talk {
    fn log_in(mut self, door: &Door) -> Outcome<()> {
        let mut out = Vec::new();
        let Person { user, database, .. } = &door.person;
        startup::startup_message(&mut out, &[("user", user), ("database", database)], 0);
        self.send(&out)?;
        loop {
            out.clear();
            let (tag, body) = self.receive()?;
            match tag {
                b'Z' => break,
                b'E' => return Err(String::from_utf8_lossy(body).into_owned().into()),
                b'R' => {}
                _ => continue,
            }
            match backend::authentication(body).map_err(|error| error.to_string())? {
                Authentication::Ok => continue,
                Authentication::Cleartext => {
                    encode::password(&mut out, &door.person.password);
                }
                Authentication::Md5 { salt } => {
                    let answer = md5::response(user, &door.person.password, salt);
                    encode::password(&mut out, answer);
                }
                Authentication::Sasl { .. } => {
                    self.prove(door)?;
                    continue;
                }
                other => return Err(format!("what is {other:?}?").into()),
            }
            self.send(&out)?;
        }
        out.clear();
        encode::terminate(&mut out);
        self.send(&out)
    }

    /// SCRAM, until the server's proof; AuthenticationOk follows.
    fn prove(&mut self, door: &Door) -> Outcome<()> {
        let mut random = [0; NONCE_BYTES];
        openssl::rand::rand_bytes(&mut random)?;
        let client = scram::Client::new(&random, Binding::None);
        let mut out = Vec::new();
        encode::sasl_initial_response(&mut out, scram::MECHANISM, &client.client_first());
        self.send(&out)?;
        let challenge = {
            let (_, body) = self.receive()?;
            let Ok(Authentication::SaslContinue(data)) = backend::authentication(body) else {
                return Err("no SASLContinue".into());
            };
            client.challenge(data).map_err(|failure| format!("{failure:?}"))?
        };
        let keys = door.keys(&challenge, self.deadline)?;
        let (proved, last) = challenge.answer(&keys).map_err(|failure| format!("{failure:?}"))?;
        out.clear();
        encode::sasl_response(&mut out, &last);
        self.send(&out)?;
        let (_, body) = self.receive()?;
        let Ok(Authentication::SaslFinal(data)) = backend::authentication(body) else {
            return Err("no SASLFinal: a wrong password?".into());
        };
        Ok(proved.verify(data).map_err(|failure| format!("{failure:?}"))?)
    }

    fn send(&self, bytes: &[u8]) -> Outcome<()> {
        Ok(self.stream.write_all(bytes, self.deadline)?)
    }

    fn receive(&mut self) -> Outcome<(u8, &[u8])> {
        self.inbox.consume(std::mem::take(&mut self.spent));
        let header = loop {
            let header = frame::header(Side::Backend, self.inbox.data());
            match header.map_err(|error| error.to_string())? {
                Some(header) if header.frame_bytes() <= self.inbox.len() => break header,
                _ => {}
            }
            if self.stream.read_into(&mut self.inbox, self.deadline)? == 0 {
                return Err("the server hung up".into());
            }
        };
        self.spent = header.frame_bytes();
        Ok((header.tag, &self.inbox.data()[HEADER_BYTES..self.spent]))
    }
}
