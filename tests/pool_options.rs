//! What the options of a pool promise: how many servers there are, who is told what while it waits,
//! and who gets the next one.

use crate::support::pooler::OPEN;
use crate::support::{
    Answer, Client, FakeServer, Login, PATIENCE, PgError, Postgres, Setup, Wire, let_pass, until,
};
use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

/// A rule for one role of the test's own, so that its backends can be told from all others.
fn one_rule(role: &str, options: &str) -> Setup {
    Postgres::shared().role(role);
    let pool = format!(r#"{OPEN} pool "transaction" {options}"#);
    Setup::new().rule("postgres", role, &pool)
}

fn wait_for(role: &str, servers: usize) {
    let condition = format!("usename = '{role}'");
    Postgres::shared().wait_for_backends(&condition, servers, PATIENCE);
}

/// Seen to fail: an expiry that knows no minimum closes all three after a second.
#[test]
fn min_pool_size_is_kept_without_any_client() {
    let options = "pool_size 5 min_pool_size 3 pool_ttl 1";
    let pooler = one_rule("keeper", options).start();
    wait_for("keeper", 3);
    let line = pooler.wait_for_line("idle server connection preallocated for postgres.keeper");
    assert!(line.contains("(idle-preallocate)"), "{line}");
    let_pass(Duration::from_millis(2500));
    wait_for("keeper", 3);
    let mut admin = Postgres::shared().admin();
    let killed = admin.scalar("select min(pid) from pg_stat_activity where usename = 'keeper'");
    admin.query(&format!("select pg_terminate_backend({killed})"));
    until("another server", PATIENCE, || {
        let sql = format!(
            "select count(*) from pg_stat_activity where usename = 'keeper' and pid <> {killed}"
        );
        (admin.scalar(&sql) == "3").then_some(())
    });
    pooler.stop();
}

#[test]
fn a_kept_server_is_replaced_when_it_is_too_old() {
    let pooler = one_rule("ager", "pool_size 2 min_pool_size 1 server_lifetime 2").start();
    wait_for("ager", 1);
    let mut admin = Postgres::shared().admin();
    let sql = "select coalesce(min(pid), 0) || ' ' || count(*) from pg_stat_activity \
               where usename = 'ager'";
    let first = admin.scalar(sql);
    let mut least = 1;
    until("another server", PATIENCE, || {
        let now = admin.scalar(sql);
        let (pid, count) = now.split_once(' ').unwrap();
        least = least.min(count.parse::<usize>().unwrap());
        (count == "1" && !first.starts_with(pid)).then_some(())
    });
    assert_eq!(least, 1, "there was one at any time");
    pooler.stop();
}

/// The texts of the notices of an answer, which are all plain ones.
fn notices(answer: &Answer) -> Vec<String> {
    let notices = answer.0.iter().filter(|message| message.tag == b'N').map(|n| n.error());
    notices
        .map(|PgError { severity, code, message, .. }| {
            assert_eq!((severity.as_str(), code.as_str()), ("NOTICE", "00000"));
            message
        })
        .collect()
}

fn ms_of(notice: &str) -> u64 {
    let rest = notice.strip_prefix("waiting took ").unwrap_or_else(|| panic!("{notice}"));
    rest.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn who_waits_is_told_so_and_how_long_it_took() {
    let pooler = Setup::transaction(1).with("pool_notice_after_waiting_ms 100").start();
    let (mut holder, mut waiting) = (pooler.client(), pooler.client());
    assert_eq!(notices(&waiting.query("select 1")), Vec::<String>::new(), "nobody waited");
    holder.query("start transaction");
    waiting.send(&Wire::new().query("select 'at last'"));
    let first = waiting.until_tag(b'N');
    assert_eq!(notices(&first), ["waiting for free backend connection"]);
    assert!(waiting.is_silent_for(Duration::from_millis(200)), "it is said once");
    holder.query("commit");
    let answer = waiting.until_ready();
    assert_eq!(answer.column(), ["at last"]);
    let last = notices(&answer);
    assert_eq!(last.len(), 1);
    assert!((300..PATIENCE.as_millis() as u64).contains(&ms_of(&last[0])), "{last:?}");
    assert!(last[0].ends_with(" ms"), "{last:?}");
    pooler.stop();
}

#[test]
fn a_wait_in_vain_is_told_too_and_zero_tells_at_once() {
    let options = "pool_notice_after_waiting_ms 0 pool_timeout 300";
    let pooler = Setup::transaction(1).with(options).start();
    let (mut holder, mut waiting) = (pooler.client(), pooler.client());
    holder.query("start transaction");
    waiting.send(&Wire::new().query("select 1"));
    let answer = waiting.until_closed();
    let told = notices(&answer);
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], "waiting for free backend connection");
    assert!(told[1].ends_with(" ms, timeout") && ms_of(&told[1]) >= 300, "{told:?}");
    assert_eq!(answer.code(), "53300");
    pooler.stop_with(vec![holder]);
}

/// libpq takes nothing but an authentication request there.
#[test]
fn a_login_that_waits_is_told_nothing_before_it_is_in() {
    let server = FakeServer::start(|mut session| {
        let_pass(Duration::from_millis(300));
        let _ = session.greet();
        session.stay_silent();
    });
    let setup = Setup::in_front_of(server.port, 1).with("pool_notice_after_waiting_ms 0");
    let pooler = setup.start();
    let mut clients = [pooler.connect(), pooler.connect()];
    for client in &mut clients {
        client.send(&Login::new("app", "postgres").packet());
    }
    for client in &mut clients {
        let greeting = client.until_ready();
        assert_eq!((greeting.0[0].tag, notices(&greeting)), (b'R', vec![]));
    }
    pooler.stop_with(clients.into());
}

#[test]
fn pool_timeout_names_those_who_hold_the_servers() {
    let pooler = Setup::transaction(7).with("pool_timeout 1500").start();
    let mut holders: Vec<Client> = (0..7).map(|_| pooler.client()).collect();
    for holder in &mut holders {
        holder.query("start transaction");
    }
    let (mut early, mut late) = (pooler.client(), pooler.client());
    early.send(&Wire::new().query("select 1"));
    let_pass(Duration::from_millis(150));
    late.send(&Wire::new().query("select 1"));
    let refused = early.until_closed().error().expect("a refusal");
    let text = "too many active clients for user (pool_size for user postgres.app reached 7)";
    assert_eq!(refused.whole(), ("FATAL", "53300", text));
    let detail = refused.detail.expect("a detail");
    let (waited, rest) = detail.split_once(" ms; 7 servers: 7 held by ").expect(&detail);
    assert!(waited.strip_prefix("waited ").unwrap().parse::<u64>().unwrap() >= 1500, "{detail}");
    let (names, rest) = rest.split_once(" and ").expect(&detail);
    assert_eq!(names.split(' ').count(), 5, "{detail}");
    for name in names.split(' ') {
        assert!(name.len() == 13 && name.starts_with('c'), "{detail}");
        pooler.wait_for_line(&format!("[{name} "));
    }
    assert_eq!(rest, "2 more; 1 more clients wait");
    pooler.wait_for_line(&detail);
    late.until_closed();
    pooler.stop_with(holders);
}

/// Two clients that always want the only server: it is never idle. Seen to fail: a pool that looks
/// at the age of idle servers only keeps it for ever.
#[test]
fn a_server_that_is_never_idle_grows_no_older_than_server_lifetime() {
    let pooler = Setup::transaction(1).with("server_lifetime 1").start();
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let mut client = pooler.client();
            thread::spawn(move || {
                let (started, mut pids) = (Instant::now(), BTreeSet::new());
                while started.elapsed() < Duration::from_secs(3) {
                    pids.insert(client.scalar("select pg_backend_pid() from pg_sleep(0.002)"));
                }
                pids
            })
        })
        .collect();
    let pids: BTreeSet<String> = workers.into_iter().flat_map(|w| w.join().unwrap()).collect();
    assert!((2..=5).contains(&pids.len()), "{pids:?}");
    pooler.stop();
}

#[test]
fn a_server_that_hung_up_is_noticed_whatever_pool_attach_check_says() {
    for (role, check) in [("checked", "yes"), ("unchecked", "no")] {
        let options = format!(
            "pool_size 3 pool_attach_check {check} pool_acquire_fail_fast yes \
             reserve_session_server_connection {check}"
        );
        let pooler = one_rule(role, &options).start();
        let mut clients: Vec<Client> =
            (0..3).map(|_| pooler.login(&Login::new(role, "postgres"))).collect();
        for client in &mut clients {
            client.query("start transaction");
        }
        for client in &mut clients {
            client.query("commit");
        }
        wait_for(role, 3);
        let kill = "select pg_terminate_backend(pid) from pg_stat_activity where usename = ";
        Postgres::shared().admin().query(&format!("{kill}'{role}'"));
        wait_for(role, 0);
        for client in &mut clients {
            assert_eq!(client.scalar("select 1"), "1");
        }
        pooler.stop_with(clients);
    }
}

#[test]
fn client_max_routing_bounds_those_between_accept_and_route() {
    let pooler = Setup::transaction(2).global("client_max_routing 2").start();
    let mut known = pooler.client();
    let silent = [pooler.connect(), pooler.connect()];
    // They count as soon as they are accepted, which is before the next one is.
    let mut third = pooler.connect();
    third.send(&Login::new("app", "postgres").packet());
    assert!(third.is_silent_for(Duration::from_millis(300)), "two are under way");
    assert_eq!(known.scalar("select 1"), "1", "who is in is not concerned");
    let [first, second] = silent;
    first.vanish_by_close();
    assert_eq!(third.until_ready().status(), 'I');
    pooler.stop_with(vec![known, second, third]);
}
