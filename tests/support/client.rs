//! A client that speaks raw protocol over a blocking socket, with a limit on every read.

use super::PATIENCE;
use super::login::Login;
use super::message::{Message, PgError, SSL_REQUEST, Wire};
use openssl::ssl::SslStream;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Where a server listens. TCP is always 127.0.0.1.
#[derive(Clone, Debug)]
pub enum Address {
    Tcp(u16),
    Unix(PathBuf),
}

pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<SslStream<TcpStream>>),
}

impl Socket {
    pub fn connect(address: &Address) -> io::Result<Socket> {
        Ok(match address {
            Address::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port))?;
                stream.set_nodelay(true)?;
                Socket::Tcp(stream)
            }
            Address::Unix(path) => Socket::Unix(UnixStream::connect(path)?),
        })
    }

    pub fn limit(&self, patience: Duration) {
        let limit = Some(patience);
        let set = match self {
            Socket::Tcp(s) => s.set_read_timeout(limit).and(s.set_write_timeout(limit)),
            Socket::Unix(s) => s.set_read_timeout(limit).and(s.set_write_timeout(limit)),
            Socket::Tls(s) => s.get_ref().set_read_timeout(limit),
        };
        set.expect("an open socket takes a timeout");
    }

    pub fn try_clone(&self) -> Socket {
        match self {
            Socket::Tcp(s) => Socket::Tcp(s.try_clone().unwrap()),
            Socket::Unix(s) => Socket::Unix(s.try_clone().unwrap()),
            Socket::Tls(_) => panic!("TLS has one owner"),
        }
    }

    pub fn shutdown(&self, how: Shutdown) {
        let _ = match self {
            Socket::Tcp(s) => s.shutdown(how),
            Socket::Unix(s) => s.shutdown(how),
            Socket::Tls(s) => s.get_ref().shutdown(how),
        };
    }

    /// From now on closing this socket is a reset: the peer sees the client crash.
    pub fn reset_on_close(&self) {
        if let Socket::Tcp(s) = self {
            let _ = rustix::net::sockopt::set_socket_linger(s, Some(Duration::ZERO));
        }
    }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(s) => s.read(into),
            Socket::Unix(s) => s.read(into),
            Socket::Tls(s) => s.read(into),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(s) => s.write(bytes),
            Socket::Unix(s) => s.write(bytes),
            Socket::Tls(s) => s.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub struct Client {
    pub socket: Socket,
    pub parameters: BTreeMap<String, String>,
    /// (pid, secret) of BackendKeyData.
    pub key: Option<(u32, Vec<u8>)>,
    /// NegotiateProtocolVersion, when the server sent one: (minor version, options it does not
    /// know).
    pub negotiated: Option<(u32, Vec<String>)>,
    address: Address,
    incoming: Vec<u8>,
}

/// All messages up to a ReadyForQuery.
#[derive(Debug)]
pub struct Answer(pub Vec<Message>);

impl Client {
    pub fn try_connect(address: &Address) -> io::Result<Client> {
        let socket = Socket::connect(address)?;
        socket.limit(PATIENCE);
        Ok(Client::over(socket, address.clone()))
    }

    /// Over a socket that is connected to that address.
    pub fn over(socket: Socket, address: Address) -> Client {
        Client {
            socket,
            parameters: BTreeMap::new(),
            key: None,
            negotiated: None,
            address,
            incoming: Vec::new(),
        }
    }

    /// Whoever listens has said a word about TLS, or has closed: it does more than to listen.
    pub fn await_answer(mut self) -> io::Result<()> {
        self.socket.write_all(&Wire::packet(SSL_REQUEST, &[]).0)?;
        let _word_or_end = self.socket.read(&mut [0])?;
        self.await_goodbye()
    }

    /// Leaves without a word. When this returns, whoever listened has done with the connection, and
    /// counts it no more.
    pub fn await_goodbye(mut self) -> io::Result<()> {
        self.finish_sending();
        self.socket.read_to_end(&mut Vec::new()).map(|_| ())
    }

    /// Logs in, up to the first ReadyForQuery.
    pub fn start(&mut self, login: &Login) -> Result<(), PgError> {
        self.send(&login.packet());
        let mut scram = None;
        loop {
            let Some(message) = self.read() else { return Err(closed("during login")) };
            match message.tag {
                b'R' => login.answer(&message, &mut scram, self)?,
                b'E' => return Err(message.error()),
                b'K' => self.key = Some((message.int(0), message.body[4..].to_vec())),
                b'v' => {
                    let tail = Message { tag: b'v', body: message.body[8..].to_vec() };
                    let known = if message.int(4) == 0 { vec![] } else { tail.strings() };
                    self.negotiated = Some((message.int(0), known));
                }
                b'Z' => return Ok(()),
                b'S' | b'N' => {}
                other => panic!("{:?} during login", char::from(other)),
            }
        }
    }

    pub fn send(&mut self, wire: &Wire) {
        self.try_send(wire).expect("the server takes what we send");
    }

    pub fn try_send(&mut self, wire: &Wire) -> io::Result<()> {
        self.socket.write_all(&wire.0)
    }

    /// The next message, or `None` at the end of the stream. Silence for `PATIENCE` fails the test.
    pub fn read(&mut self) -> Option<Message> {
        match self.try_read() {
            Ok(message) => message,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("no answer within the limit ({} bytes of one)", self.incoming.len())
            }
            Err(_) => None,
        }
    }

    /// As `read`, but silence is an error of kind `WouldBlock`.
    pub fn try_read(&mut self) -> io::Result<Option<Message>> {
        let mut chunk = vec![0; 64 * 1024];
        loop {
            if let Some(message) = self.take_message() {
                return Ok(Some(message));
            }
            let count = self.socket.read(&mut chunk)?;
            if count == 0 {
                return Ok(None);
            }
            self.incoming.extend_from_slice(&chunk[..count]);
        }
    }

    fn take_message(&mut self) -> Option<Message> {
        let header = self.incoming.get(..5)?;
        let size = u32::from_be_bytes(header[1..].try_into().unwrap()) as usize;
        assert!(size >= 4, "a length below 4 from the server");
        if self.incoming.len() <= size {
            return None;
        }
        let message = Message { tag: header[0], body: self.incoming[5..=size].to_vec() };
        self.incoming.drain(..=size);
        if message.tag == b'S' {
            let pair = message.strings();
            self.parameters.insert(pair[0].clone(), pair[1].clone());
        }
        Some(message)
    }

    /// True when nothing arrives for `span`.
    pub fn is_silent_for(&mut self, span: Duration) -> bool {
        self.socket.limit(span);
        let read = self.try_read();
        self.socket.limit(PATIENCE);
        matches!(read, Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }

    /// Everything up to and including the next ReadyForQuery, or to the end of the stream.
    pub fn until_ready(&mut self) -> Answer {
        let mut messages = Vec::new();
        while let Some(message) = self.read() {
            let done = message.tag == b'Z';
            messages.push(message);
            if done {
                break;
            }
        }
        Answer(messages)
    }

    /// As `until_ready`, but an end of the stream is an error, with what came before it.
    pub fn try_until_ready(&mut self) -> Result<Answer, Answer> {
        let answer = self.until_ready();
        let ready = answer.0.last().is_some_and(|message| message.tag == b'Z');
        if ready { Ok(answer) } else { Err(answer) }
    }

    /// Reads up to and including the first message with this tag.
    pub fn until_tag(&mut self, tag: u8) -> Answer {
        let mut messages = Vec::new();
        while messages.last().is_none_or(|m: &Message| m.tag != tag) {
            match self.read() {
                Some(message) => messages.push(message),
                None => panic!("end of stream before {:?}: {messages:?}", char::from(tag)),
            }
        }
        Answer(messages)
    }

    /// Reads to the end of the stream; what came before it.
    pub fn until_closed(&mut self) -> Answer {
        let mut messages = Vec::new();
        while let Some(message) = self.read() {
            messages.push(message);
        }
        Answer(messages)
    }

    /// One simple query and its answer.
    pub fn query(&mut self, sql: &str) -> Answer {
        self.send(&Wire::new().query(sql));
        self.until_ready()
    }

    /// The only value of the only row.
    pub fn scalar(&mut self, sql: &str) -> String {
        let answer = self.query(sql);
        assert_eq!(answer.error(), None, "{sql}");
        let rows = answer.rows();
        rows.first().and_then(|row| row[0].clone()).unwrap_or_else(|| panic!("a value: {sql}"))
    }

    /// One query with parameters by the extended protocol.
    pub fn extended(&mut self, sql: &str, values: &[&str]) -> Answer {
        self.send(&Wire::new().extended(sql, values).sync());
        self.until_ready()
    }

    /// A CancelRequest for what this client runs, as libpq sends it: on a connection of its own.
    /// Returns when the server has closed that connection.
    pub fn cancel(&self) {
        let (pid, secret) = self.key.clone().expect("BackendKeyData came");
        let mut other = Client::try_connect(&self.address).expect("the server accepts");
        let body = [pid.to_be_bytes().to_vec(), secret].concat();
        other.send(&Wire::packet(80_877_102, &body));
        assert_eq!(other.until_closed().0, vec![], "a cancel request is answered by a close");
    }

    /// Half-close: we send no more, but still read.
    pub fn finish_sending(&self) {
        self.socket.shutdown(Shutdown::Write);
    }

    /// Vanishes as a crashed process or a lost network does: reset, no Terminate.
    pub fn vanish_by_reset(self) {
        self.socket.reset_on_close();
    }

    /// Vanishes as a killed process does: the kernel closes its socket, no Terminate.
    pub fn vanish_by_close(self) {}

    /// Leaves as a polite client does.
    pub fn leave(mut self) {
        let _ = self.try_send(&Wire::new().terminate());
        let _ = self.until_closed();
    }
}

fn closed(when: &str) -> PgError {
    PgError {
        severity: "CLOSED".into(),
        code: String::new(),
        message: format!("end of stream {when}"),
        detail: None,
        hint: None,
    }
}

impl Answer {
    /// The error of the answer, if there is one.
    pub fn error(&self) -> Option<PgError> {
        self.0.iter().find(|m| m.tag == b'E').map(Message::error)
    }

    /// The SQLSTATE of the error, or "".
    pub fn code(&self) -> String {
        self.error().map(|e| e.code).unwrap_or_default()
    }

    pub fn rows(&self) -> Vec<Vec<Option<String>>> {
        self.0.iter().filter(|m| m.tag == b'D').map(Message::row).collect()
    }

    /// The first column of each row; NULL is "∅".
    pub fn column(&self) -> Vec<String> {
        self.rows().into_iter().map(|row| row[0].clone().unwrap_or("∅".into())).collect()
    }

    /// CommandComplete tags.
    pub fn commands(&self) -> Vec<String> {
        let done = self.0.iter().filter(|m| m.tag == b'C');
        done.map(|m| m.strings()[0].clone()).collect()
    }

    /// The status of the last ReadyForQuery, or `?`.
    pub fn status(&self) -> char {
        let ready = self.0.iter().rev().find(|m| m.tag == b'Z');
        ready.map_or('?', |m| char::from(m.body[0]))
    }

    /// The answer in words such as `T D C Z/I`: rows and copy data in a run count once,
    /// ParameterStatus is left out.
    pub fn shape(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        for word in self.0.iter().filter(|m| m.tag != b'S').map(Message::shape) {
            let in_a_run = matches!(word.as_str(), "D" | "d");
            if !(in_a_run && words.last() == Some(&word)) {
                words.push(word);
            }
        }
        words.join(" ")
    }
}
