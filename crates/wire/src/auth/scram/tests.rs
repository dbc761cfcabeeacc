//! RFC 7677's exchange on both sides, the two sides against each other and against
//! postgres-protocol's client, and everything a peer may get wrong.

use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use proptest::prelude::*;

use super::*;

const RFC_SALT: &[u8] = &[
    0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81,
];
const RFC_CLIENT_FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const RFC_SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const RFC_SERVER_FIRST: &[u8] = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
    s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const RFC_CLIENT_FINAL: &[u8] = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const RFC_SERVER_FINAL: &[u8] = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn rfc_verifier() -> ScramVerifier {
    ScramVerifier::from_password("pencil", RFC_SALT, 4096).unwrap()
}

fn rfc_server() -> Server {
    let (server, server_first) =
        Server::start(rfc_verifier(), PLAIN, RFC_CLIENT_FIRST, RFC_SERVER_NONCE).unwrap();
    assert_eq!(server_first, RFC_SERVER_FIRST);
    server
}

fn rfc_client() -> Client {
    let nonce = "rOprNGfwEbeRWgbNEkqO".to_owned();
    Client { binding: Binding::None, bare: format!("n=user,r={nonce}"), nonce }
}

const UNBOUND: Offer<'static> = Offer { end_point: None };
const PLAIN: (Offer<'static>, &str) = (UNBOUND, MECHANISM);

#[test]
fn rfc_7677_as_server() {
    let accepted = rfc_server().finish(RFC_CLIENT_FINAL).unwrap();
    assert_eq!(accepted.server_final, RFC_SERVER_FINAL);
    assert!(accepted.keys == ClientKeys::derive("pencil", RFC_SALT, 4096).unwrap());
}

#[test]
fn rfc_7677_as_client() {
    let client = rfc_client();
    assert_eq!(client.client_first(), RFC_CLIENT_FIRST);
    let challenge = client.challenge(RFC_SERVER_FIRST).unwrap();
    assert_eq!((challenge.salt(), challenge.iterations()), (RFC_SALT, 4096));
    let keys = ClientKeys::derive("pencil", RFC_SALT, 4096).unwrap();
    let (proved, client_final) = challenge.answer(&keys).unwrap();
    assert_eq!(client_final, RFC_CLIENT_FINAL);
    assert_eq!(proved.verify(RFC_SERVER_FINAL), Ok(()));
}

/// What is bound is what postgres-protocol's client says is bound.
#[test]
fn a_binding_is_said_twice() {
    let bound = |message: &[u8]| {
        let text = String::from_utf8(message.to_vec()).unwrap();
        text.split(",r=").next().unwrap().to_owned()
    };
    for (binding, theirs) in [
        (Binding::None, ChannelBinding::unsupported()),
        (Binding::Unoffered, ChannelBinding::unrequested()),
        (Binding::EndPoint(vec![0xff; 32]), ChannelBinding::tls_server_end_point(vec![0xff; 32])),
    ] {
        let mut theirs = ScramSha256::new(b"pencil", theirs);
        let client = Client::new(&[1; NONCE_BYTES], binding.clone());
        assert_eq!(bound(&client.client_first()), bound(theirs.message()), "{binding:?}");

        let answer_to = |nonce: &str| format!("r={nonce}x,s={},i=1", BASE64.encode(b"salt"));
        let theirs_first = String::from_utf8(theirs.message().to_vec()).unwrap();
        let their_nonce = theirs_first.split(",r=").nth(1).unwrap();
        theirs.update(answer_to(their_nonce).as_bytes()).unwrap();
        let server_first = answer_to(&client.nonce);
        let keys = ClientKeys::derive("pencil", b"salt", 1).unwrap();
        let (_, client_final) =
            client.challenge(server_first.as_bytes()).unwrap().answer(&keys).unwrap();
        assert_eq!(bound(&client_final), bound(theirs.message()), "{binding:?}");
    }
}

fn small_verifier() -> ScramVerifier {
    ScramVerifier::from_password("pencil", b"salt", 1).unwrap()
}

fn first(client_first: &[u8]) -> Result<(Server, Vec<u8>), Failure> {
    Server::first(small_verifier(), UNBOUND, MECHANISM, client_first, &[7; NONCE_BYTES])
}

#[test]
fn a_client_first_message_is_checked() {
    let check = |message: &[u8], expected: Result<(), Failure>| {
        let found = first(message).map(|_| ());
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(message));
    };
    check(b"n,,n=,r=abc", Ok(()));
    check(b"y,,n=,r=abc", Ok(()));
    check(b"n,,n=whoever=2Cis=3Dthis,r=abc,x=later", Ok(()));
    check(b"n,,n=\xff,r=abc", Ok(()));
    // Odyssey takes this one although the mechanism has no channel binding.
    check(b"p=tls-server-end-point,,n=,r=abc", Err(Failure::ChannelBinding));
    check(b"p=,,n=,r=abc", Err(Failure::ChannelBinding));
    check(b"n,a=admin,n=,r=abc", Err(Failure::AuthorizationIdentity));
    check(b"n,,m=x,n=,r=abc", Err(Failure::MandatoryExtension));
    // Odyssey ends its process over the empty one.
    check(b"", Err(Failure::Malformed("channel binding flag")));
    check(b"p", Err(Failure::Malformed("channel binding flag")));
    check(b"x,,n=,r=abc", Err(Failure::Malformed("channel binding flag")));
    check(b"n", Err(Failure::Malformed("header")));
    check(b"n,", Err(Failure::Malformed("header")));
    check(b"n,x,n=,r=abc", Err(Failure::Malformed("header")));
    check(b"n,,", Err(Failure::Malformed("user name")));
    check(b"n,,r=x", Err(Failure::Malformed("user name")));
    check(b"n,,n=", Err(Failure::Malformed("nonce")));
    check(b"n,,n=,r=", Err(Failure::Malformed("nonce")));
    check(b"n,,n=,r=a b", Err(Failure::Malformed("nonce")));
    check(b"n,,n=,r=a\0", Err(Failure::Malformed("nonce")));
    let with = |count: usize| [b"n,,n=,r=", &*b"x".repeat(count)].concat();
    check(&with(NONCE_CHARACTERS_MAX), Ok(()));
    check(&with(NONCE_CHARACTERS_MAX + 1), Err(Failure::LongNonce));
    check(b"n,,n=,r=\xff", Err(Failure::Malformed("nonce")));
    check(b"n,,n=,r=abc,", Err(Failure::Malformed("attribute")));
    check(b"n,,n=,r=abc,x", Err(Failure::Malformed("attribute")));
}

/// Fails against a server that forgets what it offered: then whoever takes the offer away on its
/// way has a login that is bound to nothing.
#[test]
fn channel_binding_is_what_was_offered() {
    let offered = Offer { end_point: Some(b"hash of a certificate") };
    let check = |offer, mechanism: &str, header: &str, expected: Result<(), Failure>| {
        let (first, random) = (format!("{header}n=,r=abc"), [7; NONCE_BYTES]);
        let found = Server::first(small_verifier(), offer, mechanism, first.as_bytes(), &random);
        assert_eq!(found.map(|_| ()), expected, "{offer:?} {mechanism} {header}");
    };
    let bind = "p=tls-server-end-point,,";
    assert_eq!(offered.mechanisms(), [MECHANISM_PLUS, MECHANISM]);
    assert_eq!(UNBOUND.mechanisms(), [MECHANISM]);
    check(offered, MECHANISM_PLUS, bind, Ok(()));
    check(offered, MECHANISM, "n,,", Ok(()));
    check(offered, MECHANISM, "y,,", Err(Failure::Downgrade));
    check(offered, MECHANISM, bind, Err(Failure::ChannelBinding));
    check(offered, MECHANISM_PLUS, "p=tls-unique,,", Err(Failure::ChannelBinding));
    check(offered, MECHANISM_PLUS, "n,,", Err(Failure::Malformed("channel binding flag")));
    check(offered, MECHANISM_PLUS, "y,,", Err(Failure::Malformed("channel binding flag")));
    check(UNBOUND, MECHANISM_PLUS, bind, Err(Failure::UnsupportedMechanism));
    check(UNBOUND, MECHANISM, bind, Err(Failure::ChannelBinding));
    check(UNBOUND, MECHANISM, "y,,", Ok(()));
}

/// A driver's client, bound to what it sees of the channel.
#[test]
fn a_login_is_bound_to_the_channel_it_came_by() {
    let login = |ours: &[u8], theirs: &[u8]| {
        let binding = ChannelBinding::tls_server_end_point(theirs.to_vec());
        let mut client = ScramSha256::new(b"pencil", binding);
        let verifier = ScramVerifier::from_password("pencil", &[1; 16], 1).unwrap();
        let offer = Offer { end_point: Some(ours) };
        let first = client.message().to_vec();
        let (server, server_first) =
            Server::first(verifier, offer, MECHANISM_PLUS, &first, &[2; NONCE_BYTES]).unwrap();
        client.update(&server_first).unwrap();
        let accepted = server.finish(client.message())?;
        client.finish(&accepted.server_final).unwrap();
        Ok(())
    };
    assert_eq!(login(b"one certificate", b"one certificate"), Ok(()));
    assert_eq!(login(b"one certificate", b"another"), Err(Failure::BindingMismatch));
}

#[test]
fn salts_and_counts_of_any_size_work() {
    for salt in [1, 8, 16, 32, 64, 200] {
        for count in [1, 2, 4096, 100_000] {
            let keys = ClientKeys::derive("pencil", &vec![9; salt], count).unwrap();
            assert_eq!(exchange(keys.verifier(), &keys), Ok(()), "{salt} bytes, {count} times");
        }
    }
    let verifier = ScramVerifier::from_password("p", &[3; 8], ITERATIONS_MAX).unwrap();
    assert_eq!(verifier.matches_password("p"), Ok(true), "the cap itself");
}

#[test]
fn only_the_offered_mechanism_is_taken() {
    for mechanism in ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1", "PLAIN", "", "scram-sha-256"] {
        let (verifier, random) = (small_verifier(), [7; NONCE_BYTES]);
        let found = Server::first(verifier, UNBOUND, mechanism, b"n,,n=,r=abc", &random);
        assert_eq!(found.map(|_| ()), Err(Failure::UnsupportedMechanism), "{mechanism}");
    }
}

#[test]
fn a_client_final_message_is_checked() {
    let good = String::from_utf8(RFC_CLIENT_FINAL.to_vec()).unwrap();
    let check = |message: &str, expected: Failure| {
        let found = rfc_server().finish(message.as_bytes()).map(|_| ());
        assert_eq!(found, Err(expected), "{message}");
    };
    check("", Failure::Malformed("proof"));
    check(",p=", Failure::Malformed("header"));
    check("c=biws,p=", Failure::Malformed("nonce"));
    check(good.split_once(",p=").unwrap().0, Failure::Malformed("proof"));
    check(&good.replace("biws", "eSws"), Failure::BindingMismatch);
    check(&good.replace("biws", ""), Failure::BindingMismatch);
    check(&good.replace("rOpr", "rOps"), Failure::NonceMismatch);
    check(&good.replace("$k0", "$k"), Failure::NonceMismatch);
    check(&good.replace("dHzb", "dHzc"), Failure::WrongProof);
    check(&good.replace("dHzb", ""), Failure::Malformed("proof"));
    check(&good.replace("dHzb", "AAAAdHzb"), Failure::Malformed("proof"));
    check(&good.replace(",p=", ",x=1,p="), Failure::WrongProof);
    check(&good.replace(",p=", ",x,p="), Failure::Malformed("attribute"));
    check(&good.replace("c=", "m=1,c="), Failure::MandatoryExtension);
    check(&format!("{good},x=1"), Failure::Malformed("proof"));
}

#[test]
fn a_server_first_message_is_checked() {
    let check = |message: &str, expected: Result<(), Failure>| {
        assert_eq!(rfc_client().challenge(message.as_bytes()).map(|_| ()), expected, "{message}");
    };
    let own = "rOprNGfwEbeRWgbNEkqO";
    check(&format!("r={own}x,s=AAAA,i=1"), Ok(()));
    check(&format!("r={own}x,s=,i=1,x=later"), Ok(()));
    check(&format!("r={own},s=AAAA,i=1"), Err(Failure::NonceMismatch));
    check("r=other,s=AAAA,i=1", Err(Failure::NonceMismatch));
    check(&format!("m=1,r={own}x,s=AAAA,i=1"), Err(Failure::MandatoryExtension));
    check(&format!("r={own}x,s=?,i=1"), Err(Failure::Malformed("salt")));
    for count in ["0", "-1", "", "x", "+1", "99999999999"] {
        let message = format!("r={own}x,s=AAAA,i={count}");
        check(&message, Err(Failure::Malformed("iteration count")));
    }
    check(&format!("r={own}x,s=AAAA,i=1000001"), Err(Failure::Iterations(1_000_001)));
    check("", Err(Failure::Malformed("nonce")));
}

#[test]
fn a_server_that_does_not_know_the_password_is_found_out() {
    let keys = ClientKeys::derive("pencil", RFC_SALT, 4096).unwrap();
    let check = |message: &[u8], expected: Failure| {
        let challenge = rfc_client().challenge(RFC_SERVER_FIRST).unwrap();
        let (proved, _) = challenge.answer(&keys).unwrap();
        assert_eq!(proved.verify(message), Err(expected), "{}", String::from_utf8_lossy(message));
    };
    check(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", Failure::ServerSignature);
    check(b"v=", Failure::Malformed("signature"));
    check(b"", Failure::Malformed("signature"));
    check(b"e=other-error", Failure::ServerError);
    let other = ClientKeys::derive("pencil", b"another salt", 4096).unwrap();
    let challenge = rfc_client().challenge(RFC_SERVER_FIRST).unwrap();
    assert_eq!(challenge.answer(&other).map(|_| ()), Err(Failure::KeysDoNotFit));
}

/// The keys a client proves itself with open the next door that has the same verifier.
#[test]
fn accepted_keys_log_in_to_the_next_server() {
    let keys = rfc_server().finish(RFC_CLIENT_FINAL).unwrap().keys;
    let client = Client::new(&[1; NONCE_BYTES], Binding::None);
    let first = client.client_first();
    let (server, server_first) =
        Server::first(rfc_verifier(), UNBOUND, MECHANISM, &first, &[2; NONCE_BYTES]).unwrap();
    let challenge = client.challenge(&server_first).unwrap();
    assert!(challenge.fits(&keys));
    let (proved, client_final) = challenge.answer(&keys).unwrap();
    let accepted = server.finish(&client_final).unwrap();
    assert_eq!(proved.verify(&accepted.server_final), Ok(()));
}

#[test]
fn a_mock_looks_real_and_never_fits() {
    let mock = |user, secret: &[u8]| ScramVerifier::mock(user, secret).unwrap();
    assert!(mock("nobody", b"process") == mock("nobody", b"process"));
    assert_ne!(mock("nobody", b"process").salt(), mock("noone", b"process").salt());
    assert_ne!(mock("nobody", b"process").salt(), mock("nobody", b"another").salt());
    assert_eq!(mock("nobody", b"process").salt().len(), SALT_BYTES);
    assert_eq!(mock("nobody", b"process").iterations(), ITERATIONS_DEFAULT);
    assert_eq!(mock("nobody", b"process").matches_password(""), Ok(false));
    // Even the holder of keys that do fit is refused.
    let keys = ClientKeys::derive("pencil", b"salt", 1).unwrap();
    let doomed = ScramVerifier { is_mock: true, ..keys.verifier() };
    assert_eq!(exchange(doomed, &keys), Err(Failure::WrongProof));
    assert_eq!(exchange(keys.verifier(), &keys), Ok(()));
}

/// Our client against our server.
fn exchange(verifier: ScramVerifier, keys: &ClientKeys) -> Result<(), Failure> {
    let client = Client::new(&[1; NONCE_BYTES], Binding::None);
    let first = client.client_first();
    let (server, server_first) =
        Server::first(verifier, UNBOUND, MECHANISM, &first, &[2; NONCE_BYTES])?;
    let (proved, client_final) = client.challenge(&server_first)?.answer(keys)?;
    proved.verify(&server.finish(&client_final)?.server_final)
}

#[test]
fn counts_without_reason_are_refused() {
    for count in [0, ITERATIONS_MAX + 1] {
        let found = ClientKeys::derive("pencil", b"salt", count);
        assert!(found == Err(Failure::Iterations(count)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any password, any salt: the two sides agree, and no other password is taken.
    #[test]
    fn both_sides_agree(
        password in any::<Vec<u8>>(),
        other in any::<Vec<u8>>(),
        salt in proptest::collection::vec(any::<u8>(), 0..80),
        count in 1u32..5,
    ) {
        let verifier = ScramVerifier::from_password(&password, &salt, count).unwrap();
        let stored = ScramVerifier::parse(&verifier.to_secret()).unwrap();
        let keys = |password| ClientKeys::derive(password, &salt, count).unwrap();
        prop_assert_eq!(exchange(stored.clone(), &keys(&password)), Ok(()));
        prop_assert_eq!(stored.matches_password(&password), Ok(true));
        if normalize(&password) != normalize(&other) {
            prop_assert_eq!(exchange(stored, &keys(&other)), Err(Failure::WrongProof));
        }
    }

    /// A client that is not ours, with passwords that saslprep changes.
    #[test]
    fn postgres_protocol_agrees(password in any::<String>(), salt in any::<[u8; 16]>()) {
        let verifier = ScramVerifier::from_password(&password, &salt, 3).unwrap();
        let mut theirs = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
        let (server, server_first) =
            Server::first(verifier, UNBOUND, MECHANISM, theirs.message(), &[2; NONCE_BYTES])
                .unwrap();
        theirs.update(&server_first).unwrap();
        let accepted = server.finish(theirs.message()).unwrap();
        theirs.finish(&accepted.server_final).unwrap();
    }

    #[test]
    fn bytes_from_nowhere_never_panic(
        bytes in any::<Vec<u8>>(),
        text in "[nyp=,acrmvsi0-9]{0,40}",
    ) {
        for bytes in [&bytes[..], text.as_bytes()] {
            let _ = first(bytes);
            let _ = first(b"n,,n=,r=abc").unwrap().0.finish(bytes);
            let _ = rfc_client().challenge(bytes);
            let _ = ScramVerifier::parse(&String::from_utf8_lossy(bytes));
            let _ = Proved { signature: [0; KEY_BYTES] }.verify(bytes);
        }
    }
}
