//! The pid file: our process id, for as long as clients can come. It locks nothing: a successor
//! takes it over by writing its own.

use std::fs;
use std::path::{Path, PathBuf};

/// A file that holds our process id; removed when dropped, if it still does.
pub(crate) struct PidFile {
    path: PathBuf,
    text: String,
}

impl PidFile {
    /// Writes it, over whatever is there. In place, because often only the file is ours and not its
    /// directory.
    ///
    /// # Errors
    /// It cannot be written; in Odyssey's words.
    pub fn write(path: &Path) -> Result<Self, String> {
        let text = format!("{}\n", std::process::id());
        fs::write(path, &text)
            .map_err(|error| format!("failed to create pid file {}: {error}", path.display()))?;
        Ok(Self { path: path.to_owned(), text })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // A successor may have taken it over.
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
