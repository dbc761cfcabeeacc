//! Soft OOM (`soft_oom`): while the processes that count use more memory than the limit, nobody new
//! is let in, and the largest servers are sent a signal if the file wants that. It looks at /proc,
//! at the interval of the file; who is here already is left alone.

mod group;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use config::{SoftOom, SoftOomDrop};
use machine::{Deadline, process};

use crate::log::Who;
use crate::shared::Shared;

/// Whom `drop` sends its signal: Odyssey's.
const SERVERS: &str = "postgres";

/// Runs as a coroutine; without the section it ends at once.
pub(crate) fn run(shared: &Arc<Shared>) {
    let Some(options) = shared.config().soft_oom.clone() else { return };
    let who = Who::default();
    while machine::sleep(options.interval).is_ok() {
        let theirs = options.clone();
        match machine::offload(move || look(&Kernel::ours(), &theirs), Deadline::NEVER) {
            Ok(Ok(seen)) => heed(shared, &options, seen),
            Ok(Err(error)) => {
                shared.log.error("soft-oom", &who, format_args!("/proc: {error}"));
            }
            Err(machine::Error::Cancelled) => return,
            Err(_) => {} // too much to do; a moment later there may be less
        }
    }
}

/// Where the kernel tells what is used.
struct Kernel<'a> {
    proc: &'a Path,
    /// The control groups.
    groups: &'a Path,
}

/// What a look has found.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// In bytes.
    used: u64,
    /// Those that are to get the signal, the largest first.
    largest: Vec<u32>,
}

fn heed(shared: &Shared, options: &SoftOom, seen: Seen) {
    let (used, limit, who) = (seen.used, options.limit_bytes, Who::default());
    let is_over = used >= limit;
    let over = if is_over { used } else { 0 };
    if (shared.soft_oom.swap(over, Ordering::Relaxed) > 0) != is_over {
        let what = if is_over { "new clients are refused" } else { "new clients may come" };
        let text = format_args!("used memory {used} bytes, the limit is {limit}: {what}");
        shared.log.error("soft-oom", &who, text);
    }
    let Some(drop) = options.drop.as_ref().filter(|_| is_over) else { return };
    for victim in seen.largest {
        let text = format_args!("sending {} signal to {victim}", drop.signal);
        shared.log.error("soft-oom", &who, text);
        if let Err(error) = process::signal(victim, drop.signal) {
            let text = format_args!("can't send signal to {victim}: {error}");
            shared.log.error("soft-oom", &who, text);
        }
    }
}

/// How much is in use. It blocks.
fn look(kernel: &Kernel<'_>, options: &SoftOom) -> io::Result<Seen> {
    let proc = kernel.proc;
    let used = match options.process.as_str() {
        "" => used_by_all(kernel)?,
        name => shares(proc, name)?.iter().map(|(share, _)| share).sum(),
    };
    let largest = match &options.drop {
        Some(SoftOomDrop { victims_max, .. }) if used >= options.limit_bytes => {
            let mut servers = shares(proc, SERVERS)?;
            servers.sort_unstable_by(|one, other| other.cmp(one));
            servers.into_iter().take(*victims_max).map(|(_, process)| process).collect()
        }
        _ => Vec::new(),
    };
    Ok(Seen { used, largest })
}

impl Kernel<'_> {
    fn ours() -> Self {
        Kernel { proc: Path::new("/proc"), groups: Path::new("/sys/fs/cgroup") }
    }
}

/// In the control group that bounds us, or else on the host.
fn used_by_all(kernel: &Kernel<'_>) -> io::Result<u64> {
    let text = fs::read_to_string(kernel.proc.join("meminfo"))?;
    let (all, free) = (figure(&text, "MemTotal:"), figure(&text, "MemAvailable:"));
    match (all, free) {
        (Some(all), Some(free)) => {
            let in_group = group::used(kernel.proc, kernel.groups, all);
            Ok(in_group.unwrap_or(all.saturating_sub(free)))
        }
        _ => Err(io::Error::other("meminfo is not as expected")),
    }
}

/// The memory of each process whose name has `part` in it, its part of what is shared included, in
/// bytes; and its process id. One that ends meanwhile, or is nobody's business, is left out.
fn shares(proc: &Path, part: &str) -> io::Result<Vec<(u64, u32)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(proc)? {
        let entry = entry?;
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if !name.trim_end().contains(part) {
            continue;
        }
        let maps = fs::read_to_string(entry.path().join("smaps_rollup")).unwrap_or_default();
        found.extend(figure(&maps, "Pss:").map(|share| (share, process)));
    }
    Ok(found)
}

/// A figure in kB, in bytes.
fn figure(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn options(limit_bytes: u64, process: &str, victims_max: usize) -> SoftOom {
        let drop = Some(SoftOomDrop { signal: 15, victims_max });
        let interval = Duration::from_secs(1);
        SoftOom { limit_bytes, process: process.into(), interval, drop }
    }

    fn new_proc(name: &str) -> std::path::PathBuf {
        let proc = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&proc).unwrap();
        for (process, name, kb) in
            [(7, "postgres", 100), (8, "postgres: x", 300), (9, "odyssey", 50), (10, "sh", 1)]
        {
            let dir = proc.join(process.to_string());
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("comm"), format!("{name}\n")).unwrap();
            fs::write(dir.join("smaps_rollup"), format!("Rss: 9 kB\nPss:  {kb} kB\n")).unwrap();
        }
        let text = "MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\n";
        fs::write(proc.join("meminfo"), text).unwrap();
        proc
    }

    /// Against Odyssey, which compares the kilobytes of the host with bytes.
    #[test]
    fn what_counts_is_summed_in_bytes_and_the_largest_are_found() {
        let proc = new_proc("pooler-soft-oom");
        let kernel = Kernel { proc: &proc, groups: &proc.join("groups") };
        let seen = |options: SoftOom| {
            let Seen { used, largest } = look(&kernel, &options).unwrap();
            (used / 1024, largest)
        };
        assert_eq!(seen(options(1, "", 0)), (600, vec![]));
        assert_eq!(seen(options(1 << 30, "", 5)), (600, vec![]), "below the limit");
        assert_eq!(seen(options(1, "ody", 1)), (50, vec![8]), "servers, whoever counts");
        assert_eq!(seen(options(1, "postgres", 9)), (400, vec![8, 7]));
        assert_eq!(seen(options(0, "nobody", 1)), (0, vec![8]));
        fs::create_dir_all(proc.join("groups/ours")).unwrap();
        fs::create_dir_all(proc.join("self")).unwrap();
        for (file, text) in [
            ("self/cgroup", "0::/ours\n"),
            ("groups/ours/memory.max", "512000\n"),
            ("groups/ours/memory.current", "102400\n"),
        ] {
            fs::write(proc.join(file), text).unwrap();
        }
        assert_eq!(seen(options(1, "", 0)), (100, vec![]), "of our control group");
        assert_eq!(seen(options(1, "postgres", 0)), (400, vec![]));
        fs::remove_dir_all(&proc).unwrap();
    }
}
