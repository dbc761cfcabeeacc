//! Odyssey's flags, read as glibc's `getopt_long` reads them, because that is what scripts in the
//! field rely on: operands anywhere, clusters of letters, abbreviations of long names, its words
//! for what it does not know. It refuses to know subcommands.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What the flags say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub test: bool,
    pub verbose: bool,
    pub silent: bool,
    pub console: bool,
    pub log_to_stdout: bool,
    /// The operands; a run wants exactly one.
    pub files: Vec<PathBuf>,
}

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// `--help`, and everything before it was understood.
    Help,
    Usage,
    Version,
    Run(Flags),
    /// The line for standard error before `Try …`; None where getopt is silent (`-?x`).
    Wrong(Option<String>),
}

/// A long flag: its name, the letters that mean the same, what it does.
pub(super) struct Flag {
    pub long: &'static str,
    pub letters: &'static str,
    pub doc: &'static str,
    effect: Effect,
}

#[derive(Clone, Copy)]
enum Effect {
    Set(fn(&mut Flags) -> &mut bool),
    Help,
    Usage,
    Version,
}

/// In the order in which getopt names the possibilities of an abbreviation.
pub(super) const FLAGS: [Flag; 8] = [
    flag("verbose", "Log everything", Effect::Set(|flags| &mut flags.verbose)),
    flag("silent", "Do not log anything", Effect::Set(|flags| &mut flags.silent)),
    flag("console", "Do not fork on startup", Effect::Set(|flags| &mut flags.console)),
    flag("log_to_stdout", "Log to stdout", Effect::Set(|flags| &mut flags.log_to_stdout)),
    flag("test", "Configuration testing", Effect::Set(|flags| &mut flags.test)),
    Flag { long: "version", letters: "V", doc: "Print program version", effect: Effect::Version },
    Flag { long: "help", letters: "h", doc: "Give this help list", effect: Effect::Help },
    flag("usage", "Give a short usage message", Effect::Usage),
];

const fn flag(long: &'static str, doc: &'static str, effect: Effect) -> Flag {
    Flag { long, letters: "", doc, effect }
}

/// Reads the words behind the program's name. `posix` (the variable POSIXLY_CORRECT is set): the
/// first operand ends the flags.
pub(super) fn read(program: &str, words: &[OsString], posix: bool) -> Call {
    let mut flags = Flags::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let bytes = word.as_bytes();
        let asked = match bytes {
            b"--" => {
                flags.files.extend(words.map(PathBuf::from));
                return Call::Run(flags);
            }
            [b'-', b'-', name @ ..] => long(program, name, &mut flags),
            [b'-', letters @ ..] if !letters.is_empty() => short(program, letters),
            _ if posix => {
                flags.files.push(word.into());
                flags.files.extend(words.map(PathBuf::from));
                return Call::Run(flags);
            }
            _ => {
                flags.files.push(word.into());
                None
            }
        };
        if let Some(call) = asked {
            return call;
        }
    }
    Call::Run(flags)
}

/// Some ends the reading.
fn long(program: &str, word: &[u8], flags: &mut Flags) -> Option<Call> {
    let (name, value) = match word.iter().position(|byte| *byte == b'=') {
        Some(at) => (&word[..at], true),
        None => (word, false),
    };
    let exact = FLAGS.iter().find(|flag| flag.long.as_bytes() == name);
    let near: Vec<&Flag> =
        FLAGS.iter().filter(|flag| flag.long.as_bytes().starts_with(name)).collect();
    let flag = match (exact, near.as_slice()) {
        (Some(flag), _) => flag,
        (None, [flag]) => *flag,
        (None, []) => {
            return wrong(format!("{program}: unrecognized option '--{}'", text(word)));
        }
        (None, many) => {
            let names: String = many.iter().map(|flag| format!(" '--{}'", flag.long)).collect();
            let what = format!("option '--{}' is ambiguous; possibilities:{names}", text(word));
            return wrong(format!("{program}: {what}"));
        }
    };
    if value {
        return wrong(format!("{program}: option '--{}' doesn't allow an argument", flag.long));
    }
    match flag.effect {
        Effect::Set(field) => {
            *field(flags) = true;
            None
        }
        Effect::Help => Some(Call::Help),
        Effect::Usage => Some(Call::Usage),
        Effect::Version => Some(Call::Version),
    }
}

/// Every letter there is ends the reading. `?` is one of them, but the program recognises it only
/// where it stands alone.
fn short(program: &str, letters: &[u8]) -> Option<Call> {
    match letters {
        [b'V', ..] => Some(Call::Version),
        [b'h', ..] | [b'?'] => Some(Call::Help),
        [b'?', ..] => Some(Call::Wrong(None)),
        _ => wrong(format!("{program}: invalid option -- '{}'", text(&letters[..1]))),
    }
}

fn wrong(what: String) -> Option<Call> {
    Some(Call::Wrong(Some(what)))
}

fn text(bytes: &[u8]) -> String {
    OsStr::from_bytes(bytes).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(words: &str) -> Call {
        let words: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
        read("./odyssey", &words, false)
    }

    fn runs(words: &str, expected: Flags) {
        assert_eq!(call(words), Call::Run(expected), "{words}");
    }

    fn fails(words: &str, expected: &str) {
        assert_eq!(call(words), Call::Wrong(Some(format!("./odyssey: {expected}"))), "{words}");
    }

    fn file() -> Vec<PathBuf> {
        vec![PathBuf::from("o.conf")]
    }

    #[test]
    fn flags_stand_before_and_behind_the_file() {
        runs("o.conf", Flags { files: file(), ..Flags::default() });
        let asked = || Flags { test: true, log_to_stdout: true, files: file(), ..Flags::default() };
        runs("--log_to_stdout o.conf --test", asked());
        runs("--test --log_to_stdout -- o.conf", asked());
        let all = Flags {
            verbose: true,
            silent: true,
            console: true,
            log_to_stdout: true,
            test: true,
            files: file(),
        };
        runs("--verbose --silent --console --log_to_stdout --test o.conf", all);
        runs("- -- --test", Flags { files: vec!["-".into(), "--test".into()], ..Flags::default() });
    }

    #[test]
    fn long_names_may_be_cut_where_they_stay_clear() {
        runs("--t o.conf", Flags { test: true, files: file(), ..Flags::default() });
        runs("--verb o.conf", Flags { verbose: true, files: file(), ..Flags::default() });
        assert_eq!(call("--vers"), Call::Version);
        assert_eq!(call("--u"), Call::Usage);
        fails("--ver", "option '--ver' is ambiguous; possibilities: '--verbose' '--version'");
    }

    #[test]
    fn the_first_flag_that_ends_it_counts() {
        assert_eq!(call("-h --nonsense"), Call::Help);
        assert_eq!(call("-Vx"), Call::Version);
        assert_eq!(call("o.conf --help"), Call::Help);
        assert_eq!(call("--test -? -x"), Call::Help);
        fails("-x -h", "invalid option -- 'x'");
    }

    #[test]
    fn what_is_not_known_is_told_in_getopts_words() {
        fails("--nonsense", "unrecognized option '--nonsense'");
        fails("--nonsense=5 o.conf", "unrecognized option '--nonsense=5'");
        fails("--log-to-stdout", "unrecognized option '--log-to-stdout'");
        fails("--test=yes", "option '--test' doesn't allow an argument");
        fails("--te=yes", "option '--test' doesn't allow an argument");
        fails("-d", "invalid option -- 'd'");
        fails("-verbose", "invalid option -- 'v'");
        assert_eq!(call("-?x"), Call::Wrong(None));
    }

    #[test]
    fn posixly_correct_ends_the_flags_at_the_file() {
        let words = ["--test", "o.conf", "--help"].map(OsString::from);
        let Call::Run(flags) = read("odyssey", &words, true) else { panic!("it runs") };
        assert_eq!(flags.files, ["o.conf", "--help"].map(PathBuf::from));
    }
}
