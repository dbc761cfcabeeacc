//! The log: lines in the operator's format, through a bounded queue, to one writer thread.
//! A machine never waits for a disk: when the queue is full a line is dropped and counted.
//! It knows nothing of levels per rule; callers ask `is_debug` and say who the line is about.

mod format;
mod writer;

use std::fmt::Arguments;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError, bounded};

pub use format::{Format, Level, Who};

/// A line longer than this is cut: Odyssey's tools were built on 1 KiB lines, JSON-less ones that
/// is.
const LINE_BYTES_MAX: usize = 4096;

/// How long a process that ends waits for its last lines to be written.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// Where lines go and how they look.
pub struct Options {
    /// The operator's `log_format`.
    pub format: String,
    /// `log_file`, appended to.
    pub file: Option<PathBuf>,
    /// `log_to_stdout`.
    pub stdout: bool,
    /// `log_queue_depth`, in lines.
    pub queue_lines_max: usize,
}

/// The log of one process. Cheap to call from any machine: formats, queues, returns.
pub struct Log {
    format: Format,
    queue: Sender<Vec<u8>>,
    dropped: AtomicU64,
    /// The writer, until `close` takes it.
    writer: Mutex<Option<writer::Writer>>,
}

impl Log {
    /// Opens the sinks and starts the writer thread.
    ///
    /// # Errors
    /// `log_file` cannot be opened for appending, or no thread can be had.
    pub fn open(options: Options) -> std::io::Result<Self> {
        let (queue, lines) = bounded(options.queue_lines_max.max(1));
        let writer = writer::Writer::start(lines, options.file.as_deref(), options.stdout)?;
        Ok(Self {
            format: Format::new(&options.format),
            queue,
            dropped: AtomicU64::new(0),
            writer: Mutex::new(Some(writer)),
        })
    }

    /// An ordinary event.
    pub fn info(&self, context: &str, who: &Who<'_>, message: Arguments<'_>) {
        self.line(Level::Info, context, who, message);
    }

    /// Something failed.
    pub fn error(&self, context: &str, who: &Who<'_>, message: Arguments<'_>) {
        self.line(Level::Error, context, who, message);
    }

    /// For `log_debug`; the caller asked whether it is on.
    pub fn debug(&self, context: &str, who: &Who<'_>, message: Arguments<'_>) {
        self.line(Level::Debug, context, who, message);
    }

    /// Lines lost to a full queue since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Lines waiting for the writer.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Writes what is queued and ends the writer. Lines logged afterwards are lost, and so is what
    /// a disk or a pipe does not take in time.
    pub fn close(&self) {
        let writer = self.writer.lock().ok().and_then(|mut slot| slot.take());
        if let Some(writer) = writer {
            let end = Instant::now() + CLOSE_MAX;
            // An empty line is the end mark: no formatted line is empty.
            let _ = self.queue.send_deadline(Vec::new(), end);
            writer.wait_until(end);
        }
    }

    fn line(&self, level: Level, context: &str, who: &Who<'_>, message: Arguments<'_>) {
        let mut line = self.format.line(level, context, who, message);
        if line.len() > LINE_BYTES_MAX {
            line.truncate(LINE_BYTES_MAX - 1);
            line.push(b'\n');
        }
        if let Err(TrySendError::Full(_)) = self.queue.try_send(line) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
