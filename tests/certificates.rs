//! Certificates, good and bad, before real libpqs: psql's, and the newer one of psycopg. Each
//! refusal has the right words on both sides. TLS from the first byte, towards servers too, and
//! behind a PROXY header.

use crate::drivers::Psycopg;
use crate::support::papers::{Greeting, secure_client_behind};
use crate::support::pooler::OPEN;
use crate::support::process::run;
use crate::support::{Login, Papers, Pooler, Postgres, Setup};

/// libpq knows direct TLS from here on.
const DIRECT_SINCE: u32 = 170_000;

/// Both, or psql alone where the tests do without drivers.
struct Libpqs {
    psycopg: Option<Psycopg>,
}

impl Libpqs {
    fn new() -> Libpqs {
        Libpqs { psycopg: Psycopg::start() }
    }

    /// What each of them says: who it is, or what is wrong.
    fn login(&mut self, pooler: &Pooler, options: &str) -> Vec<Result<String, String>> {
        let target = target(pooler, options);
        let mut psql = Postgres::shared().program("psql");
        psql.args(["-X", "-A", "-t", "-w", "-d", &target, "-c", "select current_user"]);
        let (good, out, err) = run(&mut psql);
        let psql = if good { Ok(out.trim().to_owned()) } else { Err(err) };
        let psycopg = self.psycopg.as_mut().map(|psycopg| psycopg.login(&target));
        [Some(psql), psycopg].into_iter().flatten().collect()
    }
}

fn target(pooler: &Pooler, options: &str) -> String {
    let port = pooler.port;
    format!("host=localhost hostaddr=127.0.0.1 port={port} user=app dbname=postgres {options}")
}

fn root(name: &str) -> String {
    format!("sslrootcert={}", Papers::shared().path(&format!("{name}.crt")))
}

fn paper(name: &str) -> String {
    let path = |end: &str| Papers::shared().path(&format!("{name}.{end}"));
    format!("sslmode=require sslcert={} sslkey={}", path("crt"), path("key"))
}

/// What libpq says and what we log; None: it is in.
type Words = Option<(&'static str, &'static str)>;

#[test]
fn libpq_believes_our_certificate_or_says_why_not() {
    let mut libpqs = Libpqs::new();
    let unknown = "the peer does not know the authority of our certificate";
    let failed = "certificate verify failed";
    let rows: [(&str, &str, &str, Words); 11] = [
        ("server", "verify-full", "authority", None),
        ("server", "verify-ca", "authority", None),
        ("server", "verify-full", "stranger", Some((failed, unknown))),
        ("server", "verify-ca", "stranger", Some((failed, unknown))),
        ("elsewhere", "verify-ca", "authority", None),
        ("elsewhere", "verify-full", "authority", Some(("does not match host name", ""))),
        ("expired", "verify-ca", "authority", Some((failed, "our certificate has expired, says"))),
        ("itself", "verify-ca", "authority", Some((failed, unknown))),
        ("strange", "verify-full", "authority", Some((failed, unknown))),
        // Whom nobody is asked to believe may show anything.
        ("expired", "require", "nobody", None),
        ("itself", "prefer", "nobody", None),
    ];
    for (shown, mode, believed, words) in rows {
        let listen = format!("tls \"allow\" {}", Papers::shared().shown(shown));
        let pooler = Setup::transaction(4).listen(&listen).start();
        for said in libpqs.login(&pooler, &format!("sslmode={mode} {}", root(believed))) {
            match (said, words) {
                (Ok(user), None) => assert_eq!(user, "app"),
                (Err(error), Some((theirs, ours))) => {
                    assert!(error.contains(theirs), "{shown} {mode} {believed}: {error}");
                    pooler.wait_for_line(ours);
                }
                (said, _) => panic!("{shown} {mode} {believed}: {said:?}"),
            }
        }
        pooler.stop();
    }
}

#[test]
fn we_believe_libpqs_certificate_or_say_why_not() {
    let papers = Papers::shared();
    papers.sign(
        "late",
        &crate::support::certificates::Wish {
            common_name: "app",
            days: (-9, -2),
            ..Default::default()
        },
    );
    let mut libpqs = Libpqs::new();
    let rule = r#"authentication "cert" storage "pg" pool "transaction""#;
    let listen = format!("tls \"verify_full\" {} {}", papers.shown("server"), papers.believed());
    let pooler = Setup::new().listen(&listen).rule("postgres", "app", rule).start();
    let mine = "certificate authentication failed for user \"app\"";
    let rows: [(&str, Words); 6] = [
        ("app", None),
        ("app_cert", Some((mine, "the certificate is of 'app_cert'"))),
        ("strange", Some(("unknown ca", "signed by an unknown authority"))),
        ("late", Some(("certificate expired", "the peer's certificate has expired"))),
        ("itself", Some(("", "the peer's certificate is self-signed"))),
        ("", Some(("certificate required", "the peer showed no certificate"))),
    ];
    for (name, words) in rows {
        let shown = if name.is_empty() { "sslmode=require".to_owned() } else { paper(name) };
        for version in ["TLSv1.2", "TLSv1.3"] {
            let options = format!("{shown} ssl_max_protocol_version={version}");
            for said in libpqs.login(&pooler, &options) {
                match (said, words) {
                    (Ok(user), None) => assert_eq!(user, "app"),
                    (Err(error), Some((theirs, ours))) => {
                        // TLS 1.2 has no alert of its own for a certificate that is missing.
                        let old = version == "TLSv1.2" && name.is_empty();
                        assert!(old || error.contains(theirs), "{name} {version}: {error}");
                        pooler.wait_for_line(ours);
                    }
                    (said, _) => panic!("{name} {version}: {said:?}"),
                }
            }
        }
    }
    pooler.stop();
}

/// With libpq 17 or newer; and SCRAM bound to the channel with it.
#[test]
fn libpq_speaks_tls_from_the_first_byte() {
    let Some(mut psycopg) = Psycopg::start() else { return };
    assert!(psycopg.version >= DIRECT_SINCE, "psycopg has libpq {}", psycopg.version);
    let rule = r#"authentication "scram-sha-256" password "right" storage "pg" pool "transaction""#;
    let listen = format!("tls \"require\" {}", Papers::shared().shown("server"));
    let pooler = Setup::new().listen(&listen).rule("postgres", "app", rule).start();
    let direct = "password=right sslnegotiation=direct";
    for options in ["sslmode=require", "sslmode=verify-full channel_binding=require"] {
        let options = format!("{direct} {options} {}", root("authority"));
        assert_eq!(psycopg.login(&target(&pooler, &options)).as_deref(), Ok("app"), "{options}");
    }
    let options = format!("{direct} sslmode=verify-full {}", root("stranger"));
    let error = psycopg.login(&target(&pooler, &options)).unwrap_err();
    assert!(error.contains("certificate verify failed"), "{error}");
    pooler.stop();
    // Where there is no TLS the client hears nothing that it could take for an answer.
    let pooler = Setup::transaction(2).start();
    let options = format!("{direct} sslmode=require");
    psycopg.login(&target(&pooler, &options)).unwrap_err();
    pooler.wait_for_line("direct TLS, and the listen section offers no TLS");
    pooler.stop();
}

/// PostgreSQL 17 takes it; an older one does not know what that is, and the error says so.
#[test]
fn a_server_is_spoken_tls_with_from_the_first_byte() {
    let server = Postgres::shared();
    let version = server.admin().scalar("show server_version_num");
    let believed = Papers::shared().believed();
    let tls = format!("tls \"verify_full\" tls_negotiation \"direct\" {believed}");
    let storage = format!("type \"remote\" host \"localhost\" port {} {tls}", server.port);
    let rule = format!("{OPEN} pool \"transaction\"");
    let setup = Setup::without_storage().storage("pg", &storage);
    let pooler = setup.rule("default", "default", &rule).start();
    if version.parse::<u32>().unwrap() >= DIRECT_SINCE {
        let sql = "select ssl || ' ' || version from pg_stat_ssl where pid = pg_backend_pid()";
        assert_eq!(pooler.client().scalar(sql), "true TLSv1.3");
    } else {
        assert_eq!(pooler.refused(&Login::new("app", "postgres")).code, "08006");
        let line = pooler.wait_for_line("failed to connect to remote server");
        assert!(line.contains("TLS"), "{line}");
    }
    pooler.stop();
}

/// Header, request, handshake, login: in this order, with both forms of each.
#[test]
fn a_proxys_header_comes_before_tls() {
    let rule = r#"database "postgres" { user "app" hostssl "192.0.2.0/24" {
        authentication "none" storage "pg" pool "transaction" } }"#;
    let dir = crate::support::process::new_dir("pooler-test-proxied");
    let lines = "hostssl all all 192.0.2.0/28 trust\nhost all all all reject\n";
    let hba = crate::support::process::write(&dir, "hba", lines);
    let listen = format!(
        "proxy_protocol yes proxy_protocol_from \"127.0.0.1\" tls \"require\" {}",
        Papers::shared().shown("server")
    );
    let setup = Setup::new().listen(&listen).also(rule);
    let pooler = setup.global(&format!("hba_file \"{}\"", hba.display())).start();
    let v1 = |host: u8| format!("PROXY TCP4 192.0.2.{host} 10.0.0.1 5632 5432\r\n").into_bytes();
    let v2 = |host: u8| {
        let addresses = [192, 0, 2, host, 10, 0, 0, 1, 0x16, 0, 0x15, 0x38];
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &addresses].concat()
    };
    let login = Login::new("app", "postgres");
    for header in [v1 as fn(u8) -> Vec<u8>, v2] {
        for direct in [false, true] {
            let greeting = Greeting { direct, alpn: b"\x0apostgresql" };
            let client = |host| secure_client_behind(&header(host), pooler.port, &greeting);
            let mut near = client(9).expect("a handshake behind the header");
            near.start(&login).expect("the rule and the line are for 192.0.2.9");
            assert_eq!(near.scalar("select 1"), "1");
            pooler.wait_for_line("new client connection 192.0.2.9:5632 by way of 127.0.0.1:");
            let refused = client(77).expect("a handshake").start(&login).unwrap_err();
            assert_eq!(refused.ours(), "host based authentication rejected");
            let line = pooler.wait_for_line("hba:2 rejects it");
            assert!(line.contains("postgres.app"), "{line}");
        }
    }
    pooler.stop();
    std::fs::remove_dir_all(&dir).unwrap();
}
