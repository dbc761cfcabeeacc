//! Reloads under load: pgbench runs on rules that stay, are tuned and are replaced, while the file
//! changes fifty times. No transaction may fail.

use super::{DONE, reload, servers};
use crate::support::pooler::OPEN;
use crate::support::process::{new_dir, run, write};
use crate::support::{PATIENCE, Pooler, Postgres, Setup, let_pass, until};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const RELOADS: usize = 50;
const ROLES: [&str; 3] = ["still", "tuned", "replaced"];

/// The file as it stands after so many changes.
fn setup(change: usize) -> Setup {
    let pool = format!(r#"{OPEN} pool "transaction""#);
    let size = 2 + change % 3;
    let work_mem = 64 + change;
    let mut setup = Setup::new()
        .rule("postgres", "still", &format!("{pool} pool_size 4"))
        .rule("postgres", "tuned", &format!("{pool} pool_size {size} min_pool_size 1"))
        .rule(
            "postgres",
            "replaced",
            &format!(
                "{pool} pool_size 2 backend_startup_options {{ \"work_mem\" \"{work_mem}\" }}"
            ),
        );
    if change % 2 == 1 {
        setup = setup.rule("postgres", "guest", &pool).global("client_max 500");
    }
    setup
}

/// Load between two reloads.
const PAUSE: Duration = Duration::from_millis(50);

/// pgbench again and again until told to stop; how often it ran.
fn bench(port: u16, role: &str, script: &Path, stop: &AtomicBool) -> usize {
    let mut runs = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut command = Postgres::shared().program("pgbench");
        command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", role]);
        // A prepared one waits for a server inside pgbench while its other clients hold theirs.
        command.args(["-n", "-T", "1", "-c", "8", "-M", "extended", "-f"]).arg(script);
        let (good, out, err) = run(command.arg("postgres"));
        assert!(good && !err.contains("aborted"), "{role}: {out}{err}");
        let failed = out.lines().find(|line| line.contains("failed transactions"));
        assert!(failed.is_none_or(|line| line.contains(": 0 (")), "{role}: {out}");
        runs += 1;
    }
    runs
}

/// Whatever ends the test ends the load.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The servers of the role, by what makes them the same.
fn connections(role: &str) -> Vec<String> {
    let sql = format!(
        "select pid || ' ' || backend_start from pg_stat_activity where usename = '{role}' order by 1"
    );
    Postgres::shared().admin().query(&sql).column()
}

/// Fills the pool that is not to change.
fn fill(pooler: &Pooler) {
    let login = crate::support::Login::new("still", "postgres");
    let mut clients: Vec<_> = (0..4).map(|_| pooler.login(&login)).collect();
    for client in &mut clients {
        assert_eq!(client.query("begin; select 1").status(), 'T');
    }
    for client in &mut clients {
        client.query("commit");
    }
    servers("still", 4);
}

/// Seen to fail: reloads that make every rule a new one, as Odyssey's do, give new servers to
/// `still` each time.
#[test]
fn fifty_reloads_under_load_fail_no_transaction() {
    for role in ROLES {
        Postgres::shared().role(role);
    }
    let pooler = setup(0).start();
    fill(&pooler);
    let before = connections("still");
    let dir = new_dir("pooler-test-reload");
    let script = write(&dir, "bench.sql", "begin;\nselect 1;\ncommit;\nselect 2;\n");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _ends = Ends(&stop);
        let (port, script, stop) = (pooler.port, &script, &stop);
        let benches = ROLES.map(|role| scope.spawn(move || bench(port, role, script, stop)));
        for change in 1..=RELOADS {
            let log = reload(&pooler, &setup(change));
            assert!(log.contains(DONE), "{log}");
            let_pass(PAUSE);
        }
        stop.store(true, Ordering::Relaxed);
        for bench in benches {
            assert!(bench.join().unwrap() > 0);
        }
    });
    assert_eq!(connections("still"), before, "the same servers");
    // Only those of the last change are left, when the clients of the others are gone.
    until("the servers of replaced rules to go", PATIENCE, || {
        (connections("replaced").len() <= 2).then_some(())
    });
    std::fs::remove_dir_all(&dir).unwrap();
    pooler.stop();
}
