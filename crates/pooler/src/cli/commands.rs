//! The table of subcommands: names, operands and flags, once. The reading of command lines, the
//! help, the completions of shells and the manual page follow from it.

use std::ffi::OsString;
use std::fmt::Write as _;

/// A subcommand.
pub(super) struct Command {
    pub name: &'static str,
    /// What stands behind the name; exactly one, or none if this is [`Operand::Nothing`].
    pub operand: Operand,
    pub flags: &'static [Flag],
    /// One line, without a full stop.
    pub doc: &'static str,
    /// More lines for the manual page; sentences.
    pub more: &'static str,
}

/// What a subcommand is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    Nothing,
    File,
    OneOf(&'static [&'static str]),
}

/// An option of a subcommand.
pub(super) struct Flag {
    pub long: &'static str,
    pub letter: Option<char>,
    pub value: Value,
    pub doc: &'static str,
}

/// What stands behind an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing.
    None,
    /// Anything, under this name in help texts.
    Text(&'static str),
    /// The path of a file.
    File,
    OneOf(&'static [&'static str]),
}

/// The shells there are completions for.
pub(super) const SHELLS: &[&str] = &["bash", "fish", "zsh"];

const FORMATS: &[&str] = &["conf", "yaml"];

const SOURCES: &[&str] = &["pgbouncer", "pgcat", "pgdog", "pg_doorman"];

pub(super) const COMMANDS: [Command; 6] = [
    Command {
        name: "check",
        operand: Operand::File,
        flags: &[],
        doc: "Print every complaint about a configuration",
        more: "All errors and warnings come at once, with their places. The exit status is 0 \
               when the file can be used.",
    },
    Command {
        name: "explain",
        operand: Operand::File,
        flags: &[
            flag("user", Value::Text("NAME"), "The user that the client names"),
            flag("database", Value::Text("NAME"), "The database it names; without this, its user"),
            flag("address", Value::Text("ADDRESS"), "Where it is: 127.0.0.1, an address, or local"),
            flag("host", Value::Text("NAME"), "The name that its address has in the DNS"),
            flag("tls", Value::None, "It speaks TLS"),
            flag("group-member", Value::Text("GROUP"), "It is a member; may be given again"),
        ],
        doc: "Tell which rule a client meets, and why no other",
        more: "The rules are listed in the order in which they are tried, each with the reason \
               why it is or is not the client's. Then come the settings of the one that is, and \
               where each listener leads. The exit status is 1 when no rule is for this client.",
    },
    Command {
        name: "dump",
        operand: Operand::File,
        flags: &[
            flag("format", Value::OneOf(FORMATS), "The language; that of the file by default"),
            flag("show-secrets", Value::None, "Print passwords instead of asterisks"),
        ],
        doc: "Print the configuration that is in effect",
        more: "Defaults are filled in, included files are in their places, passwords are masked unless asked for. What it prints can be read again.",
    },
    Command {
        name: "convert",
        operand: Operand::File,
        flags: &[
            flag("from", Value::OneOf(SOURCES), "Whose file it is; by default its looks decide"),
            flag("format", Value::OneOf(FORMATS), "The language to write; by default that of -o"),
            Flag {
                long: "output",
                letter: Some('o'),
                value: Value::File,
                doc: "Write into this file, which must not exist; by default to standard output",
            },
        ],
        doc: "Write another pooler's configuration as ours",
        more: "Reads pgbouncer.ini with its userlist, pgcat.toml, pgdog.toml with the users.toml \
               beside it, and pg_doorman's toml or yaml. \
               What could not be carried over is listed on standard error and at the top of the \
               output, with the reason. Passwords are carried over as they are.",
    },
    Command {
        name: "completions",
        operand: Operand::OneOf(SHELLS),
        flags: &[],
        doc: "Print the completions of a shell",
        more: "For bash: source <(pooler completions bash).",
    },
    Command {
        name: "man",
        operand: Operand::Nothing,
        flags: &[],
        doc: "Print the manual page",
        more: "To be read with man -l, or to be installed as pooler.1.",
    },
];

const fn flag(long: &'static str, value: Value, doc: &'static str) -> Flag {
    Flag { long, letter: None, value, doc }
}

/// A subcommand's command line, understood.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    /// Empty where the command has no operand.
    pub operand: OsString,
    values: Vec<(&'static str, OsString)>,
    help: bool,
}

impl Given {
    pub fn wants_help(&self) -> bool {
        self.help
    }

    pub fn has(&self, long: &str) -> bool {
        self.values.iter().any(|(name, _)| *name == long)
    }

    /// The last one wins.
    pub fn value(&self, long: &str) -> Option<&OsString> {
        self.values.iter().rev().find(|(name, _)| *name == long).map(|(_, value)| value)
    }

    /// As text; bytes that are none are replaced.
    pub fn text(&self, long: &str) -> Option<String> {
        self.value(long).map(|value| value.to_string_lossy().into_owned())
    }

    pub fn texts(&self, long: &str) -> Vec<String> {
        let all = self.values.iter().filter(|(name, _)| *name == long);
        all.map(|(_, value)| value.to_string_lossy().into_owned()).collect()
    }
}

pub(super) fn find(name: &OsString) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| name == command.name)
}

impl Command {
    /// The name and the operand.
    pub fn title(&self) -> String {
        format!("{}{}", self.name, self.operand.title())
    }

    /// # Errors
    /// What is wrong with the words, in one line.
    pub fn read(&self, words: &[OsString]) -> Result<Given, String> {
        use lexopt::Arg::{Long, Short, Value as Word};
        let mut given = Given::default();
        let mut operands = Vec::new();
        let mut parser = lexopt::Parser::from_args(words);
        while let Some(word) = parser.next().map_err(|error| error.to_string())? {
            let flag = match word {
                Long("help") | Short('h' | '?') => {
                    given.help = true;
                    return Ok(given);
                }
                Word(operand) => {
                    operands.push(operand);
                    continue;
                }
                Long(name) => self.flags.iter().find(|flag| flag.long == name),
                Short(letter) => self.flags.iter().find(|flag| flag.letter == Some(letter)),
            };
            let Some(flag) = flag else { return Err(word.unexpected().to_string()) };
            let value = match flag.value {
                Value::None => OsString::new(),
                _ => parser.value().map_err(|error| error.to_string())?,
            };
            flag.check(&value)?;
            given.values.push((flag.long, value));
        }
        given.operand = self.one(operands)?;
        Ok(given)
    }

    fn one(&self, operands: Vec<OsString>) -> Result<OsString, String> {
        let mut operands = operands.into_iter();
        match (self.operand, operands.next(), operands.next()) {
            (Operand::Nothing, None, _) => Ok(OsString::new()),
            (Operand::File, Some(file), None) => Ok(file),
            (Operand::OneOf(words), Some(word), None) => {
                match words.iter().any(|it| word == **it) {
                    true => Ok(word),
                    false => Err(format!("'{}' is none of {}", word.display(), words.join(", "))),
                }
            }
            (operand, None, _) => Err(format!("missing{}", operand.title())),
            (_, _, Some(extra)) | (Operand::Nothing, Some(extra), _) => {
                Err(format!("unexpected argument '{}'", extra.display()))
            }
        }
    }

    pub fn help(&self, program: &str) -> String {
        let options = if self.flags.is_empty() { "" } else { " [OPTION...]" };
        let mut text = format!(
            "Usage: {program} {}{options}{}\n{}.\n{}\n",
            self.name,
            self.operand.title(),
            self.doc,
            self.more
        );
        for flag in self.flags {
            let _ = write!(text, "\n  {:<26}{}", flag.title(), flag.doc);
        }
        let _ = write!(text, "\n  {:<26}Give this help", "-h, --help");
        text
    }
}

impl Operand {
    /// As it stands behind a name: with a blank in front, or empty.
    pub fn title(self) -> &'static str {
        match self {
            Operand::Nothing => "",
            Operand::File => " FILE",
            Operand::OneOf(_) => " SHELL",
        }
    }
}

impl Flag {
    /// `-o, --output FILE`
    pub fn title(&self) -> String {
        let letter = self.letter.map(|letter| format!("-{letter}, ")).unwrap_or_default();
        format!("{letter}--{}{}", self.long, self.value.title())
    }

    fn check(&self, value: &OsString) -> Result<(), String> {
        match self.value {
            Value::OneOf(words) if !words.iter().any(|word| value == *word) => {
                let (value, words) = (value.display(), words.join(", "));
                Err(format!("--{}: '{value}' is none of {words}", self.long))
            }
            _ => Ok(()),
        }
    }
}

impl Value {
    /// As it stands behind a flag: with a blank in front, or empty.
    pub fn title(self) -> String {
        match self {
            Value::None => String::new(),
            Value::Text(name) => format!(" {name}"),
            Value::File => " FILE".into(),
            Value::OneOf(words) => format!(" {}", words.join("|")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Given, String> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        find(&words[0]).expect("a command").read(&words[1..])
    }

    #[test]
    fn command_lines_are_understood() {
        let given = read("explain o.conf --user app --tls --group-member a --group-member=b");
        let given = given.expect("it is right");
        assert_eq!(given.operand, "o.conf");
        assert_eq!(given.text("user").as_deref(), Some("app"));
        assert_eq!(given.value("database"), None);
        assert!(given.has("tls"));
        assert_eq!(given.texts("group-member"), ["a", "b"]);
        assert!(read("check --help nonsense").expect("help ends it").wants_help());
        let given = read("convert -oout.conf pgbouncer.ini").expect("it is right");
        assert_eq!(given.value("output"), Some(&OsString::from("out.conf")));
        assert_eq!(read("man").expect("it is right"), Given::default());
    }

    #[test]
    fn wrong_command_lines_are_told_what_is_wrong() {
        for (line, expected) in [
            ("check", "missing FILE"),
            ("check a b", "unexpected argument 'b'"),
            ("check --nonsense a", "invalid option '--nonsense'"),
            ("check -x a", "invalid option '-x'"),
            ("dump --format toml a", "--format: 'toml' is none of conf, yaml"),
            ("dump a --format", "missing argument for option '--format'"),
            ("explain --tls=1 a", "unexpected argument for option '--tls': \"1\""),
            ("completions csh", "'csh' is none of bash, fish, zsh"),
            ("completions", "missing SHELL"),
            ("man page", "unexpected argument 'page'"),
        ] {
            assert_eq!(read(line).expect_err(line), expected, "{line}");
        }
    }
}
