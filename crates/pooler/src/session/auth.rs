//! A client's proof of who it is, by the method its rule asks for. What fails is told in Odyssey's
//! words; what is broken ends in silence.

use config::{Authentication, Rule, Secret};
use machine::Deadline;
use wire::auth::scram::{self, Failure, ScramVerifier};
use wire::auth::{StoredSecret, cleartext_matches, md5};
use wire::tag::frontend as tag;
use wire::{Notice, encode};

use crate::dialog::Dialog;
use crate::ending::{Asked, Ending};
use crate::keyring::Keyring;
use router::Refusal;

/// Who wants to come in, and by what door.
pub(super) struct Candidate<'a> {
    pub(super) rule: &'a Rule,
    pub(super) asked: &'a Asked,
    pub(super) keyring: &'a Keyring,
    pub(super) deadline: Deadline,
}

impl Candidate<'_> {
    /// Asks for the proof and checks it. AuthenticationOk is not sent here.
    pub(super) fn prove(&self, dialog: &mut Dialog<'_>) -> Result<(), Ending> {
        match self.rule.authentication {
            Authentication::None => Ok(()),
            Authentication::Block => {
                let Asked { database, user } = self.asked.clone();
                Err(Ending::Refused(Refusal::Blocked { database, user }, self.asked.clone()))
            }
            Authentication::ClearText => self.prove_cleartext(dialog),
            Authentication::Md5 => self.prove_md5(dialog),
            Authentication::ScramSha256 => self.prove_scram(dialog),
            Authentication::Cert | Authentication::External => {
                let method = self.rule.authentication;
                Err(Ending::Silent(format!("authentication {method:?} is not built yet")))
            }
        }
    }

    fn prove_cleartext(&self, dialog: &mut Dialog<'_>) -> Result<(), Ending> {
        let mut request = Vec::new();
        encode::authentication_cleartext(&mut request);
        dialog.send(&request)?;
        let given = receive_password(dialog)?;
        let given = wire::frontend::password(&given).map_err(|_| bad_password_message())?.to_vec();
        match StoredSecret::parse(self.secret()?.reveal()) {
            StoredSecret::Plain(password) if cleartext_matches(&password, &given) => Ok(()),
            StoredSecret::Md5(stored) if md5::stored(self.user(), &given) == stored => Ok(()),
            StoredSecret::Scram(verifier) => {
                let check = move || verifier.matches_password(&given);
                match machine::offload(check, self.deadline)? {
                    Ok(true) => Ok(()),
                    _ => Err(self.wrong("28P01")),
                }
            }
            _ => Err(self.wrong("28P01")),
        }
    }

    fn prove_md5(&self, dialog: &mut Dialog<'_>) -> Result<(), Ending> {
        let salt = crate::random::bytes().map_err(|error| Ending::Silent(error.to_string()))?;
        let mut request = Vec::new();
        encode::authentication_md5(&mut request, salt);
        dialog.send(&request)?;
        let given = receive_password(dialog)?;
        let given = wire::frontend::password(&given).map_err(|_| bad_password_message())?;
        let stored = match StoredSecret::parse(self.secret()?.reveal()) {
            StoredSecret::Plain(password) => md5::stored(self.user(), password.as_bytes()),
            StoredSecret::Md5(stored) => stored,
            StoredSecret::Scram(_) => return Err(self.wrong("28P01")),
        };
        match md5::matches(&stored, salt, given) {
            true => Ok(()),
            false => Err(self.wrong("28P01")),
        }
    }

    fn prove_scram(&self, dialog: &mut Dialog<'_>) -> Result<(), Ending> {
        let mut message = Vec::new();
        encode::authentication_sasl(&mut message, &[scram::MECHANISM]);
        dialog.send(&message)?;
        let verifier = self.verifier()?;
        let random = crate::random::bytes().map_err(|error| Ending::Silent(error.to_string()))?;
        let first = receive_password(dialog)?;
        let (mechanism, client_first) = wire::frontend::sasl_initial_response(&first)
            .map_err(|_| self.scram_failed(Failure::Malformed("SASLInitialResponse")))?;
        let (server, server_first) =
            scram::Server::first(verifier, mechanism.as_bytes(), client_first, &random)
                .map_err(|failure| self.scram_failed(of_first(failure)))?;
        message.clear();
        encode::authentication_sasl_continue(&mut message, &server_first);
        dialog.send(&message)?;
        let client_final = receive_password(dialog)?;
        let accepted =
            server.finish(&client_final).map_err(|failure| self.scram_failed(failure))?;
        message.clear();
        encode::authentication_sasl_final(&mut message, &accepted.server_final);
        dialog.send(&message)?;
        Ok(())
    }

    /// What a SCRAM proof is checked against; for a plain password derived once.
    fn verifier(&self) -> Result<ScramVerifier, Ending> {
        let secret = self.secret()?;
        if let Some(verifier) = self.keyring.verifier(secret) {
            return Ok(verifier);
        }
        let verifier = match StoredSecret::parse(secret.reveal()) {
            StoredSecret::Scram(verifier) => return Ok(verifier),
            StoredSecret::Md5(_) => {
                let text =
                    "frontend auth: invalid user password or SCRAM secret, check your config";
                return Err(Ending::Login(Notice::error("28000", text)));
            }
            StoredSecret::Plain(password) => {
                let salt: [u8; 16] =
                    crate::random::bytes().map_err(|error| Ending::Silent(error.to_string()))?;
                let derive = move || {
                    ScramVerifier::from_password(&password, &salt, scram::ITERATIONS_DEFAULT)
                };
                machine::offload(derive, self.deadline)?
                    .map_err(|failure| self.scram_failed(failure))?
            }
        };
        self.keyring.keep_verifier(secret, verifier.clone());
        Ok(verifier)
    }

    fn secret(&self) -> Result<&Secret, Ending> {
        // The checker lets no rule through that asks for a password and has none.
        self.rule.password.as_ref().ok_or_else(|| Ending::Silent("rule without password".into()))
    }

    fn user(&self) -> &[u8] {
        self.asked.user.as_bytes()
    }

    fn wrong(&self, code: &'static str) -> Ending {
        let text = format!("password authentication failed for user \"{}\"", self.asked.user);
        Ending::Login(Notice::fatal(code, text))
    }

    fn scram_failed(&self, failure: Failure) -> Ending {
        let (code, text) = match failure {
            // Odyssey says 28000 here; PostgreSQL and every driver say and look for 28P01.
            Failure::WrongProof => return self.wrong("28P01"),
            Failure::Malformed("SASLInitialResponse") => {
                ("28000", "malformed SASLInitialResponse message")
            }
            Failure::UnsupportedMechanism => ("28000", "unsupported SASL authorization mechanism"),
            Failure::NonceMismatch => {
                ("28000", "malformed client SASLResponse: nonce doesn't match")
            }
            Failure::ChannelBinding | Failure::BindingMismatch => {
                ("0A000", "doesn't support channel binding at the moment")
            }
            Failure::AuthorizationIdentity => {
                ("0A000", "doesn't support authorization identity at the moment")
            }
            Failure::MandatoryExtension => {
                ("0A000", "doesn't support mandatory extensions at the moment")
            }
            _ => ("28000", "malformed client SASLResponse"),
        };
        Ending::Login(Notice::error(code, format!("frontend auth: {text}")))
    }
}

/// The body of the client's next PasswordMessage (SASL responses are ones too); as Odyssey,
/// anything else is skipped until the login times out.
fn receive_password(dialog: &mut Dialog<'_>) -> Result<Vec<u8>, Ending> {
    loop {
        let (kind, body) = dialog.receive()?;
        match kind {
            tag::PASSWORD => return Ok(body.to_vec()),
            tag::TERMINATE => return Err(Ending::ClientGone),
            _ => {}
        }
    }
}

/// Whatever is malformed in the client's first message, the message is.
fn of_first(failure: Failure) -> Failure {
    match failure {
        Failure::Malformed(_) => Failure::Malformed("SASLInitialResponse"),
        other => other,
    }
}

fn bad_password_message() -> Ending {
    Ending::Login(Notice::error("08P01", "bad password message"))
}
