//! The number of an entity's objects and their bytes before compression, from its name, its size and
//! the names of its entries (format.md §3, §5 and §6).

use clfs_format::limits::{FIRST_SEGMENT_RESERVE, TREES};
use clfs_format::{
    DIRECT_BLOCKS, DIRECTORY_SEGMENT_BYTES, FILE_SEGMENT_BYTES, FIRST_SEGMENT_BYTES,
    POINTERS_PER_INDIRECT, file_segment_count, file_segment_range,
};

use crate::entry::EntryId;

/// u16 encryption and u16 compression (format.md §3).
const WRAPPER: u64 = 4;
/// The header of a handle (format.md §5).
const HEADER: u64 = 20;
/// The id of a segment or an indirect block with its u16 length.
const BLOCK_ID: u64 = 18;
/// The root's EXTATTRS: u32 count, and three pairs with u32 lengths (format.md §6).
const ROOT_ATTRIBUTES: u64 = 4 + (4 + 16 + 4 + 1) + (4 + 8 + 4 + 36) + (4 + 9 + 4 + 36);

/// Returns the filehandle of a directory with its u16 length (format.md §1 and §2).
pub(super) fn filehandle(directory: EntryId) -> u64 {
    if directory == EntryId::ROOT { 18 } else { 26 }
}

/// The filehandle of any other entity with its u16 length.
pub(super) const FILEHANDLE: u64 = 26;

/// Returns a handle with `content` bytes of content, padded to a multiple of 8.
const fn handle(content: u64) -> u64 {
    (HEADER + content).next_multiple_of(8)
}

/// Returns the bytes of VATTR, BMAP and NAME of an inode with `segments` segments besides the first, and its wrapper.
fn inode_base(own: u64, name: u64, segments: u64) -> u64 {
    let direct = segments.min(DIRECT_BLOCKS as u64 - 1);
    let block_map = 12 + own + 4 + (direct + TREES as u64) * BLOCK_ID;
    WRAPPER + handle(4 + 104) + handle(block_map) + handle(4 + name)
}

/// Bytes of an inode with one name of `name` bytes in `parent`, and with `data` bytes of content;
/// `segments` segments follow it.
pub(super) fn inode_bytes(parent: EntryId, name: u64, data: Option<u64>, segments: u64) -> u64 {
    let data = data.map_or(0, |data| handle(4 + data));
    inode_base(FILEHANDLE, name, segments) + handle(4 + filehandle(parent)) + data
}

/// Returns the DATABACK handle of a segment or an indirect block.
fn data_back(owner: u64) -> u64 {
    handle(4 + 8 + owner)
}

/// Bytes of a file segment with `data` bytes of content.
pub(super) fn file_segment_bytes(data: u64) -> u64 {
    WRAPPER + handle(4 + data) + data_back(FILEHANDLE)
}

/// Returns the number of indirect blocks that hold the segments beyond an inode's direct list, and their
/// pointers. Tree t has t + 1 levels of blocks with 4096 pointers, and is used when the trees before
/// it are full (format.md §6 "BMAP").
fn indirect_blocks(segments: u64) -> (u64, u64) {
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

/// Bytes of indirect blocks, without the padding of the last one of each level: a full block needs
/// none.
fn indirect_bytes((blocks, pointers): (u64, u64), owner: u64) -> u64 {
    blocks * (WRAPPER + HEADER + 4 + data_back(owner)) + pointers * BLOCK_ID
}

/// The objects of an entity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Objects {
    /// Segments besides the one in the inode.
    pub(super) segments: u64,
    pub(super) indirect: u64,
    /// Bytes of the inode and the indirect blocks.
    pub(super) inode_bytes: u64,
    /// Bytes of the segments besides the one in the inode.
    pub(super) segment_bytes: u64,
}

impl Objects {
    /// Creates the objects of a regular file of `size` bytes.
    pub(super) fn of_file(size: u64, parent: EntryId, name: u64) -> Self {
        let segments = file_segment_count(size);
        let indirect = indirect_blocks(segments);
        let first = size.min(FIRST_SEGMENT_BYTES);
        let inode = inode_bytes(parent, name, Some(first), segments);
        let last = file_segment_range(segments, size);
        Objects {
            segments,
            indirect: indirect.0,
            inode_bytes: inode.saturating_add(indirect_bytes(indirect, FILEHANDLE)),
            segment_bytes: match segments {
                0 => 0,
                _ => (segments - 1)
                    .saturating_mul(file_segment_bytes(FILE_SEGMENT_BYTES))
                    .saturating_add(file_segment_bytes(last.end - last.start)),
            },
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.inode_bytes.saturating_add(self.segment_bytes)
    }
}

/// The listing of a directory, split into segments as `clfs_format::DirectorySegmenter` splits it.
#[derive(Debug, Clone)]
pub(super) struct Listing {
    own: u64,
    is_root: bool,
    /// Bytes of entries in the last segment so far.
    last: u64,
    /// Bytes of entries in the first segment, when that is full.
    first: Option<u64>,
    /// Segments besides the first that are full.
    full: u64,
    full_bytes: u64,
}

impl Listing {
    /// Creates the listing of the directory `id` in `parent`, with the entries `.` and `..`.
    pub(super) fn new(id: EntryId, parent: EntryId) -> Self {
        let own = filehandle(id);
        Listing {
            own,
            is_root: id == EntryId::ROOT,
            last: (4 + 1 + own) + (4 + 2 + filehandle(parent)),
            first: None,
            full: 0,
            full_bytes: 0,
        }
    }

    /// Adds an entry with a name of `name` bytes.
    pub(super) fn push(&mut self, name: u64) {
        let entry = 4 + name + FILEHANDLE;
        let limit = match self.first {
            None => FIRST_SEGMENT_BYTES - FIRST_SEGMENT_RESERVE,
            Some(_) => DIRECTORY_SEGMENT_BYTES,
        };
        if self.last + entry <= limit {
            self.last += entry;
            return;
        }
        match self.first {
            None => self.first = Some(self.last),
            Some(_) => {
                self.full += 1;
                self.full_bytes += self.segment(self.last);
            }
        }
        self.last = entry;
    }

    /// Bytes of a segment with `entries` bytes of entries.
    fn segment(&self, entries: u64) -> u64 {
        WRAPPER + handle(entries) + handle(4) + data_back(self.own)
    }

    /// Returns the objects of the directory, whose own name has `name` bytes.
    pub(super) fn objects(&self, name: u64) -> Objects {
        let (first, segments, segment_bytes) = match self.first {
            None => (self.last, 0, 0),
            Some(first) => {
                let last = self.segment(self.last);
                (first, self.full + 1, self.full_bytes + last)
            }
        };
        let extended = match self.is_root {
            true => handle(ROOT_ATTRIBUTES),
            false => 0,
        };
        let indirect = indirect_blocks(segments);
        Objects {
            segments,
            indirect: indirect.0,
            inode_bytes: inode_base(self.own, name, segments)
                + handle(first)
                + extended
                + indirect_bytes(indirect, self.own),
            segment_bytes,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clfs_format::{BlockId, BlockMapBuilder, DirectorySegmenter, Filehandle};

    use super::*;

    const PARENT: EntryId = EntryId::new(1234);

    /// Returns the indirect blocks and pointers as the format's own builder makes them.
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
    fn a_listing_is_split_as_the_segmenter_splits_it() {
        let mut random = fastrand::Rng::with_seed(3);
        let child = Filehandle::from_bytes(&[7; 24]).unwrap();
        for (entries, longest) in [(0, 1), (1, 255), (2000, 1), (3000, 30), (20_000, 255)] {
            let mut segmenter = DirectorySegmenter::new(child, Filehandle::ROOT);
            let mut listing = Listing::new(PARENT, EntryId::ROOT);
            for _ in 0..entries {
                let name = vec![b'n'; random.usize(1..=longest)];
                segmenter.push(&name, child).unwrap();
                listing.push(name.len() as u64);
            }
            let rest = segmenter.finish();
            let segments = listing.objects(1).segments + 1;
            assert_eq!(segments, rest.segments, "{entries}");
            assert_eq!(listing.last, rest.last.len() as u64, "{entries}");
        }
    }

    #[test]
    fn the_largest_file_does_not_overflow() {
        let objects = Objects::of_file(u64::MAX, PARENT, 3);
        assert_eq!(objects.segments, file_segment_count(u64::MAX));
        assert!(objects.indirect > objects.segments / 4096);
        assert!(objects.bytes() > u64::MAX / 2);
    }

    #[test]
    fn segments_begin_at_the_sizes_of_the_format() {
        for (size, segments) in [
            (0, 0),
            (16_384, 0),
            (16_385, 1),
            (16_384 + (8 << 20), 1),
            (16_385 + (8 << 20), 2),
        ] {
            assert_eq!(Objects::of_file(size, PARENT, 3).segments, segments);
        }
    }
}
