//! The table of metrics: each family once, with its name, its type, its labels, what it means and
//! where its numbers are. The page docs/metrics.md is written from it.
//!
//! Names are those of Odyssey's exporter where it has one for the thing. What is counted carries
//! `_total`, units are seconds and bytes.

mod hosts;
mod machines;
mod routes;
mod whole;

use super::snapshot::Snapshot;
use super::text::Samples;

/// One family.
pub struct Family {
    /// What it is called.
    pub name: &'static str,
    /// What its numbers are.
    pub kind: Kind,
    /// What its samples are told apart by.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
    /// Odyssey's exporter has it under this name.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the page, which a test writes"))]
    pub is_odysseys: bool,
    /// What it is about.
    pub about: About,
    /// Puts its samples.
    pub(super) read: fn(&Snapshot, &mut Samples<'_>),
}

/// What numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As it is now.
    Gauge,
    /// Since the start; it only grows.
    Counter,
    /// How many took how long.
    Histogram,
    /// Quantiles alone.
    Summary,
}

/// What a family is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The process.
    Process,
    /// Each database and user, or each database.
    Routes,
}

/// All of them, in the order of the page.
pub const FAMILIES: &[&[Family]] =
    &[whole::FAMILIES, hosts::FAMILIES, machines::FAMILIES, routes::FAMILIES];

impl Kind {
    /// In the words of the text formats.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        }
    }
}

type Read = fn(&Snapshot, &mut Samples<'_>);

const fn family(name: &'static str, kind: Kind, help: &'static str, read: Read) -> Family {
    let (labels, is_odysseys, about) = (&[], false, About::Process);
    Family { name, kind, labels, help, is_odysseys, about, read }
}

const fn gauge(name: &'static str, help: &'static str, read: Read) -> Family {
    family(name, Kind::Gauge, help, read)
}

const fn counter(name: &'static str, help: &'static str, read: Read) -> Family {
    family(name, Kind::Counter, help, read)
}

const fn histogram(name: &'static str, help: &'static str, read: Read) -> Family {
    family(name, Kind::Histogram, help, read)
}

const fn summary(name: &'static str, help: &'static str, read: Read) -> Family {
    family(name, Kind::Summary, help, read)
}

impl Family {
    const fn by(self, labels: &'static [&'static str]) -> Family {
        Family { labels, ..self }
    }

    const fn odysseys(self) -> Family {
        Family { is_odysseys: true, ..self }
    }

    const fn of_routes(self) -> Family {
        Family { about: About::Routes, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_follow_the_conventions() {
        let mut seen = BTreeSet::new();
        for family in FAMILIES.iter().copied().flatten() {
            let Family { name, kind, labels, help, .. } = family;
            assert!(seen.insert(name), "{name} is there twice");
            assert!(name.starts_with("odyssey_") || name.starts_with("process_"), "{name}");
            let word = |word: &str| {
                let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
                !word.is_empty() && word.bytes().all(letters)
            };
            assert!(word(name) && labels.iter().all(|label| word(label)), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(*kind != Kind::Histogram || name.ends_with("_seconds"), "{name}");
            assert!(help.ends_with('.') && !help.contains(['\n', '\\', '|']), "{name}: {help}");
        }
    }
}
