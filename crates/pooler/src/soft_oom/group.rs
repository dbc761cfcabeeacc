//! The control group that bounds our memory, as version 2 of Linux' groups tells it in files. It
//! only reads; of version 1 it knows nothing.

use std::fs;
use std::path::{Component, Path};

/// The bytes in use in the group with the least room that we are in, pages of files that wait to be
/// dropped not counted; None if no group has less room than the host's `host_bytes`.
pub(super) fn used(proc: &Path, groups: &Path, host_bytes: u64) -> Option<u64> {
    let ours = fs::read_to_string(proc.join("self/cgroup")).ok()?;
    let path = ours.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // Of a process that was moved out of what this mount shows.
    let is_shown = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    let path = groups.join(if is_shown { path } else { "" });
    let bounds = path.ancestors().take_while(|dir| dir.starts_with(groups)).filter_map(|dir| {
        let bound = number(dir, "memory.max")?; // "max" is none, and so is no file
        (bound < host_bytes).then_some((bound, dir))
    });
    let (_, dir) = bounds.min()?;
    let pages = fs::read_to_string(dir.join("memory.stat")).unwrap_or_default();
    let idle = pages.lines().find_map(|line| line.strip_prefix("inactive_file "));
    let idle = idle.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0);
    Some(number(dir, "memory.current")?.saturating_sub(idle))
}

fn number(dir: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST_BYTES: u64 = 1 << 30;

    fn put(dir: &Path, file: &str, text: &str) {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// `ours` is our path; the groups are a path, its limit and what is used.
    fn seen(ours: &str, groups: &[(&str, &str, u64)]) -> Option<u64> {
        let name = format!("pooler-group-{}-{}", std::process::id(), ours.replace('/', "_"));
        let root = std::env::temp_dir().join(name);
        put(&root, "proc/self/cgroup", &format!("4:memory:/v1\n0::{ours}\n"));
        for (path, max, current) in groups {
            let dir = root.join("groups").join(path);
            put(&dir, "memory.max", &format!("{max}\n"));
            put(&dir, "memory.current", &format!("{current}\n"));
            put(&dir, "memory.stat", "anon 5\ninactive_file 100\nactive_file 7\n");
        }
        let seen = used(&root.join("proc"), &root.join("groups"), HOST_BYTES);
        fs::remove_dir_all(&root).unwrap();
        seen
    }

    #[test]
    fn the_group_with_the_least_room_counts() {
        let pod = [("pod", "5000", 3000), ("pod/pooler", "max", 900), ("pod/other", "9", 8)];
        assert_eq!(seen("/pod/pooler", &pod), Some(2900));
        assert_eq!(seen("/pod", &pod), Some(2900));
        assert_eq!(seen("/pod/other", &pod), Some(0), "less than its own files");
        let inner = [("a", "5000", 3000), ("a/b", "4000", 900)];
        assert_eq!(seen("/a/b", &inner), Some(800));
        assert_eq!(seen("/", &[("", "5000", 300)]), Some(200), "in a container");
        assert_eq!(seen("/../a", &[("", "5000", 300)]), Some(200), "outside of what is shown");
    }

    #[test]
    fn without_less_room_than_the_host_there_is_no_group() {
        assert_eq!(seen("/", &[]), None);
        assert_eq!(seen("/a", &[("a", "max", 900)]), None);
        assert_eq!(seen("/a", &[("a", &HOST_BYTES.to_string(), 900)]), None);
        assert_eq!(seen("/gone/away", &[("a", "5", 900)]), None);
    }
}
