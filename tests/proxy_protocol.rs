//! PROXY headers: who is believed, what is refused, and a real proxy.

use crate::support::client::Address;
use crate::support::pooler::OPEN;
use crate::support::process::{Watched, free_port, new_dir, write};
use crate::support::{Client, Login, PATIENCE, PgError, Pooler, Setup, Wire, until};
use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// Clients of this network only.
const RULE: &str = r#"
database "postgres" { user "app" "192.0.2.0/24" {
  authentication "none" storage "pg" pool "transaction"
} }
"#;

const TRUSTED: &str = r#"proxy_protocol yes proxy_protocol_from "10.0.0.0/8, 127.0.0.1""#;

fn app() -> Login {
    Login::new("app", "postgres")
}

fn behind_proxies(listen: &str) -> Setup {
    Setup::new().listen(listen).also(RULE)
}

fn v1(source: &str) -> Vec<u8> {
    format!("PROXY TCP4 {source} 10.0.0.1 56324 5432\r\n").into_bytes()
}

fn v2(command: u8, family: u8, tail: &[u8]) -> Vec<u8> {
    let length = u16::try_from(tail.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, tail].concat()
}

/// A login behind these bytes.
fn start(pooler: &Pooler, header: &[u8], login: &Login) -> Result<Client, PgError> {
    let mut client = pooler.connect();
    client.send(&Wire::new().raw(header));
    client.start(login).map(|()| client)
}

#[test]
fn a_client_is_where_the_header_says() {
    let pooler = behind_proxies(TRUSTED).start();
    let v4 = [192, 0, 2, 9, 10, 0, 0, 1, 0xdc, 4, 0x15, 0x38];
    let with_tlvs = [&v4[..], &[0x04, 0, 3, 1, 2, 3], &[0xee; 400]].concat();
    for header in [v1("192.0.2.9"), v2(0x21, 0x11, &v4), v2(0x21, 0x11, &with_tlvs)] {
        let mut client = start(&pooler, &header, &app()).expect("the rule is for 192.0.2.0/24");
        assert_eq!(client.scalar("select 1"), "1");
        drop(client);
        pooler.wait_for_line("new client connection 192.0.2.9:56324 by way of 127.0.0.1:");
        pooler.wait_for_line("client disconnected addr '192.0.2.9:56324'");
    }
    for header in [v1("192.0.3.9"), v1("10.9.9.9")] {
        assert_eq!(start(&pooler, &header, &app()).err().unwrap().code, "3D000");
    }
    pooler.stop();
}

/// Checks of health, and proxies that do not know.
#[test]
fn a_proxy_that_speaks_for_itself_is_where_it_is() {
    let own = r#"database "postgres" { user "probe" "127.0.0.0/8" {
        authentication "none" storage "pg" storage_user "app" pool "transaction" } }"#;
    let pooler = behind_proxies(TRUSTED).also(own).start();
    for header in [
        v2(0x20, 0x00, &[]),
        v2(0x20, 0x11, &[192, 0, 2, 9, 10, 0, 0, 1, 0, 1, 0, 2]),
        v2(0x21, 0x31, &[0; 216]),
        b"PROXY UNKNOWN\r\n".to_vec(),
    ] {
        let mut client = start(&pooler, &header, &Login::new("probe", "postgres")).unwrap();
        assert_eq!(client.scalar("select 1"), "1");
        assert_eq!(start(&pooler, &header, &app()).err().unwrap().code, "3D000");
    }
    pooler.stop();
}

/// Seen to fail: a listener that takes a header where there is one lets whoever reaches it say
/// where he comes from.
#[test]
fn who_is_no_proxy_is_not_believed() {
    for (listen, why) in [
        (r#"proxy_protocol yes proxy_protocol_from "10.0.0.0/8""#, "not in proxy_protocol_from"),
        ("proxy_protocol no", "the listen section has no proxy_protocol"),
    ] {
        let rule = format!(r#"{OPEN} pool "transaction""#);
        let pooler = behind_proxies(listen).rule("postgres", "app", &rule).start();
        let v4 = [192, 0, 2, 9, 10, 0, 0, 1, 0xdc, 4, 0x15, 0x38];
        for header in [v1("192.0.2.9"), v2(0x21, 0x11, &v4)] {
            let mut client = pooler.connect();
            client.send(&Wire::new().raw(&header));
            let _ = client.try_send(&app().packet());
            assert_eq!(client.until_closed().0, vec![]);
            pooler.wait_for_line(why);
        }
        let mut client = pooler.login(&app());
        assert_eq!(client.scalar("select 1"), "1", "served under its own address");
        pooler.wait_for_line("new client connection 127.0.0.1:");
        assert!(!pooler.log().contains("by way of"), "{}", pooler.log());
        pooler.stop_with(vec![client]);
    }
}

/// Else a client that gets at the port of the proxy's own machine would be taken for the proxy.
#[test]
fn a_proxy_has_to_send_a_header_and_a_good_one() {
    let pooler = behind_proxies(TRUSTED).rule("default", "default", OPEN).with("pool \"session\"");
    let pooler = pooler.start();
    let mut startup = app().packet().0;
    startup.extend([0; 64]);
    for (bytes, why) in [
        (startup.as_slice(), "no PROXY header from an address in proxy_protocol_from"),
        (&[0, 0, 0, 8, 4, 210, 22, 47][..], "no PROXY header from"),
        (b"PROXY TCP4 192.0.2.9 10.0.0.1 56324\r\n", "PROXY header: malformed line"),
        (&[b"PROXY ".as_slice(), &[b'9'; 200]].concat(), "PROXY header: malformed line"),
        (&v2(0x31, 0x11, &[0; 12]), "PROXY header: unknown version 3"),
        (&v2(0x2f, 0x11, &[0; 12]), "PROXY header: unknown command 15"),
        (&v2(0x21, 0x11, &[0; 60_000])[..16], "PROXY header: 60000 bytes, more than 4096"),
        (&v2(0x21, 0x21, &[0; 12]), "PROXY header: 12 bytes are too few"),
    ] {
        let mut client = pooler.connect();
        client.send(&Wire::new().raw(bytes));
        assert_eq!(client.until_closed().0, vec![], "{why}");
        pooler.wait_for_line(why);
    }
    pooler.stop();
}

#[test]
fn a_header_has_the_time_of_a_login() {
    let pooler = behind_proxies(&format!("{TRUSTED} client_login_timeout 300")).start();
    for beginning in [&b""[..], b"PROXY", b"\r\n\r\n\0\r\nQUIT\n"] {
        let mut client = pooler.connect();
        client.send(&Wire::new().raw(beginning));
        assert_eq!(client.until_closed().0, vec![]);
    }
    pooler.wait_for_line("timed out before a PROXY header");
    pooler.stop();
}

/// Byte by byte, and with everything behind it in one piece.
#[test]
fn a_header_may_come_in_any_pieces() {
    let pooler = behind_proxies(TRUSTED).start();
    let all = [v1("192.0.2.9"), app().packet().0].concat();
    let mut client = pooler.connect();
    client.send(&Wire::new().raw(&all));
    assert_eq!(client.until_ready().status(), 'I');
    let mut client = pooler.connect();
    for byte in &all {
        client.socket.write_all(&[*byte]).unwrap();
    }
    assert_eq!(client.until_ready().status(), 'I');
    // A request for TLS behind it is answered as ever.
    let mut client = pooler.connect();
    client.send(&Wire::new().raw(&v1("192.0.2.9")).raw(&[0, 0, 0, 8, 4, 210, 22, 47]));
    let mut answer = [0];
    client.socket.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"N");
    client.start(&app()).unwrap();
    pooler.stop();
}

/// Over the unix socket, where a proxy of the same machine may be.
#[test]
fn a_unix_socket_may_be_a_proxys() {
    let listen = r#"proxy_protocol yes proxy_protocol_from "unix""#;
    let pooler = behind_proxies(listen).start();
    let mut client = Client::try_connect(&pooler.socket_address()).unwrap();
    client.send(&Wire::new().raw(&v1("192.0.2.9")));
    client.start(&app()).unwrap();
    assert_eq!(client.scalar("select 1"), "1");
    drop(client);
    assert_eq!(pooler.refused(&app()).code, "3D000", "by TCP nobody is a proxy");
    pooler.stop();
}

/// HAProxy as it is.
#[test]
fn haproxy_says_where_its_clients_are() {
    let rule = r#"database "postgres" { user "app" "127.0.0.1/32" {
        authentication "none" storage "pg" pool "transaction" } }"#;
    let listen = r#"proxy_protocol yes proxy_protocol_from "127.0.0.5""#;
    let pooler = Setup::new().listen(listen).also(rule).start();
    for word in ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn"] {
        let proxy = HaProxy::start(pooler.port, word);
        let mut client = proxy.client();
        client.start(&app()).unwrap_or_else(|error| panic!("{word}: {error:?}"));
        assert_eq!(client.scalar("select 1"), "1", "{word}");
        drop(client);
    }
    until("a line for each", PATIENCE, || {
        (pooler.log().matches("by way of 127.0.0.5:").count() >= 3).then_some(())
    });
    pooler.stop();
}

struct HaProxy {
    port: u16,
    _process: Watched,
}

impl HaProxy {
    fn start(to: u16, word: &str) -> HaProxy {
        let (dir, port) = (new_dir("pooler-test-haproxy"), free_port());
        let text = format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
             listen pooler\n bind 127.0.0.1:{port}\n\
             server one 127.0.0.1:{to} source 127.0.0.5 {word}\n"
        );
        let config = write(&dir, "haproxy.cfg", &text);
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(config).stdin(Stdio::null());
        let log = std::fs::File::create(dir.join("log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let process = Watched::spawn(&mut command, dir);
        let proxy = HaProxy { port, _process: process };
        until("haproxy to listen", PATIENCE, || {
            Client::try_connect(&Address::Tcp(proxy.port)).ok()
        });
        proxy
    }

    fn client(&self) -> Client {
        Client::try_connect(&Address::Tcp(self.port)).unwrap()
    }
}
