//! The load: connections in a closed loop, each sends 64 bytes when it has the last 64 back.

use crate::raw::Epoll;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Bytes of a request, and of its answer.
pub const BYTES: usize = 64;

/// Connections to a server, each of which has an answer due or is about to ask.
pub struct Load {
    epoll: Epoll,
    streams: Vec<(TcpStream, usize)>,
    keys: Vec<u64>,
}

impl Load {
    /// That many, all of which have been answered once.
    pub fn connect(address: SocketAddr, connections: usize) -> Load {
        meter::pin(meter::last_processor());
        let epoll = Epoll::new();
        let mut streams = Vec::with_capacity(connections);
        for index in 0..connections {
            let mut stream = TcpStream::connect(address).expect("the server listens");
            stream.set_nodelay(true).expect("TCP");
            stream.write_all(&[7; BYTES]).expect("there is room");
            stream.read_exact(&mut [0; BYTES]).expect("it answers");
            stream.set_nonblocking(true).expect("a socket");
            epoll.add(&stream, index as u64, false);
            streams.push((stream, 0));
        }
        Load { epoll, streams, keys: Vec::new() }
    }

    /// Asks for that long. Returns how often it was answered.
    pub fn run(&mut self, time: Duration) -> u64 {
        let end = Instant::now() + time;
        self.streams.iter_mut().for_each(|(stream, _)| ask(stream));
        let (mut due, mut answered) = (self.streams.len(), 0);
        while due > 0 {
            let goes_on = Instant::now() < end;
            self.epoll.wait(&mut self.keys);
            for &index in &self.keys {
                let (stream, had) = &mut self.streams[index as usize];
                match stream.read(&mut [0; BYTES]) {
                    Ok(0) => panic!("the server hung up"),
                    Ok(count) => *had += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                    Err(error) => panic!("the server is gone: {error}"),
                }
                if *had < BYTES {
                    continue;
                }
                *had = 0;
                answered += 1;
                match goes_on {
                    true => ask(stream),
                    false => due -= 1,
                }
            }
        }
        answered
    }
}

fn ask(stream: &mut TcpStream) {
    let sent = stream.write(&[7; BYTES]).expect("there is room for one request");
    assert_eq!(sent, BYTES);
}
