//! `password_file` and its kin: a secret that stands in a file of its own. From here on it is as if
//! it had been written in its place.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::diagnostic::{Complaints, Place};
use crate::files;
use crate::options::Kind;
use crate::raw::{Block, Setting, Value};
use crate::secret;

const SECRET_BYTES_MAX: u64 = 4096; // a SCRAM verifier has 133
const OTHERS: u32 = 0o007; // may do anything at all
const GROUP_WRITES: u32 = 0o020; // reading is what groups are for

/// Walks over the whole tree.
pub(crate) fn read(block: &mut Block, complaints: &mut Complaints) {
    for option in secret::OPTIONS {
        let twin = format!("{option}_file");
        let Some(setting) = block.settings.iter().find(|setting| setting.row.name == twin) else {
            continue;
        };
        let (place, Value::Text(path)) = (setting.place.clone(), &setting.value) else { continue };
        if block.settings.iter().any(|other| other.row.name == option) {
            let message = format!("{option} and {twin} can't be set simultaneously");
            complaints.error(&place, message);
            continue;
        }
        let path = files::beside(path, &place.file);
        if let Some(secret) = contents(&path, &twin, &place, complaints) {
            let row = block.row.and_then(|row| match row.kind {
                Kind::Section { scope, .. } => scope.find(option),
                _ => None,
            });
            let row = row.expect("an option and its twin stand in one scope");
            block.settings.push(Setting { row, place, value: Value::Text(secret) });
        }
    }
    block.blocks.iter_mut().for_each(|inner| read(inner, complaints));
}

/// The only line of the file; None after a complaint.
fn contents(
    path: &Path,
    option: &str,
    place: &Place,
    complaints: &mut Complaints,
) -> Option<String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| {
        let mode = file.metadata()?.mode();
        file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(mode)
    });
    let shown = path.display();
    match read {
        Ok(mode) if mode & (OTHERS | GROUP_WRITES) != 0 => {
            let message =
                format!("{option} '{shown}' is open to others (mode {:03o})", mode & 0o777);
            complaints.warning_with_hint(
                place,
                message,
                "chmod 600, or 640 for a group that reads",
            );
        }
        Ok(_) => {}
        Err(error) => {
            let message = format!("cannot read {option} '{shown}': {error}");
            let hint = "the user that runs this must be able to read it";
            complaints.error_with_hint(place, message, hint);
            return None;
        }
    }
    let secret = line(bytes);
    if let Err(what) = &secret {
        complaints.error(place, format!("{option} '{shown}' {what}"));
    }
    secret.ok()
}

fn line(bytes: Vec<u8>) -> Result<String, &'static str> {
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err("is larger than a secret");
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8 text")?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line {
        "" => Err("is empty"),
        line if line.contains(char::is_control) => Err("holds more than one line of text"),
        line => Ok(line.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn one_line_is_a_secret() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let found = line(text.as_bytes().to_vec());
            assert_eq!(found.as_deref().map_err(|it| *it), expected, "{text}");
        };
        check("s3 cret \n", Ok("s3 cret "));
        check("s\r\n", Ok("s"));
        check("s", Ok("s"));
        check("", Err("is empty"));
        check("\n", Err("is empty"));
        check("a\nb\n", Err("holds more than one line of text"));
        check(&"x".repeat(5000), Err("is larger than a secret"));
        assert_eq!(line(vec![0xff]), Err("is not UTF-8 text"));
    }
}
