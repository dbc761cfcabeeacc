//! A dialog: one message at a time with one peer, each whole in memory, under one deadline. Logins,
//! server greetings, resets and cancels talk like this; queries do not (see `session::relay`): a
//! dialog refuses messages over 64 KiB.

use machine::{Buffer, Deadline, Interest, Progress, Stream, Woken};
use wire::Malformed;
use wire::frame::{self, HEADER_BYTES, Side};

use crate::turns::Turns;

/// No message of a login or a reset comes near; a peer that sends more is broken or hostile.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Why a dialog ended.
#[derive(Debug)]
pub enum Broken {
    /// The peer closed the connection.
    Closed,
    /// The client on whose behalf this dialog runs went away.
    Abandoned,
    /// The deadline passed.
    TimedOut,
    /// The peer broke the format.
    Malformed(Malformed),
    /// The peer sent a message of so many bytes.
    TooLong(usize),
    /// The socket failed, or the coroutine was cancelled.
    Failed(machine::Error),
}

impl From<machine::Error> for Broken {
    fn from(error: machine::Error) -> Self {
        match error {
            machine::Error::TimedOut => Broken::TimedOut,
            machine::Error::Closed => Broken::Closed,
            other => Broken::Failed(other),
        }
    }
}

impl From<Malformed> for Broken {
    fn from(error: Malformed) -> Self {
        Broken::Malformed(error)
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Broken::Closed => f.write_str("connection closed by peer"),
            Broken::Abandoned => f.write_str("the client went away"),
            Broken::TimedOut => f.write_str("timed out"),
            Broken::Malformed(error) => write!(f, "{error}"),
            Broken::TooLong(bytes) => {
                write!(f, "a message of {bytes} bytes, more than {MESSAGE_BYTES_MAX}")
            }
            Broken::Failed(error) => write!(f, "{error}"),
        }
    }
}

/// How long to go on, and for whom.
#[derive(Clone, Copy)]
pub struct Patience<'a> {
    /// When to give up.
    pub deadline: Deadline,
    /// The client that wants the outcome; when it hangs up there is no point in going on.
    pub client: Option<&'a Stream>,
}

impl Patience<'_> {
    /// Until `deadline`, whoever goes away.
    pub fn until(deadline: Deadline) -> Self {
        Patience { deadline, client: None }
    }

    /// Waits for `interest` in `stream`.
    ///
    /// # Errors
    /// The deadline, the client's end, or a cancelled coroutine.
    pub fn wait(&self, stream: &Stream, interest: Interest) -> Result<(), Broken> {
        let woken = match self.client {
            None => machine::wait_any(&[(stream, interest)], None, self.deadline)?,
            Some(client) => {
                let wants = [(stream, interest), (client, Interest::HANGUP)];
                machine::wait_any(&wants, None, self.deadline)?
            }
        };
        match (woken, self.client) {
            (Woken::TimedOut, _) => Err(Broken::TimedOut),
            (_, Some(client)) if client.is_hung_up() => Err(Broken::Abandoned),
            _ => Ok(()),
        }
    }
}

/// One side of a conversation in whole messages.
pub struct Dialog<'a> {
    stream: &'a Stream,
    /// Whose messages arrive.
    side: Side,
    inbox: Buffer,
    /// Bytes of the message that was handed out last; they go when the next one is asked for.
    spent: usize,
    patience: Patience<'a>,
    turns: Turns,
}

impl<'a> Dialog<'a> {
    /// With the peer behind `stream`, whose messages are `side`'s.
    pub fn new(stream: &'a Stream, side: Side, patience: Patience<'a>) -> Self {
        Self { stream, side, inbox: Buffer::lease(), spent: 0, patience, turns: Turns::default() }
    }

    /// The next message: its tag and its body.
    ///
    /// # Errors
    /// The peer closed, was silent for too long, or broke the format.
    pub fn receive(&mut self) -> Result<(u8, &[u8]), Broken> {
        self.inbox.consume(std::mem::take(&mut self.spent));
        let header = loop {
            match frame::header(self.side, self.inbox.data())? {
                Some(header) if header.frame_bytes() > MESSAGE_BYTES_MAX => {
                    return Err(Broken::TooLong(header.frame_bytes()));
                }
                Some(header) if header.frame_bytes() <= self.inbox.len() => break header,
                Some(header) => {
                    self.inbox.reserve(header.frame_bytes());
                    self.fill()?;
                }
                None => self.fill()?,
            }
        };
        self.spent = header.frame_bytes();
        Ok((header.tag, &self.inbox.data()[HEADER_BYTES..self.spent]))
    }

    /// What has arrived and was not handed out, as it is; for startup packets, which have no tag.
    pub fn raw(&mut self) -> &mut Buffer {
        self.inbox.consume(std::mem::take(&mut self.spent));
        &mut self.inbox
    }

    /// Waits for more bytes.
    ///
    /// # Errors
    /// As `receive`.
    pub fn fill(&mut self) -> Result<(), Broken> {
        self.turns.round();
        // Also for a peer that never makes us wait.
        if self.patience.deadline.is_past(machine::now()) {
            return Err(Broken::TimedOut);
        }
        loop {
            match self.stream.try_read_into(&mut self.inbox)? {
                Progress::Done(_) => return Ok(()),
                Progress::End => return Err(Broken::Closed),
                Progress::Wait => self.patience.wait(self.stream, Interest::READ)?,
            }
        }
    }

    /// Sends an answer when the others of this turn have done their part as well: peers that wait
    /// for such are woken once for all of them.
    ///
    /// # Errors
    /// As `send`.
    pub fn answer(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        machine::step_aside();
        self.send(bytes)
    }

    /// Sends whole messages.
    ///
    /// # Errors
    /// As `receive`; what was sent by then is unknown.
    pub fn send(&mut self, mut bytes: &[u8]) -> Result<(), Broken> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes)? {
                Progress::Done(n) => bytes = &bytes[n..],
                Progress::End => return Err(Broken::Closed),
                Progress::Wait => self.patience.wait(self.stream, Interest::WRITE)?,
            }
        }
        Ok(())
    }

    /// The bytes that came behind the last message.
    pub fn finish(mut self) -> Buffer {
        self.inbox.consume(self.spent);
        self.inbox
    }
}
