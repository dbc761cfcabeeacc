//! The only file that names `may`: stacks, switching between them, and the worker threads.
//! Everything above is written on these few functions, so that the substrate can be replaced. It
//! knows no sockets and no tasks.
//!
//! What may is used for: one worker thread a machine, `Builder::id` to start a reactor on its
//! worker, `spawn_local` for a new stack, `park`/`unpark` on one thread, and `WaitIo` on one
//! descriptor a worker. `may::sync`, `may::net`, `sleep` and `park_timeout` each resume a coroutine
//! where its waker happens to be and are not used at all.

use crate::error::Error;
use may::coroutine::{self, Builder, Coroutine};
use may::io::{CoIo, WaitIo};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Stacks may keeps for itself; ours are cached by the machines, and may would map 1,000 at start.
const MAY_POOL: usize = 16;

/// Says how many workers and how large a stack, before the first coroutine of the process.
pub(crate) fn configure(workers: usize, stack_bytes: usize) {
    let words = stack_bytes / size_of::<usize>();
    let even = words & !1; // an odd number would make may print stack usage
    may::config().set_workers(workers).set_pool_capacity(MAY_POOL).set_stack_size(even);
    may::config().set_worker_pin(false);
}

/// Starts a coroutine on worker `k`, from any thread. For reactors only.
pub(crate) fn spawn_on(k: usize, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let builder = Builder::new().id(k);
    // SAFETY: may asks that thread-locals are not trusted across switches; a reactor is resumed
    // only by its own descriptor, which may polls on worker `fd % workers` = k, so it never changes
    // threads.
    unsafe { builder.spawn(body) }.map(drop)
}

/// What `spawn_local` wants and the affinity law makes unnecessary.
struct Pinned<F>(F);

// SAFETY: the closure is run by `spawn_local` on the calling thread at once, and afterwards the
// coroutine is only unparked by its own machine's reactor, on the same thread: it never crosses
// one.
unsafe impl<F> Send for Pinned<F> {}

impl<F: FnOnce()> Pinned<F> {
    fn run(self) {
        (self.0)();
    }
}

/// Starts a coroutine on this worker and runs it until it parks for the first time.
pub(crate) fn spawn_here(body: impl FnOnce() + 'static) -> Result<(), Error> {
    let pinned = Pinned(body);
    let started = catch_unwind(AssertUnwindSafe(move || {
        let builder = Builder::new();
        // SAFETY: as for `Pinned`: no other thread ever resumes it, so thread-locals stay its own.
        unsafe { builder.spawn_local(move || pinned.run()) }.map(drop)
    }));
    match started {
        Ok(result) => result.map_err(Error::Io),
        // may unwraps when the stack cannot be mapped.
        Err(_) => Err(Error::Io(io::ErrorKind::OutOfMemory.into())),
    }
}

/// The one who sleeps in [`park`].
pub(crate) struct Sleeper(Coroutine);

impl Sleeper {
    /// The running coroutine.
    pub(crate) fn current() -> Sleeper {
        Sleeper(coroutine::current())
    }

    /// Puts it on the run queue of this worker. Only its own machine may call this.
    pub(crate) fn unpark(&self) {
        self.0.unpark();
    }
}

/// Sleeps until somebody unparks this coroutine.
pub(crate) fn park() {
    coroutine::park();
}

/// Lets everything that was unparked run, then comes back.
pub(crate) fn yield_now() {
    coroutine::yield_now();
}

struct Watched(OwnedFd);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// How a reactor sleeps: may watches the reactor's own epoll descriptor, and nothing else.
pub(crate) struct Bed(CoIo<Watched>);

impl Bed {
    /// `epoll` must be numbered so that `fd % workers` is this worker.
    pub(crate) fn new(epoll: OwnedFd) -> io::Result<Bed> {
        CoIo::new(Watched(epoll)).map(Bed).map_err(|error| io::Error::other(error.to_string()))
    }

    /// Sleeps until the epoll descriptor has events.
    pub(crate) fn sleep(&self) {
        self.0.wait_io();
    }
}
