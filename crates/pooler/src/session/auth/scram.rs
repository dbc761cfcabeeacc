//! `scram-sha-256`: both sides prove that they know the password, and nobody sends it.

use wire::auth::StoredSecret;
use wire::auth::scram::{self, Failure, Offer, ScramVerifier};
use wire::{Notice, encode};

use super::secret::{Found, Stored};
use super::{Candidate, Proof, no_proof, no_randomness, receive_password};
use crate::dialog::Dialog;
use crate::ending::Ending;

/// What a proof is checked against.
struct Opponent {
    verifier: ScramVerifier,
    /// Why no proof will fit, for the operator.
    doomed: Option<std::borrow::Cow<'static, str>>,
    /// What the verifier was made of.
    stored: Option<Stored>,
}

impl Candidate<'_> {
    pub(super) fn prove_scram(&self, dialog: &mut Dialog<'_>) -> Result<Proof, Ending> {
        let mut message = Vec::new();
        let offer = Offer { end_point: self.channel.and_then(|it| it.end_point.as_deref()) };
        encode::authentication_sasl(&mut message, offer.mechanisms());
        dialog.answer(&message)?;
        let first = receive_password(dialog)?;
        let (mechanism, client_first) = wire::frontend::sasl_initial_response(&first)
            .map_err(|_| self.scram_failed(Failure::Malformed("SASLInitialResponse")))?;
        let Opponent { verifier, doomed, stored } = self.opponent()?;
        let random = crate::random::bytes().map_err(no_randomness)?;
        let (server, server_first) =
            scram::Server::first(verifier, offer, mechanism.as_bytes(), client_first, &random)
                .map_err(|failure| self.scram_failed(of_first(failure)))?;
        message.clear();
        encode::authentication_sasl_continue(&mut message, &server_first);
        dialog.answer(&message)?;
        let client_final = receive_password(dialog)?;
        let accepted = server.finish(&client_final).map_err(|failure| match (doomed, &stored) {
            (Some(reason), _) if failure == Failure::WrongProof => self.wrong(reason),
            (_, Some(stored)) if failure == Failure::WrongProof => self.outdone(stored),
            _ => self.scram_failed(failure),
        })?;
        message.clear();
        encode::authentication_sasl_final(&mut message, &accepted.server_final);
        let told = stored.as_ref().and_then(Stored::of_server);
        Ok(Proof { keys: Some(accepted.keys), told, owed: message, ..Proof::default() })
    }

    /// The proof was made with the salt of a secret that may be an old one. It cannot be asked for
    /// again, but the next login is to find the new secret.
    fn outdone(&self, stored: &Stored) -> Ending {
        match self.newer(stored) {
            Some(_) => self.wrong("wrong password, or a new one: auth_query tells another now"),
            None => self.wrong("wrong password"),
        }
    }

    fn opponent(&self) -> Result<Opponent, Ending> {
        let stored = match self.secret()? {
            Found::Secret(stored) => stored,
            Found::Nothing(reason) => {
                return Ok(Opponent { verifier: self.mock()?, doomed: Some(reason), stored: None });
            }
        };
        let verifier = match StoredSecret::parse(stored.secret.reveal()) {
            StoredSecret::Scram(verifier) => verifier,
            StoredSecret::Plain(password) => self.verifier(password)?,
            StoredSecret::Md5(_) if stored.of_server().is_none() => {
                let text = "invalid user password or SCRAM secret, check your config";
                return Err(frontend_auth("28000", text));
            }
            StoredSecret::Md5(_) => {
                let doomed = Some("an md5 hash cannot prove a SCRAM login".into());
                let verifier = self.mock()?;
                return Ok(Opponent { verifier, doomed, stored: Some(stored) });
            }
        };
        Ok(Opponent { verifier, doomed: None, stored: Some(stored) })
    }

    /// Of a plain password, derived once. Its salt is the one of a user without a password: it
    /// tells neither that there is one nor that two users have the same.
    fn verifier(&self, password: String) -> Result<ScramVerifier, Ending> {
        if let Some(verifier) = self.shared.keyring.verifier(self.user(), &password) {
            return Ok(verifier);
        }
        let (salt, given) = (self.mock()?.salt().to_vec(), password.clone());
        let derive = move || ScramVerifier::from_password(&given, &salt, scram::ITERATIONS_DEFAULT);
        let verifier = machine::offload(derive, self.deadline)?
            .map_err(|failure| self.scram_failed(failure))?;
        self.shared.keyring.keep_verifier(self.user(), &password, verifier.clone());
        Ok(verifier)
    }

    /// What no password fits, always the same for a name.
    pub(super) fn mock(&self) -> Result<ScramVerifier, Ending> {
        self.shared.keyring.mock(self.user()).map_err(|failure| self.scram_failed(failure))
    }

    fn scram_failed(&self, failure: Failure) -> Ending {
        let (code, text) = match failure {
            // Odyssey says 28000 here; PostgreSQL and every driver say and look for 28P01.
            Failure::WrongProof => return self.wrong("wrong password"),
            Failure::Malformed("SASLInitialResponse") => {
                ("28000", "malformed SASLInitialResponse message")
            }
            Failure::LongNonce => {
                let text = "malformed SASLInitialResponse message: the nonce is too long";
                ("28000", text)
            }
            Failure::UnsupportedMechanism => ("28000", "unsupported SASL authorization mechanism"),
            Failure::NonceMismatch => {
                ("28000", "malformed client SASLResponse: nonce doesn't match")
            }
            Failure::ChannelBinding => ("0A000", "doesn't support channel binding at the moment"),
            Failure::BindingMismatch => ("28000", "channel binding check failed"),
            Failure::Downgrade => {
                let text = "channel binding was offered, and the client was told that it was not";
                ("28000", text)
            }
            Failure::AuthorizationIdentity => {
                ("0A000", "doesn't support authorization identity at the moment")
            }
            Failure::MandatoryExtension => {
                ("0A000", "doesn't support mandatory extensions at the moment")
            }
            _ => ("28000", "malformed client SASLResponse"),
        };
        frontend_auth(code, text)
    }
}

/// Odyssey's words for an exchange that went wrong before there was a proof.
fn frontend_auth(code: &'static str, text: &'static str) -> Ending {
    no_proof(Notice::error(code, format!("frontend auth: {text}")), text)
}

/// Whatever is malformed in the client's first message, the message is.
fn of_first(failure: Failure) -> Failure {
    match failure {
        Failure::Malformed(_) => Failure::Malformed("SASLInitialResponse"),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use machine::EngineConfig;
    use wire::auth::scram::{
        Binding, Client, ClientKeys, MECHANISM, NONCE_BYTES, Offer, ScramVerifier, Server,
    };

    /// What a session does as the server, and a login of ours to PostgreSQL as the client.
    fn exchange() {
        let verifier = ScramVerifier::from_password("secret", &[7; 16], 4096).unwrap();
        let client = Client::new(&[1; NONCE_BYTES], Binding::None);
        let (first, random) = (client.client_first(), [2; NONCE_BYTES]);
        let begun = Server::first(verifier, Offer::default(), MECHANISM, &first, &random);
        let (server, server_first) = begun.unwrap();
        let challenge = client.challenge(&server_first).unwrap();
        let keys = ClientKeys::derive("secret", challenge.salt(), challenge.iterations());
        let (proved, answer) = challenge.answer(&keys.unwrap()).unwrap();
        let accepted = server.finish(&answer).unwrap();
        proved.verify(&accepted.server_final).unwrap();
    }

    /// Both sides and the derivation, on one stack whose bytes tell whether they were touched.
    #[test]
    fn scram_stays_on_its_stack() {
        let config = EngineConfig { paint_stacks: true, ..EngineConfig::default() };
        let stack_bytes = config.stack_bytes as u64;
        let used = machine::run(config, |engine| {
            exchange();
            machine::yield_now(); // it is measured when a coroutine leaves its stack
            engine.machines()[0].stats().stack_used_bytes_max
        });
        let used = used.unwrap();
        println!("{used} bytes");
        assert!((1_000..stack_bytes * 3 / 4).contains(&used), "{used} of {stack_bytes} bytes");
    }
}
