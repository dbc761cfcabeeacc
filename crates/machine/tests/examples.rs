//! Every example prints what its header says: each is run as a user would run it, and its output is
//! held against the `text` block above its code, where `…` stands for anything on its line.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

fn examples() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    files.sort();
    files
}

/// Where cargo puts examples: beside the directory of the test that runs.
fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    this.parent().and_then(Path::parent).unwrap().join("examples").join(name)
}

/// The header's block of what will be seen.
fn promised(source: &str) -> Vec<&str> {
    let header = source.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let block = header.skip_while(|line| *line != "```text").skip(1);
    block.take_while(|line| *line != "```").collect()
}

fn keeps(promise: &str, line: &str) -> bool {
    match promise.split_once('…') {
        None => promise == line,
        Some((before, after)) => {
            line.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).is_some()
        }
    }
}

#[test]
fn every_example_prints_what_its_header_says() {
    for path in examples() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let source = fs::read_to_string(&path).unwrap();
        let promised = promised(&source);
        assert!(!promised.is_empty(), "{name}: its header says what will be seen");
        let output = Command::new(program(name)).output();
        let output = output.unwrap_or_else(|error| panic!("{name}: {error}"));
        let printed = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = printed.lines().collect();
        let kept = lines.len() == promised.len()
            && promised.iter().zip(&lines).all(|(promise, line)| keeps(promise, line));
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(kept, "{name}: promised {promised:#?}, printed {lines:#?}, {complaints}");
        assert!(output.status.success(), "{name}: {complaints}");
    }
}

/// A real client fetches from a real server through the proxy that is not PostgreSQL's.
#[test]
fn curl_fetches_through_the_socks_proxy() {
    let dir = std::env::temp_dir().join(format!("socks-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let page: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    fs::write(dir.join("page"), &page).unwrap();
    let mut python = Command::new("python3");
    python.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "-d"]).arg(&dir);
    let (_server, port) = started(&mut python, |line| {
        line.split_once(" port ").and_then(|(_, rest)| rest.split(' ').next())
    });
    let mut proxy = Command::new(program("13_socks5"));
    let (_proxy, proxy_port) =
        started(proxy.arg("127.0.0.1:0"), |line| line.trim().rsplit(':').next());
    let fetch = |host: &str, port: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "30", "--socks5-hostname"]);
        curl.arg(format!("127.0.0.1:{proxy_port}")).arg(format!("http://{host}:{port}/page"));
        curl.output().unwrap()
    };
    for host in ["localhost", "127.0.0.1"] {
        let got = fetch(host, &port);
        assert!(got.stdout == page, "{host}: {}", String::from_utf8_lossy(&got.stderr));
    }
    let refused = fetch("no-such-host.invalid", &port);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("(4)"), "host unreachable");
    fs::remove_dir_all(&dir).unwrap();
}

/// A child that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it, and takes its port from the first line it prints.
fn started(command: &mut Command, port: impl Fn(&str) -> Option<&str>) -> (Running, String) {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut running = Running(child);
    let mut line = String::new();
    BufReader::new(running.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let port = port(&line).unwrap_or_else(|| panic!("no port in {line:?}")).to_owned();
    (running, port)
}

/// A reader sees one idea at a time, and always the same four headings.
#[test]
fn every_example_is_short_and_says_how_to_run_it() {
    let examples = examples();
    for (index, path) in examples.iter().enumerate() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let source = fs::read_to_string(path).unwrap();
        for heading in ["//! Teaches: ", "//! Run: ", "//! ```text", "//! Try: "] {
            assert!(source.contains(heading), "{name} lacks {heading:?}");
        }
        assert!(source.contains(&format!("--example {name}")), "{name}: the command to run it");
        assert!(name.starts_with(&format!("{:02}_", index + 1)), "{name}: a rung is missing");
        let lines_max = if index < 11 { 80 } else { 200 };
        assert!(source.lines().count() <= lines_max, "{name} has more than {lines_max} lines");
    }
}
