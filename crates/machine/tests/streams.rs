//! Sockets: the short-read rule, both directions at once, connecting, listening.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::cell::Cell;
use std::io::IoSlice;
use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;
use std::time::Duration;

use machine::{
    Address, Buffer, Deadline, Error, Interest, ListenOptions, Listener, Progress, Stream,
    StreamOptions, Woken, wait_any,
};

use common::{connect, listen, on, pair, soon, start_on, until};

/// Seen to fail against a `try_read` whose short read clears the readable bit always (without `&&
/// !hung_up`): the second read of the first connection timed out.
#[test]
fn data_and_end_in_one_event_are_not_lost() {
    on(0, || {
        for _ in 0..100 {
            let (ours, theirs) = pair();
            ours.write_all(b"last words", soon()).unwrap();
            ours.shutdown_write().unwrap();
            until("both arrived", || theirs.is_hung_up()); // nobody has read yet: one edge
            let mut bytes = [0; 64];
            assert_eq!(theirs.read(&mut bytes, soon()).unwrap(), 10);
            assert_eq!(theirs.read(&mut bytes, soon()).unwrap(), 0, "the end of the stream");
        }
    });
}

/// Two ends of a connection; the second was taken to be read first.
fn pair_to_read() -> (Stream, Stream) {
    let listener = listen();
    let ours = connect(&listener.local()).unwrap();
    let (parcel, _) = listener.accept(soon()).unwrap();
    (ours, parcel.unfold_to_read().unwrap())
}

/// The first read may find nothing, or bytes and the end behind them. Seen to fail: a wait that
/// does not tell the kernel of the socket lasts to its deadline.
#[test]
fn who_was_taken_to_be_read_first_loses_nothing() {
    on(0, || {
        let mut bytes = [0; 64];
        let (ours, theirs) = pair_to_read();
        let nothing = theirs.read(&mut bytes, Deadline::after(Duration::from_millis(1)));
        assert!(matches!(nothing, Err(Error::TimedOut)), "{nothing:?}");
        ours.write_all(b"late", soon()).unwrap();
        assert_eq!(theirs.read(&mut bytes, soon()).unwrap(), 4);

        let (ours, theirs) = pair_to_read();
        ours.write_all(b"last words", soon()).unwrap();
        ours.shutdown_write().unwrap();
        assert_eq!(theirs.read(&mut bytes, soon()).unwrap(), 10);
        assert_eq!(theirs.read(&mut bytes, soon()).unwrap(), 0, "the end of the stream");
    });
}

/// Seen to fail: a full socket of whose room the kernel does not tell is waited for in vain.
#[test]
fn who_was_taken_to_be_read_first_hears_of_room() {
    const MANY: usize = 16 << 20;
    on(0, || {
        let (ours, theirs) = pair_to_read();
        let nothing = theirs.read(&mut [0; 1], Deadline::after(Duration::from_millis(1)));
        assert!(matches!(nothing, Err(Error::TimedOut)), "the kernel tells of bytes now");
        let writer = machine::spawn("writer", move || theirs.write_all(&vec![7; MANY], soon()));
        let (mut read, mut bytes) = (0, vec![0; 1 << 16]);
        while read < MANY {
            read += ours.read(&mut bytes, soon()).unwrap();
        }
        writer.unwrap().join(soon()).unwrap().unwrap();
    });
}

#[test]
fn a_short_read_saves_the_second_look() {
    on(0, || {
        let (ours, theirs) = pair();
        ours.write_all(b"abc", soon()).unwrap();
        let mut bytes = [0; 64];
        assert_eq!(theirs.read(&mut bytes, soon()).unwrap(), 3);
        assert!(!theirs.is_readable());
        assert_eq!(theirs.try_read(&mut bytes).unwrap(), Progress::Wait);
        ours.write_all(b"defg", soon()).unwrap();
        let mut exact = [0; 4];
        assert_eq!(theirs.read(&mut exact, soon()).unwrap(), 4);
        assert!(theirs.is_readable(), "a full read says nothing about what is left");
        assert_eq!(theirs.try_read(&mut bytes).unwrap(), Progress::Wait);
        assert!(!theirs.is_readable());
    });
}

#[test]
fn a_reset_is_an_error_and_an_end_is_not() {
    on(1, || {
        let (ours, theirs) = pair();
        ours.set_linger_reset().unwrap();
        drop(ours);
        let mut bytes = [0; 8];
        match theirs.read(&mut bytes, soon()) {
            Err(Error::Io(error)) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn reading_waits_for_its_deadline_only() {
    on(0, || {
        let (_ours, theirs) = pair();
        let mut bytes = [0; 8];
        let deadline = Deadline::after(Duration::from_millis(20));
        assert!(matches!(theirs.read(&mut bytes, deadline), Err(Error::TimedOut)));
        assert!(deadline.is_past(machine::now()));
    });
}

#[test]
fn vectored_writes_and_buffers_carry_bytes_in_order() {
    on(0, || {
        let (ours, theirs) = pair();
        let parts = [IoSlice::new(b"one "), IoSlice::new(b"two")];
        assert_eq!(ours.try_write_vectored(&parts).unwrap(), Progress::Done(7));
        let mut buffer = Buffer::lease();
        while buffer.len() < 7 {
            assert!(theirs.read_into(&mut buffer, soon()).unwrap() > 0);
        }
        assert_eq!(buffer.data(), b"one two");
    });
}

const FLOOD_BYTES: usize = 40 * 1024 * 1024;

/// One direction of the relay under test; one buffer.
struct Pump<'a> {
    from: &'a Stream,
    to: &'a Stream,
    held: Buffer,
    open: bool,
}

impl<'a> Pump<'a> {
    fn turn(&mut self) {
        while self.open {
            if self.held.is_empty() {
                match self.from.try_read_into(&mut self.held).unwrap() {
                    Progress::Done(_) => {}
                    Progress::Wait => return,
                    Progress::End => {
                        self.open = false;
                        self.to.shutdown_write().unwrap();
                    }
                }
            } else {
                match self.to.try_write(self.held.data()).unwrap() {
                    Progress::Done(n) => self.held.consume(n),
                    Progress::Wait | Progress::End => return,
                }
            }
        }
    }

    fn want(&self) -> (&'a Stream, Interest) {
        match (self.open, self.held.is_empty()) {
            (false, _) => (self.from, Interest::NONE),
            (true, true) => (self.from, Interest::READ),
            (true, false) => (self.to, Interest::WRITE),
        }
    }
}

fn relay(a: &Stream, b: &Stream) {
    let pump = |from, to| Pump { from, to, held: Buffer::lease(), open: true };
    let (mut up, mut down) = (pump(a, b), pump(b, a));
    loop {
        up.turn();
        down.turn();
        if !up.open && !down.open {
            return;
        }
        let woken = wait_any(&[up.want(), down.want()], None, soon()).unwrap();
        assert_eq!(woken, Woken::Ready);
    }
}

/// Writes the whole flood before it reads a byte of the other's, as a pipelining client and a
/// server may. Returns a checksum of what it read.
fn flood(stream: Stream, seed: u8) -> u64 {
    let chunk: Vec<u8> = (0..65_536u32).map(|i| (i % 251) as u8 ^ seed).collect();
    let stream = Rc::new(stream);
    let writer = Rc::clone(&stream);
    let (mut sum, mut read) = (0u64, 0usize);
    let mut buffer = Buffer::lease();
    let mut written = 0;
    let mut ended = false;
    while !ended || written < FLOOD_BYTES {
        if written < FLOOD_BYTES {
            match writer.try_write(&chunk[written % chunk.len()..]).unwrap() {
                Progress::Done(n) => written += n,
                Progress::Wait | Progress::End => {}
            }
            if written >= FLOOD_BYTES {
                writer.shutdown_write().unwrap();
            }
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
                wait_any(&[(&stream, Interest::READ | write)], None, soon()).unwrap();
            }
            Progress::End => {
                ended = true;
                if written < FLOOD_BYTES {
                    wait_any(&[(&stream, Interest::WRITE)], None, soon()).unwrap();
                }
            }
        }
    }
    assert!(read >= FLOOD_BYTES, "{read}");
    sum
}

#[test]
fn a_relay_moves_forty_megabytes_each_way_at_once() {
    let (front, back) = (listen(), listen());
    let (front_at, back_at) = (front.local(), back.local());
    let server = start_on(1, move || {
        let (parcel, _) = back.accept(soon()).unwrap();
        flood(parcel.unfold().unwrap(), 1)
    });
    let middle = start_on(0, move || {
        let (parcel, _) = front.accept(soon()).unwrap();
        relay(&parcel.unfold().unwrap(), &connect(&back_at).unwrap());
    });
    let client = start_on(1, move || flood(connect(&front_at).unwrap(), 2));
    middle();
    assert_ne!(client(), server(), "each read what the other wrote");
}

#[test]
fn a_fast_pair_of_sockets_starves_nobody() {
    on(0, || {
        let (ours, _theirs) = pair();
        let turns = Rc::new(Cell::new(0));
        let counter = Rc::clone(&turns);
        let other = machine::spawn("other", move || {
            for _ in 0..10 {
                machine::yield_now();
                counter.set(counter.get() + 1);
            }
        })
        .unwrap();
        for _ in 0..100_000 {
            // always satisfied: it never had to wait
            wait_any(&[(&ours, Interest::WRITE)], None, Deadline::NEVER).unwrap();
            if turns.get() == 10 {
                break;
            }
        }
        assert_eq!(turns.get(), 10);
        other.join(soon()).unwrap();
    });
}

#[test]
fn nobody_there_is_a_refusal() {
    on(0, || {
        let gone = listen().local();
        match connect(&gone) {
            Err(Error::Io(error)) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_connection_knows_its_ends() {
    on(1, || {
        let listener = listen();
        let ours = connect(&listener.local()).unwrap();
        let (parcel, from) = listener.accept(soon()).unwrap();
        let theirs = parcel.unfold().unwrap();
        assert_eq!((ours.local(), ours.peer()), (from.clone(), listener.local()));
        assert_eq!((theirs.peer(), theirs.local()), (from, listener.local()));
    });
}

#[test]
fn a_listener_takes_over_a_dead_socket_file_and_not_a_live_one() {
    on(0, || {
        let path = std::env::temp_dir().join(format!("machine-{}.sock", std::process::id()));
        let address = Address::Unix(path.clone());
        let options = ListenOptions { unix_mode: Some(0o600), ..ListenOptions::default() };
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap()); // leaves its file behind
        let listener = Listener::bind(&address, &options).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(Listener::bind(&address, &options).is_err(), "somebody answers there");
        let ours = Stream::connect(&address, &StreamOptions::default(), soon()).unwrap();
        ours.write_all(b"x", soon()).unwrap();
        let (probe, _) = listener.accept(soon()).unwrap(); // of the second bind
        assert_eq!(probe.unfold().unwrap().read(&mut [0; 8], soon()).unwrap(), 0);
        let (parcel, from) = listener.accept(soon()).unwrap();
        assert_eq!(from.to_string(), "<unix socket>");
        assert_eq!(parcel.unfold().unwrap().read(&mut [0; 8], soon()).unwrap(), 1);
        drop(listener);
        assert!(!path.exists(), "a listener removes its file");
    });
}

#[test]
fn a_full_unix_backlog_is_tried_again_until_the_deadline() {
    on(0, || {
        let path = std::env::temp_dir().join(format!("machine-full-{}.sock", std::process::id()));
        let address = Address::Unix(path);
        let options = ListenOptions { backlog: 0, ..ListenOptions::default() };
        let listener = Listener::bind(&address, &options).unwrap();
        let plain = StreamOptions::default();
        let _first = Stream::connect(&address, &plain, soon()).unwrap();
        let short = Deadline::after(Duration::from_millis(30));
        assert!(matches!(Stream::connect(&address, &plain, short), Err(Error::TimedOut)));
        let second = machine::spawn("second", move || {
            Stream::connect(&address, &StreamOptions::default(), soon()).map(drop)
        })
        .unwrap();
        listener.accept(soon()).unwrap();
        second.join(soon()).unwrap().unwrap();
    });
}

/// Closing ends the registration, so no stale key comes this way: a table that ignores generations
/// passes here. What fails with it is `slab::tests::a_stale_key_names_nothing`.
#[test]
fn a_late_event_for_a_closed_socket_hits_nobody() {
    on(0, || {
        for _ in 0..200 {
            // Closed with an event pending in the kernel; the next socket takes the same number and
            // place.
            let (ours, theirs) = pair();
            ours.write_all(b"x", soon()).unwrap();
            drop(theirs);
            drop(ours);
            let (ours, theirs) = pair();
            machine::yield_now();
            machine::yield_now();
            assert!(!ours.is_hung_up() && !theirs.is_hung_up());
            assert_eq!(theirs.try_read(&mut [0; 8]).unwrap(), Progress::Wait);
        }
    });
}
