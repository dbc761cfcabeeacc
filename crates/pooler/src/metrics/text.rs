//! The text formats of Prometheus (0.0.4) and OpenMetrics (1.0). They differ in the names of
//! counters' families, in how a bound is written, and in the last line.

use std::fmt::{Display, Write as _};

use super::families::{Family, Kind};
use super::snapshot::Snapshot;
use crate::turns::Turns;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format 0.0.4 of Prometheus.
    Plain,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// A page that is being written.
pub(super) struct Text {
    format: Format,
    text: String,
    /// Others have a turn now and then: a page of many routes takes milliseconds.
    turns: Turns,
}

/// Where a family puts its samples.
pub(super) struct Samples<'a> {
    page: &'a mut Text,
    family: &'static Family,
}

/// The steps of a histogram: the upper bound in seconds of each but the last, and how many are in
/// each.
pub(super) struct Steps<B, N> {
    pub bounds_s: B,
    pub counts: N,
    pub total_s: f64,
}

impl Format {
    /// What an HTTP client is told that it gets.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Plain => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Text {
    pub(super) fn new(format: Format) -> Text {
        Text { format, text: String::new(), turns: Turns::default() }
    }

    /// One family with all its samples.
    pub(super) fn family(&mut self, family: &'static Family, snapshot: &Snapshot) {
        let name = match self.format {
            Format::OpenMetrics => family.name.strip_suffix("_total").unwrap_or(family.name),
            Format::Plain => family.name,
        };
        self.line(format_args!("# HELP {name} {}", family.help));
        self.line(format_args!("# TYPE {name} {}", family.kind.word()));
        (family.read)(snapshot, &mut Samples { page: self, family });
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.line(format_args!("# EOF"));
        }
        self.text
    }

    // Writing to a String cannot fail.
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.text, "{line}");
    }
}

impl Samples<'_> {
    /// The one number of a family without labels.
    pub(super) fn one(&mut self, value: impl Display) {
        self.put(&[], value);
    }

    /// A number; the labels in the order of the family's.
    pub(super) fn put(&mut self, labels: &[&str], value: impl Display) {
        self.sample("", labels, None, value);
    }

    pub(super) fn histogram<B, N>(&mut self, labels: &[&str], steps: Steps<B, N>)
    where
        B: IntoIterator<Item = f64>,
        N: IntoIterator<Item = u64>,
    {
        debug_assert_eq!(self.family.kind, Kind::Histogram, "{}", self.family.name);
        self.page.turns.round();
        let (mut bounds, mut count) = (steps.bounds_s.into_iter(), 0);
        for n in steps.counts {
            count += n;
            let bound = bounds.next().map_or_else(|| "+Inf".to_owned(), |s| self.bound(s));
            self.sample("_bucket", labels, Some(&bound), count);
        }
        self.sample("_sum", labels, None, steps.total_s);
        self.sample("_count", labels, None, count);
    }

    /// OpenMetrics wants to see that it is no integer.
    fn bound(&self, seconds: f64) -> String {
        match self.page.format {
            Format::OpenMetrics if seconds.fract() == 0.0 => format!("{seconds:.1}"),
            _ => seconds.to_string(),
        }
    }

    fn sample(&mut self, suffix: &str, labels: &[&str], bound: Option<&str>, value: impl Display) {
        let names = self.family.labels;
        debug_assert_eq!(labels.len(), names.len(), "the labels of {}", self.family.name);
        let text = &mut self.page.text;
        text.push_str(self.family.name);
        text.push_str(suffix);
        let pairs = names.iter().copied().zip(labels.iter().copied());
        let mut separator = '{';
        for (name, value) in pairs.chain(bound.map(|bound| ("le", bound))) {
            text.push(separator);
            text.push_str(name);
            text.push_str("=\"");
            escape(text, value);
            text.push('"');
            separator = ',';
        }
        if separator == ',' {
            text.push('}');
        }
        self.page.line(format_args!(" {value}"));
    }
}

/// The value of a label.
fn escape(text: &mut String, value: &str) {
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_out_of_its_label() {
        let mut text = String::new();
        escape(&mut text, "a\"} 1\nb\\");
        assert_eq!(text, "a\\\"} 1\\nb\\\\");
    }
}
