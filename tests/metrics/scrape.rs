//! A scraper: GETs, and a parser of the two text formats that takes nothing but what is in their
//! specifications.

use crate::support::{PATIENCE, Pooler, until};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;

/// An answer of the pooler.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: String,
    pub body: String,
}

/// One request on a connection of its own.
pub fn ask(port: u16, request: &str) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the port is open");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes); // a reset may follow the answer
    let text = String::from_utf8(bytes).unwrap();
    let (headers, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = headers.get(9..12).unwrap_or_default().parse().unwrap_or(0);
    Answer { status, headers: headers.to_owned(), body: body.to_owned() }
}

pub fn get(port: u16, path: &str) -> Answer {
    get_as(port, path, "*/*")
}

pub fn get_as(port: u16, path: &str, accept: &str) -> Answer {
    let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n");
    ask(port, &format!("{head}Connection: close\r\n\r\n"))
}

/// What a page of metrics says.
#[derive(Debug, Default)]
pub struct Page {
    /// Families and their types.
    pub families: BTreeMap<String, String>,
    /// Samples, by name and labels as they are written.
    pub samples: BTreeMap<String, f64>,
}

/// The metrics of the pooler, which are well formed.
pub fn scrape(port: u16) -> Page {
    let answer = get(port, "/metrics");
    assert_eq!(answer.status, 200, "{}", answer.headers);
    assert!(answer.headers.contains("Content-Type: text/plain; version=0.0.4"));
    Page::parse(&answer.body, false)
}

/// A pooler with a port for scrapers.
pub fn start(setup: &crate::support::Setup) -> (Pooler, u16) {
    let port = crate::support::process::free_port();
    let pooler = setup.clone().global(&format!("promhttp_server_port {port}")).start();
    wait_for(port);
    (pooler, port)
}

/// It opens behind the ports for clients.
pub fn wait_for(port: u16) {
    until("the port to be open", PATIENCE, || {
        TcpStream::connect(("127.0.0.1", port)).ok().map(drop)
    });
}

impl Page {
    pub fn parse(text: &str, open: bool) -> Page {
        let mut page = Page::default();
        let (mut family, mut kind, mut seen) = (String::new(), String::new(), BTreeSet::new());
        assert!(text.ends_with('\n'), "the last line ends");
        let body = if open { text.strip_suffix("# EOF\n").expect("# EOF") } else { text };
        for line in body.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                family = help.split_once(' ').expect("a name and its help").0.to_owned();
                assert!(seen.insert(family.clone()), "{family} is in one piece");
            } else if let Some(typed) = line.strip_prefix("# TYPE ") {
                let (name, word) = typed.split_once(' ').expect("a name and a type");
                assert_eq!(name, family, "TYPE follows HELP");
                kind = word.to_owned();
                page.families.insert(name.to_owned(), kind.clone());
            } else {
                page.sample(line, &family, &kind, open);
            }
        }
        page.check_histograms();
        page
    }

    fn sample(&mut self, line: &str, family: &str, kind: &str, open: bool) {
        let (series, value) = line.rsplit_once(' ').expect("a name and a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        check_labels(labels.strip_suffix('}').expect("labels end"), series);
        let suffixes: &[&str] = match kind {
            "histogram" => &["_bucket", "_sum", "_count"],
            "counter" if open => &["_total"],
            "counter" | "gauge" | "summary" => &[""],
            other => panic!("{family} is a {other}"),
        };
        let suffix = name.strip_prefix(family).unwrap_or("of another family");
        assert!(suffixes.contains(&suffix), "{line} belongs to {family}, {kind}");
        let number: f64 = value.parse().unwrap_or_else(|_| panic!("{line} has a number"));
        assert!(kind == "gauge" || number >= 0.0, "{line}");
        let before = self.samples.insert(series.to_owned(), number);
        assert!(before.is_none(), "{series} is there twice");
    }

    /// Steps grow, end in +Inf, and the last is the count.
    fn check_histograms(&self) {
        let mut last: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        let bounds = self.samples.iter().filter_map(|(series, count)| {
            let (name, rest) = series.split_once("_bucket{")?;
            let (labels, bound) = rest.split_once("le=\"")?;
            let bound = bound.trim_end_matches("\"}");
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
            Some((format!("{name}_count{{{}}}", labels.trim_end_matches(',')), bound, *count))
        });
        let mut steps: Vec<_> = bounds.collect();
        steps.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        for (series, bound, count) in steps {
            let (_, below) = last.insert(series.clone(), (bound, count)).unwrap_or((0.0, 0.0));
            assert!(count >= below, "{series} falls at {bound}");
        }
        for (series, (bound, count)) in last {
            assert!(bound.is_infinite(), "{series} ends in +Inf");
            assert_eq!(self.samples.get(&series), Some(&count), "{series}");
        }
    }

    /// A sample, by its name and labels.
    #[track_caller]
    pub fn value(&self, series: &str) -> f64 {
        *self.samples.get(series).unwrap_or_else(|| panic!("no {series}"))
    }

    /// A sample of a database, user `app`.
    #[track_caller]
    pub fn of(&self, name: &str, database: &str) -> f64 {
        self.value(&format!("{name}{{user=\"app\",database=\"{database}\"}}"))
    }
}

/// `name="value",…` with escapes.
fn check_labels(labels: &str, series: &str) {
    let mut rest = labels;
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("{series}"));
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{series}");
        let mut letters = value.char_indices();
        let end = loop {
            match letters.next().unwrap_or_else(|| panic!("{series} ends its labels")) {
                (_, '\\') => {
                    let escaped = letters.next().map(|(_, letter)| letter);
                    assert!(matches!(escaped, Some('\\' | '"' | 'n')), "{series}");
                }
                (at, '"') => break at,
                _ => {}
            }
        };
        rest = &value[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}
