//! The plain types that the stages hand to each other: entries of the source tree.

use std::fmt;

use clfs_format::{FileType, Timestamp};

use crate::loss::Losses;

/// The row id of an entry, which is also the sequence number in its filehandle
/// (docs/format.md section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(u64);

impl EntryId {
    /// The root directory. Its filehandle has no sequence number; 0x64 is its well-known id.
    pub const ROOT: EntryId = EntryId(0x64);

    /// The id with this number.
    pub const fn new(number: u64) -> Self {
        EntryId(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What the source says about an entry, as the format can hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceAttributes {
    /// Type, as in `mode`.
    pub file_type: FileType,
    /// The whole `st_mode`, type bits included; of an entry with an ACL the group bits are the owning
    /// group's permissions, not the ACL's mask.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes; of a symlink its target's, of a directory whatever the source says.
    pub size: u64,
    /// Last change of content.
    pub mtime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// Last read.
    pub atime: Timestamp,
    /// `st_ino`.
    pub inode: u64,
    /// `st_rdev` of block and character devices, 0/0 otherwise.
    pub device: DeviceNumber,
    /// What the format has no place for. The state keeps it apart: an entry that is read from there has
    /// none.
    pub losses: Losses,
}

impl SourceAttributes {
    /// Whether content read under `self` still belongs to attributes read later.
    pub fn same_content(&self, later: &SourceAttributes) -> bool {
        self.file_type == later.file_type && self.size == later.size && self.mtime == later.mtime
    }
}

/// Major and minor number of a device file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceNumber {
    /// Driver.
    pub major: u32,
    /// Instance.
    pub minor: u32,
}

/// What links to one inode have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkKey {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
}

/// An entry of a directory listing that has no id yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// Last path component, raw bytes.
    pub name: Vec<u8>,
    /// Attributes from the listing.
    pub attributes: SourceAttributes,
    /// For an inode with several names (`st_nlink` > 1, not a directory), when links are
    /// preserved.
    pub link: Option<LinkKey>,
    /// How many of the three times could not be held and were clamped.
    pub clamped_times: u8,
}

/// A recorded entry, as the encoder gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: EntryId,
    /// The directory that it was found in; the root is its own parent.
    pub parent: EntryId,
    /// Last path component, raw bytes.
    pub name: Vec<u8>,
    /// Attributes at the time of the scan.
    pub attributes: SourceAttributes,
}

impl Entry {
    /// Bytes to read of it: the size of a regular file, 0 for anything else.
    pub(crate) fn regular_bytes(&self) -> u64 {
        match self.attributes.file_type {
            FileType::Regular => self.attributes.size,
            _ => 0,
        }
    }
}
