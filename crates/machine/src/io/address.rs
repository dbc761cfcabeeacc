//! Where a socket is: TCP or a path. It resolves nothing; names are for `resolve`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// The address of one end of a connection, or of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A Unix socket; the path is empty for a client's nameless end.
    Unix(PathBuf),
}

impl Address {
    /// The IP address, of version 4 where one of version 6 only carries it; none of a Unix socket.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Address::Tcp(address) => Some(address.ip().to_canonical()),
            Address::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Tcp(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) if path.as_os_str().is_empty() => f.write_str("<unix socket>"),
            Address::Unix(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ip_address_of_version_4_is_one_however_it_came() {
        let ip = |text: &str| Address::Tcp(text.parse().unwrap()).ip();
        assert_eq!(ip("[::ffff:1.2.3.4]:5"), ip("1.2.3.4:5"));
        assert_eq!(ip("[::1]:5"), "::1".parse().ok());
        assert_eq!(Address::Unix(PathBuf::new()).ip(), None);
    }

    #[test]
    fn addresses_read_as_operators_write_them() {
        let shown = |address: Address| address.to_string();
        assert_eq!(shown(Address::Tcp("1.2.3.4:5".parse().unwrap())), "1.2.3.4:5");
        assert_eq!(shown(Address::Tcp("[::1]:5".parse().unwrap())), "[::1]:5");
        assert_eq!(shown(Address::Unix("/tmp/.s.PGSQL.6432".into())), "/tmp/.s.PGSQL.6432");
        assert_eq!(shown(Address::Unix(PathBuf::new())), "<unix socket>");
    }
}
