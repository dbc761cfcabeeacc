//! The pulse: whether all machines turn. Each is given something small to do; one that has not done
//! it when the next is due is hung. It is asked from outside, by a thread that is no machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use machine::MachineHandle;

/// The machines and their answers.
pub(crate) struct Pulse {
    machines: Vec<(MachineHandle, Arc<AtomicU64>)>,
    beats: u64,
}

impl Pulse {
    /// Nobody was asked yet.
    pub(crate) fn of(machines: &[MachineHandle]) -> Self {
        let machines = machines.iter().map(|machine| (machine.clone(), Arc::default())).collect();
        Self { machines, beats: 0 }
    }

    /// The machines that have not answered the last beat; if there are none, they are asked again.
    pub(crate) fn beat(&mut self) -> Vec<usize> {
        let late = |(_, answer): &&(_, Arc<AtomicU64>)| answer.load(Ordering::Relaxed) < self.beats;
        let hung = self.machines.iter().filter(late).map(|(machine, _)| machine.index());
        let hung: Vec<usize> = hung.collect();
        if hung.is_empty() {
            self.beats += 1;
            for (machine, answer) in &self.machines {
                let (theirs, beat) = (Arc::clone(answer), self.beats);
                let asked = machine.spawn("pulse", move || theirs.store(beat, Ordering::Relaxed));
                if asked.is_err() {
                    answer.store(beat, Ordering::Relaxed); // it ends, and answers nobody
                }
            }
        }
        hung
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::{Engine, EngineConfig};
    use std::sync::mpsc::channel;

    /// Against a watchdog that is fed by a thread of its own, whatever the machines do.
    #[test]
    fn a_machine_that_does_not_turn_is_seen() {
        let config = EngineConfig { machines: 2, ..EngineConfig::default() };
        let engine = Engine::start(config).expect("one engine a process");
        let mut pulse = Pulse::of(engine.machines());
        assert_eq!(pulse.beat(), [0; 0]);
        let (release, blocked) = channel::<()>();
        let wait = move || {
            let _ = blocked.recv();
        };
        let blocks = engine.machines()[1].spawn("hung", wait);
        assert!(blocks.is_ok());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while pulse.beat() != [1] {
            assert!(std::time::Instant::now() < deadline, "the hung machine is not seen");
            std::thread::yield_now();
        }
        drop(release);
        while !pulse.beat().is_empty() {
            assert!(std::time::Instant::now() < deadline, "it turns again, and is not seen");
            std::thread::yield_now();
        }
        engine.shutdown();
    }
}
