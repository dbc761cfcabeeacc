//! A writer: one thread that takes lines from a bounded queue to one sink, in batches. It sleeps
//! in the queue when there is nothing to write, so an idle process is not woken by its log. What is
//! lost, to a full queue or a sink that takes nothing, is counted, and told when lines go again.

use std::convert::Infallible;
use std::fmt::Arguments;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use machine::Signals;

use super::event::{Level, Who};
use super::format::Format;
use super::sink::{Batch, Lost, Sink};

/// Bytes gathered before one write; a busy log costs one system call for some hundred lines.
const BATCH_BYTES: usize = 64 * 1024;

/// Losses are told at most this often, and a sink that failed is tried again as often.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The end of a queue that machines put lines into.
#[derive(Clone)]
pub(super) struct Queue {
    sender: Sender<Entry>,
    state: Arc<State>,
}

enum Entry {
    Line(Level, Vec<u8>),
    /// Something else has changed.
    Wake,
    End,
}

/// What both ends of a queue know.
#[derive(Default)]
struct State {
    /// Lines lost since the start.
    lost: AtomicU64,
    /// Those of them the sink has not heard of.
    untold: AtomicU64,
    /// Somebody wants the sink opened anew.
    reopen: AtomicBool,
}

/// The writer's thread, which drops the other end of this when it has written everything.
pub(super) struct Writer(Receiver<Infallible>);

impl Queue {
    pub(super) fn new(lines_max: usize) -> (Self, Lines) {
        let (sender, receiver) = bounded(lines_max.max(1));
        let state = Arc::<State>::default();
        (Self { sender, state: Arc::clone(&state) }, Lines { receiver, state })
    }

    /// Never waits: a line that finds no room is lost.
    pub(super) fn push(&self, level: Level, line: Vec<u8>) {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(Entry::Line(level, line)) {
            self.state.lose(1);
        }
    }

    /// A queue without room has a writer that is awake.
    pub(super) fn reopen(&self) {
        self.state.reopen.store(true, Ordering::Release);
        let _ = self.sender.try_send(Entry::Wake);
    }

    pub(super) fn end(&self, deadline: Instant) {
        let _ = self.sender.send_deadline(Entry::End, deadline);
    }

    pub(super) fn lost(&self) -> u64 {
        self.state.lost.load(Ordering::Relaxed)
    }

    pub(super) fn len(&self) -> usize {
        self.sender.len()
    }
}

impl State {
    fn lose(&self, lines: usize) {
        self.lost.fetch_add(lines as u64, Ordering::Relaxed);
        self.untold.fetch_add(lines as u64, Ordering::Relaxed);
    }
}

/// The other end of a queue.
pub(super) struct Lines {
    receiver: Receiver<Entry>,
    state: Arc<State>,
}

/// What a writer needs besides its lines.
pub(super) struct Job {
    pub(super) sink: Box<dyn Sink>,
    pub(super) format: Arc<Format>,
    /// The queues of the other sinks, which hear of the troubles of this one.
    pub(super) others: Vec<Queue>,
}

impl Writer {
    pub(super) fn start(lines: Lines, job: Job) -> io::Result<Self> {
        let (alive, ended) = bounded(0);
        let work =
            Work { lines, job, failing: false, reason: None, told: None, batch: Batch::default() };
        thread::Builder::new().name("logger".into()).spawn(move || {
            // A file at the limit of its size is a failed write and no reason to die.
            let _ = Signals::block(&[libc::SIGXFSZ]);
            work.run();
            drop(alive);
        })?;
        Ok(Self(ended))
    }

    /// Waits for its end, which a sink that takes nothing may put off for ever.
    pub(super) fn wait_until(self, end: Instant) {
        let _ = self.0.recv_deadline(end);
    }
}

struct Work {
    lines: Lines,
    job: Job,
    /// The sink did not take what it got last.
    failing: bool,
    /// Why it took none when it did not, until that is told.
    reason: Option<String>,
    /// When a loss was told last, or tried to.
    told: Option<Instant>,
    batch: Batch,
}

impl Work {
    fn run(mut self) {
        loop {
            let ended = self.gather();
            if self.lines.state.reopen.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            self.tell_loss(ended);
            self.write();
            if ended {
                return;
            }
        }
    }

    /// Waits for lines and takes what is there. True at the end.
    fn gather(&mut self) -> bool {
        let untold = self.lines.state.untold.load(Ordering::Relaxed) > 0;
        let first = match untold {
            true => self.lines.receiver.recv_timeout(TELL_EVERY),
            false => self.lines.receiver.recv().map_err(RecvTimeoutError::from),
        };
        let mut entry = match first {
            Ok(entry) => entry,
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => return true,
        };
        loop {
            match entry {
                Entry::Line(level, line) => self.batch.add(level, &line),
                Entry::Wake => {}
                Entry::End => return true,
            }
            if self.batch.bytes.len() >= BATCH_BYTES {
                return false;
            }
            match self.lines.receiver.try_recv() {
                Ok(next) => entry = next,
                Err(_) => return false,
            }
        }
    }

    fn write(&mut self) {
        if !self.batch.ends.is_empty() {
            match self.job.sink.write(&self.batch) {
                Ok(()) => self.failing = false,
                Err(lost) => {
                    self.lines.state.lose(lost.lines);
                    self.fail(&lost);
                }
            }
        }
        self.batch.clear();
    }

    /// The first failure is told where it can be.
    fn fail(&mut self, Lost { error, .. }: &Lost) {
        let reason = error.to_string();
        if !self.failing {
            let text = format!("{} takes no lines: {reason}", self.job.sink.name());
            for other in &self.job.others {
                let line = self.line(Level::Error, format_args!("{text}"));
                other.push(Level::Error, line);
            }
        }
        (self.failing, self.reason) = (true, Some(reason));
    }

    /// `N lines lost`, in front of the next lines that are not.
    fn tell_loss(&mut self, ended: bool) {
        let untold = self.lines.state.untold.load(Ordering::Relaxed);
        let lately = self.told.is_some_and(|at| at.elapsed() < TELL_EVERY);
        if untold == 0 || (lately && !ended) {
            return;
        }
        self.told = Some(Instant::now());
        let reason = self.reason.as_deref().unwrap_or("the queue was full");
        let line = self.line(Level::Error, format_args!("{untold} lines lost: {reason}"));
        let mut alone = Batch::default();
        alone.add(Level::Error, &line);
        match self.job.sink.write(&alone) {
            Ok(()) => {
                self.lines.state.untold.fetch_sub(untold, Ordering::Relaxed);
                (self.failing, self.reason) = (false, None);
            }
            Err(lost) => self.fail(&lost),
        }
    }

    fn reopen(&mut self) {
        // What was logged before belongs to the old file.
        self.write();
        match self.job.sink.reopen() {
            Ok(false) => {}
            Ok(true) => {
                let line = self.line(Level::Info, format_args!("log reopened"));
                self.batch.add(Level::Info, &line);
            }
            Err(error) => {
                let name = self.job.sink.name();
                let line =
                    self.line(Level::Error, format_args!("failed to reopen {name}: {error}"));
                for other in &self.job.others {
                    other.push(Level::Error, line.clone());
                }
                self.batch.add(Level::Error, &line);
            }
        }
    }

    fn line(&self, level: Level, message: Arguments<'_>) -> Vec<u8> {
        self.job.format.line(level, "logger", &Who::default(), message)
    }
}
