//! Entries of the source tree, as the stages of a load exchange them.

use std::fmt;

use clfs_format::{FileType, Timestamp};

use crate::loss::Losses;

/// The row id of an entry, which is also the sequence number in its filehandle (format.md §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(u64);

impl EntryId {
    /// The root directory. Its filehandle has no sequence number; 0x64 is its well-known id.
    pub const ROOT: EntryId = EntryId(0x64);

    /// Creates the id with this number.
    pub const fn new(number: u64) -> Self {
        EntryId(number)
    }

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The attributes of an entry in the source, as the format stores them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceAttributes {
    /// The file type, as in `mode`.
    pub file_type: FileType,
    /// `st_mode` with the type bits. For an entry with an ACL, the group bits are the permissions of the owning
    /// group instead of the ACL's mask.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// `st_size` in bytes: the length of the target for a symlink, depends on the file system for a directory.
    pub size: u64,
    /// Time of the last change of the content.
    pub mtime: Timestamp,
    /// Time of the last change of the inode.
    pub ctime: Timestamp,
    /// Time of the last read.
    pub atime: Timestamp,
    /// `st_ino`.
    pub inode: u64,
    /// `st_rdev` of block and character devices, 0/0 otherwise.
    pub device: DeviceNumber,
    /// Attributes that the format cannot store. The state records them separately: they are empty in an entry
    /// that is read from there.
    pub losses: Losses,
}

impl SourceAttributes {
    /// Returns whether content that was read with the attributes `self` still matches the `later` ones.
    pub fn same_content(&self, later: &SourceAttributes) -> bool {
        self.file_type == later.file_type && self.size == later.size && self.mtime == later.mtime
    }

    /// Returns whether all attributes but the inode number indicate the same inode: type, mode, owner, `mtime`,
    /// `ctime` (which users cannot set), and for files and symlinks the size.
    pub fn agrees(&self, other: &SourceAttributes) -> bool {
        let size_counts = matches!(self.file_type, FileType::Regular | FileType::Symlink);
        // The group bits are ignored: with an ACL, `st_mode` has its mask there, which is not recorded.
        let mode = |attributes: &SourceAttributes| attributes.mode & !0o070;
        mode(self) == mode(other)
            && (self.uid, self.gid) == (other.uid, other.gid)
            && (self.mtime, self.ctime) == (other.mtime, other.ctime)
            && (!size_counts || self.size == other.size)
    }

    /// Returns whether both were read from the same inode: by its number or, because some file systems do not keep
    /// numbers, by the other attributes ([`agrees`](Self::agrees)). Only valid for the same name in the same
    /// directory.
    pub fn same_inode(&self, other: &SourceAttributes) -> bool {
        self.file_type == other.file_type
            && (self.inode == other.inode || self.has_ctime() && self.agrees(other))
    }

    /// Returns whether the file system records when inodes change. If not, equal attributes prove nothing.
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
    /// The identities do not suffice to decide.
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

/// A mount below the source when the transfer was started. The scan may reach it in a later run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountBelow {
    /// Its path below the source, raw bytes.
    pub path: Vec<u8>,
    /// `st_ino` of its root; None if it could not be examined, or if numbers are not compared.
    pub inode: Option<u64>,
    /// Its identity.
    pub mount: Mount,
}

/// The recorded mount on a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mounted {
    /// Unknown, because the version that recorded the directory did not record mounts.
    Unknown,
    /// None: the directory was in its parent's file system.
    Nothing,
    /// A file system was mounted there.
    This(Mount),
}

/// The recorded identity of a directory. The directory that is opened at its path is compared with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownDirectory {
    /// Attributes at the time of the scan.
    pub attributes: SourceAttributes,
    /// The mount on it at the time of the scan.
    pub mounted: Mounted,
}

/// The location and the recorded identity of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its parent directory; the root's is the root.
    pub parent: EntryId,
    /// Its name in the parent.
    pub name: Vec<u8>,
    /// None if nothing was recorded to compare with.
    pub known: Option<KnownDirectory>,
}

/// The number of a device file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceNumber {
    /// The major number.
    pub major: u32,
    /// The minor number.
    pub minor: u32,
}

/// The identity of an inode with several names, equal for all its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkKey {
    /// The directory within the tree on which its file system is mounted; the root for the root's file system.
    pub file_system: EntryId,
    /// 0 if its device is that of the directories of the file system. Overlays assign other devices to files: the
    /// source returns their `st_dev`, which the scan replaces by a number that survives a remount.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
}

/// An entry of a directory listing that has no id yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// Last path component, raw bytes.
    pub name: Vec<u8>,
    /// Attributes at the time of the listing.
    pub attributes: SourceAttributes,
    /// The identity of an inode with several names (`st_nlink` > 1, not a directory), if hard links are
    /// preserved.
    pub link: Option<LinkKey>,
    /// The number of times (0 to 3) that were outside the range of the format and clamped.
    pub clamped_times: u8,
    /// The mount on it, if any.
    pub mount: Option<Mount>,
}

/// A recorded entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: EntryId,
    /// Its parent directory; the root's is the root.
    pub parent: EntryId,
    /// Last path component, raw bytes.
    pub name: Vec<u8>,
    /// Attributes at the time of the scan.
    pub attributes: SourceAttributes,
}

impl Entry {
    /// Returns the size of a regular file, 0 for other entries.
    pub(crate) fn regular_bytes(&self) -> u64 {
        match self.attributes.file_type {
            FileType::Regular => self.attributes.size,
            _ => 0,
        }
    }
}
