//! The watcher: asks for a reload when a file changed that the configuration in force names: a
//! secret, a certificate, a key, `hba_file`. It looks at what the kernel says of them, from a
//! thread that may wait for a disk. The configuration itself is not watched: who edits it says so
//! when it is done.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use machine::{Deadline, Notified, Notifier};

use crate::log::Who;
use crate::shared::Shared;

/// Between two looks. What changed counts when it looks the same twice: a file that is being
/// written, or a key whose certificate is still the old one, has that long to become whole.
const LOOK: Duration = Duration::from_secs(1);

/// A look at all files; a network's file system may hang.
const LOOK_MAX: Duration = Duration::from_secs(30);

/// Rings when other files may be watched.
#[derive(Default)]
pub struct Bell(OnceLock<Notifier>);

impl Bell {
    /// Another configuration is in force.
    pub fn ring(&self) {
        if let Some(bell) = self.0.get() {
            bell.notify();
        }
    }
}

/// What tells one state of a file from another; None: there is none, or it cannot be seen. Links
/// are followed, so that one that is turned round to another file is a change.
type Look = Option<(u64, u64, u64, i64, i64)>;

/// One state of all files.
type Picture = Vec<(PathBuf, Look)>;

/// Runs as a coroutine until it is cancelled.
pub(crate) fn run(shared: &Arc<Shared>) {
    let notified = Notified::new();
    let _ = shared.watcher.0.set(notified.notifier());
    // What is in force was read from what was seen before it was; nobody looked then.
    let mut known = look(&watched(shared)).unwrap_or_default();
    let mut before = known.clone();
    loop {
        let paths = watched(shared);
        let deadline = match paths.is_empty() {
            true => Deadline::NEVER, // nothing to look at costs nothing
            false => Deadline::after(LOOK),
        };
        if machine::wait_any(&[], Some(&notified), deadline).is_err() {
            return;
        }
        let _ = notified.take();
        let Some(now) = look(&watched(shared)) else { continue };
        let settled = now == before;
        before.clone_from(&now);
        let news = changed(&known, &now);
        if settled && !news.is_empty() {
            tell(shared, &news);
            let _ = shared.reloads.ask(); // its report is in the log, for better or worse
            known = now;
        } else if news.is_empty() {
            known = now; // other files are watched now
        }
    }
}

/// The files of the configuration in force; none if nobody wants that.
fn watched(shared: &Shared) -> Vec<PathBuf> {
    let config = shared.config();
    if config.global.watch_files { config.files.clone() } else { Vec::new() }
}

/// None: it took too long, and tells nothing.
fn look(paths: &[PathBuf]) -> Option<Picture> {
    let paths = paths.to_vec();
    if paths.is_empty() {
        return Some(Picture::new());
    }
    let work = move || -> Picture {
        let seen = |path: PathBuf| (seen(&path), path);
        paths.into_iter().map(seen).map(|(look, path)| (path, look)).collect()
    };
    machine::offload(work, Deadline::after(LOOK_MAX)).ok()
}

fn seen(path: &Path) -> Look {
    let of = |it: Metadata| (it.dev(), it.ino(), it.size(), it.mtime(), it.mtime_nsec());
    std::fs::metadata(path).ok().map(of)
}

/// The files of both pictures that differ.
fn changed(known: &Picture, now: &Picture) -> Vec<PathBuf> {
    let differs = |(path, look): &&(PathBuf, Look)| {
        known.iter().any(|(other, before)| other == path && before != look)
    };
    now.iter().filter(differs).map(|(path, _)| path.clone()).collect()
}

fn tell(shared: &Shared, news: &[PathBuf]) {
    let names: Vec<String> = news.iter().map(|path| format!("'{}'", path.display())).collect();
    let text = format_args!("changed: {}; the configuration is read again", names.join(", "));
    shared.log.info("watcher", &Who::default(), text);
}

#[cfg(test)]
mod tests {
    use super::{Picture, changed};

    fn picture(files: &[(&str, Option<u64>)]) -> Picture {
        files.iter().map(|(path, look)| ((*path).into(), look.map(|n| (1, n, 0, 0, 0)))).collect()
    }

    #[test]
    fn a_file_that_is_watched_from_now_on_has_not_changed() {
        let known = picture(&[("a", Some(1)), ("b", None), ("c", Some(3))]);
        let check = |now: &[(&str, Option<u64>)], expected: &[&str]| {
            let expected: Vec<_> = expected.iter().map(std::path::PathBuf::from).collect();
            assert_eq!(changed(&known, &picture(now)), expected);
        };
        check(&[("a", Some(1)), ("b", None), ("c", Some(3))], &[]);
        check(&[("a", Some(1)), ("d", Some(4))], &[]);
        check(&[("a", Some(2)), ("b", Some(1)), ("c", None)], &["a", "b", "c"]);
    }
}
