//! Where lines go in the end: a file, standard output, syslog. A sink writes what it is given and
//! says how many lines it could not write; whoever calls it may wait.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::event::Level;

/// How often a file is looked after: whether somebody has removed it.
const LOOK: Duration = Duration::from_secs(1);

/// What Odyssey makes a file with; the umask takes away from it.
const MODE: u32 = 0o644;

/// Lines that go out together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    /// Where each line ends, and its level.
    pub(super) ends: Vec<(usize, Level)>,
}

/// Lines that were not written.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) lines: usize,
    pub(super) error: io::Error,
}

/// A place for lines.
pub(super) trait Sink: Send {
    /// As lines of the log call it.
    fn name(&self) -> String;

    /// Writes all it can of the lines.
    fn write(&mut self, batch: &Batch) -> Result<(), Lost>;

    /// Opens what it writes to anew; false: there is nothing to open.
    fn reopen(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}

impl Batch {
    pub(super) fn add(&mut self, level: Level, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.ends.push((self.bytes.len(), level));
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Each line by itself.
    pub(super) fn lines(&self) -> impl Iterator<Item = (Level, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|&(end, _)| end));
        starts.zip(&self.ends).map(|(start, &(end, level))| (level, &self.bytes[start..end]))
    }

    /// All lines from the first byte that was not written.
    fn lost(&self, written: usize, error: io::Error) -> Lost {
        Lost { lines: self.ends.iter().filter(|&&(end, _)| end > written).count(), error }
    }
}

/// `log_file`, or a descriptor that is not ours to open.
pub(super) struct Stream<W> {
    out: W,
    /// The last line is there in part: the next one must not be glued to it.
    torn: bool,
}

impl<W: Write> Stream<W> {
    fn new(out: W) -> Self {
        Self { out, torn: false }
    }

    fn write(&mut self, batch: &Batch) -> Result<(), Lost> {
        if self.torn {
            pour(&mut self.out, b"\n").map_err(|(_, error)| batch.lost(0, error))?;
            self.torn = false;
        }
        pour(&mut self.out, &batch.bytes).map_err(|(written, error)| {
            self.torn = written > 0 && !batch.ends.iter().any(|&(end, _)| end == written);
            batch.lost(written, error)
        })
    }
}

/// Writes all, or says how much was written before the error.
fn pour(out: &mut impl Write, mut bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let all = bytes.len();
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err((all - bytes.len(), io::ErrorKind::WriteZero.into())),
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((all - bytes.len(), error)),
        }
    }
    Ok(())
}

/// Standard output, without a buffer: what it does not take is known at once. It is always the
/// descriptor of that number: a daemon puts another file there when it begins to serve.
pub(super) struct Stdout(Stream<Unbuffered>);

struct Unbuffered;

impl Stdout {
    pub(super) fn new() -> Self {
        Self(Stream::new(Unbuffered))
    }
}

impl Write for Unbuffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(io::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Stdout {
    fn name(&self) -> String {
        "standard output".into()
    }

    fn write(&mut self, batch: &Batch) -> Result<(), Lost> {
        self.0.write(batch)
    }
}

/// `log_file`, appended to. A file that was removed is made anew: lines in a file without a name
/// are lost without a sound.
pub(super) struct LogFile {
    path: PathBuf,
    stream: Stream<File>,
    looked: Instant,
}

impl LogFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let stream = Stream::new(append_to(path)?);
        Ok(Self { path: path.to_owned(), stream, looked: Instant::now() })
    }

    /// Opens it by its name if the one we have has none any more.
    fn look(&mut self) -> io::Result<()> {
        if self.looked.elapsed() >= LOOK {
            if self.stream.out.metadata()?.nlink() == 0 {
                self.reopen()?; // not looked: the next lines try again
            }
            self.looked = Instant::now();
        }
        Ok(())
    }
}

impl Sink for LogFile {
    fn name(&self) -> String {
        format!("log file '{}'", self.path.display())
    }

    fn write(&mut self, batch: &Batch) -> Result<(), Lost> {
        self.look().map_err(|error| batch.lost(0, error))?;
        self.stream.write(batch)
    }

    fn reopen(&mut self) -> io::Result<bool> {
        self.stream = Stream::new(append_to(&self.path)?);
        Ok(true)
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with so much room.
    struct Disk {
        written: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = bytes.len().min(self.room - self.written.len()).min(3);
            self.written.extend_from_slice(&bytes[..n]);
            if n == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(n) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn batch(lines: &[&str]) -> Batch {
        let mut batch = Batch::default();
        lines.iter().for_each(|line| batch.add(Level::Info, line.as_bytes()));
        batch
    }

    /// Against counting newlines: a template may have one in the middle of a line.
    #[test]
    fn what_did_not_fit_is_counted_in_lines() {
        for (room, lost) in [(0, 3), (4, 3), (6, 2), (7, 2), (11, 1), (12, 0)] {
            let mut stream = Stream::new(Disk { written: Vec::new(), room });
            let written = stream.write(&batch(&["on\ne1\n", "two\n", "3\n"]));
            assert_eq!(written.err().map_or(0, |lost| lost.lines), lost, "{room}");
        }
    }

    #[test]
    fn a_torn_line_is_not_continued_by_another() {
        let mut stream = Stream::new(Disk { written: Vec::new(), room: 6 });
        assert!(stream.write(&batch(&["one\n", "two\n"])).is_err());
        assert!(stream.write(&batch(&["lost\n"])).is_err());
        stream.out.room = 100;
        assert!(stream.write(&batch(&["three\n"])).is_ok());
        assert_eq!(String::from_utf8_lossy(&stream.out.written), "one\ntw\nthree\n");
    }

    #[test]
    fn lines_come_back_one_by_one() {
        let batch = batch(&["a\n", "bc\n"]);
        let lines: Vec<&[u8]> = batch.lines().map(|(_, line)| line).collect();
        assert_eq!(lines, [b"a\n".as_slice(), b"bc\n"]);
    }
}
