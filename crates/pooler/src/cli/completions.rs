//! Completions for bash, fish and zsh, from the tables of flags and subcommands.

use std::fmt::Write as _;

use super::commands::{COMMANDS, Command, Operand, Value};
use super::flags::FLAGS;

/// The script for that shell; None if there is none.
pub(super) fn script(shell: &str) -> Option<String> {
    match shell {
        "bash" => Some(bash()),
        "fish" => Some(fish()),
        "zsh" => Some(zsh()),
        _ => None,
    }
}

const BASH_HEAD: &str = "\
# Completions of pooler for bash: source <(pooler completions bash)
_pooler() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
    local flags= words= files=
";

const BASH_TAIL: &str = "\
    if [[ $word == -* ]]; then
        words=$flags
    fi
    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))
    if [[ -n $files && $word != -* ]]; then
        compopt -o filenames 2>/dev/null
        COMPREPLY+=($(compgen -f -- \"$word\"))
    fi
}
complete -F _pooler pooler
";

fn bash() -> String {
    let names: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
    let mut text = BASH_HEAD.to_owned();
    let _ = writeln!(text, "    if ((COMP_CWORD == 1)); then");
    let _ = writeln!(text, "        words='{}' flags='{}' files=1", names.join(" "), run_flags());
    let _ = writeln!(text, "    else\n        case ${{COMP_WORDS[1]}} in");
    for command in &COMMANDS {
        let _ = writeln!(text, "        {})\n            flags='{}'", command.name, flags(command));
        let _ = writeln!(text, "            case $before in");
        for flag in command.flags {
            let names = match flag.letter {
                Some(letter) => format!("-{letter} | --{}", flag.long),
                None => format!("--{}", flag.long),
            };
            if let Some(offer) = bash_offer(flag.value) {
                let _ = writeln!(text, "            {names}) {offer} ;;");
            }
        }
        let operand = match command.operand {
            Operand::Nothing => ":".to_owned(),
            Operand::File => "files=1".to_owned(),
            Operand::OneOf(words) => format!("words='{}'", words.join(" ")),
        };
        let _ = writeln!(text, "            *) {operand} ;;\n            esac ;;");
    }
    let _ = writeln!(text, "        *) flags='{}' files=1 ;;\n        esac\n    fi", run_flags());
    text + BASH_TAIL
}

fn bash_offer(value: Value) -> Option<String> {
    match value {
        Value::None => None,
        Value::Text(_) => Some(":".into()),
        Value::File => Some("files=1".into()),
        Value::OneOf(words) => Some(format!("words='{}'", words.join(" "))),
    }
}

fn run_flags() -> String {
    let names: Vec<String> = FLAGS.iter().map(|flag| format!("--{}", flag.long)).collect();
    names.join(" ")
}

fn flags(command: &Command) -> String {
    let names = command.flags.iter().map(|flag| format!("--{} ", flag.long));
    names.chain(["--help".to_owned()]).collect()
}

fn fish() -> String {
    let mut text =
        "# Completions of pooler for fish: pooler completions fish | source\n".to_owned();
    for command in &COMMANDS {
        let (name, doc) = (command.name, single_quoted(command.doc));
        let _ = writeln!(text, "complete -c pooler -n __fish_use_subcommand -a {name} -d {doc}");
    }
    for flag in &FLAGS {
        let letter = flag.letters.chars().next().map(|it| format!(" -s {it}")).unwrap_or_default();
        let (name, doc) = (flag.long, single_quoted(flag.doc));
        let _ = writeln!(
            text,
            "complete -c pooler -n __fish_use_subcommand{letter} -l {name} -d {doc}"
        );
    }
    for command in &COMMANDS {
        let seen = format!("complete -c pooler -n '__fish_seen_subcommand_from {}'", command.name);
        match command.operand {
            Operand::Nothing => {
                let _ = writeln!(text, "{seen} -f");
            }
            Operand::OneOf(words) => {
                let _ = writeln!(text, "{seen} -f -a '{}'", words.join(" "));
            }
            Operand::File => {}
        }
        for flag in command.flags {
            let letter = flag.letter.map(|it| format!(" -s {it}")).unwrap_or_default();
            let value = match flag.value {
                Value::None => String::new(),
                Value::Text(_) => " -x".into(),
                Value::File => " -r".into(),
                Value::OneOf(words) => format!(" -x -a '{}'", words.join(" ")),
            };
            let (name, doc) = (flag.long, single_quoted(flag.doc));
            let _ = writeln!(text, "{seen}{letter} -l {name}{value} -d {doc}");
        }
    }
    text
}

fn zsh() -> String {
    let mut text = "#compdef pooler\n# Completions of pooler for zsh: put this into a directory \
                    of fpath as _pooler\n"
        .to_owned();
    text.push_str("_pooler() {\n    local -a commands flags\n    commands=(\n");
    for command in &COMMANDS {
        let pair = format!("{}:{}", command.name, command.doc);
        let _ = writeln!(text, "        {}", single_quoted(&pair));
    }
    text.push_str("    )\n    flags=(\n");
    for flag in &FLAGS {
        let row = format!("--{}[{}]", flag.long, flag.doc);
        let _ = writeln!(text, "        {}", single_quoted(&row));
    }
    text.push_str(
        "    )\n    if ((CURRENT == 2)); then\n        _describe command commands\n        \
         _arguments $flags '*:file:_files'\n        return\n    fi\n    case $words[2] in\n",
    );
    for command in &COMMANDS {
        let _ = writeln!(text, "    {}) shift words; ((CURRENT--)); _arguments \\", command.name);
        for flag in command.flags {
            let action = match flag.value {
                Value::None => String::new(),
                Value::Text(name) => format!(":{name}:"),
                Value::File => ":file:_files".into(),
                Value::OneOf(words) => format!(":word:({})", words.join(" ")),
            };
            // No [ or ] may stand inside.
            let row = format!("*--{}[{}]{action}", flag.long, flag.doc);
            let _ = writeln!(text, "        {} \\", single_quoted(&row));
        }
        let operand = match command.operand {
            Operand::Nothing => "'--help[Give help]'".to_owned(),
            Operand::File => "'1:file:_files'".to_owned(),
            Operand::OneOf(words) => format!("'1:word:({})'", words.join(" ")),
        };
        let _ = writeln!(text, "        {operand} ;;");
    }
    text.push_str("    *) _arguments $flags '*:file:_files' ;;\n    esac\n}\n");
    text.push_str(
        "if [[ $funcstack[1] == _pooler ]]; then _pooler \"$@\"; else compdef _pooler pooler; fi\n",
    );
    text
}

/// In the quotes that all three shells leave alone.
fn single_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::super::commands::SHELLS;
    use super::*;

    #[test]
    fn every_shell_is_told_every_command_and_flag() {
        for shell in SHELLS {
            let text = script(shell).expect("a shell of the table");
            for command in &COMMANDS {
                assert!(text.contains(command.name), "{shell}: {}", command.name);
                for flag in command.flags {
                    assert!(text.contains(flag.long), "{shell}: {}", flag.long);
                }
            }
            assert!(FLAGS.iter().all(|flag| text.contains(flag.long)), "{shell}");
        }
        assert_eq!(script("csh"), None);
    }
}
