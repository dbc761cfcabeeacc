//! A PostgreSQL impostor that misbehaves as its script says. One thread a connection.

use super::message::{Wire, cstr};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub struct FakeServer {
    pub port: u16,
    closing: Arc<AtomicBool>,
}

impl FakeServer {
    /// Runs `script` on a thread of its own for each connection.
    pub fn start(script: impl Fn(FakeSession) + Send + Sync + 'static) -> FakeServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let closing = Arc::new(AtomicBool::new(false));
        let (stop, script) = (closing.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let script = script.clone();
                std::thread::spawn(move || script(FakeSession { stream }));
            }
        });
        FakeServer { port, closing }
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// One connection of the pooler to the impostor.
pub struct FakeSession {
    pub stream: TcpStream,
}

impl FakeSession {
    /// Reads the startup packet and lets the pooler in, as a trusting PostgreSQL does.
    pub fn greet(&mut self) -> Option<()> {
        self.read_packet()?;
        self.send(&greeting())
    }

    /// As `greet`, with these messages behind the usual parameters.
    pub fn greet_with(&mut self, parameters: &Wire) -> Option<()> {
        self.read_packet()?;
        self.send(&greeting_with(parameters))
    }

    pub fn read_packet(&mut self) -> Option<Vec<u8>> {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size).ok()?;
        let mut body = vec![0; u32::from_be_bytes(size) as usize - 4];
        self.stream.read_exact(&mut body).ok()?;
        Some(body)
    }

    /// The next message of the pooler: tag and body.
    pub fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut tag = [0];
        self.stream.read_exact(&mut tag).ok()?;
        Some((tag[0], self.read_packet()?))
    }

    /// Reads up to and including the next message with one of these tags.
    pub fn read_until(&mut self, tags: &[u8]) -> Option<(u8, Vec<u8>)> {
        loop {
            let message = self.read()?;
            if tags.contains(&message.0) {
                return Some(message);
            }
        }
    }

    pub fn send(&mut self, wire: &Wire) -> Option<()> {
        self.stream.write_all(&wire.0).ok()
    }

    /// Says nothing more until the pooler leaves.
    pub fn stay_silent(mut self) {
        let mut sink = [0; 4096];
        while matches!(self.stream.read(&mut sink), Ok(count) if count > 0) {}
    }

    /// Sends these bytes and the end of the stream in one segment (if they fit into one).
    pub fn send_and_close(mut self, wire: &Wire) {
        let sent = rustix::net::send(&self.stream, &wire.0, rustix::net::SendFlags::MORE);
        let rest = &wire.0[sent.unwrap_or(wire.0.len())..];
        let _ = self.stream.write_all(rest);
        let _ = self.stream.shutdown(Shutdown::Write);
        self.stay_silent();
    }
}

/// AuthenticationOk, parameters, BackendKeyData, ReadyForQuery.
pub fn greeting() -> Wire {
    greeting_with(&Wire::new())
}

fn greeting_with(parameters: &Wire) -> Wire {
    const USUAL: [(&str, &str); 6] = [
        ("server_version", "15.0"),
        ("client_encoding", "UTF8"),
        ("DateStyle", "ISO, MDY"),
        ("TimeZone", "UTC"),
        ("standard_conforming_strings", "on"),
        ("integer_datetimes", "on"),
    ];
    let usual = USUAL.iter().map(|(name, value)| parameter(name, value).0).collect::<Vec<_>>();
    Wire::new()
        .message(b'R', &[0, 0, 0, 0])
        .raw(&usual.concat())
        .raw(&parameters.0)
        .message(b'K', &[0, 0, 0, 7, 0, 0, 0, 9])
        .message(b'Z', b"I")
}

/// A ParameterStatus.
pub fn parameter(name: &str, value: &str) -> Wire {
    Wire::new().message(b'S', &[cstr(name), cstr(value)].concat())
}

/// The answer to `select 'x'`: one row, and ready.
pub fn one_row() -> Wire {
    let column = [cstr("x"), vec![0; 6], vec![0, 0, 0, 25, 255, 255, 255, 255, 255, 255, 0, 0]];
    Wire::new()
        .message(b'T', &[vec![0, 1], column.concat()].concat())
        .message(b'D', &[&[0, 1, 0, 0, 0, 1][..], b"x"].concat())
        .message(b'C', &cstr("SELECT 1"))
        .message(b'Z', b"I")
}

/// An ErrorResponse.
pub fn error(severity: &str, code: &str, text: &str) -> Wire {
    let field = |tag: &str, value: &str| cstr(&format!("{tag}{value}"));
    let fields = [field("S", severity), field("V", severity), field("C", code), field("M", text)];
    Wire::new().message(b'E', &[fields.concat(), vec![0]].concat())
}
