//! What the engine's tests share: one engine a process, a way onto a machine, and polling instead
//! of sleeping.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use machine::{
    Address, Deadline, Engine, EngineConfig, Error, ListenOptions, Listener, Stream, StreamOptions,
};

/// For one wait: long enough for a loaded test machine, short enough to notice a hang.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// For all that a test does, which may be a million things.
pub const ALL_OF_IT: Duration = Duration::from_secs(240);

/// Two machines, started once in this process.
pub fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let config = EngineConfig { machines: 2, ..EngineConfig::default() };
        Engine::start(config).expect("the first engine of this process")
    })
}

/// Runs `body` in a coroutine of machine `k` and brings back what it returns; its panic is ours.
pub fn on<T: Send + 'static>(k: usize, body: impl FnOnce() -> T + Send + 'static) -> T {
    start_on(k, body)()
}

/// Starts `body` on machine `k`; the result waits for it.
pub fn start_on<T: Send + 'static>(
    k: usize,
    body: impl FnOnce() -> T + Send + 'static,
) -> impl FnOnce() -> T {
    let (sender, result) = mpsc::channel();
    let run = move || {
        let child = machine::spawn("test", body).expect("a stack");
        let _ = sender.send(child.join(Deadline::after(ALL_OF_IT)));
    };
    engine().machines()[k].spawn("on", run).expect("room in the mailbox");
    move || match result.recv_timeout(ALL_OF_IT + PATIENCE).expect("an answer") {
        Ok(value) => value,
        Err(error) => panic!("on machine {k}: {error}"),
    }
}

/// In a coroutine: waits until `condition`.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        machine::sleep(Duration::from_millis(1)).expect("not cancelled");
    }
}

/// On a plain thread: waits until `condition`.
pub fn until_outside(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

pub fn soon() -> Deadline {
    Deadline::after(PATIENCE)
}

pub fn listen() -> Listener {
    let any = Address::Tcp("127.0.0.1:0".parse().expect("an address"));
    let options = ListenOptions { backlog: 4096, ..ListenOptions::default() };
    Listener::bind(&any, &options).expect("a free port")
}

pub fn connect(address: &Address) -> Result<Stream, Error> {
    let options = StreamOptions { nodelay: true, ..StreamOptions::default() };
    Stream::connect(address, &options, soon())
}

/// Two ends of one connection, both on this machine.
pub fn pair() -> (Stream, Stream) {
    let listener = listen();
    let ours = connect(&listener.local()).expect("connected");
    let (theirs, _) = listener.accept(soon()).expect("accepted");
    (ours, theirs.unfold().expect("unfolded"))
}
