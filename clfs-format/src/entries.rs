//! Reading a directory's entries one by one, good and bad (docs/format.md section 5 DIRENTS).

use crate::cursor::Cursor;
use crate::directory::{DirEntry, check_name};
use crate::error::{Corrupt, FormatError, Part, Place};
use crate::filehandle::Filehandle;

/// An entry that breaks a rule, or bytes that are no entry.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadEntry<'a> {
    /// The first rule that it breaks: one of its name before one of its filehandle. The offset
    /// counts bytes of the encoded entries.
    pub error: FormatError,
    /// Where the entry begins, in bytes of the encoded entries.
    pub offset: u64,
    /// The name as it stands; none when the bytes end within it.
    pub name: Option<&'a [u8]>,
    /// The filehandle as it stands, of any length; none when the bytes end within it.
    pub handle: Option<&'a [u8]>,
}

/// The entries of one segment, with what is there of the bad ones. After an entry whose lengths are
/// sound the next one comes, whatever its name and filehandle are. After bytes that end within an
/// entry nothing more does.
#[derive(Debug, Clone)]
pub struct RawDirEntries<'a> {
    /// None when the entries cannot be told apart any more.
    cursor: Option<Cursor<'a>>,
    /// The end within an entry whose name broke a rule, which was told first.
    last: Option<BadEntry<'a>>,
}

impl<'a> RawDirEntries<'a> {
    /// The entries in encoded form, such as [`crate::DirEntries::into_encoded`] gives them.
    pub fn of(encoded: &'a [u8]) -> Self {
        Self::new(Cursor::new(encoded, Part::Entry, 0))
    }

    pub(crate) fn new(entries: Cursor<'a>) -> Self {
        Self {
            cursor: Some(entries),
            last: None,
        }
    }

    /// An entry whose lengths lead past the end.
    fn cut(&mut self, bad: BadEntry<'a>) -> BadEntry<'a> {
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
            Err(error) => return Some(Err(self.cut(bad(error, None, None)))),
        };
        let named = check_name(name, place);
        let handle_place = cursor.place();
        let handle = match cursor.raw_id() {
            Ok(handle) => handle,
            Err(error) => {
                let cut = bad(error, Some(name), None);
                let first = named.err().map(|error| {
                    self.last = Some(cut);
                    bad(error, Some(name), None)
                });
                return Some(Err(self.cut(first.unwrap_or(cut))));
            }
        };
        let entry = named
            .and_then(|()| some_filehandle(handle, handle_place))
            .map(|handle| DirEntry { name, handle });
        Some(entry.map_err(|error| bad(error, Some(name), Some(handle))))
    }
}

/// An entry must name an entity.
fn some_filehandle(bytes: &[u8], place: Place) -> Result<Filehandle, FormatError> {
    let handle = Filehandle::from_bytes_at(bytes, place)?;
    if handle.is_null() {
        return Err(place.corrupt(Corrupt::NullId));
    }
    Ok(handle)
}

/// The entries of one segment; offsets in its errors count bytes of the encoded entries.
#[derive(Debug, Clone)]
pub struct DirEntriesIter<'a>(pub(crate) RawDirEntries<'a>);

impl<'a> Iterator for DirEntriesIter<'a> {
    type Item = Result<DirEntry<'a>, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.0.next()?;
        Some(entry.map_err(|bad| bad.error))
    }
}
