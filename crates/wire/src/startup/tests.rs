//! First packets: good ones, broken ones, and what strangers send to an open port.

use proptest::prelude::*;

use super::*;

fn packet(version: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap();
    [&length.to_be_bytes()[..], &version.to_be_bytes(), body].concat()
}

fn check(bytes: &[u8], expected: &str) {
    let found = match parse(bytes) {
        Err(malformed) => malformed.to_string(),
        Ok(None) => "incomplete".to_owned(),
        Ok(Some((startup, used))) => format!("{startup:?} in {used}"),
    };
    assert_eq!(found, expected, "{bytes:?}");
}

#[test]
fn requests_without_parameters() {
    check(&ssl_request(), "Ssl in 8");
    check(&coded(GSSENC_REQUEST), "GssEnc in 8");
    check(&[&ssl_request()[..], b"more"].concat(), "Ssl in 8");
    check(&ssl_request()[..7], "incomplete");
    check(&packet(80_877_103, b"x"), "startup packet: 1 bytes too many");
}

#[test]
fn cancel_keys_of_both_protocol_versions() {
    for bytes in [4, 32, 256] {
        let key = CancelKey { pid: 7, secret: vec![9; bytes] };
        let mut out = Vec::new();
        cancel_request(&mut out, &key);
        assert_eq!(parse(&out), Ok(Some((Startup::Cancel(key), 12 + bytes))));
    }
    let cannot = |bytes| format!("startup packet: the length of the key cannot be {bytes}");
    check(&packet(80_877_102, b"\0\0\0\x07"), &cannot(0));
    check(&packet(80_877_102, b"\0\0\0\x07abc"), &cannot(3));
    check(&packet(80_877_102, &[0; 4 + 257]), &cannot(257));
    check(&packet(80_877_102, b"\0\0"), "startup packet: ends inside the process id");
}

#[test]
fn a_cancel_key_is_not_shown() {
    let key = CancelKey { pid: 7, secret: b"secret".to_vec() };
    assert_eq!(format!("{key:?}"), "CancelKey { pid: 7, secret: 6 bytes }");
}

/// Without a bound of its own a packet within its limit makes thirty times as much of us.
#[test]
fn the_number_of_parameters_is_bounded() {
    for (count, name, fits) in [(512, "a", true), (513, "a", false), (513, "_pq_.a", false)] {
        let mut out = Vec::new();
        startup_message(&mut out, &vec![(name, "1"); count], 0);
        let text = "startup packet: the number of parameters cannot be 513";
        assert_eq!(parse(&out).map_err(|e| e.to_string()).err(), (!fits).then(|| text.into()));
    }
}

#[test]
fn a_startup_message_in_full() {
    let mut out = Vec::new();
    let parameters = [("user", "u"), ("_pq_.a", "1"), ("database", "d"), ("user", "v")];
    startup_message(&mut out, &parameters, 2);
    let Ok(Some((Startup::Start(message), used))) = parse(&out) else { panic!("{out:?}") };
    assert_eq!(used, out.len());
    assert_eq!((message.major, message.minor), (3, 2));
    assert_eq!(message.parameters.iter().count(), 3);
    assert_eq!(message.unknown_options, ["_pq_.a"]);
    assert_eq!((message.get("user"), message.get("database")), (Some("v"), Some("d")));
    assert_eq!(message.get("_pq_.a"), None);
}

/// Odyssey reads options into 128 bytes, whatever their length.
#[test]
fn long_names_and_values_are_whole() {
    let mut out = Vec::new();
    let long = "o".repeat(4000);
    startup_message(&mut out, &[(&long, &long)], 0);
    let Ok(Some((Startup::Start(message), _))) = parse(&out) else { panic!("{out:?}") };
    assert_eq!(message.get(&long), Some(&long[..]));
}

#[test]
fn what_is_not_utf8_matches_nothing() {
    let Ok(Some((Startup::Start(message), _))) = parse(&packet(0x30000, b"user\0\xff\0\0")) else {
        panic!("accepted")
    };
    assert_eq!(message.get("user"), Some("\u{fffd}"));
}

#[test]
fn broken_lists_are_refused() {
    check(&packet(0x30000, b""), "startup packet: the list of parameters has no terminating zero");
    let unterminated = "startup packet: the list of parameters has no terminating zero";
    check(&packet(0x30000, b"user"), unterminated);
    check(&packet(0x30000, b"user\0u\0"), unterminated);
    let value = "startup packet: the value of a parameter has no terminating zero";
    check(&packet(0x30000, b"user\0"), value);
    check(&packet(0x30000, b"user\0u"), value);
    check(&packet(0x30000, b"user\0u\0\0x"), "startup packet: 1 bytes too many");
}

#[test]
fn lengths_are_judged_before_the_rest_is_there() {
    let bad = |got| format!("startup packet: length {got} is not in 8..=10000");
    check(&[], "incomplete");
    check(&[0, 0, 0], "incomplete");
    check(&[0, 0, 0, 8], "incomplete");
    check(&[0, 0, 0, 7], &bad("7"));
    check(&[0, 0, 0, 0], &bad("0"));
    check(&[0xff, 0xff, 0xff, 0xff], &bad("-1"));
    check(&10_000u32.to_be_bytes(), "incomplete");
    check(&10_001u32.to_be_bytes(), &bad("10001"));
    check(b"GET / HTTP/1.1", &bad("1195725856"));
    check(b"\x16\x03\x01\x02\x00", &bad("369295618")); // TLS without SSLRequest
}

#[test]
fn other_versions_are_for_the_caller_to_refuse() {
    let Ok(Some((Startup::Start(message), 12))) = parse(&packet(0x2_0000, b"\xff\xff\xff\xff"))
    else {
        panic!("version 2.0 is parsed")
    };
    assert_eq!((message.major, message.minor, message.parameters.iter().count()), (2, 0, 0));
}

proptest! {
    #[test]
    fn bytes_from_nowhere_never_panic(bytes in any::<Vec<u8>>(), version in any::<u32>()) {
        let _ = parse(&bytes);
        for version in [version, 0x30000, 0x30002, 80_877_102, 80_877_103] {
            prop_assert!(!matches!(parse(&packet(version, &bytes)), Ok(None)));
        }
    }
}

/// Each line was asked of PostgreSQL 15's `parse_bool`, but for `database`.
#[test]
fn replication_is_a_boolean_or_the_word_database() {
    use Replication::{Logical, No, Physical};
    for (kind, words) in [
        (Some(Logical), "database"),
        (Some(Physical), "on ON true tRu t yes y ye 1"),
        (Some(No), "off of OFF false f fals no n N 0"),
        (None, "o O Database databas 2 01 10 onn yess truee offf nope tru\u{e9} t\u{e9} -"),
    ] {
        for word in words.split(' ') {
            assert_eq!(Replication::parse(word), kind, "{word:?}");
        }
    }
    assert_eq!(Replication::parse(""), None);
}
