//! A TCP proxy: bytes both ways, for whoever connects.
//!
//! Teaches: new after `10_tls_echo` is one coroutine for two sockets. [`machine::relay`] waits for
//! both at once and moves what can be moved in either direction: it never waits for one while the
//! other could go on (a proxy that does stands still as soon as both sides write more than the
//! sockets hold), it reads no further than it can write, and it passes on that one side has ended.
//!
//! Run: `cargo run -p machine --example 11_relay` plays with itself and ends;
//! `cargo run --release -p machine --example 11_relay -- 127.0.0.1:7007 127.0.0.1:5432` serves.
//!
//! ```text
//! relay on 127.0.0.1:…
//! 1000000 bytes there, 1000000 bytes back: Finished
//! ```
//!
//! Try: give [`RelayLimits`] an `idle` of a second, and say nothing for two.

use machine::{
    Address, Deadline, EngineConfig, Error, ListenOptions, Listener, RelayLimits, Relayed, Stream,
    StreamOptions,
};
use std::time::Duration;

const CONNECT_MAX: Duration = Duration::from_secs(5);
const BYTES: usize = 1_000_000;

fn carry(client: &Stream, upstream: &Address) -> Result<Relayed, Error> {
    client.set_options(&StreamOptions::NODELAY)?;
    let deadline = Deadline::after(CONNECT_MAX);
    let server = Stream::connect(upstream, &StreamOptions::NODELAY, deadline)?;
    Ok(machine::relay(client, &server, &RelayLimits::NONE))
}

fn serve(listener: &Listener, upstream: Address) -> Result<(), Error> {
    let ended = listener.serve("relay", move |client, peer| match carry(&client, &upstream) {
        Ok(done) => {
            let (there, back) = (done.to_right_bytes, done.to_left_bytes);
            println!("{there} bytes there, {back} bytes back: {:?}", done.end);
        }
        Err(error) => eprintln!("{peer}: {error}"),
    });
    ended.map(|never| match never {})
}

/// Behind the proxy: gives back what it gets. In front of it: sends, then hangs up, then listens.
fn play(proxy: &Address, upstream: Listener) -> Result<(), Error> {
    machine::spawn("upstream", move || {
        upstream.serve("echo", |stream, _| _ = machine::relay(&stream, &stream, &RelayLimits::NONE))
    })?;
    let client = Stream::connect(proxy, &StreamOptions::default(), Deadline::NEVER)?;
    machine::scope(|scope| {
        scope.spawn("writer", || {
            client.write_all(&vec![7; BYTES], Deadline::NEVER)?;
            client.shutdown_write()
        })?;
        let mut bytes = vec![0; 64 * 1024];
        while client.read(&mut bytes, Deadline::NEVER)? > 0 {}
        Ok::<_, Error>(())
    })?
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let any = Address::Tcp(([127, 0, 0, 1], 0).into());
    let bind = |address: &Address| Listener::bind(address, &ListenOptions::default());
    let (listener, behind) = match arguments.as_slice() {
        [listen, upstream] => (bind(&Address::Tcp(listen.parse()?))?, Err(upstream.parse()?)),
        _ => (bind(&any)?, Ok(bind(&any)?)),
    };
    println!("relay on {}", listener.local());
    machine::run(EngineConfig::default(), move |_engine| match behind {
        Err(upstream) => serve(&listener, Address::Tcp(upstream)),
        Ok(echo) => {
            let (proxy, upstream) = (listener.local(), echo.local());
            machine::spawn("proxy", move || serve(&listener, upstream))?;
            play(&proxy, echo)
        }
    })??;
    Ok(())
}
