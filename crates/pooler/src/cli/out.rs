//! What the command line says, and to which stream. A reader that has enough (`| head`) is no
//! failure of ours; a disk without room is.

use std::io::{self, Write};
use std::process::ExitCode;

use super::MISUSED;

/// The answer, to standard output. The status is the one given, unless nobody can have read it all.
pub(super) fn answer(text: &str, status: ExitCode) -> ExitCode {
    match written(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            aside(&format!("standard output: {error}"));
            ExitCode::from(MISUSED)
        }
        _ => status,
    }
}

fn written(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// A line beside the answer, to standard error. There is nobody to tell that nobody reads it.
pub(super) fn aside(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
