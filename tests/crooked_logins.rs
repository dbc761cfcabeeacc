//! Clients that break the rules of a login in its middle, and servers that break those of theirs:
//! each ends itself, at once, and nobody is in. An empty answer to SASL once ended all of Odyssey.

use crate::support::message::cstr;
use crate::support::postgres::PASSWORD;
use crate::support::{Client, FakeServer, Login, Pooler, Setup, Wire};
use std::time::{Duration, Instant};

/// Far less than `client_login_timeout`: nobody waits for more of what is broken already.
const AT_ONCE: Duration = Duration::from_secs(8);

fn pooler() -> Pooler {
    ["clear_text", "md5", "scram-sha-256"]
        .iter()
        .fold(Setup::new(), |setup, method| {
            let rule = format!(
                "authentication \"{method}\" password \"{PASSWORD}\" storage \"pg\" \
             pool \"transaction\" storage_user \"app\""
            );
            setup.rule("postgres", method, &rule)
        })
        .start()
}

/// Asked for its proof.
fn asked(pooler: &Pooler, user: &str) -> Client {
    let mut client = pooler.connect();
    client.send(&Login::new(user, "postgres").packet());
    client.until_tag(b'R');
    client
}

/// It has sent all that it will: it is told what is wrong or just ends, and is not in.
fn is_out(mut client: Client, what: &str) {
    let since = Instant::now();
    let answer = client.until_closed();
    assert!(!answer.0.iter().any(|message| message.tag == b'Z'), "{what}: it is in");
    assert!(since.elapsed() < AT_ONCE, "{what}: {:?}", since.elapsed());
}

fn initial(mechanism: &[u8], length: i32, data: &[u8]) -> Vec<u8> {
    [mechanism, &length.to_be_bytes(), data].concat()
}

fn first(data: &[u8]) -> Vec<u8> {
    initial(b"SCRAM-SHA-256\0", i32::try_from(data.len()).unwrap(), data)
}

#[test]
fn a_first_answer_that_is_none_ends_the_login() {
    let pooler = pooler();
    let nul = b"n,,n=,r=a\0b";
    for (what, body) in [
        ("nothing", vec![]),
        ("no NUL", b"SCRAM-SHA-256".to_vec()),
        ("a mechanism alone", cstr("SCRAM-SHA-256")),
        ("another mechanism", initial(b"PLAIN\0", 0, b"")),
        ("no data", initial(b"SCRAM-SHA-256\0", -1, b"")),
        ("empty data", first(b"")),
        ("more than there is", initial(b"SCRAM-SHA-256\0", i32::MAX, b"n,,n=,r=a")),
        ("less than there is", initial(b"SCRAM-SHA-256\0", 1, b"n,,n=,r=a")),
        ("a negative length", initial(b"SCRAM-SHA-256\0", -2, b"n,,n=,r=a")),
        ("no nonce", first(b"n,,n=")),
        ("an empty nonce", first(b"n,,n=,r=")),
        ("another user's name", first(b"n,a=postgres,n=,r=abc")),
        ("an extension", first(b"n,,m=x,n=,r=abc")),
        ("a binding without TLS", first(b"p=tls-server-end-point,,n=,r=abc")),
        ("NUL", first(nul)),
        ("no text", first(b"n,,n=,r=\xff\xfe")),
        ("commas", first(b",,,,,,,,")),
    ] {
        let mut client = asked(&pooler, "scram-sha-256");
        client.send(&Wire::new().message(b'p', &body));
        is_out(client, what);
    }
    let good = pooler.login(&Login::new("scram-sha-256", "postgres").password(PASSWORD));
    pooler.stop_with(vec![good]);
}

#[test]
fn a_final_answer_that_is_none_ends_the_login() {
    let pooler = pooler();
    type Answer = fn(&str) -> Vec<u8>;
    let answers: [(&str, Answer); 13] = [
        ("nothing", |_| vec![]),
        ("NUL", |_| vec![0]),
        ("no proof", |nonce| format!("c=biws,r={nonce}").into()),
        ("an empty proof", |nonce| format!("c=biws,r={nonce},p=").into()),
        ("no base64", |nonce| format!("c=biws,r={nonce},p=@@@@").into()),
        ("base64 cut", |nonce| format!("c=biws,r={nonce},p=AAA").into()),
        ("a short proof", |nonce| format!("c=biws,r={nonce},p=AAAA").into()),
        ("a long proof", |nonce| format!("c=biws,r={nonce},p={}", "A".repeat(9000)).into()),
        ("a wrong proof", |nonce| format!("c=biws,r={nonce},p={}=", "A".repeat(43)).into()),
        ("our nonce alone", |_| b"c=biws,r=abc,p=AAAA".to_vec()),
        ("another binding", |nonce| format!("c=eSws,r={nonce},p={}=", "A".repeat(43)).into()),
        ("no binding", |nonce| format!("r={nonce},p={}=", "A".repeat(43)).into()),
        ("the first again", |_| first(b"n,,n=,r=abc")),
    ];
    for (what, answer) in answers {
        let mut client = asked(&pooler, "scram-sha-256");
        client.send(&Wire::new().message(b'p', &first(b"n,,n=,r=abc")));
        let challenge = client.until_tag(b'R').0.remove(0).body;
        let challenge = String::from_utf8(challenge[4..].to_vec()).unwrap();
        let nonce = challenge.strip_prefix("r=").and_then(|rest| rest.split(',').next()).unwrap();
        assert!(nonce.starts_with("abc"), "{challenge}");
        client.send(&Wire::new().message(b'p', &answer(nonce)));
        is_out(client, what);
    }
    pooler.stop();
}

#[test]
fn a_password_message_that_is_none_ends_the_login() {
    let pooler = pooler();
    for user in ["clear_text", "md5"] {
        for (what, bytes) in [
            ("nothing", b"p\0\0\0\x04".to_vec()),
            ("NUL alone", b"p\0\0\0\x05\0".to_vec()),
            ("no NUL", b"p\0\0\0\x07abc".to_vec()),
            ("NUL inside", b"p\0\0\0\x09ab\0c\0".to_vec()),
            ("no text", b"p\0\0\0\x07\xff\xfe\0".to_vec()),
            ("half an md5", b"p\0\0\0\x0bmd5abc\0".to_vec()),
            ("length 3", b"p\0\0\0\x03".to_vec()),
            ("a negative length", b"p\xff\xff\xff\xff".to_vec()),
            ("a gigabyte announced", b"p\x3f\xff\xff\xffabc".to_vec()),
        ] {
            let mut client = asked(&pooler, user);
            let _ = client.try_send(&Wire::new().raw(&bytes));
            is_out(client, &format!("{user}: {what}"));
        }
    }
    assert!(pooler.memory_peak_kib() < 100 * 1024, "{} KiB", pooler.memory_peak_kib());
    pooler.stop();
}

/// A server that wants SCRAM and challenges us so; `{}` is our nonce.
fn challenging(challenge: &'static str) -> FakeServer {
    FakeServer::start(move |mut session| {
        let say =
            |code: u8, text: &[u8]| Wire::new().message(b'R', &[&[0, 0, 0, code], text].concat());
        let offer = say(10, b"SCRAM-SHA-256\0\0");
        if session.read_packet().and_then(|_| session.send(&offer)).is_none() {
            return;
        }
        let Some((_, first)) = session.read() else { return };
        let first = String::from_utf8_lossy(&first).into_owned();
        let nonce = first.rsplit("r=").next().unwrap_or_default();
        let text = challenge.replace("{}", nonce).replace("LONG", &"QUJD".repeat(20_000));
        if session.send(&say(11, text.as_bytes())).is_some() {
            let _ = session.read();
        }
    })
}

/// A count of two thousand million is three hours of somebody's processor.
#[test]
fn a_server_with_a_mad_challenge_gets_no_proof() {
    for challenge in [
        "",
        "r={}",
        "r={}x,s=QSXCR+Q6sek8bf92",
        "r={}x,s=QSXCR+Q6sek8bf92,i=0",
        "r={}x,s=QSXCR+Q6sek8bf92,i=-1",
        "r={}x,s=QSXCR+Q6sek8bf92,i=2147483647",
        "r={}x,s=QSXCR+Q6sek8bf92,i=2147483648",
        "r={}x,s=QSXCR+Q6sek8bf92,i=99999999999999999999",
        "r={}x,s=,i=4096",
        "r={}x,s=@@@,i=4096",
        "r={},s=QSXCR+Q6sek8bf92,i=4096",
        "r=mine,s=QSXCR+Q6sek8bf92,i=4096",
        "m=ext,r={}x,s=QSXCR+Q6sek8bf92,i=4096",
        "r={}x,s=LONG,i=4096",
    ] {
        let server = challenging(challenge);
        let setup = Setup::in_front_of(server.port, 1);
        let pooler = setup.with("storage_password \"secret\"").start();
        let since = Instant::now();
        let refused = pooler.refused(&Login::new("app", "postgres"));
        assert_eq!(refused.code, "08006", "{challenge}");
        assert!(since.elapsed() < AT_ONCE, "{challenge}: {:?}", since.elapsed());
        pooler.stop();
    }
}
