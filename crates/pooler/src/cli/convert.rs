//! `convert`: another pooler's configuration, written as ours. The conversion itself is
//! `config::import`; here are the files.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use config::{Fate, Format, Imported, Source};

use super::commands::Given;
use super::{MISUSED, out};

const FILE_BYTES_MAX: u64 = 64 << 20; // a userlist with a million users has about that

pub(super) fn convert(given: &Given) -> ExitCode {
    match converted(given) {
        Ok((imported, status)) => {
            tell(&imported);
            status
        }
        Err(what) => {
            out::aside(&format!("pooler convert: {what}"));
            ExitCode::from(MISUSED)
        }
    }
}

fn tell(imported: &Imported) {
    for (fate, title) in Fate::ALL {
        let mut those = imported.notes.iter().filter(|note| note.fate == fate).peekable();
        if those.peek().is_some() {
            out::aside(title);
            those.for_each(|note| out::aside(&format!("  {note}")));
        }
    }
}

fn converted(given: &Given) -> Result<(Imported, ExitCode), String> {
    let path = Path::new(&given.operand);
    let name = path.display().to_string();
    let text = read(path).map_err(|error| format!("{name}: {error}"))?;
    let source = source(given.text("from").as_deref(), path)
        .ok_or_else(|| format!("{name}: whose file is this? Say --from"))?;
    let reader = |path: &str| read(Path::new(path));
    let imported =
        config::import(source, &name, &text, &reader).map_err(|error| error.to_string())?;
    let status = write(given, &config::write(&imported.draft, format(given)))?;
    Ok((imported, status))
}

/// The last word is the operator's, the file's name comes before its ending.
fn source(from: Option<&str>, path: &Path) -> Option<Source> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let is_yaml = Format::of(path) == Format::Yaml;
    let doorman = if is_yaml { Source::PgDoormanYaml } else { Source::PgDoormanToml };
    match from {
        Some("pgbouncer") => Some(Source::PgBouncer),
        Some("pgcat") => Some(Source::PgCat),
        Some("pgdog") => Some(Source::PgDog),
        Some(_) => Some(doorman),
        None if name.contains("doorman") => Some(doorman),
        None if name.contains("pgcat") => Some(Source::PgCat),
        None if name.contains("pgdog") => Some(Source::PgDog),
        None if name.ends_with(".ini") => Some(Source::PgBouncer),
        None => None,
    }
}

/// The language that is asked for, that of the output's name, or YAML.
fn format(given: &Given) -> Format {
    match (given.text("format").as_deref(), given.value("output")) {
        (Some("conf"), _) => Format::Conf,
        (None, Some(path)) => Format::of(Path::new(path)),
        _ => Format::Yaml,
    }
}

fn read(path: &Path) -> Result<String, String> {
    let length = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > FILE_BYTES_MAX {
        return Err(format!("larger than {} MiB", FILE_BYTES_MAX >> 20));
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| format!("not UTF-8: {error}"))
}

/// Passwords are in it: a new file is its owner's only.
fn write(given: &Given, text: &str) -> Result<ExitCode, String> {
    let Some(path) = given.value("output").map(Path::new) else {
        return Ok(out::answer(text, ExitCode::SUCCESS));
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let written = file.write_all(text.as_bytes()).map(|()| ExitCode::SUCCESS);
    written.map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_name_or_by_what_is_said() {
        for (from, path, expected) in [
            (None, "/etc/pgbouncer/pgbouncer.ini", Some(Source::PgBouncer)),
            (None, "pgcat.toml", Some(Source::PgCat)),
            (None, "/etc/pgdog/pgdog.toml", Some(Source::PgDog)),
            (None, "pg_doorman.toml", Some(Source::PgDoormanToml)),
            (None, "pg_doorman.yaml", Some(Source::PgDoormanYaml)),
            (None, "pooler.toml", None),
            (Some("pgbouncer"), "old.conf", Some(Source::PgBouncer)),
            (Some("pgcat"), "x.toml", Some(Source::PgCat)),
            (Some("pgdog"), "x.toml", Some(Source::PgDog)),
            (Some("pg_doorman"), "x.yml", Some(Source::PgDoormanYaml)),
            (Some("pg_doorman"), "pgbouncer.ini", Some(Source::PgDoormanToml)),
        ] {
            assert_eq!(source(from, Path::new(path)), expected, "{from:?} {path}");
        }
    }
}
