//! Who takes part: stub servers, the floor, poolers, each a process tied to a processor. All end
//! with the measurement.

use crate::Outcome;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A process that takes connections.
pub struct Target {
    pub name: String,
    pub address: SocketAddr,
    child: Child,
    directory: Option<PathBuf>,
}

/// A pooler that does not listen after that has failed.
const START_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

impl Target {
    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(directory) = &self.directory {
            let _ = fs::remove_dir_all(directory);
        }
    }
}

/// This program in another part, on that processor.
pub fn part(words: &[&str], processor: usize) -> Outcome<Target> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(words).stdout(Stdio::piped());
    let mut child = spawn_on(processor, &mut command)?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("its output is ours")?).read_line(&mut line)?;
    Ok(Target { name: words[0].into(), address: line.trim().parse()?, child, directory: None })
}

/// Tells whoever started this part where it listens.
pub fn tell(address: SocketAddr) {
    println!("{address}");
}

/// A pooler of ours, one worker.
pub fn pooler(program: &Path, server: SocketAddr, pool: usize) -> Outcome<Target> {
    program_on("pooler", program, |directory, port| {
        let config = directory.join("odyssey.conf");
        let text = format!(
            "daemonize no\nworkers 1\nlog_to_stdout no\nlog_stats no\nlog_format \"%m\\n\"\n\
             unix_socket_dir \"{directory}\"\nunix_socket_mode \"0600\"\nlocks_dir \"{directory}\"\n\
             listen {{ host \"127.0.0.1\" port {port} backlog 2048 }}\n\
             storage \"stub\" {{ type \"remote\" host \"{host}\" port {server} }}\n\
             database default {{ user default {{ authentication \"none\" storage \"stub\" \
             pool \"transaction\" pool_size {pool} pool_reserve_prepared_statement yes }} }}\n",
            directory = directory.display(),
            host = server.ip(),
            server = server.port(),
        );
        fs::write(&config, text)?;
        Ok(vec![config.display().to_string()])
    })
}

/// PgBouncer; as root it becomes somebody else.
pub fn pgbouncer(program: &Path, server: SocketAddr, pool: usize) -> Outcome<Target> {
    program_on("PgBouncer", program, |directory, port| {
        let config = directory.join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host={host} port={server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
             default_pool_size = {pool}\nmax_client_conn = 30000\nlog_connections = 0\n\
             log_disconnections = 0\nlog_stats = 0\nlisten_backlog = 2048\n\
             server_tls_sslmode = disable\n",
            host = server.ip(),
            server = server.port(),
        );
        // Users are nobody's business here: all are one at the servers.
        let text = text.replace("* = ", "* = user=bench ");
        fs::write(&config, text)?;
        let mut words = vec!["-q".into(), config.display().to_string()];
        if rustix::process::geteuid().is_root() {
            words.extend(["-u".into(), "nobody".into()]);
        }
        Ok(words)
    })
}

/// Its words are made of a directory and a port of its own; on the first processor.
fn program_on(
    name: &str,
    program: &Path,
    words: impl FnOnce(&Path, u16) -> Outcome<Vec<String>>,
) -> Outcome<Target> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let directory = std::env::temp_dir().join(format!("queries-{}-{name}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let mut command = Command::new(program);
    command.args(words(&directory, address.port())?);
    let child = spawn_on(0, &mut command)
        .map_err(|error| format!("{} does not start: {error}", program.display()))?;
    let mut target = Target { name: name.into(), address, child, directory: Some(directory) };
    let since = Instant::now();
    while TcpStream::connect(address).is_err() {
        if let Some(status) = target.child.try_wait()? {
            return Err(format!("{} ended: {status}", program.display()).into());
        }
        if since.elapsed() > START_TIMEOUT {
            return Err(format!("{} does not listen", program.display()).into());
        }
        std::thread::park_timeout(POLL);
    }
    Ok(target)
}

/// A child inherits where its parent is tied to.
fn spawn_on(processor: usize, command: &mut Command) -> Outcome<Child> {
    meter::pin(processor);
    Ok(command.stdin(Stdio::null()).spawn()?)
}
