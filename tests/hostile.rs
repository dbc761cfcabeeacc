//! Peers that break the protocol, by accident or on purpose, at every stage: the answer is a clear
//! error or a close, everybody else goes on, and the process lives. Servers may be hostile too.

use crate::support::fake::{error, greeting, one_row};
use crate::support::message::{SSL_REQUEST, cstr};
use crate::support::pooler::OPEN;
use crate::support::{
    Client, FakeServer, Login, PATIENCE, Pooler, Postgres, Seeded, Setup, Wire, let_pass, until,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn wire() -> Wire {
    Wire::new()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    BeforeLogin,
    AtPassword,
    Idle,
    InTransaction,
    BeforeSync,
    InCopy,
    InQuery,
}

const STAGES: [Stage; 7] = [
    Stage::BeforeLogin,
    Stage::AtPassword,
    Stage::Idle,
    Stage::InTransaction,
    Stage::BeforeSync,
    Stage::InCopy,
    Stage::InQuery,
];

fn pooler() -> Pooler {
    let guarded = r#"authentication "clear_text" password "x" storage "pg" pool "transaction""#;
    let open = format!(r#"{OPEN} pool "transaction" pool_size 3"#);
    let setup = Setup::new().rule("postgres", "guarded", guarded);
    setup.rule("default", "default", &open).start()
}

/// A client that has come as far as `stage`.
fn at(pooler: &Pooler, stage: Stage, login: &Login) -> Client {
    let mut client = pooler.connect();
    if stage == Stage::AtPassword {
        client.send(&Login::new("guarded", "postgres").packet());
        client.until_tag(b'R');
        return client;
    }
    if stage == Stage::BeforeLogin {
        return client;
    }
    client.start(login).unwrap();
    match stage {
        Stage::InTransaction => drop(client.query("start transaction")),
        Stage::BeforeSync => client.send(&wire().extended("select 1", &[])),
        Stage::InCopy => {
            client.send(&wire().query("begin; create temp table t (i int); copy t from stdin"));
            client.until_tag(b'G');
        }
        Stage::InQuery => client.send(&wire().query("select pg_sleep(0.05)")),
        _ => {}
    }
    client
}

/// Others can work, nothing of the hostile client is left.
fn unharmed(pooler: &mut Pooler, bystander: &mut Client, role: &str, what: &str) {
    assert_eq!(bystander.scalar("select 'unharmed'"), "unharmed", "{what}");
    assert!(pooler.is_alive(), "{what}");
    let busy = format!("usename = '{role}' and state <> 'idle'");
    Postgres::shared().wait_for_backends(&busy, 0, PATIENCE);
}

/// Bytes that no honest client sends after its login; the pooler may not wait for more of them.
fn plainly_wrong() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("negative length", b"Q\xff\xff\xff\xffselect".to_vec()),
        ("least length", b"Q\x80\0\0\0".to_vec()),
        ("length zero", b"Q\0\0\0\0".to_vec()),
        ("length three", b"Q\0\0\0\x03".to_vec()),
        ("huge length", b"Q\x7f\xff\xff\xff".to_vec()),
        ("huge Sync", b"S\x0f\xff\xff\xff".to_vec()),
        ("huge Terminate", b"X\x0f\xff\xff\xff".to_vec()),
        ("huge Execute", b"E\0\x01\0\0".to_vec()),
        ("unknown tag", b"!\0\0\0\x04".to_vec()),
        ("tag zero", b"\0\0\0\0\x04".to_vec()),
        ("tag 0xff", b"\xff\0\0\0\x04".to_vec()),
        ("a server's message", b"R\0\0\0\x08\0\0\0\0".to_vec()),
        ("another startup packet", Login::new("app", "postgres").packet().0),
    ]
}

#[test]
fn plainly_wrong_messages_end_the_client_at_every_stage() {
    let mut pooler = pooler();
    let mut bystander = pooler.client();
    let login = Postgres::shared().role("plainly_wrong");
    for stage in STAGES {
        for (name, bytes) in plainly_wrong() {
            let starts_well = stage == Stage::BeforeLogin && name == "another startup packet";
            let what = format!("{name} {stage:?}");
            let mut client = at(&pooler, stage, &login);
            client.send(&wire().raw(&bytes));
            if stage == Stage::BeforeLogin {
                // Without a tag, the same bytes may announce a packet that is still to come.
                client.finish_sending();
            }
            let answer = client.until_closed();
            if let Some(refused) = answer.error().filter(|_| stage != Stage::BeforeLogin) {
                assert!(!refused.code.is_empty(), "{what}: {refused:?}");
            }
            assert!(starts_well || answer.status() != 'E', "{what}");
            unharmed(&mut pooler, &mut bystander, "plainly_wrong", &what);
        }
    }
    pooler.stop();
}

#[test]
fn an_unknown_message_is_named_a_protocol_violation() {
    let pooler = pooler();
    for stage in [Stage::Idle, Stage::InTransaction] {
        for bytes in [&b"!\0\0\0\x04"[..], b"\xff\0\0\0\x08body", b"R\0\0\0\x08\0\0\0\0"] {
            let mut client = at(&pooler, stage, &Login::new("app", "postgres"));
            client.send(&wire().raw(bytes));
            let refused = client.until_closed().error().expect("a clear error");
            assert_eq!((refused.severity.as_str(), refused.code.as_str()), ("FATAL", "08P01"));
            refused.ours();
        }
    }
    pooler.stop();
}

#[test]
fn startup_packets_of_every_wrong_kind_end_the_connection() {
    let mut pooler = pooler();
    let mut bystander = pooler.client();
    let body = |parts: &[&str]| parts.iter().map(|part| cstr(part)).collect::<Vec<_>>().concat();
    let v3 = 3 << 16;
    let long = "x".repeat(9000);
    let many = "-c search_path=x ".repeat(400);
    for (name, bytes) in [
        ("length 0", vec![0, 0, 0, 0]),
        ("length 7", vec![0, 0, 0, 7, 0, 3, 0]),
        ("length 10001", Wire::packet(v3, &vec![b'a'; 10_001 - 8]).0),
        ("length 2^31", vec![0x80, 0, 0, 0, 0, 3, 0, 0]),
        ("length -1", vec![255, 255, 255, 255, 0, 3, 0, 0]),
        ("no terminator", Wire::packet(v3, b"user\0app").0),
        ("key without value", Wire::packet(v3, b"user\0app\0database\0").0),
        ("empty", Wire::packet(v3, b"").0),
        ("zeros", Wire::packet(v3, &[0; 100]).0),
        ("no utf-8", Wire::packet(v3, b"user\0\xff\xfe\x80\0database\0postgres\0\0").0),
        ("long user", Wire::packet(v3, &body(&["user", &long, ""])).0),
        ("many options", Wire::packet(v3, &body(&["user", "app", "options", &many, ""])).0),
        ("long option", Wire::packet(v3, &body(&["user", "app", "options", &long, ""])).0),
        ("cancel, short key", Wire::packet(80_877_102, &[0, 0, 0, 1]).0),
        ("cancel, no key", Wire::packet(80_877_102, &[]).0),
        ("cancel, long key", Wire::packet(80_877_102, &[7; 5000]).0),
        ("TLS hello", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03 random and more".to_vec()),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("SSL request with a body", Wire::packet(SSL_REQUEST, b"body").0),
    ] {
        let mut client = pooler.connect();
        let _ = client.try_send(&wire().raw(&bytes));
        client.finish_sending();
        let mut sink = Vec::new();
        let read = std::io::Read::read_to_end(&mut client.socket, &mut sink);
        let timed_out = read.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!timed_out, "{name}: still open");
        unharmed(&mut pooler, &mut bystander, "nobody", name);
    }
    pooler.stop();
}

#[test]
fn random_bytes_at_every_stage_harm_nobody() {
    let mut pooler = pooler();
    let mut bystander = pooler.client();
    let login = Postgres::shared().role("random_bytes");
    let mut random = Seeded::new(22);
    for round in 0..210 {
        let stage = STAGES[round % STAGES.len()];
        let mut client = at(&pooler, stage, &login);
        let count = 1 + random.below(300);
        let bytes = random.bytes(count);
        let _ = client.try_send(&wire().raw(&bytes));
        client.finish_sending();
        client.until_closed();
        if round % 10 == 0 {
            unharmed(&mut pooler, &mut bystander, "random_bytes", &format!("round {round}"));
        }
    }
    unharmed(&mut pooler, &mut bystander, "random_bytes", "the end");
    pooler.stop();
}

/// A valid stream with a few bytes changed, cut or repeated reaches deeper than pure noise does.
#[test]
fn broken_copies_of_valid_streams_harm_nobody() {
    let mut pooler = pooler();
    let mut bystander = pooler.client();
    let login = Postgres::shared().role("broken_copies");
    let valid = wire()
        .query("start transaction")
        .extended("select $1::int", &["1"])
        .flush()
        .parse("s", "select 1")
        .bind("", "s", &[])
        .execute("", 1)
        .close_statement("s")
        .sync()
        .query("create temp table t (i int); copy t from stdin")
        .copy_data(b"1\n2\n")
        .copy_done()
        .query("rollback");
    let mut random = Seeded::new(33);
    for round in 0..300 {
        let mut bytes = valid.0.clone();
        for _ in 0..=random.below(3) {
            let place = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[place] = random.next() as u8,
                1 => bytes[place] ^= 1 << random.below(8),
                2 => drop(bytes.drain(place..bytes.len().min(place + 1 + random.below(9)))),
                _ => bytes.truncate(place.max(1)),
            }
        }
        let mut client = pooler.login(&login);
        let _ = client.try_send(&wire().raw(&bytes));
        client.finish_sending();
        client.until_closed();
        if round % 20 == 0 {
            unharmed(&mut pooler, &mut bystander, "broken_copies", &format!("round {round}"));
        }
    }
    unharmed(&mut pooler, &mut bystander, "broken_copies", "the end");
    pooler.stop();
}

/// The obvious wrong implementation: whatever a server says belongs to whoever holds it. Then a row
/// too many goes to a client that did not ask for it. Seen to fail so: with the first client.
#[test]
fn an_answer_nobody_asked_for_reaches_nobody() {
    for (pool, late) in
        [("transaction", false), ("transaction", true), ("session", false), ("session", true)]
    {
        let (liar, told) = liar(late);
        let storage = format!(r#"type "remote" host "127.0.0.1" port {}"#, liar.port);
        let rule = format!(r#"{OPEN} pool "{pool}" pool_size 1"#);
        let setup = Setup::without_storage().storage("pg", &storage);
        let pooler = setup.rule("default", "default", &rule).start();
        for number in 0..10 {
            let what = format!("client {number}, {pool} pooling, late: {late}");
            let mut client = pooler.client();
            client.send(&wire().query("select 'x'"));
            let answer = client.until_ready();
            if answer.error().is_none() {
                assert_eq!((answer.column(), answer.status()), (vec!["x".to_owned()], 'I'));
            }
            // A lie that comes behind the next question looks like its answer: let it come before.
            until("the lie", PATIENCE, || {
                (told.load(Ordering::SeqCst) >= LIES.min(number + 1)).then_some(())
            });
            client.socket.limit(Duration::from_millis(100));
            let mut more = Vec::new();
            while let Ok(Some(message)) = client.try_read() {
                more.push(message);
            }
            let shows_rows = more.iter().any(|m| matches!(m.tag, b'D' | b'C' | b'Z'));
            assert!(!shows_rows, "{what} got what it did not ask for: {more:?}");
        }
        pooler.stop();
    }
}

/// A connection that has lied is closed, so that there are as many lies.
const LIES: usize = 3;

/// Its first connections answer each query twice: at once, or a little later. And how many lies
/// were told.
fn liar(late: bool) -> (FakeServer, Arc<AtomicUsize>) {
    let (connections, told) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let tells = told.clone();
    let server = FakeServer::start(move |mut session| {
        let lies = connections.fetch_add(1, Ordering::Relaxed) < LIES;
        if session.greet().is_none() {
            return;
        }
        while session.read_until(b"Q").is_some() {
            match (lies, late) {
                (false, _) => session.send(&one_row()),
                (true, false) => session.send(&one_row().raw(&unasked_row().0)),
                (true, true) => {
                    session.send(&one_row());
                    let_pass(Duration::from_millis(30));
                    session.send(&unasked_row())
                }
            };
            tells.fetch_add(usize::from(lies), Ordering::SeqCst);
        }
    });
    (server, told)
}

fn unasked_row() -> Wire {
    wire()
        .message(b'D', &[&[0, 1, 0, 0, 0, 4][..], b"evil"].concat())
        .message(b'C', &cstr("SELECT 1"))
        .message(b'Z', b"I")
}

#[test]
fn hostile_servers_end_their_client_and_nothing_else() {
    let endless = wire().raw(b"D\x7f\xff\xff\xff").raw(&[b'x'; 1000]);
    let answers: Vec<(&'static str, Wire)> = vec![
        ("noise", wire().raw(&Seeded::new(44).bytes(500))),
        ("negative length", wire().raw(b"D\xff\xff\xff\xff")),
        ("length 3", wire().raw(b"T\0\0\0\x03")),
        ("unknown tag", wire().raw(b"!\0\0\0\x04")),
        ("a client's message", wire().query("select 1")),
        ("a second greeting", greeting()),
        ("bad status", wire().message(b'Z', b"?")),
        ("empty ReadyForQuery", wire().message(b'Z', b"")),
        ("an error without fields", wire().message(b'E', b"")),
        ("an endless row", endless),
        ("ready without an answer", wire().message(b'Z', b"I")),
        ("parse complete for a query", wire().message(b'1', b"").message(b'Z', b"I")),
        ("copy nobody asked for", wire().message(b'W', &[0, 0, 0]).message(b'Z', b"I")),
    ];
    for (name, answer) in answers {
        println!("{name}");
        let bytes = answer.clone();
        let server = FakeServer::start(move |mut session| {
            if session.greet().and_then(|()| session.read_until(b"Q")).is_some() {
                session.send_and_close(&bytes);
            }
        });
        let storage = format!(r#"type "remote" host "127.0.0.1" port {}"#, server.port);
        let rule = r#"authentication "none" storage "liar" pool "transaction" pool_size 2"#;
        let open = format!(r#"{OPEN} pool "transaction" pool_size 2"#);
        let mut pooler = Setup::new()
            .storage("liar", &storage)
            .rule("liar", "default", rule)
            .rule("default", "default", &open)
            .start();
        let mut bystander = pooler.client();
        for _ in 0..2 {
            let mut client = pooler.login(&Login::new("app", "liar"));
            client.send(&wire().query("select 'x'"));
            let answer = client.until_ready();
            let login = answer.0.iter().any(|m| matches!(m.tag, b'R' | b'K'));
            assert!(!login, "{name}: a greeting in the middle of a session");
        }
        unharmed(&mut pooler, &mut bystander, "nobody", name);
        pooler.stop();
    }
}

#[test]
fn hostile_greetings_are_clear_errors() {
    let cases: Vec<(&'static str, Wire)> = vec![
        ("noise", wire().raw(&Seeded::new(55).bytes(300))),
        ("unknown authentication", wire().message(b'R', &[0, 0, 0, 99])),
        ("short authentication", wire().message(b'R', &[0])),
        ("short md5 salt", wire().message(b'R', &[0, 0, 0, 5, 1])),
        ("SASL without mechanisms", wire().message(b'R', &[0, 0, 0, 10, 0])),
        ("SASL out of turn", wire().message(b'R', &[0, 0, 0, 11, b'r', b'='])),
        ("final SASL first", wire().message(b'R', &[0, 0, 0, 12, b'v', b'='])),
        ("ready at once", wire().message(b'Z', b"I")),
        ("row at once", one_row()),
        ("bad key", wire().message(b'R', &[0; 4]).message(b'K', &[1]).message(b'Z', b"I")),
        ("error", error("FATAL", "28000", "no")),
        ("N as to an encryption request", wire().raw(b"N")),
    ];
    for (name, bytes) in cases {
        let server = FakeServer::start(move |mut session| {
            session.read_packet();
            session.send_and_close(&bytes);
        });
        let pooler = Setup::in_front_of(server.port, 1).start();
        let mut client = pooler.connect();
        let refused = match client.start(&Login::new("app", "postgres")) {
            Err(refused) => refused,
            Ok(()) => client.query("select 1").error().expect("no server, no answer"),
        };
        assert_eq!(
            (refused.severity.as_str(), refused.code.as_str()),
            ("FATAL", "08006"),
            "{name}"
        );
        pooler.stop();
    }
}
