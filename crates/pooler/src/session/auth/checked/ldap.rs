//! LDAP: the password is right if the user's entry can be bound to with it. Which entry that is
//! comes of the user's name alone, or of a search. What else stands in it is read as nobody in
//! particular or as `ldapbinddn`, never as the user.

mod filter;

use std::fs;
use std::time::{Duration, Instant};

use config::{LdapCover, LdapEndpoint, LdapEntry};
use ldap3::{LdapConn, LdapConnSettings, Scope, SearchEntry, SearchOptions};
use machine::Deadline;
use native_tls::{Certificate, TlsConnector};

use super::Question;

/// For a connection, and for each answer. Odyssey's.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// One is what we want; two are enough to know that it is not the only one.
const ENTRIES_MAX: i32 = 2;
/// What asks for no attribute (RFC 4511, 4.5.1.8).
const NO_ATTRIBUTE: &str = "1.1";
/// What each entry fits.
const ANY_ENTRY: &str = "(objectClass=*)";

/// Blocks. Err says why not, to the operator.
pub(super) fn knows(endpoint: &LdapEndpoint, question: &Question) -> Result<(), String> {
    let mut server = connect(endpoint, question.deadline)?;
    let known = bind(&mut server, endpoint, question);
    let _ = server.unbind(); // the socket closes anyway
    known
}

fn connect(endpoint: &LdapEndpoint, deadline: Deadline) -> Result<LdapConn, String> {
    let (scheme, start_tls) = match endpoint.cover {
        LdapCover::Plain => ("ldap", false),
        LdapCover::Tls => ("ldaps", false),
        LdapCover::StartTls => ("ldap", true),
    };
    let mut settings =
        LdapConnSettings::new().set_conn_timeout(patience(deadline)?).set_starttls(start_tls);
    if endpoint.cover != LdapCover::Plain
        && let Some(path) = &endpoint.ca_file
    {
        let shown = path.display();
        let pem = fs::read(path).map_err(|error| format!("cannot read '{shown}': {error}"))?;
        let trusting = trusting(&pem).map_err(|error| format!("'{shown}': {error}"))?;
        settings = settings.set_connector(trusting);
    }
    let host = match endpoint.server.contains(':') {
        true => format!("[{}]", endpoint.server.trim_matches(['[', ']'])),
        false => endpoint.server.clone(),
    };
    let url = format!("{scheme}://{host}:{}", endpoint.port);
    LdapConn::with_settings(settings, &url).map_err(|error| format!("cannot connect: {error}"))
}

/// Trusts these authorities and no others.
fn trusting(pem: &[u8]) -> Result<TlsConnector, native_tls::Error> {
    let mut builder = TlsConnector::builder();
    builder.disable_built_in_roots(true);
    for authority in Certificate::stack_from_pem(pem)? {
        builder.add_root_certificate(authority);
    }
    builder.build()
}

/// The values of an attribute of the user's entry. Blocks. Err says why there are none, to the
/// operator.
pub(super) fn values(
    endpoint: &LdapEndpoint,
    attribute: &str,
    user: &str,
    deadline: Deadline,
) -> Result<Vec<String>, String> {
    let mut server = connect(endpoint, deadline)?;
    let entry = bind_to_search(&mut server, endpoint, deadline).and_then(|()| {
        search(&mut server, &Sought::of(&endpoint.entry, user), attribute, deadline)
    });
    let _ = server.unbind();
    // Servers write the name as their schema does.
    let is_it = |name: &str| name.eq_ignore_ascii_case(attribute);
    let mut attributes = entry?.attrs.into_iter();
    Ok(attributes.find(|(name, _)| is_it(name)).map(|(_, values)| values).unwrap_or_default())
}

fn bind(server: &mut LdapConn, endpoint: &LdapEndpoint, question: &Question) -> Result<(), String> {
    let Question { user, password, deadline, .. } = question;
    let dn = match Sought::of(&endpoint.entry, user) {
        Sought::Named(dn) => dn,
        below @ Sought::Below { .. } => {
            bind_to_search(server, endpoint, *deadline)?;
            search(server, &below, NO_ATTRIBUTE, *deadline)?.dn
        }
    };
    let bound = server.with_timeout(patience(*deadline)?).simple_bind(&dn, password);
    bound.and_then(|it| it.success()).map(|_| ()).map_err(|error| error.to_string())
}

/// As who searches.
fn bind_to_search(
    server: &mut LdapConn,
    endpoint: &LdapEndpoint,
    deadline: Deadline,
) -> Result<(), String> {
    let Some((dn, password)) = &endpoint.bind else { return Ok(()) };
    let bound = server.with_timeout(patience(deadline)?).simple_bind(dn, password.reveal());
    let bound = bound.and_then(|it| it.success());
    bound.map(|_| ()).map_err(|error| format!("ldapbinddn: {error}"))
}

/// The entry of a user.
enum Sought {
    /// It has this name.
    Named(String),
    /// It is the only one below a place that fits.
    Below { base: String, filter: String },
}

impl Sought {
    fn of(entry: &LdapEntry, user: &str) -> Sought {
        match entry {
            LdapEntry::Between { prefix, suffix } => {
                Sought::Named(filter::name_between(prefix, user, suffix))
            }
            LdapEntry::Search { base, attribute, filter } => {
                let filter = filter::filter_for(attribute, user, filter.as_deref());
                Sought::Below { base: base.clone(), filter }
            }
        }
    }
}

/// The only entry that fits, with that attribute of it.
fn search(
    server: &mut LdapConn,
    sought: &Sought,
    attribute: &str,
    deadline: Deadline,
) -> Result<SearchEntry, String> {
    let (base, scope, filter) = match sought {
        Sought::Named(dn) => (dn, Scope::Base, ANY_ENTRY),
        Sought::Below { base, filter } => (base, Scope::Subtree, filter.as_str()),
    };
    let seconds = i32::try_from(ANSWER_MAX.as_secs()).unwrap_or(i32::MAX);
    let options = SearchOptions::new().sizelimit(ENTRIES_MAX).timelimit(seconds);
    let server = server.with_search_options(options).with_timeout(patience(deadline)?);
    let found = server.search(base, scope, filter, [attribute]);
    let (entries, _) =
        found.and_then(ldap3::SearchResult::success).map_err(|error| format!("search: {error}"))?;
    let mut entries =
        entries.into_iter().filter(|entry| !entry.is_ref() && !entry.is_intermediate());
    match (entries.next(), entries.next()) {
        (Some(only), None) => Ok(SearchEntry::construct(only)),
        (None, _) => Err("no entry has this user".to_owned()),
        (Some(_), Some(_)) => Err("several entries have this user".to_owned()),
    }
}

/// What is left for the next answer.
fn patience(deadline: Deadline) -> Result<Duration, String> {
    let left = deadline.remaining(Instant::now()).unwrap_or(ANSWER_MAX).min(ANSWER_MAX);
    if left.is_zero() { Err("no time left".to_owned()) } else { Ok(left) }
}
