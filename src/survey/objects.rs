//! Which objects an entity becomes, and how many bytes they have before compression
//! (docs/format.md sections 3, 5 and 6).

use clfs_format::limits::TREES;
use clfs_format::{
    DIRECT_BLOCKS, FIRST_SEGMENT_BYTES, POINTERS_PER_INDIRECT, file_segment_count,
    file_segment_range,
};

use crate::entry::{Entry, EntryId};

/// u16 encryption and u16 compression (section 3).
const WRAPPER: u64 = 4;
/// magic, two lengths, type, zero: a u32 each (section 5).
const HEADER: u64 = 20;
/// Header and content are padded to a multiple of this (section 5).
const ALIGNMENT: u64 = 8;
/// A filehandle of an entity other than the root (section 2) with its u16 length.
pub(super) const FILEHANDLE: u64 = 26;
/// The same of the root.
const ROOT_FILEHANDLE: u64 = 18;
/// A block's UUID with its u16 length.
const BLOCK_ID: u64 = 18;

/// A handle with this much content.
const fn handle(content: u64) -> u64 {
    (HEADER + content).next_multiple_of(ALIGNMENT)
}

/// u32 ctime, u64 offset, owner.
const DATA_BACK: u64 = handle(4 + 8 + FILEHANDLE);

/// Where an entity is named: what that adds to its inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    /// Bytes of the name.
    pub(super) bytes: u64,
    /// Whether it stands in the root.
    pub(super) in_root: bool,
}

impl Named {
    pub(super) fn of(entry: &Entry) -> Self {
        Named {
            bytes: entry.name.len() as u64,
            in_root: entry.parent == EntryId::ROOT,
        }
    }
}

/// Bytes of an inode with one name and `data` bytes of content; `segments` segments follow it.
pub(super) fn inode_bytes(name: Named, data: Option<u64>, segments: u64) -> u64 {
    let direct = segments.min(DIRECT_BLOCKS as u64 - 1);
    let attributes = handle(4 + 104);
    let block_map = handle(12 + FILEHANDLE + 4 + (direct + TREES as u64) * BLOCK_ID);
    let back = match name.in_root {
        true => handle(4 + ROOT_FILEHANDLE),
        false => handle(4 + FILEHANDLE),
    };
    let data = data.map_or(0, |data| handle(4 + data));
    WRAPPER + attributes + block_map + back + handle(4 + name.bytes) + data
}

/// Bytes of a file's segment with so much content.
fn segment_bytes(data: u64) -> u64 {
    WRAPPER + handle(4 + data) + DATA_BACK
}

/// How many indirect blocks hold what does not fit into an inode's direct list, and how many
/// pointers are in them.
///
/// Tree t, from 0, has t + 1 levels of blocks with 4096 pointers, and is used when those before it
/// are full (section 6 "BMAP").
pub(super) fn indirect_blocks(segments: u64) -> (u64, u64) {
    let fan = POINTERS_PER_INDIRECT as u64;
    let mut rest = segments.saturating_sub(DIRECT_BLOCKS as u64 - 1);
    let (mut blocks, mut pointers) = (0u64, 0u64);
    for tree in 1..=TREES as u32 {
        let mut level = rest.min(fan.saturating_pow(tree));
        rest -= level;
        for _ in 0..tree {
            if level == 0 {
                break;
            }
            pointers += level;
            level = level.div_ceil(fan);
            blocks += level;
        }
    }
    (blocks, pointers)
}

/// Bytes of so many indirect blocks: all but the last of each level are full. Padding, 4 bytes a
/// block on the average, is counted as that.
pub(super) fn indirect_bytes((blocks, pointers): (u64, u64)) -> u64 {
    // A full block needs no padding: 20 + 4 + 4096 * 18 is a multiple of 8.
    blocks * (WRAPPER + HEADER + 4 + DATA_BACK) + pointers * BLOCK_ID
}

/// What a regular file becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileObjects {
    /// Segments besides the one in the inode.
    pub(super) segments: u64,
    /// Indirect blocks.
    pub(super) indirect: u64,
    /// Bytes of inode and indirect blocks.
    pub(super) inode_bytes: u64,
    /// Bytes of content in segments.
    pub(super) content: u64,
    /// Bytes of segments.
    pub(super) segment_bytes: u64,
}

impl FileObjects {
    /// Those of a file of `size` bytes.
    pub(super) fn of(size: u64, name: Named) -> Self {
        let segments = file_segment_count(size);
        let indirect = indirect_blocks(segments);
        let first = size.min(FIRST_SEGMENT_BYTES);
        let last = file_segment_range(segments, size);
        let full = segments.saturating_sub(1);
        FileObjects {
            segments,
            indirect: indirect.0,
            inode_bytes: inode_bytes(name, Some(first), segments)
                .saturating_add(indirect_bytes(indirect)),
            content: size - first,
            segment_bytes: match segments {
                0 => 0,
                _ => full
                    .saturating_mul(segment_bytes(clfs_format::FILE_SEGMENT_BYTES))
                    .saturating_add(segment_bytes(last.end - last.start)),
            },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clfs_format::{BlockId, BlockMapBuilder, Filehandle};

    use super::*;

    const NAME: Named = Named {
        bytes: 3,
        in_root: false,
    };

    /// Indirect blocks and pointers as the format's own builder makes them.
    fn built(segments: u64) -> (u64, u64) {
        let (mut blocks, mut pointers) = (0, 0);
        let mut emit = |block: clfs_format::FinishedIndirect| {
            blocks += 1;
            pointers += block.pointers.len() as u64;
        };
        let mut map = BlockMapBuilder::new(Filehandle::ROOT, 8 << 20);
        let mut id = |_| BlockId([7; 16]);
        for _ in 0..segments {
            map.push(BlockId([1; 16]), &mut id, &mut emit).unwrap();
        }
        map.finish(&mut id, &mut emit);
        (blocks, pointers)
    }

    #[test]
    fn indirect_blocks_are_those_of_the_builder() {
        let direct = 1023;
        for segments in [
            0,
            1,
            direct,
            direct + 1,
            direct + 4096,
            direct + 4097,
            direct + 2 * 4096 + 1,
            direct + 4096 + 4096 * 3 + 17,
            direct + 4096 + 4096 * 4096,
            direct + 4096 + 4096 * 4096 + 1,
        ] {
            assert_eq!(indirect_blocks(segments), built(segments), "{segments}");
        }
    }

    #[test]
    fn the_largest_size_has_objects() {
        let objects = FileObjects::of(u64::MAX, NAME);
        assert_eq!(objects.segments, file_segment_count(u64::MAX));
        assert!(objects.indirect > objects.segments / 4096);
    }

    #[test]
    fn segments_follow_the_edges_of_the_format() {
        for (size, segments) in [
            (0, 0),
            (16_384, 0),
            (16_385, 1),
            (16_384 + (8 << 20), 1),
            (16_385 + (8 << 20), 2),
        ] {
            let objects = FileObjects::of(size, NAME);
            assert_eq!(objects.segments, segments);
            assert_eq!(objects.content, size.saturating_sub(16_384));
        }
    }
}
