//! `log_syslog_*`: where syslog is and what it is told about us.

use std::fmt;
use std::path::PathBuf;

/// What kind of program we are to syslog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyslogFacility {
    name: &'static str,
    code: u8,
}

/// How a line is dressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyslogFormat {
    /// As the C library does it.
    Rfc3164,
    /// With a full time, the host and our process id.
    Rfc5424,
}

/// Where syslog is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogTarget {
    /// A unix datagram socket.
    Path(PathBuf),
    /// `host:port`.
    Udp(String),
}

/// Odyssey's names and syslog's numbers.
const FACILITIES: [(&str, u8); 10] = [
    ("daemon", 3),
    ("user", 1),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

impl SyslogFacility {
    /// By its name, in letters of any case.
    pub fn parse(text: &str) -> Option<Self> {
        let found = FACILITIES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        found.map(|&(name, code)| Self { name, code })
    }

    /// The number in a message's priority, before the severity is added.
    pub fn code(self) -> u8 {
        self.code
    }
}

/// `daemon`.
impl Default for SyslogFacility {
    fn default() -> Self {
        let (name, code) = FACILITIES[0];
        Self { name, code }
    }
}

impl SyslogTarget {
    /// `/path/of/socket` or `udp:host:port`.
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with('/') {
            return Some(Self::Path(text.into()));
        }
        let address = text.strip_prefix("udp:")?;
        let (host, port) = address.rsplit_once(':')?;
        let is_right = !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
        is_right.then(|| Self::Udp(address.to_owned()))
    }
}

impl fmt::Display for SyslogFacility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// As it is written in a file.
impl fmt::Display for SyslogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Udp(address) => write!(f, "udp:{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_paths_or_udp_addresses() {
        for text in ["/dev/log", "udp:localhost:514", "udp:[::1]:514"] {
            assert_eq!(SyslogTarget::parse(text).map(|it| it.to_string()).as_deref(), Some(text));
        }
        for text in ["", "dev/log", "udp:", "udp:host", "udp::514", "udp:host:0", "udp:host:x"] {
            assert_eq!(SyslogTarget::parse(text), None, "{text}");
        }
    }
}
