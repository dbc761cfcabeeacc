//! The line between the old and the new process. Each end has one coroutine that reads and one that
//! writes, on streams of their own, so that two who both write never stand still; what is to be
//! written waits in a bounded outbox, which any machine may post to.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use machine::{Deadline, Notified, Notifier, Stream};

use super::frame::{Frame, HEADER_BYTES};

/// Letters waiting to be written; cancels of strangers must not pile up.
const LETTERS_MAX: usize = 1024;

/// The other process reads as fast as it can; one that does not for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What waits to be written.
#[derive(Default)]
pub(super) struct Outbox(Mutex<State>);

#[derive(Default)]
struct State {
    letters: VecDeque<Letter>,
    /// Wakes the one who writes; None before he is there.
    bell: Option<Notifier>,
    closed: bool,
}

/// A frame and the sockets that go with it.
pub(super) struct Letter {
    pub(super) frame: Frame,
    pub(super) descriptors: Vec<OwnedFd>,
    /// Rings when it was written, or never will be.
    pub(super) sent: Option<Notifier>,
}

impl From<Frame> for Letter {
    fn from(frame: Frame) -> Self {
        Letter { frame, descriptors: Vec::new(), sent: None }
    }
}

/// The line is dead, or the outbox is full; nothing was posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotPosted;

impl Outbox {
    /// To be written soon.
    pub(super) fn post(&self, letter: impl Into<Letter>) -> Result<(), NotPosted> {
        let mut state = self.lock();
        if state.closed || state.letters.len() >= LETTERS_MAX {
            return Err(NotPosted);
        }
        state.letters.push_back(letter.into());
        if let Some(bell) = &state.bell {
            bell.notify();
        }
        Ok(())
    }

    /// Nothing is written any more.
    pub(super) fn close(&self) {
        let letters = {
            let mut state = self.lock();
            state.closed = true;
            if let Some(bell) = &state.bell {
                bell.notify();
            }
            std::mem::take(&mut state.letters)
        };
        letters.iter().filter_map(|letter| letter.sent.as_ref()).for_each(Notifier::notify);
    }

    /// Writes what is posted, until the outbox is closed or the other process is gone.
    pub(super) fn write(&self, stream: &Stream) {
        let notified = Notified::new();
        self.lock().bell = Some(notified.notifier());
        loop {
            while let Some(letter) = self.next() {
                let written = write(stream, &letter);
                if let Some(sent) = &letter.sent {
                    sent.notify();
                }
                if written.is_err() {
                    return self.close();
                }
            }
            if self.lock().closed
                || machine::wait_any(&[], Some(&notified), Deadline::NEVER).is_err()
            {
                return self.close();
            }
            let _ = notified.take();
        }
    }

    fn next(&self) -> Option<Letter> {
        self.lock().letters.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics under this lock")
    }
}

fn write(stream: &Stream, letter: &Letter) -> Result<(), machine::Error> {
    let descriptors: Vec<_> = letter.descriptors.iter().map(AsFd::as_fd).collect();
    let deadline = Deadline::after(WRITE_TIMEOUT);
    stream.write_all_with(&letter.frame.bytes(), &descriptors, deadline)
}

/// The next frame of one who speaks this version, and the sockets that came with it; None at the
/// end.
pub(super) fn read(
    stream: &Stream,
    version: u16,
    deadline: Deadline,
) -> Result<Option<(Frame, Vec<OwnedFd>)>, machine::Error> {
    let mut descriptors = Vec::new();
    let mut header = [0; HEADER_BYTES];
    if !fill(stream, &mut header, &mut descriptors, deadline)? {
        return Ok(None);
    }
    let mut body = vec![0; Frame::body_bytes(header)?];
    if !fill(stream, &mut body, &mut descriptors, deadline)? {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(Some((Frame::parse(header[4], &body, version)?, descriptors)))
}

/// False when nothing comes any more.
fn fill(
    stream: &Stream,
    mut room: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
    deadline: Deadline,
) -> Result<bool, machine::Error> {
    while !room.is_empty() {
        match stream.read_with(room, descriptors, deadline)? {
            0 => return Ok(false),
            count => room = &mut room[count..],
        }
    }
    Ok(true)
}

/// Both ends of one socket, of which one coroutine reads and another writes.
pub(super) struct Line {
    pub(super) reads: Stream,
    pub(super) outbox: Arc<Outbox>,
}

impl Line {
    /// On this machine. Its writer ends with the outbox.
    pub(super) fn start(socket: OwnedFd) -> Result<Line, machine::Error> {
        let reads = Stream::from_fd(socket)?;
        let writes = Stream::from_fd(reads.duplicate()?)?;
        let outbox = Arc::new(Outbox::default());
        let theirs = Arc::clone(&outbox);
        machine::spawn("line", move || theirs.write(&writes))?;
        Ok(Line { reads, outbox })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.outbox.close();
    }
}
