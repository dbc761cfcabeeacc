//! `cpu_affinity`: which worker runs on which processors.

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
