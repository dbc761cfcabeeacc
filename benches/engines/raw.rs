//! The floor: `epoll`, `recv` and `send`, and nothing else. Messages are small: a write that does
//! not take all of one is the end of the connection.

use rustix::event::epoll::{self, Event, EventData, EventFlags};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Events a turn.
const EVENTS: usize = 256;

/// An epoll instance.
pub struct Epoll(OwnedFd);

impl Epoll {
    /// With nothing in it.
    pub fn new() -> Epoll {
        Epoll(epoll::create(epoll::CreateFlags::CLOEXEC).expect("a descriptor"))
    }

    /// Tells `key` when there is something to read; with `edge` once for what came.
    pub fn add(&self, fd: impl AsFd, key: u64, edge: bool) {
        let mut flags = EventFlags::IN;
        flags.set(EventFlags::ET, edge);
        epoll::add(&self.0, fd, EventData::new_u64(key), flags).expect("an open descriptor");
    }

    /// The keys of those that have something to read.
    pub fn wait(&self, keys: &mut Vec<u64>) {
        let mut events =
            [Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; EVENTS];
        let count = epoll::wait(&self.0, &mut events, None).unwrap_or(0);
        keys.clear();
        keys.extend(events[..count].iter().map(|event| event.data.u64()));
    }
}

/// An echo in a thread of this process.
pub struct Echo {
    /// Where it listens.
    pub address: SocketAddr,
}

impl Echo {
    /// On the last processor, with the load.
    pub fn start() -> Echo {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        std::thread::spawn(move || {
            meter::pin(meter::last_processor());
            run(&listener, None);
        });
        Echo { address }
    }
}

/// Serves for ever: an echo, or a relay to `upstream`.
pub fn serve(upstream: Option<SocketAddr>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    crate::net::ready(listener.local_addr().expect("it is bound"));
    run(&listener, upstream);
}

/// Each socket by its number, with the one that gets what it says: itself, in an echo.
fn run(listener: &TcpListener, upstream: Option<SocketAddr>) {
    let epoll = Epoll::new();
    let listening = listener.as_raw_fd() as u64;
    epoll.add(listener, listening, false);
    let mut sockets: HashMap<u64, (TcpStream, u64)> = HashMap::new();
    let mut bytes = vec![0; 8192];
    let mut keys = Vec::new();
    loop {
        epoll.wait(&mut keys);
        for &key in &keys {
            if key == listening {
                let Ok((client, _)) = listener.accept() else { continue };
                let server =
                    upstream.map(|upstream| TcpStream::connect(upstream).expect("it is there"));
                let key = client.as_raw_fd() as u64;
                let other = server.as_ref().map_or(key, |server| server.as_raw_fd() as u64);
                for (stream, to) in [(Some(client), other), (server, key)] {
                    let Some(stream) = stream else { continue };
                    stream.set_nodelay(true).expect("TCP");
                    stream.set_nonblocking(true).expect("a socket");
                    epoll.add(&stream, stream.as_raw_fd() as u64, true);
                    sockets.insert(stream.as_raw_fd() as u64, (stream, to));
                }
                continue;
            }
            if !pass_on(&mut sockets, key, &mut bytes)
                && let Some((_, other)) = sockets.remove(&key)
            {
                sockets.remove(&other);
            }
        }
    }
}

/// What `key` says goes to whom it is for. False when it is over.
fn pass_on(sockets: &mut HashMap<u64, (TcpStream, u64)>, key: u64, bytes: &mut [u8]) -> bool {
    loop {
        let Some((stream, to)) = sockets.get_mut(&key) else { return true };
        let (count, to) = match stream.read(bytes) {
            Ok(0) => return false,
            Ok(count) => (count, *to),
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        let Some((other, _)) = sockets.get_mut(&to) else { return false };
        if other.write(&bytes[..count]).ok() != Some(count) {
            return false;
        }
        if count < bytes.len() {
            return true; // what comes later is another edge
        }
    }
}
