//! Handles: the typed sections that a payload consists of (docs/format.md section 5).

use std::fmt;

use crate::cursor::Cursor;
use crate::deviations::Deviations;
use crate::error::{Corrupt, FormatError, Part, Place, Unsupported};

pub(crate) const MAGIC: u32 = 0x0301_6005;
/// magic, padded length, real length, type, zero: a u32 each.
pub(crate) const HEADER_BYTES: usize = 20;
/// Header and content together are rounded up to a multiple of this.
pub(crate) const ALIGNMENT: usize = 8;
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

    /// The place among the handles of an object. Section 6 gives an order for each kind of object;
    /// this one agrees with all of them.
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

/// The handles of a payload.
#[derive(Debug)]
pub(crate) struct Handles<'a> {
    /// The first of each known type, in the order of the payload.
    known: [Option<Slot<'a>>; HandleType::COUNT],
    end: usize,
    /// Where and why the payload stops being a sequence of handles.
    damage: Option<FormatError>,
}

#[derive(Debug, Copy, Clone)]
struct Slot<'a> {
    handle: Handle<'a>,
    taken: bool,
}

impl<'a> Handles<'a> {
    /// Takes a payload apart. Types that a loader never writes are put into `unknown`. Where
    /// deviations are listed this does not fail: the handles before the damage are kept.
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
                Err(damage) if deviations.are_listed() => {
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
                deviations.broken(place.corrupt(Corrupt::HandleTwice))?;
            }
        }
        Ok(handles)
    }

    /// False when there is one of this type already: the first counts.
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
        // There are as many slots as types.
        false
    }

    /// The handle of a type; an error when it is missing: the damage, if it may lie behind that.
    pub(crate) fn require(&mut self, kind: HandleType) -> Result<Handle<'a>, FormatError> {
        let missing = self.damage.unwrap_or_else(|| self.missing(kind));
        self.take(kind).ok_or(missing)
    }

    /// The handle of a type that the object must have, but can be read without.
    pub(crate) fn want(
        &mut self,
        kind: HandleType,
        deviations: &mut Deviations,
    ) -> Result<Option<Handle<'a>>, FormatError> {
        let handle = self.take(kind);
        if handle.is_none() && self.damage.is_none() {
            deviations.broken(self.missing(kind))?;
        }
        Ok(handle)
    }

    /// Where the payload stops being a sequence of handles.
    pub(crate) fn damage(&self) -> Option<FormatError> {
        self.damage
    }

    /// Whether there is a handle of the type.
    pub(crate) fn has(&self, kind: HandleType) -> bool {
        let mut known = self.known.iter().flatten();
        known.any(|slot| slot.handle.kind == kind)
    }

    /// Judges the handles as a whole: those that were not taken, which this object must not have,
    /// and the order of the others.
    pub(crate) fn finish(self, deviations: &mut Deviations) -> Result<(), FormatError> {
        let mut before = None;
        for Slot { handle, taken } in self.known.iter().flatten() {
            let place = handle.cursor().place();
            if !taken {
                deviations.broken(place.corrupt(Corrupt::HandleUnexpected))?;
                continue;
            }
            let rank = handle.kind.rank();
            if before.is_some_and(|before| rank < before) {
                deviations.tolerated(place.corrupt(Corrupt::HandleOrder));
            }
            before = Some(rank);
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

/// Type and content of the next handle. Where deviations are listed, what fails here is damage: it
/// is not known where the handle ends.
fn read_handle<'a>(
    cursor: &mut Cursor<'a>,
    deviations: &mut Deviations,
) -> Result<(u32, &'a [u8]), FormatError> {
    let bytes_left = cursor.remaining() as u64;
    cursor.fixed(MAGIC, Corrupt::HandleMagic)?;
    let length_place = cursor.place();
    let padded = u64::from(cursor.u32()?);
    let real = u64::from(cursor.u32()?);
    let least = HEADER_BYTES as u64 + real;
    if padded != least.next_multiple_of(ALIGNMENT as u64) {
        let wrong = length_place.corrupt(Corrupt::HandleLength);
        // More padding than needed still leads to the next handle.
        let leads_on = (least..=bytes_left).contains(&padded);
        if !leads_on || !padded.is_multiple_of(ALIGNMENT as u64) {
            return Err(wrong);
        }
        deviations.broken(wrong)?;
    }
    let code = cursor.u32()?;
    let zero_place = cursor.place();
    if cursor.u32()? != 0 {
        deviations.broken(zero_place.corrupt(Corrupt::NotZero))?;
    }
    let length =
        |bytes| usize::try_from(bytes).map_err(|_| length_place.corrupt(Corrupt::Truncated));
    let content = cursor.take(length(real)?)?;
    let padding = length(padded - least)?;
    if padding > cursor.remaining() {
        deviations.broken(cursor.corrupt(Corrupt::Truncated))?;
    }
    let place = cursor.place();
    let padding = cursor.take(padding.min(cursor.remaining()))?;
    if padding.iter().any(|byte| *byte != 0) {
        deviations.broken(place.corrupt(Corrupt::NotZero))?;
    }
    Ok((code, content))
}

/// The error of a reader that needs all handles known.
pub(crate) fn refuse(unknown: &[UnknownHandle]) -> Result<(), FormatError> {
    match unknown.first() {
        None => Ok(()),
        Some(handle) => Err(Place::new(Part::Payload, handle.offset)
            .unsupported(Unsupported::HandleType(handle.code))),
    }
}
