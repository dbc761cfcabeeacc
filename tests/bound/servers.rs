//! Our own logins at servers, bound to their certificate: with a real PostgreSQL, and with somebody
//! between it and us who has a certificate that we take.

use crate::support::postgres::PASSWORD;
use crate::support::{FakeServer, Login, Papers, Pooler, Postgres, Setup};
use openssl::ssl::{SslAcceptor, SslConnector, SslFiletype, SslMethod, SslStream, SslVerifyMode};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

fn towards(port: u16, tls: &str) -> Pooler {
    let storage = format!("type \"remote\" host \"localhost\" port {port} {tls}");
    let rule = format!(
        "authentication \"none\" storage \"pg\" pool \"transaction\" storage_user \"app_scram\" \
         storage_password \"{PASSWORD}\""
    );
    let setup = Setup::without_storage().storage("pg", &storage);
    setup.rule("default", "default", &rule).start()
}

#[test]
fn a_login_at_a_server_is_bound_to_its_certificate() {
    let believed = Papers::shared().believed();
    for tls in [format!("tls \"verify_full\" {believed}"), "tls \"disable\"".to_owned()] {
        let pooler = towards(Postgres::shared().port, &tls);
        let sql = "select current_user || ' ' || ssl from pg_stat_ssl where pid = pg_backend_pid()";
        let wanted = format!("app_scram {}", tls.contains("full"));
        assert_eq!(pooler.client().scalar(sql), wanted, "{tls}");
        pooler.stop();
    }
}

/// What somebody in the middle does to what the server says.
type Change = fn(&mut Vec<u8>);

/// Takes TLS with a certificate of its own, speaks TLS with the server, and passes on what is said.
fn middle(change: Change) -> FakeServer {
    let papers = Papers::shared();
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    builder.set_certificate_chain_file(papers.path("strange.crt")).unwrap();
    builder.set_private_key_file(papers.path("strange.key"), SslFiletype::PEM).unwrap();
    let acceptor = builder.build();
    let port = Postgres::shared().port;
    FakeServer::start(move |mut session| {
        let mut request = [0; 8];
        if session.stream.read_exact(&mut request).is_err() || request != SSL_REQUEST {
            return;
        }
        session.stream.write_all(b"S").unwrap();
        let Ok(client) = acceptor.accept(session.stream) else { return };
        pass(client, server(port), change);
    })
}

fn server(port: u16) -> SslStream<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(&SSL_REQUEST).unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let mut builder = SslConnector::builder(SslMethod::tls()).unwrap();
    builder.set_verify(SslVerifyMode::NONE);
    let configured = builder.build().configure().unwrap().verify_hostname(false);
    configured.connect("localhost", stream).unwrap()
}

/// Until one of them ends; a login is question and answer, so that a short look at each is enough.
fn pass(mut client: SslStream<TcpStream>, mut server: SslStream<TcpStream>, change: Change) {
    let look = Some(Duration::from_millis(5));
    client.get_ref().set_read_timeout(look).unwrap();
    server.get_ref().set_read_timeout(look).unwrap();
    loop {
        let Some(asked) = some(&mut client) else { return };
        let Some(mut said) = some(&mut server) else { return };
        change(&mut said);
        if server.write_all(&asked).is_err() || client.write_all(&said).is_err() {
            return;
        }
    }
}

/// What came; None at the end.
fn some(from: &mut SslStream<TcpStream>) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 16 * 1024];
    match from.read(&mut bytes) {
        Ok(0) => None,
        Ok(n) => Some(bytes[..n].to_vec()),
        Err(error) => {
            use std::io::ErrorKind::{TimedOut, WouldBlock};
            matches!(error.kind(), TimedOut | WouldBlock).then(Vec::new)
        }
    }
}

/// Takes SCRAM-SHA-256-PLUS out of the server's offer.
fn takes_the_offer_away(said: &mut Vec<u8>) {
    let offer = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";
    if said.ends_with(offer) {
        *said = [b"R\0\0\0\x17\0\0\0\x0a", &offer[19..]].concat();
    }
}

/// Fails against a pooler that binds its login to nothing: the one in the middle is then in as us.
#[test]
fn who_stands_between_a_server_and_us_gets_no_login() {
    for change in [(|_: &mut Vec<u8>| {}) as Change, takes_the_offer_away] {
        let middle = middle(change);
        // Any certificate is taken: nothing but the binding is between him and the server.
        let pooler = towards(middle.port, "tls \"require\"");
        let refused = pooler.refused(&Login::new("app", "postgres"));
        assert_eq!(refused.whole().1, "08006");
        let line = pooler.wait_for_line("failed to connect to remote server");
        assert!(line.contains("channel binding"), "{line}");
        pooler.stop();
    }
}
