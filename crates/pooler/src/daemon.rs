//! The daemon: a child in the background, and the parent that stays until the child can serve
//! clients. What the child has to say before that is read at the terminal it was started from;
//! afterwards its standard streams are /dev/null. It changes neither directory nor umask.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::process::ExitCode;

use machine::process::{self, Forked};

/// Said by the child through the pipe; a child that dies says nothing.
const UP: u8 = 1;

/// Who we are after a [`detach`].
pub(crate) enum Role {
    /// The one that was started; its exit status tells how the daemon came up.
    Starter(ExitCode),
    /// The one that serves.
    Daemon(Word),
}

/// The daemon's word to its parent that clients can come; dropped without it, the parent ends when
/// the daemon does, with the same exit status.
pub(crate) struct Word(PipeWriter);

/// Becomes two processes. In the parent this returns when the child is up or has ended.
///
/// # Errors
/// There are threads already, or no more processes.
pub(crate) fn detach() -> io::Result<Role> {
    let (reader, writer) = io::pipe()?;
    match process::fork()? {
        Forked::Parent(child) => {
            drop(writer); // or we would be the one we wait for
            Ok(Role::Starter(follow(reader, child)))
        }
        Forked::Child => {
            process::leave_terminal()?;
            Ok(Role::Daemon(Word(writer)))
        }
    }
}

/// Waits for the child's word, or for its end.
fn follow(mut pipe: PipeReader, child: i32) -> ExitCode {
    let mut word = [0];
    if pipe.read_exact(&mut word).is_ok() {
        return ExitCode::SUCCESS;
    }
    match process::wait_for_child(child) {
        Ok(Some(status)) => ExitCode::from(status),
        _ => ExitCode::FAILURE,
    }
}

impl Word {
    /// Clients can come.
    ///
    /// # Errors
    /// There is no /dev/null.
    pub fn give(mut self) -> io::Result<()> {
        process::silence()?;
        let _ = self.0.write_all(&[UP]); // the parent may have been killed: nobody wants to know
        Ok(())
    }
}
