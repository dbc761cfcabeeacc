//! LDAP: the password is right if the user's entry can be bound to with it. Which entry that is
//! comes of the user's name alone, or of a search.

use std::fs;
use std::time::{Duration, Instant};

use config::{LdapCover, LdapEndpoint, LdapEntry};
use ldap3::{
    LdapConn, LdapConnSettings, Scope, SearchEntry, SearchOptions, dn_escape, ldap_escape,
};
use machine::Deadline;
use native_tls::{Certificate, TlsConnector};

use super::Question;

/// For a connection, and for each answer. Odyssey's.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// One is what we want; two are enough to know that it is not the only one.
const ENTRIES_MAX: i32 = 2;
/// The attribute list that asks for none (RFC 4511, 4.5.1.8).
const NO_ATTRIBUTES: [&str; 1] = ["1.1"];

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

fn bind(server: &mut LdapConn, endpoint: &LdapEndpoint, question: &Question) -> Result<(), String> {
    let Question { user, password, deadline, .. } = question;
    let dn = match &endpoint.entry {
        LdapEntry::Between { prefix, suffix } => format!("{prefix}{}{suffix}", dn_escape(user)),
        LdapEntry::Search { base, attribute, filter } => {
            if let Some((dn, password)) = &endpoint.bind {
                let bound = server.with_timeout(patience(*deadline)?);
                let bound = bound.simple_bind(dn, password.reveal()).and_then(|it| it.success());
                bound.map_err(|error| format!("ldapbinddn: {error}"))?;
            }
            let filter = filter_for(attribute, user, filter.as_deref());
            search(server, base, &filter, *deadline)?
        }
    };
    let bound = server.with_timeout(patience(*deadline)?).simple_bind(&dn, password);
    bound.and_then(|it| it.success()).map(|_| ()).map_err(|error| error.to_string())
}

/// The name of the only entry that fits.
fn search(
    server: &mut LdapConn,
    base: &str,
    filter: &str,
    deadline: Deadline,
) -> Result<String, String> {
    let seconds = i32::try_from(ANSWER_MAX.as_secs()).unwrap_or(i32::MAX);
    let options = SearchOptions::new().sizelimit(ENTRIES_MAX).timelimit(seconds);
    let server = server.with_search_options(options).with_timeout(patience(deadline)?);
    let found = server.search(base, Scope::Subtree, filter, NO_ATTRIBUTES);
    let (entries, _) =
        found.and_then(ldap3::SearchResult::success).map_err(|error| format!("search: {error}"))?;
    let mut entries =
        entries.into_iter().filter(|entry| !entry.is_ref() && !entry.is_intermediate());
    match (entries.next(), entries.next()) {
        (Some(only), None) => Ok(SearchEntry::construct(only).dn),
        (None, _) => Err("no entry has this user".to_owned()),
        (Some(_), Some(_)) => Err("several entries have this user".to_owned()),
    }
}

/// Whatever the name holds, it is compared and never read as a filter (RFC 4515).
fn filter_for(attribute: &str, user: &str, further: Option<&str>) -> String {
    let user = ldap_escape(user);
    match further {
        None => format!("({attribute}={user})"),
        Some(further) => format!("(&({attribute}={user}){further})"),
    }
}

/// What is left for the next answer.
fn patience(deadline: Deadline) -> Result<Duration, String> {
    let left = deadline.remaining(Instant::now()).unwrap_or(ANSWER_MAX).min(ANSWER_MAX);
    if left.is_zero() { Err("no time left".to_owned()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_a_name() {
        let check = |user, expected: &str| assert_eq!(filter_for("uid", user, None), expected);
        check("joe", "(uid=joe)");
        check("*", "(uid=\\2a)");
        check("a)(uid=*", "(uid=a\\29\\28uid=\\2a)");
        check("a\\b", "(uid=a\\5cb)");
        assert_eq!(filter_for("cn", "j", Some("(a=b)")), "(&(cn=j)(a=b))");
    }

    proptest::proptest! {
        /// Parentheses, stars and backslashes of a name never reach the filter as such, and what is
        /// built can be read. Fails against a filter that takes the name as it is.
        #[test]
        fn any_name_makes_one_comparison(user in "[^\\x00]{1,60}") {
            let filter = filter_for("uid", &user, None);
            let inside = filter.strip_prefix("(uid=").and_then(|it| it.strip_suffix(')'));
            let inside = inside.expect("one comparison");
            proptest::prop_assert!(!inside.contains(['(', ')', '*']), "{}", filter);
            proptest::prop_assert_eq!(unescaped(inside), user.as_bytes());
            proptest::prop_assert!(ldap3::parse_filter(&filter).is_ok(), "{}", filter);
        }
    }

    fn unescaped(text: &str) -> Vec<u8> {
        let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
        while let Some((&byte, behind)) = rest.split_first() {
            match byte {
                b'\\' => {
                    let digits = std::str::from_utf8(&behind[..2]).unwrap();
                    bytes.push(u8::from_str_radix(digits, 16).unwrap());
                    rest = &behind[2..];
                }
                _ => {
                    bytes.push(byte);
                    rest = behind;
                }
            }
        }
        bytes
    }
}
