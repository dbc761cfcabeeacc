//! TLS in a stream: it reads, writes, waits, folds and parks as one without.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/certificates.rs"]
mod certificates;
mod common;
#[path = "common/secure.rs"]
mod secure;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use machine::tls::{Ask, Client, KeyLog, Server, Verify, Version};
use machine::{
    Address, Buffer, Deadline, Error, Interest, Progress, Stream, Watcher, Woken, wait_any,
};

use certificates::Wish;
use common::{connect, listen, on, pair, soon, start_on, until};
use secure::{Files, echo, shake, tls_pair};

/// Seen to fail when only the socket's bit counts as readable: the wait lasted to its deadline with
/// the bytes deciphered.
#[test]
fn bytes_that_openssl_has_already_are_readable() {
    on(0, || {
        let files = Files::new("pending");
        let (ours, theirs) = tls_pair(&files);
        ours.write_all(&[7; 10_000], soon()).unwrap();
        let mut bytes = [0; 100];
        for _ in 0..100 {
            let woken = wait_any(&[(&theirs, Interest::READ)], None, soon()).unwrap();
            assert_eq!(woken, Woken::Ready);
            assert_eq!(theirs.read(&mut bytes, soon()).unwrap(), 100);
        }
        assert_eq!(theirs.try_read(&mut bytes).unwrap(), Progress::Wait);
        assert!(!theirs.is_readable());
        echo(&ours, &theirs);
    });
}

#[test]
fn what_comes_with_the_handshake_is_not_lost() {
    on(0, || {
        let files = Files::new("early");
        let (client, server) = (files.client(), files.server());
        for _ in 0..20 {
            let (mut ours, theirs) = pair();
            let server = server.clone();
            let other = machine::spawn("server", move || {
                let mut theirs = theirs;
                theirs.accept_tls(&server, soon()).unwrap();
                let mut bytes = [0; 64];
                let n = theirs.read(&mut bytes, soon()).unwrap();
                bytes[..n].to_vec()
            });
            // With TLS 1.3 this goes right behind our last message, often in one segment.
            ours.connect_tls(&client, Some("localhost"), soon()).unwrap();
            ours.write_all(b"startup", soon()).unwrap();
            assert_eq!(other.unwrap().join(soon()).unwrap(), b"startup");
        }
    });
}

const FLOOD_BYTES: usize = 10 * 1024 * 1024;

/// Writes and reads at once; what was read, as a sum.
fn flood(stream: &Stream, seed: u8) -> u64 {
    let chunk: Vec<u8> = (0..65_536u32).map(|i| (i % 251) as u8 ^ seed).collect();
    let (mut sum, mut read, mut written, mut ended) = (0u64, 0usize, 0, false);
    let mut buffer = Buffer::lease();
    while !ended || written < FLOOD_BYTES {
        if written < FLOOD_BYTES {
            let end = chunk.len().min(written % chunk.len() + FLOOD_BYTES - written);
            if let Progress::Done(n) = stream.try_write(&chunk[written % chunk.len()..end]).unwrap()
            {
                written += n;
            }
            if written >= FLOOD_BYTES {
                stream.shutdown_write().unwrap();
            }
        }
        if ended {
            wait_any(&[(stream, Interest::WRITE)], None, soon()).unwrap();
            continue;
        }
        match stream.try_read_into(&mut buffer).unwrap() {
            Progress::Done(n) => {
                read += n;
                sum = buffer.data().iter().fold(sum, |sum, b| sum.wrapping_mul(31) + u64::from(*b));
                buffer.clear();
            }
            Progress::Wait => {
                let more = written < FLOOD_BYTES;
                let write = if more { Interest::WRITE } else { Interest::NONE };
                let wants = [(stream, Interest::READ | write)];
                assert_eq!(wait_any(&wants, None, soon()).unwrap(), Woken::Ready);
            }
            Progress::End => ended = true,
        }
    }
    assert_eq!(read, FLOOD_BYTES);
    sum
}

/// Both fill the sockets between them, so that each write leaves a part of a record behind.
#[test]
fn ten_megabytes_go_each_way_at_once() {
    for version in [Version::Tls1_2, Version::Tls1_3] {
        let files = Files::new(&format!("flood-{version:?}"));
        let mut common = files.believing();
        common.highest = Some(version);
        let client = Client::load(&common, Verify::Host).unwrap();
        let (listener, server) = (listen(), files.server());
        let at = listener.local();
        let theirs = start_on(1, move || {
            let mut stream = listener.accept(soon()).unwrap().0.unfold().unwrap();
            stream.accept_tls(&server, soon()).unwrap();
            flood(&stream, 1)
        });
        let ours = on(0, move || {
            let mut stream = connect(&at).unwrap();
            stream.connect_tls(&client, Some("localhost"), soon()).unwrap();
            let sum = flood(&stream, 2);
            assert_eq!(sum, flood_sum(1), "what the other wrote");
            sum
        });
        assert_eq!((theirs(), ours), (flood_sum(2), flood_sum(1)));
    }
}

fn flood_sum(seed: u8) -> u64 {
    let chunk: Vec<u8> = (0..65_536u32).map(|i| (i % 251) as u8 ^ seed).collect();
    let all = chunk.iter().cycle().take(FLOOD_BYTES);
    all.fold(0, |sum: u64, b| sum.wrapping_mul(31) + u64::from(*b))
}

/// As a plain socket: what was taken is on its way, whatever its owner does next. Seen to fail
/// without the flush in `absorb`, where only the next write sends what the last one left: the
/// reader waited for its last bytes for ever.
#[test]
fn what_a_write_took_arrives_without_another_write() {
    on(0, || {
        let files = Files::new("taken");
        let (ours, theirs) = tls_pair(&files);
        let mut taken = 0;
        while let Progress::Done(n) = ours.try_write(&[3; 50_000]).unwrap() {
            taken += n;
        }
        let reader = machine::spawn("reader", move || {
            let (mut buffer, mut read) = (Buffer::lease(), 0);
            while read < taken {
                read += theirs.read_into(&mut buffer, soon()).unwrap();
                buffer.clear();
            }
            theirs
        });
        let theirs = reader.unwrap().join(soon()).unwrap();
        echo(&ours, &theirs);
    });
}

#[test]
fn one_side_may_end_and_go_on_reading() {
    on(0, || {
        let files = Files::new("half");
        let (ours, theirs) = tls_pair(&files);
        ours.write_all(b"last words", soon()).unwrap();
        ours.shutdown_write().unwrap();
        let mut bytes = [0; 64];
        assert_eq!(theirs.read(&mut bytes, soon()).unwrap(), 10);
        assert_eq!(theirs.read(&mut bytes, soon()).unwrap(), 0, "the end");
        assert_eq!(theirs.read(&mut bytes, soon()).unwrap(), 0, "still the end");
        theirs.write_all(b"answer", soon()).unwrap();
        assert_eq!(ours.read(&mut bytes, soon()).unwrap(), 6);
        drop(theirs);
        assert_eq!(ours.read(&mut bytes, soon()).unwrap(), 0);
    });
}

/// Data, the end of TLS and the end of the socket may all be one event.
#[test]
fn data_and_end_in_one_event_are_not_lost() {
    on(0, || {
        let files = Files::new("one-event");
        let (client, server) = (files.client(), files.server());
        for _ in 0..30 {
            let (ours, theirs) = shake(pair(), &client, &server, Some("localhost"));
            let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
            ours.write_all(b"last words", soon()).unwrap();
            ours.shutdown_write().unwrap();
            until("all arrived", || theirs.is_hung_up());
            let mut bytes = [0; 64];
            assert_eq!(theirs.read(&mut bytes, soon()).unwrap(), 10);
            assert_eq!(theirs.read(&mut bytes, soon()).unwrap(), 0);
        }
    });
}

/// The end of our side comes behind what the kernel had no room for.
#[test]
fn the_end_waits_for_what_is_owed() {
    on(0, || {
        let files = Files::new("owed-end");
        let (ours, theirs) = tls_pair(&files);
        let mut taken = 0;
        while let Progress::Done(n) = ours.try_write(&[3; 50_000]).unwrap() {
            taken += n;
        }
        ours.shutdown_write().unwrap();
        let (mut buffer, mut read) = (Buffer::lease(), 0);
        loop {
            match theirs.read_into(&mut buffer, soon()).unwrap() {
                0 => break,
                n => read += n,
            }
            buffer.clear();
        }
        assert_eq!(read, taken);
    });
}

#[test]
fn a_wire_that_is_cut_is_no_end() {
    on(0, || {
        let files = Files::new("cut");
        let (server, listener) = (files.server(), listen());
        let at = listener.local().to_string();
        let client = std::thread::spawn(move || {
            let mut builder =
                openssl::ssl::SslConnector::builder(openssl::ssl::SslMethod::tls()).unwrap();
            builder.set_verify(openssl::ssl::SslVerifyMode::NONE);
            let plain = std::net::TcpStream::connect(at).unwrap();
            let other = plain.try_clone().unwrap();
            let ssl = builder.build().connect("localhost", plain).unwrap();
            other.shutdown(std::net::Shutdown::Write).unwrap(); // without a word of TLS
            ssl
        });
        let mut stream = listener.accept(soon()).unwrap().0.unfold().unwrap();
        stream.accept_tls(&server, soon()).unwrap();
        for _ in 0..2 {
            match stream.read(&mut [0; 64], soon()) {
                Err(Error::Io(error)) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
                }
                other => panic!("{other:?}"),
            }
        }
        drop(client.join().unwrap());
    });
}

#[test]
fn a_handshake_ends_by_its_deadline_its_peer_or_a_cancel() {
    on(0, || {
        let files = Files::new("deadline");
        let server = files.server();
        let (ours, mut theirs) = pair();
        let brief = Deadline::after(Duration::from_millis(20));
        let error = theirs.accept_tls(&server, brief).unwrap_err();
        assert_eq!(error.to_string(), "TLS handshake: timed out");
        drop(ours);
        let (ours, mut theirs) = pair();
        ours.write_all(b"\x16\x03", soon()).unwrap();
        drop(ours);
        let error = theirs.accept_tls(&server, soon()).unwrap_err();
        assert_eq!(error.to_string(), "TLS handshake: the peer closed the connection");
        let (_ours, mut theirs) = pair();
        let other = machine::spawn("waits", move || {
            theirs.accept_tls(&server, Deadline::NEVER).unwrap_err().to_string()
        })
        .unwrap();
        machine::yield_now();
        other.cancel();
        assert_eq!(other.join(soon()).unwrap(), "TLS handshake: cancelled");
    });
}

#[derive(Default)]
struct Ear(AtomicU64);

impl Watcher for Ear {
    fn stirred(self: Arc<Self>, key: u64) {
        self.0.store(key, Ordering::Release);
    }
}

#[test]
fn a_parcel_takes_its_tls_along() {
    let files = Files::new("parcel");
    let (listener, server, client) = (listen(), files.server(), files.client());
    let at = listener.local();
    let far = start_on(1, move || {
        let mut stream = connect(&at).unwrap();
        stream.connect_tls(&client, Some("localhost"), soon()).unwrap();
        let mut bytes = [0; 64];
        for _ in 0..4 {
            stream.write_all(b"one two", soon()).unwrap();
            assert_eq!(stream.read(&mut bytes, soon()).unwrap(), 2);
        }
    });
    let mut parcel = on(0, move || {
        let mut stream = listener.accept(soon()).unwrap().0.unfold().unwrap();
        stream.accept_tls(&server, soon()).unwrap();
        stream.fold()
    });
    for turn in 0..4 {
        // Half of the record is read here and the other half elsewhere.
        parcel = on(turn % 2, move || {
            let stream = parcel.unfold().unwrap();
            assert_eq!(stream.read(&mut [0; 3], soon()).unwrap(), 3);
            stream.fold()
        });
        parcel = on((turn + 1) % 2, move || {
            let stream = parcel.unfold().unwrap();
            assert!(stream.is_readable(), "the other half is in it");
            let mut bytes = [0; 64];
            assert_eq!(stream.read(&mut bytes, soon()).unwrap(), 4);
            assert_eq!(&bytes[..4], b" two");
            stream.write_all(b"ok", soon()).unwrap();
            stream.fold()
        });
    }
    far();
}

#[test]
fn a_watcher_hears_of_a_folded_stream_with_tls() {
    on(0, || {
        let files = Files::new("watched");
        let (ours, theirs) = tls_pair(&files);
        let drained = theirs.try_read(&mut [0; 8]);
        assert_eq!(drained.unwrap(), Progress::Wait);
        let ear = Arc::new(Ear::default());
        let parcel = theirs.fold_watched(Arc::<Ear>::clone(&ear), 7);
        machine::yield_now();
        assert_eq!(ear.0.load(Ordering::Acquire), 0, "nobody said anything");
        ours.write_all(b"notice", soon()).unwrap();
        until("it was heard", || ear.0.load(Ordering::Acquire) == 7);
        let theirs = parcel.unfold().unwrap();
        assert_eq!(theirs.read(&mut [0; 64], soon()).unwrap(), 6);
    });
}

#[test]
fn a_key_log_has_the_secrets() {
    let files = Files::new("key-log");
    let path = files.at("keys.log").unwrap();
    let mut common = files.common("server");
    common.key_log = Some(KeyLog::open(&path).unwrap());
    let server = Server::load(&common, Ask::Never).unwrap();
    let client = files.client();
    on(0, move || {
        let (ours, theirs) = shake(pair(), &client, &server, Some("localhost"));
        echo(&ours.unwrap(), &theirs.unwrap());
    });
    let written = || std::fs::read_to_string(&path).unwrap();
    let has = |secret: &str| written().lines().any(|line| line.starts_with(secret));
    let secrets = ["SERVER_TRAFFIC_SECRET_0 ", "CLIENT_TRAFFIC_SECRET_0 "];
    common::until_outside("the secrets", || secrets.iter().all(|secret| has(secret)));
}

/// Some of the signatures are made on other threads, and all of them are good.
#[test]
fn a_crowd_of_handshakes_is_served() {
    const CLIENTS: usize = 200;
    let files = Files::new("crowd");
    let wish = Wish { names: &["localhost"], rsa: true, ..Wish::default() };
    files.certificate("server", &wish);
    let (listener, server, client) = (listen(), files.server(), files.client());
    let at = listener.local();
    let served = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&served);
    let far = start_on(1, move || {
        for _ in 0..CLIENTS {
            let (at, client, counter): (Address, _, _) =
                (at.clone(), client.clone(), Arc::clone(&counter));
            machine::spawn("client", move || {
                let mut stream = connect(&at).unwrap();
                stream.connect_tls(&client, Some("localhost"), soon()).unwrap();
                assert_eq!(stream.read(&mut [0; 8], soon()).unwrap(), 5);
                counter.fetch_add(1, Ordering::AcqRel);
            })
            .unwrap();
        }
    });
    on(0, move || {
        for _ in 0..CLIENTS {
            let (parcel, _) = listener.accept(soon()).unwrap();
            let server = server.clone();
            machine::spawn("server", move || {
                let mut stream = parcel.unfold().unwrap();
                stream.accept_tls(&server, soon()).unwrap();
                stream.write_all(b"hello", soon()).unwrap();
                assert_eq!(stream.read(&mut [0; 8], soon()).unwrap(), 0);
            })
            .unwrap();
        }
    });
    far();
    common::until_outside("all were served", || served.load(Ordering::Acquire) == CLIENTS);
}
