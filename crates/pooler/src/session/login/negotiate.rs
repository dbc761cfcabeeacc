//! The packets before the login proper: requests for encryption, a cancel, and at last the startup
//! message. TLS begins here, when a client asks for it or with its first byte.

use machine::Buffer;
use machine::tls::Server;
use wire::CancelKey;
use wire::Notice;
use wire::startup::{Startup, StartupMessage};

use super::{Login, silent};
use crate::dialog::{Broken, Dialog};
use crate::ending::Ending;
use crate::secure::PROTOCOL;
use crate::session::channel::Channel;
use crate::session::proxied;

/// The first byte of TLS (a handshake record), which no startup packet begins with: it would have
/// 369 million bytes.
const HANDSHAKE: u8 = 0x16;

/// What a new connection is for.
pub(super) enum First {
    /// To cancel somebody's query.
    Cancel(CancelKey),
    /// To log in.
    Login(Negotiated),
}

/// What the first packets settled.
pub(in crate::session) struct Negotiated {
    pub(in crate::session) message: StartupMessage,
    /// Its TLS, if that is on; rules may select by it.
    pub(in crate::session) channel: Option<Channel>,
    /// What came behind the startup packet.
    pub(in crate::session) rest: Buffer,
}

impl Login<'_> {
    /// The packets before the login proper, until the startup message.
    pub(super) fn negotiate(&mut self) -> Result<First, Ending> {
        let server = self.listen.tls.clone();
        let (mut asked_ssl, mut asked_gss) = (false, false);
        let mut rest = Buffer::lease();
        let mut channel = match &server {
            Some(server) if self.speaks_tls_at_once(&mut rest)? => {
                let hello = std::mem::replace(&mut rest, Buffer::lease());
                Some(self.direct_tls(server, &hello)?)
            }
            _ => None,
        };
        loop {
            let mut dialog = self.dialog();
            dialog.raw().extend(rest.data());
            let packet = self.next(&mut dialog)?;
            rest = dialog.finish();
            match packet {
                Startup::Ssl if !asked_ssl && channel.is_none() => {
                    asked_ssl = true;
                    match &server {
                        Some(server) => channel = Some(self.asked_tls(server, &rest)?),
                        None => self.dialog().send(b"N")?,
                    }
                }
                Startup::GssEnc if !asked_gss => {
                    asked_gss = true;
                    self.dialog().send(b"N")?;
                }
                Startup::Ssl | Startup::GssEnc => {
                    let text = "unexpected repeated ssl negotiation request";
                    return Err(Ending::Silent(text.into()));
                }
                Startup::Cancel(key) => return Ok(First::Cancel(key)),
                Startup::Start(_) if channel.is_none() && self.listen.demands_tls() => {
                    return Err(Ending::Login(Notice::error("08P01", "SSL is required")));
                }
                Startup::Start(message) => {
                    return Ok(First::Login(Negotiated { message, channel, rest }));
                }
            }
        }
    }

    /// What arrives first tells; it is in `first` then.
    fn speaks_tls_at_once(&self, first: &mut Buffer) -> Result<bool, Ending> {
        match self.client.read_into(first, self.deadline).map_err(Broken::from)? {
            0 => Err(Broken::Closed.into()),
            _ => Ok(first.data()[0] == HANDSHAKE),
        }
    }

    /// TLS from the first byte, as PostgreSQL 17 has it: the client has to name the protocol, so
    /// that nobody makes one that speaks another talk to us.
    fn direct_tls(&mut self, server: &Server, hello: &Buffer) -> Result<Channel, Ending> {
        let channel = self.start_tls(server, hello.data())?;
        let protocol = self.client.tls().and_then(|facts| facts.protocol);
        if protocol.as_deref() != Some(PROTOCOL) {
            let text = "direct TLS without the protocol's name (ALPN \"postgresql\")";
            return Err(Ending::Silent(text.into()));
        }
        Ok(channel)
    }

    /// What came behind the request was not protected and may be anybody's: with it a client could
    /// be made to say what it never said (CVE-2021-23214).
    fn asked_tls(&mut self, server: &Server, rest: &Buffer) -> Result<Channel, Ending> {
        if !rest.is_empty() {
            let text = "unencrypted data behind the request for TLS";
            return Err(Ending::Silent(text.into()));
        }
        self.dialog().send(b"S")?;
        self.start_tls(server, &[])
    }

    fn start_tls(&mut self, server: &Server, hello: &[u8]) -> Result<Channel, Ending> {
        let since = machine::now();
        let shaken = self.client.accept_tls_behind(hello, server, self.deadline);
        shaken.map_err(|error| Ending::Silent(error.to_string()))?;
        let facts = self.client.tls().expect("it has just been made");
        let (version, cipher) = (facts.version, facts.cipher);
        let how = if facts.resumed { ", resumed" } else { "" };
        self.voice.session("tls", format_args!("client speaks {version}, {cipher}{how}"));
        Ok(Channel::new(facts, machine::now() - since))
    }

    /// The next packet, whole.
    fn next(&self, dialog: &mut Dialog<'_>) -> Result<Startup, Ending> {
        loop {
            let data = dialog.raw();
            let parsed = wire::startup::parse(data.data())
                .map_err(|error| self.taken_for(data.data()).unwrap_or_else(|| silent(error)))?;
            if let Some((packet, bytes)) = parsed {
                data.consume(bytes);
                return Ok(packet);
            }
            data.reserve(wire::startup::PACKET_BYTES_MAX as usize);
            dialog.fill()?;
        }
    }

    /// Bytes that are no packet, and what they look like.
    fn taken_for(&self, data: &[u8]) -> Option<Ending> {
        if self.listen.tls.is_none() && data.first() == Some(&HANDSHAKE) {
            let text = "direct TLS, and the listen section offers no TLS";
            return Some(Ending::Silent(text.into()));
        }
        proxied::unexpected(data, &self.listen)
    }
}
