//! The language of `cpu_affinity`: `off`, `auto`, or rules such as `worker[0]:2 worker:4-7,12`.

use std::collections::BTreeSet;

use crate::model::{AffinityRule, CpuAffinity};

const RULES_MAX: usize = 128; // Odyssey's
const PROCESSORS_MAX: usize = 1024; // of a set of the C library

/// A rule of Odyssey may name the threads that shake hands; there have never been such.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Worker,
    Handshake,
}

/// # Errors
/// Odyssey's words about it.
pub(super) fn parse(text: &str) -> Result<CpuAffinity, String> {
    match text {
        "off" | "no" => return Ok(CpuAffinity::Off),
        "auto" | "yes" => return Ok(CpuAffinity::Auto),
        _ => {}
    }
    let mut seen: Vec<(Role, Option<usize>)> = Vec::new();
    let mut rules = Vec::new();
    for word in text.split([' ', '\t']).filter(|word| !word.is_empty()) {
        if seen.len() == RULES_MAX {
            return Err("can't parse affinity config: too many rules".into());
        }
        let (role, rule) = rule(word)?;
        if seen.contains(&(role, rule.worker)) {
            return Err(format!("rule '{word}' duplicated"));
        }
        seen.push((role, rule.worker));
        if role == Role::Worker {
            rules.push(rule);
        }
    }
    match seen.is_empty() {
        true => Err("can't parse affinity config: empty rules".into()),
        false => Ok(CpuAffinity::Rules(rules)),
    }
}

/// `worker:0-3` or `worker[1]:8`.
fn rule(word: &str) -> Result<(Role, AffinityRule), String> {
    let failed = || format!("can't parse affinity rule '{word}'");
    let (head, set) = word.split_once(':').ok_or_else(failed)?;
    let (name, worker) = match head.split_once('[') {
        None => (head, None),
        Some((name, rest)) => {
            let digits = rest.strip_suffix(']').ok_or_else(failed)?;
            (name, Some(number(digits).ok_or_else(failed)?))
        }
    };
    let role = match name {
        "worker" => Role::Worker,
        "handshake" => Role::Handshake,
        _ => return Err(failed()),
    };
    let processors = processors(set).ok_or_else(|| format!("can't convert '{set}' to cpuset"))?;
    Ok((role, AffinityRule { worker, processors }))
}

/// `0-3,8`, without blanks.
fn processors(set: &str) -> Option<Vec<usize>> {
    let mut all = BTreeSet::new();
    for part in set.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last || last >= PROCESSORS_MAX {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all.into_iter().collect())
}

/// Digits and nothing else.
fn number(text: &str) -> Option<usize> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_processors() {
        for (text, expected) in [
            ("0", Some(vec![0])),
            ("2,4,6", Some(vec![2, 4, 6])),
            ("5-7,1-3", Some(vec![1, 2, 3, 5, 6, 7])),
            ("0-2,1-3,3", Some(vec![0, 1, 2, 3])),
            ("1023", Some(vec![1023])),
            ("1024", None),
            ("0-1024", None),
            ("2-1", None),
            ("", None),
            (",", None),
            ("0,", None),
            ("0,,1", None),
            ("-1", None),
            ("1-", None),
            ("1--2", None),
            ("+1", None),
            ("1x", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(processors(text), expected, "{text}");
        }
    }

    #[test]
    fn affinities() {
        let said = |text: &str| parse(text).unwrap_err();
        assert_eq!((parse("off"), parse("no")), (Ok(CpuAffinity::Off), Ok(CpuAffinity::Off)));
        assert_eq!((parse("auto"), parse("yes")), (Ok(CpuAffinity::Auto), Ok(CpuAffinity::Auto)));
        let rules = parse("worker:0-1\tworker[1]:3  handshake:7").unwrap();
        let places: Vec<_> = (0..3).map(|worker| rules.of(worker, &[])).collect();
        assert_eq!(places, [Some(vec![0, 1]), Some(vec![3]), Some(vec![0, 1])]);
        assert_eq!(rules.to_string(), "worker:0,1 worker[1]:3");
        assert_eq!(parse(&rules.to_string()), Ok(rules));
        assert_eq!(parse("worker[1]:3").unwrap().of(0, &[]), None);
        assert_eq!(said(" \t"), "can't parse affinity config: empty rules");
        assert_eq!(said("worker:0 worker:1"), "rule 'worker:1' duplicated");
        assert_eq!(said("worker[0]:a"), "can't convert 'a' to cpuset");
        for bad in ["workers:0", "worker", "worker[]:0", "worker[-1]:0", "worker[0:0", ":0", "on"] {
            assert_eq!(said(bad), format!("can't parse affinity rule '{bad}'"));
        }
        let many: String = (0..129).map(|n| format!("worker[{n}]:0 ")).collect();
        assert_eq!(said(&many), "can't parse affinity config: too many rules");
    }

    /// Worker i on processor 1 + i mod (n - 1), of those we may use.
    #[test]
    fn auto_leaves_the_first_processor_alone() {
        let places = |allowed: &[usize]| -> Vec<Option<Vec<usize>>> {
            (0..3).map(|worker| CpuAffinity::Auto.of(worker, allowed)).collect()
        };
        assert_eq!(places(&[0, 1, 2]), [Some(vec![1]), Some(vec![2]), Some(vec![1])]);
        assert_eq!(places(&[4]), [Some(vec![4]), Some(vec![4]), Some(vec![4])]);
        assert_eq!(places(&[]), [None, None, None]);
        assert_eq!(CpuAffinity::Off.of(0, &[0, 1]), None);
    }
}
