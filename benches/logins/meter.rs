//! What a process used, as the kernel counts it, and how long its loops turned, as it says itself.

use std::cmp::Ordering;
use std::error::Error;
use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The histogram of turns, of all machines: bounds in seconds, and how many were at most that long.
pub type Turns = Vec<(f64, f64)>;

const TURNS: &str = "odyssey_machine_turn_seconds_bucket{";

/// How long a loop was busy at a time in a round.
#[derive(PartialEq)]
pub struct Lag {
    /// 99 of 100 turns were at most that long; a bound of the histogram.
    p99_s: f64,
    /// None was longer.
    most_s: f64,
}

impl Lag {
    /// Of what came to the histogram between two looks.
    pub fn between(before: &Turns, after: &Turns) -> Lag {
        let came: Turns = after
            .iter()
            .zip(before)
            .map(|((bound, after), (_, before))| (*bound, after - before))
            .collect();
        let all = came.last().map_or(0.0, |(_, count)| *count);
        let reaches = |part: f64| {
            let place = came.iter().find(|(_, count)| *count >= part * all);
            place.map_or(f64::INFINITY, |(bound, _)| *bound)
        };
        Lag { p99_s: reaches(0.99), most_s: reaches(1.0) }
    }
}

impl Eq for Lag {}

impl PartialOrd for Lag {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Lag {
    fn cmp(&self, other: &Self) -> Ordering {
        self.p99_s.total_cmp(&other.p99_s).then(self.most_s.total_cmp(&other.most_s))
    }
}

impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.2} (most {:.2}) ms", self.p99_s * 1e3, self.most_s * 1e3);
        f.pad(&text)
    }
}

/// CPU of another process so far, the threads that live.
pub fn cpu_of(process: u32) -> Result<Duration, Box<dyn Error>> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanos += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// The turns so far of the loops of a pooler. It blocks; nobody else is there yet.
pub fn turns(metrics: SocketAddr) -> Result<Turns, Box<dyn Error>> {
    let mut stream = TcpStream::connect(metrics)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let mut turns = Turns::new();
    for line in text.lines().filter_map(|line| line.strip_prefix(TURNS)) {
        let (labels, count) = line.rsplit_once(' ').ok_or("a line without a number")?;
        let bound = labels.split("le=\"").nth(1).and_then(|rest| rest.split('"').next());
        let bound = bound.ok_or("a bucket without a bound")?.replace("+Inf", "inf").parse()?;
        let count: f64 = count.parse()?;
        match turns.iter_mut().find(|(other, _)| *other == bound) {
            Some((_, sum)) => *sum += count,
            None => turns.push((bound, count)),
        }
    }
    turns.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(turns)
}

/// Ties this process to the last processor.
pub fn pin_to_the_last() -> std::io::Result<()> {
    let processors = machine::process::processors()?;
    machine::process::pin(&processors[processors.len().saturating_sub(1)..])
}
