//! TLS in a stream: it reads, writes, waits, folds and parks as one without; certificates are
//! judged and complaints are in words.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/certificates.rs"]
mod certificates;
mod common;

use certificates::{Signed, Wish};
use common::{connect, listen, on, pair, soon, start_on, until};
use machine::tls::{Ask, Client, Common, Facts, KeyLog, Server, Verify, Version};
use machine::{
    Address, Buffer, Deadline, Error, Interest, Progress, Stream, Watcher, Woken, wait_any,
};
use openssl::hash::MessageDigest;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// A directory of this test's own, with an authority, a server's certificate for `localhost` and
/// 127.0.0.1, and a client's.
struct Files {
    directory: PathBuf,
    authority: Signed,
}

impl Files {
    fn new(test: &str) -> Files {
        let name = format!("machine-tls-{test}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let authority = Signed::authority("Test Authority");
        authority.write(&directory, "authority");
        let files = Files { directory, authority };
        let names = &["localhost", "127.0.0.1"];
        files.certificate("server", &Wish { names, ..Wish::default() });
        files.certificate("client", &Wish { common_name: "app", ..Wish::default() });
        files
    }

    fn certificate(&self, name: &str, wish: &Wish<'_>) -> Signed {
        let signed = self.authority.sign(wish);
        signed.write(&self.directory, name);
        signed
    }

    fn at(&self, name: &str) -> Option<PathBuf> {
        Some(self.directory.join(name))
    }

    /// With the certificate of that name, believing the authority.
    fn common(&self, name: &str) -> Common {
        Common {
            certificate: self.at(&format!("{name}.crt")),
            key: self.at(&format!("{name}.key")),
            authorities: self.at("authority.crt"),
            ..Common::default()
        }
    }

    fn server(&self) -> Server {
        Server::load(&self.common("server"), Ask::Never).unwrap()
    }

    fn client(&self) -> Client {
        Client::load(&self.believing(), Verify::Host).unwrap()
    }

    fn believing(&self) -> Common {
        Common { authorities: self.at("authority.crt"), ..Common::default() }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Makes TLS of a pair; what each side says of it.
fn shake(
    (mut ours, mut theirs): (Stream, Stream),
    client: &Client,
    server: &Server,
    host: Option<&str>,
) -> (Result<Stream, String>, Result<Stream, String>) {
    let server = server.clone();
    let other = machine::spawn("server", move || {
        theirs.accept_tls(&server, soon()).map(|()| theirs).map_err(|error| error.to_string())
    });
    let shaken = ours.connect_tls(client, host, soon());
    let ours = shaken.map(|()| ours).map_err(|error| error.to_string());
    (ours, other.unwrap().join(soon()).unwrap())
}

/// Two ends of one connection with TLS; the client is the first.
fn tls_pair(files: &Files) -> (Stream, Stream) {
    let (ours, theirs) = shake(pair(), &files.client(), &files.server(), Some("localhost"));
    (ours.unwrap(), theirs.unwrap())
}

fn facts(stream: &Stream) -> Facts {
    stream.tls().expect("it speaks TLS")
}

fn echo(a: &Stream, b: &Stream) {
    a.write_all(b"ping", soon()).unwrap();
    let mut bytes = [0; 64];
    assert_eq!(b.read(&mut bytes, soon()).unwrap(), 4);
    b.write_all(b"pong!", soon()).unwrap();
    assert_eq!(a.read(&mut bytes, soon()).unwrap(), 5);
    assert_eq!(&bytes[..5], b"pong!");
}

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

/// Seen to fail when only the socket's bit counts as readable: the wait lasted to its deadline with
/// the bytes deciphered.
#[test]
fn bytes_that_openssl_has_already_are_readable() {
    on(0, || {
        let files = Files::new("pending");
        let (ours, theirs) = tls_pair(&files);
        ours.write_all(&[7; 10_000], soon()).unwrap();
        let mut bytes = [0; 100];
        for _ in 0..100 {
            let woken = wait_any(&[(&theirs, Interest::READ)], None, soon()).unwrap();
            assert_eq!(woken, Woken::Ready);
            assert_eq!(theirs.read(&mut bytes, soon()).unwrap(), 100);
        }
        assert_eq!(theirs.try_read(&mut bytes).unwrap(), Progress::Wait);
        assert!(!theirs.is_readable());
        echo(&ours, &theirs);
    });
}

#[test]
fn what_comes_with_the_handshake_is_not_lost() {
    on(0, || {
        let files = Files::new("early");
        let (client, server) = (files.client(), files.server());
        for _ in 0..20 {
            let (mut ours, theirs) = pair();
            let server = server.clone();
            let other = machine::spawn("server", move || {
                let mut theirs = theirs;
                theirs.accept_tls(&server, soon()).unwrap();
                let mut bytes = [0; 64];
                let n = theirs.read(&mut bytes, soon()).unwrap();
                bytes[..n].to_vec()
            });
            // With TLS 1.3 this goes right behind our last message, often in one segment.
            ours.connect_tls(&client, Some("localhost"), soon()).unwrap();
            ours.write_all(b"startup", soon()).unwrap();
            assert_eq!(other.unwrap().join(soon()).unwrap(), b"startup");
        }
    });
}

const FLOOD_BYTES: usize = 10 * 1024 * 1024;

/// Writes and reads at once; what was read, as a sum.
fn flood(stream: &Stream, seed: u8) -> u64 {
    let chunk: Vec<u8> = (0..65_536u32).map(|i| (i % 251) as u8 ^ seed).collect();
    let (mut sum, mut read, mut written, mut ended) = (0u64, 0usize, 0, false);
    let mut buffer = Buffer::lease();
    while !ended || written < FLOOD_BYTES {
        if written < FLOOD_BYTES {
            let end = chunk.len().min(written % chunk.len() + FLOOD_BYTES - written);
            if let Progress::Done(n) = stream.try_write(&chunk[written % chunk.len()..end]).unwrap()
            {
                written += n;
            }
            if written >= FLOOD_BYTES {
                stream.shutdown_write().unwrap();
            }
        }
        if ended {
            wait_any(&[(stream, Interest::WRITE)], None, soon()).unwrap();
            continue;
        }
        match stream.try_read_into(&mut buffer).unwrap() {
            Progress::Done(n) => {
                read += n;
                sum = buffer.data().iter().fold(sum, |sum, b| sum.wrapping_mul(31) + u64::from(*b));
                buffer.clear();
            }
            Progress::Wait => {
                let more = written < FLOOD_BYTES;
                let write = if more { Interest::WRITE } else { Interest::NONE };
                let wants = [(stream, Interest::READ | write)];
                assert_eq!(wait_any(&wants, None, soon()).unwrap(), Woken::Ready);
            }
            Progress::End => ended = true,
        }
    }
    assert_eq!(read, FLOOD_BYTES);
    sum
}

/// Both fill the sockets between them, so that each write leaves a part of a record behind.
#[test]
fn ten_megabytes_go_each_way_at_once() {
    for version in [Version::Tls1_2, Version::Tls1_3] {
        let files = Files::new(&format!("flood-{version:?}"));
        let mut common = files.believing();
        common.highest = Some(version);
        let client = Client::load(&common, Verify::Host).unwrap();
        let (listener, server) = (listen(), files.server());
        let at = listener.local();
        let theirs = start_on(1, move || {
            let mut stream = listener.accept(soon()).unwrap().0.unfold().unwrap();
            stream.accept_tls(&server, soon()).unwrap();
            flood(&stream, 1)
        });
        let ours = on(0, move || {
            let mut stream = connect(&at).unwrap();
            stream.connect_tls(&client, Some("localhost"), soon()).unwrap();
            let sum = flood(&stream, 2);
            assert_eq!(sum, flood_sum(1), "what the other wrote");
            sum
        });
        assert_eq!((theirs(), ours), (flood_sum(2), flood_sum(1)));
    }
}

fn flood_sum(seed: u8) -> u64 {
    let chunk: Vec<u8> = (0..65_536u32).map(|i| (i % 251) as u8 ^ seed).collect();
    let all = chunk.iter().cycle().take(FLOOD_BYTES);
    all.fold(0, |sum: u64, b| sum.wrapping_mul(31) + u64::from(*b))
}

/// As a plain socket: what was taken is on its way, whatever its owner does next. Seen to fail
/// without the flush in `absorb`, where only the next write sends what the last one left: the
/// reader waited for its last bytes for ever.
#[test]
fn what_a_write_took_arrives_without_another_write() {
    on(0, || {
        let files = Files::new("taken");
        let (ours, theirs) = tls_pair(&files);
        let mut taken = 0;
        while let Progress::Done(n) = ours.try_write(&[3; 50_000]).unwrap() {
            taken += n;
        }
        let reader = machine::spawn("reader", move || {
            let (mut buffer, mut read) = (Buffer::lease(), 0);
            while read < taken {
                read += theirs.read_into(&mut buffer, soon()).unwrap();
                buffer.clear();
            }
            theirs
        });
        let theirs = reader.unwrap().join(soon()).unwrap();
        echo(&ours, &theirs);
    });
}

#[test]
fn one_side_may_end_and_go_on_reading() {
    on(0, || {
        let files = Files::new("half");
        let (ours, theirs) = tls_pair(&files);
        ours.write_all(b"last words", soon()).unwrap();
        ours.shutdown_write().unwrap();
        let mut bytes = [0; 64];
        assert_eq!(theirs.read(&mut bytes, soon()).unwrap(), 10);
        assert_eq!(theirs.read(&mut bytes, soon()).unwrap(), 0, "the end");
        assert_eq!(theirs.read(&mut bytes, soon()).unwrap(), 0, "still the end");
        theirs.write_all(b"answer", soon()).unwrap();
        assert_eq!(ours.read(&mut bytes, soon()).unwrap(), 6);
        drop(theirs);
        assert_eq!(ours.read(&mut bytes, soon()).unwrap(), 0);
    });
}

/// Data, the end of TLS and the end of the socket may all be one event.
#[test]
fn data_and_end_in_one_event_are_not_lost() {
    on(0, || {
        let files = Files::new("one-event");
        let (client, server) = (files.client(), files.server());
        for _ in 0..30 {
            let (ours, theirs) = shake(pair(), &client, &server, Some("localhost"));
            let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
            ours.write_all(b"last words", soon()).unwrap();
            ours.shutdown_write().unwrap();
            until("all arrived", || theirs.is_hung_up());
            let mut bytes = [0; 64];
            assert_eq!(theirs.read(&mut bytes, soon()).unwrap(), 10);
            assert_eq!(theirs.read(&mut bytes, soon()).unwrap(), 0);
        }
    });
}

/// The end of our side comes behind what the kernel had no room for.
#[test]
fn the_end_waits_for_what_is_owed() {
    on(0, || {
        let files = Files::new("owed-end");
        let (ours, theirs) = tls_pair(&files);
        let mut taken = 0;
        while let Progress::Done(n) = ours.try_write(&[3; 50_000]).unwrap() {
            taken += n;
        }
        ours.shutdown_write().unwrap();
        let (mut buffer, mut read) = (Buffer::lease(), 0);
        loop {
            match theirs.read_into(&mut buffer, soon()).unwrap() {
                0 => break,
                n => read += n,
            }
            buffer.clear();
        }
        assert_eq!(read, taken);
    });
}

#[test]
fn a_wire_that_is_cut_is_no_end() {
    on(0, || {
        let files = Files::new("cut");
        let (server, listener) = (files.server(), listen());
        let at = listener.local().to_string();
        let client = std::thread::spawn(move || {
            let mut builder =
                openssl::ssl::SslConnector::builder(openssl::ssl::SslMethod::tls()).unwrap();
            builder.set_verify(openssl::ssl::SslVerifyMode::NONE);
            let plain = std::net::TcpStream::connect(at).unwrap();
            let other = plain.try_clone().unwrap();
            let ssl = builder.build().connect("localhost", plain).unwrap();
            other.shutdown(std::net::Shutdown::Write).unwrap(); // without a word of TLS
            ssl
        });
        let mut stream = listener.accept(soon()).unwrap().0.unfold().unwrap();
        stream.accept_tls(&server, soon()).unwrap();
        for _ in 0..2 {
            match stream.read(&mut [0; 64], soon()) {
                Err(Error::Io(error)) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
                }
                other => panic!("{other:?}"),
            }
        }
        drop(client.join().unwrap());
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

#[test]
fn a_handshake_ends_by_its_deadline_its_peer_or_a_cancel() {
    on(0, || {
        let files = Files::new("deadline");
        let server = files.server();
        let (ours, mut theirs) = pair();
        let brief = Deadline::after(Duration::from_millis(20));
        let error = theirs.accept_tls(&server, brief).unwrap_err();
        assert_eq!(error.to_string(), "TLS handshake: timed out");
        drop(ours);
        let (ours, mut theirs) = pair();
        ours.write_all(b"\x16\x03", soon()).unwrap();
        drop(ours);
        let error = theirs.accept_tls(&server, soon()).unwrap_err();
        assert_eq!(error.to_string(), "TLS handshake: the peer closed the connection");
        let (_ours, mut theirs) = pair();
        let other = machine::spawn("waits", move || {
            theirs.accept_tls(&server, Deadline::NEVER).unwrap_err().to_string()
        })
        .unwrap();
        machine::yield_now();
        other.cancel();
        assert_eq!(other.join(soon()).unwrap(), "TLS handshake: cancelled");
    });
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

#[derive(Default)]
struct Ear(AtomicU64);

impl Watcher for Ear {
    fn stirred(self: Arc<Self>, key: u64) {
        self.0.store(key, Ordering::Release);
    }
}

#[test]
fn a_parcel_takes_its_tls_along() {
    let files = Files::new("parcel");
    let (listener, server, client) = (listen(), files.server(), files.client());
    let at = listener.local();
    let far = start_on(1, move || {
        let mut stream = connect(&at).unwrap();
        stream.connect_tls(&client, Some("localhost"), soon()).unwrap();
        let mut bytes = [0; 64];
        for _ in 0..4 {
            stream.write_all(b"one two", soon()).unwrap();
            assert_eq!(stream.read(&mut bytes, soon()).unwrap(), 2);
        }
    });
    let mut parcel = on(0, move || {
        let mut stream = listener.accept(soon()).unwrap().0.unfold().unwrap();
        stream.accept_tls(&server, soon()).unwrap();
        stream.fold()
    });
    for turn in 0..4 {
        // Half of the record is read here and the other half elsewhere.
        parcel = on(turn % 2, move || {
            let stream = parcel.unfold().unwrap();
            assert_eq!(stream.read(&mut [0; 3], soon()).unwrap(), 3);
            stream.fold()
        });
        parcel = on((turn + 1) % 2, move || {
            let stream = parcel.unfold().unwrap();
            assert!(stream.is_readable(), "the other half is in it");
            let mut bytes = [0; 64];
            assert_eq!(stream.read(&mut bytes, soon()).unwrap(), 4);
            assert_eq!(&bytes[..4], b" two");
            stream.write_all(b"ok", soon()).unwrap();
            stream.fold()
        });
    }
    far();
}

#[test]
fn a_watcher_hears_of_a_folded_stream_with_tls() {
    on(0, || {
        let files = Files::new("watched");
        let (ours, theirs) = tls_pair(&files);
        let drained = theirs.try_read(&mut [0; 8]);
        assert_eq!(drained.unwrap(), Progress::Wait);
        let ear = Arc::new(Ear::default());
        let parcel = theirs.fold_watched(Arc::<Ear>::clone(&ear), 7);
        machine::yield_now();
        assert_eq!(ear.0.load(Ordering::Acquire), 0, "nobody said anything");
        ours.write_all(b"notice", soon()).unwrap();
        until("it was heard", || ear.0.load(Ordering::Acquire) == 7);
        let theirs = parcel.unfold().unwrap();
        assert_eq!(theirs.read(&mut [0; 64], soon()).unwrap(), 6);
    });
}

#[test]
fn a_key_log_has_the_secrets() {
    let files = Files::new("key-log");
    let path = files.at("keys.log").unwrap();
    let mut common = files.common("server");
    common.key_log = Some(KeyLog::open(&path).unwrap());
    let server = Server::load(&common, Ask::Never).unwrap();
    let client = files.client();
    on(0, move || {
        let (ours, theirs) = shake(pair(), &client, &server, Some("localhost"));
        echo(&ours.unwrap(), &theirs.unwrap());
    });
    let written = || std::fs::read_to_string(&path).unwrap();
    let has = |secret: &str| written().lines().any(|line| line.starts_with(secret));
    common::until_outside("the secrets", || has("SERVER_TRAFFIC_SECRET_0 "));
    assert!(has("CLIENT_TRAFFIC_SECRET_0 "), "{}", written());
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

/// Some of the signatures are made on other threads, and all of them are good.
#[test]
fn a_crowd_of_handshakes_is_served() {
    const CLIENTS: usize = 200;
    let files = Files::new("crowd");
    let wish = Wish { names: &["localhost"], rsa: true, ..Wish::default() };
    files.certificate("server", &wish);
    let (listener, server, client) = (listen(), files.server(), files.client());
    let at = listener.local();
    let served = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&served);
    let far = start_on(1, move || {
        for _ in 0..CLIENTS {
            let (at, client, counter): (Address, _, _) =
                (at.clone(), client.clone(), Arc::clone(&counter));
            machine::spawn("client", move || {
                let mut stream = connect(&at).unwrap();
                stream.connect_tls(&client, Some("localhost"), soon()).unwrap();
                assert_eq!(stream.read(&mut [0; 8], soon()).unwrap(), 5);
                counter.fetch_add(1, Ordering::AcqRel);
            })
            .unwrap();
        }
    });
    on(0, move || {
        for _ in 0..CLIENTS {
            let (parcel, _) = listener.accept(soon()).unwrap();
            let server = server.clone();
            machine::spawn("server", move || {
                let mut stream = parcel.unfold().unwrap();
                stream.accept_tls(&server, soon()).unwrap();
                stream.write_all(b"hello", soon()).unwrap();
                assert_eq!(stream.read(&mut [0; 8], soon()).unwrap(), 0);
            })
            .unwrap();
        }
    });
    far();
    common::until_outside("all were served", || served.load(Ordering::Acquire) == CLIENTS);
}
