//! A TCP proxy, full duplex. What is new after `02_echo`: one coroutine waits for two sockets in
//! both directions. `wait_any` returns when any of the four things that may happen has happened; a
//! direction holds at most one buffer, and never waits while the other could move (a half-duplex
//! proxy stands still as soon as both peers write more than the sockets hold). This is the skeleton
//! of a pooler's relay, and what its CPU is measured with.
//!
//! `cargo run --release -p machine --example 03_proxy -- 127.0.0.1:7007 127.0.0.1:5432 [MACHINES]`

use machine::{
    Address, Buffer, Deadline, Engine, EngineConfig, Error, Interest, ListenOptions, Listener,
    Parcel, Progress, Stream, StreamOptions, wait_any,
};
use std::time::Duration;

const CONNECT_MAX: Duration = Duration::from_secs(5);

/// One direction: what was read and not yet written.
struct Pump<'a> {
    from: &'a Stream,
    to: &'a Stream,
    held: Buffer,
    open: bool,
}

impl<'a> Pump<'a> {
    fn new(from: &'a Stream, to: &'a Stream) -> Pump<'a> {
        Pump { from, to, held: Buffer::lease(), open: true }
    }

    /// Moves what can be moved without waiting.
    fn turn(&mut self) -> Result<(), Error> {
        while self.open {
            if self.held.is_empty() {
                match self.from.try_read_into(&mut self.held)? {
                    Progress::Done(_) => {}
                    Progress::Wait => break,
                    Progress::End => {
                        self.open = false;
                        self.to.shutdown_write()?;
                    }
                }
            } else {
                match self.to.try_write(self.held.data())? {
                    Progress::Done(n) => self.held.consume(n),
                    Progress::Wait | Progress::End => break,
                }
            }
        }
        Ok(())
    }

    /// What this direction waits for: bytes to read, or room for those it holds.
    fn wants(&self) -> [(&'a Stream, Interest); 2] {
        match (self.open, self.held.is_empty()) {
            (false, _) => [(self.from, Interest::NONE), (self.to, Interest::NONE)],
            (true, true) => [(self.from, Interest::READ), (self.to, Interest::NONE)],
            (true, false) => [(self.from, Interest::NONE), (self.to, Interest::WRITE)],
        }
    }
}

fn relay(client: &Stream, server: &Stream) -> Result<(), Error> {
    let (mut up, mut down) = (Pump::new(client, server), Pump::new(server, client));
    loop {
        up.turn()?;
        down.turn()?;
        if !up.open && !down.open {
            return Ok(());
        }
        let ([a, b], [c, d]) = (up.wants(), down.wants());
        wait_any(&[a, b, c, d], None, Deadline::NEVER)?;
    }
}

fn proxy(parcel: Parcel, backend: &Address) -> Result<(), Error> {
    let options = StreamOptions { nodelay: true, ..StreamOptions::default() };
    let client = parcel.unfold()?;
    client.set_options(&options)?;
    let server = Stream::connect(backend, &options, Deadline::after(CONNECT_MAX))?;
    relay(&client, &server)
}

fn accept(listener: &Listener, backend: &Address, engine: &Engine) -> Result<(), Error> {
    loop {
        let (parcel, peer) = listener.accept(Deadline::NEVER)?;
        let machine = engine.least_loaded();
        let (seat, backend) = (machine.seat(), backend.clone());
        machine.spawn("proxy", move || {
            let _seat = seat;
            if let Err(error) = proxy(parcel, &backend) {
                eprintln!("{peer}: {error}");
            }
        })?;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, backend, machines @ ..] = arguments.as_slice() else {
        return Err("usage: 03_proxy LISTEN BACKEND [MACHINES]".into());
    };
    let machines = machines.first().map_or(Ok(1), |n| n.parse())?;
    let backend = Address::Tcp(backend.parse()?);
    let listener = Listener::bind(&Address::Tcp(listen.parse()?), &ListenOptions::default())?;
    let engine = Engine::start(EngineConfig { machines, ..EngineConfig::default() })?;
    let first = engine.machines()[0].clone();
    let (sender, ended) = std::sync::mpsc::channel();
    first.spawn("acceptor", move || {
        let _ = sender.send(accept(&listener, &backend, &engine));
    })?;
    Ok(ended.recv()??)
}
