//! What the command line prints about itself: as Odyssey when it was called by that name, as itself
//! otherwise.

use super::commands::COMMANDS;
use super::flags::FLAGS;

/// By which name the program was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Face {
    Odyssey,
    Pooler,
}

pub(super) fn help(face: Face, program: &str) -> String {
    match face {
        Face::Odyssey => odysseys_help(program),
        Face::Pooler => our_help(program),
    }
}

/// The order is Odyssey's, and so is the one column that is missing. Not its last line, the address
/// for reports of bugs: its authors do not answer for this program.
fn odysseys_help(program: &str) -> String {
    let mut text = format!(
        "Usage: {program} [OPTION...] /path/to/odyssey.conf\n\
         Odyssey - scalable postgresql connection pooler\n\n"
    );
    text.push_str(&flags());
    text.push_str("  -?                        Same as --help");
    text
}

/// Plain flags by name, then those with a letter; `--usage` is not listed.
fn flags() -> String {
    let mut rows: Vec<_> = FLAGS.iter().filter(|flag| flag.long != "usage").collect();
    rows.sort_by_key(|flag| (!flag.letters.is_empty(), flag.letters, flag.long));
    let row = |flag: &&super::flags::Flag| {
        let letter = match flag.letters {
            "" => "    ".to_owned(),
            letter => format!("-{letter}, "),
        };
        format!("  {letter}--{:<21}{}\n", flag.long, flag.doc)
    };
    rows.iter().map(row).collect()
}

fn our_help(program: &str) -> String {
    let mut text = format!(
        "Usage: {program} [OPTION...] FILE\n       {program} COMMAND [OPTION...] [FILE]\n\
         A PostgreSQL connection pooler in the place of Odyssey.\n\n\
         With a FILE, odyssey.conf or odyssey.yaml, it runs:\n"
    );
    text.push_str(&flags());
    text.push_str("\nWith a COMMAND it tells something about a file and ends:\n");
    for command in &COMMANDS {
        text.push_str(&format!("  {:<24}{}\n", command.title(), command.doc));
    }
    text.push_str(&format!("\n'{program} COMMAND --help' tells the options of a command."));
    text
}

pub(super) fn usage(face: Face, program: &str) -> String {
    let operand = match face {
        Face::Odyssey => "/path/to/odyssey.conf",
        Face::Pooler => "FILE",
    };
    format!(
        "Usage: {program} [-?V] [--console] [--log_to_stdout] [--silent] [--test] [--verbose] \
         [--help] [--usage] [--version] {operand}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odysseys_help_is_odysseys() {
        let expected = "\
Usage: ./odyssey [OPTION...] /path/to/odyssey.conf
Odyssey - scalable postgresql connection pooler

      --console              Do not fork on startup
      --log_to_stdout        Log to stdout
      --silent               Do not log anything
      --test                 Configuration testing
      --verbose              Log everything
  -V, --version              Print program version
  -h, --help                 Give this help list
  -?                        Same as --help";
        assert_eq!(help(Face::Odyssey, "./odyssey"), expected);
    }

    #[test]
    fn odysseys_usage_is_odysseys() {
        let expected = "Usage: odyssey [-?V] [--console] [--log_to_stdout] [--silent] [--test] \
                        [--verbose] [--help] [--usage] [--version] /path/to/odyssey.conf";
        assert_eq!(usage(Face::Odyssey, "odyssey"), expected);
    }

    #[test]
    fn our_help_names_every_command() {
        let text = help(Face::Pooler, "pooler");
        for command in &COMMANDS {
            assert!(text.contains(command.name), "{}: {text}", command.name);
        }
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}
