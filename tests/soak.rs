//! Random clients over three servers, each with a model of what it must see: its settings, its
//! statements, its transaction, its answers. Servers are terminated and clients are killed at
//! random. What one client sees is decided by its own seed, so a failure can be repeated as far as
//! the clocks of others allow; the seed is printed and taken from `POOLER_TEST_SEED`.

mod model;
mod pgbench;
mod twins;

use crate::support::{Client, Login, Pooler, Postgres, Seeded, Setup, until};
use model::{Model, Step};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const CLIENTS: usize = 8;
const SERVERS: usize = 3;
const STEPS: usize = 400;
const SPAN_MAX: Duration = Duration::from_secs(15);
/// Codes that only somebody whose server was terminated may see.
const TERMINATED: [&str; 4] = ["57P01", "08006", "08003", "57P05"];

/// Who soaks: the user that all clients of a test share, the seed that all randomness follows from,
/// and whether clients are killed.
#[derive(Clone, Copy)]
struct Soak {
    user: &'static str,
    seed: u64,
    kills: bool,
}

/// What happened to a client, over all its steps.
#[derive(Default)]
struct Outcome {
    steps: usize,
    lost: usize,
}

/// One client after another with the same user: until it dies, by itself or not.
fn live(soak: Soak, connect: &dyn Fn(&Login) -> Option<Client>, end: Instant) -> Outcome {
    let Soak { user, seed, kills } = soak;
    let mut random = Seeded::from(seed);
    let mut outcome = Outcome::default();
    while outcome.steps < STEPS && Instant::now() < end {
        let (login, mut model) = Model::log_in(user, &mut random);
        let Some(mut client) = connect(&login) else {
            outcome.lost += 1;
            continue;
        };
        let life = 20 + random.below(100);
        for _ in 0..life {
            outcome.steps += 1;
            match model.step(&mut client, &mut random) {
                Step::Good => {}
                Step::Lost(code) if TERMINATED.contains(&code.as_str()) => {
                    outcome.lost += 1;
                    break;
                }
                Step::Lost(code) => panic!("seed {seed}: {code}: {}", model.history()),
                Step::Wrong(what) => panic!("seed {seed}: {what}: {}", model.history()),
            }
        }
        match random.below(3) {
            0 if kills => client.vanish_by_reset(),
            1 if kills => {
                let _ = client.try_send(&crate::support::Wire::new().query("select pg_sleep(9)"));
                client.vanish_by_close();
            }
            _ => client.leave(),
        }
    }
    outcome
}

impl Soak {
    /// One of its clients.
    fn number(self, number: u64) -> Soak {
        Soak { seed: self.seed.wrapping_add(number), ..self }
    }
}

/// A user of the test's own, and the role that all of them may take.
fn prepare(user: &'static str, default_seed: u64, kills: bool) -> Soak {
    let mut admin = Postgres::shared().admin();
    let clerk = "do $$ begin create role soaked_clerk;
                 exception when duplicate_object or unique_violation then null; end $$";
    assert_eq!(admin.query(clerk).error(), None);
    let made = format!("create role {user} login; grant soaked_clerk to {user}");
    assert_eq!(admin.query(&made).error(), None);
    Soak { user, seed: Seeded::new(default_seed).next(), kills }
}

/// The model has to be right before it may judge.
#[test]
fn the_model_agrees_with_postgresql_itself() {
    let soak = prepare("soaked_directly", 1, false);
    let connect = |login: &Login| {
        let mut client = Client::try_connect(&Postgres::shared().address()).ok()?;
        client.start(login).ok().map(|()| client)
    };
    for number in 0..4 {
        let outcome = live(soak.number(number), &connect, Instant::now() + SPAN_MAX * 4);
        assert_eq!(outcome.lost, 0);
        assert!(outcome.steps >= STEPS);
    }
}

/// Terminates random servers until told to stop; how many it hit.
fn terminate_at_random(soak: Soak, stop: &AtomicBool) -> usize {
    let mut random = Seeded::from(soak.seed);
    let mut admin = Postgres::shared().admin();
    let user = soak.user;
    let pids = format!("select pid from pg_stat_activity where usename = '{user}' order by pid");
    let mut hit = 0;
    while !stop.load(Ordering::Relaxed) {
        crate::support::let_pass(Duration::from_millis(20 + random.below(100) as u64));
        let servers = admin.query(&pids).column();
        if !servers.is_empty() {
            let pid = &servers[random.below(servers.len())];
            hit += usize::from(admin.scalar(&format!("select pg_terminate_backend({pid})")) == "t");
        }
    }
    hit
}

/// Runs all clients at once; (steps, clients that lost their server).
fn run(pooler: &Arc<Pooler>, soak: Soak) -> (usize, usize) {
    let end = Instant::now() + SPAN_MAX / 2;
    let (steps, lost) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let threads: Vec<_> = (0..CLIENTS as u64)
        .map(|number| {
            let (pooler, steps, lost) = (pooler.clone(), steps.clone(), lost.clone());
            thread::spawn(move || {
                let connect = |login: &Login| {
                    let mut client = pooler.connect();
                    client.start(login).ok().map(|()| client)
                };
                let outcome = live(soak.number(number), &connect, end);
                steps.fetch_add(outcome.steps, Ordering::Relaxed);
                lost.fetch_add(outcome.lost, Ordering::Relaxed);
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("the client saw only what was its own");
    }
    (steps.load(Ordering::Relaxed), lost.load(Ordering::Relaxed))
}

/// What is left when all are gone: no transaction, no lock, not more servers than allowed.
fn expect_peace(pooler: &Pooler, user: &str) {
    let postgres = Postgres::shared();
    let busy = format!("usename = '{user}' and state <> 'idle'");
    postgres.wait_for_backends(&busy, 0, crate::support::PATIENCE);
    let mut admin = postgres.admin();
    let count = format!("select count(*) from pg_stat_activity where usename = '{user}'");
    until("no more servers than allowed", crate::support::PATIENCE, || {
        (admin.scalar(&count).parse::<usize>().unwrap() <= SERVERS).then_some(())
    });
    let mut clients: Vec<Client> =
        (0..SERVERS).map(|_| pooler.login(&Login::new(user, "postgres"))).collect();
    for client in &mut clients {
        assert_eq!(client.query("begin; select 1").status(), 'T', "every place is in use again");
    }
    for client in &mut clients {
        let seen = model::settings_of_nobody();
        assert_eq!(client.scalar(&seen.0), seen.1, "a fresh client sees defaults");
        assert_eq!(client.query("rollback").status(), 'I');
    }
}

/// Seen to fail: with a pooler that carries nothing along, at the second transaction; with one that
/// lets settings stay on servers, as soon as two clients meet on one.
#[test]
fn random_clients_see_nothing_but_their_own() {
    let soak = prepare("soaked", 2, true);
    let pooler = Arc::new(Setup::transaction(SERVERS).start());
    let (steps, lost) = run(&pooler, soak);
    println!("{steps} steps of {CLIENTS} clients over {SERVERS} servers");
    assert_eq!(lost, 0, "nobody's server was terminated");
    expect_peace(&pooler, soak.user);
    Arc::into_inner(pooler).expect("all threads are joined").stop();
}

/// Only the clients whose servers are terminated see an error, each one once.
#[test]
fn random_clients_survive_the_death_of_servers() {
    let soak = prepare("soaked_by_death", 3, true);
    let pooler = Arc::new(Setup::transaction(SERVERS).start());
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let killer = thread::spawn(move || terminate_at_random(soak, &stopped));
    let (steps, lost) = run(&pooler, soak);
    stop.store(true, Ordering::Relaxed);
    let hit = killer.join().unwrap();
    println!("{steps} steps, {hit} servers terminated, {lost} clients saw it");
    assert!(lost <= hit, "{lost} clients saw an error, only {hit} servers were terminated");
    expect_peace(&pooler, soak.user);
    Arc::into_inner(pooler).expect("all threads are joined").stop();
}
