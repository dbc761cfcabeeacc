//! An echo server whose idle clients have no stack. What is new after `01_hello`: sockets and
//! parked sessions. One acceptor hands each connection to the machine with the fewest clients, as a
//! `Parcel`; there it becomes a `Session`, which is served while there are bytes and parked while
//! there are none. Its buffer is leased for the turn only. Try ten thousand `nc localhost 7007` and
//! look at the memory.
//!
//! `cargo run -p machine --example 02_echo -- 127.0.0.1:7007`

use machine::{
    Address, Buffer, Deadline, Engine, EngineConfig, Error, ListenOptions, Listener, Parcel,
    Progress, Seat, Served, Session, Stream, Wakers,
};
use std::time::Duration;

const WRITE_MAX: Duration = Duration::from_secs(10);

struct Echo {
    stream: Stream,
    _seat: Seat,
}

impl Session for Echo {
    fn serve(self: Box<Self>) -> Served {
        let mut buffer = Buffer::lease();
        loop {
            match self.stream.try_read_into(&mut buffer) {
                Ok(Progress::Done(_)) => {}
                Ok(Progress::Wait) => return Served::Parked(self),
                Ok(Progress::End) | Err(_) => return Served::Ended,
            }
            if self.stream.write_all(buffer.data(), Deadline::after(WRITE_MAX)).is_err() {
                return Served::Ended;
            }
            buffer.clear();
        }
    }

    fn wakers(&self) -> Wakers<'_> {
        let (other, notified) = (None, None);
        Wakers { stream: &self.stream, other, notified, deadline: Deadline::NEVER }
    }
}

fn welcome(parcel: Parcel, seat: Seat) {
    let started = parcel
        .unfold()
        .and_then(|stream| machine::start_session(Box::new(Echo { stream, _seat: seat })));
    if let Err(error) = started {
        eprintln!("a client was turned away: {error}");
    }
}

fn accept(listener: &Listener, engine: &Engine) -> Result<(), Error> {
    loop {
        let (parcel, _peer) = listener.accept(Deadline::NEVER)?;
        let machine = engine.least_loaded();
        let seat = machine.seat();
        machine.spawn("welcome", move || welcome(parcel, seat))?;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7007".to_owned());
    let listener = Listener::bind(&Address::Tcp(address.parse()?), &ListenOptions::default())?;
    println!("echo on {}", listener.local());
    let engine = Engine::start(EngineConfig { machines: 2, ..EngineConfig::default() })?;
    let first = engine.machines()[0].clone();
    let (sender, ended) = std::sync::mpsc::channel();
    first.spawn("acceptor", move || {
        let _ = sender.send(accept(&listener, &engine));
    })?;
    Ok(ended.recv()??)
}
