//! A client's proof of who it is, by the method its rule asks for: one file a method. What fails
//! is told to the client in Odyssey's words, which tell an attacker nothing, and to the operator
//! by its reason; what is broken ends in silence.

mod cert;
mod checked;
mod cleartext;
mod external;
mod hba;
mod md5;
mod scram;
mod secret;

use std::borrow::Cow;
use std::sync::Arc;

use config::{Authentication, Rule, Secret};
use machine::{Deadline, Interest, Stream};
use router::Refusal;
use wire::Notice;
use wire::auth::scram::ClientKeys;
use wire::startup::Replication;
use wire::tag::frontend as tag;

use super::Voice;
use super::channel::Channel;
use crate::dialog::Dialog;
use crate::ending::{Asked, Denial, Ending};
use crate::shared::Shared;

/// Who wants to come in, and by what door.
pub(super) struct Candidate<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) rule: &'a Rule,
    pub(super) asked: &'a Arc<Asked>,
    /// Where it comes from, and how it is called in the log.
    pub(super) voice: &'a Voice,
    /// Its TLS, if that is on.
    pub(super) channel: Option<&'a Channel>,
    /// What for.
    pub(super) replication: Replication,
    pub(super) deadline: Deadline,
}

/// What a client showed, for servers that want to see it too. Never printed: nothing here is
/// `Debug`.
#[derive(Default)]
pub(super) struct Proof {
    /// The password itself, which came in clear.
    pub(super) password: Option<Secret>,
    /// Of a SCRAM exchange: they fit every server that stores the verifier it was made with.
    pub(super) keys: Option<ClientKeys>,
    /// The secret that it fitted, if a server told it.
    pub(super) told: Option<Secret>,
    /// Who the client is by the word of a daemon.
    pub(super) external: Option<Box<str>>,
    /// What is still to be said, in one write with what follows: our own proof.
    pub(super) owed: Vec<u8>,
}

impl Proof {
    /// Of a client that sent its password in clear; one that is no text is of no use to servers.
    fn password(given: Vec<u8>) -> Proof {
        let password = String::from_utf8(given).ok().map(Secret::new);
        Proof { password, ..Proof::default() }
    }
}

impl Candidate<'_> {
    /// Asks for the proof and checks it; the operator hears of one that fails. AuthenticationOk is
    /// not sent here.
    pub(super) fn come_in(&self, dialog: &mut Dialog<'_>) -> Result<Proof, Ending> {
        let proof = self.may_knock().and_then(|()| self.prove(dialog));
        let proof = proof.inspect_err(|ending| self.tell(ending))?;
        if self.rule.authentication != Authentication::None {
            self.shared.guesses.right(self.voice.address(), self.user());
        }
        Ok(proof)
    }

    fn prove(&self, dialog: &mut Dialog<'_>) -> Result<Proof, Ending> {
        match self.rule.authentication {
            Authentication::None => Ok(Proof::default()),
            Authentication::Block => {
                let Asked { database, user } = Asked::clone(self.asked);
                Err(Ending::Refused(Refusal::Blocked { database, user }, self.asked.clone()))
            }
            Authentication::ClearText => match (&self.rule.token_service, &self.rule.checker) {
                (Some(path), _) => self.prove_to_token_service(path, dialog),
                (None, Some(checker)) => self.prove_to(checker, dialog),
                (None, None) => self.prove_cleartext(dialog),
            },
            Authentication::Md5 => self.prove_md5(dialog),
            Authentication::ScramSha256 => self.prove_scram(dialog),
            Authentication::External => self.prove_external(dialog),
            Authentication::Cert => self.prove_by_certificate(),
        }
    }

    /// One line that says which rule, which method and what was wrong; Odyssey's ends behind
    /// "password".
    fn tell(&self, ending: &Ending) {
        let Ending::Denied(denial) = ending else { return };
        let (Asked { database, user }, rule) = (&**self.asked, self.rule);
        let (method, reason) = (rule.authentication.word(), &denial.reason);
        let (file, line) = (&rule.file, rule.line);
        self.voice.error(
            "auth",
            format_args!(
                "user '{database}.{user}' incorrect password: {reason} ({method} by rule '{rule}', \
                 {file}:{line})"
            ),
        );
    }

    fn user(&self) -> &str {
        &self.asked.user
    }

    fn wrong_password(&self) -> Notice {
        let text = format!("password authentication failed for user \"{}\"", self.asked.user);
        Notice::fatal("28P01", text)
    }

    /// The one answer to a guess, whatever was wrong with it.
    fn wrong(&self, reason: impl Into<Cow<'static, str>>) -> Ending {
        let notice = self.wrong_password();
        Ending::Denied(Box::new(Denial { notice, reason: reason.into(), is_guess: true }))
    }
}

/// Before a client is told that its guess was wrong: each time it takes longer. Whoever calls holds
/// nothing that others wait for.
pub(super) fn pause(voice: &Voice, client: &Stream, deadline: Deadline, ending: &Ending) {
    if !matches!(ending, Ending::Denied(denial) if denial.is_guess) {
        return;
    }
    let pause = voice.guessed_wrong(machine::now());
    if !pause.is_zero() {
        let until = Deadline::after(pause).earliest(deadline);
        // One that hangs up is not waited for.
        let _ = machine::wait_any(&[(client, Interest::HANGUP)], None, until);
    }
}

/// The body of the client's next message, which must be a PasswordMessage (SASL responses are ones
/// too). Odyssey skips anything else until the login times out; PostgreSQL answers.
fn receive_password(dialog: &mut Dialog<'_>) -> Result<Vec<u8>, Ending> {
    match dialog.receive()? {
        (tag::PASSWORD, body) => Ok(body.to_vec()),
        (tag::TERMINATE, _) => Err(Ending::ClientGone),
        (other, _) => {
            let text = format!("expected password response, got message type {other}");
            Err(no_proof(Notice::fatal("08P01", text.clone()), text))
        }
    }
}

/// The password in it, which the client sent as it is.
fn password_of(body: &[u8]) -> Result<&[u8], Ending> {
    wire::frontend::password(body).map_err(|_| {
        no_proof(Notice::error("08P01", "bad password message"), "malformed PasswordMessage")
    })
}

/// What the client sent proves nothing, and guesses nothing.
fn no_proof(notice: Notice, reason: impl Into<Cow<'static, str>>) -> Ending {
    Ending::Denied(Box::new(Denial { notice, reason: reason.into(), is_guess: false }))
}

fn no_randomness(error: std::io::Error) -> Ending {
    Ending::Silent(error.to_string())
}
