//! The block map of an inode: the BMAP handle, and how blocks are spread over the direct list and
//! the four trees of indirect blocks (docs/format.md section 6 "BMAP").

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

/// Blocks that a block map holds when all four trees are full.
pub(crate) const MOST_BLOCKS: u64 = {
    let n = POINTERS_PER_INDIRECT as u64;
    DIRECT_BLOCKS as u64 + n + n * n + n * n * n + n * n * n * n
};
/// u16 length and 16 bytes.
const BLOCK_ID_BYTES: usize = 18;

/// Segments of a file besides the one in the inode.
pub fn file_segment_count(size: u64) -> u64 {
    size.saturating_sub(FIRST_SEGMENT_BYTES)
        .div_ceil(FILE_SEGMENT_BYTES)
}

/// The bytes of the file that block `index` holds: 0 is the inode's, segments count from 1. Empty
/// when the file ends before it. Its start is the segment's DATABACK offset.
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

/// The DATABACK offset of a directory's segment: block `index`, from 1.
pub fn directory_segment_offset(index: u64) -> u64 {
    match index.checked_sub(1) {
        None => 0,
        Some(before) => {
            FIRST_SEGMENT_BYTES.saturating_add(before.saturating_mul(DIRECTORY_SEGMENT_BYTES))
        }
    }
}

/// Where the segments of an entity are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlockMap {
    /// Bytes of the first segment: [`FIRST_SEGMENT_BYTES`].
    pub first_segment: u32,
    /// Bytes of the others: [`FILE_SEGMENT_BYTES`] or [`DIRECTORY_SEGMENT_BYTES`].
    pub other_segment: u32,
    /// Block 0: the entity's own filehandle. In what an inspection gave it is what was read, and
    /// [`Filehandle::NULL`] for what is none.
    pub handle: Filehandle,
    /// Blocks 1 to at most 1023.
    pub direct: Vec<BlockId>,
    /// The roots of the trees that hold the blocks from 1024 on; [`BlockId::NONE`] if empty.
    pub roots: [BlockId; TREES],
}

impl BlockMap {
    /// The map of an entity that has no segment besides its inode's.
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
        self.check_sizes([place; 2], &mut Deviations::Refused)?;
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

    /// `own` is the filehandle in the object's name.
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
        let handle = decode_own(&mut cursor, own, deviations)?;
        let mut direct = Vec::with_capacity(blocks - 1);
        for _ in 1..blocks {
            direct.push(cursor.some_block_id()?);
        }
        cursor.fixed(TREES as u32, Corrupt::FixedValue)?;
        let mut roots = [BlockId::NONE; TREES];
        for root in &mut roots {
            *root = cursor.block_id()?;
        }
        deviations.allow(cursor.finish())?;
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

    /// Segment sizes other than the format's say what a reader must reckon with; 0 says nothing.
    fn check_sizes(
        &self,
        [first_place, other_place]: [Place; 2],
        deviations: &mut Deviations,
    ) -> Result<(), FormatError> {
        if u64::from(self.first_segment) != FIRST_SEGMENT_BYTES {
            let size = Unsupported::SegmentSize(self.first_segment);
            deviations.broken(first_place.unsupported(size))?;
        }
        if ![FILE_SEGMENT_BYTES, DIRECTORY_SEGMENT_BYTES].contains(&u64::from(self.other_segment)) {
            let size = other_place.unsupported(Unsupported::SegmentSize(self.other_segment));
            if self.other_segment == 0 {
                return Err(size);
            }
            deviations.broken(size)?;
        }
        Ok(())
    }

    /// That a tree is used only when all before it is full: as far as the map alone can tell.
    fn check_order(&self, place: Place) -> Result<(), FormatError> {
        let direct_full = 1 + self.direct.len() == DIRECT_BLOCKS;
        let used = self.roots.iter().take_while(|root| !root.is_none()).count();
        let used_at_all = self.roots.iter().filter(|root| !root.is_none()).count();
        if used != used_at_all || (used > 0 && !direct_full) {
            return Err(place.corrupt(Corrupt::BlockMapGap));
        }
        Ok(())
    }
}

/// Block 0, which says once more whose map this is.
fn decode_own(
    cursor: &mut Cursor<'_>,
    own: Filehandle,
    deviations: &mut Deviations,
) -> Result<Filehandle, FormatError> {
    let place = cursor.place();
    match Filehandle::from_bytes_at(cursor.raw_id()?, place) {
        Ok(handle) => {
            if handle != own {
                deviations.broken(place.corrupt(Corrupt::OwnHandle))?;
            }
            Ok(handle)
        }
        // Of another length: then it may not be an id at all, nor what follows.
        Err(
            error @ FormatError::Corrupt {
                kind: Corrupt::IdLength,
                ..
            },
        ) => Err(error),
        Err(error) => {
            deviations.broken(error)?;
            Ok(Filehandle::NULL)
        }
    }
}

/// Where an indirect block stands.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndirectPosition {
    /// Which of the four trees, 0 to 3.
    pub tree: u8,
    /// Level in it: 0 is the root, `tree` holds the data pointers.
    pub depth: u8,
    /// Number of this block among those of the same tree and depth, from 0.
    pub index: u64,
}

impl IndirectPosition {
    /// The DATABACK offset: `(tree << 16) + depth`.
    pub fn offset(&self) -> u64 {
        u64::from(self.tree) << 16 | u64::from(self.depth)
    }
}

/// An indirect block that gets no more pointers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedIndirect {
    /// Its id, from the caller's `indirect_id`.
    pub id: BlockId,
    /// Its place in the map.
    pub position: IndirectPosition,
    /// Segments when `position.depth == position.tree`, otherwise indirect blocks.
    pub pointers: Vec<BlockId>,
}

/// One level of the tree that is being filled.
#[derive(Debug, Default)]
struct Level {
    open: Vec<BlockId>,
    finished: u64,
}

/// Builds a block map block by block. Of the trees only the open block of each level is held.
#[derive(Debug)]
pub struct BlockMapBuilder {
    map: BlockMap,
    tree: usize,
    /// Levels of the current tree, by depth.
    levels: Vec<Level>,
}

impl BlockMapBuilder {
    /// `other_segment` is the size of all segments but the first.
    pub fn new(self_handle: Filehandle, other_segment: u32) -> Self {
        Self {
            map: BlockMap::single(self_handle, other_segment),
            tree: 0,
            levels: Vec::new(),
        }
    }

    /// Adds the next segment. When that completes an indirect block, `indirect_id` is asked for its
    /// id and `emit` gets it; a block before the one that points to it.
    ///
    /// # Errors
    /// Limit when all four trees are full.
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
            return place.limit(Limit::Blocks, MOST_BLOCKS + 1);
        }
        if self.levels.is_empty() {
            self.levels.resize_with(self.tree + 1, Level::default);
        }
        self.add(self.tree, id, indirect_id, emit);
        Ok(())
    }

    /// Completes the open indirect blocks, leaf to root, and gives the map.
    pub fn finish(
        mut self,
        indirect_id: &mut dyn FnMut(IndirectPosition) -> BlockId,
        emit: &mut dyn FnMut(FinishedIndirect),
    ) -> BlockMap {
        for depth in (0..self.levels.len()).rev() {
            // Completing a level may complete those above it, the root and so the tree included.
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
            // `push` lets no block in once `tree` is TREES, the length of `roots`.
            self.map.roots[self.tree] = id;
            self.tree += 1;
            self.levels.clear();
        }
    }
}
