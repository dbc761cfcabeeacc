//! What the tests of TLS share: an authority with its files, and streams that speak TLS.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::path::PathBuf;

use machine::Stream;
use machine::tls::{Ask, Client, Common, Facts, Server, Verify};

use crate::certificates::{Signed, Wish};
use crate::common::{pair, soon};

/// A directory of this test's own, with an authority, a server's certificate for `localhost` and
/// 127.0.0.1, and a client's.
pub struct Files {
    pub directory: PathBuf,
    pub authority: Signed,
}

impl Files {
    pub fn new(test: &str) -> Files {
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

    pub fn certificate(&self, name: &str, wish: &Wish<'_>) -> Signed {
        let signed = self.authority.sign(wish);
        signed.write(&self.directory, name);
        signed
    }

    pub fn at(&self, name: &str) -> Option<PathBuf> {
        Some(self.directory.join(name))
    }

    /// With the certificate of that name, believing the authority.
    pub fn common(&self, name: &str) -> Common {
        Common {
            certificate: self.at(&format!("{name}.crt")),
            key: self.at(&format!("{name}.key")),
            authorities: self.at("authority.crt"),
            ..Common::default()
        }
    }

    pub fn server(&self) -> Server {
        Server::load(&self.common("server"), Ask::Never).unwrap()
    }

    pub fn client(&self) -> Client {
        Client::load(&self.believing(), Verify::Host).unwrap()
    }

    pub fn believing(&self) -> Common {
        Common { authorities: self.at("authority.crt"), ..Common::default() }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Makes TLS of a pair; what each side says of it.
pub fn shake(
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
pub fn tls_pair(files: &Files) -> (Stream, Stream) {
    let (ours, theirs) = shake(pair(), &files.client(), &files.server(), Some("localhost"));
    (ours.unwrap(), theirs.unwrap())
}

pub fn facts(stream: &Stream) -> Facts {
    stream.tls().expect("it speaks TLS")
}

pub fn echo(a: &Stream, b: &Stream) {
    a.write_all(b"ping", soon()).unwrap();
    let mut bytes = [0; 64];
    assert_eq!(b.read(&mut bytes, soon()).unwrap(), 4);
    b.write_all(b"pong!", soon()).unwrap();
    assert_eq!(a.read(&mut bytes, soon()).unwrap(), 5);
    assert_eq!(&bytes[..5], b"pong!");
}
