//! The last words of a coroutine that outgrew its stack. Below every stack is a guard page;
//! touching it is a SIGSEGV, and this handler says whose it was before the process dies. Any other
//! fault dies as it would have.
//!
//! generator, under may, installs a handler of its own that leaves the coroutine from inside the
//! signal and goes on; ours comes after it and never goes on.

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

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
    // SAFETY: sigaction is integers and an optional pointer; zero is the default action with an
    // empty mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_fault;
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK; // std gives its threads a signal stack
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: `action` is initialised and its handler only uses what a signal handler may.
        crate::sys::check(unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) })?;
    }
    Ok(())
}

extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel hands a valid record to an SA_SIGINFO handler.
    let info = unsafe { &*info };
    // SAFETY: for SIGSEGV and SIGBUS the address field is the one in use.
    let address = unsafe { info.si_addr() }.addr();
    if BOTTOM.get() != 0 && address.abs_diff(BOTTOM.get()) <= MARGIN_BYTES {
        say("\ncoroutine \"");
        say(NAME.get());
        say("\" has overflowed its stack\n");
    }
    // SAFETY: restores the default action; the instruction faults again on return, and the process
    // ends.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// The only kind of output a signal handler may make.
fn say(words: &str) {
    // SAFETY: the bytes live across the call.
    let _ = unsafe { libc::write(libc::STDERR_FILENO, words.as_ptr().cast(), words.len()) };
}
