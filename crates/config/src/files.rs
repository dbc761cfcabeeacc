//! The files of one configuration: the first one and what it includes, all into one raw tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{Complaints, Diagnostic, Diagnostics, Place};
use crate::raw::Block;
use crate::{Format, conf, yaml};

const DEPTH_MAX: usize = 16; // Odyssey's limit
const FILES_MAX: usize = 256; // 16 levels of two includes each would be 65,536

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
        self.opened += 1;
        self.open.push(identity(Path::new(name)));
        let result = match format {
            Format::Conf => conf::read(self, &source, root),
            Format::Yaml => yaml::read(self, &source, root),
        };
        self.open.pop();
        result
    }

    /// Reads the file that an `include` at that place names.
    pub fn include(
        &mut self,
        path: &str,
        place: &Place,
        root: &mut Block,
    ) -> Result<(), Diagnostics> {
        if self.open.contains(&identity(Path::new(path))) {
            return Err(Diagnostic::at(place, format!("circular include of '{path}'")).into());
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
        let format = Format::of(Path::new(path));
        match fs::read(path) {
            Ok(bytes) => self.text(path, &utf8(path, bytes)?, format, root),
            Err(error) => {
                let message = format!("cannot open include file '{path}': {error}");
                Err(Diagnostic::at(place, message).into())
            }
        }
    }
}

/// The bytes as text, or where they cease to be text.
pub(crate) fn utf8(name: &str, bytes: Vec<u8>) -> Result<String, Diagnostics> {
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let good = String::from_utf8_lossy(good);
        let line = good.matches('\n').count() + 1;
        let column = good.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        let place = Place { file_index: 0, file: name.into(), line, column };
        Diagnostic::at(&place, "this is not UTF-8 text").into()
    })
}

/// What two names of one file have in common. A text that is no file is known by its name.
fn identity(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
