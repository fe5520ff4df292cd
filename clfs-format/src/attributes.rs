//! The attributes of an inode: the VATTR handle (format.md §5).

use crate::buffer::ObjectBuffer;
use crate::cursor::Cursor;
use crate::deviations::Deviations;
use crate::error::{Corrupt, FormatError};
use crate::handle::{Handle, HandleType};

/// Length of the attributes in bytes, without the u32 that contains it.
const LENGTH: u32 = 104;
const NANOSECONDS_PER_SECOND: u32 = 1_000_000_000;

/// A time in the format: u32 seconds since 1970 and u32 nanoseconds (format.md §5).
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z, up to 2106-02-07T06:28:15Z.
    pub seconds: u32,
    /// Nanoseconds. Decoders do not check the value, so it may exceed 999,999,999.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// The earliest time of the format: 1970-01-01T00:00:00Z.
    pub const MIN: Self = Self {
        seconds: 0,
        nanoseconds: 0,
    };

    /// The latest time of the format: 2106-02-07T06:28:15.999999999Z.
    pub const MAX: Self = Self {
        seconds: u32::MAX,
        nanoseconds: NANOSECONDS_PER_SECOND - 1,
    };

    /// Converts seconds since 1970 and nanoseconds to the nearest time of the format. The second value
    /// is true if the time was clamped.
    pub fn from_unix(seconds: i64, nanoseconds: u32) -> (Self, bool) {
        match u32::try_from(seconds) {
            Ok(seconds) if nanoseconds < NANOSECONDS_PER_SECOND => {
                let exact = Self {
                    seconds,
                    nanoseconds,
                };
                (exact, false)
            }
            Ok(seconds) => {
                let clamped = Self {
                    seconds,
                    nanoseconds: NANOSECONDS_PER_SECOND - 1,
                };
                (clamped, true)
            }
            Err(_) if seconds < 0 => (Self::MIN, true),
            Err(_) => (Self::MAX, true),
        }
    }

    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            seconds: cursor.u32()?,
            nanoseconds: cursor.u32()?,
        })
    }

    fn encode(self, buffer: &mut ObjectBuffer) {
        buffer.u32(self.seconds);
        buffer.u32(self.nanoseconds);
    }
}

/// The attributes of an inode: the VATTR handle, 104 bytes with the fields in this order (format.md
/// §5). A zero byte follows `object_type`, and a zero u32 follows `nlink`.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Default)]
pub struct Attributes {
    /// The complete `st_mode`, including the type bits.
    pub mode: u16,
    /// The btype code ([`crate::ObjectType::code`]).
    pub object_type: u8,
    /// Flags of unknown meaning. Loaders write 0.
    pub flags: u32,
    /// User id of the owner.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Size in bytes. For a directory, the sum over all segments of 4 + the bytes of its entries.
    pub size: u64,
    /// A time of unknown meaning. Loaders write 0.
    pub dtime: Timestamp,
    /// Time of the last change of content.
    pub mtime: Timestamp,
    /// Time of the last change of attributes.
    pub ctime: Timestamp,
    /// Time of the last access.
    pub atime: Timestamp,
    /// Bytes used: the same as `size`.
    pub used: u64,
    /// File-system id, the same in all inodes of a container.
    pub fsid: u64,
    /// Inode number: `st_ino` of the source.
    pub file_id: u64,
    /// Major number of `st_rdev`.
    pub major: u32,
    /// Minor number of `st_rdev`.
    pub minor: u32,
    /// Number of links.
    pub nlink: u32,
    /// Container id, the same in all inodes of a container.
    pub container_id: u64,
}

impl Attributes {
    pub(crate) fn encode(&self, buffer: &mut ObjectBuffer) -> Result<(), FormatError> {
        let handle = buffer.begin(HandleType::Attributes);
        buffer.u32(LENGTH);
        buffer.u16(self.mode);
        buffer.bytes(&[self.object_type, 0]);
        buffer.u32(self.flags);
        buffer.u32(self.uid);
        buffer.u32(self.gid);
        buffer.u64(self.size);
        for time in [self.dtime, self.mtime, self.ctime, self.atime] {
            time.encode(buffer);
        }
        buffer.u64(self.used);
        buffer.u64(self.fsid);
        buffer.u64(self.file_id);
        buffer.u32(self.major);
        buffer.u32(self.minor);
        buffer.u32(self.nlink);
        buffer.u32(0);
        buffer.u64(self.container_id);
        buffer.end(handle)
    }

    /// Decodes the known attributes. A longer length, if the handle has the bytes, is a deviation: the
    /// attributes after the known ones are skipped.
    pub(crate) fn decode(
        handle: Handle<'_>,
        deviations: &mut Deviations,
    ) -> Result<Self, FormatError> {
        let mut cursor = handle.cursor();
        let place = cursor.place();
        let length = cursor.length()?;
        let wrong_length = place.corrupt(Corrupt::FixedValue);
        let unknown_bytes = length.checked_sub(LENGTH as usize).ok_or(wrong_length)?;
        if unknown_bytes > 0 {
            if length > cursor.remaining() {
                return Err(wrong_length);
            }
            deviations.report(wrong_length)?;
        }
        let mode = cursor.u16()?;
        let object_type = cursor.u8()?;
        let place = cursor.place();
        if cursor.u8()? != 0 {
            deviations.report(place.corrupt(Corrupt::NotZero))?;
        }
        let mut attributes = Self {
            mode,
            object_type,
            flags: cursor.u32()?,
            uid: cursor.u32()?,
            gid: cursor.u32()?,
            size: cursor.u64()?,
            dtime: Timestamp::decode(&mut cursor)?,
            mtime: Timestamp::decode(&mut cursor)?,
            ctime: Timestamp::decode(&mut cursor)?,
            atime: Timestamp::decode(&mut cursor)?,
            used: cursor.u64()?,
            fsid: cursor.u64()?,
            file_id: cursor.u64()?,
            major: cursor.u32()?,
            minor: cursor.u32()?,
            nlink: cursor.u32()?,
            container_id: 0,
        };
        let place = cursor.place();
        if cursor.u32()? != 0 {
            deviations.report(place.corrupt(Corrupt::NotZero))?;
        }
        attributes.container_id = cursor.u64()?;
        cursor.take(unknown_bytes)?;
        deviations.optional(cursor.finish())?;
        Ok(attributes)
    }
}
