//! What each side of TLS says of itself and of the other: facts, certificates that are judged, and
//! complaints in words.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/certificates.rs"]
mod certificates;
mod common;
#[path = "common/secure.rs"]
mod secure;

use std::time::Duration;

use machine::tls::{Ask, Client, Common, Server, Verify, Version};
use machine::{Deadline, Error, Stream};
use openssl::hash::MessageDigest;

use certificates::{Signed, Wish};
use common::{on, pair, soon};
use secure::{Files, echo, facts, shake, tls_pair};

#[test]
fn both_speak_and_know_how() {
    on(0, || {
        let files = Files::new("facts");
        let (ours, theirs) = tls_pair(&files);
        echo(&ours, &theirs);
        let (mine, yours) = (facts(&ours), facts(&theirs));
        assert_eq!((mine.version, yours.version), ("TLSv1.3", "TLSv1.3"));
        assert_eq!(mine.cipher, yours.cipher);
        assert_eq!(yours.server_name.as_deref(), Some("localhost"));
        assert_eq!((yours.peer, mine.resumed), (None, false));
        let peer = mine.peer.unwrap();
        assert_eq!(peer.common_name.as_deref(), Some("localhost"));
        assert_eq!(peer.subject, "CN=localhost,O=Tests");
        assert_eq!(peer.issuer, "CN=Test Authority,O=Tests");
        assert_eq!(peer.alternative_names, ["localhost", "127.0.0.1"]);
    });
}

#[test]
fn a_plain_stream_has_no_tls() {
    on(0, || {
        let (ours, _theirs) = pair();
        assert_eq!(ours.tls(), None);
    });
}

/// RFC 5929: the hash the certificate was signed with, but never SHA-1.
#[test]
fn both_have_one_end_point() {
    on(0, || {
        for (hash, expected) in [
            (MessageDigest::sha256(), MessageDigest::sha256()),
            (MessageDigest::sha384(), MessageDigest::sha384()),
            (MessageDigest::sha1(), MessageDigest::sha256()),
        ] {
            let files = Files::new(&format!("end-point-{}", hash.type_().as_raw()));
            let wish = Wish { names: &["localhost"], hash, ..Wish::default() };
            let made = files.certificate("server", &wish);
            let client = Client::load(&Common::default(), Verify::Nothing).unwrap();
            let mut common = files.common("server");
            common.ciphers = Some("DEFAULT@SECLEVEL=0".into()); // or SHA-1 is not even loaded
            let server = Server::load(&common, Ask::Never).unwrap();
            let (ours, theirs) = shake(pair(), &client, &server, None);
            let (ours, theirs) = (facts(&ours.unwrap()), facts(&theirs.unwrap()));
            let digest = made.certificate.digest(expected).unwrap().to_vec();
            assert_eq!(ours.end_point.as_ref(), Some(&digest));
            assert_eq!(theirs.end_point, Some(digest));
        }
    });
}

fn handshake_of_a_plain_client(says: &'static [u8]) -> String {
    on(0, move || {
        let files = Files::new(&format!("plain-{}", says.len()));
        let (ours, mut theirs) = pair();
        ours.write_all(says, soon()).unwrap();
        theirs.accept_tls(&files.server(), soon()).unwrap_err().to_string()
    })
}

#[test]
fn who_does_not_speak_tls_is_told_apart() {
    assert_eq!(
        handshake_of_a_plain_client(b"\0\0\0\x08\x04\xd2\x16\x2f and more of this"),
        "TLS handshake: the peer does not speak TLS (plain text?)"
    );
    assert_eq!(
        handshake_of_a_plain_client(b"GET / HTTP/1.1\r\n\r\n"),
        "TLS handshake: the peer speaks HTTP"
    );
}

/// What client and server say of a handshake that has to fail, if they do.
fn words(client: &Client, server: &Server, host: &str) -> [Option<String>; 2] {
    let (ours, theirs) = shake(pair(), client, server, Some(host));
    // With TLS 1.3 a client is done before its certificate was looked at; the first read tells.
    let late = |end: Result<Stream, String>| match end {
        Err(words) => Some(words),
        Ok(stream) => {
            let deadline = Deadline::after(Duration::from_millis(200));
            match stream.read(&mut [0; 1], deadline) {
                Ok(_) | Err(Error::TimedOut) => None,
                Err(error) => Some(error.to_string()),
            }
        }
    };
    [late(ours), late(theirs)].map(|words| words.map(|w| w.replace("TLS handshake: ", "")))
}

#[test]
fn a_client_says_what_is_wrong_with_a_server() {
    on(0, || {
        let files = Files::new("server-words");
        let check = |name: &str, wish: Option<&Wish<'_>>, host: &str, expected: &str| {
            if let Some(wish) = wish {
                files.certificate(name, wish);
            }
            let server = Server::load(&files.common(name), Ask::Never).unwrap();
            let [ours, _] = words(&files.client(), &server, host);
            assert_eq!(ours.as_deref(), Some(expected), "{name}");
        };
        let names = &["localhost"];
        check(
            "expired",
            Some(&Wish { names, days: (-9, -2), ..Wish::default() }),
            "localhost",
            "the peer's certificate has expired",
        );
        check(
            "early",
            Some(&Wish { names, days: (2, 9), ..Wish::default() }),
            "localhost",
            "the peer's certificate is not valid yet",
        );
        let other = "the peer's certificate is not for host name \"other.example\"";
        check("server", None, "other.example", other);
        check("server", None, "127.0.0.2", "the peer's certificate is not for address 127.0.0.2");
        Signed::itself(&Wish::default()).write(&files.directory, "itself");
        check("itself", None, "localhost", "the peer's certificate is self-signed");
        let stranger = Signed::authority("Somebody Else");
        stranger.sign(&Wish::default()).write(&files.directory, "strange");
        let strange = "the peer's certificate is signed by an unknown authority";
        check("strange", None, "localhost", strange);
    });
}

#[test]
fn an_address_a_name_and_no_check_at_all_are_as_asked() {
    on(0, || {
        let files = Files::new("hosts");
        let server = files.server();
        let accepted = |common: &Common, verify, host: Option<&str>| {
            let client = Client::load(common, verify).unwrap();
            shake(pair(), &client, &server, host).0.is_ok()
        };
        let believing = files.believing();
        assert!(accepted(&believing, Verify::Host, Some("127.0.0.1")));
        assert!(accepted(&believing, Verify::Host, Some("localhost")));
        assert!(!accepted(&believing, Verify::Host, None), "nothing to compare with");
        assert!(accepted(&believing, Verify::Authority, Some("other.example")));
        assert!(accepted(&Common::default(), Verify::Nothing, Some("other.example")));
        assert!(!accepted(&Common::default(), Verify::Authority, Some("localhost")), "unknown");
    });
}

#[test]
fn a_server_asks_for_certificates_as_it_was_told() {
    on(0, || {
        let files = Files::new("ask");
        let mut of_app = files.believing();
        (of_app.certificate, of_app.key) = (files.at("client.crt"), files.at("client.key"));
        let stranger = Signed::authority("Somebody Else");
        stranger.sign(&Wish::default()).write(&files.directory, "strange");
        let mut strange = files.believing();
        (strange.certificate, strange.key) = (files.at("strange.crt"), files.at("strange.key"));
        let nobody = files.believing();
        let judged = |ask, common: &Common| {
            let client = Client::load(common, Verify::Host).unwrap();
            let server = Server::load(&files.common("server"), ask).unwrap();
            let [_, theirs] = words(&client, &server, "localhost");
            theirs.unwrap_or_default()
        };
        let unknown = "the peer's certificate is signed by an unknown authority";
        for ask in [Ask::Never, Ask::Unchecked, Ask::Checked, Ask::Required] {
            assert_eq!(judged(ask, &of_app), "", "{ask:?}");
        }
        assert_eq!(judged(Ask::Unchecked, &strange), "");
        assert_eq!(judged(Ask::Checked, &strange), unknown);
        assert_eq!(judged(Ask::Checked, &nobody), "");
        assert_eq!(judged(Ask::Required, &nobody), "the peer showed no certificate");
    });
}

#[test]
fn a_client_hears_that_its_certificate_is_missed_or_unknown() {
    on(0, || {
        let files = Files::new("missed");
        let server = Server::load(&files.common("server"), Ask::Required).unwrap();
        let [ours, _] = words(&files.client(), &server, "localhost");
        assert_eq!(ours.as_deref(), Some("TLS: the peer asks for a certificate of ours"));
        let client = Client::load(&Common::default(), Verify::Authority).unwrap();
        let [_, theirs] = words(&client, &files.server(), "localhost");
        let unknown = "the peer does not know the authority of our certificate";
        assert_eq!(theirs.as_deref(), Some(unknown));
    });
}

#[test]
fn a_server_knows_who_its_client_is() {
    on(0, || {
        let files = Files::new("who");
        let mut common = files.believing();
        (common.certificate, common.key) = (files.at("client.crt"), files.at("client.key"));
        let client = Client::load(&common, Verify::Host).unwrap();
        let server = Server::load(&files.common("server"), Ask::Checked).unwrap();
        for resumed in [false, true] {
            let (ours, theirs) = shake(pair(), &client, &server, Some("localhost"));
            let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
            echo(&ours, &theirs); // the ticket comes with it
            assert_eq!(facts(&theirs).resumed, resumed);
            let peer = facts(&theirs).peer.unwrap();
            assert_eq!(peer.common_name.as_deref(), Some("app"));
            assert_eq!(peer.subject, "CN=app,O=Tests");
        }
    });
}

#[test]
fn versions_and_protocols_have_to_meet() {
    on(0, || {
        let files = Files::new("versions");
        let with = |lowest, highest, protocols: &[&str]| {
            let protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
            Common { lowest, highest, protocols, ..files.common("server") }
        };
        let met = |client: &Common, server: &Common| {
            let client = Client::load(client, Verify::Host).unwrap();
            let server = Server::load(server, Ask::Never).unwrap();
            let (ours, theirs) = shake(pair(), &client, &server, Some("localhost"));
            let facts = ours.map(|ours| facts(&ours));
            (facts.map(|facts| (facts.version, facts.protocol)), theirs.map(drop))
        };
        let any = with(None, None, &[]);
        let old = with(None, Some(Version::Tls1_2), &[]);
        let new = with(Some(Version::Tls1_3), None, &[]);
        assert_eq!(met(&old, &any).0, Ok(("TLSv1.2", None)));
        assert_eq!(met(&any, &new).0, Ok(("TLSv1.3", None)));
        let (ours, theirs) = met(&old, &new);
        let common = "TLS handshake: no TLS version in common";
        assert_eq!((ours, theirs), (Err(format!("{common}, says the peer")), Err(common.into())));
        let postgresql = with(None, None, &["postgresql"]);
        let web = with(None, None, &["h2", "http/1.1"]);
        let both = with(None, None, &["h2", "postgresql"]);
        let agreed = |name: &str| Ok(("TLSv1.3", Some(name.to_owned())));
        assert_eq!(met(&both, &postgresql).0, agreed("postgresql"));
        assert_eq!(met(&any, &postgresql).0, Ok(("TLSv1.3", None)));
        let words = "TLS handshake: no application protocol (ALPN) in common";
        assert_eq!(met(&web, &postgresql), (Err(words.into()), Err(words.into())));
    });
}

#[test]
fn a_host_that_was_met_before_is_met_again_quickly() {
    on(0, || {
        let files = Files::new("resumed");
        for highest in [Version::Tls1_2, Version::Tls1_3] {
            let common = Common { highest: Some(highest), ..files.believing() };
            let client = Client::load(&common, Verify::Host).unwrap();
            let server = files.server();
            let meet = |host: &str| {
                let (ours, theirs) = shake(pair(), &client, &server, Some(host));
                let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
                echo(&ours, &theirs);
                assert_eq!(facts(&ours).resumed, facts(&theirs).resumed);
                facts(&ours).resumed
            };
            let met = ["localhost", "localhost", "127.0.0.1", "127.0.0.1"].map(meet);
            assert_eq!(met, [false, true, false, true], "{highest:?}");
        }
    });
}

#[test]
fn files_that_are_no_good_are_named() {
    let files = Files::new("files");
    let failure = |common: &Common| {
        let error = Server::load(common, Ask::Never).unwrap_err().to_string();
        error.replace(&format!("{}/", files.directory.display()), "")
    };
    let put = |certificate: &str, key: &str| Common {
        certificate: files.at(certificate),
        key: files.at(key),
        ..Common::default()
    };
    std::fs::write(files.at("empty").unwrap(), "").unwrap();
    let key = openssl::rsa::Rsa::generate(2048).unwrap();
    let cipher = openssl::symm::Cipher::aes_128_cbc();
    let locked = key.private_key_to_pem_passphrase(cipher, b"secret").unwrap();
    std::fs::write(files.at("locked.key").unwrap(), locked).unwrap();
    let missing = "missing.crt: No such file or directory (os error 2)";
    assert_eq!(failure(&put("missing.crt", "server.key")), missing);
    assert_eq!(failure(&put("empty", "server.key")), "empty: no certificate in PEM is in it");
    assert_eq!(failure(&put("server.crt", "empty")), "empty: no private key in PEM is in it");
    assert_eq!(failure(&put("server.crt", "locked.key")), "locked.key: needs a passphrase");
    let other = "client.key: is not the key of the certificate";
    assert_eq!(failure(&put("server.crt", "client.key")), other);
    let none = "a TLS server needs a certificate and its key";
    assert_eq!(failure(&Common::default()), none);
    let ciphers = Common { ciphers: Some("NONSENSE".into()), ..files.common("server") };
    assert_eq!(failure(&ciphers), "no cipher is known in \"NONSENSE\"");
    let groups = Common { groups: Some("NONSENSE".into()), ..files.common("server") };
    assert_eq!(failure(&groups), "an unknown group or curve in \"NONSENSE\"");
}
