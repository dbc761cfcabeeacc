//! A user's name inside a filter or a DN: whatever it holds, it stays a name. Nothing is asked
//! here.

use ldap3::{dn_escape, ldap_escape};

/// The filter for the entry of a user, whose name is compared and never read as a filter
/// (RFC 4515).
pub fn filter_for(attribute: &str, user: &str, further: Option<&str>) -> String {
    let user = ldap_escape(user);
    match further {
        None => format!("({attribute}={user})"),
        Some(further) => format!("(&({attribute}={user}){further})"),
    }
}

/// The DN of a user's entry, whose name is one value and never read as more of a DN (RFC 4514).
pub fn name_between(prefix: &str, user: &str, suffix: &str) -> String {
    format!("{prefix}{}{suffix}", dn_escape(user))
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
