//! What is told where there is no server to be had: out of reach, refusing, of the wrong role, too
//! far behind.

use super::{after, in_words, last_words, start, wire};
use crate::support::fake::FakeSession;
use crate::support::message::cstr;
use crate::support::pooler::OPEN;
use crate::support::process::free_port;
use crate::support::{FakeServer, PATIENCE, Postgres, Setup, until};

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

/// One rule for everybody, with these hosts.
fn hosts(ports: &[u16], storage: &str, rule: &str) -> Setup {
    let hosts = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",");
    let storage = format!("type \"remote\" host \"{hosts}\" {storage}");
    let rule = format!("{OPEN} {rule} storage_user \"postgres\"");
    Setup::without_storage().storage("pg", &storage).rule("default", "default", &rule)
}

#[test]
fn of_several_hosts() {
    let dead = [free_port(), free_port()];
    let storage = "endpoints_status_poll_interval 600000";
    let pooler = hosts(&dead, storage, "pool \"transaction\"").start();
    let words = after(&pooler, &[start("app")]);
    assert!(words.starts_with("FATAL 08006 failed to connect to remote server s… "), "{words}");
    assert_eq!(
        after(&pooler, &[start("app")]),
        "FATAL 08006 failed to get remote server connection \
         HINT: every host of the storage was out of reach or had another role a moment ago"
    );
    pooler.stop();
    let primary = [Postgres::shared().port];
    let wants = "pool \"transaction\" target_session_attrs \"read-only\"";
    let pooler = hosts(&primary, "", wants).start();
    let mut client = pooler.connect();
    client.send(&start("app"));
    client.until_tag(b'Z'); // what servers report is the same on all hosts
    client.send(&wire().query("select 1"));
    assert_eq!(
        last_words(&mut client),
        "FATAL 08006 can't find suitable host for tsa 'read-only' of user postgres.app \
         HINT: another target_session_attrs, or a server of that role, helps"
    );
    pooler.stop();
}

/// The number of seconds in it as `N`.
fn without_seconds(words: &str) -> String {
    let (before, rest) = words.split_once("too big (").expect("a lag");
    let (seconds, behind) = rest.split_once(' ').expect("a number and a word");
    assert!((100..120).contains(&seconds.parse::<u32>().unwrap()), "{words}");
    format!("{before}too big (N {behind}")
}

/// At login and in front of what follows.
#[test]
fn far_behind() {
    let mut admin = Postgres::shared().admin();
    let table = "create table beat (at timestamptz); insert into beat values (now())";
    assert_eq!(admin.query(table).error(), None);
    let watchdog = r#"endpoints_status_poll_interval 50 watchdog {
        storage "pg" storage_db "postgres" storage_user "postgres" authentication "none"
        pool "transaction" pool_routing "internal"
        watchdog_lag_query "select extract(epoch from at) from beat" }"#;
    for pool in ["session", "transaction"] {
        admin.query("update beat set at = now()");
        let rule = format!("pool \"{pool}\" catchup_timeout 60");
        let pooler = hosts(&[Postgres::shared().port], watchdog, &rule).start();
        let mut client = pooler.client();
        client.query("select 1");
        admin.query("update beat set at = now() - interval '100 s'");
        let late = until("a lag", PATIENCE, || {
            let answer = client.query("select 1");
            answer.0.iter().find(|message| message.tag == b'E').map(in_words)
        });
        let told = "FATAL 08006 replication lag too big (N seconds), connection rejected: \
                    postgres app DETAIL: replication lag of the node you are trying to connect is \
                    too big, connection rejected \
                    HINT: wait until the replica catches up with the primary";
        assert_eq!(without_seconds(&late), told, "{pool}");
        assert_eq!(without_seconds(&after(&pooler, &[start("app")])), told, "{pool}");
        pooler.stop();
    }
}
