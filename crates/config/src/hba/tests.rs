//! Lines and what becomes of them.

use super::*;
use crate::diagnostic::Diagnostic;

fn read_text(text: &str) -> Result<Hba, Vec<Diagnostic>> {
    let mut complaints = Complaints::default();
    let hba = parse(Path::new("hba"), "hba", text, 0, &mut complaints);
    hba.ok_or_else(|| complaints.finish().0)
}

/// A line as it is understood, or the complaint.
fn check(line: &str, expected: &str) {
    let found = match read_text(line) {
        Ok(hba) => hba.lines.iter().map(|line| format!("{line:?}")).collect::<Vec<_>>().join("; "),
        Err(errors) => errors[0].to_string(),
    };
    assert_eq!(found, expected, "{line}");
}

fn names_of(text: &str) -> Vec<HbaName> {
    read_text(&format!("local all {text} trust")).unwrap().lines.remove(0).users
}

#[test]
fn lines_say_who_and_whether() {
    let hba = read_text("# who\n\nhost a,\"B c\",sameuser +g,u 10.0.0.0/8 reject # no\n").unwrap();
    let named = |name: &str| HbaName::Named(name.to_owned());
    let expected = HbaLine {
        number: 3,
        connection: ConnectionType::Host,
        databases: vec![named("a"), named("B c"), HbaName::SameUser],
        users: vec![HbaName::Group("g".to_owned()), named("u")],
        address: AddressSelector::Network { address: "10.0.0.0".parse().unwrap(), prefix: 8 },
        allows: false,
    };
    assert_eq!(hba.lines, [expected]);
}

#[test]
fn addresses_have_a_prefix_or_a_mask() {
    let address = |text: &str| {
        let hba =
            read_text(&format!("hostssl all all {text} trust")).map_err(|it| it[0].to_string());
        hba.map(|mut hba| hba.lines.remove(0).address.to_string())
    };
    for (text, expected) in [
        ("all", "all"),
        ("10.1.0.0/16", "10.1.0.0/16"),
        ("10.1.0.0 255.255.0.0", "10.1.0.0/16"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::1/128", "::1/128"),
        ("fe80:: ffff::", "fe80::/16"),
    ] {
        assert_eq!(address(text).as_deref(), Ok(expected));
    }
    for (text, expected) in [
        ("10.1.0.0", "expected network mask and auth method"),
        ("10.1.0.0/33", "invalid prefix length '33'"),
        ("10.1.0.0/+8", "invalid prefix length '+8'"),
        ("10.1.0.0/", "invalid prefix length ''"),
        ("10.1.0.0 255.0.255.0", "invalid network mask '255.0.255.0'"),
        ("10.1.0.0 ffff::", "invalid network mask 'ffff::'"),
        ("host.example", "invalid IP address 'host.example'"),
        ("samenet", "invalid IP address 'samenet'"),
    ] {
        assert_eq!(address(text).unwrap_err(), format!("hba:1:1: {expected}"));
    }
}

#[test]
fn quotes_make_names_of_keywords() {
    let named = |name: &str| HbaName::Named(name.to_owned());
    assert_eq!(names_of("all"), [HbaName::All]);
    assert_eq!(names_of("\"all\""), [named("all")]);
    assert_eq!(names_of("\"+g\",\"@f\",\"a,b\""), [named("+g"), named("@f"), named("a,b")]);
    assert_eq!(names_of("\"say \"\"hi\"\"\""), [named("say \"hi\"")]);
    assert_eq!(names_of("\"#1\""), [named("#1")]);
    assert_eq!(names_of("a, b,c"), [named("a"), named("b"), named("c")]);
    assert_eq!(names_of("\"\""), [named("")]);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    check("x all all trust", "hba:1:1: unknown connection type 'x'");
    check("local all all", "hba:1:1: too few fields (got 3, expected at least 4)");
    check("\n\nhost all all all", "hba:3:1: too few fields (got 4, expected at least 5)");
    check(
        "local all all md5",
        "hba:1:1: unknown auth method 'md5' (only allow/trust/deny/reject supported)",
    );
    check("local all all trust map=m", "hba:1:1: auth options are not supported: 'map=m'");
    check("local all @f trust", "hba:1:1: files of names are not supported: '@f'");
    check("local all /^x trust", "hba:1:1: regular expressions are not supported: '/^x'");
    check("local samerole all trust", "hba:1:1: 'samerole' is not supported");
    check("local all \"a trust", "hba:1:1: the string in quotes never ends");
    check("local all ,a trust", "hba:1:1: a name is missing in front of a comma");
    check("include other", "hba:1:1: 'include' is not supported");
    check("local all \\\n  all", "hba:1:1: too few fields (got 3, expected at least 4)");
    let both = read_text("x\nlocal all all trust\ny\n").unwrap_err();
    assert_eq!(both.len(), 2, "{both:?}");
}

proptest::proptest! {
    #[test]
    fn any_text_is_lines_or_complaints(text in "[-a-z0-9.:/,+@#\"\\\\ \t\r\n]{0,200}") {
        fuzz(&text);
    }

    /// Whatever a name is, in quotes it is that name.
    #[test]
    fn a_name_in_quotes_survives(name in "[^\\x00\r\n\\\\]{0,40}") {
        let quoted = name.replace('"', "\"\"");
        let line = format!("local all \"{quoted}\" trust");
        let hba = read_text(&line).unwrap();
        proptest::prop_assert_eq!(&hba.lines[0].users, &vec![HbaName::Named(name)]);
    }
}
