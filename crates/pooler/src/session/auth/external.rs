//! A daemon at a unix socket knows tokens, which clients send as passwords in clear: `external`,
//! and `clear_text` with `enable_mdb_iamproxy_auth`. Two frames go there, the user and the token,
//! each with a NUL behind it; two come back, a status and who the client is by the daemon's word.
//! A frame is eight bytes of length, the least first, and so many bytes.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use machine::{Address, Deadline, Stream, StreamOptions};
use wire::Notice;

use super::{Candidate, Proof};
use crate::dialog::Dialog;
use crate::ending::{Denial, Ending};

/// For each step: connect, a frame there, a header, a body. Odyssey's.
const STEP_MAX: Duration = Duration::from_secs(1);
/// For a header of a token service, which asks others in its turn. Odyssey's.
const SERVICE_HEADER_MAX: Duration = Duration::from_secs(4);
/// Odyssey takes a mebibyte; no id is a page long, and logins at once are many.
const FRAME_BYTES_MAX: u64 = 4096;

impl Candidate<'_> {
    pub(super) fn prove_external(&self, dialog: &mut Dialog<'_>) -> Result<Proof, Ending> {
        let path = self.shared.config().global.external_auth_socket_path.clone();
        let agent = Agent {
            path: &path,
            header_max: STEP_MAX,
            accepts: |status| status == 1,
            deadline: self.deadline,
        };
        let user = self.user();
        let text = format!("external authentication failed for user \"{user}\"");
        self.show_token(&agent, Notice::fatal("28P01", text), dialog)
    }

    pub(super) fn prove_to_token_service(
        &self,
        path: &Path,
        dialog: &mut Dialog<'_>,
    ) -> Result<Proof, Ending> {
        let agent = Agent {
            path,
            header_max: SERVICE_HEADER_MAX,
            accepts: |status| status != 0,
            deadline: self.deadline,
        };
        self.show_token(&agent, self.wrong_password(), dialog)
    }

    /// `notice`: what a client is told that is not let in.
    fn show_token(
        &self,
        agent: &Agent<'_>,
        notice: Notice,
        dialog: &mut Dialog<'_>,
    ) -> Result<Proof, Ending> {
        let token = super::cleartext::ask(dialog)?;
        let (reason, is_guess) = match agent.asked(self.user(), &token) {
            Ok(Answer { accepted: true, id }) => {
                let user = format!("{}.{}", self.asked.database, self.asked.user);
                self.voice.session(
                    "auth",
                    format_args!("user '{user}' was authenticated with external_id: {id}"),
                );
                return Ok(Proof { external: Some(id.into()), ..Proof::password(token) });
            }
            Ok(_) => ("the daemon says no".to_owned(), true),
            // The client cannot help it.
            Err(what) => (format!("{} {what}", agent.path.display()), false),
        };
        Err(Ending::Denied(Box::new(Denial { notice, reason: reason.into(), is_guess })))
    }
}

/// The daemon, asked by a login.
struct Agent<'a> {
    path: &'a Path,
    /// How long it may think before each frame.
    header_max: Duration,
    /// What its status means.
    accepts: fn(u8) -> bool,
    deadline: Deadline,
}

/// What it says.
struct Answer {
    accepted: bool,
    /// Who the client is; without what would break a line of the log.
    id: String,
}

impl Agent<'_> {
    /// Err says to the operator what is wrong with the daemon.
    fn asked(&self, user: &str, token: &[u8]) -> Result<Answer, String> {
        let address = Address::Unix(self.path.to_owned());
        let stream = Stream::connect(&address, &StreamOptions::default(), self.step(STEP_MAX));
        let stream = stream.map_err(|error| format!("takes no connection: {error}"))?;
        for text in [user.as_bytes(), token] {
            let sent = stream.write_all(&frame(text), self.step(STEP_MAX));
            sent.map_err(|error| format!("does not take what we send: {error}"))?;
        }
        let status = self.receive(&stream)?;
        let status = status.first().ok_or("sent a status of no bytes")?;
        let id = self.receive(&stream)?;
        let id = String::from_utf8_lossy(&id).trim_end_matches('\0').escape_debug().to_string();
        Ok(Answer { accepted: (self.accepts)(*status), id })
    }

    fn receive(&self, stream: &Stream) -> Result<Vec<u8>, String> {
        let mut length = [0; 8];
        self.fill(stream, &mut length, self.step(self.header_max))?;
        let length = u64::from_le_bytes(length);
        let bytes = usize::try_from(length).ok().filter(|_| length <= FRAME_BYTES_MAX);
        let bytes = bytes.ok_or_else(|| format!("announces a frame of {length} bytes"))?;
        let mut body = vec![0; bytes];
        self.fill(stream, &mut body, self.step(STEP_MAX))?;
        Ok(body)
    }

    fn fill(&self, stream: &Stream, mut bytes: &mut [u8], by: Deadline) -> Result<(), String> {
        let wrong = |error: &dyn Display| format!("does not answer: {error}");
        while !bytes.is_empty() {
            match stream.read(bytes, by).map_err(|error| wrong(&error))? {
                0 => return Err(wrong(&"connection closed")),
                n => bytes = &mut bytes[n..],
            }
        }
        Ok(())
    }

    fn step(&self, at_most: Duration) -> Deadline {
        Deadline::after(at_most).earliest(self.deadline)
    }
}

/// A text as the daemon wants it.
fn frame(text: &[u8]) -> Vec<u8> {
    let length = u64::try_from(text.len() + 1).expect("a token came in one message");
    [&length.to_le_bytes()[..], text, b"\0"].concat()
}
