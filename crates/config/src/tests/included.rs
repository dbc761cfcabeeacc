//! Other files: includes by pattern and by directory, secrets in files, and the environment.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::{check, check_whole, said};
use crate::Format::{Conf, Yaml};
use crate::{Format, load, parse};

/// A directory of a test's own, gone at its end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let dir = std::env::temp_dir().join(format!("config-{name}-{}", std::process::id()));
        fs::create_dir_all(dir.join("conf.d")).unwrap();
        Dir(dir)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn a_pattern_and_a_directory_are_read_in_order_of_names() {
    let dir = Dir::new("patterns");
    dir.file("conf.d/2.conf", "workers 0");
    dir.file("conf.d/1.yaml", "log_debug: yes\nresolvers: 0");
    dir.file("conf.d/.3.conf", "what an editor left");
    dir.file("conf.d/4.conf~", "what an editor left");
    for (written, format) in [
        (format!("include \"{}\"", dir.path("conf.d")), Conf),
        (format!("include \"{}\"", dir.path("conf.d/[12].*")), Conf),
        (format!("include: '{}'", dir.path("conf.d")), Yaml),
        (format!("include: ['{}']", dir.path("conf.*/?.[yc]*[la]*[lf]")), Yaml),
    ] {
        let said = said(&super::with_the_least(format, &written), format);
        let (one, two) = (dir.path("conf.d/1.yaml"), dir.path("conf.d/2.conf"));
        let expected = format!("{one}:2:1: bad resolvers number\n{two}:1:1: bad workers number");
        // 2.conf does not match the last pattern, whose braces are narrower.
        let expected = if written.contains("[la]") {
            expected.split_once('\n').unwrap().0.into()
        } else {
            expected
        };
        assert_eq!(said, expected, "{written}");
    }
    let nothing = dir.path("conf.d/*.toml");
    check(
        Conf,
        &format!("include \"{nothing}\""),
        &format!("f:1:1: warning: no file to include matches '{nothing}'"),
    );
}

/// Odyssey looks in the working directory only.
#[test]
fn what_is_not_in_the_working_directory_is_looked_for_beside_the_file() {
    let dir = Dir::new("beside");
    dir.file("conf.d/workers.conf", "workers 0");
    for written in ["conf.d/workers.conf", "conf.d", "conf.d/*.conf"] {
        dir.file("main.conf", &format!("include \"{written}\""));
        let errors = load(&dir.0.join("main.conf")).unwrap_err();
        let expected = format!("{}:1:1: bad workers number", dir.path("conf.d/workers.conf"));
        assert_eq!(errors.0[0].to_string(), expected, "{written}");
    }
    dir.file("conf.d/round.conf", "include \"../round.conf\"");
    dir.file("round.conf", "include \"conf.d/round.conf\"");
    let errors = load(&dir.0.join("round.conf")).unwrap_err();
    assert!(errors.0[0].message.starts_with("circular include of"), "{errors}");
}

fn rule(format: Format, options: &str) -> String {
    match format {
        Conf => format!(
            "database \"d\" {{ user \"u\" {{ authentication \"md5\" storage \"pg\" pool \"session\"\n\
             {options} }} }}"
        ),
        Yaml => format!(
            "database: {{d: {{user: {{u: {{authentication: md5, storage: pg, pool: session,\n {options}}}}}}}}}"
        ),
    }
}

/// The text with the least around it, and its passwords.
#[track_caller]
fn passwords(format: Format, lines: &str) -> [Option<String>; 2] {
    let rest = super::with_the_least(format, lines).replace(
        "databases:",
        if lines.contains("database:") { "x-unused:" } else { "databases:" },
    );
    let loaded = parse("f", &rest, format).unwrap_or_else(|errors| panic!("{errors}"));
    let rule = &loaded.config.rules[0];
    [&rule.password, &rule.storage_password].map(|it| it.as_ref().map(|it| it.reveal().to_owned()))
}

#[test]
fn a_secret_may_stand_in_a_file_of_its_own() {
    let dir = Dir::new("secrets");
    let (one, two) = (dir.file("one", "hush\n"), dir.file("two", "hush2"));
    for path in [&one, &two] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
    }
    let options = format!("password_file \"{one}\" storage_password_file \"{two}\"");
    let expected = ["hush", "hush2"].map(|it| Some(it.to_owned()));
    assert_eq!(passwords(Conf, &rule(Conf, &options)), expected);
    let options = format!("password_file: '{one}', storage_password_file: '{two}'");
    assert_eq!(passwords(Yaml, &rule(Yaml, &options)), expected);

    fs::set_permissions(&one, fs::Permissions::from_mode(0o644)).unwrap();
    let options = format!("password_file \"{one}\"");
    check(
        Conf,
        &rule(Conf, &options),
        &format!("f:2:1: warning: password_file '{one}' is open to others (mode 644)"),
    );
    check(
        Conf,
        &rule(Conf, &format!("{options} password \"x\"")),
        "f:2:1: password and password_file can't be set simultaneously",
    );
    let gone = dir.path("gone");
    let said = said(&super::with_the_least(Conf, &rule(Conf, &options.replace(&one, &gone))), Conf);
    let reason = "No such file or directory (os error 2)";
    assert!(
        said.starts_with(&format!("f:2:1: cannot read password_file '{gone}': {reason}")),
        "{said}"
    );
}

/// Against complaints that quote the value, and against values without the switch.
#[test]
fn the_environment_is_asked_where_the_file_says_so() {
    let set = std::env::var("CARGO_PKG_NAME").unwrap(); // what cargo sets for tests: "config"
    let lines = rule(Conf, "password \"${ENV:CARGO_PKG_NAME}/$${ENV:X}\"");
    let found = passwords(Conf, &format!("expand_environment yes {lines}"));
    assert_eq!(found[0].as_deref(), Some(format!("{set}/${{ENV:X}}").as_str()));
    check(
        Conf,
        &rule(Conf, "password \"${ENV:CARGO_PKG_NAME}\""),
        "f:2:1: warning: '${ENV:' is taken as it stands\n  \
         hint: it is replaced only with 'expand_environment yes' at the top level",
    );
    check(
        Conf,
        "expand_environment yes\nlocks_dir \"${ENV:NO_SUCH_VARIABLE}\"",
        "f:2:1: environment variable 'NO_SUCH_VARIABLE' is not set",
    );
    check_whole(
        Yaml,
        "expand_environment: yes\nlog_format: x\nstorages: {a: {type: '${ENV:CARGO_PKG_NAME}'}}\n\
         listen: {host: '::1', port: 1}\n\
         database: {d: {user: {u: {authentication: none, storage: a, pool: session, role: stat}}}}",
        "f:3:16: storage 'a': unknown type '${ENV:CARGO_PKG_NAME}'",
    );
}
