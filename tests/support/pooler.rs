//! The real binary on a configuration of the test's own, in a directory and on a port of its own.

use super::client::{Address, Client};
use super::login::Login;
use super::postgres::Postgres;
use super::process::{self, Watched, free_port, new_dir};
use super::{PATIENCE, until};
use rustix::process::Signal;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// The configuration, in the language of odyssey.conf.
#[derive(Clone)]
pub struct Setup {
    global: String,
    storages: String,
    rules: Vec<(String, String, String)>,
    listen: String,
}

const GLOBAL: &str = r#"
daemonize no
log_to_stdout yes
log_format "%p %t %l [%i %s] (%c) %m\n"
log_session yes
log_stats no
unix_socket_mode "0777"
bindwith_reuseport no enable_online_restart no
conn_drop_options { rate 1000 interval_ms 10 }
"#;

/// An internal rule, by which the pooler asks for secrets of its clients.
pub const SERVICE: &str = r#"
database "postgres" {
  user "postgres" { authentication "none" storage "pg" pool "transaction" pool_routing "internal" }
}
"#;

/// Options of a rule whose clients' secrets are asked for by way of [`SERVICE`].
pub const ASKING: &str = r#"auth_query "select usename, passwd from pg_shadow where usename = $1"
    auth_query_user "postgres" auth_query_db "postgres""#;

/// Options of a rule that lets everybody in.
pub const OPEN: &str = r#"authentication "none" storage "pg""#;

impl Setup {
    /// Two machines in front of the shared PostgreSQL; no rule yet.
    pub fn new() -> Setup {
        let port = Postgres::shared().port;
        let setup = Setup::without_storage();
        setup.storage("pg", &format!(r#"type "remote" host "127.0.0.1" port {port}"#))
    }

    pub fn without_storage() -> Setup {
        Setup {
            global: GLOBAL.into(),
            storages: String::new(),
            rules: Vec::new(),
            listen: String::new(),
        }
        .global("workers 2")
    }

    /// Everybody may come, transaction pooling.
    pub fn transaction(pool_size: usize) -> Setup {
        let pool = format!(r#"{OPEN} pool "transaction" pool_size {pool_size}"#);
        Setup::new().rule("default", "default", &pool)
    }

    /// Everybody may come, session pooling.
    pub fn session(pool_size: usize) -> Setup {
        let pool = format!(r#"{OPEN} pool "session" pool_size {pool_size}"#);
        Setup::new().rule("default", "default", &pool)
    }

    /// A fake server (or nothing at all) behind transaction pooling of `pool_size`.
    pub fn in_front_of(port: u16, pool_size: usize) -> Setup {
        let storage = format!(r#"type "remote" host "127.0.0.1" port {port}"#);
        let pool = format!(r#"{OPEN} pool "transaction" pool_size {pool_size}"#);
        Setup::without_storage().storage("pg", &storage).rule("default", "default", &pool)
    }

    /// An option of the top level; one given before with the same name is replaced.
    pub fn global(mut self, option: &str) -> Setup {
        let name = option.split_whitespace().next().expect("an option has a name");
        let stays = |line: &&str| line.split_whitespace().next() != Some(name);
        let kept: Vec<&str> = self.global.lines().filter(stays).collect();
        self.global = format!("{}\n{option}\n", kept.join("\n"));
        self
    }

    /// Options for both `listen` sections.
    pub fn listen(mut self, options: &str) -> Setup {
        self.listen = options.into();
        self
    }

    pub fn storage(mut self, name: &str, options: &str) -> Setup {
        self.storages += &format!("storage \"{name}\" {{ {options} }}\n");
        self
    }

    /// Sections of the test's own, as they stand in the file.
    pub fn also(mut self, sections: &str) -> Setup {
        self.storages += sections;
        self.storages.push('\n');
        self
    }

    /// A rule; `default` stands for any database or user.
    pub fn rule(mut self, database: &str, user: &str, options: &str) -> Setup {
        self.rules.push((database.into(), user.into(), options.into()));
        self
    }

    /// One more option for every rule so far.
    pub fn with(mut self, option: &str) -> Setup {
        for rule in &mut self.rules {
            rule.2 = format!("{} {option}", rule.2);
        }
        self
    }

    pub fn text(&self, port: u16, socket_dir: &std::path::Path) -> String {
        let quoted = |name: &str| match name {
            "default" => "default".to_owned(),
            name => format!("\"{name}\""),
        };
        let mut rules = String::new();
        for (database, user, options) in &self.rules {
            let (database, user) = (quoted(database), quoted(user));
            rules += &format!("database {database} {{\n  user {user} {{ {options} }}\n}}\n");
        }
        let dir = socket_dir.display();
        let listen = &self.listen;
        format!(
            "{}unix_socket_dir \"{dir}\"\nlisten {{ host \"127.0.0.1\" port {port} {listen} }}\n\
             listen {{ port {port} {listen} }}\n{}{rules}",
            self.global, self.storages
        )
    }

    pub fn start(&self) -> Pooler {
        Pooler::start(self)
    }
}

pub struct Pooler {
    pub port: u16,
    process: Watched,
    log: PathBuf,
    stopped: bool,
}

/// The binary under test, built by cargo for this test.
pub fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_pooler"))
}

impl Pooler {
    fn start(setup: &Setup) -> Pooler {
        loop {
            let (dir, port) = (new_dir("pooler-test"), free_port());
            let config = process::write(&dir, "odyssey.conf", &setup.text(port, &dir));
            let out = std::fs::File::create(dir.join("log")).unwrap();
            let mut command = binary();
            command.arg(config).stdin(Stdio::null());
            let pooler = Pooler::begin(command, dir, port, out.into());
            if process::listens(pooler.pid(), port) {
                return pooler;
            }
            println!("port {port} was taken by somebody else: another one");
        }
    }

    /// On a configuration of any kind that listens on that port, with its unix socket in `dir`.
    pub fn on(dir: PathBuf, config: &std::path::Path, port: u16) -> Pooler {
        let out = std::fs::File::create(dir.join("log")).unwrap();
        Pooler::with_output(dir, config, port, out.into())
    }

    /// Its standard output goes there; `log` reads the file `log` in `dir` all the same.
    pub fn with_output(dir: PathBuf, config: &std::path::Path, port: u16, out: OwnedFd) -> Pooler {
        let mut command = binary();
        command.arg(config).stdin(Stdio::null());
        Pooler::by(command, dir, port, out)
    }

    /// Started by this command, which becomes the pooler.
    pub fn by(command: Command, dir: PathBuf, port: u16, out: OwnedFd) -> Pooler {
        let pooler = Pooler::begin(command, dir, port, out);
        assert!(process::listens(pooler.pid(), port), "somebody else has its port");
        pooler
    }

    fn begin(mut command: Command, dir: PathBuf, port: u16, out: OwnedFd) -> Pooler {
        let log = dir.join("log");
        command.current_dir(&dir).stdout(out.try_clone().unwrap()).stderr(out);
        let process = Watched::spawn(&mut command, dir);
        let mut pooler = Pooler { port, process, log, stopped: false };
        until("the pooler to listen", PATIENCE, || {
            let ended = pooler.process.child.try_wait().unwrap();
            assert!(ended.is_none(), "the pooler ended, {}: {}", ended.unwrap(), pooler.log());
            // Nobody is answered before every listener is open; a connection says less. And nobody
            // shall count these two among the clients of the test.
            let tcp = || Client::try_connect(&pooler.address())?.await_goodbye();
            let answers = || Client::try_connect(&pooler.socket_address())?.await_answer();
            (tcp().is_ok() && answers().is_ok()).then_some(())
        });
        pooler
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn address(&self) -> Address {
        Address::Tcp(self.port)
    }

    pub fn socket_dir(&self) -> PathBuf {
        self.process.dir.clone()
    }

    pub fn socket_address(&self) -> Address {
        Address::Unix(self.process.dir.join(format!(".s.PGSQL.{}", self.port)))
    }

    /// A connection that has said nothing yet.
    pub fn connect(&self) -> Client {
        Client::try_connect(&self.address()).expect("the pooler accepts")
    }

    pub fn login(&self, login: &Login) -> Client {
        let mut client = self.connect();
        client.start(login).unwrap_or_else(|e| panic!("login: {e:?}\n{}", self.log()));
        client
    }

    /// User `app` in database `postgres`, trusted.
    pub fn client(&self) -> Client {
        self.login(&Login::new("app", "postgres"))
    }

    /// The error that a login ends with.
    pub fn refused(&self, login: &Login) -> super::PgError {
        self.connect().start(login).expect_err("this login is refused")
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits for a line of the log that contains `text`, and returns it.
    pub fn wait_for_line(&self, text: &str) -> String {
        until(&format!("a log line with {text:?}"), PATIENCE, || {
            self.log().lines().find(|line| line.contains(text)).map(str::to_owned)
        })
    }

    pub fn memory_kib(&self) -> u64 {
        process::memory_kib(self.pid(), "VmRSS")
    }

    pub fn memory_peak_kib(&self) -> u64 {
        process::memory_kib(self.pid(), "VmHWM")
    }

    /// What all its threads that live have used of processors.
    pub fn cpu(&self) -> Duration {
        process::cpu(self.pid())
    }

    pub fn is_alive(&mut self) -> bool {
        self.process.child.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, signal: Signal) {
        process::signal(self.pid(), signal);
    }

    /// Waits for the process to end by itself.
    pub fn wait_for_exit(&mut self, limit: Duration) -> ExitStatus {
        self.stopped = true;
        until("the pooler to end", limit, || self.process.child.try_wait().unwrap())
    }

    /// Lets these clients go, then stops: nobody is in a transaction any more.
    pub fn stop_with(self, clients: Vec<Client>) {
        drop(clients);
        self.stop();
    }

    /// SIGTERM, and the proof that it ends well.
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.wait_for_exit(PATIENCE);
        assert!(status.success(), "{status} after SIGTERM\n{}", self.log());
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- log of the pooler, newest first ---\n{}", tail.join("\n"));
            return;
        }
        let log = self.log();
        assert!(!log.contains("panicked"), "a panic in the pooler's log:\n{log}");
        assert!(self.stopped || self.is_alive(), "the pooler died:\n{log}");
    }
}
