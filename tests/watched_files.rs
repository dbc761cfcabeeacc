//! Secrets, certificates and `hba_file` are read again when they change, by nobody's order.

use crate::support::process::{new_dir, write};
use crate::support::{Login, PATIENCE, Pooler, Setup, let_pass, until};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time for several looks.
const LOOKS: Duration = Duration::from_secs(4);

/// A directory with a password in a file, and who is let in by it.
fn guarded() -> (PathBuf, Setup) {
    let dir = new_dir("pooler-test-watched");
    put(&dir, "secret", "first\n");
    let setup = guarded_by(&dir);
    (dir, setup)
}

fn put(dir: &Path, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = write(dir, name, text);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn app(password: &str) -> Login {
    Login::new("app", "postgres").password(password)
}

fn lets_in(pooler: &Pooler, password: &str) {
    until("the new password to count", PATIENCE, || pooler.connect().start(&app(password)).ok());
}

fn count(pooler: &Pooler, text: &str) -> usize {
    pooler.log().matches(text).count()
}

#[test]
fn a_password_file_that_changes_counts() {
    let (dir, setup) = guarded();
    let pooler = setup.start();
    let mut client = pooler.login(&app("first"));
    put(&dir, "secret", "second\n");
    lets_in(&pooler, "second");
    assert_eq!(pooler.refused(&app("first")).code, "28P01");
    let line = pooler.wait_for_line("(watcher) changed: ");
    assert!(line.contains("secret'") && !line.contains("second"), "{line}");
    assert_eq!(client.scalar("select 1"), "1", "who is in stays in");

    // As an orchestrator replaces it: a link is turned round.
    put(&dir, "third", "third\n");
    std::os::unix::fs::symlink("third", dir.join("link")).unwrap();
    std::fs::rename(dir.join("link"), dir.join("secret")).unwrap();
    lets_in(&pooler, "third");
    pooler.stop_with(vec![client]);
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Seen to fail: a watcher that keeps what it saw when a reload was accepted asks for one a second.
#[test]
fn a_broken_file_changes_nothing_and_is_told_once() {
    let (dir, setup) = guarded();
    let pooler = setup.start();
    put(&dir, "new", "two\nlines\n");
    std::fs::rename(dir.join("new"), dir.join("secret")).unwrap(); // nobody sees half of it
    pooler.wait_for_line("reload rejected, nothing was changed");
    let_pass(LOOKS);
    assert_eq!(count(&pooler, "reload rejected"), 1);
    assert!(!pooler.log().contains("lines\n"), "no secret is told");
    drop(pooler.login(&app("first")));
    put(&dir, "secret", "good again\n");
    lets_in(&pooler, "good again");
    pooler.stop();
    std::fs::remove_dir_all(&dir).unwrap();
}

/// A key and its certificate, two secrets: what changes together is read together.
#[test]
fn many_changes_are_few_reloads() {
    let (dir, setup) = guarded();
    let pooler = setup.start();
    let begun = Instant::now();
    for number in 0..50 {
        put(&dir, "secret", &format!("secret {number}\n"));
        let_pass(Duration::from_millis(20));
    }
    lets_in(&pooler, "secret 49");
    // One at the end, and one whenever the test came to nothing for a second.
    let reloads = usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!(count(&pooler, "(watcher) changed: ") <= reloads.clamp(2, 20), "{}", pooler.log());
    pooler.stop();
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn lines_of_an_hba_file_count_when_they_change() {
    let dir = new_dir("pooler-test-watched");
    put(&dir, "hba", "host all all all reject\n");
    let hba = format!("hba_file \"{}\"", dir.join("hba").display());
    let pooler = Setup::transaction(2).global(&hba).start();
    assert_eq!(pooler.refused(&Login::new("app", "postgres")).code, "28P01");
    put(&dir, "hba", "host all all all trust\n");
    until("the lines to count", PATIENCE, || {
        pooler.connect().start(&Login::new("app", "postgres")).ok()
    });
    pooler.stop();
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn who_does_not_want_it_is_not_watched_for() {
    let (dir, setup) = guarded();
    let pooler = setup.global("watch_files no").start();
    put(&dir, "secret", "second\n");
    let_pass(LOOKS);
    drop(pooler.login(&app("first")));
    assert_eq!(count(&pooler, "importing changes"), 0, "{}", pooler.log());
    pooler.stop();

    // Nor is the configuration itself.
    let pooler = guarded_by(&dir).start();
    let file = pooler.socket_dir().join("odyssey.conf");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text + "\nlog_debug yes\n").unwrap();
    let_pass(LOOKS);
    assert_eq!(count(&pooler, "importing changes"), 0, "{}", pooler.log());
    pooler.stop();
    std::fs::remove_dir_all(&dir).unwrap();
}

fn guarded_by(dir: &Path) -> Setup {
    let rule = format!(
        r#"authentication "scram-sha-256" storage "pg" pool "transaction" password_file "{}""#,
        dir.join("secret").display()
    );
    Setup::new().rule("postgres", "app", &rule)
}

/// As Kubernetes mounts secrets: the file is a link into `..data`, a link to a directory, and that
/// is turned round by a rename. And as editors and deployments write: a new file in its place.
#[test]
fn a_file_counts_however_it_is_replaced() {
    use std::os::unix::fs::symlink;
    let dir = new_dir("pooler-test-watched");
    let version = |name: &str, text: &str| {
        std::fs::create_dir(dir.join(name)).unwrap();
        put(&dir.join(name), "secret", text);
        symlink(name, dir.join("..new")).unwrap();
        std::fs::rename(dir.join("..new"), dir.join("..data")).unwrap();
    };
    version("..1", "mounted\n");
    symlink("..data/secret", dir.join("secret")).unwrap();
    let pooler = guarded_by(&dir).start();
    drop(pooler.login(&app("mounted")));
    version("..2", "mounted again\n");
    lets_in(&pooler, "mounted again");
    // The old one went away, as kubelet does it.
    std::fs::remove_dir_all(dir.join("..1")).unwrap();
    put(&dir, "beside", "renamed\n");
    std::fs::rename(dir.join("beside"), dir.join("secret")).unwrap();
    lets_in(&pooler, "renamed");
    put(&dir, "secret", "written in place\n");
    lets_in(&pooler, "written in place");
    pooler.stop();
    std::fs::remove_dir_all(&dir).unwrap();
}
