//! The content of regular files, piece by piece.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use clfs_format::{Claim, FileType, Object, ObjectId};
use futures::stream::{FuturesOrdered, StreamExt};

use super::ahead::Ahead;
use super::blocks::{Blocks, SegmentPlace, deviates};
use super::identity::{self, Mismatch};
use super::{Entity, First, ReadError, Reader};

/// Segments of one file that are fetched ahead.
const READ_AHEAD: usize = 4;

/// A piece of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Where in the file it begins.
    pub offset: u64,
    /// The bytes; never empty.
    pub bytes: Bytes,
}

impl Chunk {
    fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes.len() as u64)
    }

    /// The part of it that lies in `range`; it may be empty.
    fn within(mut self, range: &Range<u64>) -> Self {
        let from = range.start.clamp(self.offset, self.end());
        let to = range.end.clamp(from, self.end());
        // Both lie in the chunk.
        let part = (from - self.offset) as usize..(to - self.offset) as usize;
        self.bytes = self.bytes.slice(part);
        self.offset = from;
        self
    }
}

/// A regular file that is being read. Only segments that hold bytes of the wanted range are
/// fetched, some of them ahead.
pub struct FileContent {
    reader: Arc<Reader>,
    entity: Arc<Entity>,
    range: Range<u64>,
    blocks: Blocks,
    blocks_over: bool,
    ahead: FuturesOrdered<Ahead<ReadSegment>>,
    deviates: bool,
    /// Offset of the next byte to give.
    at: u64,
    failed: bool,
}

impl Reader {
    /// The bytes of a regular file that lie in `range`; what lies behind the file's end is left out.
    pub fn content(self: &Arc<Self>, entity: &Arc<Entity>, range: Range<u64>) -> FileContent {
        let range = range.start..range.end.min(entity.attributes.size);
        FileContent {
            reader: Arc::clone(self),
            entity: Arc::clone(entity),
            blocks: self.blocks(entity, range.start),
            blocks_over: false,
            ahead: FuturesOrdered::new(),
            deviates: false,
            at: range.start,
            failed: false,
            range,
        }
    }

    /// One segment of a file, checked against what the inode says.
    async fn file_segment(
        &self,
        entity: &Entity,
        place: SegmentPlace,
    ) -> Result<ReadSegment, ReadError> {
        let fetched = self.fetch_id(&ObjectId::Block(place.id)).await?;
        let inspection = fetched.inspect();
        let deviates = deviates(&fetched, &inspection, entity.handle);
        let segment = match inspection.object {
            Ok(Object::FileSegment(segment)) => segment,
            // The name says a segment, so that this is one of the other kind.
            Ok(Object::DirectorySegment(segment)) => {
                return Err(
                    Mismatch::Other(Claim::DirectorySegment(segment.data_back)).of(&fetched.name)
                );
            }
            Ok(_) => {
                return Err(ReadError::Misplaced {
                    blob: fetched.name.to_string(),
                    problem: format!("it is used as a segment of {}", entity.blob),
                });
            }
            Err(error) => {
                let fits = |claim: &Claim| matches!(claim, Claim::FileSegment(_));
                return Err(identity::unlike(&fetched, error, fits));
            }
        };
        identity::check_block(&segment.data_back, entity.handle, place.offset)
            .map_err(|mismatch| mismatch.of(&fetched.name))?;
        let left = entity.attributes.size.saturating_sub(place.offset);
        let expected = left.min(entity.other_segment());
        if segment.data.len() as u64 != expected {
            return Err(ReadError::Misplaced {
                blob: fetched.name.to_string(),
                problem: format!(
                    "it holds {} bytes where the file {} needs {expected}",
                    segment.data.len(),
                    entity.handle
                ),
            });
        }
        let chunk = Chunk {
            offset: place.offset,
            bytes: fetched.payload.slice_ref(&segment.data),
        };
        Ok(ReadSegment { chunk, deviates })
    }
}

/// A segment, and whether it breaks a rule.
struct ReadSegment {
    chunk: Chunk,
    deviates: bool,
}

impl FileContent {
    /// Whether a segment or an indirect block that was read breaks a rule of the format.
    pub fn deviates(&self) -> bool {
        self.deviates || self.blocks.deviates
    }

    /// The next piece; none at the end of the range, and none after an error.
    ///
    /// # Errors
    /// When a segment is missing, damaged, of a wrong length or belongs elsewhere.
    pub async fn next(&mut self) -> Result<Option<Chunk>, ReadError> {
        while !self.failed && self.at < self.range.end {
            let chunk = self.piece().await.inspect_err(|_| self.failed = true)?;
            self.at = self.at.max(chunk.end());
            let chunk = chunk.within(&self.range);
            if !chunk.bytes.is_empty() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    async fn piece(&mut self) -> Result<Chunk, ReadError> {
        if self.at < self.entity.first_segment() {
            return first_chunk(&self.entity);
        }
        while self.ahead.len() < READ_AHEAD && !self.blocks_over {
            match self.blocks.next().await {
                Ok(Some(place)) if place.offset < self.range.end => {
                    let (reader, entity) = (Arc::clone(&self.reader), Arc::clone(&self.entity));
                    self.ahead.push_back(Ahead::start(async move {
                        reader.file_segment(&entity, place).await
                    }));
                }
                Ok(_) => self.blocks_over = true,
                // What is on its way comes before this error, and may be all that is wanted.
                Err(error) => {
                    self.blocks_over = true;
                    self.ahead
                        .push_back(Ahead::start(async move { Err(error) }));
                }
            }
        }
        match self.ahead.next().await {
            Some(segment) => {
                let ReadSegment { chunk, deviates } = segment?;
                self.deviates |= deviates;
                Ok(chunk)
            }
            None => Err(self.entity.misplaced(format!(
                "its segments end at byte {} of {}",
                self.at, self.entity.attributes.size
            ))),
        }
    }
}

fn first_chunk(entity: &Entity) -> Result<Chunk, ReadError> {
    let bytes = match (&entity.first, entity.file_type) {
        (First::Data(data), FileType::Regular) => data.clone(),
        _ => return Err(entity.misplaced("it is no regular file".to_owned())),
    };
    let expected = entity.attributes.size.min(entity.first_segment());
    if bytes.len() as u64 != expected {
        return Err(entity.misplaced(format!(
            "its DATA holds {} bytes where its size asks for {expected}",
            bytes.len()
        )));
    }
    Ok(Chunk { offset: 0, bytes })
}
