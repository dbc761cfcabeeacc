//! A key log: a file with the secrets of each connection, for those who look into recorded traffic.
//! Who has it reads everything. It is appended by a thread of its own; a machine never waits for
//! it, and what comes faster than the disk is left out.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;

use crossbeam_channel::{Sender, bounded};

/// Lines that wait for the disk; a connection has some five.
const QUEUE_LINES_MAX: usize = 4096;

/// A file for the secrets of connections. Clones write to the same.
#[derive(Clone, Debug)]
pub struct KeyLog(Sender<String>);

impl KeyLog {
    /// Opens the file to be appended, made for its owner's eyes only if it is not there. It blocks.
    ///
    /// # Errors
    /// The file cannot be opened, or there is no thread.
    pub fn open(path: &Path) -> io::Result<KeyLog> {
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let (sender, lines) = bounded::<String>(QUEUE_LINES_MAX);
        thread::Builder::new().name("key log".into()).spawn(move || {
            for line in lines {
                if file.write_all(line.as_bytes()).is_err() {
                    return; // nobody is served worse by a log that ends
                }
            }
        })?;
        Ok(KeyLog(sender))
    }

    pub(super) fn write(&self, line: &str) {
        let _ = self.0.try_send(format!("{line}\n")); // see above
    }
}
