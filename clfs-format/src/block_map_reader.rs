//! Reads a block map and its trees back as one sequence of data blocks.

use crate::blockmap::{BlockMap, IndirectPosition};
use crate::error::{Corrupt, FormatError, Limit, Part, Place};
use crate::id::BlockId;
use crate::limits::{DIRECT_BLOCKS, POINTERS_PER_INDIRECT, TREES};

/// What [`BlockMapReader::next_step`] asks for or gives.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum BlockStep {
    /// The next data block.
    Data(BlockId),
    /// Fetch this indirect block and [`BlockMapReader::supply`] its pointers.
    Fetch {
        /// Its id.
        id: BlockId,
        /// Its place in the map; its DATABACK offset must be `position.offset()`.
        position: IndirectPosition,
    },
    /// There are no more blocks.
    End,
}

#[derive(Debug)]
struct OpenBlock {
    pointers: std::vec::IntoIter<BlockId>,
    /// Whether it had 4096 pointers.
    full: bool,
}

/// Walks the segments of an entity in order, from block 1 on. It holds at most one indirect block
/// for each level of one tree. A map that leads in circles ends in an error: the depth is the
/// tree's, every block but the last must be full, and there are no more data blocks than `most`.
#[derive(Debug)]
pub struct BlockMapReader {
    direct: std::vec::IntoIter<BlockId>,
    roots: [BlockId; TREES],
    /// Number of trees begun.
    trees_begun: usize,
    open: Vec<OpenBlock>,
    /// Blocks met so far in the current tree, by depth.
    met: [u64; TREES],
    asked_for: bool,
    /// A list that is not full was read to its end: no block may follow.
    ended: bool,
    left: u64,
    /// Data blocks still to be passed over in the tree that is being read.
    skip: u64,
}

impl BlockMapReader {
    /// `most` is the number of data blocks that the entity may have besides the inode's: for a
    /// file [`crate::file_segment_count`] of its size.
    pub fn new(map: &BlockMap, most: u64) -> Self {
        Self::starting_at(map, most, 1)
    }

    /// The same from block `first` on, counted from 1. Trees and subtrees that lie wholly before it
    /// are passed over without being fetched: every list but the last is full (section 6 "BMAP"), so
    /// at most one indirect block for each level comes before the first data block. That the lists
    /// passed over are full is not checked; a segment's DATABACK offset tells whether it is the one.
    pub fn starting_at(map: &BlockMap, most: u64, first: u64) -> Self {
        let before = first.saturating_sub(1);
        let mut reader = Self {
            ended: 1 + map.direct.len() < DIRECT_BLOCKS,
            direct: map.direct.clone().into_iter(),
            roots: map.roots,
            trees_begun: 0,
            open: Vec::new(),
            met: [0; TREES],
            asked_for: false,
            left: most.saturating_sub(before),
            skip: 0,
        };
        // At most 1023.
        let direct = before.min(map.direct.len() as u64);
        advance(&mut reader.direct, direct);
        if !reader.ended {
            reader.skip = before - direct;
            reader.pass_over_trees();
        }
        reader
    }

    fn pass_over_trees(&mut self) {
        while let Some(root) = self.roots.get(self.trees_begun) {
            let Some(left) = self.skip.checked_sub(blocks_under(self.trees_begun + 1)) else {
                return;
            };
            if root.is_none() {
                return;
            }
            self.skip = left;
            self.trees_begun += 1;
        }
    }

    /// The next data block, or the indirect block that is needed to go on.
    ///
    /// # Errors
    /// Corrupt when there are more data blocks than allowed, or a block follows a list that is not
    /// full, or the block last asked for was not supplied.
    pub fn next_step(&mut self) -> Result<BlockStep, FormatError> {
        if self.asked_for {
            return Err(self.corrupt(Corrupt::NotAskedFor));
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
                Some(_) if self.ended => return Err(self.corrupt(Corrupt::BlockMapGap)),
                Some(id) if depth + 1 == self.trees_begun => return self.data(id),
                Some(id) => return Ok(self.fetch(id, depth + 1)),
            }
        }
        match self.roots.get(self.trees_begun) {
            None | Some(&BlockId::NONE) => Ok(BlockStep::End),
            Some(_) if self.ended => Err(self.corrupt(Corrupt::BlockMapGap)),
            Some(&root) => {
                self.trees_begun += 1;
                self.met = [0; TREES];
                Ok(self.fetch(root, 0))
            }
        }
    }

    /// The pointers of the indirect block that was asked for. A leaf may be empty where the blocks
    /// end: the original writes one when a tree ends exactly on a full leaf (section 6 "BMAP").
    ///
    /// # Errors
    /// Limit for more than 4096 pointers, Corrupt when none was asked for or an indirect block other
    /// than a leaf is empty.
    pub fn supply(&mut self, pointers: Vec<BlockId>) -> Result<(), FormatError> {
        if !self.asked_for {
            return Err(self.corrupt(Corrupt::NotAskedFor));
        }
        self.place().limit(Limit::Pointers, pointers.len() as u64)?;
        let leaf = self.open.len() + 1 == self.trees_begun;
        if pointers.is_empty() && !leaf {
            return Err(self.corrupt(Corrupt::BlockMapCount));
        }
        self.asked_for = false;
        let full = pointers.len() == POINTERS_PER_INDIRECT;
        let mut pointers = pointers.into_iter();
        self.pass_over_pointers(&mut pointers);
        self.open.push(OpenBlock { pointers, full });
        Ok(())
    }

    /// Passes over the pointers of the next block to be opened that lead to unwanted data only.
    fn pass_over_pointers(&mut self, pointers: &mut std::vec::IntoIter<BlockId>) {
        let depth = self.open.len();
        let levels_below = self.trees_begun.saturating_sub(depth + 1);
        let passed = self.skip / blocks_under(levels_below);
        self.skip %= blocks_under(levels_below);
        // If there are fewer, this list is not full, and no block may follow it.
        advance(pointers, passed);
        // Fewer than 4096 are passed over, as `skip` is less than what the tree holds.
        for (below, met) in self.met.iter_mut().skip(depth + 1).enumerate() {
            *met += passed * blocks_under(below);
        }
    }

    fn data(&mut self, id: BlockId) -> Result<BlockStep, FormatError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Err(self.corrupt(Corrupt::BlockMapLength));
        };
        self.left = left;
        Ok(BlockStep::Data(id))
    }

    fn fetch(&mut self, id: BlockId, depth: usize) -> BlockStep {
        let mut index = 0;
        if let Some(met) = self.met.get_mut(depth) {
            index = *met;
            *met += 1;
        }
        self.asked_for = true;
        BlockStep::Fetch {
            id,
            // Both are at most 3.
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

/// Data blocks under a full subtree of this many levels, at most 4; a data block itself has none.
fn blocks_under(levels: usize) -> u64 {
    (0..levels).fold(1, |blocks: u64, _| {
        blocks.saturating_mul(POINTERS_PER_INDIRECT as u64)
    })
}

/// Drops `count` ids, or all.
fn advance(ids: &mut std::vec::IntoIter<BlockId>, count: u64) {
    if let Some(last) = count.checked_sub(1) {
        ids.nth(usize::try_from(last).unwrap_or(usize::MAX));
    }
}
