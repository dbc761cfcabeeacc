//! Stackful coroutines with an address: one event loop a thread, sockets, timers, parked sessions.
//! (First skeleton: signatures only; the bodies follow.)
#![allow(
    missing_docs,
    clippy::missing_errors_doc,
    unused_variables,
    dead_code,
    reason = "skeleton, replaced within the hour"
)]

use std::fmt;
use std::io::{self, IoSlice};
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn later<T>() -> T {
    panic!("skeleton")
}

type NotSend = PhantomData<Rc<()>>;
pub type OnPanic = Arc<dyn Fn(&str, &str) + Send + Sync>;

pub struct EngineConfig {
    pub machines: usize,
    pub stack_bytes: usize,
    pub coroutines_max: usize,
    pub offload_threads: usize,
    pub offload_queue_max: usize,
    pub on_panic: OnPanic,
}
impl Default for EngineConfig {
    fn default() -> Self {
        later()
    }
}
pub struct Engine {
    machines: Vec<MachineHandle>,
}
impl Engine {
    pub fn start(config: EngineConfig) -> Result<Engine, Error> {
        later()
    }
    pub fn machines(&self) -> &[MachineHandle] {
        &self.machines
    }
    pub fn least_loaded(&self) -> &MachineHandle {
        later()
    }
    pub fn shutdown(self) {}
}
#[derive(Clone)]
pub struct MachineHandle {
    shared: Arc<()>,
}
impl MachineHandle {
    pub fn index(&self) -> usize {
        later()
    }
    pub fn seat(&self) -> Seat {
        later()
    }
    pub fn load(&self) -> usize {
        later()
    }
    pub fn spawn(
        &self,
        name: &'static str,
        f: impl FnOnce() + Send + 'static,
    ) -> Result<(), Error> {
        later()
    }
    pub fn stats(&self) -> MachineStats {
        later()
    }
}
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineStats {
    pub coroutines_live: u64,
    pub coroutines_cached: u64,
    pub sessions_parked: u64,
    pub seats: u64,
    pub timers: u64,
    pub sockets: u64,
    pub spawned: u64,
    pub wakeups: u64,
    pub epoll_waits: u64,
    pub sleeps: u64,
    pub mails: u64,
    pub panics: u64,
}
pub struct Seat {
    shared: Arc<()>,
}
pub fn current() -> Option<usize> {
    later()
}
pub fn spawn<T: 'static>(
    name: &'static str,
    f: impl FnOnce() -> T + 'static,
) -> Result<JoinHandle<T>, Error> {
    later()
}
pub struct JoinHandle<T> {
    value: Rc<Option<T>>,
}
impl<T> JoinHandle<T> {
    pub fn join(self, deadline: Deadline) -> Result<T, Error> {
        later()
    }
    pub fn cancel(&self) {}
}
pub fn sleep(duration: Duration) -> Result<(), Error> {
    later()
}
pub fn yield_now() {}
pub fn now() -> Instant {
    Instant::now()
}
pub fn is_cancelled() -> bool {
    later()
}
pub fn shield<R>(f: impl FnOnce() -> R) -> R {
    f()
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);
impl Deadline {
    pub const NEVER: Deadline = Deadline(None);
    pub fn after(duration: Duration) -> Deadline {
        later()
    }
    pub fn at(instant: Instant) -> Deadline {
        Deadline(Some(instant))
    }
    pub fn is_past(self, now: Instant) -> bool {
        later()
    }
    pub fn earliest(self, other: Deadline) -> Deadline {
        later()
    }
    pub fn remaining(self, now: Instant) -> Option<Duration> {
        later()
    }
    pub fn instant(self) -> Option<Instant> {
        self.0
    }
}
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    Io(io::Error),
    TimedOut,
    Cancelled,
    Closed,
    TooManyCoroutines { max: usize },
    QueueFull { queue: &'static str, max: usize },
    AlreadyStarted,
    NotOnMachine,
    Panicked(String),
    Resolve { host: String, reason: String },
}
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        later()
    }
}
impl std::error::Error for Error {}
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Io(error)
    }
}
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        later()
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    pub idle_s: u32,
    pub interval_s: u32,
    pub probes: u32,
}
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamOptions {
    pub nodelay: bool,
    pub keepalive: Option<Keepalive>,
    pub user_timeout_ms: Option<u32>,
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    pub backlog: i32,
    pub reuseport: bool,
    pub unix_mode: Option<u32>,
}
impl Default for ListenOptions {
    fn default() -> Self {
        ListenOptions { backlog: 128, reuseport: false, unix_mode: None }
    }
}
pub struct Listener {
    fd: i32,
}
impl Listener {
    pub fn bind(address: &Address, options: &ListenOptions) -> Result<Listener, Error> {
        later()
    }
    pub fn accept(&self, deadline: Deadline) -> Result<(Parcel, Address), Error> {
        later()
    }
    pub fn local(&self) -> Address {
        later()
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    Done(usize),
    Wait,
    End,
}
pub struct Stream {
    not_send: NotSend,
}
impl Stream {
    pub fn connect(
        address: &Address,
        options: &StreamOptions,
        deadline: Deadline,
    ) -> Result<Stream, Error> {
        later()
    }
    pub fn try_read(&self, bytes: &mut [u8]) -> Result<Progress, Error> {
        later()
    }
    pub fn try_read_into(&self, buffer: &mut Buffer) -> Result<Progress, Error> {
        later()
    }
    pub fn try_write(&self, bytes: &[u8]) -> Result<Progress, Error> {
        later()
    }
    pub fn try_write_vectored(&self, parts: &[IoSlice<'_>]) -> Result<Progress, Error> {
        later()
    }
    pub fn is_readable(&self) -> bool {
        later()
    }
    pub fn is_writable(&self) -> bool {
        later()
    }
    pub fn is_hung_up(&self) -> bool {
        later()
    }
    pub fn read(&self, bytes: &mut [u8], deadline: Deadline) -> Result<usize, Error> {
        later()
    }
    pub fn read_into(&self, buffer: &mut Buffer, deadline: Deadline) -> Result<usize, Error> {
        later()
    }
    pub fn write_all(&self, bytes: &[u8], deadline: Deadline) -> Result<(), Error> {
        later()
    }
    pub fn shutdown_write(&self) -> Result<(), Error> {
        later()
    }
    pub fn peer(&self) -> Address {
        later()
    }
    pub fn local(&self) -> Address {
        later()
    }
    pub fn set_options(&self, options: &StreamOptions) -> Result<(), Error> {
        later()
    }
    pub fn set_linger_reset(&self) -> Result<(), Error> {
        later()
    }
    pub fn fold(self) -> Parcel {
        later()
    }
    pub fn fold_watched(self, watcher: Arc<dyn Watcher>, key: u64) -> Parcel {
        later()
    }
}
pub struct Parcel {
    fd: i32,
}
impl Parcel {
    pub fn unfold(self) -> Result<Stream, Error> {
        later()
    }
    pub fn home(&self) -> Option<usize> {
        later()
    }
}
pub trait Watcher: Send + Sync {
    fn stirred(self: Arc<Self>, key: u64);
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest(u8);
impl Interest {
    pub const NONE: Interest = Interest(0);
    pub const READ: Interest = Interest(1);
    pub const WRITE: Interest = Interest(2);
    pub const HANGUP: Interest = Interest(4);
}
impl std::ops::BitOr for Interest {
    type Output = Interest;
    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    Ready,
    Notified,
    TimedOut,
}
pub fn wait_any(
    wants: &[(&Stream, Interest)],
    notified: Option<&Notified>,
    deadline: Deadline,
) -> Result<Woken, Error> {
    later()
}
pub struct Notified {
    not_send: NotSend,
}
impl Notified {
    /// Panics outside a machine.
    #[allow(clippy::new_without_default, reason = "it must be made on a machine")]
    pub fn new() -> Notified {
        later()
    }
    pub fn notifier(&self) -> Notifier {
        later()
    }
    pub fn take(&self) -> bool {
        later()
    }
    pub fn is_set(&self) -> bool {
        later()
    }
}
#[derive(Clone)]
pub struct Notifier {
    shared: Arc<()>,
}
impl Notifier {
    pub fn notify(&self) {}
}
pub trait Session: 'static {
    fn serve(self: Box<Self>) -> Served;
    fn wakers(&self) -> Wakers<'_>;
}
pub struct Wakers<'a> {
    pub stream: &'a Stream,
    pub notified: Option<&'a Notified>,
    pub deadline: Deadline,
}
pub enum Served {
    Parked(Box<dyn Session>),
    Ended,
}
pub fn start_session(session: Box<dyn Session>) -> Result<(), Error> {
    later()
}
pub const BUFFER_BYTES: usize = 16 * 1024;
pub struct Buffer {
    not_send: NotSend,
}
impl Buffer {
    pub fn lease() -> Buffer {
        later()
    }
    pub fn data(&self) -> &[u8] {
        later()
    }
    pub fn data_mut(&mut self) -> &mut [u8] {
        later()
    }
    pub fn space(&mut self) -> &mut [u8] {
        later()
    }
    pub fn filled(&mut self, bytes: usize) {}
    pub fn consume(&mut self, bytes: usize) {}
    pub fn len(&self) -> usize {
        later()
    }
    pub fn is_empty(&self) -> bool {
        later()
    }
    pub fn capacity(&self) -> usize {
        later()
    }
    pub fn reserve(&mut self, total_bytes: usize) {}
    pub fn extend(&mut self, bytes: &[u8]) {}
    pub fn clear(&mut self) {}
}
pub fn offload<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
    deadline: Deadline,
) -> Result<T, Error> {
    later()
}
pub fn resolve(host: &str, port: u16, deadline: Deadline) -> Result<Vec<SocketAddr>, Error> {
    later()
}
pub struct Signals {
    not_send: NotSend,
}
impl Signals {
    pub fn block(signals: &[i32]) -> Result<(), Error> {
        later()
    }
    pub fn new(signals: &[i32]) -> Result<Signals, Error> {
        later()
    }
    pub fn wait(&self, deadline: Deadline) -> Result<i32, Error> {
        later()
    }
}
pub mod sync {
    use super::*;
    pub struct Semaphore {
        not_send: NotSend,
    }
    pub struct Permit {
        not_send: NotSend,
    }
    impl Semaphore {
        pub fn new(permits: usize) -> Semaphore {
            later()
        }
        pub fn acquire(&self, deadline: Deadline) -> Result<Permit, Error> {
            later()
        }
        pub fn available(&self) -> usize {
            later()
        }
    }
}
