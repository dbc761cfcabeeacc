//! may as it comes: its scheduler, its sockets, its channels.

use crate::small::{SLEEPERS, SLEEPS_EACH, TIMES, timed};
use may::coroutine;
use may::net::{TcpListener, TcpStream};
use may::sync::mpsc;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

/// CPU of small things, one worker.
pub fn small(what: &str) -> Option<(Duration, u32)> {
    may::config().set_workers(1).set_stack_size(0x2000);
    let on = |work: fn(u32)| move |times| may::go!(move || work(times)).join().expect("no panic");
    match what {
        "spawn" => Some(timed(TIMES, on(spawns))),
        "yield" => Some(timed(TIMES, on(yields))),
        "channel" => Some(timed(TIMES / 4, on(channel))),
        "timer" => Some(timed(SLEEPERS * SLEEPS_EACH, on(timers))),
        _ => None,
    }
}

fn spawns(times: u32) {
    for _ in 0..times {
        may::go!(|| ()).join().expect("no panic");
    }
}

fn yields(times: u32) {
    let other = may::go!(move || {
        for _ in 0..times / 2 {
            coroutine::yield_now();
        }
    });
    for _ in 0..times / 2 {
        coroutine::yield_now();
    }
    other.join().expect("no panic");
}

fn channel(times: u32) {
    let (there, asked) = mpsc::channel::<u32>();
    let (back, answers) = mpsc::channel::<u32>();
    let other = may::go!(move || {
        while let Ok(number) = asked.recv() {
            back.send(number).expect("open");
        }
    });
    for number in 0..times {
        there.send(number).expect("open");
        answers.recv().expect("open");
    }
    drop(there);
    other.join().expect("no panic");
}

fn timers(times: u32) {
    let sleeper = move || {
        for _ in 0..times / SLEEPERS {
            coroutine::sleep(Duration::from_millis(1));
        }
    };
    let sleepers: Vec<_> = (0..SLEEPERS).map(|_| may::go!(sleeper)).collect();
    for sleeper in sleepers {
        sleeper.join().expect("no panic");
    }
}

/// Serves for ever: an echo, or a relay to `upstream`.
pub fn serve(upstream: Option<SocketAddr>) {
    may::config().set_workers(1).set_stack_size(0x2000);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let acceptor = may::go!(move || {
        crate::net::ready(listener.local_addr().expect("it is bound"));
        for client in listener.incoming().flatten() {
            client.set_nodelay(true).expect("TCP");
            match upstream {
                None => drop(may::go!(move || echo(client))),
                Some(upstream) => drop(may::go!(move || relay(&client, upstream))),
            }
        }
    });
    acceptor.join().expect("it serves for ever");
}

fn echo(mut client: TcpStream) {
    let mut bytes = vec![0; 8192];
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        if client.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
}

/// A coroutine a direction: may has one waiter a socket.
fn relay(client: &TcpStream, upstream: SocketAddr) {
    let Ok(server) = TcpStream::connect(upstream) else { return };
    server.set_nodelay(true).expect("TCP");
    let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else { return };
    let down = may::go!(move || pump(server_too, client_too));
    if let (Ok(client), Ok(server)) = (client.try_clone(), server.try_clone()) {
        pump(client, server);
    }
    let _ = down.join();
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = vec![0; 8192];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
