//! The log's writer thread: takes lines from the queue, writes them in batches. It sleeps in the
//! queue when there is nothing to write, so an idle process is not woken by its log.

use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, bounded};

/// Bytes gathered before one write; a busy log costs one system call for some hundred lines.
const BATCH_BYTES: usize = 64 * 1024;

/// The writer's thread, which drops the other end of this when it has written everything.
pub(super) struct Writer(Receiver<Infallible>);

impl Writer {
    pub(super) fn start(
        lines: Receiver<Vec<u8>>,
        file: Option<&Path>,
        stdout: bool,
    ) -> io::Result<Self> {
        let file =
            file.map(|path| OpenOptions::new().append(true).create(true).open(path)).transpose()?;
        let (alive, ended) = bounded(0);
        thread::Builder::new().name("logger".into()).spawn(move || {
            run(&lines, file, stdout);
            drop(alive);
        })?;
        Ok(Self(ended))
    }

    /// Waits for its end, which a sink that takes nothing may put off for ever.
    pub(super) fn wait_until(self, end: Instant) {
        let _ = self.0.recv_deadline(end);
    }
}

/// Until the end mark (an empty line) or the end of the queue.
fn run(lines: &Receiver<Vec<u8>>, mut file: Option<File>, stdout: bool) {
    let mut batch = Vec::with_capacity(BATCH_BYTES);
    let mut ended = false;
    while !ended {
        let Ok(first) = lines.recv() else { return };
        ended = first.is_empty();
        batch.extend_from_slice(&first);
        while !ended && batch.len() < BATCH_BYTES {
            let Ok(line) = lines.try_recv() else { break };
            ended = line.is_empty();
            batch.extend_from_slice(&line);
        }
        // A sink that fails (disk full, closed pipe) loses lines; the pooler goes on.
        if let Some(file) = &mut file {
            let _ = file.write_all(&batch);
        }
        if stdout {
            let mut out = io::stdout().lock();
            let _ = out.write_all(&batch).and_then(|()| out.flush());
        }
        batch.clear();
    }
}
