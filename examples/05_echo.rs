//! An echo server: a coroutine for each connection.
//!
//! Teaches: new after `04_ping_pong` are sockets. A [`Listener`] accepts, a [`Stream`] reads and
//! writes; each call looks as if it blocked, and lets others run where it would. Every one takes a
//! [`Deadline`]. A [`Buffer`] is leased from the machine and goes back when it is dropped.
//!
//! Run: `cargo run -p machine --example 05_echo` plays with itself and ends;
//! `cargo run -p machine --example 05_echo -- 127.0.0.1:7007` serves until you end it.
//!
//! ```text
//! echo on 127.0.0.1:…
//! sent "good morning", got "good morning"
//! ```
//!
//! Try: serve, and connect two `nc 127.0.0.1 7007` at once. Then look at the threads of the
//! process.

use machine::{
    Address, Buffer, Deadline, EngineConfig, Error, ListenOptions, Listener, Stream, StreamOptions,
};
use std::time::Duration;

const SILENCE_MAX: Duration = Duration::from_secs(60);

fn echo(stream: &Stream) -> Result<(), Error> {
    let mut buffer = Buffer::lease();
    while stream.read_into(&mut buffer, Deadline::after(SILENCE_MAX))? > 0 {
        stream.write_all(buffer.data(), Deadline::after(SILENCE_MAX))?;
        buffer.clear();
    }
    Ok(()) // the peer has said all it had to say
}

/// A coroutine for each connection, for ever.
fn serve(listener: &Listener) -> Result<(), Error> {
    let ended = listener.serve("echo", |stream, peer| match echo(&stream) {
        Ok(()) | Err(Error::Cancelled) => {} // it is over, or the engine ends
        Err(error) => eprintln!("{peer}: {error}"),
    });
    ended.map(|never| match never {})
}

fn greet(server: &Address) -> Result<(), Error> {
    let stream = Stream::connect(server, &StreamOptions::default(), Deadline::NEVER)?;
    let said = "good morning";
    stream.write_all(said.as_bytes(), Deadline::NEVER)?;
    let mut heard = [0; 64];
    let bytes = stream.read(&mut heard, Deadline::NEVER)?;
    println!("sent {said:?}, got {:?}", String::from_utf8_lossy(&heard[..bytes]));
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given = std::env::args().nth(1);
    let address = given.as_deref().unwrap_or("127.0.0.1:0").parse()?;
    let listener = Listener::bind(&Address::Tcp(address), &ListenOptions::default())?;
    println!("echo on {}", listener.local());
    machine::run(EngineConfig::default(), move |_engine| {
        if given.is_some() {
            return serve(&listener);
        }
        let server = listener.local();
        machine::spawn("acceptor", move || serve(&listener))?;
        greet(&server)
    })??;
    Ok(())
}
