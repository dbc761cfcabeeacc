//! Settings, and the walk from one set to another on a model of PostgreSQL's session.

use proptest::prelude::*;

use super::*;

fn settings(list: &[(&str, &str)]) -> Settings {
    let mut settings = Settings::new();
    for (name, value) in list {
        settings.set(name.as_bytes(), value.as_bytes()).unwrap();
    }
    settings
}

fn check(from: &[(&str, &str)], to: &[(&str, &str)], expected: &str) {
    let (from, to) = (settings(from), settings(to));
    let told = from.changes_to(&to).into_iter().map(|change| {
        let name = String::from_utf8_lossy(change.name);
        match change.value {
            Some(value) => format!("{name}={}", String::from_utf8_lossy(value)),
            None => format!("-{name}"),
        }
    });
    assert_eq!(told.collect::<Vec<_>>().join(" "), expected, "{from:?} {to:?}");
}

#[test]
fn names_have_one_spelling() {
    let mut settings = settings(&[("DateStyle", "ISO"), ("sort_mem", "1MB"), ("a", "1")]);
    assert_eq!(settings.get(b"DATESTYLE"), Some(&b"ISO"[..]));
    assert_eq!(settings.get(b"work_mem"), Some(&b"1MB"[..]));
    settings.set(b"Work_Mem", b"2MB").unwrap();
    let names: Vec<_> = settings.iter().collect();
    let expected = [(&b"a"[..], &b"1"[..]), (b"datestyle", b"ISO"), (b"work_mem", b"2MB")];
    assert_eq!(names, expected);
    assert!(settings.remove(b"dateSTYLE") && !settings.remove(b"datestyle"));
    assert_eq!((settings.len(), settings.is_empty()), (2, false));
}

#[test]
fn changes_come_in_an_order_that_works() {
    check(&[], &[], "");
    check(&[("a", "1"), ("role", "r")], &[("a", "1"), ("role", "r")], "");
    check(&[("a", "1"), ("b", "2")], &[("b", "3"), ("c", "4")], "-a b=3 c=4");
    check(&[], &[("client_encoding", "LATIN1"), ("a", "1")], "client_encoding=LATIN1 a=1");
    check(&[("client_encoding", "x"), ("a", "1")], &[("z", "1")], "-client_encoding -a z=1");
    check(&[("role", "r")], &[], "-role");
    check(&[], &[("role", "r"), ("search_path", "s")], "search_path=s role=r");
    check(&[("role", "r")], &[("role", "r"), ("a", "1")], "-role a=1 role=r");
    let both = [("role", "r"), ("session_authorization", "s")];
    let other = [("role", "r"), ("session_authorization", "t")];
    check(&[("role", "none")], &both, "-role session_authorization=s role=r");
    check(&both, &other, "-role -session_authorization session_authorization=t role=r");
}

#[test]
fn a_session_keeps_only_so_much() {
    let mut settings = Settings::new();
    for i in 0..SETTINGS_MAX {
        settings.set(format!("app.x{i}").as_bytes(), b"").unwrap();
    }
    assert_eq!(settings.set(b"app.more", b""), Err(TooMany::Settings));
    settings.set(b"app.x7", b"known names may still change").unwrap();

    let mut settings = Settings::new();
    let value = vec![b'x'; SETTINGS_BYTES_MAX - 1];
    settings.set(b"a", &value).unwrap();
    settings.set(b"a", &value).unwrap();
    assert_eq!(settings.set(b"b", b""), Err(TooMany::Bytes));
    assert_eq!(settings.len(), 1);
    assert!(settings.remove(b"a"));
    settings.set(b"b", b"").unwrap();
    assert_eq!(settings.bytes, 1);
}

/// PostgreSQL's side: what a session has, and what it refuses.
#[derive(Default)]
struct Session(Settings);

impl Session {
    fn apply(&mut self, change: Change<'_>) {
        let restricted = self.0.get(ROLE).is_some() || self.0.get(AUTHORIZATION).is_some();
        let identity = [ROLE, AUTHORIZATION].contains(&change.name);
        assert!(identity || !restricted, "a restricted role changes {:?}", change.name);
        if change.name == AUTHORIZATION {
            self.0.remove(ROLE);
        }
        match change.value {
            Some(value) => self.0.set(change.name, value).unwrap(),
            None => drop(self.0.remove(change.name)),
        }
    }
}

fn some_settings() -> impl Strategy<Value = Settings> {
    let names = ["role", "session_authorization", "client_encoding", "a", "datestyle", "z.z"];
    let pairs = prop::collection::vec((prop::sample::select(names.to_vec()), "[ab]"), 0..6);
    pairs.prop_map(|pairs| {
        let mut settings = Settings::new();
        for (name, value) in pairs {
            settings.set(name.as_bytes(), value.as_bytes()).unwrap();
        }
        settings
    })
}

proptest! {
    /// Fails if session_authorization is set behind the role, or the role is left applied.
    #[test]
    fn changes_lead_to_what_is_wanted(from in some_settings(), to in some_settings()) {
        let mut session = Session(from.clone());
        let changes = from.changes_to(&to);
        prop_assert_eq!(changes.is_empty(), from == to);
        let encoding = changes.iter().position(|change| change.name == ENCODING);
        let first = changes.iter().position(|c| ![ROLE, AUTHORIZATION].contains(&c.name));
        prop_assert!(encoding.is_none() || encoding == first);
        changes.into_iter().for_each(|change| session.apply(change));
        prop_assert_eq!(session.0, to);
    }
}
