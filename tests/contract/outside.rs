//! What is told at the door, and where somebody else knows whether a proof is right: TLS,
//! certificates, the HBA file, `auth_query`, an LDAP server, a daemon that knows tokens.

use super::{after, in_words, password, sasl, scram, start};
use crate::outsiders::slapd::{ADMIN, ADMIN_PASSWORD, Slapd};
use crate::support::papers::{Greeting, secure_client};
use crate::support::process::{new_dir, write};
use crate::support::{Client, Login, Papers, Setup, Wire};

const CERT: &str = r#"authentication "cert" storage "pg" pool "transaction""#;

#[test]
fn without_tls() {
    let pooler = Setup::new().rule("postgres", "app", CERT).start();
    assert_eq!(after(&pooler, &[start("app")]), "ERROR 28000 TLS connection required");
    pooler.stop();
    let tls = format!("tls \"require\" {}", Papers::shared().shown("server"));
    let pooler = Setup::new().rule("postgres", "app", CERT).listen(&tls).start();
    assert_eq!(after(&pooler, &[start("app")]), "ERROR 08P01 SSL is required");
    let mut client = secure_client(pooler.port, &Greeting::default()).expect("a handshake");
    client.send(&start("app"));
    let said = client.until_tag(b'E').0;
    let expected = "FATAL 28P01 certificate authentication failed for user \"app\"";
    assert_eq!(in_words(&said[0]), expected, "without a certificate");
    pooler.stop();
}

/// SCRAM over TLS that is not bound to it though it could be, or to another.
#[test]
fn to_who_is_bound_to_somebody_else() {
    let rule = r#"authentication "scram-sha-256" password "p" storage "pg" pool "transaction""#;
    let tls = format!("tls \"allow\" {}", Papers::shared().shown("server"));
    let pooler = Setup::new().rule("postgres", "app", rule).listen(&tls).start();
    let begun = |first: &Wire| {
        let mut client = secure_client(pooler.port, &Greeting::default()).expect("a handshake");
        client.send(&start("app"));
        client.until_tag(b'R');
        client.send(first);
        client
    };
    let failed = |client: &mut Client| in_words(&client.until_tag(b'E').0[0]);
    let mut unbound = begun(&scram("y,,n=,r=abc"));
    assert_eq!(
        failed(&mut unbound),
        "ERROR 28000 frontend auth: \
         channel binding was offered, and the client was told that it was not"
    );
    let mut elsewhere = begun(&sasl("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=abc"));
    let challenge = elsewhere.until_tag(b'R').0.remove(0);
    let text = String::from_utf8(challenge.body[4..].to_vec()).unwrap();
    let (nonce, _) = text.split_once(',').expect("a nonce, a salt, a count");
    elsewhere.send(&password(format!("c=AAAA,{nonce},p=AAAA").as_bytes()));
    let expected = "ERROR 28000 frontend auth: channel binding check failed";
    assert_eq!(failed(&mut elsewhere), expected);
    pooler.stop();
}

#[test]
fn at_the_door() {
    let lines = write(&new_dir("contract-hba"), "hba", "local all all trust\n");
    let hba = format!("hba_file \"{}\"", lines.display());
    let pooler = Setup::transaction(1).global(&hba).start();
    let expected = "ERROR 28P01 host based authentication rejected";
    assert_eq!(after(&pooler, &[start("app")]), expected);
    pooler.stop();
}

/// The query fails; a user whom it does not find is told what everybody is.
#[test]
fn by_auth_query() {
    let asking = |query: &str| {
        let service = r#"authentication "none" storage "pg" pool "transaction"
                         pool_routing "internal""#;
        let rule = |method: &str| {
            format!(
                r#"authentication "{method}" storage "pg" pool "transaction" auth_query "{query}"
                   auth_query_user "postgres" auth_query_db "postgres""#
            )
        };
        let setup = Setup::new().rule("postgres", "postgres", service);
        ["clear_text", "md5", "scram-sha-256"]
            .iter()
            .fold(setup, |setup, method| setup.rule("postgres", method, &rule(method)))
            .start()
    };
    let pooler = asking("select usename, passwd from nowhere where usename = $1");
    let failed = "failed to make auth query";
    let table = [
        (vec![start("clear_text"), password(b"x\0")], format!("ERROR 28000 {failed}")),
        (vec![start("md5"), password(b"md5x\0")], format!("ERROR 28000 {failed}")),
        (
            vec![start("scram-sha-256"), scram("n,,n=,r=abc")],
            "ERROR 28000 frontend auth: failed to make auth query".to_owned(),
        ),
    ];
    for (packets, expected) in table {
        assert_eq!(after(&pooler, &packets), expected);
    }
    pooler.stop();
    let pooler = asking("select usename, passwd from pg_shadow where usename = $1");
    for user in ["clear_text", "md5", "scram-sha-256"] {
        let refused = pooler.refused(&Login::new(user, "postgres").password("x"));
        let text = format!("password authentication failed for user \"{user}\"");
        assert_eq!(refused.whole(), ("FATAL", "28P01", text.as_str()));
    }
    pooler.stop();
}

/// Those who may become nobody at the server are told as Odyssey tells them.
#[test]
fn by_ldap() {
    let slapd = Slapd::start();
    let endpoint = format!(
        "ldap_endpoint \"people\" {{ ldapserver \"127.0.0.1\" ldapport {} \
         ldapbasedn \"dc=example,dc=org\" ldapbinddn \"{ADMIN}\" ldapbindpasswd \"{ADMIN_PASSWORD}\" }}",
        slapd.port
    );
    let rule = r#"authentication "clear_text" storage "pg" pool "transaction"
        ldap_endpoint_name "people" ldap_storage_credentials_attr "description"
        ldap_storage_credentials "ro" { ldap_storage_username "a" ldap_storage_password "p" }"#;
    let by_scram = rule.replace("\"clear_text\"", "\"scram-sha-256\" password \"p\"");
    let setup = Setup::new().also(&endpoint).rule("postgres", "leo", rule);
    let pooler = setup.rule("postgres", "lea", &by_scram).start();
    assert_eq!(
        after(&pooler, &[start("leo"), password(b"wrong\0")]),
        "FATAL 28P01 password authentication failed for user \"leo\""
    );
    assert_eq!(
        after(&pooler, &[start("leo"), password(b"leo secret\0")]),
        "ERROR 3D000 route for 'postgres.leo' is not found \
         HINT: no rule of the pooler is for this database and user from there"
    );
    drop(slapd);
    let refused = pooler.refused(&Login::new("lea", "postgres").password("p"));
    let text = "ldap authentication failed for user \"lea\": no storage credentials";
    assert_eq!(refused.whole(), ("FATAL", "58000", text));
    pooler.stop();
}

/// Nobody listens there; what daemons say is in `outsiders`.
#[test]
fn by_a_daemon() {
    let rule = r#"authentication "external" storage "pg" pool "transaction""#;
    let setup = Setup::new().global("external_auth_socket_path \"/nonexistent/agent\"");
    let pooler = setup.rule("postgres", "ann", rule).start();
    assert_eq!(
        after(&pooler, &[start("ann"), password(b"token\0")]),
        "FATAL 28P01 external authentication failed for user \"ann\""
    );
    pooler.stop();
}
