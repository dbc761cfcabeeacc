//! The face of the process to those who are not its clients: its pid file, its title in `ps`, a
//! daemon's word to who started it. It is kept on the main thread, which may block.

use crossbeam_channel::Receiver;
use machine::process::Title;

use crate::boot::Exit;
use crate::daemon::Word;
use crate::log::Who;
use crate::pid_file::PidFile;
use crate::shared::Shared;

/// Each stage is told once.
pub(crate) const STAGES: usize = 3;

/// How far the pooler is, as its system coroutine tells.
pub(crate) enum Stage {
    /// Clients can come.
    Listening,
    /// No more of them.
    Stopping,
    /// It is over.
    Over(Exit),
}

/// What the process shows of itself to those who are not its clients.
pub(crate) struct Face {
    /// What `ps` shows.
    title: Option<Title>,
    /// A daemon's, until it is given.
    word: Option<Word>,
}

impl Face {
    /// With what this process has of them.
    pub fn new(title: Option<Title>, word: Option<Word>) -> Self {
        Self { title, word }
    }

    /// Until the end, or until something that was promised cannot be done.
    pub fn follow(&mut self, shared: &Shared, told: &Receiver<Stage>) -> Exit {
        let mut pid_file = None;
        loop {
            // A system coroutine that dies drops its sender: that ends the process too.
            match told.recv().unwrap_or(Stage::Over(Exit::Failed)) {
                Stage::Listening => match self.present(shared) {
                    Ok(kept) => pid_file = kept,
                    Err(text) => {
                        shared.log.error("init", &Who::default(), format_args!("{text}"));
                        return Exit::Failed;
                    }
                },
                Stage::Stopping => self.show("stop accepting any connections"),
                Stage::Over(exit) => {
                    drop(pid_file);
                    return exit;
                }
            }
        }
    }

    /// Clients can come, and whoever waits for that may know.
    fn present(&mut self, shared: &Shared) -> Result<Option<PidFile>, String> {
        let pid_file =
            shared.config().global.pid_file.as_deref().map(PidFile::write).transpose()?;
        self.show("listening and accepting new connections");
        if let Some(word) = self.word.take() {
            word.give().map_err(|error| format!("failed to leave the terminal: {error}"))?;
        }
        Ok(pid_file)
    }

    /// In Odyssey's words.
    fn show(&mut self, what: &str) {
        if let Some(title) = &mut self.title {
            let version = env!("CARGO_PKG_VERSION");
            title.set(&format!("odyssey 1.5.3 (pooler {version}) {what}"));
        }
    }
}
