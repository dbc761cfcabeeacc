//! Twins: the same random client twice, once on PostgreSQL itself and once through the pooler,
//! where others of its kind use the same few servers meanwhile. All they are told has to be the
//! same, message by message. It does not know what is right: PostgreSQL says so.

mod alphabet;
mod noise;
mod shrink;
mod told;

use crate::support::{Client, Login, Pooler, Postgres, Seeded, Setup};
use alphabet::Script;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use told::{Told, tell, tell_as};

const CLIENTS: usize = 5;
const STEPS: usize = 40;
/// Noisy clients beside them.
const NOISES: usize = 2;
/// Each has a pool of its own.
const USERS: [&str; 2] = ["twin", "twin_sister"];
/// How long clients are born; `POOLER_TEST_SPAN_S` says otherwise, for a night of it.
const SPAN: Duration = Duration::from_secs(6);

/// Why a client's life through the pooler is not that of its twin.
struct Differs {
    step: usize,
    told: Told,
}

fn login(script: &Script) -> Login {
    let login = Login::new(USERS[script.user], "postgres");
    script.options.iter().fold(login, |login, (name, value)| login.option(name, value))
}

/// Where a round is played.
struct Scene {
    setup: Setup,
    /// Of so many users, each with servers of its own.
    users: usize,
    /// Others are there, too.
    noise: Option<u64>,
}

impl Scene {
    fn of(seed: u64) -> Scene {
        let setup = match seed % 8 {
            0 => Setup::session(CLIENTS + NOISES),
            1 => Setup::transaction(1),
            2 => Setup::transaction(3).global("virtual_transaction no"),
            3..5 => Setup::transaction(3),
            _ => Setup::transaction(2),
        };
        let setup = match seed / 8 % 8 {
            0 | 1 => setup.with("pool_reserve_prepared_statement no"),
            2 if !seed.is_multiple_of(8) => setup.with("pool_smart_discard yes"),
            _ => setup,
        };
        let noise = (seed / 128).is_multiple_of(2).then_some(seed);
        Scene { setup, users: 1 + (seed / 64 % 2) as usize, noise }
    }

    /// Who makes noise: as which user, and by which seed.
    fn noises(&self) -> impl Iterator<Item = (Login, Seeded)> {
        let login = |number| Login::new(USERS[number % self.users], "postgres");
        let seeded = |seed: u64, number| Seeded::from(seed.wrapping_add(1 + number as u64));
        let seeds = self.noise.into_iter();
        seeds.flat_map(move |seed| (0..NOISES).map(move |one| (login(one), seeded(seed, one))))
    }
}

/// Says that it is over when it ends, however that is.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What PostgreSQL itself says to this client, which comes anew when it was sent away.
fn directly(script: &Script) -> Vec<Told> {
    let connect = || {
        let mut client = Client::try_connect(&Postgres::shared().address()).unwrap();
        client.start(&login(script)).unwrap();
        client
    };
    let mut client = connect();
    let tell = |step| {
        let told = tell(&mut client, step);
        if told.hung_up {
            client = connect();
        }
        told
    };
    script.steps.iter().map(tell).collect()
}

/// Is it told the same through the pooler?
fn pooled(pooler: &Pooler, script: &Script, twin: &[Told]) -> Result<(), Differs> {
    let mut client = pooler.login(&login(script));
    for (number, (step, twin)) in script.steps.iter().zip(twin).enumerate() {
        let told = tell_as(&mut client, step, twin);
        if !told.is_as_good_as(twin) {
            return Err(Differs { step: number, told });
        }
        if told.parts_from(twin) {
            break;
        }
        if told.hung_up {
            client = pooler.login(&login(script));
        }
    }
    let _ = client.try_send(&script.goodbye);
    Ok(())
}

fn describe(script: &Script, twin: &[Told], differs: &Differs) -> String {
    let Differs { step, told } = differs;
    let mut text = format!("{:?}\n", script.options);
    for (number, said) in script.steps.iter().enumerate().take(step + 1) {
        let first = |message: &String| message.chars().take(1).collect::<String>();
        let told: Vec<String> = twin[number].messages.iter().map(first).collect();
        let _ = writeln!(text, "{number}: {} => {}", said.text, told.join(""));
    }
    let short = |message: &String| message.chars().take(300).collect::<String>();
    for (who, told) in [("PostgreSQL itself", &twin[*step]), ("the pooler", told)] {
        let mut lines: Vec<String> = told.messages.iter().map(short).collect();
        lines.extend(told.hung_up.then(|| "the end".into()));
        let _ = writeln!(text, "{who}:\n  {}", lines.join("\n  "));
    }
    if let (Some(one), Some(other)) = (&twin[*step].parameters, &told.parameters) {
        let differs = |(name, value): &(&String, &String)| one.get(*name) != Some(value);
        let _ =
            writeln!(text, "parameters: {:?}", other.iter().filter(differs).collect::<Vec<_>>());
    }
    text
}

/// Some clients at once, over fewer servers.
fn round(seed: u64) -> usize {
    let scene = Scene::of(seed);
    let mut random = Seeded::from(seed);
    let make = |number| Script::new(number, number % scene.users, STEPS, &mut random);
    let scripts: Vec<Script> = (0..CLIENTS).map(make).collect();
    if let Some(differs) = play(&scene, &scripts) {
        eprintln!("POOLER_TEST_SEED={seed}\n{differs}\nand with as little as makes a difference:");
        panic!("{}", shrink::shrink(&scene, scripts).unwrap_or_default());
    }
    CLIENTS * STEPS
}

/// Each of them by itself, and then all through the pooler: what somebody was told otherwise.
fn play(scene: &Scene, scripts: &[Script]) -> Option<String> {
    prepare_tables();
    let twins: Vec<Vec<Told>> = thread::scope(|scope| {
        let direct = scripts.iter().map(|script| scope.spawn(|| directly(script)));
        let direct: Vec<_> = direct.collect();
        direct.into_iter().map(|one| one.join().unwrap()).collect()
    });
    prepare_tables();
    let pooler = scene.setup.start();
    let over = AtomicBool::new(false);
    let differences: Vec<String> = thread::scope(|scope| {
        let (pooler, over) = (&pooler, &over);
        for (login, random) in scene.noises() {
            scope.spawn(move || noise::make(pooler, &login, random, over));
        }
        let _ends = Ends(over);
        let pairs = scripts.iter().zip(&twins);
        let threads = pairs.map(|(script, twin)| scope.spawn(move || pooled(pooler, script, twin)));
        let threads: Vec<_> = threads.collect();
        let ends = threads.into_iter().map(|one| one.join().unwrap());
        let told = ends.zip(scripts).zip(&twins);
        let differs = told.filter_map(|((end, script), twin)| Some((end.err()?, script, twin)));
        differs.map(|(differs, script, twin)| describe(script, twin, &differs)).collect()
    });
    if !differences.is_empty() {
        return Some(differences.join("\n\n"));
    }
    pooler.stop();
    None
}

fn prepare_tables() {
    let mut admin = Postgres::shared().admin();
    let left = "select pg_terminate_backend(pid) from pg_stat_activity where usename ~ '^twin'";
    assert_eq!(admin.query(left).error(), None);
    for number in 0..CLIENTS {
        let made = format!(
            "drop table if exists twin_{number};
             create table twin_{number} (i int primary key, t text);
             insert into twin_{number} values (1, 'one'), (2, 'two'), (3, 'three');
             grant all on twin_{number} to twin, twin_sister"
        );
        assert_eq!(admin.query(&made).error(), None);
    }
}

/// Whatever clients do, and in whatever order: they are told what PostgreSQL itself tells them.
#[test]
fn random_clients_are_told_what_postgresql_tells_them() {
    for user in USERS {
        Postgres::shared().role(user);
    }
    let made = "create role twin_clerk; grant twin_clerk to twin, twin_sister";
    assert_eq!(Postgres::shared().admin().query(made).error(), None);
    let span = std::env::var("POOLER_TEST_SPAN_S").ok().and_then(|text| text.parse().ok());
    let end = Instant::now() + span.map_or(SPAN, Duration::from_secs);
    let mut seeds = Seeded::new(7);
    let mut steps = 0;
    for number in 0.. {
        let seed = if number == 0 { given(&mut seeds) } else { seeds.next() };
        steps += round(seed);
        if Instant::now() > end {
            break;
        }
    }
    println!("{steps} steps");
}

/// A seed that is given is that of a round.
fn given(seeds: &mut Seeded) -> u64 {
    let given = std::env::var("POOLER_TEST_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| seeds.next())
}
