//! Handshakes. OpenSSL works on bytes in memory; the coroutine reads and writes the socket between
//! its steps. A step with a signature burns up to a millisecond, so only some of them run in one
//! turn of the loop, and of many some on threads that nobody waits behind.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use openssl::ssl::{ErrorCode, Ssl, SslStream};
use openssl::x509::verify::X509CheckFlags;

use super::error::{Error, refused};
use super::wire::Wire;
use super::{Client, Server, Tls, Verify};
use crate::Deadline;
use crate::buffer::Buffer;
use crate::error::Error as Unable;
use crate::io::stream::Stream;
use crate::machine::Machine;
use crate::offload::offload;
use crate::wait::Waitable;

/// So many handshakes wait for turns of the loop; of more, each goes to another thread.
const BURNERS_MAX: usize = 4;

/// Which side we are.
pub(super) enum Role {
    Server(Server),
    Client,
}

type Shaken = Result<(), openssl::ssl::Error>;

impl Stream {
    /// Speaks TLS from now on, as the server. Nothing the peer sent may have been read before: what
    /// came behind a request for TLS in plain text is not the peer's word, and must be refused.
    ///
    /// # Errors
    /// See [`Error`](super::Error). The stream is of no use then.
    ///
    /// # Panics
    /// If it speaks TLS already.
    pub fn accept_tls(&mut self, server: &Server, deadline: Deadline) -> Result<(), Error> {
        self.accept_tls_behind(&[], server, deadline)
    }

    /// As [`accept_tls`](Stream::accept_tls), where the peer may begin with TLS or with something
    /// else, and this is what was read to tell: the beginning of its handshake.
    ///
    /// # Errors
    /// As `accept_tls`.
    ///
    /// # Panics
    /// As `accept_tls`.
    pub fn accept_tls_behind(
        &mut self,
        hello: &[u8],
        server: &Server,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let mut ssl = Ssl::new(&server.0.context)?;
        ssl.set_accept_state();
        let mut ssl = SslStream::new(ssl, Wire::new())?;
        ssl.get_mut().arrive(hello);
        self.start_tls(ssl, Role::Server(server.clone()), None, deadline)
    }

    /// Speaks TLS from now on, as the client of `host`: a name or an address, which the server
    /// hears (a name only) and which its certificate has to be for if the client checks that.
    ///
    /// # Errors
    /// See [`Error`](super::Error). The stream is of no use then.
    ///
    /// # Panics
    /// If it speaks TLS already.
    pub fn connect_tls(
        &mut self,
        client: &Client,
        host: Option<&str>,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let mut ssl = client.0.resumable.ssl(host)?;
        ssl.set_connect_state();
        if let Some(host) = host {
            let address = host.parse::<IpAddr>().ok();
            if address.is_none() {
                ssl.set_hostname(host)?;
            }
            if client.0.verify == Verify::Host {
                let expected = ssl.param_mut();
                expected.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS);
                match address {
                    Some(address) => expected.set_ip(address)?,
                    None => expected.set_host(host)?,
                }
            }
        } else if client.0.verify == Verify::Host {
            let words = "no host name is known that the peer's certificate could be for";
            return Err(Error::Refused(words.into()));
        }
        let ssl = SslStream::new(ssl, Wire::new())?;
        self.start_tls(ssl, Role::Client, host, deadline)
    }

    fn start_tls(
        &mut self,
        mut ssl: SslStream<Wire>,
        role: Role,
        host: Option<&str>,
        deadline: Deadline,
    ) -> Result<(), Error> {
        assert!(self.tls.is_none(), "TLS inside TLS");
        let is_server = matches!(role, Role::Server(_));
        let mut wants_bytes = is_server && ssl.get_ref().is_empty();
        loop {
            if wants_bytes {
                self.receive(&mut ssl, deadline)?;
            }
            let (back, shaken) = step(ssl, deadline)?;
            ssl = back;
            // An alert too, when it failed.
            let io = self.io();
            io.owe(std::mem::take(&mut ssl.get_mut().unsent));
            io.flush();
            match shaken {
                Ok(()) => break,
                Err(error) if error.code() == ErrorCode::WANT_READ => wants_bytes = true,
                Err(error) => return Err(refused(ssl.ssl(), &error, host)),
            }
        }
        let tls = Tls::new(ssl, role, self.io());
        self.tls = Some(Box::new(tls.into()));
        Ok(())
    }

    /// Waits for bytes of the handshake.
    fn receive(&self, ssl: &mut SslStream<Wire>, deadline: Deadline) -> Result<(), Error> {
        let mut buffer = Buffer::lease();
        if self.read_into(&mut buffer, deadline)? == 0 {
            return Err(Error::Closed);
        }
        ssl.get_mut().arrive(buffer.data());
        Ok(())
    }
}

/// As far as the bytes reach. Where the turn has burned enough it happens in another turn, or on a
/// thread when many wait for that and there is a processor for it: the threads of a single
/// processor keep the loop waiting for longer than a signature, and cost more.
fn step(mut ssl: SslStream<Wire>, deadline: Deadline) -> Result<(SslStream<Wire>, Shaken), Unable> {
    let (machine, task) = Machine::running()?;
    let offload = &machine.common.offload;
    if !machine.may_burn() {
        if machine.burners() >= BURNERS_MAX && offload.has_processors() {
            return step_elsewhere(ssl, deadline);
        }
        machine.queue_to_burn(&task);
    }
    let shaken = machine.burn(|| shake(&mut ssl));
    Ok((ssl, shaken))
}

fn step_elsewhere(
    ssl: SslStream<Wire>,
    deadline: Deadline,
) -> Result<(SslStream<Wire>, Shaken), Unable> {
    let place = Arc::new(Mutex::new(Some(ssl)));
    let theirs = Arc::clone(&place);
    let take = |place: &Mutex<Option<_>>| {
        let taken = place.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.expect("one takes it, and nobody else")
    };
    let work = move || {
        let mut ssl: SslStream<Wire> = take(&theirs);
        let shaken = shake(&mut ssl);
        (ssl, shaken)
    };
    match offload(work, deadline) {
        Err(Unable::QueueFull { .. }) => {
            let mut ssl = take(&place);
            let shaken = shake(&mut ssl);
            Ok((ssl, shaken))
        }
        other => other,
    }
}

fn shake(ssl: &mut SslStream<Wire>) -> Shaken {
    drop(openssl::error::ErrorStack::get()); // what others left must not be taken for ours
    ssl.do_handshake()
}
