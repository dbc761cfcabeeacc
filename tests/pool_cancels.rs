//! How many cancels are under way at once, how long they may take, and that a storm of them harms
//! nobody.

use crate::support::PATIENCE;
use crate::support::fake::{error, greeting, one_row};
use crate::support::{Client, FakeServer, Pooler, Postgres, Setup, Wire, let_pass, until};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const CANCEL_REQUEST: [u8; 4] = 80_877_102_u32.to_be_bytes();

/// What a fake server saw and when it goes on.
#[derive(Default)]
struct Scene {
    /// Cancels it got, those whose connection is open, the most there were.
    cancels: AtomicUsize,
    open: AtomicUsize,
    most: AtomicUsize,
    /// Connections of cancels are closed from now on.
    through: AtomicBool,
    /// Queries with `slow` that arrived.
    slow: AtomicUsize,
    /// They end now.
    released: AtomicBool,
}

/// A server that keeps the connections of cancels open until it is told to let them through.
fn server() -> (FakeServer, Arc<Scene>) {
    let scene = Arc::new(Scene::default());
    let seen = scene.clone();
    let server = FakeServer::start(move |mut session| {
        let Some(packet) = session.read_packet() else { return };
        if packet.starts_with(&CANCEL_REQUEST) {
            seen.cancels.fetch_add(1, Ordering::SeqCst);
            let open = seen.open.fetch_add(1, Ordering::SeqCst) + 1;
            seen.most.fetch_max(open, Ordering::SeqCst);
            while !seen.through.load(Ordering::SeqCst) {
                let_pass(Duration::from_millis(5));
            }
            seen.open.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        session.send(&greeting());
        while let Some((b'Q', sql)) = session.read_until(b"QX") {
            let answer = if sql.starts_with(b"slow") {
                seen.slow.fetch_add(1, Ordering::SeqCst);
                until("the release", PATIENCE, || {
                    seen.released.load(Ordering::SeqCst).then_some(())
                });
                error("ERROR", "57014", "canceled").message(b'Z', b"I")
            } else {
                one_row()
            };
            if session.send(&answer).is_none() {
                return;
            }
        }
    });
    (server, scene)
}

fn slow_clients(pooler: &Pooler, scene: &Scene, count: usize) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..count).map(|_| pooler.client()).collect();
    for client in &mut clients {
        assert_eq!(client.scalar("select 1"), "x");
        client.send(&Wire::new().query("slow"));
    }
    until("all to work", PATIENCE, || (scene.slow.load(Ordering::SeqCst) == count).then_some(()));
    clients
}

/// Each client's cancel, `times` over, all at once: none gets through before all have come.
fn cancel_all(pooler: &Pooler, scene: &Scene, clients: &[Client], times: usize) {
    let arrived = || pooler.log().matches("new client connection").count();
    let before = arrived();
    thread::scope(|scope| {
        for client in clients {
            (0..times).for_each(|_| drop(scope.spawn(|| client.cancel())));
        }
        until("all cancels", PATIENCE, || {
            (arrived() >= before + times * clients.len()).then_some(())
        });
        scene.through.store(true, Ordering::SeqCst);
    });
}

/// Seen to fail: without the bound all sixty are under way at once.
#[test]
fn cancels_under_way_are_bounded_and_one_does_for_many() {
    let (server, scene) = server();
    let setup = Setup::in_front_of(server.port, 12).global("cancel_max_inflight 3");
    let setup = setup.global("cancel_queue_timeout_ms 60000");
    let pooler = setup.global("cancel_timeout_ms 60000").start();
    let mut clients = slow_clients(&pooler, &scene, 12);
    cancel_all(&pooler, &scene, &clients, 5);
    scene.released.store(true, Ordering::SeqCst);
    assert_eq!(scene.most.load(Ordering::SeqCst), 3);
    let cancels = scene.cancels.load(Ordering::SeqCst);
    assert!((12..=36).contains(&cancels), "{cancels}");
    for client in &mut clients {
        assert_eq!(client.until_ready().code(), "57014");
        assert_eq!(client.scalar("select 1"), "x");
    }
    pooler.stop_with(clients);
}

#[test]
fn a_cancel_whose_turn_does_not_come_harms_nobody() {
    let (server, scene) = server();
    let setup = Setup::in_front_of(server.port, 2).global("cancel_max_inflight 1");
    let setup = setup.global("cancel_timeout_ms 0").global("cancel_queue_timeout_ms 200");
    let pooler = setup.start();
    let mut clients = slow_clients(&pooler, &scene, 2);
    let started = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| clients[0].cancel());
        until("the first cancel", PATIENCE, || {
            (scene.cancels.load(Ordering::SeqCst) == 1).then_some(())
        });
        clients[1].cancel();
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(200) && took < PATIENCE / 2, "{took:?}");
        pooler.wait_for_line("not delivered: too many cancels in flight");
        scene.through.store(true, Ordering::SeqCst);
        scene.released.store(true, Ordering::SeqCst);
    });
    for client in &mut clients {
        assert_eq!(client.until_ready().code(), "57014");
        assert_eq!(client.scalar("select 1"), "x");
    }
    assert_eq!(scene.cancels.load(Ordering::SeqCst), 1);
    pooler.stop_with(clients);
}

/// A cancel that may still come would hit the next client: that server is closed.
#[test]
fn a_cancel_that_takes_too_long_costs_its_server() {
    let (server, scene) = server();
    let pooler = Setup::in_front_of(server.port, 1).global("cancel_timeout_ms 200").start();
    let mut clients = slow_clients(&pooler, &scene, 1);
    let started = Instant::now();
    clients[0].cancel();
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(200) && took < PATIENCE / 2, "{took:?}");
    pooler.wait_for_line("not delivered");
    scene.through.store(true, Ordering::SeqCst);
    scene.released.store(true, Ordering::SeqCst);
    assert_eq!(clients[0].until_ready().code(), "57014");
    assert_eq!(clients[0].scalar("select 1"), "x");
    until("another server", PATIENCE, || {
        (pooler.log().matches("new server connection").count() == 2).then_some(())
    });
    pooler.stop_with(clients);
}

#[test]
fn a_thousand_cancels_at_once_harm_nobody() {
    const THREADS: usize = 40;
    let pooler = Setup::transaction(2).start();
    let (mut victim, mut bystander) = (pooler.client(), pooler.client());
    victim.send(&Wire::new().query("select /* stormy */ pg_sleep(60)"));
    let asleep = "query like 'select /* stormy */%' and state = 'active'";
    Postgres::shared().wait_for_backends(asleep, 1, PATIENCE);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let beside = thread::spawn(move || {
        let mut longest = Duration::ZERO;
        while !stopped.load(Ordering::SeqCst) {
            let started = Instant::now();
            assert_eq!(bystander.query("select pg_sleep(0.001)").error(), None);
            longest = longest.max(started.elapsed());
        }
        longest
    });
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..1000 / THREADS).for_each(|_| victim.cancel()));
        }
    });
    assert_eq!(victim.until_ready().code(), "57014");
    for _ in 0..50 {
        assert_eq!(victim.query("select pg_sleep(0.001)").error(), None, "the storm is over");
    }
    stop.store(true, Ordering::SeqCst);
    let longest = beside.join().unwrap();
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    pooler.stop();
}

/// Thirty clients vanish in the middle of a query; two cancels at a time bring all servers back.
#[test]
fn cancels_for_vanished_clients_wait_for_their_turn_too() {
    let setup = Setup::transaction(30).global("cancel_max_inflight 2");
    let pooler = setup.with("pool_reset_timeout_ms 10000").start();
    let mut clients: Vec<Client> = (0..30).map(|_| pooler.client()).collect();
    for client in &mut clients {
        client.send(&Wire::new().query("select /* forlorn */ pg_sleep(60)"));
    }
    let asleep = "query like 'select /* forlorn */%' and state = 'active'";
    Postgres::shared().wait_for_backends(asleep, 30, PATIENCE);
    clients.into_iter().for_each(Client::vanish_by_reset);
    Postgres::shared().wait_for_backends(asleep, 0, PATIENCE);
    assert_eq!(pooler.client().scalar("select 1"), "1");
    assert!(!pooler.log().contains("reset unsuccessful"), "{}", pooler.log());
    pooler.stop();
}
