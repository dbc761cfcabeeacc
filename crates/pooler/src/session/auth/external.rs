//! `external`: a daemon at a unix socket knows tokens. Two frames go there, the user and the token,
//! each with a NUL behind it; two come back, a status and an id. A frame is eight bytes of length,
//! the least first, and so many bytes.

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
/// Odyssey takes a mebibyte; no id is a page long, and logins at once are many.
const FRAME_BYTES_MAX: u64 = 4096;
/// The first byte of the status of a token that is right.
const RIGHT: u8 = 1;

impl Candidate<'_> {
    pub(super) fn prove_external(&self, dialog: &mut Dialog<'_>) -> Result<Proof, Ending> {
        let token = super::cleartext::ask(dialog)?;
        let path = self.shared.config().global.external_auth_socket_path.clone();
        let agent = Agent { deadline: self.deadline };
        let reason = match agent.asked(&path, self.user(), &token) {
            Ok((true, id)) => {
                let user = format!("{}.{}", self.asked.database, self.asked.user);
                self.voice.session(
                    "auth",
                    format_args!("user '{user}' was authenticated with external_id: {id}"),
                );
                return Ok(Proof::default());
            }
            Ok((false, _)) => "the daemon says no".to_owned(),
            Err(what) => format!("{} {what}", path.display()),
        };
        let user = self.user();
        let text = format!("external authentication failed for user \"{user}\"");
        let notice = Notice::fatal("28P01", text);
        Err(Ending::Denied(Box::new(Denial { notice, reason: reason.into(), is_guess: true })))
    }
}

/// The daemon, asked by a login.
struct Agent {
    deadline: Deadline,
}

impl Agent {
    /// Whether the token is right, and the id that goes with it.
    fn asked(&self, path: &Path, user: &str, token: &[u8]) -> Result<(bool, String), String> {
        let address = Address::Unix(path.to_owned());
        let stream = Stream::connect(&address, &StreamOptions::default(), self.step());
        let stream = stream.map_err(|error| format!("takes no connection: {error}"))?;
        for text in [user.as_bytes(), token] {
            let sent = stream.write_all(&frame(text), self.step());
            sent.map_err(|error| format!("does not take what we send: {error}"))?;
        }
        let status = self.receive(&stream)?;
        let status = status.first().ok_or("sent a status of no bytes")?;
        let id = self.receive(&stream)?;
        let id = String::from_utf8_lossy(&id).trim_end_matches('\0').escape_debug().to_string();
        Ok((*status == RIGHT, id))
    }

    fn receive(&self, stream: &Stream) -> Result<Vec<u8>, String> {
        let mut length = [0; 8];
        self.fill(stream, &mut length)?;
        let length = u64::from_le_bytes(length);
        let bytes = usize::try_from(length).ok().filter(|_| length <= FRAME_BYTES_MAX);
        let bytes = bytes.ok_or_else(|| format!("announces a frame of {length} bytes"))?;
        let mut body = vec![0; bytes];
        self.fill(stream, &mut body)?;
        Ok(body)
    }

    fn fill(&self, stream: &Stream, mut bytes: &mut [u8]) -> Result<(), String> {
        let wrong = |error: &dyn Display| format!("does not answer: {error}");
        let deadline = self.step();
        while !bytes.is_empty() {
            match stream.read(bytes, deadline).map_err(|error| wrong(&error))? {
                0 => return Err(wrong(&"connection closed")),
                n => bytes = &mut bytes[n..],
            }
        }
        Ok(())
    }

    fn step(&self) -> Deadline {
        Deadline::after(STEP_MAX).earliest(self.deadline)
    }
}

/// A text as the daemon wants it.
fn frame(text: &[u8]) -> Vec<u8> {
    let length = u64::try_from(text.len() + 1).expect("a token came in one message");
    [&length.to_le_bytes()[..], text, b"\0"].concat()
}
