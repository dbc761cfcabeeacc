//! PostgreSQL's own load, while its processes are killed, raw clients vanish in every state and
//! servers are terminated, all at random. Who sees an error lost its server; who sees a row that is
//! not its own fails the test.

use super::{Soak, prepare, terminate_at_random};
use crate::support::process::{new_dir, write};
use crate::support::{
    Answer, Client, Login, PATIENCE, Pooler, Postgres, Seeded, Setup, Wire, until,
};
use crate::tools;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const SPAN: Duration = Duration::from_secs(6);
/// Answers of which somebody looks at every word.
const CHECKED_MIN: usize = 100;
const SERVERS: usize = 10;
/// Of four clients each; 64 clients in all.
const PROCESSES: u64 = 13;
const HONEST: u64 = 6;
const VANISHING: u64 = 6;

/// Complains of rows that it did not ask for.
const SCRIPT: &str = r"\set n random(1, 1000000000)
\set aid random(1, 100000)
select :n + 0 as m \gset
\if :m <> :n
select 'foreign row' / 0;
\endif
begin;
update pgbench_accounts set abalance = abalance + 1 where aid = :aid;
select aid as seen from pgbench_accounts where aid = :aid \gset
\if :seen <> :aid
select 'foreign row' / 0;
\endif
end;
";

/// What happened, counted by all threads.
#[derive(Default)]
struct Counts {
    killed: AtomicUsize,
    vanished: AtomicUsize,
    checked: AtomicUsize,
    lost: AtomicUsize,
}

/// All threads share it.
struct Chaos {
    pooler: Pooler,
    soak: Soak,
    script: PathBuf,
    end: Instant,
    counts: Counts,
}

/// What a client does before it vanishes: what it sends, and the tag that it waits for.
type State = fn() -> Vec<(Wire, Option<u8>)>;

const STATES: [State; 10] = [
    Vec::new,
    || vec![(Wire::new().query("select pg_sleep(5)"), None)],
    || vec![(Wire::new().extended("select pg_sleep(0)", &[]).flush(), Some(b'C'))],
    || vec![(Wire::new().query("begin; update vanishing set i = i + 1"), Some(b'Z'))],
    || vec![(Wire::new().query("begin; selec"), Some(b'Z'))],
    || vec![(Wire::new().query("copy vanishing from stdin").copy_data(b"7\n"), Some(b'G'))],
    || vec![(Wire::new().query("select generate_series(1, 10000000)"), Some(b'D'))],
    || vec![(Wire(Wire::new().query(&"half ".repeat(4000)).0[..9000].to_vec()), None)],
    || {
        vec![
            (Wire::new().query("set work_mem = '77kB'"), Some(b'Z')),
            (Wire::new().query("create temp table left_behind (i int)"), Some(b'Z')),
        ]
    },
    || vec![(Wire::new().parse("v", "selec").flush(), Some(b'E'))],
];

fn count(what: &AtomicUsize) {
    what.fetch_add(1, Ordering::Relaxed);
}

/// Sends, and reads the last answer; None: the connection is lost.
fn say(client: &mut Client, wire: &Wire) -> Option<Answer> {
    client.try_send(wire).ok()?;
    (0..wire.count_of(b"QS")).map(|_| client.try_until_ready().ok()).last()?
}

/// Sends, and waits for that tag; None: the connection is lost.
fn act(client: &mut Client, (wire, tag): &(Wire, Option<u8>)) -> Option<()> {
    client.try_send(wire).ok()?;
    let Some(tag) = tag else { return Some(()) };
    while client.read()?.tag != *tag {}
    Some(())
}

impl Chaos {
    fn random(&self, stream: u64) -> Seeded {
        Seeded::from(self.soak.seed.wrapping_add(stream << 32))
    }

    /// A slow machine has more time, until enough has happened.
    fn is_over(&self) -> bool {
        let late = self.counts.checked.load(Ordering::Relaxed) <= CHECKED_MIN;
        Instant::now() >= if late { self.end + PATIENCE } else { self.end }
    }

    /// None: its server was terminated while it logged in.
    fn connect(&self) -> Option<Client> {
        let mut client = self.pooler.connect();
        client.start(&Login::new(self.soak.user, "bench")).ok().map(|()| client)
    }

    /// One pgbench after the other; every second one is killed.
    fn bench(&self, number: u64) {
        let mut random = self.random(number);
        while !self.is_over() {
            let mut command = tools::program_at(self.pooler.port, "pgbench");
            command.args(["-U", self.soak.user, "-n", "-M", "prepared", "-c", "4", "-T", "2"]);
            command.arg("-f").arg(&self.script).arg("bench");
            let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
            let mut child = child.expect("pgbench runs");
            if random.below(2) == 0 {
                crate::support::let_pass(Duration::from_millis(100 + random.below(1000) as u64));
                child.kill().expect("it is our child");
                count(&self.counts.killed);
            }
            let output = child.wait_with_output().unwrap();
            self.judge(&String::from_utf8_lossy(&output.stderr));
        }
    }

    /// What a pgbench had to complain of: the end of a server, which is fatal, and nothing else.
    fn judge(&self, said: &str) {
        for line in said.lines() {
            if line.contains("error: client") {
                count(&self.counts.lost);
            }
            let ours = !line.contains("ERROR:") || line.contains("remote server read/write error");
            assert!(ours, "seed {}: {said}", self.soak.seed);
        }
    }

    /// Asks for what only it can know, with a setting of its own.
    fn be_honest(&self, number: u64) {
        let mut random = self.random(100 + number);
        while !self.is_over() {
            let Some(mut client) = self.connect() else { continue };
            match self.ask(&mut client, number, &mut random) {
                Some(()) => client.leave(),
                None => count(&self.counts.lost),
            }
        }
    }

    fn ask(&self, client: &mut Client, number: u64, random: &mut Seeded) -> Option<()> {
        const OWN: &str =
            "select $1::text, current_setting('work_mem'), to_regclass('left_behind')";
        let work_mem = format!("{}kB", 1000 + number);
        let set = format!("set work_mem = '{work_mem}'");
        say(client, &Wire::new().query(&set).parse("s", OWN).sync())?;
        for _ in 0..100 {
            if self.is_over() {
                break;
            }
            let value = random.next().to_string();
            let wire = match random.below(2) {
                0 => Wire::new().run("s", &[&value]),
                _ => Wire::new().extended(OWN, &[&value]),
            };
            let answer = say(client, &wire.sync())?;
            let expected = [[Some(value), Some(work_mem.clone()), None]];
            assert_eq!(answer.rows(), expected, "seed {}: {answer:?}", self.soak.seed);
            count(&self.counts.checked);
        }
        Some(())
    }

    /// Leaves in the middle of everything.
    fn vanish(&self, number: u64) {
        let mut random = self.random(200 + number);
        while !self.is_over() {
            let Some(mut client) = self.connect() else { continue };
            let state = STATES[random.below(STATES.len())]();
            let _ = state.iter().try_for_each(|deed| act(&mut client, deed));
            if random.below(2) == 0 {
                crate::support::let_pass(Duration::from_millis(random.below(30) as u64));
            }
            count(&self.counts.vanished);
            match random.below(2) {
                0 => client.vanish_by_reset(),
                _ => client.vanish_by_close(),
            }
        }
    }

    /// What is left when all are gone: no transaction, every place, no setting, no row.
    fn expect_peace(&self) {
        let user = self.soak.user;
        let postgres = Postgres::shared();
        postgres.wait_for_backends(&format!("usename = '{user}' and state <> 'idle'"), 0, PATIENCE);
        let count = format!("select count(*) from pg_stat_activity where usename = '{user}'");
        let mut admin = postgres.admin();
        until("no more servers than allowed", PATIENCE, || {
            (admin.scalar(&count).parse::<usize>().unwrap() <= SERVERS).then_some(())
        });
        let mut clients: Vec<Client> = (0..SERVERS).map(|_| self.connect().unwrap()).collect();
        for client in &mut clients {
            assert_eq!(client.query("begin; select 1").status(), 'T', "every place is in use");
        }
        for client in &mut clients {
            assert_eq!(client.scalar("select current_setting('work_mem')"), "4MB");
            assert_eq!(client.scalar("select to_regclass('left_behind') is null"), "t");
            assert_eq!(client.scalar("select array_agg(i) from vanishing"), "{0}");
        }
        drop(clients);
        for word in ["panicked", "unexpected", "malformed", "corrupt"] {
            assert!(!self.pooler.log().contains(word), "{word}: {}", self.pooler.log());
        }
    }
}

/// The tables of pgbench and one that only vanishing clients write to.
fn tables(user: &str) {
    tools::pgbench_tables();
    let mut owner = Client::try_connect(&Postgres::shared().address()).unwrap();
    owner.start(&Login::new("postgres", "bench")).unwrap();
    let made = owner.query(&format!(
        "create table vanishing as select 0 as i; grant all on all tables in schema public to {user}"
    ));
    assert_eq!(made.error(), None);
}

/// Seen to fail: a pooler that takes a server back whose client vanished without a discard.
#[test]
fn pgbench_among_the_dying() {
    let soak = prepare("soaked_by_pgbench", 4, true);
    tables(soak.user);
    let dir = new_dir("pooler-test-pgbench");
    let script = write(&dir, "script.sql", SCRIPT);
    let pooler = Setup::transaction(SERVERS).start();
    let end = Instant::now() + SPAN;
    let chaos = Chaos { pooler, soak, script, end, counts: Counts::default() };
    let stop = AtomicBool::new(false);
    let hit = thread::scope(|scope| {
        let killer = scope.spawn(|| terminate_at_random(soak, &stop));
        let mut all = Vec::new();
        let chaos = &chaos;
        all.extend((0..PROCESSES).map(|number| scope.spawn(move || chaos.bench(number))));
        all.extend((0..HONEST).map(|number| scope.spawn(move || chaos.be_honest(number))));
        all.extend((0..VANISHING).map(|number| scope.spawn(move || chaos.vanish(number))));
        let ends: Vec<_> = all.into_iter().map(thread::ScopedJoinHandle::join).collect();
        stop.store(true, Ordering::Relaxed);
        assert!(ends.iter().all(Result::is_ok), "each saw only what was its own");
        killer.join().unwrap()
    });
    let Counts { killed, vanished, checked, lost } = &chaos.counts;
    let [killed, vanished, checked, lost] =
        [killed, vanished, checked, lost].map(|count| count.load(Ordering::Relaxed));
    println!("{hit} servers terminated, {killed} pgbenches killed, {vanished} clients vanished");
    println!("{lost} clients lost their server, {checked} answers were checked");
    assert!(lost <= hit, "{lost} clients saw an error, only {hit} servers were terminated");
    assert!(checked > CHECKED_MIN, "{checked}");
    chaos.expect_peace();
    chaos.pooler.stop();
    std::fs::remove_dir_all(&dir).unwrap();
}
