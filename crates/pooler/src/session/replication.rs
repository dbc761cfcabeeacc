//! Replication: a client and a server of its own, and bytes both ways until one of them goes. It
//! reads no message; it only knows where each of the server's ends, for a last word of ours. The
//! server is always closed afterwards: nobody could tell what state it is in.

use machine::{Buffer, Deadline, Interest, Notified, Progress, Stream, Woken};
use wire::encode;
use wire::frame::HEADER_BYTES;

use super::{FAREWELL, Standing, Voice, farewell};
use crate::backend::Lease;
use crate::ending::{Ending, ServerLoss};
use crate::turns::Turns;

/// A Terminate, as a whole message.
const GOODBYE: &[u8] = b"X\0\0\0\x04";

/// The two ends and what is between them: one bounded buffer for each direction.
pub(super) struct Pipe {
    client: Stream,
    lease: Lease,
    up: Buffer,
    down: Buffer,
    /// How far the server is in its message.
    boundary: Boundary,
    /// The last that the client sent looks like a goodbye.
    goodbye: bool,
}

impl Pipe {
    /// Between these two; `early` came behind the client's login.
    pub(super) fn new(client: Stream, lease: Lease, early: Buffer) -> Self {
        let goodbye = early.data().ends_with(GOODBYE);
        let (down, boundary) = (Buffer::lease(), Boundary::default());
        Self { client, lease, up: early, down, boundary, goodbye }
    }

    /// Until it is over. The server is gone then, and the client was told.
    pub(super) fn run(mut self, notified: &Notified, standing: &Standing, voice: &Voice) -> Ending {
        let mut turns = Turns::default();
        let ending = loop {
            turns.round();
            let asked = standing.asked();
            match () {
                () if asked.dies() => break Ending::Killed,
                () if asked.leaves() && !voice.shared().kin.is_in_doubt() => {
                    break voice.told_to_leave();
                }
                () if asked.yields() => break Ending::Paused,
                () => {}
            }
            let moved = match self.carry() {
                Ok(moved) => moved,
                Err(ending) => break ending,
            };
            if !moved && let Err(ending) = self.wait(notified) {
                break ending;
            }
        };
        self.end(&ending, voice);
        ending
    }

    /// Whatever can be moved at once, both ways.
    fn carry(&mut self) -> Result<bool, Ending> {
        let mut moved = self.listen_to_client()?;
        moved |= self.tell_server()?;
        moved |= self.listen_to_server()?;
        moved |= self.tell_client()?;
        Ok(moved)
    }

    fn listen_to_client(&mut self) -> Result<bool, Ending> {
        if !self.client.is_readable() || self.up.is_full() {
            return Ok(false);
        }
        match self.client.try_read_into(&mut self.up) {
            Ok(Progress::Done(_)) => {
                self.goodbye = self.up.data().ends_with(GOODBYE);
                Ok(true)
            }
            Ok(Progress::Wait) => Ok(false),
            Ok(Progress::End) if self.goodbye => {
                // It came together with the end; the server's log shows no lost connection then.
                let _ = self.tell_server();
                Err(Ending::Terminated)
            }
            Ok(Progress::End) | Err(_) => Err(Ending::ClientGone),
        }
    }

    fn tell_server(&mut self) -> Result<bool, Ending> {
        let server = &self.lease.server().stream;
        if self.up.is_empty() || !server.is_writable() {
            return Ok(false);
        }
        match server.try_write(self.up.data()) {
            Ok(Progress::Done(bytes)) => {
                self.up.consume(bytes);
                Ok(true)
            }
            Ok(Progress::Wait) => Ok(false),
            // It is told why by what it still has to say, if anything.
            Ok(Progress::End) => self.read_rest("connection closed".into()),
            Err(error) => self.read_rest(error.to_string()),
        }
    }

    fn listen_to_server(&mut self) -> Result<bool, Ending> {
        let server = &self.lease.server().stream;
        if !server.is_readable() || self.down.is_full() {
            return Ok(false);
        }
        let before = self.down.len();
        match server.try_read_into(&mut self.down) {
            Ok(Progress::Done(_)) => {
                self.boundary.pass(&self.down.data()[before..]);
                Ok(true)
            }
            Ok(Progress::Wait) => Ok(false),
            Ok(Progress::End) => Err(self.server_gone("connection closed by the server".into())),
            Err(error) => Err(self.server_gone(error.to_string())),
        }
    }

    fn tell_client(&mut self) -> Result<bool, Ending> {
        if self.down.is_empty() || !self.client.is_writable() {
            return Ok(false);
        }
        match self.client.try_write(self.down.data()) {
            Ok(Progress::Done(bytes)) => {
                self.down.consume(bytes);
                Ok(true)
            }
            Ok(Progress::Wait) => Ok(false),
            Ok(Progress::End) | Err(_) => Err(Ending::ClientGone),
        }
    }

    /// The server takes no more; what it said before is the client's.
    fn read_rest(&mut self, reason: String) -> Result<bool, Ending> {
        while !self.down.is_full() && matches!(self.listen_to_server(), Ok(true)) {}
        Err(self.server_gone(reason))
    }

    /// It said what it had to say, or is gone as it would be without us: no word of ours.
    fn server_gone(&self, reason: String) -> Ending {
        if self.goodbye {
            return Ending::Terminated;
        }
        let server = Some(self.lease.server().core.id);
        Ending::ServerLost(ServerLoss { server, reason, told: true })
    }

    /// Waits for anything that lets one direction move, or for the client's end.
    fn wait(&mut self, notified: &Notified) -> Result<(), Ending> {
        let mut client = if !self.up.is_full() { Interest::READ } else { Interest::HANGUP };
        if !self.down.is_empty() {
            client = client | Interest::WRITE;
        }
        let mut server = if !self.down.is_full() { Interest::READ } else { Interest::NONE };
        if !self.up.is_empty() {
            server = server | Interest::WRITE;
        }
        let wants = [(&self.client, client), (&self.lease.server().stream, server)];
        if machine::wait_any(&wants, Some(notified), Deadline::NEVER)? == Woken::Notified {
            let _ = notified.take(); // what it means is looked up by `run`
        }
        match self.up.is_full() && self.client.is_hung_up() {
            true => Err(Ending::ClientGone),
            false => Ok(()),
        }
    }

    /// The server first: a walsender without its client holds back the log it has not sent.
    fn end(self, ending: &Ending, voice: &Voice) {
        let Pipe { client, lease, down, boundary, .. } = self;
        drop(lease);
        if matches!(ending, Ending::ClientGone) {
            return;
        }
        let late = Deadline::after(FAREWELL);
        if !down.is_empty() && client.write_all(down.data(), late).is_err() {
            return;
        }
        if let Some(notice) = ending.notice(false).filter(|_| boundary.is_here()) {
            let mut bytes = Vec::new();
            encode::error(&mut bytes, &voice.tag(notice));
            farewell(&client, &bytes);
        }
    }
}

/// Where in a stream of messages we are: bytes are counted, nothing is judged.
#[derive(Debug, Default)]
struct Boundary {
    /// The tag and the length, as far as they have come.
    header: Vec<u8>,
    /// Bytes of the body that have not come yet.
    body_left: usize,
}

impl Boundary {
    /// These bytes went by.
    fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.body_left > 0 {
                let n = self.body_left.min(bytes.len());
                self.body_left -= n;
                bytes = &bytes[n..];
                continue;
            }
            let n = (HEADER_BYTES - self.header.len()).min(bytes.len());
            self.header.extend(&bytes[..n]);
            bytes = &bytes[n..];
            if let [_, a, b, c, d] = self.header[..] {
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                self.body_left = length.saturating_sub(4); // the length counts itself
                self.header.clear();
            }
        }
    }

    /// Between two messages.
    fn is_here(&self) -> bool {
        self.header.is_empty() && self.body_left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_is_found_however_the_bytes_are_cut() {
        let stream = b"d\0\0\0\x07abcX\0\0\0\x04d\0\0\0\x05z";
        let boundaries = [0, 8, 13, 19];
        for cut in 0..=stream.len() {
            for then in cut..=stream.len() {
                let mut boundary = Boundary::default();
                boundary.pass(&stream[..cut]);
                assert_eq!(boundary.is_here(), boundaries.contains(&cut), "{cut}");
                boundary.pass(&stream[cut..then]);
                assert_eq!(boundary.is_here(), boundaries.contains(&then), "{cut} {then}");
            }
        }
    }
}
