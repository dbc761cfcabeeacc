//! `cert`: the client's certificate is its proof. It was checked in the handshake; here is compared
//! whom it names.

use config::Name;
use wire::Notice;

use super::{Candidate, Proof, no_proof};
use crate::ending::Ending;

impl Candidate<'_> {
    pub(super) fn prove_by_certificate(&self) -> Result<Proof, Ending> {
        let Some(channel) = self.channel else {
            let notice = Notice::error("28000", "TLS connection required");
            return Err(no_proof(notice, "the client does not speak TLS"));
        };
        let reason = match channel.common_name.as_deref() {
            None => "the client showed no certificate with a common name".to_owned(),
            // Odyssey takes it for a proof, and anybody can make one.
            Some(name) if !channel.is_verified => {
                let name = shown(name);
                format!("nobody checked the certificate of '{name}': the listen's tls is too weak")
            }
            Some(name) if is_one_of(name, &self.rule.common_names, self.user()) => {
                return Ok(Proof::default());
            }
            Some(name) => format!("the certificate is of '{}'", shown(name)),
        };
        let user = self.user();
        let text = format!("certificate authentication failed for user \"{user}\"");
        Err(no_proof(Notice::fatal("28P01", text), reason))
    }
}

/// For the log: whoever made the certificate chose the name.
fn shown(name: &str) -> String {
    name.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

/// Whether the rule lets in whom the certificate names; without names of its own, its user.
fn is_one_of(common_name: &str, names: &[Name], user: &str) -> bool {
    let is = |name: &Name| match name {
        Name::Named(name) => is_named(common_name, name),
        Name::Default => is_named(common_name, user),
    };
    if names.is_empty() { is_named(common_name, user) } else { names.iter().any(is) }
}

/// As Odyssey compares: letters in any case, and a certificate for `*.x` is for each name directly
/// below.
fn is_named(common_name: &str, wanted: &str) -> bool {
    if common_name.eq_ignore_ascii_case(wanted) {
        return true;
    }
    let below = common_name.strip_prefix("*.").filter(|below| below.contains('.'));
    match (below, wanted.split_once('.')) {
        (Some(below), Some((first, rest))) => !first.is_empty() && rest.eq_ignore_ascii_case(below),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_for_whom_it_names() {
        let check = |common_name, names: &[Name], expected| {
            assert_eq!(is_one_of(common_name, names, "app"), expected, "{common_name} {names:?}");
        };
        let named = |name: &str| Name::Named(name.to_owned());
        check("app", &[], true);
        check("APP", &[], true);
        check("other", &[], false);
        check("", &[], false);
        check("app", &[named("other")], false);
        check("other", &[named("else"), named("other")], true);
        check("app", &[named("other"), Name::Default], true);
        check("*.example.org", &[named("a.example.org")], true);
        check("*.example.org", &[named("a.b.example.org")], false);
        check("*.example.org", &[named("example.org")], false);
        check("*.example.org", &[named(".example.org")], false);
        check("*.org", &[named("example.org")], false);
        check("*", &[], false);
    }
}
