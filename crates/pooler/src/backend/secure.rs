//! TLS with a server: asked for and agreed on before the startup message, as the storage wants it.
//! It decides nothing about certificates; the engine does.

use std::sync::Arc;

use config::{Endpoint, Storage, Tls, TlsMode};
use machine::tls::Client;
use machine::{Deadline, Stream};

use super::greet::{self, Greeting};
use super::open::{Reached, Reason};
use super::{Home, Own};
use crate::dialog::{Broken, Patience};
use crate::secure::PROTOCOL;
use crate::shared::Shared;

/// How a server was reached, for those who have to reach it again: to cancel.
#[derive(Debug)]
pub struct Secured {
    /// Whose options hold.
    pub(super) storage: Arc<Storage>,
    /// The host it was asked for, if it has a name.
    pub(super) host: Option<String>,
}

/// What a server says that will say it again over TLS: not ready, full, no such database, wrong
/// password.
const SAID_FOR_GOOD: [&str; 4] = ["57P03", "53300", "3D000", "28P01"];

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// TLS.
    Tls,
    /// The server speaks none; the connection is as good as before.
    Plain,
}

/// How to talk to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Plain,
    /// TLS if it speaks that.
    Asked,
    /// TLS and nothing else.
    Demanded,
}

impl Home {
    /// A server that has greeted us, in the way the storage wants: as libpq does by its `sslmode`.
    pub(super) fn approach(
        &self,
        patience: &Patience<'_>,
        own: Option<&Own>,
    ) -> Result<(Reached, Greeting), Reason> {
        let rule = Arc::clone(&self.route.rule());
        let (storage, at) = rule.place(self.route.key().host).ok_or(Reason::NoEndpoint)?;
        let try_it = |way| self.approach_by(way, storage, patience, own);
        let endpoint = storage.endpoints.get(at);
        let is_local = matches!(endpoint, Some(Endpoint::Unix { .. }));
        match storage.tls.mode {
            _ if is_local => try_it(Way::Plain),
            TlsMode::Disable => try_it(Way::Plain),
            TlsMode::Allow => match try_it(Way::Plain) {
                Err(Reason::Refused(notice)) if !SAID_FOR_GOOD.contains(&&*notice.code) => {
                    try_it(Way::Demanded).map_err(|_| Reason::Refused(notice))
                }
                other => other,
            },
            TlsMode::Prefer => match try_it(Way::Asked) {
                Err(Reason::Tls(_)) => try_it(Way::Plain),
                other => other,
            },
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => try_it(Way::Demanded),
        }
    }

    fn approach_by(
        &self,
        way: Way,
        storage: &Arc<Storage>,
        patience: &Patience<'_>,
        own: Option<&Own>,
    ) -> Result<(Reached, Greeting), Reason> {
        let mut reached = self.reach(patience)?;
        if way != Way::Plain {
            let host = match storage.endpoints.get(self.route.spot().1) {
                Some(Endpoint::Tcp { host, .. }) => Some(host.clone()),
                _ => None,
            };
            let secured = Secured { storage: Arc::clone(storage), host };
            match secured.start(&self.shared, &mut reached.stream, patience.deadline)? {
                Spoken::Tls => reached.secured = Some(secured),
                Spoken::Plain if way == Way::Asked => {}
                Spoken::Plain => {
                    let text = "the server does not speak TLS, which the storage demands";
                    return Err(Reason::Tls(text.into()));
                }
            }
        }
        let greeting = greet::greet(self, &reached.stream, patience, own)?;
        Ok((reached, greeting))
    }
}

impl Secured {
    /// Speaks TLS with a server, if it does.
    ///
    /// # Errors
    /// The handshake failed, or what came was no answer. The stream is of no use then.
    pub(super) fn start(
        &self,
        shared: &Shared,
        stream: &mut Stream,
        deadline: Deadline,
    ) -> Result<Spoken, Reason> {
        let tls = &self.storage.tls;
        let client = client(shared, tls, deadline)?;
        if !tls.direct {
            stream.write_all(&wire::startup::ssl_request(), deadline)?;
            // One byte and not more: what comes behind it in plain text is nobody's word.
            let mut answer = [0];
            let n = stream.read(&mut answer, deadline)?;
            match (n, answer[0]) {
                (1, b'S') => {}
                (1, b'N') => return Ok(Spoken::Plain),
                (1, b'E') => {
                    let text = "the server answered the request for TLS with an error";
                    return Err(Reason::Tls(text.into()));
                }
                (0, _) => return Err(Reason::Broken(Broken::Closed)),
                (_, other) => {
                    let other = char::from(other).escape_default();
                    let text = format!("the server answered the request for TLS with '{other}'");
                    return Err(Reason::Tls(text));
                }
            }
        }
        let shaken = stream.connect_tls(&client, self.host.as_deref(), deadline);
        shaken.map_err(|error| Reason::Tls(error.to_string()))?;
        let protocol = stream.tls().and_then(|facts| facts.protocol);
        if tls.direct && protocol.as_deref() != Some(PROTOCOL) {
            let text = "direct TLS: the server did not agree that PostgreSQL is spoken (ALPN)";
            return Err(Reason::Tls(text.into()));
        }
        Ok(Spoken::Tls)
    }
}

/// Our side of it; a route that outlived its storage's options makes one of its own.
fn client(shared: &Shared, tls: &Tls, deadline: Deadline) -> Result<Client, Reason> {
    let (known, key_log) = {
        let world = shared.world();
        (world.contexts.client(tls), world.contexts.key_log.clone())
    };
    if let Some(client) = known {
        return Ok(client);
    }
    let tls = tls.clone();
    let made = machine::offload(move || crate::secure::client(&tls, key_log), deadline)?;
    made.map_err(|error| Reason::Tls(error.to_string()))
}
