//! The segments of an entity in order, by its block map and indirect blocks.

use std::sync::Arc;

use clfs_format::{
    BlockId, BlockMapReader, BlockStep, Claim, FileType, Filehandle, FormatError, Inspection,
    NameKind, Object, ObjectId, ObjectName, ObjectType,
};

use super::fetch::Fetched;
use super::index::ContentStamps;
use super::{Entity, ReadError, Reader, identity};

/// Minimum that a segment adds to the size of a directory: 4, and 4 + 1 + 2 + 24 for an entry with a
/// name of one byte (format.md §5 and §6).
const MIN_DIRECTORY_SEGMENT: u64 = 35;

/// A segment and its offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentPlace {
    /// The segment.
    pub(super) id: BlockId,
    /// The offset that its DATABACK must have.
    pub(super) offset: u64,
}

/// Reads the segments of an entity except the one in the inode.
#[derive(Debug)]
pub(super) struct Blocks {
    reader: Arc<Reader>,
    blob: ObjectName,
    handle: Filehandle,
    map: BlockMapReader,
    /// Offset of the next segment.
    offset: u64,
    other_segment: u64,
    failed: bool,
    /// The stamps of the indirect blocks that were read.
    pub(super) indirect: ContentStamps,
    /// Whether one of them breaks a rule although it can be read.
    pub(super) deviates: bool,
}

impl Entity {
    /// Returns the size of the first segment when it is full.
    pub(super) fn first_segment(&self) -> u64 {
        u64::from(self.block_map.first_segment)
    }

    /// Returns the size of the other segments when they are full; never 0.
    pub(super) fn other_segment(&self) -> u64 {
        u64::from(self.block_map.other_segment).max(1)
    }

    /// Returns the maximum number of segments of an entity of this size, except the one in the inode.
    fn max_segments(&self) -> u64 {
        let size = self.attributes.size;
        match self.file_type {
            FileType::Directory => size / MIN_DIRECTORY_SEGMENT,
            _ => size
                .saturating_sub(self.first_segment())
                .div_ceil(self.other_segment()),
        }
    }
}

impl Reader {
    /// Reads the segments of an entity from the one with the byte at `from` on (0 for a directory).
    pub(super) fn blocks(self: &Arc<Self>, entity: &Entity, from: u64) -> Blocks {
        let skipped = from.saturating_sub(entity.first_segment()) / entity.other_segment();
        let max = entity.max_segments();
        Blocks {
            reader: Arc::clone(self),
            blob: entity.blob,
            handle: entity.handle,
            map: BlockMapReader::starting_at(&entity.block_map, max, skipped.saturating_add(1)),
            offset: entity
                .first_segment()
                .saturating_add(skipped.saturating_mul(entity.other_segment())),
            other_segment: entity.other_segment(),
            failed: false,
            indirect: ContentStamps::default(),
            deviates: false,
        }
    }
}

impl Blocks {
    /// Returns the next segment; none at the end, and none after an error.
    pub(super) async fn next(&mut self) -> Result<Option<SegmentPlace>, ReadError> {
        if self.failed {
            return Ok(None);
        }
        let step = self.step().await;
        self.failed = step.is_err();
        step
    }

    async fn step(&mut self) -> Result<Option<SegmentPlace>, ReadError> {
        loop {
            match self.map.next_step().map_err(|error| self.error(error))? {
                BlockStep::End => return Ok(None),
                BlockStep::Data(id) => {
                    let offset = self.offset;
                    self.offset = offset.saturating_add(self.other_segment);
                    return Ok(Some(SegmentPlace { id, offset }));
                }
                BlockStep::Fetch { id, position } => {
                    let pointers = self.indirect(id, position.offset()).await?;
                    self.map
                        .supply(pointers)
                        .map_err(|error| self.error(error))?;
                }
            }
        }
    }

    async fn indirect(&mut self, id: BlockId, offset: u64) -> Result<Vec<BlockId>, ReadError> {
        let listed = self.reader.locate(&ObjectId::Block(id)).await?;
        // An object of another type may be a thousand times larger.
        if listed.name.object_type() != ObjectType::Indirect {
            return Err(self.not_indirect(&listed.name));
        }
        let fetched = self.reader.fetch(&listed).await?;
        self.indirect.add(listed.stamp);
        let inspection = fetched.inspect();
        self.deviates |= deviates(&fetched, &inspection, self.handle);
        match inspection.object {
            Ok(Object::IndirectBlock(block)) => {
                identity::check_block(&block.data_back, self.handle, offset)
                    .map_err(|mismatch| mismatch.of(&fetched.name))?;
                Ok(block.pointers)
            }
            Ok(_) => Err(self.not_indirect(&fetched.name)),
            Err(error) => {
                let fits = |claim: &Claim| matches!(claim, Claim::IndirectBlock(_));
                Err(identity::other_object(&fetched, error, fits))
            }
        }
    }

    fn not_indirect(&self, name: &ObjectName) -> ReadError {
        ReadError::Misplaced {
            blob: name.to_string(),
            problem: format!("it is used as an indirect block of {}", self.blob),
        }
    }

    fn error(&self, error: FormatError) -> ReadError {
        ReadError::Format {
            blob: self.blob.to_string(),
            error,
        }
    }
}

/// Returns whether a segment or an indirect block of `owner` breaks a rule although it can be read.
pub(super) fn deviates(fetched: &Fetched, inspection: &Inspection<'_>, owner: Filehandle) -> bool {
    let NameKind::V2 { owner_hash, .. } = fetched.name.kind else {
        return true;
    };
    owner_hash != owner.hash64()
        || !fetched.deviations.is_empty()
        || !inspection.deviations.is_empty()
}
