//! What names an object: filehandles, block ids and the well-known ids (docs/format.md section 1).

use std::fmt;

use crate::error::{Corrupt, FormatError, Part, Place};
use crate::filehandle::Filehandle;
use crate::hash;

/// The 16-byte id of a segment or an indirect block.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct BlockId(pub [u8; 16]);

impl BlockId {
    /// Bytes of an id.
    pub const LENGTH: usize = 16;

    /// No block: 16 zero bytes, as in the roots of empty trees.
    pub const NONE: Self = Self([0; 16]);

    /// Whether it names no block.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for BlockId {
    /// Upper-case hex, as in object names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockId({self})")
    }
}

/// The ids with a fixed meaning: 16 bytes, all zero but the last. The root directory's, 0x64, is
/// [`Filehandle::ROOT`].
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WellKnownId {
    /// 0x62: the original loader's owner of an inode that is not final yet.
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

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &'static [u8; 16] {
        match self {
            Self::Provisional => const { &well_known(0x62) },
            Self::Bucket => const { &well_known(0x63) },
            Self::SpaceTracker => const { &well_known(0x65) },
            Self::OrphanParent => const { &well_known(0x66) },
            Self::SnapshotDatabase => const { &well_known(0x67) },
        }
    }

    /// The last byte, which tells them apart.
    pub fn code(self) -> u8 {
        let [.., last] = *self.as_bytes();
        last
    }

    /// Whether its object has a V1 name (section 4).
    pub fn has_v1_name(self) -> bool {
        self != Self::Provisional
    }
}

const fn well_known(last: u8) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[15] = last;
    bytes
}

/// The id of any object.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectId {
    /// An inode.
    Entity(Filehandle),
    /// A segment or an indirect block.
    Block(BlockId),
    /// An object with a fixed id.
    WellKnown(WellKnownId),
}

impl ObjectId {
    /// 24 or 16 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Entity(handle) => handle.as_bytes(),
            Self::Block(id) => id.as_bytes(),
            Self::WellKnown(id) => id.as_bytes(),
        }
    }

    /// Takes 24 bytes (an entity) or 16 (the root, a well-known id or a block).
    ///
    /// # Errors
    /// Corrupt when the length is another, or the id is null.
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

    /// The hash of section 4.
    pub fn hash64(&self) -> u64 {
        hash::hash64(self.as_bytes())
    }
}

impl fmt::Display for ObjectId {
    /// Upper-case hex, as in object names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

/// The type of an object, in its name and (for inodes) in its attributes: *btype* (section 2).
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ObjectType {
    /// Inode of a regular file.
    Regular = 1,
    /// Inode of a directory.
    Directory = 2,
    /// Inode of a block device.
    Block = 3,
    /// Inode of a character device.
    Character = 4,
    /// Inode of a symlink.
    Symlink = 5,
    /// Inode of a socket.
    Socket = 6,
    /// Inode of a fifo.
    Fifo = 7,
    /// A segment.
    Segment = 8,
    /// An indirect block.
    Indirect = 9,
    /// A tombstone; never written by a loader.
    Tombstone = 10,
    /// A special object such as the bucket's; its V1 name does not show it.
    Special = 11,
    /// A hard link; never written by a loader.
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

    /// The number in names and attributes.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The type of a number; none when it is not 1 to 12.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|t| u16::from(t.code()) == code)
    }
}
