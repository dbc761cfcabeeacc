//! `explain`: which rule a client meets, and why no other.

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use router::{Ask, Rules, Verdict};

use super::commands::Given;
use super::{MISUSED, verdict};

pub(super) fn explain(given: &Given) -> ExitCode {
    let client = match Client::read(given) {
        Ok(client) => client,
        Err(what) => {
            eprintln!("pooler explain: {what}");
            return ExitCode::from(MISUSED);
        }
    };
    let Some(loaded) = verdict::load(Path::new(&given.operand)) else {
        return ExitCode::FAILURE;
    };
    let rules = Rules::new(&loaded.config);
    let verdicts = rules.explain(&client.ask());
    println!("{client}");
    for (number, (rule, verdict)) in verdicts.iter().enumerate() {
        let place = format!("{}:{}", rule.file, rule.line);
        println!("{:>4}. {rule} ({place}): {verdict}", number + 1);
    }
    match verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Matched) {
        true => ExitCode::SUCCESS,
        false => {
            println!("no rule is for this client: it is refused");
            ExitCode::FAILURE
        }
    }
}

/// The client that is asked about.
struct Client {
    user: String,
    database: String,
    address: Option<IpAddr>,
    tls: bool,
}

impl Client {
    fn read(given: &Given) -> Result<Client, String> {
        let user = given.text("user").ok_or("--user is missing")?;
        let database = given.text("database").unwrap_or_else(|| user.clone());
        let address = match given.text("address").as_deref() {
            None => Some(IpAddr::from([127, 0, 0, 1])),
            Some("local") => None,
            Some(text) => {
                let parsed = text.parse();
                Some(parsed.map_err(|_| format!("--address: '{text}' is no address"))?)
            }
        };
        Ok(Client { user, database, address, tls: given.has("tls") })
    }

    fn ask(&self) -> Ask<'_> {
        Ask {
            database: &self.database,
            user: &self.user,
            address: self.address,
            asked_ssl: self.tls,
        }
    }
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "user '{}', database '{}', ", self.user, self.database)?;
        match self.address {
            Some(address) => write!(f, "from {address}, ")?,
            None => write!(f, "over a unix socket, ")?,
        }
        write!(f, "{}", if self.tls { "asks for TLS" } else { "does not ask for TLS" })
    }
}
