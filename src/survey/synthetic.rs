//! The estimate for a tree that nobody has: so many files of one size.

use clfs_format::limits::FIRST_SEGMENT_RESERVE;
use clfs_format::{DIRECTORY_SEGMENT_BYTES, FIRST_SEGMENT_BYTES};

use super::estimate::{Estimate, Puts};
use super::objects::{FILEHANDLE, FileObjects, Named, inode_bytes};

/// Entries of a directory.
const FANOUT: u64 = 1000;
/// Bytes of each name.
const NAME: Named = Named {
    bytes: 12,
    in_root: false,
};
/// Bytes of the state database for each entry, with such names: 82 were seen with 2,504 entries.
const ROW: u64 = 82;

/// An entry of a directory: u32 length, name, filehandle (docs/format.md section 5).
const ENTRY: u64 = 4 + NAME.bytes + FILEHANDLE;
/// Entries beside `.` and `..` in a directory's inode: 16384 - 24 bytes (section 6 "Directory").
const FIRST_ENTRIES: u64 =
    (FIRST_SEGMENT_BYTES - FIRST_SEGMENT_RESERVE - 2 * (4 + FILEHANDLE) - 3) / ENTRY;

/// Segments of a directory besides the one in its inode.
fn directory_segments(entries: u64) -> u64 {
    let rest = entries.saturating_sub(FIRST_ENTRIES);
    rest.div_ceil(DIRECTORY_SEGMENT_BYTES / ENTRY)
}

/// A tree of files of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synthetic {
    /// Files.
    pub files: u64,
    /// Bytes of all of them together; each has its share.
    pub bytes: u64,
}

impl Synthetic {
    /// Bytes of each file; those that do not share out are left over.
    pub fn file_size(&self) -> u64 {
        self.bytes / self.files.max(1)
    }

    /// Directories, the root included: 1,000 files or directories in each.
    pub fn directories(&self) -> u64 {
        let mut level = self.files.div_ceil(FANOUT).max(1);
        let mut all = level;
        while level > 1 {
            level = level.div_ceil(FANOUT);
            all += level;
        }
        all
    }
}

/// What its load would take. As there is no content that could be compressed, bytes are counted as
/// if none were.
pub fn synthetic(tree: &Synthetic) -> Estimate {
    let objects = FileObjects::of(tree.file_size(), NAME);
    let all = |each: u64| each.saturating_mul(tree.files);
    let directories = tree.directories();
    let (mut segments, mut children) = (0u64, tree.files);
    loop {
        let last = children % FANOUT;
        let full = (children / FANOUT).saturating_mul(directory_segments(FANOUT));
        segments = segments
            .saturating_add(full)
            .saturating_add(directory_segments(last));
        children = children.div_ceil(FANOUT);
        if children <= 1 {
            break;
        }
    }
    let listings = tree
        .files
        .saturating_add(directories.saturating_mul(3))
        .saturating_mul(ENTRY);
    let bytes = all(objects.inode_bytes)
        .saturating_add(all(objects.segment_bytes))
        .saturating_add(directories.saturating_mul(inode_bytes(NAME, None, 0)))
        .saturating_add(listings);
    Estimate {
        puts: Puts {
            inodes: tree.files,
            directories,
            file_segments: all(objects.segments),
            directory_segments: segments,
            indirect_blocks: all(objects.indirect),
            bucket: 1,
            log: 1,
        },
        bytes,
        margin: 0,
        uncompressed: bytes,
        bytes_sampled: 0,
        database: tree.files.saturating_add(directories).saturating_mul(ROW),
    }
}
