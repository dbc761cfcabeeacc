//! Logins where somebody outside knows whether the password is right: daemons at a socket, PAM, an
//! LDAP server. They are real, and some of them hang.

mod daemons;
mod ldap;
pub mod slapd;

use crate::support::process::{self, new_dir};
use crate::support::{Client, Login, PgError, Pooler, Setup};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Rules for these users, who all become `app` at the server.
fn rules(setup: Setup, users: &[&str], how: &str) -> Setup {
    let rule = format!(r#"{how} storage "pg" pool "transaction" storage_user "app""#);
    users.iter().fold(setup, |setup, user| setup.rule("postgres", user, &rule))
}

fn with(user: &str, password: &str) -> Login {
    Login::new(user, "postgres").password(password)
}

fn lets_in(pooler: &Pooler, user: &str, password: &str) {
    assert_eq!(pooler.login(&with(user, password)).scalar("select current_user"), "app");
}

#[track_caller]
fn refuses(pooler: &Pooler, user: &str, password: &str) {
    let expected = format!("password authentication failed for user \"{user}\"");
    let refused = pooler.refused(&with(user, password));
    assert_eq!(refused.whole(), ("FATAL", "28P01", expected.as_str()), "{password}");
}

/// A PAM service whose module is a script; gone when dropped.
struct Service {
    name: String,
    file: PathBuf,
}

impl Service {
    /// None where this user may not make one.
    fn new(dir: &Path, what: &str, script: &str) -> Option<Service> {
        let name = format!("pooler-test-{}-{what}", std::process::id());
        let file = Path::new("/etc/pam.d").join(&name);
        let program = process::write(dir, what, &format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let lines = format!(
            "auth required pam_exec.so expose_authtok quiet {}\naccount required pam_permit.so\n",
            program.display()
        );
        match std::fs::write(&file, lines) {
            Ok(()) => Some(Service { name, file }),
            Err(error) => {
                eprintln!("SKIPPED: PAM takes services from /etc/pam.d only, and {error}");
                None
            }
        }
    }

    fn method(&self) -> String {
        format!(r#"authentication "clear_text" auth_pam_service "{}""#, self.name)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

/// The password comes with a NUL behind it.
const KNOWS: &str = r#"[ "$(tr -d '\0')" = "secret of $PAM_USER from $PAM_RHOST" ]"#;

#[test]
fn a_pam_service_knows_passwords() {
    let dir = new_dir("pam");
    let Some(service) = Service::new(&dir, "knows", KNOWS) else { return };
    let pooler = rules(Setup::new(), &["pia", "pat"], &service.method()).start();
    lets_in(&pooler, "pia", "secret of pia from 127.0.0.1");
    lets_in(&pooler, "pat", "secret of pat from 127.0.0.1");
    refuses(&pooler, "pat", "secret of pia from 127.0.0.1");
    refuses(&pooler, "pat", "");
    pooler.wait_for_line(&format!("incorrect password: PAM service '{}': ", service.name));
    let missing = r#"authentication "clear_text" auth_pam_service "pooler-test-none""#;
    let without = rules(Setup::new(), &["pia"], missing).start();
    refuses(&without, "pia", "anything");
    without.stop();
    pooler.stop();
}

/// Fails against PAM on the threads of `offload`: then nobody can log in for a minute.
#[test]
fn a_pam_module_that_hangs_harms_only_those_who_log_in_by_it() {
    let dir = new_dir("pam");
    let Some(hangs) = Service::new(&dir, "hangs", "exec sleep 60") else { return };
    let Some(knows) = Service::new(&dir, "knows2", KNOWS) else { return };
    let setup = rules(Setup::new().global("workers 1"), &["stuck"], &hangs.method());
    let setup = rules(setup, &["pia"], &knows.method());
    let plain = r#"authentication "scram-sha-256" password "p""#;
    let setup = rules(setup, &["sam"], plain).listen("client_login_timeout 8000");
    let pooler = setup.start();
    let start = Instant::now();
    let stuck: Vec<Client> = (0..12).map(|_| asking(&pooler, "stuck")).collect();
    lets_in(&pooler, "sam", "p");
    lets_in(&pooler, "pia", "secret of pia from 127.0.0.1");
    assert!(start.elapsed() < Duration::from_secs(7), "{:?}", start.elapsed());
    for mut client in stuck {
        let told: Option<PgError> = client.until_closed().error();
        assert!(told.is_none_or(|error| error.code == "28P01"));
    }
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
    pooler.stop();
}

/// A client that has sent its password and waits.
fn asking(pooler: &Pooler, user: &str) -> Client {
    let mut client = pooler.connect();
    client.send(&with(user, "x").packet());
    client.until_tag(b'R');
    client.send(&crate::support::Wire::new().message(b'p', b"x\0"));
    client
}

/// With everything logged that can be: what clients send, what the file has for LDAP, what LDAP
/// lets them become.
#[test]
fn nothing_that_outsiders_judge_is_in_any_line() {
    let dir = new_dir("unsaid");
    let path = daemons::start(&dir, |client, told| {
        let status = u8::from(told == b"ann\0right s3cr3t\0");
        daemons::answer(client, status, b"ann@example.org");
    });
    let slapd = slapd::Slapd::start();
    let people = format!(
        "ldap_endpoint \"people\" {{ ldapserver \"127.0.0.1\" ldapport {} ldapprefix \"uid=\" \
         ldapsuffix \",dc=example,dc=org\" ldapbinddn \"{}\" ldapbindpasswd \"s3cr3t bind\" }}",
        slapd.port,
        slapd::ADMIN
    );
    let mut setup = Setup::new().also(&people);
    let socket = format!("external_auth_socket_path \"{}\"", path.display());
    for option in ["log_debug yes", "log_query yes", "log_config yes", "log_stats yes", &socket] {
        setup = setup.global(option);
    }
    let ldap = r#"authentication "clear_text" ldap_endpoint_name "people""#;
    let setup = rules(setup, &["ann"], r#"authentication "external""#);
    let setup = rules(setup, &["lea"], ldap);
    let grants = r#"ldap_storage_credentials_attr "description" ldap_storage_credentials "ro" {
        ldap_storage_username "app" ldap_storage_password "s3cr3t grant" }"#;
    let rule = format!(r#"{ldap} storage "pg" pool "transaction" {grants}"#);
    let pooler = setup.rule("other", "lea", &rule).start();
    lets_in(&pooler, "ann", "right s3cr3t");
    pooler.refused(&with("ann", "wrong s3cr3t"));
    refuses(&pooler, "lea", "wrong s3cr3t");
    lets_in(&pooler, "lea", "lea secret");
    pooler.refused(&Login::new("lea", "other").password("lea secret"));
    pooler.wait_for_line("gets no storage credentials");
    let log = pooler.log();
    assert!(log.contains("ldap_storage_password \"***\""), "{log}");
    let said = |line: &&str| line.contains("s3cr3t") || line.contains("lea secret");
    let lines: Vec<&str> = log.lines().filter(said).collect();
    assert!(lines.is_empty(), "{lines:#?}");
    pooler.stop();
}
