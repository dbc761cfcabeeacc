//! The watcher: asks for a reload when a file changed that the configuration in force names: a
//! secret, a certificate, a key, `hba_file`. It looks at what the kernel says of them, from a
//! thread that may wait for a disk. The configuration itself is not watched: who edits it says so
//! when it is done.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use config::{Seen, Watched};
use machine::Deadline;

use crate::log::Who;
use crate::shared::Shared;

/// Between two looks. What changed counts when it looks the same twice: a file that is being
/// written, or a key whose certificate is still the old one, has that long to become whole.
const LOOK: Duration = Duration::from_secs(1);

/// A look at all files; a network's file system may hang.
const LOOK_MAX: Duration = Duration::from_secs(30);

/// Runs as a coroutine until it is cancelled.
pub(crate) fn run(shared: &Arc<Shared>) {
    let bell = shared.watcher.hang();
    // How the files looked last, and how when they were asked to be read.
    let (mut last, mut asked) = (Vec::new(), Vec::new());
    loop {
        // Nothing to look at costs nothing.
        let next = (!in_force(shared).is_empty()).then(|| machine::now() + LOOK);
        if bell.wait(next).is_err() {
            return;
        }
        let read = in_force(shared);
        let Some(now) = look(&read) else { continue };
        let news = changed(&read, &now);
        if !news.is_empty() && now == last && now != asked {
            tell(shared, &news);
            // Its report is in the log. What was rejected is not read again until it changes.
            let _ = shared.reloads.ask();
            asked.clone_from(&now);
        }
        last = now;
    }
}

/// The files of the configuration in force as they were when it was read; none if nobody wants
/// them watched.
fn in_force(shared: &Shared) -> Vec<Watched> {
    let config = shared.config();
    if config.global.watch_files { config.files.clone() } else { Vec::new() }
}

/// How they are now; None: that took too long, and tells nothing.
fn look(files: &[Watched]) -> Option<Vec<Watched>> {
    let files = files.to_vec();
    if files.is_empty() {
        return Some(files);
    }
    let now = |Watched { path, .. }: Watched| Watched { seen: Seen::of(&path), path };
    let work = move || files.into_iter().map(now).collect();
    machine::offload(work, Deadline::after(LOOK_MAX)).ok()
}

fn changed(read: &[Watched], now: &[Watched]) -> Vec<PathBuf> {
    let pairs = read.iter().zip(now).filter(|(read, now)| read != now);
    pairs.map(|(_, now)| now.path.clone()).collect()
}

fn tell(shared: &Shared, news: &[PathBuf]) {
    let names: Vec<String> = news.iter().map(|path| format!("'{}'", path.display())).collect();
    let text = format_args!("changed: {}; the configuration is read again", names.join(", "));
    shared.log.info("watcher", &Who::default(), text);
}
