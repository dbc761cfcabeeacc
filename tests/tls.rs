//! TLS on both sides: who is let in with which mode, whom we believe, what is said when it goes
//! wrong, and that everything else is as without.

use crate::support::certificates::Wish;
use crate::support::papers::{Greeting, secure_client};
use crate::support::pooler::OPEN;
use crate::support::process::{new_dir, run, write};
use crate::support::{
    CLEANUP, FakeServer, Login, PATIENCE, Papers, Pooler, Postgres, Setup, Wire, in_some_try,
    let_pass, until,
};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

const ALPN: &[u8] = b"\x0apostgresql";

/// Everybody may come, with this TLS on the listeners.
fn listening(tls: &str) -> Setup {
    Setup::transaction(4).listen(tls)
}

/// With a good certificate, asking for none.
fn secure() -> Setup {
    listening(&format!("tls \"allow\" {}", Papers::shared().shown("server")))
}

/// psql as `app` with these connection options: what it prints, or what it complains of.
fn psql(pooler: &Pooler, options: &str, sql: &str) -> Result<String, String> {
    let mut command = Postgres::shared().program("psql");
    let port = pooler.port;
    let target =
        format!("host=localhost hostaddr=127.0.0.1 port={port} user=app dbname=postgres {options}");
    let (good, out, err) = run(command.args(["-X", "-A", "-t", "-d", &target, "-c", sql]));
    if good { Ok(out.trim().to_owned()) } else { Err(err.trim().to_owned()) }
}

/// Options of libpq that show this certificate and believe the authority.
fn paper(name: &str) -> String {
    let papers = Papers::shared();
    let path = |end: &str| papers.path(&format!("{name}.{end}"));
    let root = papers.path("authority.crt");
    format!("sslrootcert={root} sslcert={} sslkey={}", path("crt"), path("key"))
}

fn root() -> String {
    format!("sslrootcert={}", Papers::shared().path("authority.crt"))
}

#[test]
fn each_mode_lets_in_whom_it_should() {
    let papers = Papers::shared();
    let (shown, believed) = (papers.shown("server"), papers.believed());
    let (plain, tls) = ("sslmode=disable", "sslmode=require");
    let with = |name: &str| format!("sslmode=require {}", paper(name));
    for (mode, wanted) in [
        // plain, TLS, with a certificate, with one of a stranger
        ("disable", [true, false, false, false]),
        ("allow", [true, true, true, true]),
        ("prefer", [true, true, true, true]),
        ("require", [false, true, true, false]),
        ("verify_ca", [false, false, true, false]),
        ("verify_full", [false, false, true, false]),
    ] {
        let pooler = listening(&format!("tls \"{mode}\" {shown} {believed}")).start();
        for (options, wanted) in
            [plain, tls, &with("app"), &with("strange")].into_iter().zip(wanted)
        {
            let said = psql(&pooler, options, "select 'in'");
            assert_eq!(said.is_ok(), wanted, "{mode} {options}: {said:?}");
        }
        pooler.stop();
    }
}

#[test]
fn what_is_refused_is_said_in_the_right_words() {
    let papers = Papers::shared();
    let (shown, believed) = (papers.shown("server"), papers.believed());
    let pooler = listening(&format!("tls \"verify_ca\" {shown} {believed}")).start();
    let refused = pooler.refused(&Login::new("app", "postgres"));
    assert_eq!(refused.whole(), ("ERROR", "08P01", "SSL is required"));

    let error = psql(&pooler, "sslmode=require", "select 1").unwrap_err();
    assert!(error.contains("certificate required"), "{error}");
    pooler.wait_for_line("TLS handshake: the peer showed no certificate");

    let error = psql(&pooler, &format!("sslmode=require {}", paper("strange")), "select 1");
    assert!(error.unwrap_err().contains("unknown ca"));
    pooler.wait_for_line("TLS handshake: the peer's certificate is signed by an unknown authority");

    psql(&pooler, &format!("sslmode=require {}", paper("expired")), "select 1").unwrap_err();
    pooler.wait_for_line("TLS handshake: the peer's certificate has expired");
    pooler.stop();
}

#[test]
fn psql_verifies_us() {
    let pooler = secure().start();
    let options = format!("sslmode=verify-full {}", root());
    for version in ["TLSv1.2", "TLSv1.3"] {
        let bound = "ssl_min_protocol_version=VERSION ssl_max_protocol_version=VERSION";
        let options = format!("{options} {}", bound.replace("VERSION", version));
        assert_eq!(psql(&pooler, &options, "select 'in'").unwrap(), "in");
        pooler.wait_for_line(&format!("(tls) client speaks {version}, "));
    }
    pooler.stop();
    let elsewhere = Papers::shared().shown("elsewhere");
    let pooler = listening(&format!("tls \"require\" {elsewhere}")).start();
    let error = psql(&pooler, &options, "select 1").unwrap_err();
    assert!(error.contains("does not match host name"), "{error}");
    let error = psql(
        &pooler,
        &format!("sslmode=verify-ca sslrootcert={}", Papers::shared().path("stranger.crt")),
        "select 1",
    );
    assert!(error.unwrap_err().contains("certificate verify failed"));
    pooler.wait_for_line("TLS handshake: the peer does not know the authority of our certificate");
    pooler.stop();
}

/// Odyssey takes the option and applies nothing.
#[test]
fn only_the_protocols_that_are_listed_are_spoken() {
    let shown = Papers::shared().shown("server");
    let only = |protocols: &str| {
        listening(&format!("tls \"require\" {shown} tls_protocols \"{protocols}\"")).start()
    };
    let versions = |low: &str, high: &str| {
        format!("sslmode=require ssl_min_protocol_version={low} ssl_max_protocol_version={high}")
    };
    let pooler = only("tlsv1.2");
    psql(&pooler, &versions("TLSv1.2", "TLSv1.3"), "select 1").unwrap();
    pooler.wait_for_line("client speaks TLSv1.2, ");
    psql(&pooler, &versions("TLSv1.3", "TLSv1.3"), "select 1").unwrap_err();
    pooler.wait_for_line("TLS handshake: no TLS version in common");
    pooler.stop();
    let pooler = only("tlsv1.3");
    psql(&pooler, &versions("TLSv1.2", "TLSv1.2"), "select 1").unwrap_err();
    psql(&pooler, &versions("TLSv1.2", "TLSv1.3"), "select 1").unwrap();
    pooler.stop();
}

#[test]
fn ciphers_and_curves_are_those_of_the_file() {
    let shown = Papers::shared().shown("server");
    let pooler = listening(&format!(
        "tls \"require\" {shown} tls_ciphersuites \"TLS_CHACHA20_POLY1305_SHA256\" \
         tls_ciphers \"ECDHE-ECDSA-AES128-GCM-SHA256\" tls_curves \"secp384r1\""
    ))
    .start();
    psql(&pooler, "sslmode=require", "select 1").unwrap();
    pooler.wait_for_line("client speaks TLSv1.3, TLS_CHACHA20_POLY1305_SHA256");
    psql(&pooler, "sslmode=require ssl_max_protocol_version=TLSv1.2", "select 1").unwrap();
    pooler.wait_for_line("client speaks TLSv1.2, ECDHE-ECDSA-AES128-GCM-SHA256");
    pooler.stop();
}

#[test]
fn hostssl_means_that_tls_is_on() {
    let rule = |kind: &str, role: &str| {
        let options = format!("{OPEN} pool \"transaction\" storage_user \"{role}\"");
        format!("database \"postgres\" {{ user \"app\" {kind} {{ {options} }} }}\n")
    };
    let rules = rule("hostssl", "app_clear") + &rule("hostnossl", "app_md5");
    let secret = format!("storage_password \"{}\"", crate::support::postgres::PASSWORD);
    let rules = rules.replace("storage_user", &format!("{secret} storage_user"));
    let setup = Setup::new().also(&rules);
    let secure =
        setup.clone().listen(&format!("tls \"allow\" {}", Papers::shared().shown("server")));
    let pooler = secure.start();
    let who = |mode: &str| psql(&pooler, mode, "select current_user").unwrap();
    assert_eq!(
        (who("sslmode=require").as_str(), who("sslmode=disable").as_str()),
        ("app_clear", "app_md5")
    );
    pooler.stop();
    // A client that asks for TLS and is told no has none; Odyssey takes it for one that has.
    let pooler = setup.start();
    assert_eq!(psql(&pooler, "sslmode=prefer", "select current_user").unwrap(), "app_md5");
    pooler.stop();
}

#[test]
fn direct_tls_needs_the_name_of_the_protocol() {
    let pooler = secure().start();
    let direct = |alpn| secure_client(pooler.port, &Greeting { direct: true, alpn });
    let mut client = direct(ALPN).expect("the handshake succeeds");
    client.start(&Login::new("app", "postgres")).unwrap();
    assert_eq!(client.scalar("select 'in'"), "in");
    assert!(direct(b"\x02h2").is_none(), "another protocol");
    let mut client = direct(b"").expect("the handshake itself");
    assert!(client.start(&Login::new("app", "postgres")).is_err());
    pooler.wait_for_line("direct TLS without the protocol's name");
    pooler.stop();
    let pooler = Setup::transaction(2).start();
    assert!(secure_client(pooler.port, &Greeting { direct: true, alpn: ALPN }).is_none());
    pooler.stop();
}

/// CVE-2021-23214. Seen to fail without the check: the client was told that TLS may begin.
#[test]
fn bytes_behind_the_request_are_refused() {
    let pooler = secure().start();
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", pooler.port)).unwrap();
    let startup = Login::new("app", "postgres").packet().0;
    socket.write_all(&[&[0, 0, 0, 8, 4, 210, 22, 47], startup.as_slice()].concat()).unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{answer:?}");
    pooler.wait_for_line("unencrypted data behind the request for TLS");
    pooler.stop();
}

#[test]
fn a_client_that_stalls_in_the_handshake_is_not_waited_for() {
    let setup = listening(&format!(
        "tls \"require\" {} client_login_timeout 300",
        Papers::shared().shown("server")
    ));
    let pooler = setup.start();
    let began = Instant::now();
    for says in [&b"\0\0\0\x08\x04\xd2\x16\x2f"[..], &[0x16, 3, 1]] {
        let mut socket = std::net::TcpStream::connect(("127.0.0.1", pooler.port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(says).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        assert!(answer == b"S" || answer.is_empty(), "{answer:?}");
    }
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    pooler.wait_for_line("TLS handshake: timed out");
    pooler.stop();
}

#[test]
fn who_speaks_plain_text_after_the_answer_is_told_apart() {
    let pooler = secure().start();
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", pooler.port)).unwrap();
    socket.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
    let mut answer = [0];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"S");
    socket.write_all(&Login::new("app", "postgres").packet().0).unwrap();
    pooler.wait_for_line("TLS handshake: the peer does not speak TLS (plain text?)");
    pooler.stop();
}

#[test]
fn s_client_comes_back_with_its_session() {
    let pooler = secure().start();
    for version in ["-tls1_2", "-tls1_3"] {
        let mut command = std::process::Command::new("openssl");
        let address = format!("127.0.0.1:{}", pooler.port);
        command.args(["s_client", "-starttls", "postgres", "-connect", &address, "-reconnect"]);
        let (_, out, err) = run(command.arg(version).stdin(Stdio::null()));
        if version == "-tls1_2" {
            let times = out.matches("Reused, TLSv1.2").count();
            assert_eq!(times, 5, "{out}{err}");
        }
    }
    pooler.wait_for_line(", resumed");
    pooler.stop();
}

/// TLS 1.3 gives its tickets behind the handshake, so that `-reconnect` never sees one: the session
/// is kept in a file and shown by a second client.
#[test]
fn s_client_shows_a_session_that_another_one_kept() {
    let pooler = secure().start();
    let dir = new_dir("tls-session");
    let session = dir.join("session.pem");
    // No startup packet has four bytes: the pooler hangs up, and s_client has read all there was.
    let packet = write(&dir, "packet", "\0\0\0\u{4}");
    for version in ["TLSv1.2", "TLSv1.3"] {
        let meet = |what: &str| {
            let mut command = std::process::Command::new("openssl");
            let address = format!("127.0.0.1:{}", pooler.port);
            command.args(["s_client", "-starttls", "postgres", "-connect", &address, "-ign_eof"]);
            command.arg(version.replace("TLSv1.", "-tls1_")).arg(what).arg(&session);
            let output = command.stdin(std::fs::File::open(&packet).unwrap()).output().unwrap();
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let (kept, shown) = (meet("-sess_out"), meet("-sess_in"));
        assert!(kept.contains(&format!("New, {version}")), "{kept}");
        assert!(shown.contains(&format!("Reused, {version}")), "{shown}");
    }
    let _ = std::fs::remove_dir_all(dir);
    pooler.stop();
}

/// The client sleeps without a stack and holds no server; a byte of TLS wakes it.
#[test]
fn a_parked_client_wakes_and_cancels_over_tls() {
    let pooler = secure().start();
    let mut client = secure_client(pooler.port, &Greeting::default()).unwrap();
    client.start(&Login::new("app", "postgres")).unwrap();
    for _ in 0..3 {
        assert_eq!(client.scalar("select 'awake'"), "awake");
        let_pass(Duration::from_millis(50));
    }
    let (pid, secret) = client.key.clone().unwrap();
    client.send(&Wire::new().query("select pg_sleep(60)"));
    Postgres::shared().wait_for_backends("wait_event = 'PgSleep'", 1, PATIENCE);
    let mut other = secure_client(pooler.port, &Greeting::default()).unwrap();
    let body = [&pid.to_be_bytes()[..], &secret].concat();
    other.send(&Wire::packet(80_877_102, &body));
    let answer = client.until_ready();
    assert_eq!(answer.code(), "57014");
    assert_eq!(client.scalar("select 'alive'"), "alive");
    drop((client, other));
    pooler.stop();
}

fn towards(tls: &str) -> Setup {
    let port = Postgres::shared().port;
    let storage = format!("type \"remote\" host \"localhost\" port {port} {tls}");
    Setup::without_storage().storage("pg", &storage)
}

fn rule_as(user: &str) -> String {
    format!("{OPEN} pool \"transaction\" storage_user \"{user}\"")
}

const IS_SECURE: &str = "select ssl || ' ' || coalesce(client_dn, '-') from pg_stat_ssl \
                         where pid = pg_backend_pid()";

#[test]
fn each_mode_reaches_a_server_as_it_should() {
    let believed = Papers::shared().believed();
    for (mode, wanted) in [
        ("disable", "false -"),
        ("allow", "false -"),
        ("prefer", "true -"),
        ("require", "true -"),
        ("verify_ca", "true -"),
        ("verify_full", "true -"),
    ] {
        let setup = towards(&format!("tls \"{mode}\" {believed}"));
        let pooler = setup.rule("default", "default", &rule_as("app")).start();
        assert_eq!(pooler.client().scalar(IS_SECURE), wanted, "{mode}");
        pooler.stop();
    }
    // The server lets this one in over TLS only: `allow` comes back with it, `disable` does not.
    for (mode, is_in) in [("disable", false), ("allow", true)] {
        let setup = towards(&format!("tls \"{mode}\""));
        let pooler = setup.rule("default", "default", &rule_as("app_tls")).start();
        let mut client = pooler.connect();
        let started = client.start(&Login::new("app", "postgres"));
        assert_eq!(started.is_ok(), is_in, "{mode}: {started:?}");
        pooler.stop();
    }
}

#[test]
fn a_server_is_shown_our_certificate() {
    let papers = Papers::shared();
    let tls = format!("tls \"verify_full\" {} {}", papers.believed(), papers.shown("app_cert"));
    let pooler = towards(&tls).rule("default", "default", &rule_as("app_cert")).start();
    assert_eq!(pooler.client().scalar(IS_SECURE), "true /O=Tests/CN=app_cert");
    pooler.wait_for_line("usec), TLSv1.3, ");
    pooler.stop();
}

/// What a client is told when its server cannot be reached with the storage's TLS.
fn failure(storage: &str) -> String {
    let setup = Setup::without_storage().storage("pg", storage);
    let pooler = setup.rule("default", "default", &rule_as("app")).start();
    let error = pooler.refused(&Login::new("app", "postgres"));
    let line = pooler.wait_for_line("failed to connect to remote server");
    pooler.stop();
    format!("{} {line}", error.code)
}

/// A server that shows this certificate, as PostgreSQL would.
fn impostor(name: &'static str) -> FakeServer {
    use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod};
    let papers = Papers::shared();
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    let certificate = papers.path(&format!("{name}.crt"));
    builder.set_certificate_chain_file(certificate).unwrap();
    builder.set_private_key_file(papers.path(&format!("{name}.key")), SslFiletype::PEM).unwrap();
    let acceptor = builder.build();
    FakeServer::start(move |mut session| {
        let mut request = [0; 8];
        if session.stream.read_exact(&mut request).is_ok() && session.stream.write(b"S").is_ok() {
            let _ = acceptor.accept(session.stream);
        }
    })
}

#[test]
fn a_server_that_is_not_believed_is_refused_with_the_reason() {
    let believed = Papers::shared().believed();
    for (name, mode, why) in [
        ("expired", "verify_ca", "the peer's certificate has expired"),
        ("itself", "verify_ca", "the peer's certificate is self-signed"),
        ("strange", "verify_full", "the peer's certificate is signed by an unknown authority"),
        ("elsewhere", "verify_full", "the peer's certificate is not for host name \"localhost\""),
        // As libpq: who names an authority wants it to be checked.
        ("strange", "require", "the peer's certificate is signed by an unknown authority"),
    ] {
        let server = impostor(name);
        let port = server.port;
        let tls = format!("tls \"{mode}\" {believed}");
        let said = failure(&format!("type \"remote\" host \"localhost\" port {port} {tls}"));
        assert!(said.contains(why) && said.starts_with("08006"), "{name} {mode}: {said}");
    }
}

#[test]
fn a_server_without_tls_is_refused_where_tls_is_demanded() {
    let server = FakeServer::start(|mut session| {
        let mut request = [0; 8];
        let _ = session.stream.read_exact(&mut request);
        let _ = session.stream.write_all(b"N");
        let _ = session.stream.read(&mut request);
    });
    let port = server.port;
    let said = failure(&format!("type \"remote\" host \"localhost\" port {port} tls \"require\""));
    assert!(said.contains("the server does not speak TLS, which the storage demands"), "{said}");
}

/// What an attacker puts behind the server's answer in plain text is not taken for the server's
/// word (CVE-2021-23222).
#[test]
fn bytes_behind_the_answer_are_nobodys_word() {
    let server = FakeServer::start(|mut session| {
        let mut request = [0; 8];
        let _ = session.stream.read_exact(&mut request);
        let forged = [b"S".as_slice(), b"R\0\0\0\x08\0\0\0\0"].concat();
        let _ = session.stream.write_all(&forged);
        let _ = session.stream.read_to_end(&mut Vec::new());
    });
    let port = server.port;
    let said = failure(&format!("type \"remote\" host \"localhost\" port {port} tls \"require\""));
    assert!(said.contains("does not speak TLS"), "{said}");
}

#[test]
fn a_cancel_to_a_server_is_a_secret_too() {
    let papers = Papers::shared();
    let setup = towards(&format!("tls \"verify_full\" {}", papers.believed()));
    let pooler = setup.rule("default", "default", &rule_as("app_tls")).start();
    let mut client = pooler.client();
    let (pid, secret) = client.key.clone().unwrap();
    client.send(&Wire::new().query("select pg_sleep(60)"));
    let sleeps = "usename = 'app_tls' and wait_event = 'PgSleep'";
    Postgres::shared().wait_for_backends(sleeps, 1, PATIENCE);
    let body = [&pid.to_be_bytes()[..], &secret].concat();
    pooler.connect().send(&Wire::packet(80_877_102, &body));
    assert_eq!(client.until_ready().code(), "57014");
    pooler.stop();
}

/// Against a relay that waits for whole messages in a buffer that grows piece by piece: it used 9
/// times as much CPU a byte for the longer value (and memory for all of it).
#[test]
fn forty_megabytes_go_through_tls_on_both_sides() {
    let papers = Papers::shared();
    let (shown, believed) = (papers.shown("server"), papers.believed());
    let setup = towards(&format!("tls \"verify_full\" {believed}"));
    let setup = setup.rule("default", "default", &rule_as("app"));
    let pooler = setup.listen(&format!("tls \"require\" {shown}")).start();
    let mut client = secure_client(pooler.port, &Greeting::default()).unwrap();
    client.start(&Login::new("app", "postgres")).unwrap();
    let mut cpu_a_byte = |bytes: usize| {
        let (text, before) = ("x".repeat(bytes), pooler.cpu());
        let answer = client.query(&format!("select '{text}', length('{text}')"));
        let rows = answer.rows();
        assert_eq!(rows[0][0].as_deref().map(str::len), Some(bytes));
        assert_eq!(rows[0][1], Some(bytes.to_string()));
        (pooler.cpu() - before).as_secs_f64() / bytes as f64
    };
    cpu_a_byte(1_000_000); // whatever is done once is done
    in_some_try(|| {
        let (short, long) = (cpu_a_byte(5_000_000), cpu_a_byte(40_000_000));
        let told = format!("{} times the CPU a byte", long / short);
        if long < 3.0 * short { Ok(()) } else { Err(told) }
    });
    assert!(pooler.memory_peak_kib() < 100 * 1024, "{} KiB", pooler.memory_peak_kib());
    pooler.stop();
}

#[test]
fn a_reload_reads_the_certificates_again() {
    let papers = Papers::shared();
    let own = crate::support::process::new_dir("pooler-test-renewed");
    let wish = |name| Wish { common_name: name, names: &["localhost"], ..Wish::default() };
    papers.authority.sign(&wish("first")).write(&own, "server");
    let at = |file: &str| own.join(file).display().to_string();
    let shown =
        format!("tls_cert_file \"{}\" tls_key_file \"{}\"", at("server.crt"), at("server.key"));
    let pooler = listening(&format!("tls \"require\" {shown}")).start();
    let name = || {
        let client = secure_client(pooler.port, &Greeting::default()).unwrap();
        let crate::support::client::Socket::Tls(ssl) = &client.socket else { panic!("TLS") };
        let certificate = ssl.ssl().peer_certificate().unwrap();
        let nid = openssl::nid::Nid::COMMONNAME;
        let entry = certificate.subject_name().entries_by_nid(nid).next().unwrap();
        String::from_utf8(entry.data().as_slice().to_vec()).unwrap()
    };
    assert_eq!(name(), "first");
    std::fs::write(own.join("server.crt"), "not a certificate").unwrap();
    pooler.signal(Signal::HUP);
    pooler.wait_for_line("server.crt: no certificate in PEM is in it");
    pooler.wait_for_line("reload rejected");
    assert_eq!(name(), "first");
    papers.authority.sign(&wish("second")).write(&own, "server");
    pooler.signal(Signal::HUP);
    until("the new certificate", CLEANUP * 10, || (name() == "second").then_some(()));
    pooler.stop();
}

#[test]
fn a_start_with_a_broken_certificate_is_refused() {
    let papers = Papers::shared();
    let wrong = papers.shown("server").replace("server.key", "app.key");
    let dir = crate::support::process::new_dir("pooler-test-wrong");
    let text = listening(&format!("tls \"require\" {wrong}")).text(1, &dir);
    let config = crate::support::process::write(&dir, "odyssey.conf", &text);
    let (good, out, err) = run(crate::support::pooler::binary().arg(config));
    assert!(!good && (out + &err).contains("app.key: is not the key of the certificate"));
}
