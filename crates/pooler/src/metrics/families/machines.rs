//! Metrics of the machines and of the threads for what blocks.

use machine::MachineStats;

use super::{Family, counter, gauge, histogram};
use crate::metrics::snapshot::Snapshot;
use crate::metrics::text::{Samples, Steps};

pub(super) const FAMILIES: &[Family] = &[
    histogram(
        "odyssey_machine_turn_seconds",
        "Length of the turns of a machine's loop: for so long it saw nothing of the world.",
        |it, out| {
            for (machine, stats) in it.machines.iter().enumerate() {
                out.histogram(&[&machine.to_string()], turns(stats));
            }
        },
    )
    .by(MACHINE),
    gauge("odyssey_machine_clients", "Clients of a machine.", |it, out| {
        each(it, out, |stats| stats.seats);
    })
    .by(MACHINE),
    counter("odyssey_machine_connections_total", "Clients that came to a machine.", |it, out| {
        for (machine, roster) in it.shared.rosters.iter().enumerate() {
            out.put(&[&machine.to_string()], roster.arrived());
        }
    })
    .by(MACHINE),
    gauge(
        "odyssey_machine_coroutines",
        "Coroutines by state: live (with a stack), cached (stacks to spare), parked (sessions \
         without a stack), starved (due, and no stack to be had).",
        |it, out| {
            for (machine, stats) in it.machines.iter().enumerate() {
                let machine = machine.to_string();
                out.put(&[&machine, "live"], stats.coroutines_live);
                out.put(&[&machine, "cached"], stats.coroutines_cached);
                out.put(&[&machine, "parked"], stats.sessions_parked);
                out.put(&[&machine, "starved"], stats.starved);
            }
        },
    )
    .by(&["machine", "state"]),
    gauge("odyssey_machine_sockets", "Sockets of a machine.", |it, out| {
        each(it, out, |stats| stats.sockets);
    })
    .by(MACHINE),
    gauge("odyssey_machine_timers", "Deadlines that are waited for.", |it, out| {
        each(it, out, |stats| stats.timers);
    })
    .by(MACHINE),
    counter("odyssey_machine_wakeups_total", "Coroutines and sessions woken.", |it, out| {
        each(it, out, |stats| stats.wakeups);
    })
    .by(MACHINE),
    counter("odyssey_machine_sleeps_total", "Times a machine had nothing to do.", |it, out| {
        each(it, out, |stats| stats.sleeps);
    })
    .by(MACHINE),
    counter("odyssey_machine_panics_total", "Sessions that ended by a panic.", |it, out| {
        each(it, out, |stats| stats.panics);
    })
    .by(MACHINE),
    gauge("odyssey_offload_queued", "Blocking calls that wait for a thread.", |it, out| {
        out.one(it.offload.queued);
    }),
    gauge("odyssey_offload_working", "Blocking calls under way.", |it, out| {
        out.one(it.offload.working);
    }),
    counter("odyssey_offload_refused_total", "Blocking calls refused for a full queue.", {
        |it, out| out.one(it.offload.refused)
    }),
];

const MACHINE: &[&str] = &["machine"];

fn each(snapshot: &Snapshot, out: &mut Samples<'_>, of: fn(&MachineStats) -> u64) {
    for (machine, stats) in snapshot.machines.iter().enumerate() {
        out.put(&[&machine.to_string()], of(stats));
    }
}

/// Octaves of microseconds; the first ones, in which nothing happens, are one step.
fn turns(stats: &MachineStats) -> Steps<Vec<f64>, Vec<u64>> {
    const FIRST: usize = 4; // 16 µs
    let last = machine::TURN_OCTAVES - 1;
    let bounds_s = (FIRST..last).map(|octave| (1_u64 << octave) as f64 / 1e6).collect();
    let small = stats.turns[..=FIRST].iter().sum();
    let counts = std::iter::once(small).chain(stats.turns[FIRST + 1..].iter().copied()).collect();
    Steps { bounds_s, counts, total_s: stats.turns_ns as f64 / 1e9 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_step_more_than_bounds_and_nothing_is_lost() {
        let stats = MachineStats {
            turns: std::array::from_fn(|octave| octave as u64),
            ..MachineStats::default()
        };
        let Steps { bounds_s, counts, .. } = turns(&stats);
        assert_eq!(counts.len(), bounds_s.len() + 1);
        assert_eq!(counts.iter().sum::<u64>(), stats.turns.iter().sum::<u64>());
        assert_eq!((bounds_s[0], counts[0]), (16e-6, 10));
    }
}
