//! Limits and fixed sizes of the format, each with its source.

/// Maximum length of a directory entry's name, in bytes. Source: `NAME_MAX` of Linux, the largest
/// that a source file system has.
pub const NAME_BYTES: usize = 255;

/// Maximum length of a symlink target, in bytes. Source: format.md §6 "Symlink" (the cache's limit).
pub const SYMLINK_TARGET_BYTES: usize = 1023;

/// Maximum number of back pointers, and so of links, of an inode. Source: format.md §6 "Links".
pub const LINKS: usize = 1023;

/// Maximum number of entries in a block map's direct list, including the entity's own filehandle
/// (block 0). Source: format.md §6 "BMAP".
pub const DIRECT_BLOCKS: usize = 1024;

/// Number of pointers in a full indirect block. Source: format.md §6 "BMAP".
pub const POINTERS_PER_INDIRECT: usize = 4096;

/// Number of trees of indirect blocks in a block map; tree t has t + 1 levels. Source: format.md §6
/// "BMAP".
pub const TREES: usize = 4;

/// Size of the first segment, which the inode contains, in bytes. Source: format.md §6.
pub const FIRST_SEGMENT_BYTES: u64 = 16384;

/// Size of every file segment after the first, in bytes. Source: format.md §6 "Regular file".
pub const FILE_SEGMENT_BYTES: u64 = 8 << 20;

/// Maximum size of the entries in a directory segment after the first, in bytes. Source: format.md
/// §6 "Directory".
pub const DIRECTORY_SEGMENT_BYTES: u64 = 262_144;

/// Bytes that a writer keeps free in a directory's first segment, so that the cache can rewrite `..`
/// with a longer filehandle. Source: format.md §6 "Directory".
pub const FIRST_SEGMENT_RESERVE: u64 = 24;

/// Number of directory managers over which a loader spreads directories. Source: format.md §2.
pub const DIRECTORY_MANAGERS: u8 = 48;

/// First sequence number of a filehandle. Source: format.md §2.
pub const FIRST_SEQUENCE: u64 = 1000;

/// Version of a new object. Source: format.md §4.
pub const FIRST_VERSION: u64 = 9;

/// Snapshot number of an object that belongs to no snapshot. Source: format.md §4.
pub const NO_SNAPSHOT: u32 = 0xFFFF_FFFF;

/// Payload limit for readers, in bytes: larger than any object of format.md §6. The largest is a
/// full file segment (8 MiB and 88 bytes); the rest is a margin.
pub const PAYLOAD_BYTES: usize = 9 << 20;

/// Maximum number of deviations that an inspection lists for one object or blob. Source: this crate.
/// An inspection lists the first few of each rule in each structure, so the limit is large enough
/// for every rule of an object.
pub const DEVIATIONS: usize = 64;

/// Payload limit for readers of inodes and indirect blocks, in bytes. Without the root's extended
/// attributes, their handles of format.md §6 stay under 150 KiB; the rest is a margin for handles
/// that the cache adds.
pub const INODE_PAYLOAD_BYTES: usize = 2 << 20;

/// Maximum number of pairs in an EXTATTRS handle. Source: this crate. A bucket has four pairs and
/// one for each log.
pub const EXTENDED_ATTRIBUTES: usize = 4096;
