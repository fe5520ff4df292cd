//! A bounds-checked reader over untrusted bytes.

use crate::error::{Corrupt, FormatError, Part, Place};
use crate::filehandle::Filehandle;
use crate::id::BlockId;

/// Reads little-endian fields in sequence; every error names the place of the field.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    place: Place,
}

impl<'a> Cursor<'a> {
    /// Creates a cursor. `offset` is the offset of `bytes` in the blob, payload or value from which `part` counts.
    pub(crate) fn new(bytes: &'a [u8], part: Part, offset: usize) -> Self {
        Self {
            rest: bytes,
            place: Place::new(part, offset),
        }
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn corrupt(&self, kind: Corrupt) -> FormatError {
        self.place.corrupt(kind)
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let Some((head, rest)) = self.rest.split_at_checked(length) else {
            return Err(self.corrupt(Corrupt::Truncated));
        };
        self.rest = rest;
        self.place.offset += length as u64;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.corrupt(Corrupt::Truncated));
        };
        self.rest = rest;
        self.place.offset += N as u64;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FormatError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, FormatError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Reads a u32 length and that many bytes.
    pub(crate) fn counted_bytes(&mut self) -> Result<&'a [u8], FormatError> {
        let length = self.length()?;
        self.take(length)
    }

    /// Reads a u32 count of elements of at least `min_bytes` each. Fails if the remaining bytes cannot
    /// hold them, so that a caller never allocates memory for a false count.
    pub(crate) fn count(&mut self, min_bytes: usize) -> Result<usize, FormatError> {
        let place = self.place;
        let count = self.length()?;
        match count.checked_mul(min_bytes) {
            Some(bytes) if bytes <= self.rest.len() => Ok(count),
            _ => Err(place.corrupt(Corrupt::Count)),
        }
    }

    /// Reads a u16 length and the bytes of an id.
    pub(crate) fn raw_id(&mut self) -> Result<&'a [u8], FormatError> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// Reads a u16 length and a filehandle.
    pub(crate) fn filehandle(&mut self) -> Result<Filehandle, FormatError> {
        let place = self.place;
        Filehandle::from_bytes_at(self.raw_id()?, place)
    }

    /// Reads a u16 length, which must be 16, and the id of a block.
    pub(crate) fn block_id(&mut self) -> Result<BlockId, FormatError> {
        let place = self.place;
        if usize::from(self.u16()?) != BlockId::LENGTH {
            return Err(place.corrupt(Corrupt::IdLength));
        }
        Ok(BlockId(self.array()?))
    }

    /// Reads a block id like [`block_id`](Self::block_id); fails if it is null.
    pub(crate) fn non_null_block_id(&mut self) -> Result<BlockId, FormatError> {
        let place = self.place;
        let id = self.block_id()?;
        if id.is_none() {
            return Err(place.corrupt(Corrupt::NullId));
        }
        Ok(id)
    }

    /// Reads a u32 that must be `expected`; `mismatch` is the error if it is not.
    pub(crate) fn fixed(&mut self, expected: u32, mismatch: Corrupt) -> Result<(), FormatError> {
        let place = self.place;
        if self.u32()? != expected {
            return Err(place.corrupt(mismatch));
        }
        Ok(())
    }

    /// Fails if bytes remain.
    pub(crate) fn finish(self) -> Result<(), FormatError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.corrupt(Corrupt::TrailingBytes))
        }
    }

    /// Reads a u32 count of bytes or elements.
    pub(crate) fn length(&mut self) -> Result<usize, FormatError> {
        let place = self.place;
        usize::try_from(self.u32()?).map_err(|_| place.corrupt(Corrupt::Truncated))
    }
}
