//! Handles: the typed sections of a payload (format.md §5).

use std::fmt;

use crate::cursor::Cursor;
use crate::deviations::Deviations;
use crate::error::{Corrupt, FormatError, Part, Place, Unsupported};

pub(crate) const MAGIC: u32 = 0x0301_6005;
/// Five u32: magic, padded length, real length, type, zero.
pub(crate) const HEADER_BYTES: usize = 20;
/// The length of header and content is rounded up to a multiple of this.
pub(crate) const ALIGNMENT: usize = 8;
/// Maximum content of a handle, in bytes: with header and padding it must fit in the u32 of the padded
/// length.
pub(crate) const MAX_HANDLE_BYTES: u64 = u32::MAX as u64 - HEADER_BYTES as u64 - ALIGNMENT as u64;

/// Returns the number of padding bytes after `real` bytes of content.
pub(crate) fn padding(real: usize) -> usize {
    (HEADER_BYTES + real).next_multiple_of(ALIGNMENT) - HEADER_BYTES - real
}

/// The types of handles that a loader writes (format.md §5).
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum HandleType {
    /// DATA: bytes of a file, or the target of a symlink.
    Data = 2,
    /// DIRENTS: the entries of a directory.
    Dirents = 3,
    /// VATTR: the attributes of an inode.
    Attributes = 4,
    /// BMAP: the block map of an inode.
    BlockMap = 5,
    /// INDIR: the pointers of an indirect block.
    Indirect = 7,
    /// BACK: the back pointers of an inode.
    Back = 9,
    /// DATABACK: the back pointer of a segment or an indirect block.
    DataBack = 10,
    /// EXTATTRS: extended attributes, as pairs of key and value.
    ExtendedAttributes = 12,
    /// NAME: the last component of the entity's path.
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

    /// Returns the position in the order of handles: one order that agrees with those of all kinds of
    /// objects in format.md §6.
    fn rank(self) -> u8 {
        match self {
            Self::Attributes => 0,
            Self::BlockMap => 1,
            Self::Back => 2,
            Self::Name => 3,
            Self::Dirents => 4,
            Self::Data => 5,
            Self::Indirect => 6,
            Self::DataBack => 7,
            Self::ExtendedAttributes => 8,
        }
    }

    fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|t| *t as u32 == code)
    }
}

impl fmt::Display for HandleType {
    /// Formats the name in format.md §5.
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

/// A well-formed handle of a type that no loader writes: one of the cache's own types (6, 8, 11, 13,
/// 14, 15; format.md §5), or an unknown type.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub struct UnknownHandle {
    /// The code of the type.
    pub code: u32,
    /// Offset of the header in the payload, in bytes.
    pub offset: usize,
    /// Length of the content, in bytes.
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

/// One handle: its type, its content and its offset.
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

/// The handles of a payload, from which decoders take what they need.
#[derive(Debug)]
pub(crate) struct Handles<'a> {
    /// The first handle of each known type, in the order of the payload.
    known: [Option<Slot<'a>>; HandleType::COUNT],
    /// Offset of the first byte after the last handle.
    end: usize,
    /// The error at `end`, if the bytes there are not a handle.
    damage: Option<FormatError>,
}

#[derive(Debug, Copy, Clone)]
struct Slot<'a> {
    handle: Handle<'a>,
    taken: bool,
}

impl<'a> Handles<'a> {
    /// Splits a payload into handles. Appends handles of types that no loader writes to `unknown`.
    /// Does not fail if deviations are collected: it keeps the handles before the damage.
    pub(crate) fn read(
        payload: &'a [u8],
        unknown: &mut Vec<UnknownHandle>,
        deviations: &mut Deviations,
    ) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(payload, Part::Payload, 0);
        let mut handles = Self {
            known: [None; HandleType::COUNT],
            end: 0,
            damage: None,
        };
        while !cursor.is_empty() {
            let place = cursor.place();
            let (code, content) = match read_handle(&mut cursor, deviations) {
                Ok(handle) => handle,
                Err(damage) if deviations.are_collected() => {
                    handles.damage = Some(damage);
                    break;
                }
                Err(error) => return Err(error),
            };
            let offset = std::mem::replace(&mut handles.end, payload.len() - cursor.remaining());
            let Some(kind) = HandleType::from_code(code) else {
                unknown.push(UnknownHandle {
                    code,
                    offset,
                    length: content.len(),
                });
                continue;
            };
            let handle = Handle {
                kind,
                content,
                offset: offset + HEADER_BYTES,
            };
            if !handles.insert(handle) {
                deviations.report(place.corrupt(Corrupt::HandleTwice))?;
            }
        }
        Ok(handles)
    }

    /// Adds a handle. Returns false, and keeps the first, if the payload already had one of this type.
    fn insert(&mut self, handle: Handle<'a>) -> bool {
        for slot in &mut self.known {
            match slot {
                Some(other) if other.handle.kind == handle.kind => return false,
                Some(_) => {}
                None => {
                    *slot = Some(Slot {
                        handle,
                        taken: false,
                    });
                    return true;
                }
            }
        }
        // Unreachable: there is a slot for each type.
        false
    }

    /// Takes the handle of a type. If it is missing, fails with the damage of the payload, if there is
    /// any: the handle may lie behind it.
    pub(crate) fn require(&mut self, kind: HandleType) -> Result<Handle<'a>, FormatError> {
        let missing = self.damage.unwrap_or_else(|| self.missing(kind));
        self.take(kind).ok_or(missing)
    }

    /// Takes the handle of a type that the object must have, but without which it can be decoded:
    /// reports it if it is missing.
    pub(crate) fn take_or_report(
        &mut self,
        kind: HandleType,
        deviations: &mut Deviations,
    ) -> Result<Option<Handle<'a>>, FormatError> {
        let handle = self.take(kind);
        if handle.is_none() && self.damage.is_none() {
            deviations.report(self.missing(kind))?;
        }
        Ok(handle)
    }

    /// Returns the error at which the payload stops being a sequence of handles.
    pub(crate) fn damage(&self) -> Option<FormatError> {
        self.damage
    }

    /// Returns whether the payload has a handle of the type.
    pub(crate) fn has(&self, kind: HandleType) -> bool {
        let mut known = self.known.iter().flatten();
        known.any(|slot| slot.handle.kind == kind)
    }

    /// Reports handles that were not taken, which objects of this kind must not have, and a wrong
    /// order of the others.
    pub(crate) fn finish(self, deviations: &mut Deviations) -> Result<(), FormatError> {
        let mut previous_rank = None;
        for Slot { handle, taken } in self.known.iter().flatten() {
            let place = handle.cursor().place();
            if !taken {
                deviations.report(place.corrupt(Corrupt::HandleUnexpected))?;
                continue;
            }
            let rank = handle.kind.rank();
            if previous_rank.is_some_and(|previous| rank < previous) {
                deviations.note(place.corrupt(Corrupt::HandleOrder));
            }
            previous_rank = Some(rank);
        }
        Ok(())
    }

    fn take(&mut self, kind: HandleType) -> Option<Handle<'a>> {
        let mut known = self.known.iter_mut().flatten();
        let slot = known.find(|slot| slot.handle.kind == kind)?;
        slot.taken = true;
        Some(slot.handle)
    }

    fn missing(&self, kind: HandleType) -> FormatError {
        Place::new(Part::Handle(kind), self.end).corrupt(Corrupt::HandleMissing)
    }
}

/// Reads the type and content of the next handle. An error is damage even if deviations are
/// collected: without the end of this handle, the next one cannot be found.
fn read_handle<'a>(
    cursor: &mut Cursor<'a>,
    deviations: &mut Deviations,
) -> Result<(u32, &'a [u8]), FormatError> {
    let bytes_left = cursor.remaining() as u64;
    cursor.fixed(MAGIC, Corrupt::HandleMagic)?;
    let length_place = cursor.place();
    let padded = u64::from(cursor.u32()?);
    let real = u64::from(cursor.u32()?);
    let unpadded = HEADER_BYTES as u64 + real;
    if padded != unpadded.next_multiple_of(ALIGNMENT as u64) {
        let wrong = length_place.corrupt(Corrupt::HandleLength);
        // With more padding than needed, the next handle can still be found.
        let in_payload = (unpadded..=bytes_left).contains(&padded);
        if !in_payload || !padded.is_multiple_of(ALIGNMENT as u64) {
            return Err(wrong);
        }
        deviations.report(wrong)?;
    }
    let code = cursor.u32()?;
    let zero_place = cursor.place();
    if cursor.u32()? != 0 {
        deviations.report(zero_place.corrupt(Corrupt::NotZero))?;
    }
    let length =
        |bytes| usize::try_from(bytes).map_err(|_| length_place.corrupt(Corrupt::Truncated));
    let content = cursor.take(length(real)?)?;
    let padding = length(padded - unpadded)?;
    if padding > cursor.remaining() {
        deviations.report(cursor.corrupt(Corrupt::Truncated))?;
    }
    let place = cursor.place();
    let padding = cursor.take(padding.min(cursor.remaining()))?;
    if padding.iter().any(|byte| *byte != 0) {
        deviations.report(place.corrupt(Corrupt::NotZero))?;
    }
    Ok((code, content))
}

/// Fails if there is a handle of an unknown type.
pub(crate) fn reject_unknown(unknown: &[UnknownHandle]) -> Result<(), FormatError> {
    match unknown.first() {
        None => Ok(()),
        Some(handle) => Err(Place::new(Part::Payload, handle.offset)
            .unsupported(Unsupported::HandleType(handle.code))),
    }
}
