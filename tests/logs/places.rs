//! Places for lines that fail: full, gone, asleep. Nobody waits for them, what is lost is counted
//! and told, and what works again is used again.

use super::serves;
use crate::metrics::scrape;
use crate::support::process::{free_port, new_dir, signal, write};
use crate::support::{PATIENCE, Pooler, Setup, let_pass, until};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use std::fs;
use std::io::{PipeReader, Read};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A directory that goes with its test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        Scratch(new_dir("log-test"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn logging(option: &str) -> Setup {
    Setup::transaction(2).global(option)
}

/// The N of `N lines lost`, all of them together.
fn told_lost(log: &str) -> usize {
    let count = |line: &str| -> Option<usize> {
        let (before, _) = line.split_once(" lines lost: ")?;
        before.rsplit(' ').next()?.parse().ok()
    };
    log.lines().filter_map(count).sum()
}

/// As the metrics have it.
fn dropped(port: u16) -> usize {
    scrape::scrape(port).samples["odyssey_log_lines_dropped_total"] as usize
}

#[test]
fn a_full_disk_harms_nobody() {
    let (pooler, port) = scrape::start(&logging("log_file \"/dev/full\""));
    serves(&pooler, 50);
    pooler.wait_for_line("log file '/dev/full' takes no lines: No space left on device");
    until("the loss to be counted", PATIENCE, || (dropped(port) > 0).then_some(()));
    pooler.stop();
}

/// A limit of the file's size is a disk that is full at a chosen moment. Against a process that
/// dies of SIGXFSZ, and against a line that is glued to the half of one before.
#[test]
fn when_there_is_room_again_the_loss_is_told() {
    let scratch = Scratch::new();
    let file = scratch.0.join("odyssey.log");
    let (pooler, port) = scrape::start(&logging(&format!("log_file \"{}\"", file.display())));
    let pid = Pid::from_raw(pooler.pid() as i32).unwrap();
    serves(&pooler, 1);
    pooler.wait_for_line("client disconnected");
    let limit = |current| {
        let free = Rlimit { current, maximum: None };
        prlimit(Some(pid), Resource::Fsize, free).unwrap();
    };
    let size = fs::metadata(&file).unwrap().len() + 30;
    limit(Some(size));
    // Standard output is a file, too, in these tests, and a small one has no room either.
    for _ in 0..20 {
        serves(&pooler, 1);
    }
    let full = || fs::metadata(&file).unwrap().len() >= size;
    until("the file to be full", PATIENCE, || full().then_some(()));
    // Each session has lines of its own: some that end in the file are among these.
    until("many to be lost", PATIENCE, || (dropped(port) > 60).then_some(()));
    serves(&pooler, 1);
    limit(None);
    let read = || fs::read_to_string(&file).unwrap();
    until("the loss to be told", PATIENCE, || (told_lost(&read()) > 0).then_some(()));
    serves(&pooler, 1);
    until("a line behind it", PATIENCE, || {
        let log = read();
        let (_, behind) = log.rsplit_once(" lines lost: ")?;
        behind.contains("client disconnected").then_some(())
    });
    let log = read();
    assert!(log.contains(" lines lost: File too large"), "{log}");
    let glued =
        log.lines().filter(|line| line.matches(" [").count() > 1 && !line.contains("route"));
    assert_eq!(glued.collect::<Vec<_>>(), Vec::<&str>::new());
    let clients = log.matches("client disconnected").count();
    assert!(clients < 23, "{clients} ends of 23 sessions: nothing was lost");
    pooler.stop();
}

/// Against lines in a file without a name, which nobody will ever read.
#[test]
fn a_removed_directory_loses_lines_until_it_is_back() {
    let scratch = Scratch::new();
    let dir = scratch.0.join("logs");
    fs::create_dir(&dir).unwrap();
    let file = dir.join("odyssey.log");
    let pooler = logging(&format!("log_file \"{}\"", file.display())).start();
    serves(&pooler, 1);
    fs::remove_dir_all(&dir).unwrap();
    until("the loss to be seen", PATIENCE, || {
        serves(&pooler, 1);
        pooler.log().contains("takes no lines: No such file or directory").then_some(())
    });
    fs::create_dir(&dir).unwrap();
    until("lines in a new file", PATIENCE, || {
        let log = fs::read_to_string(&file).unwrap_or_default();
        (told_lost(&log) > 0).then_some(())
    });
    pooler.stop();
}

#[test]
fn sigusr1_opens_the_file_anew() {
    let scratch = Scratch::new();
    let dir = scratch.0.clone();
    let (file, old) = (dir.join("odyssey.log"), dir.join("odyssey.log.1"));
    let pooler = logging(&format!("log_file \"{}\"", file.display())).start();
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    for round in 1..=2 {
        fs::rename(&file, &old).unwrap();
        serves(&pooler, 1);
        pooler.signal(Signal::USR1);
        until("the new file", PATIENCE, || {
            read(&file).contains("(logger) log reopened").then_some(())
        });
        let before = "(system) SIGUSR1 received, reopening log";
        assert!(read(&old).contains(before) && !read(&file).contains(before), "{round}");
        serves(&pooler, 1);
        until("a line", PATIENCE, || read(&file).contains("client disconnected").then_some(()));
    }
    fs::remove_dir_all(&dir).unwrap();
    pooler.signal(Signal::USR1);
    pooler.wait_for_line("failed to reopen log file");
    serves(&pooler, 1);
    pooler.stop();
}

/// Without a file there is nothing to open; Odyssey says nothing.
#[test]
fn sigusr1_without_a_file_is_nothing() {
    let mut pooler = logging("log_to_stdout yes").start();
    pooler.signal(Signal::USR1);
    serves(&pooler, 1);
    pooler.wait_for_line("client disconnected");
    assert!(!pooler.log().contains("SIGUSR1") && pooler.is_alive());
    pooler.stop();
}

/// A pooler whose standard output is a pipe, and its other end.
fn piped(setup: &Setup) -> (Pooler, PipeReader) {
    let (reader, writer) = std::io::pipe().unwrap();
    let (dir, port) = (new_dir("pooler-test"), free_port());
    let config = write(&dir, "odyssey.conf", &setup.text(port, &dir));
    (Pooler::with_output(dir, &config, port, writer.into()), reader)
}

/// A reader that was stopped: its pipe holds 64 KiB, a batch for the pipe, 100 lines the queue.
/// Seen to fail with a queue that waits for room.
#[test]
fn a_reader_that_stands_still_stops_nobody() {
    let scratch = Scratch::new();
    let file = scratch.0.join("odyssey.log");
    let setup = logging("log_queue_depth 100").with("log_query yes");
    let metrics = free_port();
    let setup = setup.global(&format!("promhttp_server_port {metrics}"));
    let (pooler, reader) = piped(&setup.global(&format!("log_file \"{}\"", file.display())));
    let mut command = Command::new("cat");
    let copy = pooler.socket_dir().join("log");
    let out = fs::File::create(&copy).unwrap();
    let mut cat = command.stdin(Stdio::from(reader)).stdout(out).spawn().unwrap();
    signal(cat.id(), Signal::STOP);
    serves(&pooler, 3000);
    signal(cat.id(), Signal::CONT);
    let lines = |log: &str| (log.matches("(query) select ").count(), told_lost(log));
    let accounted = |log: &str| {
        let (seen, lost) = lines(log);
        (seen + lost >= 3000).then_some((seen, lost))
    };
    // A loss is told once a second: both places account for every query in the end.
    let (seen, lost) = until("the loss to be told", PATIENCE, || accounted(&pooler.log()));
    assert!(pooler.log().contains(" lines lost: the queue was full") && lost > 100, "{lost}");
    let in_file = || fs::read_to_string(&file).unwrap();
    let (kept, lost_too) = until("the file's own", PATIENCE, || accounted(&in_file()));
    assert!(dropped(metrics) >= lost + lost_too, "{} are counted", dropped(metrics));
    assert!(kept > seen, "{kept} in the file, {seen} by the reader: one held up the other");
    pooler.stop();
    cat.wait().unwrap();
}

/// Nobody will ever read it: the process ends nevertheless.
#[test]
fn a_pipe_without_a_reader_is_no_reason_to_die() {
    let (mut pooler, reader) = piped(&logging("log_queue_depth 100").with("log_query yes"));
    drop(reader);
    serves(&pooler, 500);
    pooler.signal(Signal::TERM);
    assert!(pooler.wait_for_exit(PATIENCE).success());
}

#[test]
fn a_process_ends_though_its_pipe_is_full() {
    let (mut pooler, mut reader) = piped(&logging("log_queue_depth 100").with("log_query yes"));
    serves(&pooler, 3000);
    pooler.signal(Signal::TERM);
    assert!(pooler.wait_for_exit(PATIENCE).success());
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("Starting Odyssey"));
}

/// What syslog got, as far as it has come.
fn received(socket: &UnixDatagram) -> Vec<String> {
    let mut buffer = [0; 8192];
    let mut records = Vec::new();
    while let Ok(bytes) = socket.recv(&mut buffer) {
        records.push(String::from_utf8_lossy(&buffer[..bytes]).into_owned());
    }
    records
}

fn syslog(path: &Path) -> UnixDatagram {
    let _ = fs::remove_file(path);
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

fn to_syslog(path: &Path, format: &str) -> Setup {
    let setup = logging("log_syslog yes").global("log_syslog_facility \"local3\"");
    let setup = setup.global(&format!("log_syslog_target \"{}\"", path.display()));
    setup.global(&format!("log_syslog_format \"{format}\"")).global("log_syslog_ident \"ody\"")
}

fn wait_for_record(socket: &UnixDatagram, text: &str) -> String {
    let mut all = Vec::new();
    until(&format!("a record with {text:?}"), PATIENCE, || {
        all.extend(received(socket));
        all.iter().find(|record| record.contains(text)).cloned()
    })
}

#[test]
fn lines_go_to_syslog_in_both_dresses() {
    let scratch = Scratch::new();
    let path = scratch.0.join("log");
    for (format, expected) in [("rfc3164", "<158>"), ("rfc5424", "<158>1 ")] {
        let socket = syslog(&path);
        let pooler = to_syslog(&path, format).start();
        let record = wait_for_record(&socket, "Starting Odyssey");
        assert!(record.starts_with(expected) && record.contains(" ody"), "{record}");
        assert!(record.ends_with("Starting Odyssey"), "{record:?}");
        pooler.refused(&crate::support::Login::new("app", "nowhere"));
        let record = wait_for_record(&socket, "client, closing");
        assert!(record.starts_with("<155>"), "{record}");
        pooler.stop();
    }
}

/// A daemon that dies, one that is not there, one that comes back.
#[test]
fn a_dead_syslog_harms_nobody_and_is_found_again() {
    let scratch = Scratch::new();
    let path = scratch.0.join("log");
    let (pooler, port) = scrape::start(&to_syslog(&path, "rfc3164"));
    serves(&pooler, 20);
    pooler.wait_for_line("takes no lines: ");
    let socket = syslog(&path);
    assert!(wait_for_record(&socket, " lines lost: ").contains("(logger)"));
    serves(&pooler, 1);
    wait_for_record(&socket, "client disconnected");
    drop(socket);
    let before = dropped(port);
    serves(&pooler, 20);
    until("the loss to be counted", PATIENCE, || (dropped(port) > before).then_some(()));
    let socket = syslog(&path);
    wait_for_record(&socket, " lines lost: ");
    pooler.stop();
}

/// Its queue has room for ten records or so.
#[test]
fn a_syslog_that_does_not_read_harms_nobody() {
    let scratch = Scratch::new();
    let path = scratch.0.join("log");
    let socket = syslog(&path);
    let pooler = to_syslog(&path, "rfc5424").with("log_query yes").start();
    serves(&pooler, 500);
    pooler.wait_for_line("takes no lines: ");
    let_pass(Duration::from_millis(100));
    wait_for_record(&socket, " lines lost: ");
    pooler.stop();
}
