//! Handles: the typed sections that a payload consists of (docs/format.md section 5).

use std::fmt;

use crate::cursor::Cursor;
use crate::error::{Corrupt, FormatError, Part, Unsupported};

pub(crate) const MAGIC: u32 = 0x0301_6005;
/// magic, padded length, real length, type, zero: a u32 each.
pub(crate) const HEADER_BYTES: usize = 20;
/// Header and content together are rounded up to a multiple of this.
const ALIGNMENT: usize = 8;
/// Most bytes in one handle: header and padding must fit the u32 of the padded length.
pub(crate) const MOST_HANDLE_BYTES: u64 = u32::MAX as u64 - HEADER_BYTES as u64 - ALIGNMENT as u64;

/// Zero bytes after `real` bytes of content.
pub(crate) fn padding(real: usize) -> usize {
    (HEADER_BYTES + real).next_multiple_of(ALIGNMENT) - HEADER_BYTES - real
}

/// The types of handles that a loader writes.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum HandleType {
    /// DATA: bytes of a file, a symlink's target.
    Data = 2,
    /// DIRENTS: entries of a directory.
    Dirents = 3,
    /// VATTR: attributes of an inode.
    Attributes = 4,
    /// BMAP: block map of an inode.
    BlockMap = 5,
    /// INDIR: pointers of an indirect block.
    Indirect = 7,
    /// BACK: back pointers of an inode.
    Back = 9,
    /// DATABACK: back pointer of a segment or an indirect block.
    DataBack = 10,
    /// EXTATTRS: pairs of texts.
    ExtendedAttributes = 12,
    /// NAME: the last component of the path.
    Name = 16,
}

impl HandleType {
    pub(crate) const COUNT: usize = 9;

    const ALL: [Self; Self::COUNT] = [
        Self::Data,
        Self::Dirents,
        Self::Attributes,
        Self::BlockMap,
        Self::Indirect,
        Self::Back,
        Self::DataBack,
        Self::ExtendedAttributes,
        Self::Name,
    ];

    fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|t| *t as u32 == code)
    }
}

impl fmt::Display for HandleType {
    /// The format's own name of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "DATA",
            Self::Dirents => "DIRENTS",
            Self::Attributes => "VATTR",
            Self::BlockMap => "BMAP",
            Self::Indirect => "INDIR",
            Self::Back => "BACK",
            Self::DataBack => "DATABACK",
            Self::ExtendedAttributes => "EXTATTRS",
            Self::Name => "NAME",
        })
    }
}

/// A well-formed handle of a type that a loader never writes: the cache's own (6, 8, 11, 13, 14,
/// 15), or one that is not known at all.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub struct UnknownHandle {
    /// The type's number.
    pub code: u32,
    /// Offset of its header in the payload.
    pub offset: usize,
    /// Bytes of content.
    pub length: usize,
}

impl fmt::Display for UnknownHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.code {
            6 => "node registration",
            8 => "copy on read",
            11 => "SMB",
            13 => "tombstone",
            14 => "space array",
            15 => "version",
            _ => "unknown",
        };
        let Self {
            code,
            offset,
            length,
        } = self;
        write!(
            f,
            "handle of type {code} ({name}) with {length} bytes at byte {offset} of the payload"
        )
    }
}

/// The content of one handle and where it stands.
#[derive(Debug, Copy, Clone)]
pub(crate) struct Handle<'a> {
    pub(crate) kind: HandleType,
    pub(crate) content: &'a [u8],
    /// Offset of the content in the payload.
    pub(crate) offset: usize,
}

impl<'a> Handle<'a> {
    pub(crate) fn cursor(&self) -> Cursor<'a> {
        Cursor::new(self.content, Part::Handle(self.kind), self.offset)
    }
}

/// The handles of a payload, by type.
#[derive(Debug)]
pub(crate) struct Handles<'a> {
    known: [Option<Handle<'a>>; HandleType::COUNT],
    end: usize,
}

impl<'a> Handles<'a> {
    /// Takes a payload apart. Types that a loader never writes are put into `unknown`.
    pub(crate) fn read(
        payload: &'a [u8],
        unknown: &mut Vec<UnknownHandle>,
    ) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(payload, Part::Payload, 0);
        let mut known = [None; HandleType::COUNT];
        let mut end = 0;
        while !cursor.is_empty() {
            let place = cursor.place();
            let (code, content) = read_handle(&mut cursor)?;
            let Some(kind) = HandleType::from_code(code) else {
                unknown.push(UnknownHandle {
                    code,
                    offset: end,
                    length: content.len(),
                });
                end = payload.len() - cursor.remaining();
                continue;
            };
            let handle = Handle {
                kind,
                content,
                offset: end + HEADER_BYTES,
            };
            let slot = known.iter_mut().zip(HandleType::ALL);
            for (slot, _) in slot.filter(|(_, slot_kind)| *slot_kind == kind) {
                if slot.replace(handle).is_some() {
                    return Err(place.corrupt(Corrupt::HandleTwice));
                }
            }
            end = payload.len() - cursor.remaining();
        }
        Ok(Self { known, end })
    }

    /// The handle of a type; an error when it is missing.
    pub(crate) fn require(&mut self, kind: HandleType) -> Result<Handle<'a>, FormatError> {
        self.take(kind).ok_or_else(|| {
            crate::error::Place::new(Part::Handle(kind), self.end).corrupt(Corrupt::HandleMissing)
        })
    }

    /// The handle of a type if it is there.
    pub(crate) fn take(&mut self, kind: HandleType) -> Option<Handle<'a>> {
        self.known
            .iter_mut()
            .find_map(|slot| slot.take_if(|handle| handle.kind == kind))
    }

    /// Whether there is a handle of the type.
    pub(crate) fn has(&self, kind: HandleType) -> bool {
        self.known
            .iter()
            .flatten()
            .any(|handle| handle.kind == kind)
    }

    /// An error when a handle was not taken: this object has no such handle.
    pub(crate) fn finish(self) -> Result<(), FormatError> {
        match self.known.iter().flatten().next() {
            None => Ok(()),
            Some(handle) => Err(handle.cursor().corrupt(Corrupt::HandleUnexpected)),
        }
    }
}

fn read_handle<'a>(cursor: &mut Cursor<'a>) -> Result<(u32, &'a [u8]), FormatError> {
    cursor.fixed(MAGIC, Corrupt::HandleMagic)?;
    let length_place = cursor.place();
    let padded = u64::from(cursor.u32()?);
    let real = u64::from(cursor.u32()?);
    if padded != (HEADER_BYTES as u64 + real).next_multiple_of(ALIGNMENT as u64) {
        return Err(length_place.corrupt(Corrupt::HandleLength));
    }
    let code = cursor.u32()?;
    cursor.fixed(0, Corrupt::NotZero)?;
    let real = usize::try_from(real).map_err(|_| cursor.corrupt(Corrupt::Truncated))?;
    let content = cursor.take(real)?;
    let place = cursor.place();
    if cursor.take(padding(real))?.iter().any(|byte| *byte != 0) {
        return Err(place.corrupt(Corrupt::NotZero));
    }
    Ok((code, content))
}

/// The error of a reader that needs all handles known.
pub(crate) fn refuse(unknown: &[UnknownHandle]) -> Result<(), FormatError> {
    match unknown.first() {
        None => Ok(()),
        Some(handle) => Err(crate::error::Place::new(Part::Payload, handle.offset)
            .unsupported(Unsupported::HandleType(handle.code))),
    }
}
