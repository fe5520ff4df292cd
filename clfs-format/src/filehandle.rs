//! Filehandles: the ids of file-system entities (format.md §2).

use std::fmt;

use crate::error::{Corrupt, FormatError, Part, Place};
use crate::hash;
use crate::id::{ObjectType, WellKnownId};

const LENGTH: usize = 24;
const ROOT_LENGTH: usize = 16;
const DIRECTORY_MANAGER: usize = 5;
const FTYPE: usize = 6;
/// Version 1, local 1: the low five bits of a filehandle's first word.
const VERSION_AND_LOCAL: u32 = 0x11;
const CONTAINER_ID_BITS: u32 = 0x07ff_ffff;

/// The id of a file-system entity: 24 bytes, or 16 for the root directory (format.md §2).
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Filehandle {
    /// The root's 16 bytes are padded with zeros; [`Filehandle::from_bytes`] rejects a 24-byte
    /// filehandle with that value.
    bytes: [u8; LENGTH],
}

impl Filehandle {
    /// The root directory's filehandle, 16 bytes.
    pub const ROOT: Self = {
        let mut bytes = [0; LENGTH];
        bytes[ROOT_LENGTH - 1] = WellKnownId::ROOT_BYTE;
        Self { bytes }
    };

    /// The null filehandle: 24 zero bytes. It names no entity.
    pub const NULL: Self = Self { bytes: [0; LENGTH] };

    /// Returns the bytes as in handles and object names: 16 for the root, otherwise 24.
    pub fn as_bytes(&self) -> &[u8] {
        if self.is_root() {
            self.bytes
                .first_chunk::<ROOT_LENGTH>()
                .map_or(&[], |head| head.as_slice())
        } else {
            &self.bytes
        }
    }

    /// Converts 24 bytes, or the root's 16 bytes. Does not check the fields: see
    /// [`Filehandle::file_type`].
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] if the length is neither 24 nor 16, 16 bytes are not the root's, or 24
    /// bytes are the root's and eight zeros.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        Self::from_bytes_at(bytes, Place::new(Part::Id, 0))
    }

    pub(crate) fn from_bytes_at(bytes: &[u8], place: Place) -> Result<Self, FormatError> {
        if let Ok(bytes) = <[u8; LENGTH]>::try_from(bytes) {
            let handle = Self { bytes };
            if handle.is_root() {
                return Err(place.corrupt(Corrupt::LongRoot));
            }
            return Ok(handle);
        }
        if bytes.len() != ROOT_LENGTH {
            return Err(place.corrupt(Corrupt::IdLength));
        }
        if bytes != Self::ROOT.as_bytes() {
            return Err(place.corrupt(Corrupt::NotTheRoot));
        }
        Ok(Self::ROOT)
    }

    /// Returns whether this is the root directory's filehandle.
    pub fn is_root(&self) -> bool {
        self.bytes == Self::ROOT.bytes
    }

    /// Returns whether this is the null filehandle.
    pub fn is_null(&self) -> bool {
        *self == Self::NULL
    }

    /// Returns the directory manager of the entity (byte 5); 0 for the root.
    pub fn directory_manager(&self) -> u8 {
        self.bytes[DIRECTORY_MANAGER]
    }

    /// Returns the sequence number (bytes 8 to 15), unique in a container; `None` for the root.
    pub fn sequence(&self) -> Option<u64> {
        let (_, tail) = self.bytes.split_at(8);
        let bytes = tail.first_chunk()?;
        (!self.is_root()).then(|| u64::from_le_bytes(*bytes))
    }

    /// Returns the type (byte 6); `None` if the code is unknown.
    pub fn file_type(&self) -> Option<FileType> {
        if self.is_root() {
            return Some(FileType::Directory);
        }
        FileType::from_ftype(self.bytes[FTYPE])
    }

    /// Returns the hash at the start of the name of the inode's object (format.md §4).
    pub fn hash64(&self) -> u64 {
        hash::hash64(self.as_bytes())
    }
}

impl fmt::Display for Filehandle {
    /// Formats the filehandle in upper-case hex, as in object names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for Filehandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filehandle({self})")
    }
}

/// The fields of a 24-byte filehandle (format.md §2).
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct FilehandleFields {
    /// The container id, of which the filehandle contains the low 27 bits.
    pub container_id: u32,
    /// The directory manager of the parent: byte 5 of the parent's filehandle.
    pub parent_directory_manager: u8,
    /// The directory manager of the entity. If it is not a directory, the same as the parent's.
    pub directory_manager: u8,
    /// The type of the entity.
    pub file_type: FileType,
    /// The sequence number, unique in the container, from [`crate::FIRST_SEQUENCE`].
    pub sequence: u64,
    /// A random number, not 0.
    pub random: u64,
}

impl FilehandleFields {
    /// Returns the filehandle; `None` if `random` or the `fnv1` of the filehandle is 0 (format.md §2).
    /// In that case choose another random number.
    pub fn filehandle(&self) -> Option<Filehandle> {
        if self.random == 0 {
            return None;
        }
        let word = (self.container_id & CONTAINER_ID_BITS) << 5 | VERSION_AND_LOCAL;
        let mut bytes = [0; LENGTH];
        bytes[0..4].copy_from_slice(&word.to_le_bytes());
        bytes[4] = self.parent_directory_manager;
        bytes[DIRECTORY_MANAGER] = self.directory_manager;
        bytes[FTYPE] = self.file_type.ftype();
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.random.to_le_bytes());
        (hash::fnv1(&bytes) != 0).then_some(Filehandle { bytes })
    }
}

/// The type of a file-system entity.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileType {
    /// A directory.
    Directory,
    /// A regular file.
    Regular,
    /// A symbolic link.
    Symlink,
    /// A block device.
    Block,
    /// A character device.
    Character,
    /// A socket.
    Socket,
    /// A fifo (named pipe).
    Fifo,
}

impl FileType {
    /// All types, in the order of their ftype codes.
    pub const ALL: [Self; 7] = [
        Self::Directory,
        Self::Regular,
        Self::Symlink,
        Self::Block,
        Self::Character,
        Self::Socket,
        Self::Fifo,
    ];

    /// Returns the ftype code, which filehandles contain (format.md §2).
    pub fn ftype(self) -> u8 {
        match self {
            Self::Directory => 1,
            Self::Regular => 2,
            Self::Symlink => 3,
            Self::Block => 4,
            Self::Character => 5,
            Self::Socket => 6,
            Self::Fifo => 7,
        }
    }

    /// Returns the type for an ftype code; `None` if the code is not 1 to 7.
    pub fn from_ftype(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.ftype() == code)
    }

    /// Returns the object type of the inode of such an entity.
    pub fn object_type(self) -> ObjectType {
        match self {
            Self::Directory => ObjectType::Directory,
            Self::Regular => ObjectType::Regular,
            Self::Symlink => ObjectType::Symlink,
            Self::Block => ObjectType::Block,
            Self::Character => ObjectType::Character,
            Self::Socket => ObjectType::Socket,
            Self::Fifo => ObjectType::Fifo,
        }
    }

    /// Returns the type of entity for the object type of an inode; `None` for other objects.
    pub fn from_object_type(object_type: ObjectType) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|t| t.object_type() == object_type)
    }

    /// Returns the type in an `st_mode`; `None` if it is not one of the seven.
    pub fn from_mode(st_mode: u32) -> Option<Self> {
        match st_mode & 0o170_000 {
            0o040_000 => Some(Self::Directory),
            0o100_000 => Some(Self::Regular),
            0o120_000 => Some(Self::Symlink),
            0o060_000 => Some(Self::Block),
            0o020_000 => Some(Self::Character),
            0o140_000 => Some(Self::Socket),
            0o010_000 => Some(Self::Fifo),
            _ => None,
        }
    }
}
