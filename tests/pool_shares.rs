//! What pools have together: a server that takes no more connections, logins under way to a
//! storage, and the servers of a `shared_pool`.

use crate::support::fake::{FakeSession, error, one_row};
use crate::support::pooler::OPEN;
use crate::support::{
    Client, FakeServer, Login, PATIENCE, Pooler, Postgres, Setup, Wire, in_some_try, let_pass,
    until,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Answers all with one row, `begin` and `commit` as they should be, until the pooler leaves.
fn serve(session: &mut FakeSession) -> Option<()> {
    let mut status = b'I';
    loop {
        let (tag, body) = session.read_until(b"QX")?;
        if tag == b'X' {
            return None;
        }
        status = if body.starts_with(b"start transaction") { b'T' } else { status };
        status = if body.starts_with(b"commit") { b'I' } else { status };
        let mut answer = one_row();
        *answer.0.last_mut().unwrap() = status;
        session.send(&answer)?;
    }
}

/// How many connections to a fake server were made, how many there are, and the most there were.
#[derive(Default)]
struct Count {
    made: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Count {
    fn enter(&self) -> usize {
        self.made.fetch_add(1, Ordering::SeqCst);
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        now
    }

    fn leave(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A server that takes one connection and has no room for more.
fn full_server() -> (FakeServer, Arc<Count>) {
    let count = Arc::new(Count::default());
    let counted = count.clone();
    let server = FakeServer::start(move |mut session| {
        if counted.enter() > 1 {
            session.read_packet();
            session.send(&error("FATAL", "53300", "sorry, too many clients already"));
        } else if session.greet().is_some() {
            serve(&mut session);
        }
        counted.leave();
    });
    (server, count)
}

#[test]
fn a_server_without_room_makes_clients_wait_for_another() {
    let (server, count) = full_server();
    let pooler = Setup::in_front_of(server.port, 5).with("pool_timeout 10000").start();
    let (mut holder, mut waiting) = (pooler.client(), pooler.client());
    holder.query("start transaction");
    waiting.send(&Wire::new().query("select 1"));
    assert!(waiting.is_silent_for(Duration::from_millis(500)));
    let made = count.made.load(Ordering::SeqCst);
    assert!((2..20).contains(&made), "it is tried again, seldom: {made}");
    holder.query("commit");
    assert_eq!(waiting.until_ready().column(), ["x"]);
    pooler.wait_for_line("too many clients already");
    assert_eq!(pooler.log().matches("too many clients already").count(), 1, "it is logged once");
    pooler.stop();
}

#[test]
fn a_server_without_room_is_named_when_the_wait_was_in_vain() {
    let (server, _) = full_server();
    let setup = Setup::in_front_of(server.port, 5).with("client_fwd_error yes");
    let pooler = setup.clone().with("pool_timeout 300").start();
    let (mut holder, mut waiting) = (pooler.client(), pooler.client());
    holder.query("start transaction");
    waiting.send(&Wire::new().query("select 1"));
    let refused = waiting.until_closed().error().expect("a refusal");
    let text = "too many active clients for user (pool_size for user postgres.app reached 5)";
    assert_eq!(refused.whole(), ("FATAL", "53300", text));
    let detail = refused.detail.expect("a detail");
    assert!(detail.contains("; the server takes no more connections"), "{detail}");
    pooler.stop_with(vec![holder]);

    // For ever is too long: without pool_timeout the reason is told at once.
    let pooler = setup.start();
    let (mut holder, mut other) = (pooler.client(), pooler.client());
    holder.query("start transaction");
    other.send(&Wire::new().query("select 1"));
    let refused = other.until_closed().error().expect("a refusal");
    assert_eq!(refused.whole(), ("FATAL", "53300", "sorry, too many clients already"));
    pooler.stop_with(vec![holder]);
}

#[test]
fn a_pool_without_any_server_fails_at_once_though_it_might_wait() {
    let server = FakeServer::start(|mut session| {
        session.read_packet();
        session.send(&error("FATAL", "53300", "sorry, too many clients already"));
    });
    let options = "pool_timeout 60000 client_fwd_error yes";
    let pooler = Setup::in_front_of(server.port, 5).with(options).start();
    let started = Instant::now();
    let refused = pooler.refused(&Login::new("app", "postgres"));
    assert_eq!(refused.whole(), ("FATAL", "53300", "sorry, too many clients already"));
    assert!(started.elapsed() < Duration::from_secs(10));
    pooler.stop();
}

/// A real server's limit, and more clients than it takes.
#[test]
fn a_role_s_connection_limit_costs_nobody_an_error() {
    let mut admin = Postgres::shared().admin();
    let login = Postgres::shared().role("narrow");
    admin.query("alter role narrow connection limit 3");
    let pool = format!(r#"{OPEN} pool "transaction" pool_size 20 pool_timeout 30000"#);
    let pooler = Setup::new().rule("postgres", "narrow", &pool).start();
    let clients: Vec<Client> = (0..16).map(|_| pooler.login(&login)).collect();
    let workers: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            thread::spawn(move || {
                for _ in 0..30 {
                    assert_eq!(client.query("select pg_sleep(0.002)").error(), None);
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    pooler.stop();
}

/// A fake server whose logins take a while; counts those under way.
fn slow_server(greets_after: Duration) -> (FakeServer, Arc<Count>) {
    let count = Arc::new(Count::default());
    let counted = count.clone();
    let server = FakeServer::start(move |mut session| {
        session.read_packet();
        counted.enter();
        let_pass(greets_after);
        counted.leave();
        session.send(&crate::support::fake::greeting());
        serve(&mut session);
    });
    (server, count)
}

/// All at once, each a query in a transaction that stays open.
fn begin_all(pooler: &Pooler, logins: &[Login]) -> Vec<Client> {
    let mut clients: Vec<Client> = logins.iter().map(|login| pooler.login(login)).collect();
    for client in &mut clients {
        client.send(&Wire::new().query("start transaction"));
    }
    for client in &mut clients {
        assert_eq!(client.until_ready().status(), 'T');
    }
    clients
}

/// Seen to fail: without the limit 24 logins are under way.
#[test]
fn logins_to_a_storage_are_bounded_over_all_its_routes() {
    let (server, count) = slow_server(Duration::from_millis(50));
    let storage =
        format!(r#"type "remote" host "127.0.0.1" port {} server_max_routing 3"#, server.port);
    let pool = format!(r#"{OPEN} pool "transaction""#);
    let setup = Setup::without_storage().storage("pg", &storage);
    let pooler = setup.rule("default", "default", &pool).start();
    let logins: Vec<Login> =
        (0..24).map(|n| Login::new(if n % 2 == 0 { "app" } else { "other" }, "postgres")).collect();
    let clients = begin_all(&pooler, &logins);
    assert!(count.made.load(Ordering::SeqCst) >= 24);
    assert_eq!(count.most.load(Ordering::SeqCst), 3);
    pooler.stop_with(clients);
}

#[test]
fn a_pool_that_has_servers_opens_fewer_at_once() {
    let (server, count) = slow_server(Duration::from_millis(30));
    let storage =
        format!(r#"type "remote" host "127.0.0.1" port {} server_max_routing 8"#, server.port);
    let pool = format!(r#"{OPEN} pool "transaction" pool_size 8"#);
    let setup = Setup::without_storage().storage("pg", &storage);
    let pooler = setup.rule("default", "default", &pool).start();
    let mut clients = begin_all(&pooler, &vec![Login::new("app", "postgres"); 4]);
    count.most.store(0, Ordering::SeqCst);
    clients.extend(begin_all(&pooler, &vec![Login::new("app", "postgres"); 4]));
    assert_eq!(count.most.load(Ordering::SeqCst), 1, "half full: one at a time");
    pooler.stop_with(clients);
}

/// Seen to fail: a limit of the whole process lets the silent storage stall the other.
#[test]
fn a_storage_that_says_nothing_stalls_no_other_and_pool_timeout_bounds_its_clients() {
    let tried = Arc::new(AtomicBool::new(false));
    let is_tried = tried.clone();
    let silent = FakeServer::start(move |session| {
        is_tried.store(true, Ordering::SeqCst);
        session.stay_silent();
    });
    let storage =
        format!(r#"type "remote" host "127.0.0.1" port {} server_max_routing 1"#, silent.port);
    let pool = r#"authentication "none" pool "transaction" pool_timeout 400"#;
    let setup = Setup::new().storage("silent", &storage);
    let setup = setup.rule("nowhere", "default", &format!(r#"{pool} storage "silent""#));
    let pooler = setup.rule("default", "default", &format!(r#"{pool} storage "pg""#)).start();
    let mut stuck = pooler.connect();
    stuck.send(&Login::new("app", "nowhere").packet());
    until("the attempt", PATIENCE, || tried.load(Ordering::SeqCst).then_some(()));
    let started = Instant::now();
    let refused = pooler.refused(&Login::new("other", "nowhere"));
    assert_eq!(refused.code, "53300");
    let detail = refused.detail.expect("a detail");
    assert!(detail.contains("; 1 of 1 logins to the storage under way;"), "{detail}");
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(10), "{took:?}");
    assert_eq!(pooler.client().scalar("select 1"), "1");
    pooler.stop_with(vec![stuck]);
}

#[test]
fn who_waits_to_open_takes_a_server_that_comes_back_first() {
    let (slow, tried) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (is_slow, is_tried) = (slow.clone(), tried.clone());
    let server = FakeServer::start(move |mut session| {
        if is_slow.load(Ordering::SeqCst) {
            is_tried.store(true, Ordering::SeqCst);
            return session.stay_silent();
        }
        if session.greet().is_some() {
            serve(&mut session);
        }
    });
    let setup = Setup::in_front_of(server.port, 5).global("workers 1");
    let setup = setup.with("pool_timeout 10000 pool_notice_after_waiting_ms 0");
    let pooler = setup.start();
    let mut clients: Vec<Client> = (0..3).map(|_| pooler.client()).collect();
    clients[0].query("start transaction");
    slow.store(true, Ordering::SeqCst);
    clients[1].send(&Wire::new().query("select 1"));
    until("the attempt", PATIENCE, || tried.load(Ordering::SeqCst).then_some(()));
    clients[2].send(&Wire::new().query("select 1"));
    clients[2].until_tag(b'N'); // it waits
    clients[0].query("commit");
    assert_eq!(clients[2].until_ready().column(), ["x"], "the second waits for the silent one");
    pooler.stop_with(clients);
}

/// Two roles of the test's own behind one budget.
fn shared(size: usize, one: &str, other: &str) -> (Pooler, Login, Login) {
    let (login, other_login) = (Postgres::shared().role(one), Postgres::shared().role(other));
    let rule = format!(r#"{OPEN} pool "transaction" shared_pool "both""#);
    let pooler = Setup::new()
        .global(&format!(r#"shared_pool "both" {{ pool_size {size} }}"#))
        .global("workers 1")
        .rule("postgres", one, &rule)
        .rule("postgres", other, &format!("{rule} pool_timeout 20000"))
        .start();
    (pooler, login, other_login)
}

fn servers_of(roles: &str, count: usize) {
    let condition = format!("usename in ({roles})");
    Postgres::shared().wait_for_backends(&condition, count, PATIENCE);
}

#[test]
fn a_shared_pool_bounds_the_servers_of_all_its_routes() {
    let (pooler, one, other) = shared(2, "share_a", "share_b");
    let (mut a, mut b) = (pooler.login(&one), pooler.login(&other));
    a.query("start transaction");
    b.query("start transaction");
    servers_of("'share_a', 'share_b'", 2);
    let mut third = pooler.login(&one);
    in_some_try(|| {
        third.send(&Wire::new().query("select 'third'"));
        assert!(third.is_silent_for(Duration::from_millis(200)));
        let started = Instant::now();
        b.query("commit");
        assert_eq!(third.until_ready().column(), ["third"], "the other route's server made room");
        let took = started.elapsed();
        if took < Duration::from_millis(800) {
            return Ok(());
        }
        b.query("start transaction");
        Err(format!("it is not woken: {took:?}"))
    });
    servers_of("'share_a', 'share_b'", 2);
    servers_of("'share_b'", 0);
    pooler.stop_with(vec![a, b, third]);
}

#[test]
fn an_idle_server_of_another_route_makes_room() {
    let (pooler, one, other) = shared(1, "lend_a", "lend_b");
    let (mut a, mut b) = (pooler.login(&one), pooler.login(&other));
    for _ in 0..5 {
        assert_eq!(a.scalar("select current_user"), "lend_a");
        assert_eq!(b.scalar("select current_user"), "lend_b");
    }
    servers_of("'lend_a', 'lend_b'", 1);
    pooler.stop_with(vec![a, b]);
}

/// Seen to fail: a pool that hands every server to its own waiters lets the other route wait for
/// as long as these go on.
#[test]
fn a_busy_route_starves_no_other_of_its_shared_pool() {
    let (pooler, one, other) = shared(2, "busy_a", "busy_b");
    let stop = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..8)
        .map(|_| {
            let (mut client, stop) = (pooler.login(&one), stop.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    assert_eq!(client.query("select pg_sleep(0.001)").error(), None);
                }
            })
        })
        .collect();
    let_pass(Duration::from_millis(100));
    let started = Instant::now();
    let mut client = pooler.login(&other);
    assert_eq!(client.scalar("select 1"), "1");
    let took = started.elapsed();
    stop.store(true, Ordering::SeqCst);
    busy.into_iter().for_each(|worker| worker.join().unwrap());
    assert!(took < Duration::from_secs(5), "{took:?}");
    pooler.stop_with(vec![client]);
}

#[test]
fn a_shared_pool_that_is_spent_is_named_in_the_refusal() {
    let (pooler, one, other) = shared(1, "spent_a", "spent_b");
    let rule = format!(r#"{OPEN} pool "transaction" shared_pool "both" pool_timeout 300"#);
    pooler.stop();
    let pooler = Setup::new()
        .global(r#"shared_pool "both" { pool_size 1 }"#)
        .rule("postgres", "spent_a", &rule)
        .rule("postgres", "spent_b", &rule)
        .start();
    let mut holder = pooler.login(&one);
    holder.query("start transaction");
    let refused = pooler.refused(&other);
    assert_eq!(refused.code, "53300");
    let detail = refused.detail.expect("a detail");
    assert!(detail.contains("; 0 servers; 1 of 1 servers in the shared pool;"), "{detail}");
    pooler.stop_with(vec![holder]);
}
