//! What is in `packaging/`: what it names exists, what it makes is right, as far as the tools for
//! that are at hand.

use crate::support::pooler::binary;
use crate::support::process::{free_port, new_dir, write};
use crate::support::{Login, Pooler, Postgres};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// It lets nobody in, and nobody is warned about it.
#[test]
fn the_packaged_configuration_is_right() {
    let output =
        binary().arg("--test").arg(root().join("packaging/odyssey.conf")).output().unwrap();
    let text = said(&output);
    assert!(output.status.success() && text.trim_end().ends_with("config is valid"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn everything_in_the_package_is_there() {
    let manifest = read("crates/pooler/Cargo.toml");
    let (_, assets) = manifest.split_once("assets = [").expect("there is a list");
    let mut seen = 0;
    for line in assets.lines().filter(|line| line.contains("[\"../../")) {
        let path = line.split('"').nth(1).unwrap_or_default().trim_start_matches("../../");
        // Made by the program itself when the package is built; and patterns.
        if path.starts_with("packaging/deb/made/") || path.contains('*') {
            continue;
        }
        let found = fs::symlink_metadata(root().join(path));
        assert!(found.is_ok(), "{path} is not there");
        seen += 1;
    }
    assert!(seen > 5, "{seen}");
}

#[test]
fn the_image_copies_what_is_there() {
    for line in read("packaging/docker/Dockerfile").lines() {
        let Some(rest) = line.strip_prefix("COPY ").filter(|rest| !rest.starts_with("--")) else {
            continue;
        };
        let words: Vec<&str> = rest.split_whitespace().collect();
        for path in &words[..words.len() - 1] {
            assert!(root().join(path).exists(), "{path}");
        }
    }
}

/// The variables of Odyssey's image, in a file that the pooler takes.
#[test]
fn the_image_makes_a_configuration_of_its_variables() {
    let dir = new_dir("packaging-test");
    let start = |name: &str, variables: &[(&str, &str)]| {
        let file = dir.join(name);
        let mut command = Command::new("sh");
        command.arg(root().join("packaging/docker/entrypoint.sh")).arg("--test");
        command.env("CONFIG_FILE", &file).env("PROGRAM", env!("CARGO_BIN_EXE_pooler"));
        let output = command.envs(variables.iter().copied()).env("RUN_MODE", "test").output();
        let output = output.unwrap();
        assert!(output.status.success(), "{name}: {}", said(&output));
        fs::read_to_string(file).unwrap()
    };
    let plain = start("plain.conf", &[]);
    assert!(plain.contains("database default {\nuser default {"), "{plain}");
    let variables = [
        ("PG_HOST", "db.example"),
        ("PG_PORT", "5433"),
        ("DB_NAME", "shop"),
        ("USER_NAME", "web"),
        ("USER_AUTH_TYPE", "scram-sha-256"),
        ("USER_PASSWORD", "p w"),
        ("POOL_TYPE", "transaction"),
        ("POOL_SIZE", "7"),
        ("LISTEN_PORT", "7000"),
        ("WORKERS", "3"),
        ("QUANTILES", "0.99"),
        ("VIRTUAL_DB_NAME", "admin"),
    ];
    let made = start("made.conf", &variables);
    for expected in [
        "host \"db.example\"",
        "port 5433",
        "database \"shop\" {\nuser \"web\" {",
        "password \"p w\"",
        "pool_size 7",
        "port 7000",
        "workers 3",
        "database \"admin\" {",
    ] {
        assert!(made.contains(expected), "{expected} in\n{made}");
    }
    let kept = start("made.conf", &[("POOL_SIZE", "9")]);
    assert_eq!(kept, made, "a file that is there is taken as it is");
    let _ = fs::remove_dir_all(dir);
}

#[test]
fn units_are_what_systemd_expects() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return; // not a system with systemd
    }
    let dir = new_dir("packaging-test");
    let unit = read("packaging/systemd/odyssey.service");
    // The program and its page are not installed here.
    let here = unit.replace("/usr/bin/odyssey", env!("CARGO_BIN_EXE_pooler"));
    let here = here.replace("Documentation=man:pooler(1)\n", "");
    let file = dir.join("odyssey.service");
    fs::write(&file, here).unwrap();
    let output = Command::new("systemd-analyze").arg("verify").arg(&file).output().unwrap();
    let text = said(&output);
    let ours: Vec<&str> = text.lines().filter(|line| line.contains("odyssey")).collect();
    assert!(output.status.success() && ours.is_empty(), "{text}");
    let of_many = read("packaging/systemd/odyssey@.service");
    let (one, many) = (unit.lines().count(), of_many.lines().count());
    assert_eq!(one, many, "the two units differ in names only");
    let _ = fs::remove_dir_all(dir);
}

/// Probes ask paths that exist, at the port that the text names.
#[test]
fn manifests_probe_what_is_served() {
    let manifest = read("packaging/kubernetes/pooler.yaml");
    let metrics = read("docs/metrics.md");
    for path in manifest.lines().filter_map(|line| line.trim().strip_prefix("path: ")) {
        assert!(metrics.contains(path), "{path}");
    }
    assert_eq!(manifest.matches("path: /livez").count(), 1);
    assert_eq!(manifest.matches("path: /readyz").count(), 2);
    assert!(!manifest.contains('\t') && manifest.matches("\n---\n").count() == 2);
}

/// The script of the image, not only its configuration: it becomes the pooler, which serves, and
/// ends at the container's SIGTERM.
#[test]
fn the_image_serves_with_a_configuration_of_its_variables() {
    let (dir, port) = (new_dir("packaging-test-image"), free_port());
    let sockets = format!(
        "unix_socket_dir \"{0}\"\nunix_socket_mode \"0777\"\nlisten {{ port {port} }}\n",
        dir.display()
    );
    let include = write(&dir, "sockets.conf", &sockets);
    let mut command = Command::new("sh");
    command.arg(root().join("packaging/docker/entrypoint.sh")).stdin(Stdio::null());
    command.env("CONFIG_FILE", dir.join("made.conf")).env("PRE_INCLUDE_PATH", include);
    command.env("PROGRAM", env!("CARGO_BIN_EXE_pooler")).env("RUN_MODE", "test");
    command.env("PG_PORT", Postgres::shared().port.to_string());
    command.env("LISTEN_HOST", "127.0.0.1").env("LISTEN_PORT", port.to_string());
    command.env("USER_AUTH_TYPE", "scram-sha-256").env("USER_PASSWORD", "a 'word'");
    command.env("POOL_TYPE", "transaction").env("POOL_RESERVE_PREPARED_STATEMENT", "yes");
    let out = fs::File::create(dir.join("log")).unwrap();
    let pooler = Pooler::by(command, dir, port, out.into());
    let mut client = pooler.login(&Login::new("app", "postgres").password("a 'word'"));
    assert_eq!(client.scalar("select current_user"), "app");
    assert_eq!(pooler.refused(&Login::new("app", "postgres").password("b")).code, "28P01");
    let mut console = pooler.login(&Login::new("console", "console"));
    assert_eq!(console.query("show version").error(), None);
    pooler.stop_with(vec![client, console]);
}
