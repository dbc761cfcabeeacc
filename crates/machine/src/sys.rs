//! The system calls of the event loop, each as a safe function that returns `io::Result`. Those of
//! sockets are in `sys/socket.rs`, of the whole process in `sys/process.rs`. No policy, no retries
//! (except for EINTR), no state. And the one call of OpenSSL that can be wrong: to go on with a
//! session, which has to come from the same context.

pub mod process;
pub(crate) mod socket;

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{Ssl, SslContext, SslContextBuilder, SslSession, SslSessionCacheMode};

/// Readable.
pub(crate) const IN: u32 = libc::EPOLLIN as u32;
/// Writable.
pub(crate) const OUT: u32 = libc::EPOLLOUT as u32;
/// The peer ended its side, or the socket is dead: such an edge never comes again.
pub(crate) const GONE: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;
/// Everything a socket is registered for, once for its life.
pub(crate) const ALL: u32 = IN | OUT | libc::EPOLLRDHUP as u32;

/// Turns -1 into the error it stands for.
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Takes a fresh descriptor into ownership.
pub(crate) fn own(result: libc::c_int) -> io::Result<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: the kernel has just returned this descriptor and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Raises the soft limit of open files of this process to its hard limit, and returns it.
///
/// # Errors
/// The kernel refuses; the limit is as it was.
pub fn raise_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes to the structure behind the pointer and nowhere else.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the kernel only reads the structure behind the pointer.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(limit.rlim_cur)
}

/// One readiness event.
#[derive(Clone, Copy)]
pub(crate) struct Event {
    pub(crate) flags: u32,
    pub(crate) data: u64,
}

/// A batch of events, reused for every wait.
pub(crate) struct Events {
    raw: Vec<libc::epoll_event>,
    len: usize,
}

impl Events {
    pub(crate) fn with_capacity(max: usize) -> Events {
        Events { raw: vec![libc::epoll_event { events: 0, u64: 0 }; max], len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, i: usize) -> Event {
        let raw = self.raw[i];
        Event { flags: raw.events, data: raw.u64 }
    }
}

pub(crate) fn epoll_create() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    own(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
}

/// Registers `fd`, edge-triggered.
pub(crate) fn epoll_add(epoll: RawFd, fd: RawFd, flags: u32, data: u64) -> io::Result<()> {
    let mut event = libc::epoll_event { events: flags | libc::EPOLLET as u32, u64: data };
    // SAFETY: `event` lives across the call, which only reads it.
    check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) })?;
    Ok(())
}

/// Other flags for what is there; what is ready is told again.
pub(crate) fn epoll_change(epoll: RawFd, fd: RawFd, flags: u32, data: u64) -> io::Result<()> {
    let mut event = libc::epoll_event { events: flags | libc::EPOLLET as u32, u64: data };
    // SAFETY: `event` lives across the call.
    check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_MOD, fd, &raw mut event) })?;
    Ok(())
}

pub(crate) fn epoll_del(epoll: RawFd, fd: RawFd) -> io::Result<()> {
    // SAFETY: DEL reads no event; null is allowed since Linux 2.6.9.
    check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_DEL, fd, ptr::null_mut()) })?;
    Ok(())
}

/// What is ready now; never waits.
pub(crate) fn epoll_poll(epoll: RawFd, events: &mut Events) -> io::Result<()> {
    epoll_wait(epoll, events, 0)
}

/// What is ready, as soon as something is or a signal came. It blocks the thread.
pub(crate) fn epoll_sleep(epoll: RawFd, events: &mut Events) -> io::Result<()> {
    epoll_wait(epoll, events, -1)
}

fn epoll_wait(epoll: RawFd, events: &mut Events, timeout_ms: libc::c_int) -> io::Result<()> {
    let max = libc::c_int::try_from(events.raw.len()).expect("a batch is small");
    // SAFETY: the kernel writes at most `max` events into a vector of that length.
    let n = unsafe { libc::epoll_wait(epoll, events.raw.as_mut_ptr(), max, timeout_ms) };
    match check(n) {
        Ok(n) => events.len = n as usize,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => events.len = 0,
        Err(error) => return Err(error),
    }
    Ok(())
}

pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    own(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })
}

/// Makes an edge on an eventfd. Nobody reads it: the count would overflow after 2^64 wakes.
pub(crate) fn eventfd_ring(fd: RawFd) {
    let one = 1u64;
    // SAFETY: `one` is 8 readable bytes.
    let _ = unsafe { libc::write(fd, (&raw const one).cast(), 8) };
}

pub(crate) fn timerfd() -> io::Result<OwnedFd> {
    let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
    // SAFETY: takes no pointers.
    own(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })
}

/// One edge after `delay`; replaces what was armed before.
pub(crate) fn timerfd_arm(fd: RawFd, delay: Duration) -> io::Result<()> {
    let delay = delay.max(Duration::from_nanos(1)); // zero would disarm
    let value = libc::timespec {
        tv_sec: libc::time_t::try_from(delay.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(delay.subsec_nanos() as i32),
    };
    let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let timer = libc::itimerspec { it_interval: none, it_value: value };
    // SAFETY: `timer` lives across the call; the old value is not asked for.
    check(unsafe { libc::timerfd_settime(fd, 0, &raw const timer, ptr::null_mut()) })?;
    Ok(())
}

fn signal_set(signals: &[i32]) -> io::Result<libc::sigset_t> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: writes the whole set.
    check(unsafe { libc::sigemptyset(set.as_mut_ptr()) })?;
    for &signal in signals {
        // SAFETY: the set was initialised above; a bad number is answered with EINVAL.
        check(unsafe { libc::sigaddset(set.as_mut_ptr(), signal) })?;
    }
    // SAFETY: sigemptyset initialised it.
    Ok(unsafe { set.assume_init() })
}

/// Blocks `signals` for this thread and those it starts.
pub(crate) fn block_signals(signals: &[i32]) -> io::Result<()> {
    let set = signal_set(signals)?;
    // SAFETY: `set` is initialised; the old mask is not asked for.
    let error = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

pub(crate) fn signalfd(signals: &[i32]) -> io::Result<OwnedFd> {
    let set = signal_set(signals)?;
    // SAFETY: `set` is initialised and only read.
    own(unsafe { libc::signalfd(-1, &raw const set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) })
}

/// The number of the next pending signal and the process that sent it, or WouldBlock.
pub(crate) fn signalfd_read(fd: RawFd) -> io::Result<(i32, u32)> {
    let mut record = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
    // SAFETY: the kernel writes at most one record into a record.
    let n = unsafe { libc::read(fd, record.as_mut_ptr().cast(), size_of_val(&record)) };
    if n < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: plain integers, zeroed before and filled by the kernel.
    let record = unsafe { record.assume_init() };
    Ok((record.ssi_signo as i32, record.ssi_pid))
}

/// Names this thread for `ps -L` and `perf`; at most 15 bytes count.
pub(crate) fn name_thread(name: &std::ffi::CStr) {
    // SAFETY: PR_SET_NAME reads a terminated string.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Hosts with a session; one more and all are forgotten, which costs a handshake each.
const HOSTS_MAX: usize = 256;

/// A client's context with the last session of each host, so that it need not prove and check
/// everything again. The sessions are its own: none gets in or out but by its context.
pub(crate) struct Resumable {
    context: SslContext,
    sessions: Arc<Mutex<HashMap<String, SslSession>>>,
}

impl Resumable {
    /// The context of `builder`, which from now on keeps what servers give it.
    pub(crate) fn new(mut builder: SslContextBuilder) -> Resumable {
        let sessions: Arc<Mutex<HashMap<String, SslSession>>> = Arc::default();
        let mode = SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL;
        builder.set_session_cache_mode(mode);
        let kept = Arc::clone(&sessions);
        builder.set_new_session_callback(move |ssl, session| {
            let Some(host) = host_place().and_then(|place| ssl.ex_data(place)) else { return };
            let mut sessions = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if sessions.len() >= HOSTS_MAX && !sessions.contains_key(host) {
                sessions.clear();
            }
            sessions.insert(host.clone(), session);
        });
        Resumable { context: builder.build(), sessions }
    }

    /// A connection to `host`, which goes on with its session if there is one. That is taken: TLS
    /// 1.3 wants each to be used once, so that nobody sees who comes again.
    pub(crate) fn ssl(&self, host: Option<&str>) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        let Some(host) = host else { return Ok(ssl) };
        if let Some(place) = host_place() {
            ssl.set_ex_data(place, host.to_owned());
        }
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = sessions.remove(host) {
            // SAFETY: the session was put there by the callback of this context, so it is
            // associated with it, as `ssl` is.
            unsafe { ssl.set_session(&session) }?;
        }
        Ok(ssl)
    }
}

/// Where OpenSSL keeps a connection's host: a place of the process, never given back.
fn host_place() -> Option<Index<Ssl, String>> {
    static PLACE: OnceLock<Option<Index<Ssl, String>>> = OnceLock::new();
    *PLACE.get_or_init(|| Ssl::new_ex_index().ok())
}
