//! Reads for who has to have more: the end of the stream is an error, not an answer. The calls for
//! whom an end is as good as anything else are in `stream`.

use std::io;

use super::stream::{Progress, Stream};
use crate::Deadline;
use crate::buffer::Buffer;
use crate::error::Error;

impl Stream {
    /// Reads what is there, if anything is, into the room of `buffer`, for who must have more: the
    /// end of the stream is an error.
    ///
    /// # Errors
    /// As [`try_read`](Stream::try_read), and `UnexpectedEof` at the end of the stream.
    pub fn try_read_more(&self, buffer: &mut Buffer) -> Result<(), Error> {
        match self.try_read_into(buffer)? {
            Progress::End => Err(ended()),
            Progress::Done(_) | Progress::Wait => Ok(()),
        }
    }

    /// Waits for bytes and reads them into the room of `buffer`, for who has to have more: the end
    /// of the stream is an error.
    ///
    /// # Errors
    /// `Io`, with `UnexpectedEof` at the end of the stream; `TimedOut`, `Cancelled`.
    pub fn read_more(&self, buffer: &mut Buffer, deadline: Deadline) -> Result<(), Error> {
        match self.read_into(buffer, deadline)? {
            0 => Err(ended()),
            _ => Ok(()),
        }
    }

    /// Waits until all of `bytes` is read, for messages of a known length.
    ///
    /// # Errors
    /// `Io`, with `UnexpectedEof` when the stream ends before; `TimedOut`, `Cancelled`.
    pub fn read_exact(&self, mut bytes: &mut [u8], deadline: Deadline) -> Result<(), Error> {
        while !bytes.is_empty() {
            match self.read(bytes, deadline)? {
                0 => return Err(ended()),
                n => bytes = &mut bytes[n..],
            }
        }
        Ok(())
    }
}

fn ended() -> Error {
    io::Error::from(io::ErrorKind::UnexpectedEof).into()
}
