//! `machine`, as its users use it.

use crate::small::{SLEEPERS, SLEEPS_EACH, TIMES, timed};
use machine::channel::{self, Limits};
use machine::{
    Address, Buffer, Deadline, Engine, EngineConfig, Error, ListenOptions, Listener, MachineHandle,
    RelayLimits, Served, Session, Stream, StreamOptions, Wakers,
};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

const NODELAY: StreamOptions =
    StreamOptions { nodelay: true, keepalive: None, user_timeout_ms: None };

/// CPU of small things; on two machines only what goes from one to the other.
pub fn small(what: &str, machines: usize) -> Option<(Duration, u32)> {
    let config = EngineConfig { machines, ..EngineConfig::default() };
    let engine = Engine::start(config).expect("the first of the process");
    let partner = engine.machines().last().expect("one at least").clone();
    let on = |work: fn(u32, &MachineHandle) -> Result<(), Error>| {
        move |times| {
            let (done, over) = mpsc::channel();
            let partner = partner.clone();
            let work = move || done.send(work(times, &partner)).expect("it waits");
            engine.machines()[0].spawn("bench", work).expect("it runs");
            over.recv().expect("no panic").expect("no error");
        }
    };
    match (what, machines) {
        ("spawn", 1) => Some(timed(TIMES, on(spawns))),
        ("yield", 1) => Some(timed(TIMES, on(yields))),
        ("channel", 1) => Some(timed(TIMES / 4, on(channel_here))),
        ("channel", 2) => Some(timed(TIMES / 4, on(channel_across))),
        ("timer", 1) => Some(timed(SLEEPERS * SLEEPS_EACH, on(timers))),
        _ => None,
    }
}

fn spawns(times: u32, _: &MachineHandle) -> Result<(), Error> {
    for _ in 0..times {
        machine::spawn("child", || ())?.join(Deadline::NEVER)?;
    }
    Ok(())
}

fn yields(times: u32, _: &MachineHandle) -> Result<(), Error> {
    let half = move || (0..times / 2).for_each(|_| machine::yield_now());
    let other = machine::spawn("other", half)?;
    half();
    other.join(Deadline::NEVER)
}

fn timers(times: u32, _: &MachineHandle) -> Result<(), Error> {
    let each = times / SLEEPERS;
    let sleeper = move || (0..each).try_for_each(|_| machine::sleep(Duration::from_millis(1)));
    let sleepers: Result<Vec<_>, Error> =
        (0..SLEEPERS).map(|_| machine::spawn("sleeper", sleeper)).collect();
    sleepers?.into_iter().try_for_each(|sleeper| sleeper.join(Deadline::NEVER)?)
}

fn channel_here(times: u32, _: &MachineHandle) -> Result<(), Error> {
    let (there, asked) = channel::local(Limits::hard(16));
    let (back, answers) = channel::local(Limits::hard(16));
    let other = machine::spawn("other", move || {
        give_back(|| asked.recv(Deadline::NEVER), |n| Ok(back.send(n, Deadline::NEVER)?))
    })?;
    for number in 0..times {
        there.send(number, Deadline::NEVER)?;
        answers.recv(Deadline::NEVER)?;
    }
    drop(there);
    other.join(Deadline::NEVER)?
}

fn channel_across(times: u32, partner: &MachineHandle) -> Result<(), Error> {
    let (there, asked) = channel::shared(Limits::hard(16));
    let (back, answers) = channel::shared(Limits::hard(16));
    partner.spawn("other", move || {
        give_back(|| asked.recv(Deadline::NEVER), |n| Ok(back.send(n, Deadline::NEVER)?))
            .expect("open");
    })?;
    for number in 0..times {
        there.send(number, Deadline::NEVER)?;
        answers.recv(Deadline::NEVER)?;
    }
    Ok(())
}

fn give_back(
    receive: impl Fn() -> Result<u32, Error>,
    send: impl Fn(u32) -> Result<(), Error>,
) -> Result<(), Error> {
    loop {
        match receive() {
            Ok(number) => send(number)?,
            Err(Error::Closed) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Serves for ever: an echo, or a relay to `upstream`.
pub fn serve(upstream: Option<SocketAddr>) {
    accept(move |client| {
        let upstream = upstream.map(Address::Tcp);
        let serve = move || match upstream {
            None => echo(&client),
            Some(upstream) => relay(&client, &upstream),
        };
        machine::spawn("client", serve).map(drop)
    });
}

/// An echo whose clients have no stack while they say nothing.
pub fn serve_parked() {
    accept(|client| machine::start_session(Box::new(Parked(client))));
}

fn accept(serve: impl Fn(Stream) -> Result<(), Error> + Send + 'static) {
    let engine = Engine::start(EngineConfig::default()).expect("the first of the process");
    let any = Address::Tcp(([127, 0, 0, 1], 0).into());
    let listener = Listener::bind(&any, &ListenOptions::default()).expect("a port");
    let Address::Tcp(address) = listener.local() else { unreachable!("it was bound to TCP") };
    crate::net::ready(address);
    let (done, over) = mpsc::channel();
    let acceptor = move || {
        while let Ok((parcel, _)) = listener.accept(Deadline::NEVER) {
            let Ok(client) = parcel.unfold() else { continue };
            client.set_options(&NODELAY).expect("TCP");
            serve(client).expect("room for another");
        }
        done.send(()).expect("it waits");
    };
    engine.machines()[0].spawn("acceptor", acceptor).expect("it runs");
    over.recv().expect("it serves for ever");
}

fn echo(client: &Stream) -> Result<(), Error> {
    let mut buffer = Buffer::lease();
    while client.read_into(&mut buffer, Deadline::NEVER)? > 0 {
        client.write_all(buffer.data(), Deadline::NEVER)?;
        buffer.clear();
    }
    Ok(())
}

fn relay(client: &Stream, upstream: &Address) -> Result<(), Error> {
    let server = Stream::connect(upstream, &NODELAY, Deadline::NEVER)?;
    machine::relay(client, &server, &RelayLimits::NONE);
    Ok(())
}

/// A client of an echo, between two of its requests.
struct Parked(Stream);

impl Session for Parked {
    fn serve(self: Box<Self>) -> Served {
        let mut buffer = Buffer::lease();
        match self.0.read_into(&mut buffer, Deadline::NEVER) {
            Ok(1..) if self.0.write_all(buffer.data(), Deadline::NEVER).is_ok() => {
                Served::Parked(self)
            }
            _ => Served::Ended,
        }
    }

    fn wakers(&self) -> Wakers<'_> {
        Wakers { stream: &self.0, other: None, notified: None, deadline: Deadline::NEVER }
    }
}
