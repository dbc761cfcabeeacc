//! The only file that names `may` and `generator`: worker threads, stacks, and the way from one to
//! another. Everything above is written on these few functions, so that the substrate can be
//! replaced. It knows no sockets and no tasks.
//!
//! What may is used for: one worker thread a machine, `Builder::id` to start a reactor on its
//! worker, and `WaitIo` on one descriptor a worker. `may::sync`, `may::net`, `sleep` and
//! `park_timeout` each resume a coroutine where its waker happens to be and are not used at all.
//!
//! Every other coroutine has a stack of `generator`, on which may's own coroutines stand, too, but
//! not may's `park` around it. That is made to be woken from other threads, with a dozen locked
//! instructions a wait; here only the reactor of the same thread resumes.

use crate::error::Error;
use generator::{Gn, LocalGenerator, Scope};
use may::coroutine::Builder;
use may::io::{CoIo, WaitIo};
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;

/// Stacks may keeps for itself; ours are cached by the machines, and may would map 1,000 at start.
const MAY_POOL: usize = 16;

/// Says how many workers and how large a stack, before the first coroutine of the process.
pub(crate) fn configure(workers: usize, stack_bytes: usize) {
    may::config()
        .set_workers(workers)
        .set_pool_capacity(MAY_POOL)
        .set_stack_size(words(stack_bytes));
    may::config().set_worker_pin(false);
}

/// An odd number would make may print stack usage, and generator fill the stack with a pattern.
fn words(stack_bytes: usize) -> usize {
    (stack_bytes / size_of::<usize>()) & !1
}

/// Starts a coroutine on worker `k`, from any thread. For reactors only.
pub(crate) fn spawn_on(k: usize, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let builder = Builder::new().id(k);
    // SAFETY: may asks that thread-locals are not trusted across switches; a reactor is resumed
    // only by its own descriptor, which may polls on worker `fd % workers` = k, so it never changes
    // threads.
    unsafe { builder.spawn(body) }.map(drop)
}

/// What a body leaves its stack by.
type Exit = Scope<'static, 'static, (), ()>;

/// A stack and what runs on it. It is not `Send`: it is resumed on the thread that made it.
pub(crate) struct Coroutine {
    /// Borrowed while it runs, so that nobody resumes what runs.
    generator: RefCell<Option<LocalGenerator<'static, (), ()>>>,
    /// On its own stack; null before the first run.
    exit: Cell<*mut Exit>,
}

impl Coroutine {
    /// Maps a stack for `body`, which runs when it is first resumed.
    pub(crate) fn map(
        (stack_bytes, is_painted): (usize, bool),
        body: impl FnOnce() + 'static,
    ) -> Result<Rc<Coroutine>, Error> {
        let coroutine =
            Rc::new(Coroutine { generator: RefCell::new(None), exit: Cell::new(ptr::null_mut()) });
        let this = Rc::clone(&coroutine);
        let body = move |mut exit: Scope<'_, '_, (), ()>| {
            this.exit.set((&raw mut exit).cast());
            body();
        };
        let words = words(stack_bytes) | usize::from(is_painted);
        // generator panics when the stack cannot be mapped.
        let map = || Gn::new_scoped_opt_local(words, body);
        let mapped = catch_unwind(AssertUnwindSafe(map));
        let generator = mapped.map_err(|_| Error::Io(io::ErrorKind::OutOfMemory.into()))?;
        coroutine.generator.replace(Some(generator));
        Ok(coroutine)
    }

    /// Runs it until it parks or ends. For the reactor of its thread only.
    pub(crate) fn resume(&self) {
        let mut generator = self.generator.borrow_mut();
        generator.as_mut().expect("a coroutine is mapped before it runs").resume();
    }

    /// The most that was ever used of a painted stack; of others about all of it.
    pub(crate) fn used_bytes(&self) -> usize {
        let generator = self.generator.borrow();
        let (_, used) = generator.as_ref().expect("it is mapped").stack_usage();
        used * size_of::<usize>()
    }

    /// Leaves the stack until somebody resumes it. It must be the coroutine that runs.
    pub(crate) fn park(&self) {
        // SAFETY: set when the body began; the body runs now, so the exit on its stack is alive.
        unsafe { &mut *self.exit.get() }.yield_with(());
    }
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
