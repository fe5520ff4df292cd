//! Blobs that earlier attempts at an entry may have left.

use std::collections::HashSet;

use clfs_format::{
    BlockId, BlockMapBuilder, FileType, Filehandle, ObjectName, ObjectType, file_segment_count,
};

use super::file::OTHER_SEGMENT;
use super::{EncodeError, Encoder, entity_name};
use crate::container::BlobName;
use crate::entry::Entry;
use crate::identity::Identity;

/// Returns the segments and indirect blocks that a file of `old_size` bytes has and one of `new_size`
/// bytes has not. A file that shrank between two attempts leaves them behind.
///
/// The size in the state is never smaller than that of an attempt (docs/design.md, invariant 2), so this
/// returns all of them.
pub fn obsolete_blobs(
    identity: &Identity,
    entry: &Entry,
    old_size: u64,
    new_size: u64,
) -> impl Iterator<Item = BlobName> {
    let handle = identity.filehandle(entry.id, entry.parent, entry.attributes.file_type);
    let (old, new) = (file_segment_count(old_size), file_segment_count(new_size));
    let id = entry.id;
    let segments = {
        let identity = identity.clone();
        (new + 1..=old).map(move |index| (identity.segment(id, index), ObjectType::Segment))
    };
    let kept = indirect_blocks(identity, entry, handle, new);
    let indirect = indirect_blocks(identity, entry, handle, old)
        .into_iter()
        .filter(move |block| !kept.contains(block))
        .map(|block| (block, ObjectType::Indirect));
    segments
        .chain(indirect)
        .map(move |(block, kind)| BlobName::from(&ObjectName::block(block, kind, handle)))
}

fn indirect_blocks(
    identity: &Identity,
    entry: &Entry,
    handle: Filehandle,
    segments: u64,
) -> HashSet<BlockId> {
    let mut blocks = HashSet::new();
    let mut indirect_id = |position| identity.indirect(entry.id, position);
    let mut map = BlockMapBuilder::new(handle, OTHER_SEGMENT);
    for index in 1..=segments {
        let id = identity.segment(entry.id, index);
        // Nothing was uploaded beyond the limit of the format.
        let pushed = map.push(id, &mut indirect_id, &mut |block| {
            blocks.insert(block.id);
        });
        if pushed.is_err() {
            break;
        }
    }
    map.finish(&mut indirect_id, &mut |block| {
        blocks.insert(block.id);
    });
    blocks
}

impl Encoder {
    /// Returns all blobs that attempts at an entry may have uploaded. None for directories, which are
    /// uploaded only after everything below them.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn leftovers(
        &mut self,
        entry: &Entry,
    ) -> Result<impl Iterator<Item = BlobName>, EncodeError> {
        let file_type = entry.attributes.file_type;
        let owner = self.directory_handle(entry.parent)?;
        let identity = &self.context.identity;
        let handle = identity.filehandle(entry.id, entry.parent, file_type);
        let inode = (file_type != FileType::Directory)
            .then(|| BlobName::from(&entity_name(handle, file_type, owner)));
        let segments = (file_type == FileType::Regular)
            .then(|| obsolete_blobs(identity, entry, entry.attributes.size, 0));
        Ok(inode.into_iter().chain(segments.into_iter().flatten()))
    }
}
