//! Processes and directories that outlive no test run, whatever ends it: a shell holds the read end
//! of a pipe from us; when we are gone, killed or not, it ends the process and removes the
//! directory. What a process starts goes with it: its children are of its group, and whoever goes
//! into the background is on a leash.

use rustix::process::{Pid, Signal, kill_process_group};
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const WATCH: &str = r#"trap "" INT TERM HUP
pid=$1
while read -r word; do
    if [ "$word" = done ]; then rm -rf "$2"; exit 0; fi
    pid=$word
done
kill -QUIT "$pid" 2>/dev/null
n=0
while kill -0 "$pid" 2>/dev/null && [ "$n" -lt 30 ]; do sleep 0.1; n=$((n + 1)); done
kill -KILL "$pid" 2>/dev/null
kill -KILL -- "-$pid" 2>/dev/null
rm -rf "$2""#;

/// Whoever holds the leash as its descriptor 9 ends, however the test ends.
const UNLEASH: &str = r#"trap "" INT TERM HUP
read -r word
n=0
while [ "$n" -lt 30 ]; do
    left=
    for held in /proc/[0-9]*/fd/9; do
        if [ "$(readlink "$held" 2>/dev/null)" = "$1/leash" ]; then
            left=${held#/proc/}
            kill -KILL "${left%%/*}" 2>/dev/null
        fi
    done
    [ -n "$left" ] || break
    sleep 0.1
    n=$((n + 1))
done
rm -rf "$1""#;

/// A child process in a directory of its own.
pub struct Watched {
    pub child: Child,
    pub dir: PathBuf,
    watchdog: Watchdog,
}

impl Watched {
    pub fn spawn(command: &mut Command, dir: PathBuf) -> Watched {
        command.process_group(0);
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let watchdog = Watchdog::over(child.id(), &dir);
        Watched { child, dir, watchdog }
    }

    /// Another process in the place of one that has ended.
    pub fn spawn_again(&mut self, command: &mut Command) {
        command.process_group(0);
        self.child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        self.watchdog.turn_to(self.child.id());
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(group) = Pid::from_raw(self.pid() as i32) {
            let _ = kill_process_group(group, Signal::KILL); // a successor that nobody has met
        }
    }
}

/// Removes a directory when it is dropped. If we die before, it also ends the process.
pub struct Watchdog(Child);

impl Watchdog {
    pub fn over(pid: u32, dir: &Path) -> Watchdog {
        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "watchdog", &pid.to_string()]).arg(dir);
        Watchdog::by(&mut command)
    }

    /// Over a directory that stays for as long as we live.
    pub fn over_files(dir: &Path) -> Watchdog {
        let mut command = Command::new("sh");
        command.args(["-c", r#"trap "" INT TERM HUP; read -r word; rm -rf "$1""#, "watchdog"]);
        Watchdog::by(command.arg(dir))
    }

    /// From now on it watches over that process.
    fn turn_to(&mut self, pid: u32) {
        let stdin = self.0.stdin.as_mut().expect("it was not dropped");
        writeln!(stdin, "{pid}").expect("it listens");
    }

    fn by(command: &mut Command) -> Watchdog {
        // Who ends the test by a signal to its group does not end it.
        let quiet = command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
        Watchdog(quiet.stdin(Stdio::piped()).spawn().expect("sh exists"))
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

/// A directory whose daemons end, and which goes, when this is dropped or we die.
pub struct Leash {
    dir: PathBuf,
    _watchdog: Watchdog,
}

impl Leash {
    pub fn new(dir: &Path) -> Leash {
        fs::write(dir.join("leash"), "").unwrap();
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", UNLEASH, "watchdog"]).arg(dir);
        Leash { dir: dir.to_owned(), _watchdog: Watchdog::by(&mut watchdog) }
    }

    /// The same program, on the leash from its first moment on.
    pub fn on(&self, program: &Command) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"exec 9<"$0"; exec "$@""#]).arg(self.dir.join("leash"));
        shell.arg(program.get_program()).args(program.get_args());
        shell
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

/// A port nobody listens on now, below the range from which the kernel takes ports for clients. No
/// other test gets it as long as this process lives, so that it may also be one where nobody is.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let spread = std::process::id().wrapping_mul(97).wrapping_add(step.wrapping_mul(7));
        let port = 10_000 + (spread % 20_000) as u16;
        if is_reserved(port) && std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// True for the first process that asks: a name that lives no longer than that is bound.
fn is_reserved(port: u16) -> bool {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let name = SocketAddr::from_abstract_name(format!("pooler-test-port-{port}"));
    let bound = UnixListener::bind_addr(&name.expect("a short name"));
    bound.map(std::mem::forget).is_ok()
}

/// Does this process listen at the port? Somebody else may have been faster.
pub fn listens(pid: u32, port: u16) -> bool {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let names = links
        .filter_map(|link| fs::read_link(link.path()).ok()?.into_os_string().into_string().ok());
    let own: Vec<String> = names.collect();
    let tables = ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/net/{table}")));
    let lines = tables.iter().flatten().flat_map(|table| table.lines().skip(1));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>()).any(|fields| {
        let here = fields[1].ends_with(&format!(":{port:04X}")) && fields[3] == "0A";
        here && own.contains(&format!("socket:[{}]", fields[9]))
    })
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

/// What the threads of a process that live have used of processors.
pub fn cpu(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the process is alive");
    let stats = threads.flatten().map(|thread| thread.path().join("schedstat"));
    let texts = stats.filter_map(|path| fs::read_to_string(path).ok()); // some end meanwhile
    let nanos = |text: String| text.split(' ').next()?.parse::<u64>().ok();
    Duration::from_nanos(texts.filter_map(nanos).sum())
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
