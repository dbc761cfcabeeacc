//! The last words of a coroutine that outgrew its stack. Below every stack is a guard page;
//! touching it is a SIGSEGV, and this handler says whose it was before the process dies. Any other
//! fault dies as it would have.
//!
//! generator, under may, installs a handler of its own that leaves the coroutine from inside the
//! signal and goes on; ours comes after it and never goes on.

use std::cell::Cell;
use std::io;

use crate::sys::process;

/// How far around the lowest address of the stack a fault counts as an overflow: the guard page,
/// what large frames may jump over, and the imprecision of where the stack began.
const MARGIN_BYTES: usize = 16 * 1024;

thread_local! {
    /// The name of the coroutine that this thread entered last on the stack named by `BOTTOM`.
    static NAME: Cell<&'static str> = const { Cell::new("") };
    /// About the lowest address of the stack that runs now.
    static BOTTOM: Cell<usize> = const { Cell::new(0) };
}

/// Where a coroutine runs, to be restored after each switch.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    name: &'static str,
    bottom: usize,
}

/// Called at the top of a stack of `stack_bytes`, before anything else runs on it.
#[inline(never)]
pub(crate) fn enter(name: &'static str, stack_bytes: usize) {
    let here = 0u8;
    let top = (&raw const here).addr();
    NAME.set(name);
    BOTTOM.set(top.saturating_sub(stack_bytes));
}

/// Where this thread is now.
pub(crate) fn place() -> Place {
    Place { name: NAME.get(), bottom: BOTTOM.get() }
}

/// Back at `place`, after a switch.
pub(crate) fn back(place: Place) {
    NAME.set(place.name);
    BOTTOM.set(place.bottom);
}

/// Installs the handler. generator has installed its own with the first stack, so call it after
/// that.
pub(crate) fn install() -> io::Result<()> {
    process::tell_faults()
}

/// In the handler of a signal: a fault at `address`, of which the process is about to die.
pub(crate) fn heard_of(address: usize) {
    if BOTTOM.get() != 0 && address.abs_diff(BOTTOM.get()) <= MARGIN_BYTES {
        for words in ["\ncoroutine \"", NAME.get(), "\" has overflowed its stack\n"] {
            process::say(words);
        }
    }
}
