//! The relay: both directions at once, ends passed on one by one, last words delivered, and nothing
//! held for who is silent.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use machine::{
    Deadline, Error, Interest, JoinHandle, Notified, Progress, RelayEnd, RelayLimits, Relayed,
    Side, Stream, Woken, relay, wait_any,
};

use common::{engine, on, pair, soon, until};

const SHORT: Duration = Duration::from_millis(20);
/// Half of a silence that ends a relay.
const PAUSE: Duration = Duration::from_millis(150);

/// A client, a server, and a relay between them.
fn relayed(limits: RelayLimits<'static>) -> (Stream, Stream, JoinHandle<Relayed>) {
    let (client, left) = pair();
    let (server, right) = pair();
    let relay = machine::spawn("relay", move || relay(&left, &right, &limits)).unwrap();
    (client, server, relay)
}

fn pattern(n: usize, seed: usize) -> Vec<u8> {
    (0..n).map(|i| ((i * 31 + seed) % 251) as u8).collect()
}

fn read_all(stream: &Stream) -> Vec<u8> {
    let (mut all, mut bytes) = (Vec::new(), vec![0; 10_000]);
    loop {
        match stream.read(&mut bytes, soon()).unwrap() {
            0 => return all,
            n => all.extend(&bytes[..n]),
        }
    }
}

/// Writes and reads as it comes; what was read.
fn talk(stream: &Stream, mut bytes: &[u8]) -> Vec<u8> {
    let (mut all, mut room) = (Vec::new(), vec![0; 10_000]);
    loop {
        while !bytes.is_empty()
            && let Progress::Done(n) = stream.try_write(bytes).unwrap()
        {
            bytes = &bytes[n..];
            if bytes.is_empty() {
                stream.shutdown_write().unwrap();
            }
        }
        match stream.try_read(&mut room).unwrap() {
            Progress::Done(n) => all.extend(&room[..n]),
            Progress::End if bytes.is_empty() => return all,
            Progress::End => wait_one(stream, Interest::WRITE),
            Progress::Wait => {
                let write = if bytes.is_empty() { Interest::NONE } else { Interest::WRITE };
                wait_one(stream, Interest::READ | write);
            }
        }
    }
}

fn wait_one(stream: &Stream, interest: Interest) {
    let woken = wait_any(&[(stream, interest)], None, soon()).unwrap();
    assert_eq!(woken, Woken::Ready);
}

/// The server reads nothing before it has written everything; the client does both at once. Seen to
/// fail: a relay that finishes a write in one direction before it looks at the other.
#[test]
fn a_server_that_writes_before_it_reads() {
    const BYTES: usize = 48 << 20; // far more than four sockets hold
    on(0, || {
        let (client, server, relay) = relayed(RelayLimits::NONE);
        let serves = move || {
            server.write_all(&pattern(BYTES, 2), soon()).unwrap();
            server.shutdown_write().unwrap();
            assert!(read_all(&server) == pattern(BYTES, 1), "byte for byte");
        };
        let serving = machine::spawn("server", serves).unwrap();
        assert!(talk(&client, &pattern(BYTES, 1)) == pattern(BYTES, 2), "byte for byte");
        serving.join(soon()).unwrap();
        let relayed = relay.join(soon()).unwrap();
        assert_eq!((relayed.to_right_bytes, relayed.to_left_bytes), (BYTES as u64, BYTES as u64));
    });
}

#[test]
fn an_end_is_passed_on_and_the_other_direction_goes_on() {
    on(0, || {
        let (client, server, relay) = relayed(RelayLimits::NONE);
        client.write_all(b"question", soon()).unwrap();
        client.shutdown_write().unwrap();
        assert_eq!(read_all(&server), b"question");
        machine::sleep(SHORT).unwrap();
        server.write_all(b"a late answer", soon()).unwrap();
        server.shutdown_write().unwrap();
        assert_eq!(read_all(&client), b"a late answer");
        let relayed = relay.join(soon()).unwrap();
        assert_eq!((relayed.to_right_bytes, relayed.to_left_bytes), (8, 13));
        assert!(matches!(relayed.end, RelayEnd::Finished));
    });
}

/// The server has gone, a write to it fails, and what it said before waits for a client that reads
/// nothing yet. Seen to fail: a relay that ends with the first failed write.
#[test]
fn what_was_said_before_a_failed_write_is_delivered() {
    on(0, || {
        let ((client, left), (server, right)) = (unix_pair(), unix_pair());
        let limits = RelayLimits::NONE;
        let relay = machine::spawn("relay", move || relay(&left, &right, &limits)).unwrap();
        let (words, mut said) = (pattern(4 << 20, 4), 0);
        until("all places are full", || {
            let before = said;
            while let Progress::Done(n) = server.try_write(&words[said..]).unwrap() {
                said += n;
            }
            said == before
        });
        drop(server);
        client.write_all(b"too late", soon()).unwrap();
        machine::sleep(SHORT).unwrap(); // the relay hears that nobody takes it
        assert!(read_all(&client) == words[..said], "byte for byte");
        let relayed = relay.join(soon()).unwrap();
        let expected = matches!(relayed.end, RelayEnd::Broken { side: Side::Right, .. });
        assert!(expected, "{:?}", relayed.end);
        assert_eq!(relayed.to_left_bytes, said as u64);
    });
}

/// Two ends that hold what they were given until it is read, whoever has gone.
fn unix_pair() -> (Stream, Stream) {
    let (a, b) = UnixStream::pair().unwrap();
    (Stream::from_fd(a.into()).unwrap(), Stream::from_fd(b.into()).unwrap())
}

#[test]
fn last_words_of_who_hangs_up_are_delivered() {
    on(0, || {
        let (client, server, relay) = relayed(RelayLimits::NONE);
        server.write_all(b"no more connections", soon()).unwrap();
        drop(server); // with nothing unread: an end, and resets for what comes later
        client.write_all(&pattern(100_000, 3), soon()).unwrap();
        let mut words = vec![0; 100];
        let n = client.read(&mut words, soon()).unwrap();
        assert_eq!(&words[..n], b"no more connections");
        let _ = client.write_all(&pattern(1_000_000, 3), Deadline::after(SHORT));
        drop(client);
        let relayed = relay.join(soon()).unwrap();
        assert_eq!(relayed.to_left_bytes, 19);
        let end = relayed.end;
        let expected = matches!(end, RelayEnd::Broken { side: Side::Right, .. });
        assert!(expected, "{end:?}");
    });
}

#[test]
fn a_broken_stream_is_named() {
    on(0, || {
        let (client, _server, relay) = relayed(RelayLimits::NONE);
        client.set_linger_reset().unwrap();
        drop(client);
        match relay.join(soon()).unwrap().end {
            RelayEnd::Broken { side: Side::Left, error: Error::Io(_) } => {}
            other => panic!("{other:?}"),
        }
    });
}

/// False where we had no processor for so long that it was silence.
fn ends_by_silence() -> bool {
    let idle = RelayLimits { idle: Some(PAUSE * 2), ..RelayLimits::NONE };
    let (client, _server, relay) = relayed(idle);
    for _ in 0..4 {
        let since = Instant::now();
        machine::sleep(PAUSE).unwrap();
        if since.elapsed() > PAUSE * 3 / 2 {
            return false;
        }
        client.write_all(b"x", soon()).unwrap(); // which starts the time anew
    }
    let relayed = relay.join(soon()).unwrap();
    assert!(matches!(relayed.end, RelayEnd::Idle), "{:?}", relayed.end);
    assert_eq!(relayed.to_right_bytes, 4);
    true
}

#[test]
fn silence_a_deadline_a_flag_and_a_cancel_end_it() {
    on(0, || {
        assert!((0..10).any(|_| ends_by_silence()), "no processor for us, each time");

        let late = RelayLimits { deadline: Deadline::after(SHORT), ..RelayLimits::NONE };
        let (_client, _server, relay) = relayed(late);
        let end = relay.join(soon()).unwrap().end;
        assert!(matches!(end, RelayEnd::Stopped(Error::TimedOut)), "{end:?}");

        let (_client, _server, relay) = relayed(RelayLimits::NONE);
        machine::yield_now();
        relay.cancel();
        let end = relay.join(soon()).unwrap().end;
        assert!(matches!(end, RelayEnd::Stopped(Error::Cancelled)), "{end:?}");

        let (left, _client) = pair();
        let (right, _server) = pair();
        let notified = Notified::new();
        let notifier = notified.notifier();
        engine().machines()[1].spawn("notifies", move || notifier.notify()).unwrap();
        let limits = RelayLimits { notified: Some(&notified), ..RelayLimits::NONE };
        assert!(matches!(machine::relay(&left, &right, &limits).end, RelayEnd::Notified));
    });
}
