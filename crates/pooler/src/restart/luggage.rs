//! Luggage: what a client takes along into another process, as bytes. Numbers are big-endian, what
//! has a length has it in front, in four bytes. There is no field that may be missing: whoever
//! changes this changes the version of the frames.

use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use config::Secret;
use machine::Address;
use wire::auth::scram::ClientKeys;

use crate::backend::Credentials;

/// Names and values, texts and names: more than that is no luggage of ours.
const PAIRS_MAX: u32 = 1 << 20;

/// Two strings of bytes.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Everything of a client but its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Luggage {
    /// Its id, as a number.
    pub id: u64,
    /// As it said in its startup packet.
    pub user: String,
    /// As it said in its startup packet.
    pub database: String,
    /// Where it came from.
    pub address: Address,
    /// The cancel key in its hands.
    pub key: [u8; 8],
    /// How long it has been here, in milliseconds.
    pub age_ms: u64,
    /// Which of several servers its listener or rule wants, by the number of the word.
    pub attrs_by_default: u8,
    /// Which it wants itself, by the number of the word plus one; 0 for none.
    pub attrs_own: u8,
    /// Its servers may lag by less than so many seconds; 0: no matter.
    pub lag_max_s: u32,
    /// By what its listener chooses among hosts, in a word.
    pub method: Option<String>,
    /// The storages of its listener; empty: it has none of its own.
    pub storages: Vec<String>,
    /// What it asked for when it came.
    pub startup: Vec<Pair>,
    /// What it wants now.
    pub wanted: Vec<Pair>,
    /// What it was told of its server's parameters.
    pub told: Vec<Pair>,
    /// Its prepared statements: names and bodies.
    pub names: Vec<Pair>,
    /// Its unnamed statement.
    pub unnamed: Option<Unnamed>,
    /// Behind each `application_name` of its own.
    pub address_suffix: Option<String>,
    /// Who it is by the word of a daemon.
    pub external: Option<String>,
    /// What opens servers for clients of its name, where one of them had to show it. It goes from
    /// one of our processes to its child over a pair of sockets that nobody else can open.
    pub shown: Option<Arc<Credentials>>,
    /// What it has said and nobody has looked at.
    pub unread: Vec<u8>,
}

/// A client's unnamed statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unnamed {
    /// Of its Parse, behind the name; empty if it is too long to be kept.
    pub body: Vec<u8>,
    /// How many it made before.
    pub version: u32,
    /// It may change settings.
    pub remarkable: bool,
}

impl Luggage {
    /// Packs everything.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        out.extend(self.id.to_be_bytes());
        put(&mut out, self.user.as_bytes());
        put(&mut out, self.database.as_bytes());
        match &self.address {
            Address::Tcp(address) => put(&mut out, format!("t{address}").as_bytes()),
            Address::Unix(path) => {
                put(&mut out, &[b"u", path.as_os_str().as_bytes()].concat());
            }
        }
        out.extend(self.key);
        out.extend(self.age_ms.to_be_bytes());
        out.extend([self.attrs_by_default, self.attrs_own]);
        out.extend(self.lag_max_s.to_be_bytes());
        put_optional(&mut out, self.method.as_deref());
        let count = u32::try_from(self.storages.len()).expect("a file's names are bounded");
        out.extend(count.to_be_bytes());
        self.storages.iter().for_each(|name| put(&mut out, name.as_bytes()));
        for pairs in [&self.startup, &self.wanted, &self.told, &self.names] {
            let count = u32::try_from(pairs.len()).expect("a client's things are bounded");
            out.extend(count.to_be_bytes());
            for (name, value) in pairs {
                put(&mut out, name);
                put(&mut out, value);
            }
        }
        out.push(u8::from(self.unnamed.is_some()));
        if let Some(Unnamed { body, version, remarkable }) = &self.unnamed {
            put(&mut out, body);
            out.extend(version.to_be_bytes());
            out.push(u8::from(*remarkable));
        }
        put_optional(&mut out, self.address_suffix.as_deref());
        put_optional(&mut out, self.external.as_deref());
        out.push(u8::from(self.shown.is_some()));
        if let Some(shown) = &self.shown {
            put_shown(&mut out, shown);
        }
        put(&mut out, &self.unread);
        out
    }

    /// Unpacks it; None if it is not all there, or more than all.
    pub(super) fn parse(bytes: &[u8]) -> Option<Luggage> {
        let mut reader = Reader::new(bytes);
        let luggage = Luggage {
            id: reader.u64()?,
            user: reader.text()?,
            database: reader.text()?,
            address: reader.address()?,
            key: reader.array()?,
            age_ms: reader.u64()?,
            attrs_by_default: reader.u8()?,
            attrs_own: reader.u8()?,
            lag_max_s: reader.array().map(u32::from_be_bytes)?,
            method: reader.optional_text()?,
            storages: reader.texts()?,
            startup: reader.pairs()?,
            wanted: reader.pairs()?,
            told: reader.pairs()?,
            names: reader.pairs()?,
            unnamed: reader.unnamed()?,
            address_suffix: reader.optional_text()?,
            external: reader.optional_text()?,
            shown: reader.shown()?,
            unread: reader.bytes()?.to_vec(),
        };
        reader.rest().is_empty().then_some(luggage)
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("a client's things are bounded");
    out.extend(length.to_be_bytes());
    out.extend(bytes);
}

fn put_optional(out: &mut Vec<u8>, bytes: Option<impl AsRef<[u8]>>) {
    out.push(u8::from(bytes.is_some()));
    if let Some(bytes) = bytes {
        put(out, bytes.as_ref());
    }
}

fn put_shown(out: &mut Vec<u8>, Credentials { told, keys, password }: &Credentials) {
    put_optional(out, told.as_ref().map(Secret::reveal));
    put_optional(out, keys.as_ref().map(ClientKeys::to_bytes));
    put_optional(out, password.as_ref().map(Secret::reveal));
}

/// Reads bytes from front to back; None where there are too few.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn address(&mut self) -> Option<Address> {
        match self.bytes()?.split_first()? {
            (b't', text) => {
                let address: SocketAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
                Some(Address::Tcp(address))
            }
            (b'u', path) => Some(Address::Unix(PathBuf::from(std::ffi::OsStr::from_bytes(path)))),
            _ => None,
        }
    }

    fn pairs(&mut self) -> Option<Vec<Pair>> {
        let count = self.u32().filter(|count| *count <= PAIRS_MAX)?;
        // What a broken count would ask for is not taken from memory beforehand.
        (0..count).map(|_| Some((self.bytes()?.to_vec(), self.bytes()?.to_vec()))).collect()
    }

    fn texts(&mut self) -> Option<Vec<String>> {
        let count = self.u32().filter(|count| *count <= PAIRS_MAX)?;
        (0..count).map(|_| self.text()).collect()
    }

    fn optional(&mut self) -> Option<Option<&'a [u8]>> {
        if self.u8()? == 0 { Some(None) } else { self.bytes().map(Some) }
    }

    fn optional_text(&mut self) -> Option<Option<String>> {
        match self.optional()? {
            Some(bytes) => String::from_utf8(bytes.to_vec()).ok().map(Some),
            None => Some(None),
        }
    }

    fn shown(&mut self) -> Option<Option<Arc<Credentials>>> {
        if self.u8()? == 0 {
            return Some(None);
        }
        let told = self.optional_text()?.map(Secret::new);
        let keys = match self.optional()? {
            Some(bytes) => Some(ClientKeys::from_bytes(bytes)?),
            None => None,
        };
        let password = self.optional_text()?.map(Secret::new);
        Some(Some(Arc::new(Credentials { told, keys, password })))
    }

    fn unnamed(&mut self) -> Option<Option<Unnamed>> {
        if self.u8()? == 0 {
            return Some(None);
        }
        let body = self.bytes()?.to_vec();
        Some(Some(Unnamed { body, version: self.u32()?, remarkable: self.u8()? != 0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        vec(any::<u8>(), 0..20)
    }

    fn pairs() -> impl Strategy<Value = Vec<Pair>> {
        vec((bytes(), bytes()), 0..5)
    }

    fn address() -> impl Strategy<Value = Address> {
        let tcp = (any::<[u8; 16]>(), any::<u16>(), any::<bool>()).prop_map(|(ip, port, four)| {
            let ip = match four {
                true => std::net::Ipv4Addr::new(ip[0], ip[1], ip[2], ip[3]).into(),
                false => std::net::IpAddr::from(ip),
            };
            Address::Tcp(SocketAddr::new(ip, port))
        });
        prop_oneof![tcp, "[a-z/.]{0,20}".prop_map(|path| Address::Unix(path.into()))]
    }

    prop_compose! {
        fn unnamed()(body in bytes(), version: u32, remarkable: bool) -> Unnamed {
            Unnamed { body, version, remarkable }
        }
    }

    prop_compose! {
        fn shown()(
            [told, password] in any::<[Option<String>; 2]>(),
            keys in proptest::option::of(vec(any::<u8>(), 68..90)),
        ) -> Arc<Credentials> {
            let keys = keys.map(|bytes| ClientKeys::from_bytes(&bytes).unwrap());
            let (told, password) = (told.map(Secret::new), password.map(Secret::new));
            Arc::new(Credentials { told, keys, password })
        }
    }

    prop_compose! {
        fn luggage()(
            (id, key, age_ms) in any::<(u64, [u8; 8], u64)>(),
            (attrs_by_default, attrs_own, lag_max_s) in any::<(u8, u8, u32)>(),
            (user, database) in any::<(String, String)>(),
            address in address(),
            [startup, wanted, told, names] in [pairs(), pairs(), pairs(), pairs()],
            unnamed in proptest::option::of(unnamed()),
            [address_suffix, method, external] in any::<[Option<String>; 3]>(),
            storages in vec(any::<String>(), 0..3),
            shown in proptest::option::of(shown()),
            unread in bytes(),
        ) -> Luggage {
            Luggage {
                id, user, database, address, key, age_ms, attrs_by_default, attrs_own,
                lag_max_s, method, storages, startup, wanted, told, names, unnamed,
                address_suffix, external, shown, unread,
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Against a format that forgets a field, or takes a broken one for whole.
        #[test]
        fn luggage_comes_out_as_it_went_in(luggage in luggage(), cut in any::<usize>()) {
            let bytes = luggage.bytes();
            prop_assert_eq!(Luggage::parse(&bytes), Some(luggage));
            prop_assert_eq!(Luggage::parse(&bytes[..cut % bytes.len()]), None);
            let longer = [&bytes[..], &[0]].concat();
            prop_assert_eq!(Luggage::parse(&longer), None);
        }

        #[test]
        fn what_opens_servers_is_not_printed(password in "[a-z]{9,20}") {
            let secret = Some(Secret::new(&*password));
            let shown = Credentials { told: secret.clone(), keys: None, password: secret };
            let told = format!("{shown:?}");
            prop_assert!(!told.contains(&password), "{}", told);
        }

        #[test]
        fn nonsense_is_refused_and_nothing_else_happens(bytes in vec(any::<u8>(), 0..300)) {
            let _ = Luggage::parse(&bytes);
        }
    }
}
