//! The greeting: startup message, authentication and what a server tells before its first
//! ReadyForQuery. With what we prove who we are is decided in `credentials`.

use config::Secret;
use machine::tls::Facts;
use machine::{Deadline, Stream};
use wire::auth::md5;
use wire::auth::scram::{self, Binding, Challenge, ClientKeys};
use wire::backend::Authentication;
use wire::frame::Side;
use wire::tag::backend as tag;
use wire::{CancelKey, encode};

use super::open::Reason;
use super::{Home, Own};
use crate::dialog::{Dialog, Patience};

/// What a server tells before it is ready.
pub(super) struct Greeting {
    /// Its cancel key; some poolers and proxies give none.
    pub(super) key: Option<CancelKey>,
    /// Its ParameterStatus messages.
    pub(super) parameters: Vec<(String, String)>,
}

/// From the startup message to ReadyForQuery.
pub(super) fn greet(
    home: &Home,
    stream: &Stream,
    patience: &Patience<'_>,
    own: Option<&Own>,
) -> Result<Greeting, Reason> {
    let mut dialog = Dialog::new(stream, Side::Backend, *patience);
    dialog.send(&startup(home, own))?;
    authenticate(home, stream, &mut dialog, patience.deadline)?;
    let mut greeting = Greeting { key: None, parameters: Vec::new() };
    loop {
        let (kind, body) = dialog.receive()?;
        match kind {
            tag::PARAMETER_STATUS => {
                let (name, value) = wire::backend::parameter_status(body)?;
                greeting.parameters.push((name.to_string(), value.to_string()));
            }
            tag::BACKEND_KEY_DATA => greeting.key = Some(wire::backend::backend_key_data(body)?),
            tag::READY_FOR_QUERY => break,
            tag::NOTICE_RESPONSE | tag::NEGOTIATE_PROTOCOL_VERSION => {}
            tag::ERROR_RESPONSE => {
                return Err(Reason::Refused(wire::backend::error(body)?.to_notice()));
            }
            other => return Err(unexpected(other)),
        }
    }
    if dialog.raw().is_empty() {
        return Ok(greeting);
    }
    match dialog.receive()? {
        (tag::ERROR_RESPONSE, body) => {
            Err(Reason::Refused(wire::backend::error(body)?.to_notice()))
        }
        (other, _) => Err(unexpected(other)),
    }
}

/// Our startup message: the route's identity, what a client that gets the server for itself wants
/// of it, and what the rule adds: PostgreSQL takes the last of two values, as we mean it.
fn startup(home: &Home, own: Option<&Own>) -> Vec<u8> {
    let key = home.route.key();
    let mut parameters = vec![("user", key.user.as_str()), ("database", key.database.as_str())];
    let wanted = own.into_iter().flat_map(|own| own.startup.iter());
    parameters.extend(wanted.filter(|(name, _)| !["user", "database"].contains(name)));
    let rule = home.route.rule();
    let added = rule.backend_startup_options.iter();
    parameters.extend(added.map(|(name, value)| (name.as_str(), value.as_str())));
    let mut bytes = Vec::new();
    wire::startup::startup_message(&mut bytes, &parameters, 0);
    bytes
}

/// Until AuthenticationOk.
fn authenticate(
    home: &Home,
    stream: &Stream,
    dialog: &mut Dialog<'_>,
    deadline: Deadline,
) -> Result<(), Reason> {
    loop {
        let (kind, body) = dialog.receive()?;
        let request = match kind {
            tag::AUTHENTICATION => wire::backend::authentication(body)?,
            tag::NOTICE_RESPONSE | tag::NEGOTIATE_PROTOCOL_VERSION => continue,
            tag::ERROR_RESPONSE => {
                return Err(Reason::Refused(wire::backend::error(body)?.to_notice()));
            }
            other => return Err(unexpected(other)),
        };
        let mut answer = Vec::new();
        match request {
            Authentication::Ok => return Ok(()),
            Authentication::Cleartext => {
                encode::password(&mut answer, home.clear_password()?.reveal());
            }
            Authentication::Md5 { salt } => {
                let stored = home.md5_password()?;
                encode::password(&mut answer, md5::response_from_stored(&stored, salt));
            }
            Authentication::Sasl { mechanisms } => {
                let offers = |one: &str| mechanisms.iter().any(|name| *name == one);
                let offer = (offers(scram::MECHANISM), offers(scram::MECHANISM_PLUS));
                let binding = binding(stream.tls(), offer)?;
                scram(home, dialog, binding, deadline)?;
                continue;
            }
            other => {
                let text = format!("the server wants an unsupported authentication: {other:?}");
                return Err(Reason::Authentication(text));
            }
        }
        dialog.send(&answer)?;
    }
}

/// What the exchange is bound to, of what the server offers: SCRAM-SHA-256, and its form that is
/// bound to the server's certificate. Whoever sits in the middle may take the second offer away; a
/// server that made it sees that we heard of none.
fn binding(tls: Option<Facts>, (plain, plus): (bool, bool)) -> Result<Binding, Reason> {
    let refuse = |text: &str| Err(Reason::Authentication(text.into()));
    match (tls, plus) {
        (None, true) => refuse("the server offers SCRAM-SHA-256-PLUS where there is no TLS"),
        (_, false) if !plain => refuse("the server offers no SCRAM-SHA-256"),
        (Some(Facts { end_point: Some(hash), .. }), true) => Ok(Binding::EndPoint(hash)),
        (Some(Facts { end_point: Some(_), .. }), false) => Ok(Binding::Unoffered),
        _ if plain => Ok(Binding::None),
        _ => refuse("the server wants SCRAM-SHA-256-PLUS, and its certificate has no hash for it"),
    }
}

/// SCRAM-SHA-256 from our first message to the server's signature.
fn scram(
    home: &Home,
    dialog: &mut Dialog<'_>,
    binding: Binding,
    deadline: Deadline,
) -> Result<(), Reason> {
    home.may_know_scram()?;
    let nonce =
        crate::random::bytes().map_err(|error| Reason::Authentication(error.to_string()))?;
    let mechanism = match &binding {
        Binding::EndPoint(_) => scram::MECHANISM_PLUS,
        Binding::None | Binding::Unoffered => scram::MECHANISM,
    };
    let client = scram::Client::new(&nonce, binding);
    let mut message = Vec::new();
    encode::sasl_initial_response(&mut message, mechanism, &client.client_first());
    dialog.send(&message)?;
    let challenge = client.challenge(&expect(dialog, Step::Continue)?).map_err(failed)?;
    let keys = match home.scram_password(&challenge)? {
        Ok(keys) => keys,
        Err(secret) => keys(home, &secret, &challenge, deadline)?,
    };
    let (proved, client_final) = challenge.answer(&keys).map_err(failed)?;
    message.clear();
    encode::sasl_response(&mut message, &client_final);
    dialog.send(&message)?;
    proved.verify(&expect(dialog, Step::Final)?).map_err(failed)
}

/// The keys for the server's salt: remembered, or made by a thread that may burn a millisecond.
fn keys(
    home: &Home,
    secret: &Secret,
    challenge: &Challenge,
    deadline: Deadline,
) -> Result<ClientKeys, Reason> {
    let (salt, iterations) = (challenge.salt().to_vec(), challenge.iterations());
    if let Some(keys) = home.shared.keyring.server_keys(secret, &salt, iterations) {
        return Ok(keys);
    }
    let (password, theirs) = (secret.clone(), salt.clone());
    let derive = move || ClientKeys::derive(password.reveal(), &theirs, iterations);
    let keys = machine::offload(derive, deadline)?.map_err(failed)?;
    home.shared.keyring.keep_server_keys(secret, &salt, iterations, keys.clone());
    Ok(keys)
}

#[derive(Clone, Copy)]
enum Step {
    Continue,
    Final,
}

/// The server's next SCRAM message.
fn expect(dialog: &mut Dialog<'_>, step: Step) -> Result<Vec<u8>, Reason> {
    let (kind, body) = dialog.receive()?;
    match kind {
        tag::AUTHENTICATION => match (wire::backend::authentication(body)?, step) {
            (Authentication::SaslContinue(data), Step::Continue)
            | (Authentication::SaslFinal(data), Step::Final) => Ok(data.to_vec()),
            _ => Err(Reason::Authentication("the server broke the order of SCRAM".into())),
        },
        tag::ERROR_RESPONSE => Err(Reason::Refused(wire::backend::error(body)?.to_notice())),
        other => Err(unexpected(other)),
    }
}

fn failed(failure: scram::Failure) -> Reason {
    Reason::Authentication(format!("the login at the server failed: {failure}"))
}

fn unexpected(kind: u8) -> Reason {
    Reason::Authentication(format!("unexpected message '{}' in a greeting", char::from(kind)))
}

#[cfg(test)]
mod tests {
    use super::{Binding, Facts, binding};

    fn tls(end_point: Option<Vec<u8>>) -> Option<Facts> {
        let (version, cipher) = ("TLSv1.3", "TLS_AES_256_GCM_SHA384");
        let (protocol, server_name, peer, resumed) = (None, None, None, false);
        Some(Facts { version, cipher, protocol, resumed, server_name, peer, end_point })
    }

    /// Seen to fail: who takes what is left of the offer sends a proof that can be passed on.
    #[test]
    fn a_login_is_bound_to_the_certificate_where_it_can_be() {
        let hash = || Some(vec![7; 32]);
        for (facts, offer, expected) in [
            (None, (true, false), Some(Binding::None)),
            (None, (true, true), None),
            (None, (false, false), None),
            (tls(hash()), (true, true), Some(Binding::EndPoint(vec![7; 32]))),
            (tls(hash()), (false, true), Some(Binding::EndPoint(vec![7; 32]))),
            (tls(hash()), (true, false), Some(Binding::Unoffered)),
            (tls(None), (true, true), Some(Binding::None)),
            (tls(None), (true, false), Some(Binding::None)),
            (tls(None), (false, true), None),
            (tls(hash()), (false, false), None),
        ] {
            assert_eq!(binding(facts.clone(), offer).ok(), expected, "{facts:?} {offer:?}");
        }
    }
}
