//! Which program this is, in all the places that say so. The version of Odyssey is the one whose
//! behaviour it has: scripts that read it go on.

/// Of this program.
pub const OURS: &str = env!("CARGO_PKG_VERSION");

/// The same behind Odyssey's, where a number of a version is expected.
pub const BOTH: &str = concat!("1.5.3-pooler-", env!("CARGO_PKG_VERSION"));

/// The same in words.
pub const IN_WORDS: &str = concat!("odyssey 1.5.3 (pooler ", env!("CARGO_PKG_VERSION"), ")");

/// What compiled it.
pub const COMPILER: [&str; 2] = ["rustc", env!("CARGO_PKG_RUST_VERSION")];

/// How it was built.
pub const BUILD: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

/// The first line of `--version` and of the log, in Odyssey's shape.
pub fn line() -> String {
    let pam = if cfg!(feature = "pam") { "+pam" } else { "-pam" };
    let ldap = if cfg!(feature = "ldap") { "+ldap" } else { "-ldap" };
    format!("{IN_WORDS} {BUILD} {pam} {ldap} -systemd +prom")
}
