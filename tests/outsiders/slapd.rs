//! A real LDAP server in a directory and on ports of its own, with a few people in it.

use crate::support::process::{self, Watched, free_port, new_dir};
use crate::support::{PATIENCE, until};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

pub const ADMIN: &str = "cn=admin,dc=example,dc=org";
pub const ADMIN_PASSWORD: &str = "admin secret";

pub struct Slapd {
    pub port: u16,
    pub port_tls: u16,
    /// The authority that signed its certificate.
    pub ca: PathBuf,
    process: Watched,
}

/// Names and passwords; two of them share a mail address.
const PEOPLE: [(&str, &str, &str); 4] = [
    ("lea", "lea secret", "one@example.org"),
    ("leo", "leo secret", "both@example.org"),
    ("lou (x)", "lou secret", "both@example.org"),
    ("a*", "star secret", "star@example.org"),
];

/// What is said of some of them.
const GROUPS: [(&str, &str); 4] = [
    ("lea", "cn=localhost,ou=groups"),
    ("lea", "cn=localhost_postgres_ro,ou=groups"),
    ("lea", "cn=localhost_other_rw,ou=groups"),
    ("leo", "cn=elsewhere_postgres_rw,ou=groups"),
];

impl Slapd {
    pub fn start() -> Slapd {
        let dir = new_dir("slapd");
        let (port, port_tls) = (free_port(), free_port());
        std::fs::create_dir(dir.join("db")).unwrap();
        let ca = certificate(&dir);
        let shown = dir.display();
        let config = format!(
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
             include /etc/ldap/schema/inetorgperson.schema\n\
             pidfile {shown}/pid\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n\
             TLSCertificateFile {shown}/cert.pem\nTLSCertificateKeyFile {shown}/key.pem\n\
             database mdb\nsuffix \"dc=example,dc=org\"\nrootdn \"{ADMIN}\"\n\
             rootpw \"{ADMIN_PASSWORD}\"\ndirectory {shown}/db\n\
             access to attrs=userPassword by anonymous auth by * none\n\
             access to * by users read by * none\n"
        );
        let config = process::write(&dir, "slapd.conf", &config);
        let people = process::write(&dir, "people.ldif", &people());
        let mut load = Command::new("/usr/sbin/slapadd");
        let (good, _, err) = process::run(load.arg("-f").arg(&config).arg("-l").arg(people));
        assert!(good, "slapadd (scripts/setup test installs it): {err}");
        let mut command = Command::new("/usr/sbin/slapd");
        let addresses = format!("ldap://127.0.0.1:{port}/ ldaps://127.0.0.1:{port_tls}/");
        command.args(["-d", "0", "-h", &addresses, "-f"]).arg(&config);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Watched::spawn(&mut command, dir);
        until("slapd to listen", PATIENCE, || TcpStream::connect(("127.0.0.1", port_tls)).ok());
        Slapd { port, port_tls, ca, process }
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}

fn certificate(dir: &std::path::Path) -> PathBuf {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]);
    openssl.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]);
    let (key, certificate) = (dir.join("key.pem"), dir.join("cert.pem"));
    let (good, _, err) =
        process::run(openssl.arg("-keyout").arg(key).arg("-out").arg(&certificate));
    assert!(good, "{err}");
    certificate
}

fn people() -> String {
    let mut text = "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\n\
                    o: example\ndc: example\n\n"
        .to_owned();
    for (uid, password, mail) in PEOPLE {
        text += &format!(
            "dn: uid={uid},dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {uid}\n\
             sn: {uid}\nmail: {mail}\nuserPassword: {password}\n"
        );
        GROUPS.iter().filter(|(of, _)| *of == uid).for_each(|(_, value)| {
            text += &format!("description: {value}\n");
        });
        text.push('\n');
    }
    text
}
