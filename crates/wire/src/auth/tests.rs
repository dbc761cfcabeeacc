//! Passwords and stored forms, against PostgreSQL's and against postgres-protocol's.

use postgres_protocol::authentication::md5_hash;

use super::*;

const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
    $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

#[test]
fn stored_secrets_are_told_apart() {
    let kind = |text: &str| match StoredSecret::parse(text) {
        StoredSecret::Plain(_) => "plain",
        StoredSecret::Md5(_) => "md5",
        StoredSecret::Scram(_) => "scram",
    };
    assert_eq!(kind(""), "plain");
    assert_eq!(kind("secret"), "plain");
    assert_eq!(kind("md5a6343a68d964ca596d9752250d54bb8a"), "md5");
    assert_eq!(kind("md5A6343A68D964CA596D9752250D54BB8A"), "plain");
    assert_eq!(kind("md5a6343a68d964ca596d9752250d54bb8"), "plain");
    assert_eq!(kind(VERIFIER), "scram");
    assert_eq!(kind(&VERIFIER.replace("4096", "0")), "plain");
    assert_eq!(kind(&VERIFIER.replace("4096", "+4096")), "plain");
    assert_eq!(kind(&VERIFIER.replace("4096", "99999999999")), "plain");
    assert_eq!(kind(&VERIFIER.replace("WG5d", "WG5")), "plain");
    assert_eq!(kind("SCRAM-SHA-256$"), "plain");
    assert_eq!(kind("SCRAM-SHA-256$4096:AA==$$"), "plain");
}

#[test]
fn a_stored_secret_survives_the_way_through() {
    let StoredSecret::Scram(verifier) = StoredSecret::parse(VERIFIER) else {
        panic!("{VERIFIER} is a verifier");
    };
    assert_eq!(verifier.to_secret(), VERIFIER);
}

#[test]
fn a_password_in_clear_fits_every_stored_form() {
    let verifier = postgres_protocol::password::scram_sha_256(b"foobar");
    for secret in ["foobar", "md50b7acc3663f2c47b71ff946033c7e82c", &verifier] {
        let secret = StoredSecret::parse(secret);
        let fits = |user, password: &str| secret.accepts(user, password).unwrap();
        assert!(fits("md5_user", "foobar"), "{secret:?}");
        assert!(!fits("md5_user", "foobaz"), "{secret:?}");
        assert!(!fits("md5_user", ""), "{secret:?}");
        assert_eq!(fits("other", "foobar"), !matches!(secret, StoredSecret::Md5(_)));
    }
}

/// The vector of postgres-protocol, and its function on other input.
#[test]
fn md5_is_postgresqls() {
    let salt = [0x2a, 0x3d, 0x8f, 0xe0];
    let answer = "md562af4dd09bbb41884907a838a3233294";
    assert_eq!(md5::response("md5_user", "password", salt), answer);
    let stored = md5::stored("md5_user", "password");
    assert_eq!(md5::response_from_stored(&stored, salt), answer);
    assert!(md5::matches(&stored, salt, answer));
    assert!(!md5::matches(&stored, salt, &answer[..34]));
    assert!(!md5::matches(&stored, salt, ""));
    assert!(!md5::matches(&stored, [0; 4], answer));
    for (user, password) in [("", ""), ("u", "pässword"), ("dbuser", "a b c")] {
        let theirs = md5_hash(user.as_bytes(), password.as_bytes(), salt);
        assert_eq!(md5::response(user, password, salt), theirs);
    }
}

/// RFC 4013's examples, and PostgreSQL's way out where the profile forbids a password.
#[test]
fn saslprep_is_postgresqls() {
    let check = |from: &[u8], to: &[u8]| assert_eq!(&*normalize(from), to);
    check("I\u{ad}X".as_bytes(), b"IX");
    check(b"user", b"user");
    check("\u{aa}".as_bytes(), b"a");
    check("\u{2168}".as_bytes(), b"IX");
    check("a\u{a0}b".as_bytes(), b"a b");
    check(b"\x07", b"\x07");
    check("\u{627}\u{31}".as_bytes(), "\u{627}\u{31}".as_bytes());
    check("\u{ad}".as_bytes(), "\u{ad}".as_bytes());
    check(b"\xff\xfe", b"\xff\xfe");
    check(b"", b"");
}

#[test]
fn no_secret_shows_in_debug() {
    for text in ["hunter2", "md5a6343a68d964ca596d9752250d54bb8a", VERIFIER] {
        let shown = format!("{:?}", StoredSecret::parse(text));
        assert!(!shown.contains(&text[..6]) && shown.ends_with("(***)"), "{shown}");
    }
    let keys = scram::ClientKeys::derive("hunter2", b"salt", 1).unwrap();
    assert_eq!(format!("{keys:?}"), "ClientKeys(***)");
    assert_eq!(format!("{:?}", keys.verifier()), "ScramVerifier(***)");
}
