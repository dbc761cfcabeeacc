//! A PostgreSQL that does nothing: lets everybody in and answers every query at once with one row.

use crate::poll::Poll;
use crate::words::{message, whole};
use crate::{Outcome, stage};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

const PARAMETERS: [(&str, &str); 9] = [
    ("server_version", "15.0"),
    ("server_encoding", "UTF8"),
    ("client_encoding", "UTF8"),
    ("standard_conforming_strings", "on"),
    ("DateStyle", "ISO, MDY"),
    ("TimeZone", "Etc/UTC"),
    ("integer_datetimes", "on"),
    ("IntervalStyle", "postgres"),
    ("application_name", ""),
];
const SSL_REQUEST: u32 = 80_877_103;
const READ_BYTES: usize = 64 * 1024;

/// The key of the listener; sessions count from 1.
const LISTENER: usize = 0;

struct Session {
    socket: TcpStream,
    inbox: Vec<u8>,
    has_started: bool,
}

/// Its answers, made once.
struct Answers {
    greeting: Vec<u8>,
    description: Vec<u8>,
    row: Vec<u8>,
    ready: Vec<u8>,
}

/// Serves for ever.
pub fn serve() -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    stage::tell(listener.local_addr()?);
    let answers = Answers::new();
    let mut poll = Poll::new()?;
    poll.add(&listener, LISTENER)?;
    let mut sessions: HashMap<usize, Session> = HashMap::new();
    let mut scratch = vec![0; READ_BYTES];
    for newest in 1.. {
        // One comes in a turn, at most.
        for key in poll.wait(None)? {
            if key == LISTENER {
                let (socket, _) = listener.accept()?;
                socket.set_nodelay(true)?;
                poll.add(&socket, newest)?;
                let session = Session { socket, inbox: Vec::new(), has_started: false };
                sessions.insert(newest, session);
            } else if sessions.get_mut(&key).is_some_and(|one| !one.turn(&answers, &mut scratch)) {
                sessions.remove(&key);
            }
        }
    }
    Ok(())
}

impl Session {
    /// Reads once and answers what is here as a whole. False when it is over.
    fn turn(&mut self, answers: &Answers, scratch: &mut [u8]) -> bool {
        let Ok(count @ 1..) = self.socket.read(scratch) else { return false };
        self.inbox.extend_from_slice(&scratch[..count]);
        let (mut out, mut at) = (Vec::new(), 0);
        while let Some(bytes) = whole(&self.inbox[at..], !self.has_started) {
            let one = &self.inbox[at..at + bytes];
            at += bytes;
            if !self.has_started {
                let asks_for_tls = one.get(4..8) == Some(&SSL_REQUEST.to_be_bytes()[..]);
                self.has_started = !asks_for_tls;
                out.extend_from_slice(if asks_for_tls { b"N" } else { &answers.greeting });
            } else if !answers.put(&mut out, one[0], &one[5..]) {
                return false;
            }
        }
        self.inbox.drain(..at);
        // Short answers to who reads them: this never waits.
        self.socket.write_all(&out).is_ok()
    }
}

impl Answers {
    fn new() -> Answers {
        let ready = message(b'Z', &[b"I"]);
        let mut greeting = message(b'R', &[&[0; 4]]);
        for (name, value) in PARAMETERS {
            let pair = message(b'S', &[name.as_bytes(), b"\0", value.as_bytes(), b"\0"]);
            greeting.extend(pair);
        }
        greeting.extend(message(b'K', &[&1000u32.to_be_bytes(), &12345u32.to_be_bytes()]));
        greeting.extend_from_slice(&ready);
        // One column: no table, an int4 of 4 bytes, no modifier, as text.
        let column: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 0, 23, 0, 4, 255, 255, 255, 255, 0, 0];
        let description = message(b'T', &[&[0, 1], b"abalance\0", column]);
        let data = message(b'D', &[&[0, 1, 0, 0, 0, 5], b"12345"]);
        let row = [data, message(b'C', &[b"SELECT 1\0"])].concat();
        Answers { greeting, description, row, ready }
    }

    /// What is said to this message. False: a goodbye.
    fn put(&self, out: &mut Vec<u8>, tag: u8, body: &[u8]) -> bool {
        match tag {
            b'Q' => out.extend([&self.description[..], &self.row, &self.ready].concat()),
            b'P' => out.extend(message(b'1', &[])),
            b'B' => out.extend(message(b'2', &[])),
            b'D' => {
                if body.first() == Some(&b'S') {
                    out.extend(message(b't', &[&[0; 2]]));
                }
                out.extend_from_slice(&self.description);
            }
            b'E' => out.extend_from_slice(&self.row),
            b'C' => out.extend(message(b'3', &[])),
            b'S' => out.extend_from_slice(&self.ready),
            b'X' => return false,
            _ => {}
        }
        true
    }
}
