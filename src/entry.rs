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

    /// Whether everything but the inode number shows that both were read from one inode: type, mode,
    /// owner, `mtime` and `ctime`, which no user can set; of files and symlinks the size too.
    pub fn agrees(&self, other: &SourceAttributes) -> bool {
        let size_counts = matches!(self.file_type, FileType::Regular | FileType::Symlink);
        // With an ACL the group's bits of `st_mode` are its mask, and not what is recorded.
        let mode = |attributes: &SourceAttributes| attributes.mode & !0o070;
        mode(self) == mode(other)
            && (self.uid, self.gid) == (other.uid, other.gid)
            && (self.mtime, self.ctime) == (other.mtime, other.ctime)
            && (!size_counts || self.size == other.size)
    }

    /// Whether both were read from one inode: by its number or, if numbers are not stable, by all other
    /// attributes ([`agrees`](Self::agrees)). Only for one name in a directory that is known to be the same.
    pub fn same_inode(&self, other: &SourceAttributes) -> bool {
        self.file_type == other.file_type
            && (self.inode == other.inode || self.has_ctime() && self.agrees(other))
    }

    /// Whether the file system records when inodes change. If not, equal attributes prove nothing.
    pub fn has_ctime(&self) -> bool {
        self.ctime.seconds != 0
    }
}

/// The identity of a mounted file system, as far as it survives a remount. Device numbers do not, and
/// the name of a server does not show which disk it exports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mount {
    /// Whether its device differs from that of the directory above. A bind mount may have the same.
    pub is_other_device: bool,
    /// Birth time of its root in nanoseconds since 1970, if the file system records one. It never
    /// changes, and snapshots inherit it.
    pub birth: Option<i64>,
    /// The UUID of an ext2, ext3 or ext4 file system, folded to the 64 bits of `f_fsid`.
    pub uuid: Option<u64>,
}

/// The result of comparing a recorded [`Mount`] with the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountComparison {
    /// Another file system.
    Other(MountDifference),
    /// The same file system, or a copy of its blocks.
    Same,
    /// Neither is shown.
    Unknown,
}

/// A difference that proves that two file systems are not the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountDifference {
    /// The birth times of the roots.
    BirthTime,
    /// The UUIDs.
    Uuid,
}

impl fmt::Display for MountDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MountDifference::BirthTime => "birth time",
            MountDifference::Uuid => "file system UUID",
        })
    }
}

impl Mount {
    /// Compares birth times and UUIDs.
    pub fn compare(&self, now: &Mount) -> MountComparison {
        let births = self.birth.zip(now.birth);
        let uuids = self.uuid.zip(now.uuid);
        if births.is_some_and(|(before, now)| before != now) {
            return MountComparison::Other(MountDifference::BirthTime);
        }
        if uuids.is_some_and(|(before, now)| before != now) {
            return MountComparison::Other(MountDifference::Uuid);
        }
        // mke2fs and mkfs.btrfs record full seconds, and several file systems may be made in one.
        let is_exact = births.is_some_and(|(birth, _)| birth % 1_000_000_000 != 0);
        match is_exact || uuids.is_some() {
            true => MountComparison::Same,
            false => MountComparison::Unknown,
        }
    }
}

/// A mount below the source when the transfer was started: the scan may come to it in a later run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountBelow {
    /// Its path below the source, raw bytes.
    pub path: Vec<u8>,
    /// `st_ino` of its root; None if it could not be examined, or if numbers are not compared.
    pub inode: Option<u64>,
    /// Its identity.
    pub mount: Mount,
}

/// What the state knows of what is mounted on a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mounted {
    /// Nothing: it was recorded by a version that did not look.
    Unknown,
    /// It was a directory of its parent's file system.
    Nothing,
    /// A file system of its own.
    This(Mount),
}

/// What the state knows of a directory: what is opened in its place is compared with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownDirectory {
    /// Attributes at the time of the scan.
    pub attributes: SourceAttributes,
    /// What was mounted there.
    pub mounted: Mounted,
}

/// Where a directory is, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The directory that it lies in; the root lies in itself.
    pub parent: EntryId,
    /// Its name there.
    pub name: Vec<u8>,
    /// None where nothing was recorded to compare with.
    pub known: Option<KnownDirectory>,
}

/// Major and minor number of a device file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceNumber {
    /// Driver.
    pub major: u32,
    /// Instance.
    pub minor: u32,
}

/// What links to one inode have in common, beside their attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkKey {
    /// The directory on which the file system is mounted within the tree; the root for its own.
    pub file_system: EntryId,
    /// 0 for the device of the directories of that file system. Overlays may give files other ones: the
    /// source returns their `st_dev`, for which the scan stores a number that lasts longer than a mount.
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
    /// What is mounted there, if anything is.
    pub mount: Option<Mount>,
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
