//! The command line: Odyssey's flags and exit codes, and subcommands that tell something about a
//! file. It refuses to know what a pooler does; `boot` does.
//!
//! Called as `odyssey` it is Odyssey's command line and nothing else. Called otherwise, a first
//! word that is a subcommand's name is one, unless it is the only operand and such a file exists:
//! then it is the configuration, as it would be for Odyssey.

mod commands;
mod completions;
mod convert;
mod explain;
mod flags;
mod man;
mod out;
mod texts;
mod verdict;

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use config::{Config, Diagnostics};

use crate::boot;
use crate::log::{Format, Level, Who};
use crate::version;
use crate::world::Origin;
use commands::{Command, Given};
use flags::{Call, Flags};
use texts::Face;

/// The format of lines before the configuration names one.
const EARLY_FORMAT: &str = "%p %t %l (%c) %h %m\n";

/// A subcommand was not understood, or what it was to read or write cannot be.
const MISUSED: u8 = 2;

/// The whole program. Returns its exit status: 0 after a clean stop, 1 when it could not start or
/// was told to die, 124 when clients stayed longer than `graceful_shutdown_timeout_ms`.
/// Subcommands: 0 for a good answer, 1 for a bad one, 2 when there is none.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let mut words: Vec<OsString> = arguments.collect();
    let whole = words.clone();
    let program = if words.is_empty() { OsString::from("pooler") } else { words.remove(0) };
    let (face, program) = (face(&program), program.to_string_lossy().into_owned());
    if face == Face::Pooler
        && let Some(command) = subcommand(&words, |name| Path::new(name).is_file())
    {
        return obey(command, &program, &words[1..]);
    }
    let posix = std::env::var_os("POSIXLY_CORRECT").is_some();
    match flags::read(&program, &words, posix) {
        Call::Help => say(&texts::help(face, &program)),
        Call::Usage => say(&texts::usage(face, &program)),
        Call::Version => say(&format!("{}\ncompiled by rustc, 64-bit", version::line())),
        Call::Run(flags) => start(flags, &program, whole),
        Call::Wrong(what) => {
            if let Some(what) = what {
                out::aside(&what);
            }
            out::aside(&format!("Try `{program} --help' for more information."));
            ExitCode::FAILURE
        }
    }
}

fn face(program: &OsStr) -> Face {
    match Path::new(program).file_name() {
        Some(name) if name == "odyssey" => Face::Odyssey,
        _ => Face::Pooler,
    }
}

/// The subcommand that the words are for, if they are for one.
fn subcommand(words: &[OsString], is_file: impl Fn(&OsStr) -> bool) -> Option<&'static Command> {
    let (first, others) = words.split_first()?;
    let command = commands::find(first)?;
    let alone = others.iter().all(|word| word.as_bytes().starts_with(b"-"));
    (!(alone && is_file(first))).then_some(command)
}

fn say(text: &str) -> ExitCode {
    out::answer(&format!("{text}\n"), ExitCode::SUCCESS)
}

fn obey(command: &'static Command, program: &str, words: &[OsString]) -> ExitCode {
    let given = match command.read(words) {
        Ok(given) if given.wants_help() => return say(&command.help(program)),
        Ok(given) => given,
        Err(what) => {
            let name = command.name;
            out::aside(&format!("{program} {name}: {what}\nTry '{program} {name} --help'."));
            return ExitCode::from(MISUSED);
        }
    };
    answer(command, &given)
}

fn answer(command: &Command, given: &Given) -> ExitCode {
    match command.name {
        "check" => verdict::check(Path::new(&given.operand)),
        "explain" => explain::explain(given),
        "dump" => verdict::dump(given),
        "convert" => convert::convert(given),
        "completions" => {
            let shell = given.operand.to_string_lossy();
            out::answer(&completions::script(&shell).unwrap_or_default(), ExitCode::SUCCESS)
        }
        _ => out::answer(&man::page(), ExitCode::SUCCESS),
    }
}

fn start(flags: Flags, program: &str, command: Vec<OsString>) -> ExitCode {
    let [file] = flags.files.as_slice() else {
        early(Level::Info, "init", &version::line());
        early(Level::Info, "init", &format!("usage: {program} <config_file>"));
        return ExitCode::FAILURE;
    };
    // What only a start refuses is no mistake of the file.
    let read = if flags.test { config::check } else { config::load };
    let loaded = match read(file) {
        Ok(loaded) => loaded,
        Err(diagnostics) => {
            complain(&diagnostics);
            return ExitCode::FAILURE;
        }
    };
    for warning in &loaded.warnings {
        early(Level::Info, "config", &warning.line());
    }
    if flags.test {
        early(Level::Info, "config", "config is valid");
        return ExitCode::SUCCESS;
    }
    // Behind the file's own complaints, and not with --test: where Odyssey looks.
    if flags.silent && flags.verbose {
        early(Level::Info, "startup", "silent and verbose option both specified");
        return ExitCode::FAILURE;
    }
    let (mut loaded, file) = (loaded, file.clone());
    let origin = Origin::new(file, move |config| apply(&flags, config)).with_command(command);
    origin.overrule(&mut loaded.config);
    boot::run(loaded, origin)
}

/// Flags win over the file.
fn apply(flags: &Flags, config: &mut Config) {
    let Config { global, rules, .. } = config;
    if flags.verbose || flags.silent {
        let loud = flags.verbose;
        global.log_debug = loud;
        global.log_session = loud;
        global.log_query = loud;
        global.log_stats = loud;
        for rule in rules.iter_mut().map(Arc::make_mut) {
            (rule.log_debug, rule.log_query) = (loud, loud);
        }
    }
    if flags.log_to_stdout {
        global.log_to_stdout = true;
    }
    if flags.console {
        global.daemonize = false;
    }
}

fn complain(diagnostics: &Diagnostics) {
    for diagnostic in &diagnostics.0 {
        early(Level::Error, "config", &diagnostic.line());
    }
}

/// A line before there is a log.
pub(crate) fn early(level: Level, context: &str, message: &str) {
    let line =
        Format::new(EARLY_FORMAT).line(level, context, &Who::default(), format_args!("{message}"));
    // As any line of the log: nobody is held up by one that cannot be written.
    let _ = std::io::stdout().write_all(&line);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_command(line: &str, is_file: bool) -> bool {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        subcommand(&words, |_| is_file).is_some()
    }

    #[test]
    fn a_file_named_like_a_subcommand_is_still_a_file() {
        for (line, without_file, with_file) in [
            ("check", true, false),
            ("check --test", true, false),
            ("--test check", false, false),
            ("-- check", false, false),
            ("check check", true, true),
            ("check odyssey.conf", true, true),
            ("man", true, false),
            ("./check", false, false),
            ("completions bash", true, true),
            ("odyssey.conf check", false, false),
        ] {
            assert_eq!(is_command(line, false), without_file, "{line}");
            assert_eq!(is_command(line, true), with_file, "{line}, and there is such a file");
        }
        assert!(!is_command("", true));
    }

    #[test]
    fn the_name_makes_the_face() {
        assert_eq!(face(OsStr::new("odyssey")), Face::Odyssey);
        assert_eq!(face(OsStr::new("/usr/bin/odyssey")), Face::Odyssey);
        assert_eq!(face(OsStr::new("/opt/odyssey/pooler")), Face::Pooler);
        assert_eq!(face(OsStr::new("")), Face::Pooler);
    }

    /// Against flags that reach the process and leave the rules as loud as they are.
    #[test]
    fn flags_win_over_rules_too() {
        const FILE: &str = "log_format \"%m\" listen { host \"::1\" port 1 }
            storage \"pg\" { type \"remote\" host \"h\" port 1 }
            database \"d\" { user \"u\" { storage \"pg\" authentication \"none\" pool \"session\"
            log_query yes } }";
        let loaded = config::parse("f", FILE, config::Format::Conf).expect("it is right");
        let mut config = loaded.config;
        apply(&Flags { silent: true, ..Flags::default() }, &mut config);
        assert!(!config.rules[0].log_query);
        apply(&Flags { verbose: true, ..Flags::default() }, &mut config);
        assert!(config.rules[0].log_debug && config.global.log_query);
    }
}
