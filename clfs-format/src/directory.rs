//! Directory entries: the DIRENTS handle (format.md §5), and the split of a directory's entries
//! into segments (format.md §6 "Directory").

use std::borrow::Cow;

use crate::buffer::ObjectBuffer;
use crate::cursor::Cursor;
use crate::deviations::Deviations;
use crate::entries::{DirEntriesIter, RawDirEntries};
use crate::error::{Corrupt, FormatError, Limit, Part, Place};
use crate::filehandle::Filehandle;
use crate::handle::{Handle, HandleType};
use crate::limits::{DIRECTORY_SEGMENT_BYTES, FIRST_SEGMENT_BYTES, FIRST_SEGMENT_RESERVE};

/// Bytes of an entry without name and filehandle: u32 and u16 length.
const ENTRY_OVERHEAD: usize = 6;
/// Bytes that a segment adds to the size of its directory in addition to its entries (format.md §6).
const SEGMENT_OVERHEAD: u64 = 4;

/// One entry of a directory (format.md §5). Layout: u32 length, name, u16 length, filehandle.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub struct DirEntry<'a> {
    /// The name: 1 to 255 bytes other than NUL and `/`.
    pub name: &'a [u8],
    /// The filehandle of the entity.
    pub handle: Filehandle,
}

impl<'a> DirEntry<'a> {
    /// Returns the length of the encoded entry in bytes.
    pub fn encoded_length(&self) -> usize {
        ENTRY_OVERHEAD + self.name.len() + self.handle.as_bytes().len()
    }

    /// Appends the encoded entry.
    fn encode(&self, bytes: &mut Vec<u8>) -> Result<(), FormatError> {
        let place = Place::new(Part::Handle(HandleType::Dirents), bytes.len());
        check_name(self.name, place)?;
        let handle = self.handle.as_bytes();
        // The casts cannot truncate: a name has at most 255 bytes, a filehandle 16 or 24.
        bytes.extend_from_slice(&(self.name.len() as u32).to_le_bytes());
        bytes.extend_from_slice(self.name);
        bytes.extend_from_slice(&(handle.len() as u16).to_le_bytes());
        bytes.extend_from_slice(handle);
        Ok(())
    }
}

/// Checks the rules for one component of a path.
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

/// The entries of one segment, encoded back to back without a count (format.md §5).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DirEntries<'a>(Cow<'a, [u8]>);

impl<'a> DirEntries<'a> {
    /// Wraps encoded entries, such as a segment of the [`DirectorySegmenter`]. Does not check them:
    /// [`DirEntries::iter`] returns their errors.
    pub fn from_encoded(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self(bytes.into())
    }

    /// Returns the encoded entries, borrowed if they were borrowed.
    pub fn into_encoded(self) -> Cow<'a, [u8]> {
        self.0
    }

    /// Returns the encoded entries.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Iterates over the entries in order. The iterator continues after an entry that breaks a rule,
    /// and stops where the bytes end within an entry.
    pub fn iter(&self) -> DirEntriesIter<'_> {
        DirEntriesIter(self.iter_raw())
    }

    /// Iterates like [`iter`](Self::iter), and returns the bytes of entries that break a rule.
    pub fn iter_raw(&self) -> RawDirEntries<'_> {
        RawDirEntries::new(Cursor::new(&self.0, Part::Entry, 0))
    }

    /// Returns the number of bytes that the segment adds to the size of its directory: 4 + the bytes
    /// of its entries.
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

    /// Decodes DIRENTS and checks every entry. The strict decoder accepts null filehandles in entries
    /// (format.md §8).
    pub(crate) fn decode(
        handle: Handle<'a>,
        limit: Limit,
        deviations: &mut Deviations,
    ) -> Result<Self, FormatError> {
        let bytes = handle.content;
        deviations.optional(handle.cursor().place().limit(limit, bytes.len() as u64))?;
        for entry in RawDirEntries::new(Cursor::new(bytes, Part::Entry, handle.offset)) {
            match entry.map_err(|bad| bad.error) {
                Ok(_) => {}
                Err(
                    error @ FormatError::Corrupt {
                        kind: Corrupt::NullId,
                        ..
                    },
                ) => deviations.note(error),
                Err(error) => deviations.report(error)?,
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

/// Splits a directory's entries into segments (format.md §6 "Directory"): at most 16384 - 24 bytes of
/// entries in the first, which the inode contains, and at most 256 KiB in each of the others. Entries
/// are never split. The segmenter holds at most one segment in memory.
#[derive(Debug)]
pub struct DirectorySegmenter {
    open: Vec<u8>,
    full_segments: u64,
    /// Bytes that the full segments add to the size of the directory.
    size: u64,
}

/// The result of a [`DirectorySegmenter`]: the last segment and the totals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorySegments {
    /// The encoded entries of the last segment, which is the first if `segments` is 1.
    pub last: Vec<u8>,
    /// The size of the directory in bytes: the sum over all segments of 4 + the bytes of its entries.
    pub size: u64,
    /// The number of segments, including the one in the inode.
    pub segments: u64,
}

impl DirectorySegmenter {
    /// Creates a segmenter with the entries `.` and `..`. The root is its own parent.
    pub fn new(self_handle: Filehandle, parent_handle: Filehandle) -> Self {
        let mut open = Vec::new();
        for (name, handle) in [(&b"."[..], self_handle), (b"..", parent_handle)] {
            // Cannot fail: both names follow the rules.
            let _ = DirEntry { name, handle }.encode(&mut open);
        }
        Self {
            open,
            full_segments: 0,
            size: 0,
        }
    }

    /// Adds a child. If the child does not fit in the current segment, returns the encoded entries of
    /// that segment (of block 0, then of block 1, and so on) and starts the next one.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] if the name is empty or contains NUL or `/`; [`FormatError::Limit`] if
    /// it is longer than 255 bytes. The segmenter is then unchanged.
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

    /// Returns the last segment and the totals.
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
