//! Directory entries: the DIRENTS handle (docs/format.md section 5) and how a directory's entries
//! are split into segments (section 6 "Directory").

use std::borrow::Cow;

use crate::buffer::ObjectBuffer;
use crate::cursor::Cursor;
use crate::deviations::Deviations;
use crate::entries::{DirEntriesIter, RawDirEntries};
use crate::error::{Corrupt, FormatError, Limit, Part, Place};
use crate::filehandle::Filehandle;
use crate::handle::{Handle, HandleType};
use crate::limits::{DIRECTORY_SEGMENT_BYTES, FIRST_SEGMENT_BYTES, FIRST_SEGMENT_RESERVE};

/// u32 name length and u16 handle length.
const ENTRY_OVERHEAD: usize = 6;
/// What a segment adds to the size of its directory besides its entries (section 6).
const SEGMENT_OVERHEAD: u64 = 4;

/// One entry of a directory.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub struct DirEntry<'a> {
    /// Raw bytes, any but NUL and `/`.
    pub name: &'a [u8],
    /// The entity that it names.
    pub handle: Filehandle,
}

impl<'a> DirEntry<'a> {
    /// Bytes of the encoded entry: u32 length, name, u16 length, filehandle.
    pub fn encoded_length(&self) -> usize {
        ENTRY_OVERHEAD + self.name.len() + self.handle.as_bytes().len()
    }

    /// Appends the encoded entry.
    fn encode(&self, bytes: &mut Vec<u8>) -> Result<(), FormatError> {
        let place = Place::new(Part::Handle(HandleType::Dirents), bytes.len());
        check_name(self.name, place)?;
        let handle = self.handle.as_bytes();
        // A name has at most 255 bytes, a filehandle 16 or 24.
        bytes.extend_from_slice(&(self.name.len() as u32).to_le_bytes());
        bytes.extend_from_slice(self.name);
        bytes.extend_from_slice(&(handle.len() as u16).to_le_bytes());
        bytes.extend_from_slice(handle);
        Ok(())
    }
}

/// The rules for the last component of a path.
pub(crate) fn check_name(name: &[u8], place: Place) -> Result<(), FormatError> {
    check_name_length(name, place)?;
    check_name_bytes(name, place)
}

pub(crate) fn check_name_length(name: &[u8], place: Place) -> Result<(), FormatError> {
    if name.is_empty() {
        return Err(place.corrupt(Corrupt::NameEmpty));
    }
    place.limit(Limit::NameBytes, name.len() as u64)
}

pub(crate) fn check_name_bytes(name: &[u8], place: Place) -> Result<(), FormatError> {
    if name.iter().any(|byte| matches!(byte, 0 | b'/')) {
        return Err(place.corrupt(Corrupt::NameByte));
    }
    Ok(())
}

/// Entries of one segment, encoded back to back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DirEntries<'a>(Cow<'a, [u8]>);

impl<'a> DirEntries<'a> {
    /// Takes encoded entries, such as a segment of the [`DirectorySegmenter`]. They are not looked
    /// at: what is wrong with them comes out of [`DirEntries::iter`].
    pub fn from_encoded(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The encoded entries, still borrowed where they were.
    pub fn into_encoded(self) -> Cow<'a, [u8]> {
        self.0
    }

    /// The encoded entries.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The entries in order. After an entry that breaks a rule the next one comes; after bytes that
    /// cannot be taken apart nothing more does.
    pub fn iter(&self) -> DirEntriesIter<'_> {
        DirEntriesIter(self.iter_raw())
    }

    /// The same, and what is there of an entry that breaks a rule.
    pub fn iter_raw(&self) -> RawDirEntries<'_> {
        RawDirEntries::new(Cursor::new(&self.0, Part::Entry, 0))
    }

    /// What the segment contributes to the size of its directory: 4 + bytes.
    pub fn size(&self) -> u64 {
        SEGMENT_OVERHEAD + self.0.len() as u64
    }

    pub(crate) fn encode(
        &self,
        limit: Limit,
        buffer: &mut ObjectBuffer,
    ) -> Result<(), FormatError> {
        Place::new(Part::Handle(HandleType::Dirents), 0).limit(limit, self.0.len() as u64)?;
        let handle = buffer.begin(HandleType::Dirents);
        buffer.bytes(&self.0);
        buffer.end(handle)
    }

    /// Every entry is checked here. The null filehandle in an entry has always been let pass by the
    /// strict decoder.
    pub(crate) fn decode(
        handle: Handle<'a>,
        limit: Limit,
        deviations: &mut Deviations,
    ) -> Result<Self, FormatError> {
        let bytes = handle.content;
        deviations.allow(handle.cursor().place().limit(limit, bytes.len() as u64))?;
        for entry in RawDirEntries::new(Cursor::new(bytes, Part::Entry, handle.offset)) {
            match entry.map_err(|bad| bad.error) {
                Ok(_) => {}
                Err(
                    error @ FormatError::Corrupt {
                        kind: Corrupt::NullId,
                        ..
                    },
                ) => deviations.tolerated(error),
                Err(error) => deviations.broken(error)?,
            }
        }
        Ok(Self(Cow::Borrowed(bytes)))
    }
}

impl<'e> IntoIterator for &'e DirEntries<'_> {
    type Item = Result<DirEntry<'e>, FormatError>;
    type IntoIter = DirEntriesIter<'e>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Splits a directory's entries into segments: at most 16384 - 24 bytes of entries in the first
/// (the inode's), at most 256 KiB in the others, an entry never split. At most one segment is held.
#[derive(Debug)]
pub struct DirectorySegmenter {
    open: Vec<u8>,
    full_segments: u64,
    /// Size of the full segments.
    size: u64,
}

/// What is left when all entries are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorySegments {
    /// Encoded entries of the last segment: the first and only one when `segments` is 1.
    pub last: Vec<u8>,
    /// Size of the directory: the sum over all segments of 4 + bytes of entries.
    pub size: u64,
    /// Number of segments, the inode's included.
    pub segments: u64,
}

impl DirectorySegmenter {
    /// Begins with the entries `.` and `..`; the root is its own parent.
    pub fn new(self_handle: Filehandle, parent_handle: Filehandle) -> Self {
        let mut open = Vec::new();
        for (name, handle) in [(&b"."[..], self_handle), (b"..", parent_handle)] {
            // Neither name can break a rule.
            let _ = DirEntry { name, handle }.encode(&mut open);
        }
        Self {
            open,
            full_segments: 0,
            size: 0,
        }
    }

    /// Adds a child. When it does not fit any more, the segment that is full comes back (first block
    /// 0's, then block 1's, …) and the child begins the next.
    ///
    /// # Errors
    /// Corrupt or Limit when the name is empty, longer than 255 bytes or holds NUL or `/`; the
    /// segmenter is then as it was before.
    pub fn push(
        &mut self,
        name: &[u8],
        handle: Filehandle,
    ) -> Result<Option<Vec<u8>>, FormatError> {
        let entry = DirEntry { name, handle };
        if (self.open.len() + entry.encoded_length()) as u64 <= self.open_limit() {
            entry.encode(&mut self.open)?;
            return Ok(None);
        }
        let mut next = Vec::with_capacity(FIRST_SEGMENT_BYTES as usize);
        entry.encode(&mut next)?;
        let full = std::mem::replace(&mut self.open, next);
        self.size += SEGMENT_OVERHEAD + full.len() as u64;
        self.full_segments += 1;
        Ok(Some(full))
    }

    /// The last segment and the totals.
    pub fn finish(self) -> DirectorySegments {
        DirectorySegments {
            size: self.size + SEGMENT_OVERHEAD + self.open.len() as u64,
            segments: self.full_segments + 1,
            last: self.open,
        }
    }

    fn open_limit(&self) -> u64 {
        if self.full_segments == 0 {
            FIRST_SEGMENT_BYTES - FIRST_SEGMENT_RESERVE
        } else {
            DIRECTORY_SEGMENT_BYTES
        }
    }
}
