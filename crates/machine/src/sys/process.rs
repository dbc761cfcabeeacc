//! What a process asks of the kernel about itself: to become two, to be more or less important, on
//! which processors it runs, how it is called. Each call has a safe face. It decides nothing, and
//! what only one thread may do is refused when there are more.

use std::ffi::CString;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::check;
use crate::overflow;

/// Which of the two processes a [`fork`] has made we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forked {
    /// The old one, with the id of its child.
    Parent(i32),
    /// The new one.
    Child,
}

/// Tells `overflow` of every SIGSEGV and SIGBUS before the process dies of it.
pub(crate) fn tell_faults() -> io::Result<()> {
    // SAFETY: sigaction is integers and an optional pointer; zero is the default action with an
    // empty mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_fault;
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK; // std gives its threads a signal stack
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: `action` is initialised and its handler only uses what a signal handler may.
        check(unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) })?;
    }
    Ok(())
}

extern "C" fn on_fault(signal: libc::c_int, about: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel hands a valid record to an SA_SIGINFO handler.
    let about = unsafe { &*about };
    // SAFETY: for SIGSEGV and SIGBUS the address field is the one in use.
    overflow::heard_of(unsafe { about.si_addr() }.addr());
    // SAFETY: restores the default action; the instruction faults again on return, and the process
    // ends.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Words to standard error, by the only kind of output a signal handler may make.
pub(crate) fn say(words: &str) {
    // SAFETY: the bytes live across the call.
    let _ = unsafe { libc::write(libc::STDERR_FILENO, words.as_ptr().cast(), words.len()) };
}

/// Makes a second process of this one.
///
/// # Errors
/// There are other threads, which the child would not have; or the kernel refuses.
pub fn fork() -> io::Result<Forked> {
    alone()?;
    // SAFETY: there is no other thread, so no lock is held that nobody in the child would release.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Forked::Child),
        child => Ok(Forked::Parent(child)),
    }
}

/// Waits for the end of a child of ours: its exit status, or None if a signal ended it. It blocks.
///
/// # Errors
/// There is no such child.
pub fn wait_for_child(child: i32) -> io::Result<Option<u8>> {
    let mut status = 0;
    loop {
        // SAFETY: the kernel writes one integer to the place it is given.
        match check(unsafe { libc::waitpid(child, &raw mut status, 0) }) {
            Ok(_) if libc::WIFEXITED(status) => {
                return Ok(u8::try_from(libc::WEXITSTATUS(status)).ok());
            }
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Leaves the terminal and the process group we were started in.
///
/// # Errors
/// We lead a process group already.
pub fn leave_terminal() -> io::Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::setsid() })?;
    Ok(())
}

/// Standard input, output and error become /dev/null.
///
/// # Errors
/// It cannot be opened.
pub fn silence() -> io::Result<()> {
    let null = fs::File::options().read(true).write(true).open("/dev/null")?;
    for standard in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        replace(null.as_raw_fd(), standard)?;
    }
    Ok(())
}

/// Takes standard input, which becomes /dev/null: a socket that a parent gave us there.
///
/// # Errors
/// There is none, or no /dev/null.
pub fn take_input() -> io::Result<OwnedFd> {
    let taken = io::stdin().as_fd().try_clone_to_owned()?;
    let null = fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(taken)
}

/// What was passed has an owner.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The descriptors, from 3 on, that whoever started us has passed; they do not survive an `exec`.
/// To be called before anything else is opened.
///
/// # Errors
/// One of them is not open; there are other threads, which may have opened it; or they were taken
/// before, and are somebody's.
pub fn passed_descriptors(count: usize) -> io::Result<Vec<OwnedFd>> {
    if count == 0 {
        return Ok(Vec::new()); // then it does not matter who else runs: a preloaded library may
    }
    alone()?;
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(io::Error::other("what was passed to this process was taken before"));
    }
    let numbers = (3..).take(count);
    let mut passed = Vec::with_capacity(count);
    for number in numbers {
        // SAFETY: takes no pointers. It fails where nothing is open.
        check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
        // SAFETY: it is open, the protocol of the one who started us says that it is ours, and
        // nobody was given it before. That nothing of ours has opened it is the caller's to keep.
        passed.push(unsafe { OwnedFd::from_raw_fd(number) });
    }
    Ok(passed)
}

/// Sends a signal to a process.
///
/// # Errors
/// There is no such process or signal, or it is not for us to send it.
pub fn signal(process: u32, signal: i32) -> io::Result<()> {
    let bad = || io::Error::from(io::ErrorKind::InvalidInput);
    let process = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
    let signal = rustix::process::Signal::from_named_raw(signal);
    let (process, signal) = (process.ok_or_else(bad)?, signal.ok_or_else(bad)?);
    Ok(rustix::process::kill_process(process, signal)?)
}

/// What the monotonic clock of the system shows, in microseconds.
#[must_use]
pub fn monotonic_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    seconds * 1_000_000 + nanos / 1000
}

fn replace(with: RawFd, what: RawFd) -> io::Result<()> {
    // SAFETY: takes no pointers; the three standard descriptors have no owner in this program.
    check(unsafe { libc::dup2(with, what) })?;
    Ok(())
}

/// The kernel's id of this thread.
pub fn thread_id() -> u32 {
    // SAFETY: takes no pointers and cannot fail.
    unsafe { libc::gettid() }.unsigned_abs()
}

/// A wall clock where the machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// From 0.
    pub month: u8,
    /// From 1.
    pub day: u8,
    /// From 0 to 23.
    pub hour: u8,
    /// From 0.
    pub minute: u8,
    /// From 0; 60 is a leap second.
    pub second: u8,
}

/// Now, in the time zone of the process.
pub fn local_time() -> LocalTime {
    // SAFETY: a null pointer asks for nothing but the return value.
    let now = unsafe { libc::time(ptr::null_mut()) };
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both places are ours; the C library reads TZ, and the environment is changed only by
    // `Title::claim`, when there is no other thread.
    unsafe { libc::localtime_r(&raw const now, parts.as_mut_ptr()) };
    // SAFETY: all zeros are a value of that type, and so is what was written over them.
    let parts = unsafe { parts.assume_init() };
    let small = |n: i32| u8::try_from(n).unwrap_or_default();
    LocalTime {
        month: small(parts.tm_mon),
        day: small(parts.tm_mday),
        hour: small(parts.tm_hour),
        minute: small(parts.tm_min),
        second: small(parts.tm_sec),
    }
}

/// Sends SIGTERM to this process, as an operator would.
///
/// # Errors
/// The kernel's.
pub fn terminate_self() -> io::Result<()> {
    let pid = std::process::id().cast_signed();
    // SAFETY: takes no pointers; our own process exists as long as we ask.
    check(unsafe { libc::kill(pid, libc::SIGTERM) })?;
    Ok(())
}

/// Scheduling priority, -20 (first) to 19 (last), of this thread and those it starts.
///
/// # Errors
/// Only the privileged may ask for more than they have.
pub fn set_priority(priority: i32) -> io::Result<()> {
    // SAFETY: takes no pointers; 0 is the caller.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, priority) })?;
    Ok(())
}

/// The processors this thread may run on, in order.
///
/// # Errors
/// The kernel knows more processors than a set of the C library holds (1,024).
pub fn processors() -> io::Result<Vec<usize>> {
    let mut set = empty_set();
    let size = size_of_val(&set);
    // SAFETY: the kernel writes at most `size` bytes into the set, which has that many.
    check(unsafe { libc::sched_getaffinity(0, size, &raw mut set) })?;
    let bits = 0..libc::CPU_SETSIZE as usize;
    // SAFETY: the set is initialised and every bit is below its size.
    Ok(bits.filter(|&bit| unsafe { libc::CPU_ISSET(bit, &set) }).collect())
}

/// From now on this thread, and those it starts, run on these processors only.
///
/// # Errors
/// None of them exists, or none is allowed to us.
pub fn pin(processors: &[usize]) -> io::Result<()> {
    let mut set = empty_set();
    for &processor in processors.iter().filter(|&&one| one < libc::CPU_SETSIZE as usize) {
        // SAFETY: the set is initialised and the bit is below its size.
        unsafe { libc::CPU_SET(processor, &mut set) };
    }
    // SAFETY: the kernel only reads the set, which has as many bytes as it is told.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) })?;
    Ok(())
}

fn empty_set() -> libc::cpu_set_t {
    // SAFETY: a set is integers only; all zero is the empty one.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// The arguments and the environment of a process stand in one piece of memory, which is what `ps`
/// shows. Only one value may own it.
static CLAIMED: AtomicBool = AtomicBool::new(false);

/// The name under which `ps` shows this process.
pub struct Title {
    start: *mut u8,
    bytes: usize,
}

impl Title {
    /// Takes the memory of our arguments and environment; the environment gets another place first,
    /// so that it can be read on. Afterwards [`std::env::args`] tells nonsense, and must not be
    /// asked while another thread sets a title. None if there are other threads, which may be
    /// reading either; if it was claimed before; or without /proc.
    pub fn claim() -> Option<Title> {
        alone().ok()?;
        let (start, end) = area(&fs::read_to_string("/proc/self/stat").ok()?)?;
        if CLAIMED.swap(true, Ordering::SeqCst) {
            return None;
        }
        for (name, value) in std::env::vars_os() {
            // SAFETY: there is no other thread that could read the environment meanwhile.
            unsafe { std::env::set_var(name, value) };
        }
        Some(Title { start: ptr::with_exposed_provenance_mut(start), bytes: end - start })
    }

    /// Shows `text` from now on, cut where there is no more room.
    pub fn set(&mut self, text: &str) {
        let text = CString::new(text).unwrap_or_default();
        let shown = text.as_bytes().len().min(self.bytes - 1);
        // SAFETY: the kernel gave us this memory for our arguments and environment, writable and
        // for our whole life; `claim` gave the environment another place, and there is one title.
        // Who asks for the arguments reads it, and has been told when not to.
        unsafe { ptr::write_bytes(self.start, 0, self.bytes) };
        // SAFETY: as above; `shown` is less than both lengths, and the last byte stays zero.
        unsafe { ptr::copy_nonoverlapping(text.as_ptr().cast(), self.start, shown) };
    }
}

/// Where arguments begin, and where they end or, right behind them, the environment: fields 48 to
/// 51 of /proc/self/stat, which are 0 where the kernel does not tell.
fn area(stat: &str) -> Option<(usize, usize)> {
    let (_, fields) = stat.rsplit_once(')')?; // a name may have spaces
    let mut fields = fields.split_whitespace().skip(48 - 3).map(str::parse::<usize>);
    let mut next = || fields.next()?.ok();
    let (start, args_end, env_start, env_end) = (next()?, next()?, next()?, next()?);
    let end = if env_start == args_end { env_end } else { args_end };
    (start > 0 && end > start).then_some((start, end))
}

/// Are we the only thread?
fn alone() -> io::Result<()> {
    match fs::read_dir("/proc/self/task")?.count() {
        1 => Ok(()),
        _ => Err(io::Error::other("there are other threads")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_lies_where_arguments_and_environment_are() {
        let stat = |tail: &str| format!("1 (a) b) S{}{tail}", " 0".repeat(44));
        assert_eq!(area(&stat(" 100 120 120 300 0")), Some((100, 300)));
        assert_eq!(area(&stat(" 100 120 150 300 0")), Some((100, 120)));
        assert_eq!(area(&stat(" 0 0 0 0 0")), None);
        assert_eq!(area("nonsense"), None);
    }

    #[test]
    fn with_other_threads_nothing_is_forked_or_claimed() {
        // The harness runs each test on a thread of its own.
        assert!(fork().is_err());
        assert!(Title::claim().is_none());
        assert!(passed_descriptors(1).is_err());
    }

    /// A profiler that is preloaded has a thread of its own. Seen to fail: a start that asked for
    /// nothing was refused for it.
    #[test]
    fn who_was_passed_nothing_may_have_other_threads() {
        assert!(passed_descriptors(0).unwrap().is_empty());
    }

    #[test]
    fn a_thread_runs_where_it_is_pinned() {
        let all = processors().unwrap();
        let last = *all.last().unwrap();
        let pinned = std::thread::spawn(move || {
            pin(&[last]).unwrap();
            processors().unwrap()
        });
        assert_eq!(pinned.join().unwrap(), [last]);
        assert_eq!(processors().unwrap(), all, "and nobody else is");
        assert!(pin(&[]).is_err() && pin(&[100_000]).is_err());
    }
}
