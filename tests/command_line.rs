//! The command line as scripts and operators know it: Odyssey's when it is called so, and the
//! subcommands otherwise.

use crate::support::pooler::binary;
use crate::support::process::{new_dir, write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const CONFIG: &str = r#"log_format "%m\n"
listen { host "127.0.0.1" port 6432 }
storage "pg" { type "remote" host "127.0.0.1" port 5432 }
database "shop" {
  user "app" { authentication "md5" password "hidden" storage "pg" pool "session" pool_size 7 }
}
database default { user default { authentication "none" storage "pg" pool "transaction" } }
"#;

/// A directory in which the program is called `odyssey` too, with a configuration.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        let dir = new_dir("pooler-test-cli");
        std::os::unix::fs::symlink(binary().get_program(), dir.join("odyssey")).unwrap();
        write(&dir, "odyssey.conf", CONFIG);
        Place(dir)
    }

    /// Both streams and the status of `./odyssey WORDS`.
    fn odyssey(&self, words: &[&str]) -> (String, String, Option<i32>) {
        told(Command::new("./odyssey").args(words).current_dir(&self.0))
    }

    fn pooler(&self, words: &[&str]) -> (String, String, Option<i32>) {
        told(binary().args(words).current_dir(&self.0))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn told(command: &mut Command) -> (String, String, Option<i32>) {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(stdout), text(stderr), status.code())
}

#[test]
fn called_as_odyssey_it_says_what_odyssey_says() {
    let place = Place::new();
    let (help, err, status) = place.odyssey(&["--help"]);
    assert!(help.starts_with("Usage: ./odyssey [OPTION...] /path/to/odyssey.conf\n"), "{help}");
    assert!(help.contains("      --log_to_stdout        Log to stdout\n"), "{help}");
    assert_eq!((err.as_str(), status), ("", Some(0)));
    for words in [["-h"], ["-?"], ["--he"]] {
        assert_eq!(place.odyssey(&words), (help.clone(), String::new(), Some(0)));
    }
    let (usage, _, status) = place.odyssey(&["--usage"]);
    assert_eq!(status, Some(0));
    let expected = "Usage: ./odyssey [-?V] [--console] [--log_to_stdout] [--silent] [--test] \
                    [--verbose] [--help] [--usage] [--version] /path/to/odyssey.conf\n";
    assert_eq!(usage, expected);

    let (version, _, status) = place.odyssey(&["-V"]);
    assert!(version.starts_with("odyssey 1.5.3 "), "{version}");
    assert_eq!(version.lines().count(), 2, "{version}");
    assert!(version.ends_with(", 64-bit\n") && version.contains("\ncompiled by "), "{version}");
    assert_eq!(status, Some(0));
    assert_eq!(place.odyssey(&["--version"]).0, version);
}

#[test]
fn what_odyssey_does_not_understand_is_told_in_its_words() {
    let place = Place::new();
    let again = "Try `./odyssey --help' for more information.\n";
    for (words, line) in [
        (&["--nonsense"][..], "./odyssey: unrecognized option '--nonsense'\n"),
        (
            &["odyssey.conf", "--log-to-stdout"],
            "./odyssey: unrecognized option '--log-to-stdout'\n",
        ),
        (&["-d", "odyssey.conf"], "./odyssey: invalid option -- 'd'\n"),
        (&["--test=1", "x"], "./odyssey: option '--test' doesn't allow an argument\n"),
        (
            &["--ver"],
            "./odyssey: option '--ver' is ambiguous; possibilities: '--verbose' '--version'\n",
        ),
        (&["-?V"], ""),
    ] {
        let expected = (String::new(), format!("{line}{again}"), Some(1));
        assert_eq!(place.odyssey(words), expected, "{words:?}");
    }
    for words in [&[][..], &["one", "two"], &["check", "odyssey.conf"]] {
        let (out, err, status) = place.odyssey(words);
        assert!(out.contains("usage: ./odyssey <config_file>\n"), "{words:?}: {out}");
        assert_eq!((err.as_str(), status), ("", Some(1)), "{words:?}");
    }
    let (out, _, status) = place.odyssey(&["--silent", "--verbose", "odyssey.conf"]);
    assert!(out.contains("silent and verbose option both specified"), "{out}");
    assert_eq!(status, Some(1));
    let (out, _, status) = place.odyssey(&["--silent", "--verbose", "--te", "odyssey.conf"]);
    assert!(out.contains("config is valid"), "{out}");
    assert_eq!(status, Some(0), "--test looks at the file only");
}

#[test]
fn a_file_with_the_name_of_a_subcommand_is_a_file() {
    let place = Place::new();
    let (_, err, status) = place.pooler(&["check"]);
    assert!(err.contains(" check: missing FILE\n"), "{err}");
    assert_eq!(status, Some(2));
    assert_eq!(place.pooler(&["man"]).2, Some(0));
    for name in ["check", "man", "convert"] {
        write(&place.0, name, CONFIG);
        let (out, _, status) = place.pooler(&[name, "--test"]);
        assert!(out.contains("config is valid"), "{name}: {out}");
        assert_eq!(status, Some(0));
        assert_eq!(place.odyssey(&["--test", name]).2, Some(0));
    }
    let (out, _, status) = place.pooler(&["check", "check"]);
    assert!(out.contains("check: valid"), "{out}");
    assert_eq!(status, Some(0));
}

#[test]
fn check_tells_everything_and_its_status_says_it_too() {
    let place = Place::new();
    let (out, err, status) = place.pooler(&["check", "odyssey.conf"]);
    assert!(out.contains("odyssey.conf: valid"), "{out}");
    assert_eq!((err.as_str(), status), ("", Some(0)));
    write(&place.0, "bad.conf", &format!("{CONFIG}nonsense 1\n"));
    write(&place.0, "worse.conf", &CONFIG.replace("port 6432", "port 0 port 70000"));
    for (file, places) in [
        ("bad.conf", &["bad.conf:8:1: "][..]),
        ("worse.conf", &["worse.conf:2:2", "worse.conf:2:3"]),
        ("/no/such/file", &["/no/such/file"]),
    ] {
        let (out, _, status) = place.pooler(&["check", file]);
        assert!(places.iter().all(|place| out.contains(place)), "{file}: {out}");
        assert!(out.contains(&format!("{file}: not valid, ")), "{out}");
        assert_eq!(status, Some(1), "{file}");
    }
}

#[test]
fn explain_tells_which_rule_and_where_its_settings_come_from() {
    let place = Place::new();
    let words = ["explain", "odyssey.conf", "--user", "app", "--database", "shop"];
    let (out, _, status) = place.pooler(&words);
    assert_eq!(status, Some(0));
    let line = |text: &str| out.lines().find(|line| line.contains(text)).unwrap_or_default();
    assert!(line("1. shop.app").ends_with("odyssey.conf:5:3  matches"), "{out}");
    assert!(line("2. default_db").contains("would match, but an earlier rule does"), "{out}");
    assert!(line(" pool_size").contains("7") && line(" pool_size").contains(":5:"), "{out}");
    assert!(line(" server_lifetime").ends_with("default"), "{out}");
    assert!(!out.contains("hidden"), "{out}");
    for (words, told, status) in [
        (&["explain", "odyssey.conf"][..], "--user is missing", 2),
        (&["explain", "odyssey.conf", "--user", "a", "--address", "x"], "'x' is no address", 2),
        (&["explain", "odyssey.conf", "--user", "a", "--group-member", "x"], "a group 'x'", 2),
        (&["explain", "/no/such/file", "--user", "a"], "/no/such/file", 1),
    ] {
        let (_, err, code) = place.pooler(words);
        assert!(err.contains(told), "{words:?}: {err}");
        assert_eq!(code, Some(status), "{words:?}");
    }
}

#[test]
fn a_dump_can_be_read_again_and_hides_passwords() {
    let place = Place::new();
    for (format, name) in [("conf", "again.conf"), ("yaml", "again.yaml")] {
        let (masked, _, status) = place.pooler(&["dump", "odyssey.conf", "--format", format]);
        assert_eq!(status, Some(0));
        assert!(!masked.contains("hidden") && masked.contains("***"), "{masked}");
        let words = ["dump", "odyssey.conf", "--format", format, "--show-secrets"];
        let (shown, _, _) = place.pooler(&words);
        assert!(shown.contains("hidden"), "{shown}");
        write(&place.0, name, &shown);
        let (again, _, status) = place.pooler(&["dump", name, "--show-secrets"]);
        assert_eq!((again, status), (shown, Some(0)), "{name}");
    }
}

/// `| head`. Against a panic with a backtrace, and a status that tells of a bad file.
#[test]
fn a_reader_that_has_enough_ends_it_silently() {
    let place = Place::new();
    write(&place.0, "pgbouncer.ini", "[databases]\n* = host=127.0.0.1\n[pgbouncer]\n");
    for words in [
        "--help",
        "--version",
        "dump --help",
        "check odyssey.conf",
        "explain odyssey.conf --user app --database shop",
        "dump odyssey.conf",
        "convert pgbouncer.ini",
        "completions bash",
        "man",
        "--test odyssey.conf",
    ] {
        let run = |out: Stdio| {
            let mut command = binary();
            command.args(words.split(' ')).current_dir(&place.0).stdin(Stdio::null());
            let child = command.stdout(out).stderr(Stdio::piped()).spawn().unwrap();
            let Output { status, stderr, .. } = child.wait_with_output().unwrap();
            (status.code(), String::from_utf8(stderr).unwrap())
        };
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (status, err) = run(writer.into());
        assert_eq!(status, Some(0), "{words}: {err}");
        assert!(!err.contains("panicked") && !err.contains("pipe"), "{words}: {err}");
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (status, err) = run(full.into());
        if words.ends_with("--test odyssey.conf") {
            assert_eq!((status, &*err), (Some(0), ""), "its lines are a log's");
        } else {
            assert!(err.contains("standard output: No space left"), "{words}: {err}");
            assert_eq!(status, Some(2), "{words}");
        }
    }
}

#[test]
fn bash_takes_its_completions() {
    let place = Place::new();
    let (script, _, status) = place.pooler(&["completions", "bash"]);
    assert_eq!(status, Some(0));
    write(&place.0, "completions", &script);
    let complete = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let (array, last) = (words.join("' '"), words.len() - 1);
        let ask = format!(
            "source ./completions; COMP_WORDS=('{array}'); COMP_CWORD={last}; _pooler; \
             printf '%s ' \"${{COMPREPLY[@]}}\""
        );
        let (out, err, _) = told(Command::new("bash").args(["-uc", &ask]).current_dir(&place.0));
        assert_eq!(err, "", "{line}");
        out.trim().to_owned()
    };
    for (line, expected) in [
        ("pooler chec", "check"),
        ("pooler --ver", "--verbose --version"),
        ("pooler convert --fr", "--from"),
        ("pooler convert --from pg_", "pg_doorman"),
        ("pooler explain odyssey.conf --us", "--user"),
        ("pooler completions ", "bash fish zsh"),
        ("pooler check ody", "odyssey odyssey.conf"),
        ("pooler odyssey.c", "odyssey.conf"),
    ] {
        let mut found: Vec<_> = complete(line).split(' ').map(str::to_owned).collect();
        found.sort();
        assert_eq!(found.join(" "), expected, "{line}");
    }
}

/// The other two shells and the formatter are asked where they are installed.
#[test]
fn the_page_and_the_completions_are_well_formed() {
    let place = Place::new();
    for (words, program, arguments) in [
        (["completions", "zsh"], "zsh", &["-n"][..]),
        (["completions", "fish"], "fish", &["--no-execute"]),
        (["man", ""], "groff", &["-man", "-Tascii", "-ww", "-z"]),
    ] {
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let (text, _, status) = place.pooler(&words);
        assert!(status == Some(0) && !text.is_empty(), "{words:?}");
        let file = write(&place.0, words[0], &text);
        let there = std::env::var("PATH").unwrap_or_default();
        if !there.split(':').any(|dir| Path::new(dir).join(program).exists()) {
            println!("{program} is not installed");
            continue;
        }
        let (out, err, status) = told(Command::new(program).args(arguments).arg(&file));
        assert_eq!((out.as_str(), err.as_str(), status), ("", "", Some(0)), "{program}");
    }
}
