//! Object ids: filehandles, block ids and well-known ids (format.md §1), and object types (format.md
//! §2).

use std::fmt;

use crate::error::{Corrupt, FormatError, Part, Place};
use crate::filehandle::Filehandle;
use crate::hash;

/// The 16-byte id of a segment or an indirect block (format.md §1).
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct BlockId(pub [u8; 16]);

impl BlockId {
    /// Length of an id in bytes.
    pub const LENGTH: usize = 16;

    /// The null id, 16 zero bytes: the root of an unused tree (format.md §6 "BMAP").
    pub const NONE: Self = Self([0; 16]);

    /// Returns whether this is the null id.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Returns the 16 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for BlockId {
    /// Formats the id in upper-case hex, as in object names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockId({self})")
    }
}

/// The ids with a fixed meaning: 16 bytes, all zero except the last (format.md §1). The id of the
/// root directory, 0x64, is [`Filehandle::ROOT`].
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WellKnownId {
    /// 0x62: not an object. CLFSLoad names it as the owner of an inode that is not yet final.
    Provisional,
    /// 0x63: the bucket object.
    Bucket,
    /// 0x65: the space tracker.
    SpaceTracker,
    /// 0x66: the parent of orphans.
    OrphanParent,
    /// 0x67: the database of snapshots.
    SnapshotDatabase,
}

impl WellKnownId {
    pub(crate) const ROOT_BYTE: u8 = 0x64;

    const ALL: [Self; 5] = [
        Self::Provisional,
        Self::Bucket,
        Self::SpaceTracker,
        Self::OrphanParent,
        Self::SnapshotDatabase,
    ];

    /// Returns the 16 bytes.
    pub fn as_bytes(&self) -> &'static [u8; 16] {
        match self {
            Self::Provisional => const { &well_known(0x62) },
            Self::Bucket => const { &well_known(0x63) },
            Self::SpaceTracker => const { &well_known(0x65) },
            Self::OrphanParent => const { &well_known(0x66) },
            Self::SnapshotDatabase => const { &well_known(0x67) },
        }
    }

    /// Returns the last byte, which identifies the id.
    pub fn code(self) -> u8 {
        let [.., last] = *self.as_bytes();
        last
    }

    /// Returns whether the object has a V1 name (format.md §4).
    pub fn has_v1_name(self) -> bool {
        self != Self::Provisional
    }
}

const fn well_known(last: u8) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[15] = last;
    bytes
}

/// The id of an object (format.md §1).
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectId {
    /// The filehandle of an inode.
    Entity(Filehandle),
    /// The id of a segment or an indirect block.
    Block(BlockId),
    /// A fixed id.
    WellKnown(WellKnownId),
}

impl ObjectId {
    /// Returns the bytes as in object names: 24 for an entity other than the root, otherwise 16.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Entity(handle) => handle.as_bytes(),
            Self::Block(id) => id.as_bytes(),
            Self::WellKnown(id) => id.as_bytes(),
        }
    }

    /// Converts 24 bytes (an entity) or 16 bytes (the root, a well-known id or a block).
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] if the length is neither 24 nor 16, the id is null, or 24 bytes are
    /// the root's id and eight zeros.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let place = Place::new(Part::Id, 0);
        let id = if let Ok(block) = <[u8; BlockId::LENGTH]>::try_from(bytes) {
            if let Some(known) = WellKnownId::ALL
                .into_iter()
                .find(|k| *k.as_bytes() == block)
            {
                Self::WellKnown(known)
            } else if block == *Filehandle::ROOT.as_bytes() {
                Self::Entity(Filehandle::ROOT)
            } else {
                Self::Block(BlockId(block))
            }
        } else {
            Self::Entity(Filehandle::from_bytes_at(bytes, place)?)
        };
        if id.as_bytes().iter().all(|byte| *byte == 0) {
            return Err(place.corrupt(Corrupt::NullId));
        }
        Ok(id)
    }

    /// Returns the hash that precedes the id in a V2 object name (format.md §4).
    pub fn hash64(&self) -> u64 {
        hash::hash64(self.as_bytes())
    }
}

impl fmt::Display for ObjectId {
    /// Formats the id in upper-case hex, as in object names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

/// The type of an object, in its name and, for an inode, in its attributes: *btype* (format.md §2).
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ObjectType {
    /// The inode of a regular file.
    Regular = 1,
    /// The inode of a directory.
    Directory = 2,
    /// The inode of a block device.
    Block = 3,
    /// The inode of a character device.
    Character = 4,
    /// The inode of a symlink.
    Symlink = 5,
    /// The inode of a socket.
    Socket = 6,
    /// The inode of a fifo.
    Fifo = 7,
    /// A segment.
    Segment = 8,
    /// An indirect block.
    Indirect = 9,
    /// A tombstone. No loader writes one.
    Tombstone = 10,
    /// A special object such as the bucket, whose V1 name does not contain the type.
    Special = 11,
    /// A hard link. No loader writes one.
    HardLink = 12,
}

impl ObjectType {
    const ALL: [Self; 12] = [
        Self::Regular,
        Self::Directory,
        Self::Block,
        Self::Character,
        Self::Symlink,
        Self::Socket,
        Self::Fifo,
        Self::Segment,
        Self::Indirect,
        Self::Tombstone,
        Self::Special,
        Self::HardLink,
    ];

    /// Returns the btype code.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Returns the type for a btype code; `None` if the code is not 1 to 12.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|t| u16::from(t.code()) == code)
    }
}
