//! The command line: Odyssey's flags, word for word, and its exit codes. It refuses to know what a
//! pooler does; `boot` does.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use config::{Diagnostic, Diagnostics, Global};

use crate::boot;
use crate::log::{Format, Level, Who};

/// The format of lines before the configuration names one.
const EARLY_FORMAT: &str = "%p %t %l (%c) %h %m\n";

const HELP: &str = "\
Usage: pooler [OPTION...] CONFIG
A PostgreSQL connection pooler, drop-in for Odyssey.

      --console              Do not run as a daemon
      --log_to_stdout        Log to standard output
      --silent               Log no debug, session, query and statistics lines
      --test                 Check the configuration and exit
      --verbose              Log debug, session, query and statistics lines
  -?, -h, --help             Give this help list
      --usage                Give a short usage message
  -V, --version              Print program version
";

const USAGE: &str = "Usage: pooler [-?hV] [--console] [--log_to_stdout] [--silent] [--test] \
     [--verbose] [--help] [--usage] [--version] CONFIG";

/// What the flags say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Flags {
    test: bool,
    verbose: bool,
    silent: bool,
    console: bool,
    log_to_stdout: bool,
    files: Vec<PathBuf>,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Say(String),
    Run(Flags),
}

/// The first lines of `--version` and of the log: Odyssey's shape, so that scripts that parse it go
/// on; the version of Odyssey is the one whose behaviour this program has.
pub(crate) fn version() -> String {
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    format!(
        "odyssey 1.5.3 (pooler {}) {build} -pam -ldap -systemd -prom",
        env!("CARGO_PKG_VERSION")
    )
}

/// The whole program. Returns its exit status: 0 after a clean stop, 1 when it could not start or
/// was told to die, 124 when clients stayed longer than `graceful_shutdown_timeout_ms`.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match parse(arguments) {
        Ok(Command::Say(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Ok(Command::Run(flags)) => start(flags),
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, String> {
    use lexopt::Arg::{Long, Short, Value};
    let mut flags = Flags::default();
    let mut parser = lexopt::Parser::from_iter(arguments);
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Long("help") | Short('h' | '?') => return Ok(Command::Say(HELP.trim_end().into())),
            Long("usage") => return Ok(Command::Say(USAGE.into())),
            Long("version") | Short('V') => {
                let text = format!("{}\ncompiled by rustc, 64-bit", version());
                return Ok(Command::Say(text));
            }
            Long("test") => flags.test = true,
            Long("verbose") => flags.verbose = true,
            Long("silent") => flags.silent = true,
            Long("console") => flags.console = true,
            Long("log_to_stdout" | "log-to-stdout") => flags.log_to_stdout = true,
            Value(file) => flags.files.push(file.into()),
            Long(name) => return Err(unknown(&format!("unrecognized option '--{name}'"))),
            Short(letter) => return Err(unknown(&format!("invalid option -- '{letter}'"))),
        }
    }
    if flags.silent && flags.verbose {
        return Err("silent and verbose option both specified".into());
    }
    Ok(Command::Run(flags))
}

fn unknown(what: &str) -> String {
    format!("pooler: {what}\nTry 'pooler --help' for more information.")
}

fn start(flags: Flags) -> ExitCode {
    let [file] = flags.files.as_slice() else {
        early(Level::Error, "init", &version());
        early(Level::Error, "init", "usage: pooler <config_file>");
        return ExitCode::FAILURE;
    };
    let loaded = match config::load(file) {
        Ok(loaded) => loaded,
        Err(diagnostics) => {
            complain(&diagnostics);
            return ExitCode::FAILURE;
        }
    };
    for warning in &loaded.warnings {
        early(Level::Info, "config", &worded(warning));
    }
    if flags.test {
        early(Level::Info, "config", "config is valid");
        return ExitCode::SUCCESS;
    }
    let mut config = loaded.config;
    apply(&flags, &mut config.global);
    boot::run(config, file)
}

/// Flags win over the file.
fn apply(flags: &Flags, global: &mut Global) {
    if flags.verbose || flags.silent {
        let loud = flags.verbose;
        global.log_debug = loud;
        global.log_session = loud;
        global.log_query = loud;
        global.log_stats = loud;
    }
    if flags.log_to_stdout {
        global.log_to_stdout = true;
    }
}

fn complain(diagnostics: &Diagnostics) {
    for diagnostic in &diagnostics.0 {
        early(Level::Error, "config", &worded(diagnostic));
    }
}

/// The complaint and, in the same line, how it could be mended.
fn worded(diagnostic: &Diagnostic) -> String {
    match &diagnostic.hint {
        Some(hint) => format!("{diagnostic}; hint: {hint}"),
        None => diagnostic.to_string(),
    }
}

/// A line before there is a log.
pub(crate) fn early(level: Level, context: &str, message: &str) {
    let line =
        Format::new(EARLY_FORMAT).line(level, context, &Who::default(), format_args!("{message}"));
    print!("{}", String::from_utf8_lossy(&line));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str], expected: Result<Command, &str>) {
        let words = std::iter::once("pooler").chain(arguments.iter().copied());
        let parsed = parse(words.map(OsString::from));
        match (parsed, expected) {
            (Ok(parsed), Ok(expected)) => assert_eq!(parsed, expected, "{arguments:?}"),
            (Err(text), Err(expected)) => assert!(text.contains(expected), "{arguments:?}: {text}"),
            (parsed, expected) => panic!("{arguments:?}: {parsed:?}, not {expected:?}"),
        }
    }

    #[test]
    fn flags_are_odysseys() {
        let file = || vec![PathBuf::from("o.conf")];
        check(&["o.conf"], Ok(Command::Run(Flags { files: file(), ..Flags::default() })));
        check(
            &["--log_to_stdout", "o.conf", "--test"],
            Ok(Command::Run(Flags {
                test: true,
                log_to_stdout: true,
                files: file(),
                ..Flags::default()
            })),
        );
        check(&["-?"], Ok(Command::Say(HELP.trim_end().into())));
        check(&["--usage"], Ok(Command::Say(USAGE.into())));
        check(&["--silent", "--verbose"], Err("silent and verbose option both specified"));
        check(&["--nonsense"], Err("unrecognized option '--nonsense'"));
        check(&["-x"], Err("Try 'pooler --help'"));
    }
}
