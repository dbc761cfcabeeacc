//! `cpu_affinity`: which worker runs on which processors.

use std::fmt;

/// What the option asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CpuAffinity {
    /// The kernel decides.
    #[default]
    Off,
    /// Each worker on a processor of its own, as long as there are enough; the first processor is
    /// left to everything else.
    Auto,
    /// As these say, in file order.
    Rules(Vec<AffinityRule>),
}

/// Processors for one worker or for all that have no rule of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffinityRule {
    /// Which one; None is all others.
    pub worker: Option<usize>,
    /// Numbers of processors, in order, each once; at least one.
    pub processors: Vec<usize>,
}

impl CpuAffinity {
    /// Where a worker is to run, of the processors that are `allowed` to the process; None leaves
    /// it to the kernel. Rules are taken at their word, allowed or not.
    pub fn of(&self, worker: usize, allowed: &[usize]) -> Option<Vec<usize>> {
        match self {
            CpuAffinity::Off => None,
            CpuAffinity::Auto => match allowed {
                [] => None,
                [only] => Some(vec![*only]),
                [_, others @ ..] => Some(vec![others[worker % others.len()]]),
            },
            CpuAffinity::Rules(rules) => {
                let exact = rules.iter().find(|rule| rule.worker == Some(worker));
                let rule = exact.or_else(|| rules.iter().find(|rule| rule.worker.is_none()));
                rule.map(|rule| rule.processors.clone())
            }
        }
    }
}

/// As it would be written, except that ranges are lists.
impl fmt::Display for CpuAffinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = match self {
            CpuAffinity::Off => return f.write_str("off"),
            CpuAffinity::Auto => return f.write_str("auto"),
            CpuAffinity::Rules(rules) => rules,
        };
        for (index, AffinityRule { worker, processors }) in rules.iter().enumerate() {
            f.write_str(if index == 0 { "worker" } else { " worker" })?;
            if let Some(worker) = worker {
                write!(f, "[{worker}]")?;
            }
            for (index, processor) in processors.iter().enumerate() {
                write!(f, "{}{processor}", if index == 0 { ':' } else { ',' })?;
            }
        }
        Ok(())
    }
}
