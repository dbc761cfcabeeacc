//! Any bytes as the messages of a SCRAM login, on both sides. Nobody gets in who does not know the
//! password, which no fuzzer does, and no mechanism is taken that was not offered.
#![no_main]

use wire::auth::scram::{Binding, Client, NONCE_BYTES, Offer, ScramVerifier, Server};

const RANDOM: [u8; NONCE_BYTES] = [7; NONCE_BYTES];

libfuzzer_sys::fuzz_target!(|messages: (Option<Vec<u8>>, Vec<u8>, Vec<u8>)| {
    let (end_point, first, last) = messages;
    let offer = Offer { end_point: end_point.as_deref() };
    let verifier = ScramVerifier::mock("nobody", b"secret").expect("a mock is made of hashes");
    if let Ok((mechanism, data)) = wire::frontend::sasl_initial_response(&first) {
        let begun = Server::first(verifier.clone(), offer, mechanism.as_bytes(), data, &RANDOM);
        if let Ok((server, _)) = begun {
            let known = offer.mechanisms().iter().any(|it| it.as_bytes() == mechanism.as_bytes());
            assert!(known, "a mechanism nobody offered");
            assert!(server.finish(&last).is_err(), "a mock let somebody in");
        }
    }
    let begun = Server::first(verifier, Offer::default(), "SCRAM-SHA-256", &first, &RANDOM);
    if let Ok((server, _)) = begun {
        assert!(server.finish(&last).is_err(), "a mock let somebody in");
    }
    let bindings = [Binding::None, Binding::Unoffered, Binding::EndPoint(last.clone())];
    for binding in bindings {
        let _ = Client::new(&RANDOM, binding).challenge(&first);
    }
    let _ = ScramVerifier::parse(&String::from_utf8_lossy(&last));
    let _ = wire::frontend::password(&last);
});
