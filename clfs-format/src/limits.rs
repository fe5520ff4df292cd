//! The format's limits and fixed sizes, each with its source.

/// Longest name of a directory entry in bytes. Source: `NAME_MAX` of Linux; no file system that a
/// tree is loaded from holds a longer one.
pub const NAME_BYTES: usize = 255;

/// Longest symlink target in bytes. Source: docs/format.md section 6 "Symlink" (the cache's limit).
pub const SYMLINK_TARGET_BYTES: usize = 1023;

/// Most back pointers (and so links) of one inode. Source: docs/format.md section 6 "nlink and BACK".
pub const LINKS: usize = 1023;

/// Entries of the block map's direct list, the entity's own filehandle (block 0) included.
/// Source: docs/format.md section 6 "BMAP".
pub const DIRECT_BLOCKS: usize = 1024;

/// Pointers in a full indirect block. Source: docs/format.md section 6 "BMAP".
pub const POINTERS_PER_INDIRECT: usize = 4096;

/// Trees of indirect blocks in a block map; tree t has t + 1 levels. Source: section 6 "BMAP".
pub const TREES: usize = 4;

/// Bytes of content inside an inode: the first segment. Source: docs/format.md section 6.
pub const FIRST_SEGMENT_BYTES: u64 = 16384;

/// Bytes of every file segment but the first. Source: docs/format.md section 6 "Regular file".
pub const FILE_SEGMENT_BYTES: u64 = 8 << 20;

/// Most bytes of entries in a directory segment but the first. Source: section 6 "Directory".
pub const DIRECTORY_SEGMENT_BYTES: u64 = 262_144;

/// Room that a writer leaves in a directory's first segment, so that the cache can rewrite `..`
/// with a filehandle of another length. Source: docs/format.md section 6 "Directory".
pub const FIRST_SEGMENT_RESERVE: u64 = 24;

/// Directory managers that a loader spreads directories over. Source: docs/format.md section 2.
pub const DIRECTORY_MANAGERS: u8 = 48;

/// First sequence number of a filehandle. Source: docs/format.md section 2.
pub const FIRST_SEQUENCE: u64 = 1000;

/// Version of a new object. Source: docs/format.md section 4.
pub const FIRST_VERSION: u64 = 9;

/// Snapshot number of an object that belongs to no snapshot. Source: docs/format.md section 4.
pub const NO_SNAPSHOT: u32 = 0xFFFF_FFFF;

/// A payload limit for readers, in bytes: more than any object of section 6 has. The largest is a
/// full file segment (8 MiB and 88 bytes); the rest is slack.
pub const PAYLOAD_BYTES: usize = 9 << 20;

/// Most deviations that an inspection lists for one object or blob. A bound of ours: of one rule
/// in one structure it lists the first few, so that this is enough for all rules of an object.
pub const DEVIATIONS: usize = 64;

/// A payload limit for readers of inodes and indirect blocks, in bytes. What section 6 puts into them stays under
/// 150 KiB, the root's extended attributes aside; the rest is room for what a cache adds.
pub const INODE_PAYLOAD_BYTES: usize = 2 << 20;

/// Most pairs in an EXTATTRS handle. A bound of ours: a bucket has four pairs and one for each log.
pub const EXTENDED_ATTRIBUTES: usize = 4096;
