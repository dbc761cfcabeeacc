//! Names of hosts that were resolved a while ago. Each answer holds for a given time; while a
//! name is being resolved, everybody who wants it waits for the one answer. A failure is told to
//! those who waited for it, and not kept.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use crate::{Deadline, Error, Notified, Notifier, Woken};

/// The configuration names so many hosts about never; a name beyond is resolved each time.
const NAMES_MAX: usize = 1024;

/// Names that were resolved a while ago, and those that are being resolved: one lookup for all who
/// ask at the same time, on any machine. Bounded; a failure is not kept.
///
/// ```
/// use machine::{Deadline, EngineConfig, Names};
/// use std::time::Duration;
///
/// let found = machine::run(EngineConfig::default(), |_| {
///     let names = Names::new(Duration::from_secs(15));
///     names.resolve("localhost", 5432, Deadline::after(Duration::from_secs(5)))
/// });
/// assert!(found??.iter().all(|address| address.port() == 5432));
/// # Ok::<(), machine::Error>(())
/// ```
pub struct Names {
    /// How long an answer holds.
    ttl: Duration,
    places: Mutex<HashMap<String, Place>>,
    asked: AtomicU64,
    failed: AtomicU64,
}

/// How it went so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamesCount {
    /// Names that are known.
    pub known: usize,
    /// Names that are being resolved.
    pub asked_now: usize,
    /// Questions to the resolver.
    pub asked: u64,
    /// Those without an answer.
    pub failed: u64,
}

/// What is known of a name.
enum Place {
    Known { addresses: Arc<[SocketAddr]>, until: Instant },
    Asked(Arc<Flight>),
}

/// One question to the resolver and all who wait for its answer.
struct Flight {
    /// Nothing when who asked gave up: somebody else has to ask.
    answer: OnceLock<Answer>,
    /// None when it has landed, well or not.
    waiters: Mutex<Option<Vec<Notifier>>>,
}

/// At least one address, or the resolver's reason.
type Answer = Result<Arc<[SocketAddr]>, String>;

/// What to do about a name.
enum Step {
    Know(Arc<[SocketAddr]>),
    Ask(Arc<Flight>),
    Wait(Arc<Flight>),
    /// There is no more room to remember anything.
    Alone,
}

impl Names {
    /// Nothing is known yet; an answer will hold for `ttl`.
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        let (asked, failed) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { ttl, places: Mutex::default(), asked, failed }
    }

    /// How it went so far.
    pub fn count(&self) -> NamesCount {
        let places = self.lock();
        let known = places.values().filter(|place| matches!(place, Place::Known { .. })).count();
        NamesCount {
            known,
            asked_now: places.len() - known,
            asked: self.asked.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    fn ask_resolver(&self, host: &str, deadline: Deadline) -> Result<Vec<SocketAddr>, Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        crate::resolve(host, 0, deadline).inspect_err(|_| {
            self.failed.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// The addresses of `host`, at least one; see [`crate::resolve`].
    ///
    /// # Errors
    /// The resolver's, or the caller's own `TimedOut` or `Cancelled`.
    pub fn resolve(
        &self,
        host: &str,
        port: u16,
        deadline: Deadline,
    ) -> Result<Vec<SocketAddr>, Error> {
        if let Some(address) = crate::resolve::numeric(host) {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let found = self.find(host, deadline, || self.ask_resolver(host, deadline))?;
        let mut addresses = found.to_vec();
        addresses.iter_mut().for_each(|address| address.set_port(port));
        Ok(addresses)
    }

    /// The names that are known, for how long each still is, and their addresses.
    pub fn known(&self, now: Instant) -> Vec<(String, Duration, Arc<[SocketAddr]>)> {
        let places = self.lock();
        let known = places.iter().filter_map(|(name, place)| match place {
            Place::Known { addresses, until } => {
                let rest = until.saturating_duration_since(now);
                Some((name.clone(), rest, Arc::clone(addresses)))
            }
            Place::Asked(_) => None,
        });
        known.collect()
    }

    /// None of its addresses answers: it may have others by now.
    pub fn forget(&self, host: &str) {
        let mut places = self.lock();
        if let Some(Place::Known { .. }) = places.get(host) {
            places.remove(host);
        }
    }

    fn find(
        &self,
        host: &str,
        deadline: Deadline,
        ask: impl Fn() -> Result<Vec<SocketAddr>, Error>,
    ) -> Result<Arc<[SocketAddr]>, Error> {
        loop {
            match self.step(host, crate::now()) {
                Step::Know(addresses) => return Ok(addresses),
                Step::Alone => return ask().map(Arc::from),
                Step::Ask(flight) => {
                    return Asker { names: self, host, flight }.land(ask().map(Arc::from));
                }
                Step::Wait(flight) => {
                    flight.wait(deadline)?;
                    if let Some(answer) = flight.answer.get() {
                        let failed = |reason| Error::Resolve { host: host.to_owned(), reason };
                        return answer.clone().map_err(failed);
                    }
                }
            }
        }
    }

    fn step(&self, host: &str, now: Instant) -> Step {
        let mut places = self.lock();
        match places.get(host) {
            Some(Place::Known { addresses, until }) if *until > now => {
                return Step::Know(Arc::clone(addresses));
            }
            Some(Place::Asked(flight)) => return Step::Wait(Arc::clone(flight)),
            _ => {}
        }
        if places.len() >= NAMES_MAX {
            places.retain(|_, place| !matches!(place, Place::Known { until, .. } if *until <= now));
        }
        if places.len() >= NAMES_MAX {
            return Step::Alone;
        }
        let waiters = Mutex::new(Some(Vec::new()));
        let flight = Arc::new(Flight { answer: OnceLock::new(), waiters });
        places.insert(host.to_owned(), Place::Asked(Arc::clone(&flight)));
        Step::Ask(flight)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Place>> {
        self.places.lock().expect("nothing panics under this lock")
    }
}

/// Who asks the resolver for all; when it is dropped, whatever the reason, nobody waits for it any
/// more.
struct Asker<'a> {
    names: &'a Names,
    host: &'a str,
    flight: Arc<Flight>,
}

impl Asker<'_> {
    /// The answer is there; the others have it when this is dropped. What happened to this asker
    /// alone need not happen to the next.
    fn land(self, answer: Result<Arc<[SocketAddr]>, Error>) -> Result<Arc<[SocketAddr]>, Error> {
        let _ = match &answer {
            Ok(addresses) => self.flight.answer.set(Ok(Arc::clone(addresses))),
            Err(Error::Resolve { reason, .. }) => self.flight.answer.set(Err(reason.clone())),
            Err(_) => Ok(()),
        };
        answer
    }
}

impl Drop for Asker<'_> {
    fn drop(&mut self) {
        let mut places = self.names.lock();
        if let Some(Ok(addresses)) = self.flight.answer.get() {
            let until = crate::now() + self.names.ttl;
            let known = Place::Known { addresses: Arc::clone(addresses), until };
            places.insert(self.host.to_owned(), known);
        } else {
            places.remove(self.host);
        }
        drop(places);
        let waiters = self.flight.lock().take().unwrap_or_default();
        waiters.iter().for_each(Notifier::notify);
    }
}

impl Flight {
    /// Until it has landed, well or not.
    fn wait(&self, deadline: Deadline) -> Result<(), Error> {
        let notified = Notified::new();
        match &mut *self.lock() {
            Some(waiters) => waiters.push(notified.notifier()),
            None => return Ok(()),
        }
        match crate::wait_any(&[], Some(&notified), deadline)? {
            Woken::TimedOut => Err(Error::TimedOut),
            Woken::Ready | Woken::Notified => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Notifier>>> {
        self.waiters.lock().expect("nothing panics under this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Engine, EngineConfig};
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;

    const SOON: Duration = Duration::from_secs(10);

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 0))
    }

    #[test]
    fn an_answer_holds_for_its_time_and_the_table_is_bounded() {
        let names = Names::new(Duration::from_secs(30));
        let (start, never) = (crate::now(), || panic!("asked again"));
        let found = names.find("a", Deadline::NEVER, || Ok(vec![address(1)])).unwrap();
        assert_eq!(found[..], [address(1)]);
        assert_eq!(names.find("a", Deadline::NEVER, never).unwrap()[..], [address(1)]);
        names.forget("a");
        let found = names.find("a", Deadline::NEVER, || Ok(vec![address(4)])).unwrap();
        assert_eq!(found[..], [address(4)]);
        let late = start + Duration::from_secs(60);
        assert!(matches!(names.step("a", late), Step::Ask(_)));

        let failed = || Err(Error::Resolve { host: "b".into(), reason: "no".into() });
        assert!(names.find("b", Deadline::NEVER, failed).is_err());
        let found = names.find("b", Deadline::NEVER, || Ok(vec![address(2)])).unwrap();
        assert_eq!(found[..], [address(2)], "a failure is not kept");

        for n in 0..2 * NAMES_MAX {
            let _ = names.find(&n.to_string(), Deadline::NEVER, || Ok(vec![address(3)])).unwrap();
        }
        assert_eq!(names.lock().len(), NAMES_MAX);
        assert!(matches!(names.step("more", late), Step::Ask(_)), "what is old makes room");
    }

    /// Against a table in which each storage by address is a name, and a question was asked.
    #[test]
    fn an_address_is_no_name() {
        let names = Names::new(SOON);
        for (host, expected) in [("127.0.0.1", "127.0.0.1:5432"), ("[::1]", "[::1]:5432")] {
            let found = names.resolve(host, 5432, Deadline::NEVER).unwrap();
            assert_eq!(found, [expected.parse().unwrap()]);
        }
        let none = NamesCount { known: 0, asked_now: 0, asked: 0, failed: 0 };
        assert_eq!((names.count(), names.known(crate::now())), (none, vec![]));
    }

    #[test]
    fn without_a_ttl_each_asks() {
        let (names, asked) = (Names::new(Duration::ZERO), AtomicUsize::new(0));
        for _ in 0..3 {
            let ask = || {
                asked.fetch_add(1, Ordering::Relaxed);
                Ok(vec![address(1)])
            };
            assert!(names.find("a", Deadline::NEVER, ask).is_ok());
        }
        assert_eq!(asked.into_inner(), 3);
    }

    /// Nine want the same name: the first asks and gives up, the second asks for all that are left.
    /// With a lookup of its own for each, all nine would ask.
    #[test]
    fn many_who_want_one_name_ask_once() {
        let engine = Engine::start(EngineConfig { machines: 2, ..EngineConfig::default() });
        let engine = engine.expect("no other test here has an engine");
        let names = Arc::new(Names::new(SOON));
        let (asked, (sender, found)) = (Arc::new(AtomicUsize::new(0)), mpsc::channel());
        for n in 0..9 {
            let (names, asked, sender) = (Arc::clone(&names), Arc::clone(&asked), sender.clone());
            let seek = move || {
                let ask = || {
                    let before = asked.fetch_add(1, Ordering::SeqCst);
                    let waiting = || match &names.lock()["a"] {
                        Place::Asked(flight) => flight.lock().as_ref().map_or(0, Vec::len),
                        Place::Known { .. } => 0,
                    };
                    while waiting() < 8 - before {
                        crate::sleep(Duration::from_millis(1))?;
                    }
                    if before == 0 { Err(Error::TimedOut) } else { Ok(vec![address(7)]) }
                };
                let found = names.find("a", Deadline::after(SOON), ask).map(|found| found[0]);
                let _ = sender.send(found.map_err(|error| error.to_string()));
            };
            engine.machines()[n % 2].spawn("seek", seek).unwrap();
        }
        let mut answers: Vec<_> = (0..9).map(|_| found.recv_timeout(SOON).unwrap()).collect();
        answers.sort();
        assert_eq!(answers[..8], vec![Ok(address(7)); 8]);
        assert_eq!(answers[8], Err("timed out".to_owned()));
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        engine.shutdown();
    }
}
