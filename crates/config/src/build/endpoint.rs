//! The list of hosts of a storage: `[tcp://|unix://]host[:port][:zone]`, separated by commas.

use std::path::PathBuf;

use crate::model::Endpoint;

const ENDPOINTS_MAX: usize = 128; // these three are Odyssey's
const LIST_BYTES_MAX: usize = 4095;
const ZONE_BYTES_MAX: usize = 15;

/// Why a list is no list of endpoints.
#[derive(Debug, PartialEq)]
pub(super) enum Fault {
    Syntax,
    /// Neither this host nor the storage has a port.
    NoPort(String),
}

/// `port` is the one for hosts without their own.
pub(super) fn parse(list: &str, port: Option<u16>) -> Result<Vec<Endpoint>, Fault> {
    let endpoints: Vec<&str> = list.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
    if endpoints.is_empty() || endpoints.len() > ENDPOINTS_MAX || list.len() > LIST_BYTES_MAX {
        return Err(Fault::Syntax);
    }
    endpoints.into_iter().map(|endpoint| one(endpoint, port)).collect()
}

fn one(endpoint: &str, default_port: Option<u16>) -> Result<Endpoint, Fault> {
    let (is_unix, address) = match endpoint.strip_prefix("unix://") {
        Some(path) => (true, path),
        None => (false, endpoint.strip_prefix("tcp://").unwrap_or(endpoint)),
    };
    let (host, rest) = match address.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').ok_or(Fault::Syntax)?,
        None => address.split_at(address.find(':').unwrap_or(address.len())),
    };
    if host.is_empty() {
        return Err(Fault::Syntax);
    }
    let port = suffixes(rest)?;
    if is_unix {
        return Ok(Endpoint::Unix { path: PathBuf::from(host) });
    }
    match port.or(default_port) {
        Some(port) => Ok(Endpoint::Tcp { host: host.to_owned(), port }),
        None => Err(Fault::NoPort(host.to_owned())),
    }
}

/// A port and a zone behind colons, both optional, in either order. The zone is checked and
/// forgotten.
fn suffixes(rest: &str) -> Result<Option<u16>, Fault> {
    let Some(rest) = rest.strip_prefix(':') else {
        return if rest.is_empty() { Ok(None) } else { Err(Fault::Syntax) };
    };
    let mut port = None;
    let mut zone = None;
    for token in rest.split(':') {
        let is_port = token.starts_with(|first: char| first.is_ascii_digit());
        let known = if is_port { port.is_some() } else { zone.is_some() };
        if known || token.is_empty() {
            return Err(Fault::Syntax);
        }
        if is_port {
            let number: u16 = token.parse().map_err(|_| Fault::Syntax)?;
            port = Some(number).filter(|number| *number > 0);
            port.ok_or(Fault::Syntax)?;
        } else if token.len() > ZONE_BYTES_MAX {
            return Err(Fault::Syntax);
        } else {
            zone = Some(token);
        }
    }
    Ok(port)
}

#[cfg(test)]
mod tests {
    use super::parse;

    /// With 5432 for hosts without a port; endpoints are separated by blanks.
    #[track_caller]
    fn check(list: &str, expected: &str) {
        let said = match parse(list, Some(5432)) {
            Ok(endpoints) => {
                endpoints.iter().map(|it| it.to_string()).collect::<Vec<_>>().join(" ")
            }
            Err(fault) => format!("{fault:?}"),
        };
        assert_eq!(said, expected, "{list}");
    }

    #[test]
    fn lists_of_hosts() {
        check("db", "db:5432");
        check("db:6000", "db:6000");
        check("db:6000:zone", "db:6000");
        check("db:zone:6000", "db:6000");
        check("db:zone", "db:5432");
        check("tcp://db:1,[::1]:2, [fe80::1]:zone", "db:1 [::1]:2 [fe80::1]:5432");
        check("[db]", "db:5432");
        check("unix:///run/.s.PGSQL.5432", "/run/.s.PGSQL.5432");
        check("unix:///run/s:zone,db", "/run/s db:5432");
        check("a,,b,", "a:5432 b:5432");
        for wrong in [
            "",
            ",",
            ":1",
            "db:",
            "db:1:2",
            "db:a:b",
            "db:0",
            "db:65536",
            "db:1x",
            "[::1",
            "[]:1",
            "[a]b",
            "db:a-zone-of-sixteen",
            "tcp://",
        ] {
            check(wrong, "Syntax");
        }
        check(&"a,".repeat(129), "Syntax");
        check(&"a".repeat(4096), "Syntax");
    }

    #[test]
    fn somebody_has_to_name_the_port() {
        assert_eq!(parse("db", None), Err(super::Fault::NoPort("db".to_owned())));
        assert!(parse("db:1", None).is_ok());
    }
}
