//! From the first byte to the first ReadyForQuery: packets before the login, protocol versions,
//! every way a client proves who it is, every way the pooler proves itself to a server.

use crate::support::fake::{self, error};
use crate::support::message::{SSL_REQUEST, cstr};
use crate::support::pooler::OPEN;
use crate::support::postgres::PASSWORD;
use crate::support::{FakeServer, Login, PATIENCE, Pooler, Postgres, Setup, Wire, until};
use std::io::Read;
use std::time::{Duration, Instant};

const GSS_REQUEST: u32 = 80_877_104;

fn app(password: Option<&str>) -> Login {
    let login = Login::new("app", "postgres");
    password.map_or(login.clone(), |password| login.password(password))
}

/// A pooler whose user `app` proves itself by `method`, with `secret` as the rule's password.
fn guarded(method: &str, secret: &str) -> Pooler {
    let password = if secret.is_empty() { "".into() } else { format!("password \"{secret}\"") };
    let rule = format!(r#"authentication "{method}" {password} storage "pg" pool "session""#);
    Setup::new().rule("postgres", "app", &rule).start()
}

#[test]
fn each_method_lets_the_right_password_in_and_no_other() {
    let md5_of_app = format!("md5{}", md5_hex(&format!("{PASSWORD}app")));
    for (method, secret) in [
        ("clear_text", PASSWORD),
        ("md5", PASSWORD),
        ("md5", &md5_of_app),
        ("scram-sha-256", PASSWORD),
        ("scram-sha-256", &verifier_of(PASSWORD)),
    ] {
        let pooler = guarded(method, secret);
        let mut client = pooler.login(&app(Some(PASSWORD)));
        assert_eq!(client.scalar("select current_user"), "app", "{method} {secret}");

        for bad in ["", "wrong", &md5_of_app, &PASSWORD.to_uppercase()] {
            let refused = pooler.refused(&app(Some(bad)));
            let expected = "password authentication failed for user \"app\"";
            assert_eq!(refused.whole(), ("FATAL", "28P01", expected), "{method} {bad:?}");
        }
        pooler.stop();
    }
}

#[test]
fn block_refuses_and_none_asks_nothing() {
    let pooler = guarded("block", "");
    let refused = pooler.refused(&app(Some(PASSWORD)));
    assert_eq!(refused.whole(), ("FATAL", "28000", "user blocked: postgres app"));
    pooler.stop();

    let pooler = guarded("none", "");
    assert_eq!(pooler.login(&app(None)).scalar("select 1"), "1");
    pooler.stop();
}

#[test]
fn a_login_without_a_route_is_refused_by_name() {
    let pooler = guarded("none", "");
    for (user, database) in [("app", "elsewhere"), ("nobody", "postgres")] {
        let refused = pooler.refused(&Login::new(user, database));
        let expected = format!("route for '{database}.{user}' is not found");
        assert_eq!(refused.whole(), ("ERROR", "3D000", expected.as_str()));
    }
    pooler.wait_for_line("is not found");
    pooler.stop();
}

#[test]
fn the_database_is_the_users_name_when_none_is_asked_for() {
    let rule = format!(r#"{OPEN} pool "transaction" storage_db "postgres""#);
    let pooler = Setup::new().rule("app", "app", &rule).start();
    assert_eq!(pooler.login(&Login::new("app", "")).scalar("select current_user"), "app");
    pooler.stop();
}

#[test]
fn storage_names_replace_the_clients_names() {
    let rule = format!(
        r#"{OPEN} pool "transaction" storage_db "other" storage_user "app_scram"
           storage_password "{PASSWORD}""#
    );
    let pooler = Setup::new().rule("front", "door", &rule).start();
    let mut client = pooler.login(&Login::new("door", "front"));
    let who = client.scalar("select current_database() || ' ' || current_user");
    assert_eq!(who, "other app_scram");
    pooler.stop();
}

#[test]
fn servers_by_trust_cleartext_md5_and_scram() {
    for user in ["app", "app_clear", "app_md5", "app_scram"] {
        let credentials = format!(r#"storage_user "{user}" storage_password "{PASSWORD}""#);
        let rule = format!(r#"{OPEN} pool "transaction" {credentials}"#);
        let pooler = Setup::new().rule("default", "default", &rule).start();
        let mut client = pooler.login(&Login::new("anyone", "postgres"));
        assert_eq!(client.scalar("select current_user"), user);
        pooler.stop();
    }
}

#[test]
fn a_wrong_storage_password_is_a_clear_error() {
    for user in ["app_clear", "app_md5", "app_scram"] {
        let rule = format!(
            r#"{OPEN} pool "transaction" pool_size 1 storage_user "{user}" storage_password "no""#
        );
        let pooler = Setup::new().rule("default", "default", &rule).start();
        for _ in 0..3 {
            let refused = login_or_first_query(&pooler);
            assert_eq!((refused.0.as_str(), refused.1.as_str()), ("FATAL", "08006"), "{user}");
            assert!(refused.2.starts_with("failed to connect to remote server s"), "{refused:?}");
        }
        pooler.wait_for_line("28P01");
        pooler.stop();
    }
}

#[test]
fn encryption_requests_are_declined_and_the_login_goes_on() {
    let pooler = Setup::transaction(2).start();
    for requests in [vec![SSL_REQUEST], vec![GSS_REQUEST], vec![GSS_REQUEST, SSL_REQUEST]] {
        let mut client = pooler.connect();
        for request in &requests {
            client.send(&Wire::packet(*request, &[]));
            let mut answer = [0];
            client.socket.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"N", "{requests:?}");
        }
        client.start(&app(None)).unwrap();
        assert_eq!(client.scalar("select 1"), "1");
    }
    pooler.stop();
}

#[test]
fn a_repeated_encryption_request_ends_the_connection() {
    let pooler = Setup::transaction(2).start();
    let mut client = pooler.connect();
    let request = Wire::packet(SSL_REQUEST, &[]);
    client.send(&request.clone().raw(&request.0));
    let mut all = Vec::new();
    let _ = client.socket.read_to_end(&mut all);
    assert!(all.starts_with(b"N") && all.len() < 600, "{all:?}");
    pooler.stop();
}

#[test]
fn newer_minor_versions_and_unknown_protocol_options_are_negotiated() {
    let pooler = Setup::transaction(2).start();
    for (login, expected) in [
        (app(None), None),
        (app(None).minor(2), Some(vec![])),
        (app(None).minor(9), Some(vec![])),
        (app(None).option("_pq_.wonder", "1"), Some(vec!["_pq_.wonder".to_owned()])),
        (app(None).minor(2).option("_pq_.a", "1"), Some(vec!["_pq_.a".to_owned()])),
    ] {
        let what = format!("minor {} {:?}", login.minor, login.options);
        let mut client = pooler.login(&login);
        match (&client.negotiated, expected) {
            // 3.2 may be spoken as it is: then nothing is negotiated down.
            (None, Some(options)) => assert!(options.is_empty() && login.minor <= 2, "{what}"),
            (Some((minor, options)), Some(expected)) => {
                assert_eq!(options, &expected, "{what}");
                assert!(minor & 0xffff <= 2, "{what}: {minor:#x}");
            }
            (got, None) => assert_eq!(got, &None, "{what}"),
        }
        assert_eq!(client.scalar("select 1"), "1", "{what}");
    }
    pooler.stop();
}

#[test]
fn other_major_versions_are_refused() {
    let pooler = Setup::transaction(2).start();
    for (code, version) in [(2 << 16, "2.0"), (4 << 16 | 1, "4.1"), (1, "0.1")] {
        let mut client = pooler.connect();
        client.send(&Wire::packet(code, &[cstr("user"), cstr("app"), vec![0]].concat()));
        let answer = client.until_closed();
        let refused = answer.error().expect("an error and a close");
        assert_eq!((refused.severity.as_str(), refused.code.as_str()), ("FATAL", "0A000"));
        let expected = format!("unsupported frontend protocol {version}: server supports 3.0");
        assert!(refused.ours().starts_with(&expected), "{refused:?}");
    }
    pooler.stop();
}

#[test]
fn a_login_without_a_user_ends() {
    let pooler = Setup::transaction(2).start();
    let mut client = pooler.connect();
    client.send(&Wire::packet(3 << 16, &[cstr("database"), cstr("postgres"), vec![0]].concat()));
    assert!(client.until_closed().0.len() <= 1);
    pooler.stop();
}

#[test]
fn a_login_that_takes_too_long_ends() {
    let pooler = Setup::transaction(2).listen("client_login_timeout 300").start();
    let started = Instant::now();
    let mut client = pooler.connect();
    client.send(&Wire::new().raw(&[0, 0, 0, 40, 0, 3]));
    assert_eq!(client.until_closed().0, vec![]);
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(10), "{took:?}");
    pooler.stop();
}

#[test]
fn client_max_of_a_rule_refuses_the_one_too_many() {
    let pooler = Setup::transaction(2).with("client_max 2").start();
    let first = pooler.client();
    let second = pooler.client();
    let refused = pooler.refused(&app(None));
    let text = "too many client tcp connections (client_max for user postgres.app 2)";
    assert_eq!(refused.whole(), ("ERROR", "53300", text));
    first.leave();
    until("a place for the next client", PATIENCE, || pooler.connect().start(&app(None)).ok());
    drop(second);
    pooler.stop();
}

#[test]
fn client_max_of_the_pooler_refuses_the_one_too_many() {
    let pooler = Setup::transaction(2).global("client_max 2").start();
    // The probes of the start-up may still be leaving.
    let login = || {
        until("a place", PATIENCE, || {
            let mut client = pooler.connect();
            client.start(&app(None)).ok().map(|()| client)
        })
    };
    let clients = [login(), login()];
    let refused = pooler.refused(&app(None));
    let text = "too many tcp connections (global client_max 2)";
    assert_eq!(refused.whole(), ("ERROR", "53300", text));
    drop(clients);
    login();
    pooler.stop();
}

#[test]
fn parameters_and_keys_of_the_login_make_sense() {
    let pooler = Setup::transaction(2).start();
    let first = pooler.login(&app(None).option("application_name", "here"));
    let direct = Postgres::shared().admin();
    for name in ["server_version", "server_encoding", "integer_datetimes", "client_encoding"] {
        assert_eq!(first.parameters.get(name), direct.parameters.get(name), "{name}");
    }
    let second = pooler.client();
    assert!(first.key.is_some() && first.key != second.key, "every client has a key of its own");
    pooler.stop();
}

#[test]
fn a_server_that_refuses_is_reported_and_its_slot_is_free_again() {
    let refusing = FakeServer::start(|mut session| {
        session.read_packet();
        session.send_and_close(&error("FATAL", "57P03", "the database system is starting up"));
    });
    let pooler = Setup::in_front_of(refusing.port, 1).start();
    for _ in 0..3 {
        let refused = login_or_first_query(&pooler);
        assert_eq!((refused.0.as_str(), refused.1.as_str()), ("FATAL", "08006"));
    }
    pooler.wait_for_line("the database system is starting up");
    pooler.stop();
}

#[test]
fn client_fwd_error_forwards_what_the_server_said() {
    let rule = format!(r#"{OPEN} pool "transaction" client_fwd_error yes"#);
    let pooler = Setup::new().rule("default", "default", &rule).start();
    let refused = pooler.refused(&Login::new("app", "no_such_database"));
    assert_eq!(refused.code, "3D000", "{refused:?}");
    assert!(refused.ours().contains("database \"no_such_database\" does not exist"));
    pooler.stop();
}

#[test]
fn the_greeting_of_a_server_may_arrive_byte_by_byte() {
    let server = FakeServer::start(|mut session| {
        session.read_packet();
        for byte in fake::greeting().0 {
            if session.send(&Wire::new().raw(&[byte])).is_none() {
                return;
            }
        }
        while session.read_until(b"Q").is_some() {
            for byte in fake::one_row().0 {
                session.send(&Wire::new().raw(&[byte]));
            }
        }
    });
    let pooler = Setup::in_front_of(server.port, 1).start();
    let mut client = pooler.client();
    assert_eq!(client.query("select 'x'").column(), ["x"]);
    pooler.stop();
}

/// (severity, code, text) of the error, whether it comes at login or at the first query.
fn login_or_first_query(pooler: &Pooler) -> (String, String, String) {
    let mut client = pooler.connect();
    let refused = match client.start(&app(None)) {
        Err(refused) => refused,
        Ok(()) => client.query("select 1").error().expect("no server, no answer"),
    };
    let (severity, code, text) = refused.whole();
    (severity.into(), code.into(), text.into())
}

fn md5_hex(text: &str) -> String {
    // PostgreSQL's own arithmetic, so that the test leans on nothing of ours.
    let mut admin = Postgres::shared().admin();
    admin.scalar(&format!("select md5($t${text}$t$)"))
}

/// The verifier that PostgreSQL itself stores for a password.
fn verifier_of(password: &str) -> String {
    let mut admin = Postgres::shared().admin();
    let role = format!("verifier_{}", std::process::id());
    // PostgreSQL 13 would make an md5 one.
    admin.query("set password_encryption = 'scram-sha-256'");
    admin.query(&format!("create role {role} password $p${password}$p$"));
    let sql = format!("select rolpassword from pg_authid where rolname = '{role}'");
    let verifier = admin.scalar(&sql);
    admin.query(&format!("drop role {role}"));
    verifier
}
