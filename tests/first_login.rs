//! The first login of a route needs a server, to learn what servers report; the later ones do not.
//! And a server that cannot be had costs no client more than its patience.

use crate::support::fake::{FakeSession, greeting, one_row};
use crate::support::{
    Client, FakeServer, Login, PATIENCE, Pooler, Postgres, Setup, Wire, let_pass, until,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn wire() -> Wire {
    Wire::new()
}

/// The reason a login is refused with; it must be the failure to connect.
fn no_server(pooler: &Pooler) -> String {
    let refused = pooler.refused(&Login::new("app", "postgres"));
    let (severity, code, text) = refused.whole();
    assert_eq!((severity, code), ("FATAL", "08006"));
    assert!(text.starts_with("failed to connect to remote server s"), "{text}");
    refused.detail.expect("the true reason")
}

/// One that is up or down as the flag says.
fn wavering(up: &Arc<AtomicBool>) -> FakeServer {
    let up = Arc::clone(up);
    FakeServer::start(move |mut session: FakeSession| {
        session.read_packet();
        if !up.load(Ordering::SeqCst) || session.send(&greeting()).is_none() {
            return;
        }
        while session.read_until(b"Q").is_some() && up.load(Ordering::SeqCst) {
            session.send(&one_row());
        }
    })
}

/// Seen to fail: a pooler that asks a server at every login refuses them while it is down.
#[test]
fn a_login_needs_a_server_only_once() {
    let up = Arc::new(AtomicBool::new(false));
    let server = wavering(&up);
    let pooler = Setup::in_front_of(server.port, 1).start();
    for _ in 0..2 {
        assert_eq!(no_server(&pooler), "greeting: connection closed by peer");
    }
    up.store(true, Ordering::SeqCst);
    let mut first = pooler.client();
    assert_eq!(first.query("select 'x'").column(), ["x"]);
    up.store(false, Ordering::SeqCst);
    first.send(&wire().query("select 'x'"));
    assert_eq!(first.until_closed().error().expect("its server is gone").code, "08006");

    let mut later = pooler.client();
    assert_eq!(later.parameters, first.parameters);
    later.send(&wire().query("select 'x'"));
    let refused = later.until_closed().error().expect("no server");
    assert!(refused.ours().starts_with("failed to connect to remote server s"), "{refused:?}");
    assert_eq!(refused.detail.as_deref(), Some("greeting: connection closed by peer"));

    let mut patient = pooler.client();
    up.store(true, Ordering::SeqCst);
    assert_eq!(patient.query("select 'x'").column(), ["x"]);
    pooler.stop_with(vec![patient]);
}

/// How far a server comes before it falls silent.
#[derive(Clone, Copy, Debug)]
enum Silence {
    AtOnce,
    AfterStartup,
    InAuthentication,
    AfterAuthentication,
    InAMessage,
    BeforeReady,
}

const SILENCES: [Silence; 6] = [
    Silence::AtOnce,
    Silence::AfterStartup,
    Silence::InAuthentication,
    Silence::AfterAuthentication,
    Silence::InAMessage,
    Silence::BeforeReady,
];

/// A server that falls silent there, and how many clients it has now.
fn silent(silence: Silence) -> (FakeServer, Arc<AtomicUsize>) {
    let open = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&open);
    let server = FakeServer::start(move |mut session| {
        count.fetch_add(1, Ordering::SeqCst);
        if !matches!(silence, Silence::AtOnce) {
            session.read_packet();
        }
        let ok = wire().message(b'R', &[0, 0, 0, 0]);
        let parameter = ok.clone().message(b'S', b"TimeZone\0UTC\0");
        let said = match silence {
            Silence::AtOnce | Silence::AfterStartup => wire(),
            Silence::InAuthentication => wire().message(b'R', &[0, 0, 0, 3]),
            Silence::AfterAuthentication => ok,
            Silence::InAMessage => ok.raw(b"S\0\0\0\x20TimeZ"),
            Silence::BeforeReady => parameter.message(b'K', &[0, 0, 0, 7, 0, 0, 0, 9]),
        };
        session.send(&said);
        session.stay_silent();
        count.fetch_sub(1, Ordering::SeqCst);
    });
    (server, open)
}

fn within(limit: Duration, started: Instant, what: &str) {
    let took = started.elapsed();
    let late = limit + Duration::from_secs(10); // of the 30 s that there are otherwise
    assert!(took >= limit && took < late, "{what}: {took:?}");
}

/// Odyssey waits for ever for a server that accepts and says nothing. Seen to fail: with a deadline
/// for the connect alone all of these hang.
#[test]
fn a_server_that_accepts_and_never_answers_is_given_up() {
    let limit = Duration::from_millis(400);
    for silence in SILENCES {
        let (server, open) = silent(silence);
        let setup = Setup::in_front_of(server.port, 1).global("backend_connect_timeout_ms 400");
        let pooler = setup.with(r#"storage_password "p""#).start();
        for _ in 0..2 {
            let started = Instant::now();
            assert_eq!(no_server(&pooler), "greeting: timed out", "{silence:?}");
            within(limit, started, &format!("{silence:?}"));
        }
        // Nothing is left open on either side.
        let closed = || (open.load(Ordering::SeqCst) == 0).then_some(());
        until("its connections to close", PATIENCE, closed);
        pooler.stop();
    }
}

/// Nobody waits for it any more.
#[test]
fn a_client_that_leaves_a_silent_server_frees_its_place() {
    let (server, open) = silent(Silence::AfterStartup);
    let pooler = Setup::in_front_of(server.port, 1).start(); // 30 s
    let mut client = pooler.connect();
    client.send(&Login::new("app", "postgres").packet());
    until("the attempt", PATIENCE, || (open.load(Ordering::SeqCst) == 1).then_some(()));
    client.vanish_by_close();
    until("its end", PATIENCE / 2, || (open.load(Ordering::SeqCst) == 0).then_some(()));
    pooler.stop();
}

/// The first login waits for a server no longer than a login may take: while one is opened, and in
/// the queue behind somebody else's. Seen to fail: without the login's deadline both wait for the
/// server's, 30 s.
#[test]
fn a_first_login_is_bounded_by_the_login_timeout() {
    let limit = Duration::from_millis(700);
    let (server, _) = silent(Silence::AfterStartup);
    let setup = Setup::in_front_of(server.port, 1).listen("client_login_timeout 700");
    let pooler = Arc::new(setup.start());
    let clients = [(); 3].map(|()| {
        let pooler = Arc::clone(&pooler);
        thread::spawn(move || {
            let started = Instant::now();
            let refused = pooler.refused(&Login::new("app", "postgres"));
            within(limit, started, &format!("{refused:?}"));
            refused.code
        })
    });
    for client in clients {
        let code = client.join().unwrap();
        assert!(["08006", "53300"].contains(&code.as_str()), "{code}");
    }
    Arc::into_inner(pooler).expect("all have joined").stop();
}

/// The pool's own limit counts as well, where it is the shorter one.
#[test]
fn a_first_login_is_bounded_by_pool_timeout() {
    let (server, open) = silent(Silence::AfterStartup);
    let pooler = Setup::in_front_of(server.port, 1).with("pool_timeout 300").start();
    let mut holder = pooler.connect();
    holder.send(&Login::new("app", "postgres").packet());
    until("the attempt", PATIENCE, || (open.load(Ordering::SeqCst) == 1).then_some(()));
    let started = Instant::now();
    let refused = pooler.refused(&Login::new("app", "postgres"));
    assert_eq!((refused.severity.as_str(), refused.code.as_str()), ("FATAL", "53300"));
    within(Duration::from_millis(300), started, "pool_timeout");
    holder.vanish_by_close();
    pooler.stop();
}

/// Once logged in a client has no login timeout any more.
#[test]
fn the_login_timeout_ends_with_the_login() {
    let pooler = Setup::transaction(1).listen("client_login_timeout 500").start();
    let login = || {
        until("a login in time", PATIENCE, || {
            let mut client = pooler.connect();
            client.start(&Login::new("app", "postgres")).ok().map(|()| client)
        })
    };
    let (mut holder, mut waits): (Client, Client) = (login(), login());
    holder.query("begin; select 1");
    waits.send(&wire().query("select 'served'"));
    let_pass(Duration::from_millis(900));
    holder.query("commit");
    assert_eq!(waits.until_ready().column(), ["served"]);
    assert_eq!(holder.query("select pg_sleep(0.8)").error(), None);
    pooler.stop_with(vec![holder, waits]);
}

/// Of a refusal everything is forwarded: severity, code, DETAIL and HINT; the log has it in any
/// case.
#[test]
fn the_servers_own_reason_is_told() {
    let rule = |more: &str| {
        let base = r#"authentication "none" storage "pg" pool "transaction""#;
        Setup::new().rule("default", "default", &format!("{base} {more}"))
    };
    let name = Login::new("app", "no_such_database");
    let text = "database \"no_such_database\" does not exist";
    let silent = rule("").start();
    let refused = silent.refused(&name);
    assert_eq!(refused.detail, Some(format!("FATAL 3D000 {text}")));
    silent.wait_for_line(text);
    silent.stop();
    let forwards = rule("client_fwd_error yes").start();
    assert_eq!(forwards.refused(&name).whole(), ("FATAL", "3D000", text));
    forwards.wait_for_line(text);
    forwards.stop();
    assert_eq!(Postgres::shared().admin().scalar("select 1"), "1");
}
