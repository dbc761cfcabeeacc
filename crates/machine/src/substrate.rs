//! The only file that names `may` and `generator`: worker threads, stacks, and the way from one to
//! another. Everything above is written on these few functions, so that the substrate can be
//! replaced. It knows no sockets and no tasks.
//!
//! What may is used for: one worker thread a machine, and `Builder::id` to start a reactor on its
//! worker, where it stays. `may::sync`, `may::net`, `sleep` and `park_timeout` each resume a
//! coroutine where its waker happens to be and are not used at all; nor is `WaitIo`, by which a
//! reactor could sleep and leave its worker to others: it has no others, and each sleep cost two
//! system calls more.
//!
//! Every other coroutine has a stack of `generator`, on which may's own coroutines stand, too, but
//! not may's `park` around it. That is made to be woken from other threads, with a dozen locked
//! instructions a wait; here only the reactor of the same thread resumes.

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use std::cell::{Cell, RefCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;

use generator::{Gn, LocalGenerator, Scope};
use may::coroutine::Builder;

use crate::error::Error;

/// Stacks may keeps for itself; ours are cached by the machines, and may would map 1,000 at start.
const MAY_POOL: usize = 16;

/// What one fetch from memory brings.
const CACHE_LINE_BYTES: usize = 64;

/// Below the place where a coroutine rests are the frames of the switch, above its `exit` what
/// generator keeps of it.
const BELOW_BYTES: usize = 256;
const ABOVE_BYTES: usize = 768;

/// Who rests deeper in his stack than this touches little of it before he waits again.
const FORESEEN_MAX_BYTES: usize = 3 * 1024;

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
    // SAFETY: may asks that thread-locals are not trusted across switches, and a reactor never
    // switches away from its worker, so it never changes threads; and that nobody outgrows his
    // stack, below which lies a guard page.
    unsafe { builder.spawn(body) }.map(drop)
}

/// What a body leaves its stack by.
type Exit = Scope<'static, 'static, (), ()>;

/// A stack and what runs on it. It is not `Send`: it is resumed on the thread that made it.
pub(crate) struct Coroutine {
    /// Borrowed while it runs, so that nobody resumes what runs.
    generator: RefCell<Option<LocalGenerator<'static, (), ()>>>,
    /// On its own stack, near the top; null before the first run.
    exit: Cell<*mut Exit>,
    /// Where its stack ended when it left it last.
    rests: Cell<*const u8>,
}

impl Coroutine {
    /// Maps a stack for `body`, which runs when it is first resumed.
    pub(crate) fn map(
        (stack_bytes, is_painted): (usize, bool),
        body: impl FnOnce() + 'static,
    ) -> Result<Rc<Coroutine>, Error> {
        let coroutine = Rc::new(Coroutine {
            generator: RefCell::new(None),
            exit: Cell::new(ptr::null_mut()),
            rests: Cell::new(ptr::null()),
        });
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

    /// Has the processor fetch what the next `resume` will touch: where the stack was left, and its
    /// top, where generator keeps its own.
    pub(crate) fn foresee(&self) {
        let (rests, top) = (self.rests.get(), self.exit.get().cast::<u8>());
        if !rests.is_null() {
            let from = rests.wrapping_sub(BELOW_BYTES);
            let used = (top.addr() + ABOVE_BYTES).saturating_sub(from.addr());
            fetch(from, used.min(FORESEEN_MAX_BYTES));
        }
    }

    /// The most that was ever used of a painted stack; of others about all of it.
    pub(crate) fn used_bytes(&self) -> usize {
        let generator = self.generator.borrow();
        let (_, used) = generator.as_ref().expect("it is mapped").stack_usage();
        used * size_of::<usize>()
    }

    /// Leaves the stack until somebody resumes it. It must be the coroutine that runs.
    pub(crate) fn park(&self) {
        debug_assert!(self.generator.try_borrow().is_err(), "it runs");
        let here = 0;
        self.rests.set(&raw const here);
        // SAFETY: the caller is what this runs (of machine's two calls, one is on the stack itself
        // and one looks for the stack of the task that runs). So the body has begun, which set the
        // exit, and has not ended: the exit on its stack is alive. Its owner does nothing with it,
        // and nobody else makes a reference of it, also not during the switch.
        unsafe { &mut *self.exit.get() }.yield_with(());
    }
}

/// Has the processor fetch a value that will be needed soon.
pub(crate) fn foresee<T>(value: &T) {
    fetch(ptr::from_ref(value).cast(), size_of::<T>());
}

fn fetch(from: *const u8, bytes: usize) {
    for offset in (0..bytes).step_by(CACHE_LINE_BYTES) {
        let line = from.wrapping_add(offset).cast();
        // SAFETY: a hint, which reads nothing that a program could see; any address will do.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line) };
    }
}
