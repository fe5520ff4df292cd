//! Content of regular files and symlinks, block maps, segments (format.md §6).

use sha2::{Digest, Sha256};

use super::handles::{DATA, DATABACK, DataBack, INDIR, exact_string, indirect};
use super::inode::{Inode, other_segment};
use super::walk::{Object, Walk};
use super::{Kind, Rule, Strictness};

const FIRST_SEGMENT: u64 = 16384;
const DIRECT_BLOCKS: usize = 1024;
const POINTERS: usize = 4096;
const NONE: [u8; 16] = [0; 16];
const SYMLINK_LIMIT: usize = 1023;
const SEGMENT: u16 = 8;
const INDIRECT: u16 = 9;

/// The state of flattening a block map.
struct Blocks {
    data: Vec<Vec<u8>>,
    /// Whether an earlier list or tree had unused places, so that no block may follow.
    closed: bool,
}

impl Walk<'_> {
    /// Returns the ids of blocks 1, 2, … in order.
    pub(crate) fn blocks(&mut self, inode: &Inode) -> Vec<Vec<u8>> {
        let blob = &inode.object.blob;
        let map = &inode.block_map;
        if map.direct.len() > DIRECT_BLOCKS || map.direct.iter().any(|id| *id == NONE) {
            let text = format!("{} direct blocks, or an empty one", map.direct.len());
            self.add(Rule::BlockMapOrder, blob, text);
        }
        let mut blocks = Blocks {
            data: map.direct.iter().skip(1).cloned().collect(),
            closed: map.direct.len() < DIRECT_BLOCKS,
        };
        for (tree, root) in map.roots.iter().enumerate() {
            if *root == NONE {
                blocks.closed = true;
            } else {
                self.indirect(inode, root, (tree, 0), &mut blocks);
            }
        }
        blocks.data
    }

    /// Reads an indirect block of `tree` at `depth` and all blocks below it. The depth is at most 3.
    fn indirect(
        &mut self,
        inode: &Inode,
        id: &[u8],
        (tree, depth): (usize, usize),
        blocks: &mut Blocks,
    ) {
        let from = inode.object.blob.clone();
        let place = format!("tree {tree} depth {depth}");
        if blocks.closed {
            let text = format!("{place} is used although an earlier place is free");
            self.add(Rule::BlockMapOrder, &from, text);
        }
        let Some(object) = self.open_block(inode, id, INDIRECT, &[INDIR, DATABACK]) else {
            return;
        };
        self.data_back(&object, inode, ((tree as u64) << 16) + depth as u64);
        let Some(pointers) = object.handle(INDIR).and_then(indirect) else {
            self.add(Rule::HandleContent, &object.blob, "INDIR");
            return;
        };
        if pointers.len() > POINTERS || pointers.iter().any(|id| *id == NONE) {
            let text = format!("{place}: {} pointers, or an empty one", pointers.len());
            self.add(Rule::BlockMapOrder, &object.blob, text);
        }
        let full = pointers.len() >= POINTERS;
        if depth == tree {
            // May be empty: the original ends a tree with an empty leaf if the last leaf is full.
            blocks.data.extend(pointers);
        } else {
            for pointer in pointers {
                self.indirect(inode, &pointer, (tree, depth + 1), blocks);
            }
        }
        blocks.closed |= !full;
    }

    /// Opens a segment or an indirect block of `inode` and checks its type, owner and handles.
    pub(crate) fn open_block(
        &mut self,
        inode: &Inode,
        id: &[u8],
        btype: u16,
        handles: &[u32],
    ) -> Option<Object> {
        let object = self.open(id, &inode.object.blob)?;
        if let Some((found, _)) = object.name.v2
            && found != btype
        {
            let text = format!("object type {found}, used as {btype}");
            self.add(Rule::NameObjectType, &object.blob, text);
        }
        self.check_owner_hash(&object, &inode.handle);
        self.expect_order(&object, handles);
        Some(object)
    }

    /// Opens data block `index` (from 1) of `inode`.
    pub(crate) fn open_segment(
        &mut self,
        inode: &Inode,
        id: &[u8],
        index: usize,
        handles: &[u32],
    ) -> Option<Object> {
        let object = self.open_block(inode, id, SEGMENT, handles)?;
        let offset = FIRST_SEGMENT + (index as u64 - 1) * u64::from(other_segment(inode.kind));
        self.data_back(&object, inode, offset);
        Some(object)
    }

    fn data_back(&mut self, object: &Object, inode: &Inode, offset: u64) {
        let Some(back) = object.handle(DATABACK).and_then(DataBack::parse) else {
            self.add(Rule::HandleContent, &object.blob, "DATABACK");
            return;
        };
        if back.offset != offset {
            let text = format!("{}, not {offset}", back.offset);
            self.add(Rule::DataBackOffset, &object.blob, text);
        }
        if back.owner != inode.handle {
            let text = super::hex(&back.owner);
            self.add(Rule::DataBackOwner, &object.blob, text);
        }
        if back.ctime != inode.attributes.ctime.0 {
            let text = format!("{}, not {}", back.ctime, inode.attributes.ctime.0);
            self.add(Rule::DataBackTime, &object.blob, text);
        }
    }

    /// Returns the SHA-256 of a regular file, or `None` if it cannot be read.
    pub(crate) fn file(&mut self, inode: &Inode) -> Option<[u8; 32]> {
        let blob = &inode.object.blob;
        let size = inode.attributes.size;
        let blocks = self.blocks(inode);
        let other = u64::from(other_segment(Kind::Regular));
        let needed = size.saturating_sub(FIRST_SEGMENT).div_ceil(other);
        if blocks.len() as u64 != needed {
            let text = format!("{} segments for {size} bytes, not {needed}", blocks.len());
            self.add(Rule::BlockMapCount, blob, text);
        }
        let mut hash = Sha256::new();
        let first = self.data(&inode.object)?;
        hash.update(first);
        let mut sum = first.len() as u64;
        let mut last_full = sum == FIRST_SEGMENT;
        if sum > FIRST_SEGMENT {
            self.add(Rule::SegmentSize, blob, format!("first segment of {sum}"));
        }
        for (at, id) in blocks.iter().enumerate() {
            if !last_full {
                let text = format!("segment {at} is followed by another, but not full");
                self.add(Rule::SegmentSize, blob, text);
            }
            let object = self.open_segment(inode, id, at + 1, &[DATA, DATABACK])?;
            let data = self.data(&object)?;
            let length = data.len() as u64;
            hash.update(data);
            if length > other || length == 0 {
                self.add(Rule::SegmentSize, &object.blob, format!("{length} bytes"));
            }
            last_full = length == other;
            sum += length;
        }
        if sum != size {
            let text = format!("size {size}, the segments hold {sum}");
            self.add(Rule::AttributeSize, blob, text);
        }
        Some(hash.finalize().into())
    }

    /// Returns a symlink's target.
    pub(crate) fn symlink(&mut self, inode: &Inode) -> Option<Vec<u8>> {
        let blob = &inode.object.blob;
        self.only_block(inode);
        let target = self.data(&inode.object)?;
        if target.is_empty() || target.len() > SYMLINK_LIMIT || target.contains(&0) {
            let text = format!("{} bytes, or a NUL", target.len());
            self.add(Rule::SymlinkTarget, blob, text);
        }
        let characters = std::str::from_utf8(target).map_or(target.len(), |t| t.chars().count());
        let size = inode.attributes.size;
        let allowed = self.strictness == Strictness::Original && size == characters as u64;
        if size != target.len() as u64 && !allowed {
            let text = format!("size {size}, target of {} bytes", target.len());
            self.add(Rule::AttributeSize, blob, text);
        }
        Some(target.to_vec())
    }

    /// Checks that a symlink or a special file has no block except its inode.
    pub(crate) fn only_block(&mut self, inode: &Inode) {
        let map = &inode.block_map;
        if map.direct.len() != 1 || map.roots.iter().any(|root| *root != NONE) {
            let text = format!("blocks on a {:?}", inode.kind);
            self.add(Rule::BlockMapCount, &inode.object.blob, text);
        }
    }

    fn data<'o>(&mut self, object: &'o Object) -> Option<&'o [u8]> {
        let data = object.handle(DATA).and_then(exact_string);
        if data.is_none() {
            self.add(Rule::HandleContent, &object.blob, "DATA");
        }
        data
    }
}
