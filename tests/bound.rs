//! Logins that lean on TLS: SCRAM bound to the channel, and certificates for a proof. By libpq, and
//! by hand where somebody cheats.

mod servers;

use crate::support::message::cstr;
use crate::support::papers::{Greeting, secure_client};
use crate::support::process::run;
use crate::support::{Login, Papers, PgError, Pooler, Postgres, Setup, Wire};

/// Rules for `app`, who proves itself so; TLS on the listeners.
fn pooler(tls: &str, how: &str) -> Pooler {
    let rule = format!(r#"{how} storage "pg" pool "transaction""#);
    Setup::new().listen(tls).rule("postgres", "app", &rule).start()
}

/// A good certificate of ours, and belief in the authority for clients' ones.
fn secure(mode: &str) -> String {
    let papers = Papers::shared();
    format!("tls \"{mode}\" {} {}", papers.shown("server"), papers.believed())
}

/// Who psql with these connection options is, or what it complains of.
fn psql(pooler: &Pooler, options: &str) -> Result<String, String> {
    let (port, root) = (pooler.port, Papers::shared().path("authority.crt"));
    let target = format!(
        "host=localhost hostaddr=127.0.0.1 port={port} user=app dbname=postgres sslrootcert={root} \
         {options}"
    );
    let mut command = Postgres::shared().program("psql");
    command.env("PGPASSWORD", "right");
    let (good, out, err) =
        run(command.args(["-X", "-A", "-t", "-w", "-d", &target, "-c", "select current_user"]));
    if good { Ok(out.trim().to_owned()) } else { Err(err.trim().to_owned()) }
}

fn paper(name: &str) -> String {
    let path = |end: &str| Papers::shared().path(&format!("{name}.{end}"));
    format!("sslcert={} sslkey={}", path("crt"), path("key"))
}

const SCRAM: &str = r#"authentication "scram-sha-256" password "right""#;

#[test]
fn psql_binds_its_login_to_our_certificate() {
    let pooler = pooler(&secure("allow"), SCRAM);
    for options in [
        "sslmode=verify-full channel_binding=require",
        "sslmode=require channel_binding=prefer ssl_max_protocol_version=TLSv1.2",
        "sslmode=require channel_binding=disable",
        "sslmode=disable",
    ] {
        assert_eq!(psql(&pooler, options).as_deref(), Ok("app"), "{options}");
    }
    let error = psql(&pooler, "sslmode=disable channel_binding=require").unwrap_err();
    assert!(error.contains("channel binding"), "{error}");
    pooler.stop();
}

/// The answer to a client's first message of SCRAM over TLS, which ends the login.
fn after_first(pooler: &Pooler, mechanism: &str, first: &str) -> PgError {
    let mut client = secure_client(pooler.port, &Greeting::default()).expect("TLS");
    client.send(&Login::new("app", "postgres").packet());
    let offer = client.until_tag(b'R').0.remove(0).body;
    assert_eq!(&offer[4..], b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
    let length = u32::try_from(first.len()).unwrap().to_be_bytes();
    let initial = [&cstr(mechanism)[..], &length, first.as_bytes()].concat();
    client.send(&Wire::new().message(b'p', &initial));
    client.until_closed().error().expect("it is refused")
}

/// Fails against a pooler that takes `y` for an answer, as Odyssey does: then whoever is between a
/// client and us takes the offer away, and has a login that is bound to nothing.
#[test]
fn who_takes_our_offer_away_is_found_out() {
    let pooler = pooler(&secure("allow"), SCRAM);
    let taken = after_first(&pooler, "SCRAM-SHA-256", "y,,n=,r=abc");
    assert_eq!(taken.code, "28000");
    assert!(taken.ours().contains("channel binding was offered"), "{taken:?}");
    let mixed = after_first(&pooler, "SCRAM-SHA-256", "p=tls-server-end-point,,n=,r=abc");
    assert!(mixed.ours().contains("doesn't support channel binding"), "{mixed:?}");
    let mixed = after_first(&pooler, "SCRAM-SHA-256-PLUS", "n,,n=,r=abc");
    assert!(mixed.ours().contains("malformed SASLInitialResponse message"), "{mixed:?}");
    pooler.stop();
}

const NOT_BY_CERTIFICATE: &str = "certificate authentication failed for user \"app\"";

#[test]
fn a_certificate_is_a_proof_where_it_is_checked() {
    let by = r#"authentication "cert""#;
    let strict = pooler(&secure("verify_ca"), by);
    assert_eq!(psql(&strict, &format!("sslmode=require {}", paper("app"))).as_deref(), Ok("app"));
    let error = psql(&strict, &format!("sslmode=require {}", paper("app_cert"))).unwrap_err();
    assert!(error.contains(NOT_BY_CERTIFICATE), "{error}");
    strict.wait_for_line("the certificate is of 'app_cert' (cert by rule 'postgres.app all'");
    strict.stop();
    let names = pooler(&secure("require"), &format!("{by} auth_common_name \"app_cert\""));
    assert_eq!(
        psql(&names, &format!("sslmode=require {}", paper("app_cert"))).as_deref(),
        Ok("app")
    );
    let error = psql(&names, &format!("sslmode=require {}", paper("app"))).unwrap_err();
    assert!(error.contains(NOT_BY_CERTIFICATE), "the list replaces the user: {error}");
    let error = psql(&names, "sslmode=require").unwrap_err();
    assert!(error.contains(NOT_BY_CERTIFICATE), "{error}");
    names.wait_for_line("the client showed no certificate with a common name");
    names.stop();
}

/// Fails against Odyssey, which believes whatever certificate it is shown.
#[test]
fn a_certificate_that_nobody_checked_proves_nothing() {
    let by = r#"authentication "cert""#;
    let loose = pooler(&secure("allow"), by);
    let error = psql(&loose, &format!("sslmode=require {}", paper("strange"))).unwrap_err();
    assert!(!error.is_empty());
    let plain = psql(&loose, "sslmode=disable").unwrap_err();
    assert!(plain.contains("TLS connection required"), "{plain}");
    loose.stop();
    let shown = Papers::shared().shown("server");
    let blind = pooler(&format!("tls \"allow\" {shown}"), by);
    let error = psql(&blind, &format!("sslmode=require {}", paper("strange"))).unwrap_err();
    assert!(!error.is_empty());
    blind.stop();
}
