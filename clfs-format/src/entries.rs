//! Iterators over directory entries, valid and invalid (format.md §5 DIRENTS).

use crate::cursor::Cursor;
use crate::directory::{DirEntry, check_name};
use crate::error::{Corrupt, FormatError, Part, Place};
use crate::filehandle::Filehandle;

/// A directory entry that breaks a rule, or bytes that end within an entry.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadEntry<'a> {
    /// The first rule that the entry breaks; rules of the name come before rules of the filehandle.
    /// The offset counts bytes of the encoded entries.
    pub error: FormatError,
    /// Offset of the entry, in bytes of the encoded entries.
    pub offset: u64,
    /// The bytes of the name; `None` if the input ends within the name.
    pub name: Option<&'a [u8]>,
    /// The bytes of the filehandle, of any length; `None` if the input ends within the filehandle.
    pub handle: Option<&'a [u8]>,
}

/// An iterator over the entries of one segment that returns invalid entries with their bytes. It
/// continues after an entry with valid lengths, even if the name or the filehandle is invalid, and
/// stops where the bytes end within an entry.
#[derive(Debug, Clone)]
pub struct RawDirEntries<'a> {
    /// `None` after bytes that end within an entry.
    cursor: Option<Cursor<'a>>,
    /// The second error of the last entry, whose name is invalid and whose bytes end too early.
    last: Option<BadEntry<'a>>,
}

impl<'a> RawDirEntries<'a> {
    /// Iterates over encoded entries, such as those of [`crate::DirEntries::into_encoded`].
    pub fn from_encoded(encoded: &'a [u8]) -> Self {
        Self::new(Cursor::new(encoded, Part::Entry, 0))
    }

    pub(crate) fn new(entries: Cursor<'a>) -> Self {
        Self {
            cursor: Some(entries),
            last: None,
        }
    }

    /// Ends the iteration at an entry whose lengths exceed the remaining bytes.
    fn end_at(&mut self, bad: BadEntry<'a>) -> BadEntry<'a> {
        self.cursor = None;
        bad
    }
}

impl<'a> Iterator for RawDirEntries<'a> {
    type Item = Result<DirEntry<'a>, BadEntry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(last) = self.last.take() {
            return Some(Err(last));
        }
        let cursor = self.cursor.as_mut().filter(|cursor| !cursor.is_empty())?;
        let place = cursor.place();
        let bad = |error, name, handle| BadEntry {
            error,
            offset: place.offset,
            name,
            handle,
        };
        let name = match cursor.counted_bytes() {
            Ok(name) => name,
            Err(error) => return Some(Err(self.end_at(bad(error, None, None)))),
        };
        let name_check = check_name(name, place);
        let handle_place = cursor.place();
        let handle = match cursor.raw_id() {
            Ok(handle) => handle,
            Err(error) => {
                let truncated = bad(error, Some(name), None);
                let first = name_check.err().map(|error| {
                    self.last = Some(truncated);
                    bad(error, Some(name), None)
                });
                return Some(Err(self.end_at(first.unwrap_or(truncated))));
            }
        };
        let entry = name_check
            .and_then(|()| non_null_filehandle(handle, handle_place))
            .map(|handle| DirEntry { name, handle });
        Some(entry.map_err(|error| bad(error, Some(name), Some(handle))))
    }
}

/// Converts the filehandle of an entry, which must not be null.
fn non_null_filehandle(bytes: &[u8], place: Place) -> Result<Filehandle, FormatError> {
    let handle = Filehandle::from_bytes_at(bytes, place)?;
    if handle.is_null() {
        return Err(place.corrupt(Corrupt::NullId));
    }
    Ok(handle)
}

/// An iterator over the entries of one segment. Offsets in its errors count bytes of the encoded
/// entries.
#[derive(Debug, Clone)]
pub struct DirEntriesIter<'a>(pub(crate) RawDirEntries<'a>);

impl<'a> Iterator for DirEntriesIter<'a> {
    type Item = Result<DirEntry<'a>, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.0.next()?;
        Some(entry.map_err(|bad| bad.error))
    }
}
