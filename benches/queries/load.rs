//! Clients that ask, and ask again as soon as they are answered, all in one thread; and clients
//! that have asked once and say nothing more.

use crate::Outcome;
use crate::poll::Poll;
use crate::stage::Target;
use crate::words::{Manner, startup, whole};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// So many clients that ask in this manner for so long.
pub struct Load {
    pub manner: Manner,
    pub clients: usize,
    pub span: Duration,
}

/// What came of it.
pub struct Round {
    /// CPU of the target's process a query.
    pub cpu_us: f64,
    /// The median of how long an answer took.
    pub wait_ms: f64,
    pub p99_ms: f64,
}

/// Before anything is measured, so that servers are opened and caches warm.
const WARM_UP: Duration = Duration::from_millis(200);
/// A client that waits longer has been forgotten.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 64 * 1024;

pub struct Client {
    socket: TcpStream,
    inbox: Vec<u8>,
    asked: Instant,
}

impl Load {
    /// Every query counts that is asked and answered while it lasts.
    pub fn put_on(&self, target: &Target) -> Outcome<Round> {
        let mut clients = Vec::with_capacity(self.clients);
        let mut poll = Poll::new()?;
        for key in 0..self.clients {
            let client = Client::log_in(target, self.manner)?;
            poll.add(&client.socket, key)?;
            clients.push(client);
        }
        let request = self.manner.request();
        clients.iter_mut().try_for_each(|client| client.ask(&request))?;
        self.turn(&mut poll, &mut clients, &request, WARM_UP)?;
        let before = meter::cpu_of(target.process());
        let mut waits = self.turn(&mut poll, &mut clients, &request, self.span)?;
        let cpu = meter::cpu_of(target.process()) - before;
        // What is under way comes home: no server is left in the middle of a query.
        clients.iter_mut().try_for_each(Client::listen)?;
        waits.sort_unstable();
        let part = |part: f64| {
            let at = (waits.len() as f64 * part) as usize;
            waits.get(at).map_or(f64::NAN, |wait| wait.as_secs_f64() * 1e3)
        };
        let cpu_us = cpu.as_secs_f64() * 1e6 / waits.len() as f64;
        Ok(Round { cpu_us, wait_ms: part(0.5), p99_ms: part(0.99) })
    }

    /// Asks again whoever was answered, for so long. How long each answer took.
    fn turn(
        &self,
        poll: &mut Poll,
        clients: &mut [Client],
        request: &[u8],
        span: Duration,
    ) -> Outcome<Vec<Duration>> {
        let mut waits = Vec::new();
        let mut scratch = vec![0; READ_BYTES];
        let since = Instant::now();
        while since.elapsed() < span {
            let keys = poll.wait(Some(ANSWER_TIMEOUT))?;
            if keys.is_empty() {
                return Err("nobody is answered any more".into());
            }
            for key in keys {
                let client = &mut clients[key];
                if client.hear(&mut scratch)? {
                    waits.push(client.asked.elapsed());
                    client.ask(request)?;
                }
            }
        }
        Ok(waits)
    }
}

/// So many clients that have asked once and say nothing more.
pub fn idle_clients(target: &Target, count: usize) -> Outcome<Vec<Client>> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let request = Manner::Simple.request();
    let come = |_| {
        let mut client = Client::log_in(target, Manner::Simple)?;
        client.ask(&request)?;
        client.listen()?;
        client.inbox = Vec::new();
        Ok(client)
    };
    (0..count).map(come).collect()
}

impl Client {
    fn log_in(target: &Target, manner: Manner) -> Outcome<Client> {
        let socket = TcpStream::connect(target.address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let mut client = Client { socket, inbox: Vec::new(), asked: Instant::now() };
        client.ask(&startup())?;
        client.listen()?;
        if let Some(preparation) = manner.preparation() {
            client.ask(&preparation)?;
            client.listen()?;
        }
        Ok(client)
    }

    fn ask(&mut self, request: &[u8]) -> Outcome<()> {
        self.asked = Instant::now();
        Ok(self.socket.write_all(request)?)
    }

    /// Waits for a ReadyForQuery.
    fn listen(&mut self) -> Outcome<()> {
        let mut scratch = vec![0; READ_BYTES];
        while !self.hear(&mut scratch)? {}
        Ok(())
    }

    /// Reads once. Has a ReadyForQuery come?
    fn hear(&mut self, scratch: &mut [u8]) -> Outcome<bool> {
        let count = self.socket.read(scratch)?;
        if count == 0 {
            return Err("a client was sent away".into());
        }
        self.inbox.extend_from_slice(&scratch[..count]);
        let (mut at, mut is_ready) = (0, false);
        while let Some(bytes) = whole(&self.inbox[at..], false) {
            match self.inbox[at] {
                b'Z' => is_ready = true,
                b'E' => {
                    let text = String::from_utf8_lossy(&self.inbox[at + 5..at + bytes]);
                    return Err(text.replace('\0', " ").into());
                }
                _ => {}
            }
            at += bytes;
        }
        self.inbox.drain(..at);
        Ok(is_ready)
    }
}
