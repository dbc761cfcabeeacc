//! The files of one configuration: the first one and what it includes, all into one raw tree.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{Complaints, Diagnostic, Diagnostics, Place};
use crate::raw::Block;
use crate::{Format, conf, yaml};

const DEPTH_MAX: usize = 16; // Odyssey's limit
const FILES_MAX: usize = 256; // 16 levels of two includes each would be 65,536
const FILE_BYTES_MAX: u64 = 64 << 20; // a hundred times the largest we know

pub(crate) const WHERE: &str =
    "a relative path is looked up in the working directory, then beside this file";

/// The files opened so far.
pub(crate) struct Files<'a> {
    pub complaints: &'a mut Complaints,
    opened: usize,
    /// Those that are being read now, outermost first.
    open: Vec<PathBuf>,
}

/// One text with its name, while it is read.
pub(crate) struct Source<'a> {
    pub text: &'a str,
    pub file: Arc<str>,
    pub file_index: usize,
}

impl Source<'_> {
    /// Line and column count from 1.
    pub fn place(&self, line: usize, column: usize) -> Place {
        Place { file_index: self.file_index, file: self.file.clone(), line, column }
    }
}

impl<'a> Files<'a> {
    pub fn new(complaints: &'a mut Complaints) -> Files<'a> {
        Files { complaints, opened: 0, open: Vec::new() }
    }

    /// Reads a text into the tree.
    pub fn text(
        &mut self,
        name: &str,
        text: &str,
        format: Format,
        root: &mut Block,
    ) -> Result<(), Diagnostics> {
        let source = Source { text, file: name.into(), file_index: self.opened };
        self.complaints.sources.add(&source.file, format, text);
        self.opened += 1;
        self.open.push(identity(Path::new(name)));
        let result = match format {
            Format::Conf => conf::read(self, &source, root),
            Format::Yaml => yaml::read(self, &source, root),
        };
        self.open.pop();
        result
    }

    /// Reads what an `include` at that place names: a file, the files of a directory, or those that
    /// match a pattern.
    pub fn include(
        &mut self,
        written: &str,
        place: &Place,
        root: &mut Block,
    ) -> Result<(), Diagnostics> {
        let paths = named(written, &place.file);
        if paths.is_empty() {
            let message = format!("no file to include matches '{written}'");
            self.complaints.warning_with_hint(place, message, WHERE);
        }
        paths.iter().try_for_each(|path| self.included(path, place, root))
    }

    fn included(
        &mut self,
        path: &Path,
        place: &Place,
        root: &mut Block,
    ) -> Result<(), Diagnostics> {
        let name = path.display().to_string();
        if self.open.contains(&identity(path)) {
            let message = format!("circular include of '{name}'");
            let hint = "this file, or one that includes it, is the one it names".to_owned();
            return Err(Diagnostic::at(place, message).hint(hint).into());
        }
        if self.open.len() > DEPTH_MAX {
            let message =
                format!("include depth limit ({DEPTH_MAX}) exceeded — possible circular include");
            return Err(Diagnostic::at(place, message).into());
        }
        if self.opened >= FILES_MAX {
            let message = format!("more than {FILES_MAX} files are included");
            return Err(Diagnostic::at(place, message).into());
        }
        let text = match bytes(path) {
            Ok(bytes) => utf8(&name, bytes)?,
            Err(error) => {
                let message = format!("cannot open include file '{name}': {error}");
                return Err(Diagnostic::at(place, message).hint(WHERE.to_owned()).into());
            }
        };
        self.text(&name, &text, Format::of(path), root)
    }
}

/// What the operator named on the command line.
pub(crate) fn read(path: &Path, name: &str) -> Result<String, Diagnostics> {
    match bytes(path) {
        Ok(bytes) => utf8(name, bytes),
        Err(error) => {
            let hint = match error.kind() {
                io::ErrorKind::NotFound => "is the path right?",
                io::ErrorKind::PermissionDenied => {
                    "the user that runs this must be able to read it"
                }
                _ => "a file of options is expected, such as odyssey.conf or odyssey.yaml",
            };
            let message = format!("cannot read the file: {error}");
            Err(Diagnostic::at(&Place::whole(name), message).hint(hint.to_owned()).into())
        }
    }
}

/// Where a path stands that was written in `file`: as Odyssey, in the working directory; if there
/// is nothing of that name, beside the file.
pub(crate) fn beside(written: &str, file: &str) -> PathBuf {
    let path = Path::new(written);
    let other = Path::new(file).parent().map(|dir| dir.join(path));
    match other.filter(|other| !path.exists() && other.exists()) {
        Some(other) => other,
        None => path.to_owned(),
    }
}

/// The files that an include means, in order of their names.
fn named(written: &str, file: &str) -> Vec<PathBuf> {
    let path = beside(written, file);
    if path.is_dir() {
        let directory = glob::Pattern::escape(&path.to_string_lossy());
        let all = ["conf", "yaml", "yml"].map(|it| matching(&format!("{directory}/*.{it}")));
        let mut all = all.concat();
        all.sort();
        return all;
    }
    if path.exists() || !written.contains(['*', '?', '[']) {
        return vec![path];
    }
    let here = matching(written);
    match Path::new(file).parent() {
        Some(dir) if here.is_empty() => matching(&dir.join(written).to_string_lossy()),
        _ => here,
    }
}

fn matching(pattern: &str) -> Vec<PathBuf> {
    let options = glob::MatchOptions {
        require_literal_separator: true,
        require_literal_leading_dot: true, // editors leave files with a dot behind
        ..glob::MatchOptions::new()
    };
    let paths = glob::glob_with(pattern, options).into_iter().flatten();
    paths.filter_map(Result::ok).filter(|path| !path.is_dir()).collect()
}

/// The whole file, if it has a sane size.
pub(crate) fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let message = format!("it is larger than {} MiB", FILE_BYTES_MAX >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// The bytes as text, or where they cease to be text.
pub(crate) fn utf8(name: &str, bytes: Vec<u8>) -> Result<String, Diagnostics> {
    String::from_utf8(bytes).map_err(|error| {
        let end = error.utf8_error().valid_up_to();
        let (good, byte) = (&error.as_bytes()[..end], error.as_bytes()[end]);
        let good = String::from_utf8_lossy(good);
        let line = good.matches('\n').count() + 1;
        let column = good.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        let place = Place { line, column, ..Place::whole(name) };
        let hint = format!("the byte is {byte:#04x}; is the file written in another encoding?");
        Diagnostic::at(&place, "this is not UTF-8 text").hint(hint).into()
    })
}

/// What two names of one file have in common. A text that is no file is known by its name.
fn identity(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
