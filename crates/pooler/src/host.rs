//! The host watcher (`enable_host_watcher`): each second, how busy the processors of the host are
//! and how full its memory is. It asks /proc and changes nothing.

use std::fs;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use machine::Deadline;

use crate::log::Who;
use crate::shared::Shared;

const PERIOD: Duration = Duration::from_secs(1);

/// How much of the host is in use, in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Utilization {
    /// Of all processors, in the last second.
    pub cpu: f64,
    /// Of the memory.
    pub memory: f64,
}

/// What was seen last; zeroes before, and when nobody watches.
#[derive(Debug, Default)]
pub struct Host(Mutex<Utilization>);

impl Host {
    /// As of the last second.
    pub fn utilization(&self) -> Utilization {
        *self.0.lock().expect("nothing panics under this lock")
    }

    fn set(&self, seen: Utilization) {
        *self.0.lock().expect("nothing panics under this lock") = seen;
    }
}

/// Runs as a coroutine; unless the option is set it ends at once.
pub(crate) fn run(shared: &Arc<Shared>) {
    if !shared.config().global.enable_host_watcher {
        return;
    }
    let who = Who::default();
    shared.log.info("host-watcher", &who, format_args!("host watcher started"));
    let mut before = Ticks::default();
    while machine::sleep(PERIOD).is_ok() {
        match machine::offload(look, Deadline::NEVER) {
            Ok(Ok((ticks, memory))) => {
                let seen = Utilization { cpu: ticks.busy_since(before), memory };
                before = ticks;
                shared.host.set(seen);
                let Utilization { cpu, memory } = shared.host.utilization();
                let text = format_args!("update values to: {cpu:.2}% cpu and {memory:.2}% mem");
                shared.log.info("host-watcher", &who, text);
            }
            Ok(Err(error)) => {
                shared.log.error("host-watcher", &who, format_args!("/proc: {error}"));
            }
            Err(machine::Error::Cancelled) => return,
            Err(_) => {} // too much to do; a second later there may be less
        }
    }
}

fn look() -> io::Result<(Ticks, f64)> {
    let unknown = || io::Error::other("not as expected");
    let ticks = Ticks::read(&fs::read_to_string("/proc/stat")?).ok_or_else(unknown)?;
    let memory = memory_in_use(&fs::read_to_string("/proc/meminfo")?).ok_or_else(unknown)?;
    Ok((ticks, memory))
}

/// What all processors did since the host was started, in clock ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ticks {
    all: u64,
    idle: u64,
}

impl Ticks {
    /// From /proc/stat: user, nice, system, idle, waiting for disks, two kinds of interrupts,
    /// stolen. What follows is counted in user and nice already.
    fn read(stat: &str) -> Option<Ticks> {
        let fields = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Option<Vec<u64>> =
            fields.split_whitespace().take(8).map(|field| field.parse().ok()).collect();
        let ticks = ticks?;
        let idle = ticks.get(3)? + ticks.get(4).unwrap_or(&0);
        Some(Ticks { all: ticks.iter().sum(), idle })
    }

    fn busy_since(self, before: Ticks) -> f64 {
        let all = self.all.saturating_sub(before.all);
        let idle = self.idle.saturating_sub(before.idle).min(all);
        if all == 0 { 0.0 } else { (all - idle) as f64 / all as f64 * 100.0 }
    }
}

/// From /proc/meminfo, in percent.
fn memory_in_use(meminfo: &str) -> Option<f64> {
    let kib = |name: &str| -> Option<f64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let (total, available) = (kib("MemTotal:")?, kib("MemAvailable:")?);
    (total > 0.0).then(|| (total - available) / total * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_what_is_not_idle() {
        let first = Ticks::read("cpu  10 0 10 70 10 0 0 0 5 0\ncpu0 1 2 3\n").unwrap();
        assert_eq!(first, Ticks { all: 100, idle: 80 });
        let later = Ticks { all: 300, idle: 130 };
        assert_eq!(later.busy_since(first), 75.0);
        assert_eq!((first.busy_since(first), first.busy_since(later)), (0.0, 0.0));
        assert_eq!(Ticks::read("nonsense"), None);
        let text = "MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:   250 kB\n";
        assert_eq!(memory_in_use(text), Some(75.0));
        assert_eq!(memory_in_use("MemTotal: 1000 kB\n"), None);
    }

    #[test]
    fn this_host_can_be_looked_at() {
        let (ticks, memory) = look().unwrap();
        assert!(ticks.all > ticks.idle && memory > 0.0 && memory < 100.0);
    }
}
