//! How the pooler proves itself to servers: with what its file has, and with what clients showed.

use crate::support::pooler::{ASKING, OPEN, SERVICE};
use crate::support::postgres::PASSWORD;
use crate::support::{Client, Login, PgError, Pooler, Postgres, Setup};

fn sql(text: &str) {
    assert_eq!(Postgres::shared().admin().query(text).error(), None, "{text}");
}

/// What the server keeps of a user's password.
fn kept(user: &str) -> String {
    let sql = format!("select rolpassword from pg_authid where rolname = '{user}'");
    Postgres::shared().admin().scalar(&sql)
}

/// Everybody proves himself by `method`; servers are reached as the client.
fn everybody(method: &str, options: &str) -> Pooler {
    let rule = format!(r#"authentication "{method}" storage "pg" pool "transaction" {options}"#);
    Setup::new().also(SERVICE).rule("default", "default", &rule).start()
}

fn login(user: &str) -> Login {
    Login::new(user, "postgres").password(PASSWORD)
}

fn sees_itself(pooler: &Pooler, user: &str) -> Client {
    let mut client = pooler.login(&login(user));
    assert_eq!(client.scalar("select current_user"), user);
    client
}

/// The error of a client that is let in and has no server.
fn without_server(pooler: &Pooler, user: &str) -> PgError {
    let mut client = pooler.connect();
    let error = match client.start(&login(user)) {
        Err(refused) => refused,
        Ok(()) => client.query("select 1").error().expect("there is no server"),
    };
    assert_eq!((error.severity.as_str(), error.code.as_str()), ("FATAL", "08006"));
    error
}

/// The three kinds of servers, and all that lets the pooler in without a word in its file.
#[test]
fn what_clients_showed_opens_servers() {
    for (method, options, users) in [
        ("scram-sha-256", ASKING, &["app_scram"][..]),
        ("md5", ASKING, &["app_md5"]),
        ("clear_text", ASKING, &["app_md5"]),
        (
            "clear_text",
            &format!("{ASKING} password_passthrough yes"),
            &["app_md5", "app_scram", "app_clear"],
        ),
    ] {
        let pooler = everybody(method, options);
        for user in users {
            drop(sees_itself(&pooler, user));
        }
        pooler.stop();
    }
}

/// Seen to fail in Odyssey 1.5: its message to such a server is wrong, and says so nowhere.
#[test]
fn a_verifier_that_is_not_the_servers_is_named() {
    // The same password with another salt.
    sql(&format!(
        "set password_encryption = 'scram-sha-256';
        create role other_salt password $p${PASSWORD}$p$"
    ));
    let options = format!(r#"password "{}""#, kept("other_salt"));
    let pooler = everybody("scram-sha-256", &options);
    let error = without_server(&pooler, "app_scram");
    let detail = error.detail.unwrap_or_default();
    let text = "password required for route 'postgres.app_scram': the server wants a SCRAM proof, \
                and the rule's password is a SCRAM verifier, and what the client proved itself \
                with was made for another salt or iteration count than the server's: the verifier \
                has to be the server's own";
    assert_eq!(detail, text);
    pooler.wait_for_line("another salt or iteration count");
    pooler.stop();

    // The password itself would do, and does.
    let pooler = everybody("clear_text", &format!("{options} password_passthrough yes"));
    sees_itself(&pooler, "app_scram");
    pooler.stop();
    let pooler = everybody("scram-sha-256", &format!(r#"password "{}""#, kept("app_scram")));
    sees_itself(&pooler, "app_scram");
    pooler.stop();
}

/// Odyssey assumes 16 bytes of salt.
#[test]
fn salts_of_any_length_and_counts_of_any_size() {
    // Of "sesame", by PostgreSQL's own rules: iterations, salt, verifier.
    for verifier in VERIFIERS {
        sql(&format!("alter role app_scram password '{verifier}'"));
        let sesame = login("app_scram").password("sesame");
        for options in [ASKING.to_owned(), format!(r#"{ASKING} storage_password "sesame""#)] {
            let pooler = everybody("scram-sha-256", &options);
            let mut client = pooler.login(&sesame);
            assert_eq!(client.scalar("select current_user"), "app_scram", "{verifier}");
            pooler.stop_with(vec![client]);
        }
    }
}

#[test]
fn a_hash_proves_what_it_can_and_no_more() {
    for (user, secret, what) in [
        ("app_clear", kept("app_md5"), "an md5 hash"),
        ("app_scram", kept("app_md5"), "an md5 hash"),
        ("app_md5", kept("app_scram"), "a SCRAM verifier"),
        ("app_clear", kept("app_scram"), "a SCRAM verifier"),
        ("app_scram", kept("app_scram"), "a SCRAM verifier"),
    ] {
        let rule = format!(
            r#"{OPEN} pool "transaction" storage_user "{user}" storage_password "{secret}""#
        );
        let pooler = Setup::new().rule("default", "default", &rule).start();
        let error = without_server(&pooler, "anybody");
        let detail = error.detail.unwrap_or_default();
        assert!(detail.contains(&format!("and storage_password is {what}")), "{user}: {detail}");
        pooler.stop();
    }
    let rule = format!(
        r#"{OPEN} pool "transaction" storage_user "app_md5" storage_password "{}""#,
        kept("app_md5")
    );
    let pooler = Setup::new().rule("default", "default", &rule).start();
    assert_eq!(pooler.login(&login("x")).scalar("select current_user"), "app_md5");
    pooler.stop();
}

/// Seen to fail: with what a client showed kept a route, one user's password would be tried for
/// another's account.
#[test]
fn what_one_user_showed_is_not_shown_for_another() {
    let options =
        format!(r#"password "{PASSWORD}" password_passthrough yes storage_user "app_clear""#);
    let hashed = options.replacen(PASSWORD, &kept("app_scram"), 1);
    let pooler = everybody("clear_text", &hashed);
    let detail = without_server(&pooler, "app_scram").detail.unwrap_or_default();
    assert!(detail.starts_with("password required for route 'postgres.app_clear'"), "{detail}");
    pooler.wait_for_line("password_passthrough has no effect with storage_user");
    pooler.stop();
}

/// A client without the flag shows its password to nobody but us.
#[test]
fn without_password_passthrough_no_password_passes_through() {
    let pooler = everybody("clear_text", ASKING);
    let detail = without_server(&pooler, "app_clear").detail.unwrap_or_default();
    let text = "password required for route 'postgres.app_clear': the server wants the password \
                itself, and what auth_query told is a SCRAM verifier";
    assert_eq!(detail, text);
    pooler.stop();
}

/// The servers of a user are for all who proved to be that user, and the last one who did opens
/// the next.
#[test]
fn a_changed_password_opens_the_next_server() {
    let pooler = everybody("clear_text", &format!("{ASKING} password_passthrough yes"));
    let mut first = sees_itself(&pooler, "app_clear");
    assert_eq!(first.query("begin; select 1").error(), None); // it keeps its server
    sql("alter role app_clear password 'changed'");
    crate::support::let_pass(std::time::Duration::from_millis(1100));
    let mut second = pooler.login(&login("app_clear").password("changed"));
    assert_eq!(second.scalar("select current_user"), "app_clear");
    assert_eq!(second.query("begin; select 1").error(), None);
    let mut third = pooler.login(&login("app_clear").password("changed"));
    assert_eq!(third.scalar("select 1"), "1");
    pooler.stop_with(vec![first, second, third]);
}

/// Salts of 1, 8, 16, 32, 64 and 200 bytes, 1 to 90,000 iterations.
const VERIFIERS: [&str; 6] = [
    "SCRAM-SHA-256$1:AQ==$FCPMtN607jcZOPaAzPHougmx/HDdFO0Bk3GUYGn1FrQ=:iX8o1+phxAFlnP\
     5Szhgha/przklQUhEVfadITLzbeDo=",
    "SCRAM-SHA-256$4096:CC1Sd5zB5gs=$dA4hFftb6d6G3981kFta3pbiBbvw6btX9Q7Mloa/9WU=:/qE\
     fWDbEkA394cCIk58P9/QkZm+GxukPgzyjMVRG1Xg=",
    "SCRAM-SHA-256$1:EDVaf6TJ7hM4XYKnzPEWOw==$XXAr+ub7TyXzj+pvt0OjI2ULN3rzPlSKZZmg4vO\
     6wZM=:ybDpcYN3mCwbZN5g4rDRM0yUAR5Y8PK5Zn4NOS6lb6I=",
    "SCRAM-SHA-256$10000:IEVqj7TZ/iNIbZK33AEmS3CVut8EKU5zmL3iByxRdps=$dk6du958Ya+RaRn\
     moMBkCK8u+42caOTwhKQJH2hAEyU=:YRdvY6oQDrgT73+Larus5/OpCeTAcyuRCcWlqDm4Bh8=",
    "SCRAM-SHA-256$4096:QGWKr9T5HkNojbLX/CFGa5C12v8kSW6TuN0CJ0xxlrvgBSpPdJm+4wgtUnecw\
     eYLMFV6n8TpDjNYfaLH7BE2Ww==$YnqEECeqlBp2BTrzool4KrRaO+5vdAEBrt1jefRPVZI=:wvqD3Lb\
     IgTOf9F8TI23QT3HKxMazCbx+KqUA77RbEvI=",
    "SCRAM-SHA-256$90000:yO0SN1yBpsvwFTpfhKnO8xg9Yoes0fYbQGWKr9T5HkNojbLX/CFGa5C12v8k\
     SW6TuN0CJ0xxlrvgBSpPdJm+4wgtUnecweYLMFV6n8TpDjNYfaLH7BE2W4Clyu8UOV6DqM3yFzxhhqvQ\
     9Ro/ZImu0/gdQmeMsdb7IEVqj7TZ/iNIbZK33AEmS3CVut8EKU5zmL3iByxRdpvA5QovVHmew+gNMld8\
     ocbrEDVaf6TJ7hM4XYKnzPEWO2CFqs/0GT5jiK3S9xxBZos=$p6/Y0k4Fd+arDLpb/Ox6itQtc/wHsOL\
     pr7cdI7RfPV8=:i9drEkOTpE+MfATlb5fuo4x9/8ftYL/8B5SYsNO3IlU=",
];
