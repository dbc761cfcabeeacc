//! Certificates on disk for one test process: an authority, servers and clients that it signed, and
//! those that nobody should believe.

use super::certificates::{Signed, Wish};
use super::client::{Address, Client, Socket};
use super::process::{Watchdog, new_dir};
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use std::path::PathBuf;
use std::sync::OnceLock;

pub struct Papers {
    pub dir: PathBuf,
    pub authority: Signed,
    _watchdog: Watchdog,
}

impl Papers {
    /// `authority.crt`; signed by it `server` (localhost, 127.0.0.1), `elsewhere` (other.example),
    /// `expired`, `app` and `app_cert` (common names of clients); and `itself` and `strange`, which
    /// it did not sign.
    pub fn shared() -> &'static Papers {
        static SHARED: OnceLock<Papers> = OnceLock::new();
        SHARED.get_or_init(|| {
            let dir = new_dir("pooler-test-papers");
            let authority = Signed::authority("Test Authority");
            authority.write(&dir, "authority");
            let _watchdog = Watchdog::over_files(&dir);
            let papers = Papers { dir, authority, _watchdog };
            let here = &["localhost", "127.0.0.1"];
            let past = Wish { names: here, days: (-9, -2), ..Wish::default() };
            papers.sign("server", &Wish { names: here, ..Wish::default() });
            papers.sign("elsewhere", &Wish { names: &["other.example"], ..Wish::default() });
            papers.sign("expired", &past);
            for name in ["app", "app_cert"] {
                papers.sign(name, &Wish { common_name: name, ..Wish::default() });
            }
            let wish = Wish { names: here, common_name: "app", ..Wish::default() };
            Signed::itself(&wish).write(&papers.dir, "itself");
            let stranger = Signed::authority("Somebody Else");
            stranger.write(&papers.dir, "stranger");
            stranger.sign(&wish).write(&papers.dir, "strange");
            papers
        })
    }

    pub fn sign(&self, name: &str, wish: &Wish<'_>) -> Signed {
        let signed = self.authority.sign(wish);
        signed.write(&self.dir, name);
        signed
    }

    pub fn path(&self, file: &str) -> String {
        self.dir.join(file).display().to_string()
    }

    /// Options that show this certificate.
    pub fn shown(&self, name: &str) -> String {
        let (certificate, key) = (format!("{name}.crt"), format!("{name}.key"));
        let (certificate, key) = (self.path(&certificate), self.path(&key));
        format!("tls_cert_file \"{certificate}\" tls_key_file \"{key}\"")
    }

    /// An option that believes the authority.
    pub fn believed(&self) -> String {
        format!("tls_ca_file \"{}\"", self.path("authority.crt"))
    }
}

/// How a raw client begins TLS.
#[derive(Default)]
pub struct Greeting<'a> {
    /// From the first byte, without a request.
    pub direct: bool,
    /// With these protocols, in ALPN's writing.
    pub alpn: &'a [u8],
}

/// A raw client with TLS; None if the handshake fails.
pub fn secure_client(port: u16, greeting: &Greeting<'_>) -> Option<Client> {
    secure_client_behind(b"", port, greeting)
}

/// Likewise, behind what a proxy sends first.
pub fn secure_client_behind(header: &[u8], port: u16, greeting: &Greeting<'_>) -> Option<Client> {
    use std::io::{Read, Write};
    let mut builder = SslConnector::builder(SslMethod::tls()).unwrap();
    builder.set_verify(SslVerifyMode::NONE);
    if !greeting.alpn.is_empty() {
        builder.set_alpn_protos(greeting.alpn).unwrap();
    }
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
    stream.write_all(header).unwrap();
    if !greeting.direct {
        stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
        let mut answer = [0];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"S");
    }
    let mut configured = builder.build().configure().unwrap();
    configured.set_verify_hostname(false);
    let ssl = configured.connect("localhost", stream).ok()?;
    Some(Client::over(Socket::Tls(Box::new(ssl)), Address::Tcp(port)))
}
