//! The block map of an inode: the BMAP handle (format.md §5), and the layout of blocks in the direct
//! list and the four trees of indirect blocks (format.md §6 "BMAP").

use std::ops::Range;

use crate::buffer::ObjectBuffer;
use crate::cursor::Cursor;
use crate::deviations::Deviations;
use crate::error::{Corrupt, FormatError, Limit, Part, Place, Unsupported};
use crate::filehandle::Filehandle;
use crate::handle::{Handle, HandleType};
use crate::id::BlockId;
use crate::limits::{
    DIRECT_BLOCKS, DIRECTORY_SEGMENT_BYTES, FILE_SEGMENT_BYTES, FIRST_SEGMENT_BYTES,
    POINTERS_PER_INDIRECT, TREES,
};

/// Number of blocks of a block map whose four trees are full.
pub(crate) const MAX_BLOCKS: u64 = {
    let n = POINTERS_PER_INDIRECT as u64;
    DIRECT_BLOCKS as u64 + n + n * n + n * n * n + n * n * n * n
};
/// Length of an encoded block id: u16 length and 16 bytes.
const BLOCK_ID_BYTES: usize = 18;

/// Returns the number of segments of a file of `size` bytes, not counting the one in the inode
/// (format.md §6 "Regular file").
pub fn file_segment_count(size: u64) -> u64 {
    size.saturating_sub(FIRST_SEGMENT_BYTES)
        .div_ceil(FILE_SEGMENT_BYTES)
}

/// Returns the range of bytes of the file in block `index`: block 0 is in the inode, segments count
/// from 1. The range is empty if the file ends before the block. Its start is the DATABACK offset of
/// the segment (format.md §6 "Regular file").
pub fn file_segment_range(index: u64, size: u64) -> Range<u64> {
    let (start, length) = match index.checked_sub(1) {
        None => (0, FIRST_SEGMENT_BYTES),
        Some(before) => (
            FIRST_SEGMENT_BYTES.saturating_add(before.saturating_mul(FILE_SEGMENT_BYTES)),
            FILE_SEGMENT_BYTES,
        ),
    };
    let start = start.min(size);
    start..start.saturating_add(length).min(size)
}

/// Returns the DATABACK offset, in bytes, of a directory's segment: block `index`, from 1 (format.md
/// §6 "Directory").
pub fn directory_segment_offset(index: u64) -> u64 {
    match index.checked_sub(1) {
        None => 0,
        Some(before) => {
            FIRST_SEGMENT_BYTES.saturating_add(before.saturating_mul(DIRECTORY_SEGMENT_BYTES))
        }
    }
}

/// The block map of an entity: the ids of its segments (format.md §6 "BMAP"). Layout of the BMAP
/// handle: u32 first segment, u32 other segments; u32 count, ids; u32 4, four roots. An id is u16
/// length and its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlockMap {
    /// Size of the first segment in bytes: [`FIRST_SEGMENT_BYTES`].
    pub first_segment: u32,
    /// Size of the other segments in bytes: [`FILE_SEGMENT_BYTES`] or [`DIRECTORY_SEGMENT_BYTES`].
    pub other_segment: u32,
    /// Block 0: the entity's own filehandle. After an inspection it may be another filehandle, or
    /// [`Filehandle::NULL`] if the bytes were not a filehandle.
    pub handle: Filehandle,
    /// The ids of blocks 1 to at most 1023.
    pub direct: Vec<BlockId>,
    /// The roots of the trees with the blocks from 1024 on; [`BlockId::NONE`] if unused.
    pub roots: [BlockId; TREES],
}

impl BlockMap {
    /// Creates the map of an entity whose only segment is in its inode. `other_segment` is the size
    /// of further segments in bytes.
    pub fn single(handle: Filehandle, other_segment: u32) -> Self {
        Self {
            first_segment: FIRST_SEGMENT_BYTES as u32,
            other_segment,
            handle,
            direct: Vec::new(),
            roots: [BlockId::NONE; TREES],
        }
    }

    pub(crate) fn encoded_length(&self) -> usize {
        12 + 2 + self.handle.as_bytes().len() + 4 + (self.direct.len() + TREES) * BLOCK_ID_BYTES
    }

    pub(crate) fn encode(&self, buffer: &mut ObjectBuffer) -> Result<(), FormatError> {
        let place = Place::new(Part::Handle(HandleType::BlockMap), 0);
        let blocks = 1 + self.direct.len();
        place.limit(Limit::DirectBlocks, blocks as u64)?;
        self.check_sizes([place; 2], &mut Deviations::Strict)?;
        self.check_order(place)?;
        if self.direct.iter().any(BlockId::is_none) {
            return Err(place.corrupt(Corrupt::NullId));
        }
        let handle = buffer.begin(HandleType::BlockMap);
        buffer.u32(self.first_segment);
        buffer.u32(self.other_segment);
        buffer.u32(blocks as u32);
        buffer.id(self.handle.as_bytes());
        for id in &self.direct {
            buffer.id(id.as_bytes());
        }
        buffer.u32(TREES as u32);
        for root in &self.roots {
            buffer.id(root.as_bytes());
        }
        buffer.end(handle)
    }

    /// Decodes BMAP. `own` is the filehandle in the object's name.
    pub(crate) fn decode(
        handle: Handle<'_>,
        own: Filehandle,
        deviations: &mut Deviations,
    ) -> Result<Self, FormatError> {
        let mut cursor = handle.cursor();
        let place = cursor.place();
        let first_segment = cursor.u32()?;
        let other_place = cursor.place();
        let other_segment = cursor.u32()?;
        let count_place = cursor.place();
        let blocks = cursor.count(BLOCK_ID_BYTES)?;
        count_place.limit(Limit::DirectBlocks, blocks as u64)?;
        if blocks == 0 {
            return Err(count_place.corrupt(Corrupt::BlockMapCount));
        }
        let handle = decode_block_0(&mut cursor, own, deviations)?;
        let mut direct = Vec::with_capacity(blocks - 1);
        for _ in 1..blocks {
            direct.push(cursor.non_null_block_id()?);
        }
        cursor.fixed(TREES as u32, Corrupt::FixedValue)?;
        let mut roots = [BlockId::NONE; TREES];
        for root in &mut roots {
            *root = cursor.block_id()?;
        }
        deviations.optional(cursor.finish())?;
        let map = Self {
            first_segment,
            other_segment,
            handle,
            direct,
            roots,
        };
        map.check_sizes([place, other_place], deviations)?;
        map.check_order(place)?;
        Ok(map)
    }

    /// Checks the segment sizes. Sizes other than those of format.md §6 are deviations, except that
    /// `other_segment` must not be 0.
    fn check_sizes(
        &self,
        [first_place, other_place]: [Place; 2],
        deviations: &mut Deviations,
    ) -> Result<(), FormatError> {
        if u64::from(self.first_segment) != FIRST_SEGMENT_BYTES {
            let size = Unsupported::SegmentSize(self.first_segment);
            deviations.report(first_place.unsupported(size))?;
        }
        if ![FILE_SEGMENT_BYTES, DIRECTORY_SEGMENT_BYTES].contains(&u64::from(self.other_segment)) {
            let size = other_place.unsupported(Unsupported::SegmentSize(self.other_segment));
            if self.other_segment == 0 {
                return Err(size);
            }
            deviations.report(size)?;
        }
        Ok(())
    }

    /// Checks that the direct list is full if trees are used, and that no unused tree precedes a used
    /// one. [`crate::BlockMapReader`] checks that the trees are full.
    fn check_order(&self, place: Place) -> Result<(), FormatError> {
        let direct_full = 1 + self.direct.len() == DIRECT_BLOCKS;
        let used_first = self.roots.iter().take_while(|root| !root.is_none()).count();
        let used = self.roots.iter().filter(|root| !root.is_none()).count();
        if used_first != used || (used > 0 && !direct_full) {
            return Err(place.corrupt(Corrupt::BlockMapGap));
        }
        Ok(())
    }
}

/// Decodes block 0, which repeats the filehandle in the object's name.
fn decode_block_0(
    cursor: &mut Cursor<'_>,
    own: Filehandle,
    deviations: &mut Deviations,
) -> Result<Filehandle, FormatError> {
    let place = cursor.place();
    match Filehandle::from_bytes_at(cursor.raw_id()?, place) {
        Ok(handle) => {
            if handle != own {
                deviations.report(place.corrupt(Corrupt::OwnHandle))?;
            }
            Ok(handle)
        }
        // With another length, neither these bytes nor those that follow may be ids.
        Err(
            error @ FormatError::Corrupt {
                kind: Corrupt::IdLength,
                ..
            },
        ) => Err(error),
        Err(error) => {
            deviations.report(error)?;
            Ok(Filehandle::NULL)
        }
    }
}

/// The position of an indirect block in a block map (format.md §6 "BMAP").
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndirectPosition {
    /// The tree, 0 to 3.
    pub tree: u8,
    /// The level in the tree: 0 is the root; the blocks at depth `tree` point to segments.
    pub depth: u8,
    /// The number of the block among those of the same tree and depth, from 0.
    pub index: u64,
}

impl IndirectPosition {
    /// Returns the DATABACK offset: `(tree << 16) + depth`.
    pub fn offset(&self) -> u64 {
        u64::from(self.tree) << 16 | u64::from(self.depth)
    }
}

/// A complete indirect block from a [`BlockMapBuilder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedIndirect {
    /// The id, from the caller's `indirect_id`.
    pub id: BlockId,
    /// The position in the map.
    pub position: IndirectPosition,
    /// Ids of segments if `position.depth == position.tree`, otherwise of indirect blocks.
    pub pointers: Vec<BlockId>,
}

/// One level of the tree under construction: its last block, and the number of complete ones.
#[derive(Debug, Default)]
struct Level {
    open: Vec<BlockId>,
    finished: u64,
}

/// Builds a block map from the ids of segments (format.md §6 "BMAP"). It holds one indirect block per
/// level in memory.
#[derive(Debug)]
pub struct BlockMapBuilder {
    map: BlockMap,
    tree: usize,
    /// The levels of the current tree, by depth.
    levels: Vec<Level>,
}

impl BlockMapBuilder {
    /// Creates a builder. `other_segment` is the size of all segments after the first, in bytes.
    pub fn new(self_handle: Filehandle, other_segment: u32) -> Self {
        Self {
            map: BlockMap::single(self_handle, other_segment),
            tree: 0,
            levels: Vec::new(),
        }
    }

    /// Adds the next segment. If that completes an indirect block, calls `indirect_id` for the id of
    /// the block and passes the block to `emit`. Blocks are emitted before those that point to them.
    ///
    /// # Errors
    /// [`FormatError::Limit`] if all four trees are full.
    pub fn push(
        &mut self,
        id: BlockId,
        indirect_id: &mut dyn FnMut(IndirectPosition) -> BlockId,
        emit: &mut dyn FnMut(FinishedIndirect),
    ) -> Result<(), FormatError> {
        if 1 + self.map.direct.len() < DIRECT_BLOCKS {
            self.map.direct.push(id);
            return Ok(());
        }
        if self.tree == TREES {
            let place = Place::new(Part::Handle(HandleType::BlockMap), 0);
            return place.limit(Limit::Blocks, MAX_BLOCKS + 1);
        }
        if self.levels.is_empty() {
            self.levels.resize_with(self.tree + 1, Level::default);
        }
        self.add(self.tree, id, indirect_id, emit);
        Ok(())
    }

    /// Completes and emits the remaining indirect blocks, from leaf to root, and returns the map.
    pub fn finish(
        mut self,
        indirect_id: &mut dyn FnMut(IndirectPosition) -> BlockId,
        emit: &mut dyn FnMut(FinishedIndirect),
    ) -> BlockMap {
        for depth in (0..self.levels.len()).rev() {
            // Completing a level may complete the levels above it, up to the root, which clears
            // `levels`.
            if self.levels.get(depth).is_some_and(|l| !l.open.is_empty()) {
                self.complete(depth, indirect_id, emit);
            }
        }
        self.map
    }

    fn add(
        &mut self,
        depth: usize,
        id: BlockId,
        indirect_id: &mut dyn FnMut(IndirectPosition) -> BlockId,
        emit: &mut dyn FnMut(FinishedIndirect),
    ) {
        let Some(level) = self.levels.get_mut(depth) else {
            return;
        };
        level.open.push(id);
        if level.open.len() == POINTERS_PER_INDIRECT {
            self.complete(depth, indirect_id, emit);
        }
    }

    fn complete(
        &mut self,
        depth: usize,
        indirect_id: &mut dyn FnMut(IndirectPosition) -> BlockId,
        emit: &mut dyn FnMut(FinishedIndirect),
    ) {
        let Some(level) = self.levels.get_mut(depth) else {
            return;
        };
        let position = IndirectPosition {
            tree: self.tree as u8,
            depth: depth as u8,
            index: level.finished,
        };
        level.finished += 1;
        let pointers = std::mem::take(&mut level.open);
        let id = indirect_id(position);
        emit(FinishedIndirect {
            id,
            position,
            pointers,
        });
        if let Some(parent) = depth.checked_sub(1) {
            self.add(parent, id, indirect_id, emit);
        } else {
            // In bounds: `push` rejects blocks once `tree` is TREES, the length of `roots`.
            self.map.roots[self.tree] = id;
            self.tree += 1;
            self.levels.clear();
        }
    }
}
