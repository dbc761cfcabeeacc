//! Folded sockets: at home, stolen, watched, dropped.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use machine::{Error, Parcel, Progress, Stream, Watcher};

use common::{connect, engine, listen, on, pair, soon, until, until_outside};

/// These tests count sockets, so they take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes down what it hears, and on which machine.
#[derive(Default)]
struct Ear {
    heard: Mutex<Vec<(u64, Option<usize>)>>,
}

impl Watcher for Ear {
    fn stirred(self: Arc<Self>, key: u64) {
        self.heard.lock().unwrap().push((key, machine::current()));
    }
}

impl Ear {
    fn heard(&self) -> Vec<(u64, Option<usize>)> {
        self.heard.lock().unwrap().clone()
    }
}

/// A connection whose one end is folded on machine 0; the other is an ordinary blocking socket.
fn folded() -> (Parcel, std::net::TcpStream) {
    let listener = listen();
    let far = std::net::TcpStream::connect(listener.local().to_string()).unwrap();
    let parcel = on(0, move || {
        let (parcel, _) = listener.accept(soon()).unwrap();
        parcel.unfold().unwrap().fold()
    });
    (parcel, far)
}

fn far_write(far: &std::net::TcpStream, bytes: &[u8]) {
    use std::io::Write;
    let mut far = far;
    far.write_all(bytes).unwrap();
}

#[test]
fn at_home_a_fold_keeps_the_bits() {
    let _alone = alone();
    on(0, || {
        let (ours, theirs) = pair();
        theirs.write_all(b"x", soon()).unwrap();
        until("readable", || ours.is_readable());
        let sockets = engine().machines()[0].stats().sockets;
        let parcel = ours.fold();
        assert_eq!(parcel.home(), Some(0));
        let ours = parcel.unfold().unwrap();
        assert!(ours.is_readable() && ours.is_writable() && !ours.is_hung_up());
        let parcel = ours.fold();
        theirs.shutdown_write().unwrap();
        let mut parcel = Some(parcel);
        let mut ours = None;
        until("the bits are kept up to date while folded", || {
            let stream = parcel.take().or_else(|| ours.take().map(Stream::fold)).unwrap();
            let stream = stream.unfold().unwrap();
            let hung_up = stream.is_hung_up();
            ours = Some(stream);
            hung_up
        });
        let ours = ours.unwrap();
        let mut bytes = [0; 8];
        assert_eq!(ours.read(&mut bytes, soon()).unwrap(), 1);
        assert_eq!(ours.read(&mut bytes, soon()).unwrap(), 0);
        assert!(engine().machines()[0].stats().sockets <= sockets + 2, "one entry for its life");
    });
}

#[test]
fn a_thief_sees_what_is_there_and_all_that_comes() {
    let _alone = alone();
    for _ in 0..50 {
        let (parcel, far) = folded();
        far_write(&far, b"early");
        on(1, move || {
            let stolen = parcel.unfold().unwrap();
            let mut bytes = [0; 64];
            assert_eq!(stolen.read(&mut bytes, soon()).unwrap(), 5);
            far_write(&far, b"late");
            assert_eq!(stolen.read(&mut bytes, soon()).unwrap(), 4);
            let back = stolen.fold();
            assert_eq!(back.home(), Some(1));
            drop(far);
            let stolen = back.unfold().unwrap();
            assert_eq!(stolen.read(&mut bytes, soon()).unwrap(), 0);
        });
    }
}

#[test]
fn a_thief_sees_at_once_that_the_server_is_dead() {
    let _alone = alone();
    let (parcel, far) = folded();
    drop(far);
    on(1, move || {
        let stolen = parcel.unfold().unwrap();
        assert!(stolen.is_readable() && stolen.is_hung_up(), "before any turn of the reactor");
    });
}

#[test]
fn theft_to_and_fro_leaves_no_entries_behind() {
    let _alone = alone();
    let sockets = || engine().machines().iter().map(|m| m.stats().sockets).sum::<u64>();
    let before = sockets();
    let (mut parcel, far) = folded();
    for turn in 1..200 {
        parcel = on(turn % 2, move || {
            let stream = parcel.unfold().unwrap();
            assert_eq!(stream.try_read(&mut [0; 1]).unwrap(), Progress::Wait);
            stream.fold()
        });
    }
    drop(parcel); // on a plain thread: closed at once, its entry goes by mail
    use std::io::Read;
    assert_eq!((&far).read(&mut [0; 1]).unwrap(), 0);
    (0..2).for_each(|k| on(k, || ())); // both machines look into their mail
    until_outside("no entry is left", || sockets() <= before);
}

#[test]
fn a_watcher_hears_data_and_the_end_at_home_and_nothing_after_theft() {
    let _alone = alone();
    let listener = listen();
    let far = std::net::TcpStream::connect(listener.local().to_string()).unwrap();
    let ear = Arc::new(Ear::default());
    let watcher: Arc<dyn Watcher> = Arc::<Ear>::clone(&ear);
    let parcel = on(0, move || {
        let (parcel, _) = listener.accept(soon()).unwrap();
        parcel.unfold().unwrap().fold_watched(watcher, 77)
    });
    assert!(ear.heard().is_empty());
    far_write(&far, b"notice");
    until_outside("data heard", || !ear.heard().is_empty());
    let first = ear.heard().len();
    far.shutdown(std::net::Shutdown::Write).unwrap();
    until_outside("the end heard: the watch stays armed", || ear.heard().len() > first);
    assert!(ear.heard().iter().all(|heard| *heard == (77, Some(0))), "{:?}", ear.heard());
    on(1, move || {
        let stolen = parcel.unfold().unwrap();
        assert!(stolen.is_hung_up());
        let mut bytes = [0; 64];
        assert_eq!(stolen.read(&mut bytes, soon()).unwrap(), 6);
        assert_eq!(stolen.read(&mut bytes, soon()).unwrap(), 0);
    });
}

#[test]
fn a_watch_ends_with_the_unfold_and_tells_what_was_there_before() {
    let _alone = alone();
    on(0, || {
        let ear = Arc::new(Ear::default());
        let (ours, theirs) = pair();
        let parcel = ours.fold_watched(Arc::<Ear>::clone(&ear), 1);
        let ours = parcel.unfold().unwrap();
        theirs.write_all(b"x", soon()).unwrap();
        until("readable", || ours.is_readable());
        machine::yield_now();
        assert!(ear.heard().is_empty(), "nobody watches a stream");
        let parcel = ours.fold_watched(Arc::<Ear>::clone(&ear), 2);
        until("told at once", || ear.heard() == [(2, Some(0))]);
        drop(parcel);
        assert_eq!(theirs.read(&mut [0; 1], soon()).map_err(|e| e.to_string()).unwrap_or(0), 0);
    });
}

#[test]
fn many_thieves_and_a_home_that_hears_them_lose_nothing() {
    let _alone = alone();
    const ROUNDS: usize = 300;
    let served = Arc::new(AtomicUsize::new(0));
    let ear: Arc<Ear> = Arc::default();
    let listener = listen();
    let address = listener.local();
    for _ in 0..ROUNDS {
        let (address, served) = (address.clone(), Arc::clone(&served));
        engine().machines()[1]
            .spawn("peer", move || {
                let stream = connect(&address).unwrap();
                stream.write_all(b"ping", soon()).unwrap();
                assert_eq!(stream.read(&mut [0; 8], soon()).unwrap(), 4);
                served.fetch_add(1, Ordering::AcqRel);
            })
            .unwrap();
    }
    let handles = engine().machines().to_vec();
    on(0, move || {
        for _ in 0..ROUNDS {
            let (parcel, _) = listener.accept(soon()).unwrap();
            let watched = parcel.unfold().unwrap().fold_watched(Arc::<Ear>::clone(&ear), 9);
            let thief = move || {
                let stream = watched.unfold().unwrap();
                let mut bytes = [0; 8];
                assert_eq!(stream.read(&mut bytes, soon()).unwrap(), 4);
                stream.write_all(&bytes[..4], soon()).unwrap();
            };
            handles[1].spawn("thief", thief).unwrap();
        }
        until("all answered", || served.load(Ordering::Acquire) == ROUNDS);
    });
}

#[test]
fn a_parcel_cannot_be_unfolded_outside() {
    let _alone = alone();
    let (parcel, far) = folded();
    assert!(matches!(parcel.unfold(), Err(Error::NotOnMachine)));
    use std::io::Read;
    far.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!((&far).read(&mut [0; 1]).unwrap(), 0, "it was closed");
}
