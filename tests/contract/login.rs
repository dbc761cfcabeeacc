//! What is told at a login: by the rule itself, by each method with a secret, by SCRAM.

use super::{after, password, sasl, scram, start, wire};
use crate::support::message::SSL_REQUEST;
use crate::support::{Login, Setup, Wire};

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

/// Who says nothing, or no more than half, is told nothing.
#[test]
fn in_silence() {
    let pooler = Setup::transaction(1).listen("client_login_timeout 200").start();
    for begun in [wire(), wire().raw(&[0, 0, 0, 9, 0]), Wire::packet(SSL_REQUEST, b"")] {
        let mut client = pooler.connect();
        client.send(&begun);
        let mut rest = Vec::new();
        std::io::Read::read_to_end(&mut client.socket, &mut rest).unwrap();
        assert!(rest.is_empty() || rest == b"N", "{rest:?}");
    }
    pooler.stop();
}
