//! What a client is told, to the letter: tools and people look for these texts and codes. Each line
//! is Odyssey's own, but where docs/compatibility.md says otherwise.
//!
//! Not reachable yet, for what they are about is not built: TLS (`SSL is required`, `TLS connection
//! required`, `certificate authentication failed`), LDAP, `external authentication failed`, the
//! authentication query (`failed to make auth query`, `incorrect user`), HBA (`host based
//! authentication rejected`), `soft out of memory`, server
//! selection (`can't find suitable host for tsa`, `invalid value for parameter
//! "odyssey.target_session_attrs"`), online restart, reload and console (`Connection was killed by
//! …`), the notices to waiting clients, the console. The three texts about prepared statements come
//! from the server itself.
//!
//! Never reachable: `client routing failed` and `Connection was dropped by unexpected reason` (it
//! always has one), `readahead buffer full` (a slow side slows the other), `failed to get remote
//! server connection` (a storage without a server is refused at start).

use crate::support::fake::FakeSession;
use crate::support::message::{Message, SSL_REQUEST, cstr};
use crate::support::process::free_port;
use crate::support::{Client, FakeServer, Login, PATIENCE, Pooler, Setup, Wire, until};
use rustix::process::Signal;

fn wire() -> Wire {
    Wire::new()
}

/// The error in one text: severity, code, message, DETAIL, HINT; ids of servers as `s…`. Our name
/// and the client's id stand in front of every message and are left out here.
fn in_words(message: &Message) -> String {
    let error = message.error();
    let order: String = message.strings().iter().filter_map(|field| field.chars().next()).collect();
    assert!("SVCMDH".starts_with(&order) || order == "SVCMH", "{order}: {error:?}");
    let mut text = format!("{} {} {}", error.severity, error.code, without_ids(error.ours()));
    for (name, field) in [("DETAIL", error.detail), ("HINT", error.hint)] {
        if let Some(field) = field {
            text += &format!(" {name}: {field}");
        }
    }
    text
}

/// `s` and 12 hexadecimal digits become `s…`.
fn without_ids(text: &str) -> String {
    let is_id = |word: &str| {
        let digits = word.strip_prefix('s').unwrap_or_default();
        digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let words = text.split(' ').map(|word| match word.strip_suffix(':') {
        Some(bare) if is_id(bare) => "s…:",
        _ if is_id(word) => "s…",
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The last words to a client whose connection ends; `silence` if there are none.
fn last_words(client: &mut Client) -> String {
    let said = client.until_closed();
    said.0.iter().find(|m| m.tag == b'E').map_or("silence".to_owned(), in_words)
}

/// A client that sends these packets, each when the pooler has said something to the one before
/// (nothing needs to be said to the first), and what it is told at the end.
fn after(pooler: &Pooler, packets: &[Wire]) -> String {
    let mut client = pooler.connect();
    for (n, packet) in packets.iter().enumerate() {
        if n > 0 {
            client.read().expect("it goes on");
        }
        client.send(packet);
    }
    last_words(&mut client)
}

fn start(user: &str) -> Wire {
    Login::new(user, "postgres").packet()
}

fn password(body: &[u8]) -> Wire {
    wire().message(b'p', body)
}

/// SASLInitialResponse.
fn sasl(mechanism: &str, data: &str) -> Wire {
    let length = (data.len() as u32).to_be_bytes();
    password(&[&cstr(mechanism), &length[..], data.as_bytes()].concat())
}

fn scram(client_first: &str) -> Wire {
    sasl("SCRAM-SHA-256", client_first)
}

#[test]
fn at_the_login() {
    let rule = |rest: &str| format!(r#"storage "pg" pool "transaction" {rest}"#);
    let pooler = Setup::new()
        .rule("postgres", "app", &rule(r#"authentication "none""#))
        .rule("postgres", "blocked", &rule(r#"authentication "block""#))
        .rule("postgres", "clear", &rule(r#"authentication "clear_text" password "p""#))
        .rule("postgres", "md5", &rule(r#"authentication "md5" password "p""#))
        .rule("postgres", "scram", &rule(r#"authentication "scram-sha-256" password "p""#))
        .start();
    let replication = |value| Login::new("app", "postgres").option("replication", value).packet();
    let wrong = "password authentication failed for user";
    let table = [
        (
            vec![Wire::packet(2 << 16, b"\0")],
            "FATAL 0A000 unsupported frontend protocol 2.0: server supports 3.0 to 3.2",
        ),
        (
            vec![start("nobody")],
            "ERROR 3D000 route for 'postgres.nobody' is not found \
             HINT: no rule of the pooler is for this database and user from there",
        ),
        (
            vec![Login::new("app", "nowhere").packet()],
            "ERROR 3D000 route for 'nowhere.app' is not found \
             HINT: no rule of the pooler is for this database and user from there",
        ),
        (vec![replication("x")], "ERROR 08006 invalid value for parameter \"replication\""),
        (vec![start("blocked")], "FATAL 28000 user blocked: postgres blocked"),
        (vec![start("clear"), password(b"no\0")], &format!("FATAL 28P01 {wrong} \"clear\"")),
        (vec![start("md5"), password(b"md5no\0")], &format!("FATAL 28P01 {wrong} \"md5\"")),
        (vec![start("clear"), password(b"no")], "ERROR 08P01 bad password message"),
        (vec![start("md5"), password(b"")], "ERROR 08P01 bad password message"),
        (
            vec![start("clear"), Wire::new().query("select 1")],
            "FATAL 08P01 expected password response, got message type 81",
        ),
        (
            vec![start("scram"), Wire::new().sync()],
            "FATAL 08P01 expected password response, got message type 83",
        ),
        (vec![start("md5"), wire().raw(b"X\0\0\0\x04")], "silence"), // it has changed its mind
        (vec![Wire::packet(3 << 16, b"database\0postgres\0\0")], "silence"), // no user
        (vec![wire().raw(&[0, 1, 0, 0])], "silence"),                // too long a packet
        (vec![Wire::packet(3 << 16, b"user\0app")], "silence"),      // a broken one
        (vec![Wire::packet(80_877_102, &[7; 8])], "silence"),        // a cancel
    ];
    for (packets, expected) in table {
        assert_eq!(after(&pooler, &packets), expected);
    }
    let mut repeats = pooler.connect();
    for _ in 0..2 {
        repeats.send(&Wire::packet(SSL_REQUEST, b""));
    }
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut repeats.socket, &mut rest).unwrap();
    assert_eq!(rest, b"N", "one answer to two SSLRequests, and silence");
    pooler.stop();
}

#[test]
fn in_scram() {
    let rule = |password: &str| {
        format!(
            r#"storage "pg" pool "transaction" authentication "scram-sha-256" password "{password}""#
        )
    };
    let pooler = Setup::new()
        .rule("postgres", "scram", &rule("p"))
        .rule("postgres", "stored", &rule("md5d41d8cd98f00b204e9800998ecf8427e"))
        .start();
    let begin = || scram("n,,n=,r=abc");
    let first = |initial: Wire| vec![start("scram"), initial];
    let last = |response: &str| vec![start("scram"), begin(), password(response.as_bytes())];
    let auth = "frontend auth:";
    let table = [
        (first(password(b"SCRAM-SHA-256")), "28000", "malformed SASLInitialResponse message"),
        (first(scram("")), "28000", "malformed SASLInitialResponse message"),
        (first(sasl("PLAIN", "x")), "28000", "unsupported SASL authorization mechanism"),
        (
            first(scram("p=tls-unique,,n=,r=abc")),
            "0A000",
            "doesn't support channel binding at the moment",
        ),
        (
            first(scram("n,a=root,n=,r=abc")),
            "0A000",
            "doesn't support authorization identity at the moment",
        ),
        (
            first(scram(&format!("n,,n=,r={}", "x".repeat(257)))),
            "28000",
            "malformed SASLInitialResponse message: the nonce is too long",
        ),
        (
            first(scram("n,,m=x,n=,r=abc")),
            "0A000",
            "doesn't support mandatory extensions at the moment",
        ),
        (last("garbage"), "28000", "malformed client SASLResponse"),
        (
            last("c=biws,r=abcx,p=AAAA"),
            "28000",
            "malformed client SASLResponse: nonce doesn't match",
        ),
        (
            vec![start("stored"), begin()],
            "28000",
            "invalid user password or SCRAM secret, check your config",
        ),
    ];
    for (packets, code, text) in table {
        assert_eq!(after(&pooler, &packets), format!("ERROR {code} {auth} {text}"));
    }
    let refused = pooler.refused(&Login::new("scram", "postgres").password("wrong"));
    let text = "password authentication failed for user \"scram\"";
    assert_eq!(refused.whole(), ("FATAL", "28P01", text));
    pooler.stop();
}

#[test]
fn at_the_limits() {
    let limited = Setup::transaction(1).with("client_max 1").start();
    let _only = limited.client();
    assert_eq!(
        after(&limited, &[start("app")]),
        "ERROR 53300 too many client tcp connections (client_max for user postgres.app 1) \
         HINT: close connections that are not needed, or raise client_max"
    );
    let pooler = Setup::transaction(1).with("pool_timeout 200").start();
    let mut holder = pooler.client();
    holder.query("begin; select 1");
    let mut waits = pooler.client();
    waits.send(&wire().query("select 1"));
    let words = last_words(&mut waits);
    let text = "FATAL 53300 too many active clients for user \
                (pool_size for user postgres.app reached 1)";
    assert!(words.starts_with(text), "{words}");
    let full = Setup::transaction(1).global("client_max 1").start();
    let _only = until("a place", PATIENCE, || {
        let mut client = full.connect();
        client.start(&Login::new("app", "postgres")).ok().map(|()| client)
    });
    // It is heard before: who cancels, or wants the console, gets in.
    assert_eq!(
        after(&full, &[start("app")]),
        "ERROR 53300 too many tcp connections (global client_max 1) \
         HINT: close connections that are not needed, or raise client_max"
    );
}

fn refuse(mut session: FakeSession) {
    session.read_packet();
    let field = |tag: &str, value: &str| cstr(&format!("{tag}{value}"));
    let fields = [
        field("S", "FATAL"),
        field("C", "53300"),
        field("M", "sorry, too many clients already"),
        field("D", "All of them."),
        field("H", "Come back."),
        field("F", "proc.c"),
        vec![0],
    ];
    session.send_and_close(&wire().message(b'E', &fields.concat()));
}

#[test]
fn without_a_server() {
    let failed = "FATAL 08006 failed to connect to remote server s… DETAIL:";
    let nobody = free_port();
    let silent = FakeServer::start(|session| session.stay_silent());
    let refuses = FakeServer::start(refuse);
    let closes = FakeServer::start(|mut session| _ = session.read_packet());
    let wants_password = FakeServer::start(|mut session| {
        session.read_packet();
        session.send(&wire().message(b'R', &[0, 0, 0, 3]));
        session.stay_silent();
    });
    let table = [
        (nobody, "connect: Connection refused (os error 111)"),
        (silent.port, "greeting: timed out"),
        (closes.port, "greeting: connection closed by peer"),
        (refuses.port, "FATAL 53300 sorry, too many clients already"),
        (
            wants_password.port,
            "password required for route 'postgres.app': the server wants the password itself",
        ),
    ];
    for (port, reason) in table {
        let pooler = Setup::in_front_of(port, 1).global("backend_connect_timeout_ms 300").start();
        assert_eq!(after(&pooler, &[start("app")]), format!("{failed} {reason}"));
        pooler.stop();
    }
    let pooler = Setup::in_front_of(refuses.port, 1).with("client_fwd_error yes").start();
    assert_eq!(
        after(&pooler, &[start("app")]),
        "FATAL 53300 sorry, too many clients already DETAIL: All of them. HINT: Come back."
    );
    pooler.stop();
    // With nothing to forward the error is ours.
    let pooler = Setup::in_front_of(nobody, 1).with("client_fwd_error yes").start();
    let words = after(&pooler, &[start("app")]);
    assert_eq!(words, format!("{failed} connect: Connection refused (os error 111)"));
    pooler.stop();
}

#[test]
fn with_a_server() {
    let closes = FakeServer::start(|mut session| {
        if session.greet().and_then(|()| session.read_until(b"Q")).is_some() {
            drop(session);
        }
    });
    let pooler = Setup::in_front_of(closes.port, 1).start();
    let mut client = pooler.client();
    client.send(&wire().query("select 1"));
    assert_eq!(
        last_words(&mut client),
        "ERROR 08006 remote server read/write error s…: connection closed by the server \
         HINT: Connect anew and repeat what was not committed"
    );
    pooler.stop();

    for session in [false, true] {
        let setup = if session { Setup::session(1) } else { Setup::transaction(1) };
        let limits = "pool_client_idle_timeout 1 pool_idle_in_transaction_timeout 1";
        let pooler = setup.with(limits).start();
        let mut client = pooler.client();
        client.send(&wire().message(b'!', b""));
        let words = last_words(&mut client);
        let text = "FATAL 08P01 unexpected message type from client or other protocol violation";
        assert!(words.starts_with(&format!("{text} DETAIL: ")), "{words}");
        let due = "FATAL 08006 Odyssey has dropped the connection \
                   DETAIL: Connection was dropped by Odyssey due to";
        let mut client = pooler.client();
        client.query("begin; select 1");
        assert_eq!(last_words(&mut client), format!("{due} idle in transaction timeout"));
        let mut client = pooler.client();
        client.query("select 1");
        if session {
            assert_eq!(last_words(&mut client), format!("{due} idle timeout"));
        }
        let mut client = pooler.client();
        pooler.signal(Signal::TERM);
        assert_eq!(
            last_words(&mut client),
            "FATAL 08006 Odyssey is gracefully shutting down \
             DETAIL: The Odyssey instance is gracefully shutting down, and the connections are \
             being drained"
        );
        pooler.stop();
    }
}
