//! How sessions end when nobody says goodbye: clients that are killed in every state, servers that
//! die or lie. Afterwards nothing of the dead is left on the server, and the next owner of it
//! notices nothing.

use crate::support::fake::{error, one_row};
use crate::support::process::signal;
use crate::support::{
    Answer, CLEANUP, Client, FakeServer, Login, PATIENCE, Pooler, Postgres, Seeded, Setup, Wire,
    let_pass, until,
};
use rustix::process::Signal;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn wire() -> Wire {
    Wire::new()
}

/// A state in which a client is killed: what it had sent, and the last tag it had read.
struct Scene {
    name: &'static str,
    sends: Wire,
    reads: u8,
}

fn scenes() -> Vec<Scene> {
    let scene = |name, sends, reads| Scene { name, sends, reads };
    let sleep = "select pg_sleep(60)";
    let locked = wire().query("begin; lock table victims");
    // Behind FROM the series would be made, and kept, before the first row comes.
    let endless = "select repeat('x', 1000), generate_series(1, 100000000)";
    let insert = wire().extended("insert into victims values (1)", &[]);
    let running = wire().parse("", sleep).bind("", "", &[]).flush().execute("", 0).flush();
    vec![
        scene("idle", wire().query("select 1"), b'Z'),
        scene("in a transaction", locked.clone(), b'Z'),
        scene("in a failed transaction", locked.clone().query("selec"), b'E'),
        scene("in a query", wire().query(sleep), 0),
        scene("in a query in a transaction", locked.clone().query(sleep), b'Z'),
        scene("in an extended query", wire().extended(sleep, &[]).sync(), 0),
        scene("between Flush and Sync", insert.flush(), b'C'),
        scene("between Flush and Sync, answered", wire().extended("select 1", &[]).flush(), b'C'),
        scene("between Flush and Sync, running", running, b'2'),
        scene("between Flush and Sync, failed", wire().parse("", "selec").flush(), b'E'),
        scene("in COPY in", wire().query("copy victims from stdin").copy_data(b"1\n"), b'G'),
        scene(
            "in COPY in, extended",
            wire().extended("copy victims from stdin", &[]).flush().copy_data(b"1\n"),
            b'G',
        ),
        scene("in COPY out", wire().query(&format!("copy ({endless}) to stdout")), b'd'),
        scene("in a long result", wire().query(endless), b'D'),
        scene("in the middle of a message", locked.clone().raw(b"Q\0\0\x10\0sele"), b'Z'),
        scene("in the middle of a header", locked.raw(b"Q\0\0"), b'Z'),
    ]
}

#[derive(Clone, Copy, Debug)]
enum Death {
    Reset,
    Close,
    Terminate,
}

fn kill(mut client: Client, death: Death) {
    match death {
        Death::Reset => client.vanish_by_reset(),
        Death::Close => client.vanish_by_close(),
        Death::Terminate => {
            let _ = client.try_send(&wire().terminate());
        }
    }
}

/// Kills a client in each scene and waits for the server to have forgotten it. Seen to fail: with a
/// recovery that cancels nothing the query runs on; with a relay that overlooks the client's end of
/// stream its transaction stays open.
fn nothing_is_left(role: &str, setup: &Setup, death: Death) {
    let postgres = Postgres::shared();
    let login = postgres.role(role);
    let pooler = setup.start();
    let table = format!("{role}_table");
    let mut admin = postgres.admin();
    admin.query(&format!("create table {table} (i int); alter table {table} owner to {role}"));
    for scene in scenes() {
        let sleeps = String::from_utf8_lossy(&scene.sends.0).contains("pg_sleep");
        if sleeps && matches!(death, Death::Terminate) {
            continue; // said goodbye behind a query: PostgreSQL too runs that to its end
        }
        println!("{} killed by {death:?} {}", scene.name, role);
        let mut client = pooler.login(&login);
        let bytes = scene.sends.0.clone();
        client.send(&wire().raw(&replace(&bytes, "victims", &table)));
        if scene.reads != 0 {
            client.until_tag(scene.reads);
        }
        if scene.name != "idle" && !scene.name.contains("COPY") {
            postgres.wait_for_backends(&format!("usename = '{role}'"), 1, PATIENCE);
        }
        if sleeps {
            let active = format!("usename = '{role}' and state = 'active'");
            postgres.wait_for_backends(&active, 1, PATIENCE);
        }
        kill(client, death);
        postgres.wait_for_backends(&format!("usename = '{role}' and state <> 'idle'"), 0, CLEANUP);
        let mut next = pooler.login(&login);
        assert_eq!(next.scalar(&format!("select count(*) from {table}")), "0", "{}", scene.name);
        next.leave();
    }
    pooler.stop();
}

/// Same text of another length inside a stream of messages would break their headers, so the
/// name is replaced message by message.
fn replace(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut out = wire();
    let mut rest = bytes;
    while let Some(header) = rest.get(..5) {
        let size = u32::from_be_bytes(header[1..].try_into().unwrap()) as usize;
        let Some(body) = rest.get(5..=size) else { break };
        let is_data = header[0] == b'd' || header[0] == b'B';
        let text = String::from_utf8_lossy(body).replace(from, to).into_bytes();
        out = out.message(header[0], if is_data { body } else { &text });
        rest = &rest[size + 1..];
    }
    out.raw(rest).0
}

#[test]
fn a_client_killed_by_reset_leaves_nothing_in_transaction_pooling() {
    nothing_is_left("reset_transaction", &Setup::transaction(1), Death::Reset);
}

#[test]
fn a_client_killed_by_close_leaves_nothing_in_transaction_pooling() {
    nothing_is_left("close_transaction", &Setup::transaction(1), Death::Close);
}

#[test]
fn a_client_killed_by_reset_leaves_nothing_in_session_pooling() {
    nothing_is_left("reset_session", &Setup::session(1), Death::Reset);
}

#[test]
fn a_client_killed_by_close_leaves_nothing_in_session_pooling() {
    nothing_is_left("close_session", &Setup::session(1), Death::Close);
}

#[test]
fn a_client_that_terminates_in_any_state_leaves_nothing() {
    nothing_is_left("terminate_transaction", &Setup::transaction(1), Death::Terminate);
    nothing_is_left("terminate_session", &Setup::session(1), Death::Terminate);
}

/// A Terminate behind a query is a goodbye in order: like PostgreSQL we let the query finish. Seen
/// to fail: a relay that takes it for the end of the client cancels the INSERT.
#[test]
fn a_query_with_a_terminate_behind_it_is_done_to_its_end() {
    let postgres = Postgres::shared();
    let mut admin = postgres.admin();
    for (pool, setup) in [("transaction", Setup::transaction(1)), ("session", Setup::session(1))] {
        let role = format!("goodbye_{pool}");
        let login = postgres.role(&role);
        admin.query(&format!("create table {role} (i int); alter table {role} owner to {role}"));
        let pooler = setup.start();
        let mut client = pooler.login(&login);
        client.send(&wire().query(&format!("insert into {role} select 1 from pg_sleep(1.5)")));
        let asleep = format!("usename = '{role}' and wait_event = 'PgSleep'");
        postgres.wait_for_backends(&asleep, 1, PATIENCE);
        kill(client, Death::Terminate);
        postgres.wait_for_backends(&format!("usename = '{role}' and state <> 'idle'"), 0, PATIENCE);
        assert_eq!(admin.scalar(&format!("select count(*) from {role}")), "1", "{pool}");
        assert_eq!(pooler.login(&login).scalar("select 1"), "1");
        pooler.stop();
    }
}

/// A client that vanishes while it has more to say than fits: nothing of it is read any more, so
/// its end must be noticed without reading. Seen to fail: a relay that learns of it by reading only
/// lets the query run on.
#[test]
fn a_client_that_vanishes_with_its_buffers_full_leaves_nothing() {
    let postgres = Postgres::shared();
    let login = postgres.role("full_buffers");
    for setup in [Setup::transaction(1), Setup::session(1)] {
        let pooler = setup.start();
        let mut client = pooler.login(&login);
        client.send(&wire().query("select pg_sleep(60)"));
        let asleep = "usename = 'full_buffers' and wait_event = 'PgSleep'";
        postgres.wait_for_backends(asleep, 1, PATIENCE);
        client.socket.limit(Duration::from_millis(500));
        let more = client.try_send(&wire().query(&"x".repeat(64 << 20)));
        assert!(more.is_err(), "all of it fitted");
        kill(client, Death::Reset);
        postgres.wait_for_backends(asleep, 0, CLEANUP);
        assert_eq!(pooler.login(&login).scalar("select 1"), "1");
        pooler.stop();
    }
}

/// A client that vanishes while more waits for it than fits. Seen to fail: recovery read on into
/// the full buffer that it had inherited, which is a panic.
#[test]
fn a_client_that_vanishes_with_its_answers_unread_leaves_nothing() {
    let postgres = Postgres::shared();
    let login = postgres.role("unread_answers");
    for setup in [Setup::transaction(1), Setup::session(1)] {
        let pooler = setup.start();
        for death in [Death::Reset, Death::Close] {
            let mut client = pooler.login(&login);
            let million = "select repeat('x', 1000), generate_series(1, 1000000)";
            client.send(&wire().query(million));
            let stuck = "usename = 'unread_answers' and wait_event = 'ClientWrite'";
            postgres.wait_for_backends(stuck, 1, PATIENCE);
            kill(client, death);
            let busy = "usename = 'unread_answers' and state <> 'idle'";
            postgres.wait_for_backends(busy, 0, CLEANUP);
            assert_eq!(pooler.login(&login).scalar("select 1"), "1", "{death:?}");
        }
        pooler.stop();
    }
}

/// The obvious wrong implementation: a cancel is sent to the server's key and the server goes to
/// the next client at once. Then the cancel arrives late and hits the next client's query. Seen to
/// fail so, without the quarantine of the pool: within half a second of rounds.
#[test]
fn cancel_after_release_hits_nobody() {
    const ROUNDS: usize = 500;
    let pooler = Setup::transaction(1).start();
    let mut random = Seeded::new(11);
    let mut bystander = pooler.client();
    let mut victim = pooler.client();
    let mut cancelled = 0;
    for round in 0..ROUNDS {
        // The victim's query lasts about as long as it takes a cancel to come through.
        victim.send(&wire().query(&format!("select pg_sleep({})", ms(&mut random, 2))));
        let_pass(Duration::from_micros(random.below(1500) as u64));
        let answer = match round % 2 {
            0 => cancel_beside(&mut victim, &mut bystander),
            _ => {
                let next = pooler.client();
                kill(std::mem::replace(&mut victim, next), Death::Reset);
                None
            }
        };
        cancelled += usize::from(answer.is_some_and(|a| a.code() == "57014"));
        let sql = format!("select {round}, pg_sleep(0.003)");
        let untouched = bystander.query(&sql);
        assert_eq!(untouched.error(), None, "round {round}: a stranger's cancel");
        assert_eq!(untouched.column(), [round.to_string()]);
    }
    println!("{cancelled} of {} cancels came in time", ROUNDS / 2);
    pooler.stop();
}

/// A cancel for the victim while the bystander already waits for its server.
fn cancel_beside(victim: &mut Client, bystander: &mut Client) -> Option<Answer> {
    let answer = thread::scope(|scope| {
        let victim = &*victim;
        scope.spawn(move || victim.cancel());
        bystander.send(&wire().query("select pg_sleep(0.003), 'waiting'"));
        bystander.until_ready()
    });
    assert_eq!(answer.error(), None, "a stranger's cancel hit the waiting client");
    Some(victim.until_ready())
}

fn ms(random: &mut Seeded, up_to: usize) -> String {
    format!("0.00{}", random.below(up_to + 1))
}

/// The obvious wrong implementation: a short read clears the readable bit, so that an end of stream
/// which came with the data is never read. Seen to fail so: every thread's clients hung.
#[test]
fn a_server_that_answers_and_closes_at_once_hangs_nobody() {
    const THREADS: usize = 8;
    const CLIENTS: usize = 125;
    let server = FakeServer::start(|mut session| {
        let asked = session.greet().and_then(|()| session.read_until(b"QS"));
        let extended = wire().message(b'1', b"").message(b'2', b"").raw(&one_row().0);
        match asked {
            Some((b'Q', _)) => session.send_and_close(&one_row()),
            Some(_) => session.send_and_close(&extended),
            None => {}
        }
    });
    let pooler = Setup::in_front_of(server.port, 4).global("log_session no").start();
    let answered = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..CLIENTS {
                    answered.fetch_add(usize::from(asks_once(&pooler, number)), Ordering::Relaxed);
                }
            });
        }
    });
    let answered = answered.into_inner();
    println!("{answered} of {} answered, 0 hang", THREADS * CLIENTS);
    assert!(answered * 10 >= THREADS * CLIENTS * 9, "most answers came whole: {answered}");
    pooler.stop();
}

/// True for an answer, false for an error; fails on silence.
fn asks_once(pooler: &Pooler, number: usize) -> bool {
    let mut client = pooler.connect();
    if client.start(&Login::new("app", "postgres")).is_err() {
        return false;
    }
    match number % 2 {
        0 => client.send(&wire().query("select 'x'")),
        _ => client.send(&wire().extended("select 'x'", &[]).sync()),
    }
    let answer = client.until_ready();
    answer.error().is_none() && answer.column() == ["x"]
}

#[test]
fn a_server_that_closes_in_the_middle_of_an_answer_is_an_error() {
    let whole = one_row().0;
    for cut in [1, 7, 30, whole.len() - 6, whole.len() - 1] {
        let part = wire().raw(&whole[..cut]);
        let server = FakeServer::start(move |mut session| {
            if session.greet().and_then(|()| session.read_until(b"Q")).is_some() {
                session.send_and_close(&part);
            }
        });
        let pooler = Setup::in_front_of(server.port, 1).start();
        for _ in 0..3 {
            let mut client = pooler.client();
            client.send(&wire().query("select 'x'"));
            // Whole messages before the cut may come through; a half one has nothing behind it.
            if let Some(lost) = client.until_closed().error() {
                let (severity, code, text) = lost.whole();
                assert_eq!((severity, code), ("ERROR", "08006"), "cut at {cut}");
                assert!(text.starts_with("remote server read/write error s"), "{text}");
            } else {
                assert!((6..whole.len()).contains(&cut), "silent close at {cut}");
            }
        }
        pooler.stop();
    }
}

#[test]
fn a_server_that_dies_idle_is_replaced_in_silence() {
    for setup in [Setup::transaction(3), Setup::transaction(3).global("workers 1")] {
        let pooler = setup.start();
        let mut client = pooler.client();
        for round in 0..20 {
            let pid = client.scalar("select pg_backend_pid()");
            Postgres::shared().admin().query(&format!("select pg_terminate_backend({pid})"));
            Postgres::shared().wait_for_backends(&format!("pid = {pid}"), 0, PATIENCE);
            if round % 2 == 0 {
                let_pass(Duration::from_millis(20));
            }
            assert_ne!(client.scalar("select pg_backend_pid()"), pid);
        }
        pooler.stop();
    }
}

#[test]
fn a_server_that_dies_in_use_is_reported_and_replaced() {
    let pooler = Setup::transaction(1).start();
    for sql in ["begin; select pg_backend_pid()", "select pg_sleep(60)"] {
        let mut client = pooler.client();
        client.query("select 1");
        client.send(&wire().query(&format!("/* dies in use */ {sql}")));
        let victim = "query like '/* dies in use */%' and pid <> pg_backend_pid()";
        Postgres::shared().wait_for_backends(victim, 1, PATIENCE);
        let kill = format!("select pg_terminate_backend(pid) from pg_stat_activity where {victim}");
        Postgres::shared().admin().query(&kill);
        let answer = client.until_closed();
        let codes: Vec<String> =
            answer.0.iter().filter(|m| m.tag == b'E').map(|m| m.error().code).collect();
        assert_eq!(codes.first().map(String::as_str), Some("57P01"), "{sql}: the server's words");
        assert_eq!(pooler.client().scalar("select 1"), "1", "{sql}");
    }
    pooler.stop();
}

#[test]
fn a_server_that_is_down_is_a_clear_error() {
    let nobody = crate::support::process::free_port();
    let pooler = Setup::in_front_of(nobody, 1).start();
    for _ in 0..5 {
        let started = Instant::now();
        expect_no_server(&pooler);
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    pooler.stop();
}

#[test]
fn a_server_that_says_nothing_costs_no_more_than_the_connect_timeout() {
    let silent = FakeServer::start(|session| session.stay_silent());
    let half = FakeServer::start(|mut session| {
        session.read_packet();
        session.send(&wire().message(b'R', &[0, 0, 0, 0]).raw(b"S\0"));
        session.stay_silent();
    });
    for server in [&silent, &half] {
        let setup = Setup::in_front_of(server.port, 1).global("backend_connect_timeout_ms 400");
        let pooler = setup.start();
        for _ in 0..3 {
            let started = Instant::now();
            expect_no_server(&pooler);
            let took = started.elapsed();
            let limits = Duration::from_millis(400)..Duration::from_secs(10);
            assert!(limits.contains(&took), "{took:?}"); // of the 30 s that there are otherwise
        }
        pooler.stop();
    }
}

fn expect_no_server(pooler: &Pooler) {
    let mut client = pooler.connect();
    let refused = match client.start(&Login::new("app", "postgres")) {
        Err(refused) => refused,
        Ok(()) => client.query("select 1").error().expect("no server, no answer"),
    };
    let (severity, code, text) = refused.whole();
    assert_eq!((severity, code), ("FATAL", "08006"));
    assert!(text.starts_with("failed to connect to remote server s"), "{text}");
}

#[test]
fn a_fatal_error_of_the_server_reaches_the_client() {
    let server = FakeServer::start(|mut session| {
        if session.greet().and_then(|()| session.read_until(b"Q")).is_some() {
            session.send_and_close(&error("FATAL", "57P01", "terminating on purpose"));
        }
    });
    let pooler = Setup::in_front_of(server.port, 1).start();
    let mut client = pooler.client();
    client.send(&wire().query("select 1"));
    let first = client.until_closed().error().expect("an error");
    assert_eq!((first.code.as_str(), first.message.as_str()), ("57P01", "terminating on purpose"));
    pooler.stop();
}

#[test]
fn a_client_killed_while_it_waits_for_a_server_is_forgotten() {
    let postgres = Postgres::shared();
    let login = postgres.role("waits_for_a_server");
    let pooler = Setup::transaction(1).with("pool_notice_after_waiting_ms 0").start();
    let mut holder = pooler.login(&login);
    holder.query("start transaction");
    for (gone, death) in [Death::Reset, Death::Close, Death::Terminate].into_iter().enumerate() {
        let mut waiting = pooler.login(&login);
        waiting.send(&wire().query("create table never_made ()"));
        waiting.until_tag(b'N'); // said with its query, a goodbye would be one in order
        kill(waiting, death);
        until("it to be missed", PATIENCE, || {
            (pooler.log().matches("client disconnected").count() > gone).then_some(())
        });
    }
    holder.query("commit");
    let made = holder.scalar("select count(*) from pg_class where relname = 'never_made'");
    assert_eq!(made, "0", "a query of a dead client was run");
    pooler.stop();
}

/// A client that says goodbye in the middle of a batch, without Sync or Flush. Seen to fail: the
/// server kept its answers to itself and the session waited for them for ever, and its slot too.
#[test]
fn a_goodbye_in_an_open_batch_is_the_end() {
    let postgres = Postgres::shared();
    let login = postgres.role("open_batch");
    let mut admin = postgres.admin();
    admin.query("create table open_batch (i int); alter table open_batch owner to open_batch");
    for setup in [Setup::transaction(1), Setup::session(1)] {
        let pooler = setup.start();
        for _ in 0..3 {
            let mut client = pooler.login(&login);
            client.send(&wire().extended("insert into open_batch values (1)", &[]).terminate());
            client.until_closed();
            let mut next = pooler.login(&login);
            assert_eq!(next.scalar("select count(*) from open_batch"), "0", "rolled back");
            next.leave();
        }
        pooler.stop();
    }
}

/// A server that is terminated between two transactions says so right behind an answer. Seen to
/// fail: the FATAL went to the client as the answer to its next query, and the server to the pool.
#[test]
fn a_farewell_behind_an_answer_concerns_nobody() {
    let dying = wire().raw(&one_row().0).raw(&error("FATAL", "57P01", "terminating").0);
    let first = AtomicBool::new(true);
    let server = FakeServer::start(move |mut session| {
        let lives = !first.swap(false, Ordering::Relaxed);
        if session.greet().is_none() {
            return;
        }
        while session.read_until(b"Q").is_some() {
            if lives {
                session.send(&one_row());
            } else {
                session.send(&dying);
                return session.stay_silent();
            }
        }
    });
    let pooler = Setup::in_front_of(server.port, 1).start();
    let mut client = pooler.client();
    for _ in 0..3 {
        assert_eq!(client.query("select 1").shape(), "T D C Z/I");
    }
    assert_eq!(pooler.client().query("select 1").shape(), "T D C Z/I");
    pooler.stop();
}

/// PostgreSQL forgets a cancel that comes before it has read the query. Seen to fail: recovery sent
/// one, and the query of a client that was gone ran on.
#[test]
fn a_cancel_that_comes_too_early_is_sent_again() {
    let postgres = Postgres::shared();
    let login = postgres.role("early_cancel");
    let pooler = Setup::transaction(1).start();
    let mut client = pooler.login(&login);
    let backend = client.scalar("select pg_backend_pid()").parse().unwrap();
    signal(backend, Signal::STOP);
    client.send(&wire().query("select pg_sleep(60)"));
    let_pass(Duration::from_millis(100)); // the query is on its way to the server
    kill(client, Death::Close);
    let_pass(Duration::from_millis(300)); // and so is the first cancel
    signal(backend, Signal::CONT);
    let busy = "usename = 'early_cancel' and state <> 'idle'";
    postgres.wait_for_backends(busy, 0, CLEANUP);
    assert_eq!(pooler.login(&login).scalar("select 1"), "1");
    pooler.stop();
}

/// Seen to fail: the process ended while servers were still being brought back, and the queries of
/// clients that were gone ran on.
#[test]
fn a_stop_waits_for_servers_that_are_brought_back() {
    let postgres = Postgres::shared();
    let login = postgres.role("stopped_early");
    let pooler = Setup::transaction(12).start();
    let clients: Vec<Client> = (0..12).map(|_| pooler.login(&login)).collect();
    let asleep = "usename = 'stopped_early' and wait_event = 'PgSleep'";
    let clients: Vec<Client> = clients
        .into_iter()
        .map(|mut client| {
            client.send(&wire().query("select pg_sleep(60)"));
            client
        })
        .collect();
    postgres.wait_for_backends(asleep, 12, PATIENCE);
    drop(clients);
    pooler.stop();
    postgres.wait_for_backends(asleep, 0, CLEANUP);
}

/// A request, a goodbye and the end of the stream in one piece. Seen to fail: the relay read on
/// before it had looked at the goodbye, took the client for vanished, and never sent the request.
#[test]
fn a_request_with_a_goodbye_in_one_piece_is_done() {
    let postgres = Postgres::shared();
    let login = postgres.role("one_piece");
    let mut admin = postgres.admin();
    admin.query("create table one_piece (i int); alter table one_piece owner to one_piece");
    for setup in [Setup::transaction(1), Setup::session(1)] {
        let pooler = setup.start();
        admin.query("truncate one_piece");
        for round in 1..=10 {
            let mut client = pooler.login(&login);
            client.send(&wire().query("insert into one_piece values (1)").terminate());
            kill(client, Death::Close);
            let count = round.to_string();
            until("the row", PATIENCE, || {
                (admin.scalar("select count(*) from one_piece") == count).then_some(())
            });
        }
        pooler.stop();
    }
}
