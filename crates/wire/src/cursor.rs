//! Reads a body from front to back. Every step can fail, with the place and the field; a view that
//! has walked its body once may walk it again without errors.

use std::ffi::CStr;

use crate::error::{Fault, Malformed};
use crate::text::Text;

/// What is left of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    /// The message, for errors.
    place: &'static str,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(place: &'static str, body: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: body, place }
    }

    pub(crate) fn fault(&self, fault: Fault) -> Malformed {
        Malformed::new(self.place, fault)
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Malformed> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.fault(Fault::Truncated(field)));
        };
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn byte(&mut self, field: &'static str) -> Result<u8, Malformed> {
        Ok(self.array::<1>(field)?[0])
    }

    pub(crate) fn four(&mut self, field: &'static str) -> Result<[u8; 4], Malformed> {
        self.array(field)
    }

    pub(crate) fn int16(&mut self, field: &'static str) -> Result<i16, Malformed> {
        Ok(i16::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn int32(&mut self, field: &'static str) -> Result<i32, Malformed> {
        Ok(i32::from_be_bytes(self.array(field)?))
    }

    /// A count. The protocol says Int16 but PostgreSQL reads up to 65,535.
    pub(crate) fn count(&mut self, field: &'static str) -> Result<usize, Malformed> {
        Ok(usize::from(u16::from_be_bytes(self.array(field)?)))
    }

    pub(crate) fn text(&mut self, field: &'static str) -> Result<Text<'a>, Malformed> {
        let Ok(text) = CStr::from_bytes_until_nul(self.rest) else {
            return Err(self.fault(Fault::Unterminated(field)));
        };
        self.rest = &self.rest[text.count_bytes() + 1..];
        Ok(Text(text.to_bytes()))
    }

    pub(crate) fn take(
        &mut self,
        bytes: usize,
        field: &'static str,
    ) -> Result<&'a [u8], Malformed> {
        let Some((head, rest)) = self.rest.split_at_checked(bytes) else {
            return Err(self.fault(Fault::Truncated(field)));
        };
        self.rest = rest;
        Ok(head)
    }

    /// A length and so many bytes; −1 is NULL.
    pub(crate) fn value(&mut self, field: &'static str) -> Result<Option<&'a [u8]>, Malformed> {
        match self.int32(field)? {
            -1 => Ok(None),
            length => match usize::try_from(length) {
                Ok(length) => self.take(length, field).map(Some),
                Err(_) => Err(self.fault(Fault::Value(field, length.into()))),
            },
        }
    }

    /// A count and so many 16-bit words, as format codes come.
    pub(crate) fn int16s(&mut self, field: &'static str) -> Result<Words16<'a>, Malformed> {
        let count = self.count(field)?;
        Ok(Words16(self.take(2 * count, field)?))
    }

    /// A count and so many 32-bit words, as object ids come.
    pub(crate) fn oids(&mut self, field: &'static str) -> Result<Oids<'a>, Malformed> {
        let count = self.count(field)?;
        Ok(Oids(self.take(4 * count, field)?))
    }

    pub(crate) fn end(self) -> Result<(), Malformed> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(self.fault(Fault::Trailing(bytes))),
        }
    }
}

/// Format codes, still in their message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words16<'a>(&'a [u8]);

impl<'a> Words16<'a> {
    /// The codes in order: 0 text, 1 binary.
    pub fn iter(self) -> impl Iterator<Item = i16> + 'a {
        self.0.as_chunks().0.iter().map(|&bytes| i16::from_be_bytes(bytes))
    }

    /// How many.
    pub fn len(self) -> usize {
        self.0.len() / 2
    }

    /// None?
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

/// Object ids, still in their message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oids<'a>(&'a [u8]);

impl<'a> Oids<'a> {
    /// The ids in order; 0 is "not said".
    pub fn iter(self) -> impl Iterator<Item = u32> + 'a {
        self.0.as_chunks().0.iter().map(|&bytes| u32::from_be_bytes(bytes))
    }

    /// How many.
    pub fn len(self) -> usize {
        self.0.len() / 4
    }

    /// None?
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}
