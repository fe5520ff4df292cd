//! A reader of block maps: returns the segments of an entity in order (format.md §6 "BMAP").

use crate::blockmap::{BlockMap, IndirectPosition};
use crate::error::{Corrupt, FormatError, Limit, Part, Place};
use crate::id::BlockId;
use crate::limits::{DIRECT_BLOCKS, POINTERS_PER_INDIRECT, TREES};

/// The result of [`BlockMapReader::next_step`].
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum BlockStep {
    /// The id of the next segment.
    Data(BlockId),
    /// A request: the caller must read this indirect block and [`supply`](BlockMapReader::supply) its
    /// pointers.
    Fetch {
        /// The id of the indirect block.
        id: BlockId,
        /// The position of the block in the map; its DATABACK offset must be `position.offset()`.
        position: IndirectPosition,
    },
    /// There are no more blocks.
    End,
}

#[derive(Debug)]
struct OpenBlock {
    pointers: std::vec::IntoIter<BlockId>,
    /// Whether the block has 4096 pointers.
    full: bool,
}

/// A reader that returns the segments of an entity in order, from block 1 (format.md §6 "BMAP"). It
/// performs no I/O: it requests each indirect block from the caller, and holds at most one per level of
/// one tree in memory.
///
/// A map whose blocks refer to each other in a cycle ends in an error: the depth of a tree is fixed,
/// every list except the last must be full, and the number of segments is bounded by `max_blocks`.
#[derive(Debug)]
pub struct BlockMapReader {
    direct: std::vec::IntoIter<BlockId>,
    roots: [BlockId; TREES],
    /// Number of trees whose root was requested or skipped.
    trees_begun: usize,
    /// The current block of each level of the current tree.
    open: Vec<OpenBlock>,
    /// Number of blocks requested or skipped in the current tree, by depth.
    visited: [u64; TREES],
    /// Whether the caller has yet to supply a requested block.
    requested: bool,
    /// Whether a list that is not full was read to its end, so that no block may follow.
    ended: bool,
    /// Number of segments that may still follow.
    blocks_left: u64,
    /// Number of segments still to be skipped in the current tree.
    skip: u64,
    /// Whether to return blocks that follow a list that is not full.
    inspecting: bool,
    /// Whether such a block was returned.
    gap: bool,
}

impl BlockMapReader {
    /// Creates a reader that starts at block 1. `max_blocks` is the maximum number of segments, not
    /// counting the one in the inode: for a file, [`crate::file_segment_count`] of its size.
    pub fn new(map: &BlockMap, max_blocks: u64) -> Self {
        Self::starting_at(map, max_blocks, 1)
    }

    /// Creates a reader that returns every block that the map refers to, also where the map breaks the
    /// rules: a block after a list that is not full is returned and reported by
    /// [`has_gap`](Self::has_gap), and trees after an unused root are read.
    ///
    /// The number of segments is not bounded. To bound the work, the caller supplies the pointers of
    /// each indirect block at most once, and calls [`skip`](Self::skip) when it is requested again.
    pub fn inspecting(map: &BlockMap) -> Self {
        let mut reader = Self::new(map, u64::MAX);
        reader.inspecting = true;
        reader
    }

    /// Creates a reader that starts at block `first`, counted from 1.
    ///
    /// The reader skips trees and subtrees before that block without requesting them: because every
    /// list except the last is full (format.md §6 "BMAP"), it requests at most one indirect block per
    /// level before the first segment. It does not check that the skipped lists are full; compare the
    /// DATABACK offset of a segment with the expected one.
    pub fn starting_at(map: &BlockMap, max_blocks: u64, first: u64) -> Self {
        let before = first.saturating_sub(1);
        let mut reader = Self {
            ended: 1 + map.direct.len() < DIRECT_BLOCKS,
            direct: map.direct.clone().into_iter(),
            roots: map.roots,
            trees_begun: 0,
            open: Vec::new(),
            visited: [0; TREES],
            requested: false,
            blocks_left: max_blocks.saturating_sub(before),
            skip: 0,
            inspecting: false,
            gap: false,
        };
        // At most 1023, the length of the direct list.
        let direct = before.min(map.direct.len() as u64);
        advance(&mut reader.direct, direct);
        if !reader.ended {
            reader.skip = before - direct;
            reader.skip_trees();
        }
        reader
    }

    fn skip_trees(&mut self) {
        while let Some(root) = self.roots.get(self.trees_begun) {
            let Some(rest) = self.skip.checked_sub(blocks_under(self.trees_begun + 1)) else {
                return;
            };
            if root.is_none() {
                return;
            }
            self.skip = rest;
            self.trees_begun += 1;
        }
    }

    /// Returns the next segment, or a request for an indirect block on the path to it.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] if there are more segments than allowed, a block follows a list that
    /// is not full, or the last requested block was not supplied ([`Corrupt::SupplyOrder`]).
    pub fn next_step(&mut self) -> Result<BlockStep, FormatError> {
        if self.requested {
            return Err(self.corrupt(Corrupt::SupplyOrder));
        }
        if let Some(id) = self.direct.next() {
            return self.data(id);
        }
        while let Some(depth) = self.open.len().checked_sub(1) {
            let Some(block) = self.open.last_mut() else {
                break;
            };
            match block.pointers.next() {
                None => {
                    self.ended |= !block.full;
                    self.open.pop();
                }
                Some(id) => {
                    self.check_order()?;
                    return match depth + 1 == self.trees_begun {
                        true => self.data(id),
                        false => Ok(self.request(id, depth + 1)),
                    };
                }
            }
        }
        while let Some(&root) = self.roots.get(self.trees_begun) {
            if root.is_none() && !self.inspecting {
                break;
            }
            if root.is_none() {
                self.ended = true;
                self.trees_begun += 1;
                continue;
            }
            self.check_order()?;
            self.trees_begun += 1;
            self.visited = [0; TREES];
            return Ok(self.request(root, 0));
        }
        Ok(BlockStep::End)
    }

    /// Checks that every list before the block that comes next is full.
    fn check_order(&mut self) -> Result<(), FormatError> {
        match (self.ended, self.inspecting) {
            (false, _) => Ok(()),
            (true, false) => Err(self.corrupt(Corrupt::BlockMapGap)),
            (true, true) => {
                self.gap = true;
                Ok(())
            }
        }
    }

    /// Returns whether a block was returned although a list before it is not full. Always false
    /// unless the reader was created by [`inspecting`](Self::inspecting): others return an error.
    pub fn has_gap(&self) -> bool {
        self.gap
    }

    /// Skips the requested indirect block, which the caller cannot read, and the segments under it.
    /// Returns how many segments there are if the block and those below it are full.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] if no block was requested ([`Corrupt::SupplyOrder`]).
    pub fn skip(&mut self) -> Result<u64, FormatError> {
        if !self.requested {
            return Err(self.corrupt(Corrupt::SupplyOrder));
        }
        self.requested = false;
        let depth = self.open.len();
        for (level, visited) in self.visited.iter_mut().skip(depth + 1).enumerate() {
            *visited = visited.saturating_add(blocks_under(level + 1));
        }
        Ok(blocks_under(self.trees_begun.saturating_sub(depth)))
    }

    /// Accepts the pointers of the requested indirect block. The last leaf may be empty: CLFSLoad
    /// writes one if a tree ends exactly on a full leaf (format.md §6 "BMAP").
    ///
    /// # Errors
    /// [`FormatError::Limit`] if there are more than 4096 pointers; [`FormatError::Corrupt`] if no
    /// block was requested ([`Corrupt::SupplyOrder`]), or an indirect block other than a leaf is
    /// empty.
    pub fn supply(&mut self, pointers: Vec<BlockId>) -> Result<(), FormatError> {
        if !self.requested {
            return Err(self.corrupt(Corrupt::SupplyOrder));
        }
        self.place().limit(Limit::Pointers, pointers.len() as u64)?;
        let leaf = self.open.len() + 1 == self.trees_begun;
        if pointers.is_empty() && !leaf && !self.inspecting {
            return Err(self.corrupt(Corrupt::BlockMapCount));
        }
        self.requested = false;
        let full = pointers.len() == POINTERS_PER_INDIRECT;
        let mut pointers = pointers.into_iter();
        self.skip_pointers(&mut pointers);
        self.open.push(OpenBlock { pointers, full });
        Ok(())
    }

    /// Drops the pointers of a newly supplied block whose subtrees are skipped completely.
    fn skip_pointers(&mut self, pointers: &mut std::vec::IntoIter<BlockId>) {
        let depth = self.open.len();
        let levels_below = self.trees_begun.saturating_sub(depth + 1);
        let skipped = self.skip / blocks_under(levels_below);
        self.skip %= blocks_under(levels_below);
        // If the list has fewer pointers, it is not full, and no block may follow it.
        advance(pointers, skipped);
        // No overflow: `skip` is less than the number of blocks in the tree, so `skipped` is less than
        // 4096.
        for (below, visited) in self.visited.iter_mut().skip(depth + 1).enumerate() {
            *visited += skipped * blocks_under(below);
        }
    }

    fn data(&mut self, id: BlockId) -> Result<BlockStep, FormatError> {
        let Some(blocks_left) = self.blocks_left.checked_sub(1) else {
            return Err(self.corrupt(Corrupt::BlockMapLength));
        };
        self.blocks_left = blocks_left;
        Ok(BlockStep::Data(id))
    }

    fn request(&mut self, id: BlockId, depth: usize) -> BlockStep {
        let mut index = 0;
        if let Some(visited) = self.visited.get_mut(depth) {
            index = *visited;
            *visited += 1;
        }
        self.requested = true;
        BlockStep::Fetch {
            id,
            // The casts cannot truncate: both values are at most 3.
            position: IndirectPosition {
                tree: (self.trees_begun - 1) as u8,
                depth: depth as u8,
                index,
            },
        }
    }

    fn place(&self) -> Place {
        Place::new(Part::IndirectTree, 0)
    }

    fn corrupt(&self, kind: Corrupt) -> FormatError {
        self.place().corrupt(kind)
    }
}

/// Returns the number of segments below a full subtree of `levels` levels (at most 4); 1 for 0 levels,
/// a segment itself.
fn blocks_under(levels: usize) -> u64 {
    (0..levels).fold(1, |blocks: u64, _| {
        blocks.saturating_mul(POINTERS_PER_INDIRECT as u64)
    })
}

/// Drops `count` ids, or all if there are fewer.
fn advance(ids: &mut std::vec::IntoIter<BlockId>, count: u64) {
    if let Some(last) = count.checked_sub(1) {
        ids.nth(usize::try_from(last).unwrap_or(usize::MAX));
    }
}
