//! The echo server again, in secret.
//!
//! Teaches: new after `09_do_not_block` is TLS, which is *in* a stream: `accept_tls` and
//! `connect_tls` turn a plain one into one that speaks it, and nothing else changes. What all
//! connections share, a [`tls::Server`] or a [`tls::Client`], is made once, before the engine runs.
//!
//! Run: `cargo run -p machine --example 10_tls_echo`
//!
//! ```text
//! TLSv1.3 with a certificate of CN=localhost
//! sent "good morning", got "good morning"
//! a client that asks for example.org: …
//! ```
//!
//! Try: serve for longer, and look at it with `openssl s_client -connect`.

use machine::tls::{self, Ask, Verify};
use machine::{
    Address, Buffer, Deadline, EngineConfig, ListenOptions, Listener, Stream, StreamOptions,
};
use std::{fs, path::Path, process::Command};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A certificate for `localhost` that signs itself, by OpenSSL's own program.
fn certificate(dir: &Path) -> Result<tls::Common, Failure> {
    let words = "req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key -out crt";
    let mut openssl = Command::new("openssl");
    if !openssl.args(words.split(' ')).current_dir(dir).output()?.status.success() {
        return Err("openssl cannot make a certificate".into());
    }
    let (certificate, key) = (Some(dir.join("crt")), Some(dir.join("key")));
    Ok(tls::Common { certificate, key, ..Default::default() })
}

fn echo(mut stream: Stream, server: &tls::Server) -> Result<(), Failure> {
    stream.accept_tls(server, Deadline::NEVER)?;
    let mut buffer = Buffer::lease();
    while stream.read_into(&mut buffer, Deadline::NEVER)? > 0 {
        stream.write_all(buffer.data(), Deadline::NEVER)?;
        buffer.clear();
    }
    Ok(())
}

fn greet(server: &Address, client: &tls::Client) -> Result<(), Failure> {
    let mut stream = Stream::connect(server, &StreamOptions::default(), Deadline::NEVER)?;
    stream.connect_tls(client, Some("localhost"), Deadline::NEVER)?;
    let facts = stream.tls().ok_or("it speaks TLS")?;
    let peer = facts.peer.ok_or("a server shows a certificate")?;
    println!("{} with a certificate of {}", facts.version, peer.subject);
    let (said, mut heard) = ("good morning", [0; 64]);
    stream.write_all(said.as_bytes(), Deadline::NEVER)?;
    let bytes = stream.read(&mut heard, Deadline::NEVER)?;
    println!("sent {said:?}, got {:?}", String::from_utf8_lossy(&heard[..bytes]));
    let mut stream = Stream::connect(server, &StreamOptions::default(), Deadline::NEVER)?;
    if let Err(error) = stream.connect_tls(client, Some("example.org"), Deadline::NEVER) {
        println!("a client that asks for example.org: {error}");
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let dir = std::env::temp_dir().join(format!("tls-echo-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let common = certificate(&dir)?;
    let server = tls::Server::load(&common, Ask::Never)?;
    let believed = tls::Common { authorities: common.certificate, ..Default::default() };
    let client = tls::Client::load(&believed, Verify::Host)?;
    fs::remove_dir_all(&dir)?;
    let any = Address::Tcp(([127, 0, 0, 1], 0).into());
    let listener = Listener::bind(&any, &ListenOptions::default())?;
    machine::run(EngineConfig::default(), move |_engine| {
        let address = listener.local();
        let serve = move || listener.serve("echo", move |stream, _| _ = echo(stream, &server));
        machine::spawn("acceptor", serve)?;
        greet(&address, &client)
    })?
}
