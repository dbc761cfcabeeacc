//! The log: lines in the operator's format, to any of a file, standard output and syslog; for each
//! a bounded queue and a writer thread of its own, so that one that stands still holds up nobody. A
//! machine never waits for a disk: when a queue is full a line is dropped and counted.
//! It knows nothing of levels per rule; callers ask `is_debug` and say who the line is about.

mod clock;
mod event;
mod format;
mod pen;
mod sink;
mod structured;
mod syslog;
mod template;
mod writer;

use std::fmt::Arguments;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub use event::{Fact, Level, Who};
pub use format::Format;
pub use pen::json;
pub use syslog::SyslogOptions;

use sink::{LogFile, Sink, Stdout};
use syslog::Syslog;
use writer::{Job, Queue, Writer};

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
    /// `log_syslog` and its options.
    pub syslog: Option<SyslogOptions>,
    /// `log_queue_depth`, in lines, for each of the places.
    pub queue_lines_max: usize,
}

/// The log of one process. Cheap to call from any machine: formats, queues, returns.
pub struct Log {
    format: Arc<Format>,
    /// One for each place that lines go to.
    queues: Vec<Queue>,
    /// The writers, until `close` takes them.
    writers: Mutex<Vec<Writer>>,
}

impl Log {
    /// Opens the sinks and starts their threads.
    ///
    /// # Errors
    /// `log_file` cannot be opened for appending, or no thread can be had. Syslog may be absent.
    pub fn open(options: Options) -> io::Result<Self> {
        let format = Arc::new(Format::new(&options.format));
        let (mut queues, mut ends) = (Vec::new(), Vec::new());
        for sink in sinks(&options)? {
            let (queue, lines) = Queue::new(options.queue_lines_max);
            queues.push(queue);
            ends.push((sink, lines));
        }
        let mut writers = Vec::new();
        for (index, (sink, lines)) in ends.into_iter().enumerate() {
            let mut others = queues.clone();
            others.remove(index);
            let job = Job { sink, format: Arc::clone(&format), others };
            writers.push(Writer::start(lines, job)?);
        }
        Ok(Self { format, queues, writers: Mutex::new(writers) })
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

    /// Lines lost since the start, to full queues and to places that took none; one that went to
    /// one place and not to another counts.
    pub fn dropped(&self) -> u64 {
        self.queues.iter().map(Queue::lost).sum()
    }

    /// Lines waiting for a writer.
    pub fn queued(&self) -> usize {
        self.queues.iter().map(Queue::len).sum()
    }

    /// Opens `log_file` anew, by its name; what was logged before goes to the old file. It is done
    /// by the writer, who tells how it went.
    pub fn reopen(&self) {
        self.queues.iter().for_each(Queue::reopen);
    }

    /// Writes what is queued and ends the writers. Lines logged afterwards are lost, and so is what
    /// a disk or a pipe does not take in time.
    pub fn close(&self) {
        let writers = self.writers.lock().map(|mut all| std::mem::take(&mut *all));
        let end = Instant::now() + CLOSE_MAX;
        for (queue, writer) in self.queues.iter().zip(writers.unwrap_or_default()) {
            queue.end(end);
            writer.wait_until(end);
        }
    }

    fn line(&self, level: Level, context: &str, who: &Who<'_>, message: Arguments<'_>) {
        let Some((last, others)) = self.queues.split_last() else { return };
        let line = self.format.line(level, context, who, message);
        for queue in others {
            queue.push(level, line.clone());
        }
        last.push(level, line);
    }
}

fn sinks(options: &Options) -> io::Result<Vec<Box<dyn Sink>>> {
    let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
    if let Some(path) = &options.file {
        sinks.push(Box::new(LogFile::open(path)?));
    }
    if options.stdout {
        sinks.push(Box::new(Stdout::new()));
    }
    if let Some(syslog) = &options.syslog {
        sinks.push(Box::new(Syslog::new(syslog.clone())));
    }
    Ok(sinks)
}
