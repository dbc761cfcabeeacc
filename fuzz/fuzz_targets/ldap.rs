//! A user's name in an LDAP filter and in a DN: one comparison, one value, and read back as it was.
#![no_main]

#[path = "../../crates/pooler/src/session/auth/checked/ldap/filter.rs"]
mod filter;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|user: &str| {
    for further in [None, Some("(mail=*)")] {
        let text = filter::filter_for("uid", user, further);
        let end = further.map_or(")".to_owned(), |further| format!("){further})"));
        let begin = if further.is_some() { "(&(uid=" } else { "(uid=" };
        let inside = text.strip_prefix(begin).and_then(|it| it.strip_suffix(end.as_str()));
        let inside = inside.expect("one comparison");
        assert!(!inside.contains(['(', ')', '*', '\0']), "{text}");
        assert_eq!(unescaped(inside), user.as_bytes(), "{text}");
        assert!(user.is_empty() || ldap3::parse_filter(&text).is_ok(), "{text}");
    }
    let name = filter::name_between("uid=", user, ",dc=example");
    let inside = name.strip_prefix("uid=").and_then(|it| it.strip_suffix(",dc=example"));
    let inside = inside.expect("one value");
    assert!(!inside.contains([',', '+', '"', '<', '>', ';', '=', '\0']), "{name}");
    assert!(!inside.starts_with([' ', '#']) && !inside.ends_with(' '), "{name}");
    assert_eq!(unescaped(inside), user.as_bytes(), "{name}");
});

/// Each backslash stands before two digits.
fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        bytes.push(match byte {
            b'\\' => {
                let digits = std::str::from_utf8(&behind[..2]).expect("two digits");
                rest = &behind[2..];
                u8::from_str_radix(digits, 16).expect("two digits")
            }
            _ => byte,
        });
    }
    bytes
}
