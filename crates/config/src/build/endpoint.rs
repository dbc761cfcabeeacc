//! The list of hosts of a storage: `[tcp://|unix://]host[:port][:zone]`, separated by commas.

use std::path::PathBuf;

use crate::model::Endpoint;

const ENDPOINTS_MAX: usize = 128; // these three are Odyssey's
const LIST_BYTES_MAX: usize = 4095;
const ZONE_BYTES_MAX: usize = 15;

/// What a list names.
#[derive(Debug)]
pub(super) struct List {
    /// At least one.
    pub endpoints: Vec<Endpoint>,
    /// The availability zone of each; empty where none is named.
    pub zones: Vec<String>,
    /// Whether one of them relies on the port of the storage.
    pub lacks_port: bool,
}

/// None if this is no list of hosts. `port` is the one for hosts without their own.
pub(super) fn parse(list: &str, port: u16) -> Option<List> {
    let items: Vec<&str> = list.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
    if items.is_empty() || items.len() > ENDPOINTS_MAX || list.len() > LIST_BYTES_MAX {
        return None;
    }
    let mut parsed = List { endpoints: Vec::new(), zones: Vec::new(), lacks_port: false };
    for item in items {
        let (is_unix, address) = match item.strip_prefix("unix://") {
            Some(path) => (true, path),
            None => (false, item.strip_prefix("tcp://").unwrap_or(item)),
        };
        let (host, rest) = match address.strip_prefix('[') {
            Some(bracketed) => bracketed.split_once(']')?,
            None => address.split_at(address.find(':').unwrap_or(address.len())),
        };
        let (own_port, zone) = suffixes(rest)?;
        if host.is_empty() {
            return None;
        }
        parsed.zones.push(zone.to_owned());
        if is_unix {
            parsed.endpoints.push(Endpoint::Unix { path: PathBuf::from(host) });
            continue;
        }
        parsed.lacks_port |= own_port.is_none();
        let port = own_port.unwrap_or(port);
        parsed.endpoints.push(Endpoint::Tcp { host: host.to_owned(), port });
    }
    Some(parsed)
}

/// A port and a zone behind colons, both optional, in either order; None if it is something else.
fn suffixes(rest: &str) -> Option<(Option<u16>, &str)> {
    if rest.is_empty() {
        return Some((None, ""));
    }
    let mut port = None;
    let mut zone = None;
    for token in rest.strip_prefix(':')?.split(':') {
        let is_port = token.starts_with(|first: char| first.is_ascii_digit());
        let seen = if is_port { port.is_some() } else { zone.is_some() };
        if seen || token.is_empty() || token.len() > ZONE_BYTES_MAX {
            return None;
        }
        if is_port {
            port = Some(token.parse().ok().filter(|port: &u16| *port > 0)?);
        } else {
            zone = Some(token);
        }
    }
    Some((port, zone.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::parse;

    /// With 5432 for hosts without a port; endpoints are separated by blanks.
    #[track_caller]
    fn check(list: &str, expected: &str) {
        let said = parse(list, 5432).map_or("no list".to_owned(), |list| {
            list.endpoints.iter().map(|it| it.to_string()).collect::<Vec<_>>().join(" ")
        });
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
            check(wrong, "no list");
        }
        check(&"a,".repeat(129), "no list");
        check(&"a".repeat(4096), "no list");
    }

    #[test]
    fn somebody_has_to_name_the_port() {
        assert!(parse("a:1,b", 5432).unwrap().lacks_port);
        assert!(!parse("a:1,unix:///s", 5432).unwrap().lacks_port);
    }
}
