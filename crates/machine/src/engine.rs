//! The engine: all machines of the process, their start and their end. may's scheduler is global,
//! fixed in size at its first use and never ends; so there is one engine a process, and its threads
//! only fall asleep for good.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::mailbox::{Mail, Shared};
use crate::offload::Offload;
use crate::stats::MachineStats;
use crate::{overflow, panics, reactor, substrate, sys};

/// May's scheduler cannot be started twice, so neither can we.
static STARTED: AtomicBool = AtomicBool::new(false);

/// How long the machines may take to come up: it is a matter of a millisecond.
const START_MAX: Duration = Duration::from_secs(10);

/// How long shutdown waits for coroutines to notice that they are cancelled.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// How long it waits for what was offloaded: nobody waits for its results any more, and what hangs
/// in a library cannot be told to stop.
const OFFLOAD_END_MAX: Duration = Duration::from_secs(1);

/// Smallest stack that is not a trap: 16 KiB hold a panic and its message, not a TLS handshake.
const STACK_BYTES_MIN: usize = 16 * 1024;

/// Mappings left for everything that is not a stack.
const OTHER_MAPPINGS: usize = 4096;

/// The kernel's default of vm.max_map_count, where /proc is not to be had.
const MAP_COUNT_DEFAULT: usize = 65_530;

/// Called with the name of a coroutine that panicked and the words of its panic.
pub type OnPanic = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// How the engine is built. By default: one machine, stacks of 64 KiB of which 1024 are kept, and
/// the ceiling that the system allows.
pub struct EngineConfig {
    /// Threads with an event loop.
    pub machines: usize,
    /// Stack of every coroutine; rounded to pages.
    pub stack_bytes: usize,
    /// Free stacks a machine keeps for the next coroutines, about 8 KiB of touched memory each.
    /// Every session that has something to say needs one, so few make many system calls.
    pub stacks_kept_max: usize,
    /// Ceiling of stacks, all machines together; 0 for what `vm.max_map_count` allows.
    pub coroutines_max: usize,
    /// Threads for [`crate::offload`].
    pub offload_threads: usize,
    /// Pieces of work that may wait for one of them.
    pub offload_queue_max: usize,
    /// What threads of machines and of offload are called, in front of their number; Linux shows 15
    /// bytes.
    pub thread_names: (&'static str, &'static str),
    /// Fills each new stack with a pattern, so that `MachineStats::stack_used_bytes_max` is known.
    /// For tests: it touches every page.
    pub paint_stacks: bool,
    /// Hears of panics, on the machine and the small stack where they happened; must not wait.
    pub on_panic: OnPanic,
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        EngineConfig {
            machines: 1,
            stack_bytes: 64 * 1024, // a TLS handshake touches 14, getaddrinfo 12
            stacks_kept_max: 1024,
            coroutines_max: 0,
            offload_threads: 4,
            offload_queue_max: 1024,
            thread_names: ("machine-", "offload-"),
            paint_stacks: false,
            on_panic: Arc::new(|name, message| {
                eprintln!("coroutine \"{name}\" panicked: {message}");
            }),
        }
    }
}

/// How many stacks the process may have.
pub(crate) struct Ceiling {
    used: AtomicUsize,
    max: usize,
}

impl Ceiling {
    pub(crate) fn take(&self) -> Result<(), Error> {
        if self.used.fetch_add(1, Ordering::Relaxed) < self.max {
            return Ok(());
        }
        self.give_back();
        Err(Error::TooManyCoroutines { max: self.max })
    }

    pub(crate) fn give_back(&self) {
        self.used.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What all machines share.
pub(crate) struct Common {
    pub(crate) on_panic: OnPanic,
    pub(crate) offload: Offload,
    pub(crate) ceiling: Ceiling,
    pub(crate) stack_bytes: usize,
    pub(crate) paint_stacks: bool,
    /// Free stacks one machine keeps; small where the ceiling is low, or one could hoard them all.
    pub(crate) cached_max: usize,
    /// What threads of machines are called, in front of their number.
    pub(crate) thread_name: &'static str,
}

impl Common {
    fn new(config: EngineConfig) -> Common {
        let max = match config.coroutines_max {
            0 => ceiling_of_the_system(),
            max => max,
        };
        Common {
            offload: Offload::new(
                config.offload_threads,
                config.offload_queue_max,
                config.thread_names.1,
            ),
            ceiling: Ceiling { used: AtomicUsize::new(0), max },
            stack_bytes: config.stack_bytes,
            paint_stacks: config.paint_stacks,
            cached_max: config.stacks_kept_max.min(max / (2 * config.machines)),
            thread_name: config.thread_names.0,
            on_panic: config.on_panic,
        }
    }
}

/// Each stack is two mappings, itself and its guard page.
fn ceiling_of_the_system() -> usize {
    let text = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    let mappings = text.trim().parse().unwrap_or(MAP_COUNT_DEFAULT);
    (mappings.saturating_sub(OTHER_MAPPINGS) / 2).max(64)
}

/// All machines of the process.
pub struct Engine {
    machines: Vec<MachineHandle>,
    common: Arc<Common>,
}

impl Engine {
    /// Starts the machines and returns when each runs on a thread of its own and its coroutines
    /// were seen to run on that thread.
    ///
    /// # Errors
    /// `AlreadyStarted`; `Io` when descriptors or threads are not to be had.
    pub fn start(mut config: EngineConfig) -> Result<Engine, Error> {
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(Error::AlreadyStarted);
        }
        config.machines = config.machines.max(1);
        config.stack_bytes = config.stack_bytes.max(STACK_BYTES_MIN).next_multiple_of(4096);
        substrate::configure(config.machines, config.stack_bytes);
        panics::install();
        let machines_count = config.machines;
        let common = Arc::new(Common::new(config));
        let mut machines = Vec::with_capacity(machines_count);
        let (hello, hellos) = mpsc::sync_channel(machines_count);
        for index in 0..machines_count {
            let epoll = sys::epoll_create()?;
            let shared = Shared::new(index, epoll.as_raw_fd(), sys::eventfd()?);
            let shared = Arc::new(shared);
            let thread_name = common.thread_name;
            machines.push(MachineHandle { shared: Arc::clone(&shared), thread_name });
            start_reactor(shared, Arc::clone(&common), epoll, hello.clone())?;
        }
        let engine = Engine { machines, common };
        engine.prove_affinity(&hellos)?;
        overflow::install()?;
        Ok(engine)
    }

    /// Every reactor has a thread of its own, and what is spawned on its machine runs there, also
    /// after a wait.
    fn prove_affinity(
        &self,
        hellos: &Receiver<io::Result<(usize, ThreadId)>>,
    ) -> Result<(), Error> {
        let slow =
            |_| Error::Io(io::Error::new(io::ErrorKind::TimedOut, "a machine did not start"));
        let end = Instant::now() + START_MAX;
        let left = || end.saturating_duration_since(Instant::now());
        let mut threads = vec![None; self.machines.len()];
        for _ in &self.machines {
            let (index, thread) = hellos.recv_timeout(left()).map_err(slow)??;
            threads[index] = Some(thread);
        }
        let (sender, proofs) = mpsc::channel();
        for machine in &self.machines {
            let sender = sender.clone();
            machine.spawn("affinity", move || {
                let before = thread::current().id();
                crate::yield_now();
                let after = thread::current().id();
                let proof = (crate::current(), before, after);
                let _ = sender.send(proof); // nobody listens after START_MAX
            })?;
        }
        for _ in &self.machines {
            let (index, before, after) = proofs.recv_timeout(left()).map_err(slow)?;
            // Taken, so that no thread can be two machines.
            let home = index.and_then(|index| threads[index].take());
            assert!(home == Some(before) && before == after, "the substrate keeps coroutines home");
        }
        Ok(())
    }

    /// The machines, in order of their indices.
    #[must_use]
    pub fn machines(&self) -> &[MachineHandle] {
        &self.machines
    }

    /// The machine with the fewest seats taken.
    #[must_use]
    pub fn least_loaded(&self) -> &MachineHandle {
        let least = self.machines.iter().min_by_key(|machine| machine.load());
        least.expect("an engine has at least one machine")
    }

    /// Cancels every coroutine, drops parked sessions, joins the offload threads, and waits at most
    /// five seconds for the coroutines to end. The threads of the machines stay, asleep. Not to be
    /// called from a coroutine: it blocks.
    pub fn shutdown(self) {
        let (done, ended) = mpsc::channel();
        for machine in &self.machines {
            machine.shared.close();
            machine.shared.post(Mail::Shutdown(done.clone()));
        }
        let end = Instant::now() + SHUTDOWN_MAX;
        for _ in &self.machines {
            if ended.recv_timeout(end.saturating_duration_since(Instant::now())).is_err() {
                break;
            }
        }
        self.common.offload.stop(end.min(Instant::now() + OFFLOAD_END_MAX));
    }
}

/// Starts an engine, runs `main` as a coroutine of its first machine, and ends the engine when that
/// returns: all there is to do for a program that is nothing but an engine. Coroutines that still
/// run then are cancelled (see [`Engine::shutdown`]). What `main` returns, a `Result` mostly, comes
/// inside that of the engine.
///
/// ```
/// let answer = machine::run(machine::EngineConfig::default(), |engine| {
///     machine::sleep(std::time::Duration::from_millis(1))?;
///     Ok::<_, machine::Error>(engine.machines().len())
/// });
/// assert_eq!(answer??, 1);
/// # Ok::<(), machine::Error>(())
/// ```
///
/// # Errors
/// Those of [`Engine::start`]; `Panicked` if `main` did.
pub fn run<T: Send + 'static>(
    config: EngineConfig,
    main: impl FnOnce(&Engine) -> T + Send + 'static,
) -> Result<T, Error> {
    let engine = Arc::new(Engine::start(config)?);
    let (sender, ended) = mpsc::sync_channel(1);
    let theirs = Arc::clone(&engine);
    engine.machines()[0].spawn("main", move || {
        let value = panics::caught("main", || main(&theirs));
        drop(theirs);
        let _ = sender.send(value); // there is room
    })?;
    let value = ended.recv().unwrap_or(Err(Error::Closed));
    if let Some(engine) = Arc::into_inner(engine) {
        engine.shutdown();
    }
    value
}

fn start_reactor(
    shared: Arc<Shared>,
    common: Arc<Common>,
    epoll: OwnedFd,
    hello: reactor::Hello,
) -> Result<(), Error> {
    let index = shared.index;
    Ok(substrate::spawn_on(index, move || reactor::run(shared, common, epoll, hello))?)
}

/// One machine, from outside. Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct MachineHandle {
    shared: Arc<Shared>,
    thread_name: &'static str,
}

impl MachineHandle {
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What its thread is called.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}{}", self.thread_name, self.shared.index)
    }

    /// Which one: 0 up to the number of machines.
    #[must_use]
    pub fn index(&self) -> usize {
        self.shared.index
    }

    /// Takes a seat, which counts as load of this machine until dropped.
    #[must_use]
    pub fn seat(&self) -> Seat {
        self.shared.sit();
        Seat { shared: Arc::clone(&self.shared) }
    }

    /// Seats taken.
    #[must_use]
    pub fn load(&self) -> usize {
        self.shared.load()
    }

    /// Starts a coroutine there. At the ceiling of coroutines it waits its turn.
    ///
    /// # Errors
    /// `QueueFull` when 4,096 of them wait already; `Closed` during shutdown.
    pub fn spawn(
        &self,
        name: &'static str,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), Error> {
        self.shared.spawn(name, Box::new(body))
    }

    /// Its numbers now.
    #[must_use]
    pub fn stats(&self) -> MachineStats {
        self.shared.stats()
    }
}

/// A place on a machine, taken by one session while it lives.
pub struct Seat {
    shared: Arc<Shared>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.rise();
    }
}
