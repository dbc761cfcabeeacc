//! Processes and directories that outlive no test run, whatever ends it: a shell holds the read end
//! of a pipe from us; when we are gone, killed or not, it ends the process and removes the
//! directory.

use rustix::process::{Pid, Signal};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

const WATCH: &str = r#"trap "" INT TERM HUP
if read -r word && [ "$word" = done ]; then rm -rf "$2"; exit 0; fi
kill -QUIT "$1" 2>/dev/null
n=0
while kill -0 "$1" 2>/dev/null && [ "$n" -lt 30 ]; do sleep 0.1; n=$((n + 1)); done
kill -KILL "$1" 2>/dev/null
rm -rf "$2""#;

/// A child process in a directory of its own.
pub struct Watched {
    pub child: Child,
    pub dir: PathBuf,
    _watchdog: Watchdog,
}

impl Watched {
    pub fn spawn(command: &mut Command, dir: PathBuf) -> Watched {
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let _watchdog = Watchdog::over(child.id(), &dir);
        Watched { child, dir, _watchdog }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Removes a directory when it is dropped. If we die before, it also ends the process.
pub struct Watchdog(Child);

impl Watchdog {
    pub fn over(pid: u32, dir: &Path) -> Watchdog {
        let child = Command::new("sh")
            .args(["-c", WATCH, "watchdog", &pid.to_string()])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Watchdog(child.expect("sh exists"))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.0.stdin.take() {
            let _ = stdin.write_all(b"done\n");
        }
        let _ = self.0.wait();
    }
}

/// A new directory that everybody may enter: the server runs as another user when we are root.
pub fn new_dir(kind: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("{kind}-{}-{n}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// A port nobody listens on now, below the range from which the kernel takes ports for clients.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let spread = std::process::id().wrapping_mul(97).wrapping_add(step.wrapping_mul(7));
        let port = 10_000 + (spread % 20_000) as u16;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Sends a signal to one process, which is a child of ours (and therefore alive or a zombie) or a
/// daemon we have started.
pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid as i32).expect("a child has a pid above zero");
    rustix::process::kill_process(pid, signal).expect("it is a child of ours");
}

/// A field of `/proc/PID/stat`, counted from 1 as in its manual; None for a process that is gone.
pub fn stat(pid: u32, field: usize) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?; // a name may have spaces
    fields.split_whitespace().nth(field - 3).map(str::to_owned)
}

/// A figure of `/proc/PID/status` in KiB, such as `VmRSS` or `VmHWM`.
pub fn memory_kib(pid: u32, figure: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is alive");
    let line = status.lines().find(|l| l.starts_with(figure)).expect("a known figure");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number of kB")
}

/// Runs a command to its end and returns (success, stdout, stderr).
pub fn run(command: &mut Command) -> (bool, String, String) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// Lifts the soft limit of open files to the hard one: thousands of clients live in one process.
pub fn allow_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the soft limit may rise to the hard one");
}

/// Puts a file into a directory and returns its path.
pub fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}
