//! The process as the kernel sees it. It asks /proc, which may take its time, so not on a machine's
//! thread.

use std::fs;
use std::time::Duration;

use machine::Deadline;

/// A look at /proc that takes longer is done without.
const LOOK_MAX: Duration = Duration::from_millis(200);

/// Bytes of a page of memory, on the one platform there is.
const PAGE_BYTES: u64 = 4096;

/// What /proc says of us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Process {
    pub resident_bytes: u64,
    pub virtual_bytes: u64,
    pub descriptors: u64,
    /// Hundredths of a second, which is what Linux counts in whatever the clock does.
    pub cpu_cs: u64,
}

impl Process {
    /// None if it cannot be had in time.
    pub(super) fn look() -> Option<Process> {
        machine::offload(read, Deadline::after(LOOK_MAX)).ok().flatten()
    }
}

fn read() -> Option<Process> {
    let memory = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = memory.split_whitespace().map_while(|word| word.parse::<u64>().ok());
    let (size, resident) = (pages.next()?, pages.next()?);
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    Some(Process {
        resident_bytes: resident * PAGE_BYTES,
        virtual_bytes: size * PAGE_BYTES,
        descriptors: fs::read_dir("/proc/self/fd").ok()?.count() as u64,
        cpu_cs: cpu_cs(&stat)?,
    })
}

/// Time in user and in kernel mode: the 14th and 15th field. The second is the program's name in
/// parentheses, which may hold anything.
fn cpu_cs(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let fields = behind_name.split_whitespace().skip(11).take(2);
    fields.map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_looked_at() {
        let process = read().unwrap();
        assert!(process.resident_bytes > 1 << 20 && process.virtual_bytes > process.resident_bytes);
        assert!(process.descriptors > 2);
        let stat = "7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 30 12 13";
        assert_eq!(cpu_cs(stat), Some(42));
        assert_eq!(cpu_cs("nonsense"), None);
    }
}
