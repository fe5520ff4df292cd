//! The attributes of an inode: the VATTR handle (docs/format.md section 5).

use crate::buffer::ObjectBuffer;
use crate::cursor::Cursor;
use crate::deviations::Deviations;
use crate::error::{Corrupt, FormatError};
use crate::handle::{Handle, HandleType};

/// Bytes of the attributes, without the u32 that says so.
const LENGTH: u32 = 104;
const NANOSECONDS: u32 = 1_000_000_000;

/// A time as the format holds it: unsigned 32-bit seconds since 1970 and nanoseconds.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z, up to 2106-02-07T06:28:15Z.
    pub seconds: u32,
    /// Nanoseconds; what a container says here is not judged and may be over 999,999,999.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// The earliest time that can be held: 1970.
    pub const MIN: Self = Self {
        seconds: 0,
        nanoseconds: 0,
    };

    /// The latest time that can be held.
    pub const MAX: Self = Self {
        seconds: u32::MAX,
        nanoseconds: NANOSECONDS - 1,
    };

    /// The nearest time that the format can hold, and whether it had to be clamped.
    pub fn from_unix(seconds: i64, nanoseconds: u32) -> (Self, bool) {
        match u32::try_from(seconds) {
            Ok(seconds) if nanoseconds < NANOSECONDS => {
                let exact = Self {
                    seconds,
                    nanoseconds,
                };
                (exact, false)
            }
            Ok(seconds) => {
                let clamped = Self {
                    seconds,
                    nanoseconds: NANOSECONDS - 1,
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

/// The attributes of an inode, 104 bytes in this order.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Default)]
pub struct Attributes {
    /// The whole `st_mode`, type bits included.
    pub mode: u16,
    /// The object type's code ([`crate::ObjectType::code`]). A zero byte follows.
    pub object_type: u8,
    /// 0 in everything a loader writes.
    pub flags: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes. For a directory the sum over all segments of 4 + bytes of entries.
    pub size: u64,
    /// 0 in everything a loader writes.
    pub dtime: Timestamp,
    /// Time of the last change of content.
    pub mtime: Timestamp,
    /// Time of the last change of attributes.
    pub ctime: Timestamp,
    /// Time of the last access.
    pub atime: Timestamp,
    /// The same as `size`.
    pub used: u64,
    /// The container's file-system id.
    pub fsid: u64,
    /// `st_ino`.
    pub file_id: u64,
    /// Major number of `st_rdev`.
    pub major: u32,
    /// Minor number of `st_rdev`.
    pub minor: u32,
    /// Number of links. A zero u32 follows.
    pub nlink: u32,
    /// The container's id.
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

    /// More attributes than are known, as the length says, are passed over.
    pub(crate) fn decode(
        handle: Handle<'_>,
        deviations: &mut Deviations,
    ) -> Result<Self, FormatError> {
        let mut cursor = handle.cursor();
        let place = cursor.place();
        let length = cursor.length()?;
        let wrong = place.corrupt(Corrupt::FixedValue);
        let more = length.checked_sub(LENGTH as usize).ok_or(wrong)?;
        if more > 0 {
            if length > cursor.remaining() {
                return Err(wrong);
            }
            deviations.broken(wrong)?;
        }
        let mode = cursor.u16()?;
        let object_type = cursor.u8()?;
        let place = cursor.place();
        if cursor.u8()? != 0 {
            deviations.broken(place.corrupt(Corrupt::NotZero))?;
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
            deviations.broken(place.corrupt(Corrupt::NotZero))?;
        }
        attributes.container_id = cursor.u64()?;
        cursor.take(more)?;
        deviations.allow(cursor.finish())?;
        Ok(attributes)
    }
}
