//! A throw-away PostgreSQL, one for each test process: trust, md5, SCRAM and cleartext users, no
//! fsync. It runs as user `postgres` when we are root, because PostgreSQL refuses to be root.

use super::client::{Address, Client};
use super::login::Login;
use super::papers::Papers;
use super::process::{Watched, free_port, new_dir};
use super::{PATIENCE, until};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub const PASSWORD: &str = "a secret, with 'quotes'";

const CONFIG: &str = "
max_connections = 200
max_prepared_transactions = 10
fsync = off
full_page_writes = off
synchronous_commit = off
shared_buffers = 64MB
autovacuum = off
listen_addresses = '127.0.0.1'
unix_socket_permissions = 0777
log_min_messages = fatal
wal_level = logical
ssl = on
";

const HBA: &str = "
hostssl all app_tls 127.0.0.1/32 trust
host all app_tls 127.0.0.1/32 reject
hostssl all app_cert 127.0.0.1/32 cert
local all app_md5 md5
local all app_scram scram-sha-256
local all app_clear password
local all all trust
host all app_md5 127.0.0.1/32 md5
host all app_scram 127.0.0.1/32 scram-sha-256
host all app_clear 127.0.0.1/32 password
host all all 127.0.0.1/32 trust
local replication all trust
host replication all 127.0.0.1/32 trust
";

const ROLES: &str = "
create role app login;
grant create on schema public to public;
set password_encryption = 'md5';
create role app_md5 login password $p$PASSWORD$p$;
set password_encryption = 'scram-sha-256';
create role app_scram login password $p$PASSWORD$p$;
create role app_clear login password $p$PASSWORD$p$;
create role app_tls login;
create role app_cert login;
create database other;
";

pub struct Postgres {
    pub port: u16,
    pub socket_dir: PathBuf,
    bin: PathBuf,
    process: Watched,
}

impl Postgres {
    /// The cluster of this test process. It ends with the process (see `process::Watched`).
    pub fn shared() -> &'static Postgres {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Postgres::start)
    }

    /// A cluster of the test's own, to be restarted.
    pub fn start() -> Postgres {
        let bin = newest_bin();
        let dir = new_dir("pooler-test-pg");
        give_to_server(&dir);
        let data = dir.join("data");
        let mut initdb = as_server_user(&bin.join("initdb"));
        initdb.args(["--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C"]);
        let mut process = prepared(initdb.arg("-D").arg(&data), &dir);
        let config = data.join("postgresql.conf");
        let text = std::fs::read_to_string(&config).unwrap();
        let ours = format!("{CONFIG}unix_socket_directories = '{}'\n", dir.display());
        let papers = Papers::shared();
        for file in ["server.crt", "server.key"] {
            std::fs::copy(papers.dir.join(file), data.join(file)).unwrap();
            give_to_server(&data.join(file));
        }
        let ours = format!("{ours}ssl_ca_file = '{}'\n", papers.path("authority.crt"));
        std::fs::write(&config, text + &ours).unwrap();
        std::fs::write(data.join("pg_hba.conf"), HBA).unwrap();

        let port = free_port();
        process.spawn_again(&mut server(&bin, &dir, port));
        let mut postgres = Postgres { port, socket_dir: dir, bin, process };
        postgres.prepare();
        postgres
    }

    /// A standby of this one, which follows it. None, and a word about it, where this PostgreSQL
    /// has no program to make one.
    pub fn standby(&self) -> Option<Postgres> {
        if !self.has_program("pg_basebackup") {
            println!("SKIPPED: no pg_basebackup in {}", self.bin.display());
            return None;
        }
        let dir = new_dir("pooler-test-standby");
        give_to_server(&dir);
        let mut backup = as_server_user(&self.bin.join("pg_basebackup"));
        backup.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres"]);
        backup.args(["-R", "-X", "stream", "-c", "fast", "--no-sync", "-D"]).arg(dir.join("data"));
        let mut process = prepared(&mut backup, &dir);
        let config = dir.join("data/postgresql.conf");
        let text = std::fs::read_to_string(&config).unwrap();
        let ours = format!("unix_socket_directories = '{}'\n", dir.display());
        std::fs::write(&config, text + &ours).unwrap();
        let port = free_port();
        process.spawn_again(&mut server(&self.bin, &dir, port));
        let mut standby = Postgres { port, socket_dir: dir, bin: self.bin.clone(), process };
        standby.accepts();
        Some(standby)
    }

    /// Ends at once, as `pg_ctl stop -m immediate`.
    pub fn stop(&mut self) {
        super::process::signal(self.process.pid(), rustix::process::Signal::QUIT);
        until("PostgreSQL to stop", PATIENCE, || self.process.child.try_wait().unwrap());
    }

    /// As `pg_ctl restart -m fast`: who is connected is thrown out.
    pub fn restart(&mut self) {
        super::process::signal(self.process.pid(), rustix::process::Signal::INT);
        until("PostgreSQL to stop", PATIENCE, || self.process.child.try_wait().unwrap());
        self.start_again();
    }

    /// After a stop.
    pub fn start_again(&mut self) {
        self.process.spawn_again(&mut server(&self.bin, &self.socket_dir, self.port));
        until("PostgreSQL to accept again", PATIENCE, || {
            let mut client = Client::try_connect(&self.address()).ok()?;
            client.start(&Login::new("postgres", "postgres")).ok()
        });
    }

    fn prepare(&mut self) {
        let mut admin = self.accepts();
        for statement in ROLES.replace("PASSWORD", PASSWORD).split(";\n") {
            let answer = admin.query(statement);
            assert_eq!(answer.error(), None, "{statement}");
        }
    }

    /// Its own socket is nobody else's. It ends where somebody else has its port.
    fn accepts(&mut self) -> Client {
        until("PostgreSQL to accept", PATIENCE, || {
            if self.process.child.try_wait().unwrap().is_some() {
                self.port = free_port();
                let mut again = server(&self.bin, &self.socket_dir, self.port);
                self.process.spawn_again(&mut again);
            }
            let socket = self.socket_dir.join(format!(".s.PGSQL.{}", self.port));
            let mut client = Client::try_connect(&Address::Unix(socket)).ok()?;
            client.start(&Login::new("postgres", "postgres")).ok()?;
            Some(client)
        })
    }

    pub fn address(&self) -> Address {
        Address::Tcp(self.port)
    }

    /// A superuser's connection past the pooler.
    pub fn admin(&self) -> Client {
        let mut client = Client::try_connect(&self.address()).expect("PostgreSQL accepts");
        client.start(&Login::new("postgres", "postgres")).expect("PostgreSQL trusts us");
        client
    }

    /// A trusted role of the test's own, so that its backends can be told from all others.
    pub fn role(&self, name: &str) -> Login {
        let mut admin = self.admin();
        assert_eq!(admin.query(&format!("create role {name} login")).error(), None);
        Login::new(name, "postgres")
    }

    /// Is there a program of exactly this version? Those that read the log are tied to one.
    pub fn has_program(&self, name: &str) -> bool {
        self.bin.join(name).exists()
    }

    /// A program of this PostgreSQL, such as psql.
    pub fn program(&self, name: &str) -> Command {
        let beside = self.bin.join(name);
        let mut command = Command::new(if beside.exists() { beside } else { name.into() });
        for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("PG")) {
            command.env_remove(key);
        }
        command.env("PGCONNECT_TIMEOUT", "10").env("PSQLRC", "/dev/null");
        command
    }

    /// Waits until as many backends as `want` match `condition` (SQL on pg_stat_activity).
    pub fn wait_for_backends(&self, condition: &str, want: usize, limit: Duration) {
        let mut admin = self.admin();
        let sql = format!(
            "select pid, usename, state, wait_event, query from pg_stat_activity \
             where pid <> pg_backend_pid() and backend_type = 'client backend' and ({condition})"
        );
        let end = Instant::now() + limit;
        loop {
            let late = Instant::now() > end;
            let rows = admin.query(&sql).rows();
            if rows.len() == want {
                return;
            }
            assert!(!late, "{want} expected after {limit:?}: {condition}, there are {rows:?}");
            super::let_pass(Duration::from_millis(10));
        }
    }
}

/// What this program has made in the directory, watched from its first moment on.
fn prepared(program: &mut Command, dir: &Path) -> Watched {
    let said = dir.join("prepared");
    let out = std::fs::File::create(&said).unwrap();
    program.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
    let mut process = Watched::spawn(program, dir.to_owned());
    let made = process.child.wait().unwrap();
    assert!(made.success(), "{program:?}: {}", std::fs::read_to_string(said).unwrap());
    process
}

fn server(bin: &Path, dir: &Path, port: u16) -> Command {
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let mut server = as_server_user(&bin.join("postgres"));
    server.arg("-D").arg(dir.join("data")).args(["-p", &port.to_string()]);
    server.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    server
}

fn newest_bin() -> PathBuf {
    if let Some(bin) = std::env::var_os("POOLER_PG_BIN") {
        return bin.into();
    }
    let version = |path: &Path| -> Option<u32> {
        path.parent()?.file_name()?.to_str()?.split('.').next()?.parse().ok()
    };
    let all = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let bins = all.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("initdb").exists());
    let newest = bins.max_by_key(|bin| version(bin));
    newest.expect("PostgreSQL in /usr/lib/postgresql, or its bin directory in POOLER_PG_BIN")
}

/// (uid, gid) of `postgres`, when we are root and have to step down.
fn server_user() -> Option<(u32, u32)> {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let fields: Vec<&str> = line.expect("a user postgres, as we are root").split(':').collect();
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}

fn as_server_user(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").env("LC_ALL", "C");
    if let Some((uid, gid)) = server_user() {
        command.uid(uid).gid(gid);
    }
    command
}

fn give_to_server(dir: &Path) {
    if let Some((uid, gid)) = server_user() {
        std::os::unix::fs::chown(dir, Some(uid), Some(gid)).unwrap();
    }
}
