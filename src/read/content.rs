//! The content of regular files, chunk by chunk.

use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;

use bytes::Bytes;
use clfs_format::{Claim, FileType, Object, ObjectId};
use futures::stream::{FuturesOrdered, StreamExt};
use rustix::io::{Errno, pread, retry_on_intr};

use super::blocks::{Blocks, SegmentPlace, deviates};
use super::identity::{self, Mismatch};
use super::{Ahead, Entity, InlineContent, ReadError, Reader};

/// Segments of a file that are downloaded ahead.
const READ_AHEAD: usize = 4;
/// Maximum number of bytes of a local file that are compared at a time.
const COMPARED_BYTES: usize = 256 << 10;

/// A chunk of a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Offset of the first byte in the file.
    pub offset: u64,
    /// The bytes; not empty in the chunks of [`FileContent`].
    pub bytes: Bytes,
}

impl Chunk {
    fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes.len() as u64)
    }

    /// Returns the offset from which a local file differs from the chunk; none if it has the same bytes
    /// there. A file that ends before the chunk differs from its end on. Blocks.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn first_difference(&self, file: impl AsFd) -> Result<Option<u64>, Errno> {
        let mut buffer = vec![0; COMPARED_BYTES.min(self.bytes.len())];
        let mut at = self.offset;
        let mut rest: &[u8] = &self.bytes;
        while !rest.is_empty() {
            let wanted = rest.len().min(buffer.len());
            let room = buffer.get_mut(..wanted).unwrap_or_default();
            let read = retry_on_intr(|| pread(&file, &mut *room, at))?;
            let local = room.get(..read).unwrap_or_default();
            let (compared, behind) = rest.split_at(local.len().min(rest.len()));
            if local != compared || local.is_empty() {
                let same = local.iter().zip(compared).take_while(|(a, b)| a == b);
                return Ok(Some(at + same.count() as u64));
            }
            at += local.len() as u64;
            rest = behind;
        }
        Ok(None)
    }

    /// Returns the part of the chunk in `range`; it may be empty.
    fn within(mut self, range: &Range<u64>) -> Self {
        let from = range.start.clamp(self.offset, self.end());
        let to = range.end.clamp(from, self.end());
        // Both are in the chunk.
        let part = (from - self.offset) as usize..(to - self.offset) as usize;
        self.bytes = self.bytes.slice(part);
        self.offset = from;
        self
    }
}

/// Reads a regular file. Downloads only the segments with bytes of the requested range, some of them
/// ahead.
pub struct FileContent {
    reader: Arc<Reader>,
    entity: Arc<Entity>,
    range: Range<u64>,
    blocks: Blocks,
    blocks_at_end: bool,
    ahead: FuturesOrdered<Ahead<ReadSegment>>,
    deviates: bool,
    /// Offset of the next byte.
    at: u64,
    failed: bool,
}

impl Reader {
    /// Reads the bytes of a regular file in `range`, up to the end of the file.
    pub fn content(self: &Arc<Self>, entity: &Arc<Entity>, range: Range<u64>) -> FileContent {
        let range = range.start..range.end.min(entity.attributes.size);
        FileContent {
            reader: Arc::clone(self),
            entity: Arc::clone(entity),
            blocks: self.blocks(entity, range.start),
            blocks_at_end: false,
            ahead: FuturesOrdered::new(),
            deviates: false,
            at: range.start,
            failed: false,
            range,
        }
    }

    /// Downloads a segment of a file and checks that it fits the inode.
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
            // A segment of a directory, because the name is that of a segment.
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
                return Err(identity::other_object(&fetched, error, fits));
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
                    "it holds {} bytes, but the file {} needs {expected} there",
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

/// A segment's content, and whether the segment breaks a rule.
struct ReadSegment {
    chunk: Chunk,
    deviates: bool,
}

impl FileContent {
    /// Returns whether a segment or an indirect block read so far breaks a rule of the format.
    pub fn deviates(&self) -> bool {
        self.deviates || self.blocks.deviates
    }

    /// Returns the next chunk; none at the end of the range, and none after an error.
    ///
    /// # Errors
    /// If a segment is missing, is damaged, has a wrong length, or belongs elsewhere.
    pub async fn next(&mut self) -> Result<Option<Chunk>, ReadError> {
        while !self.failed && self.at < self.range.end {
            let chunk = self
                .next_chunk()
                .await
                .inspect_err(|_| self.failed = true)?;
            self.at = self.at.max(chunk.end());
            let chunk = chunk.within(&self.range);
            if !chunk.bytes.is_empty() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    async fn next_chunk(&mut self) -> Result<Chunk, ReadError> {
        if self.at < self.entity.first_segment() {
            return self.entity.first_chunk();
        }
        while self.ahead.len() < READ_AHEAD && !self.blocks_at_end {
            match self.blocks.next().await {
                Ok(Some(place)) if place.offset < self.range.end => {
                    let (reader, entity) = (Arc::clone(&self.reader), Arc::clone(&self.entity));
                    self.ahead.push_back(Ahead::start(async move {
                        reader.file_segment(&entity, place).await
                    }));
                }
                Ok(_) => self.blocks_at_end = true,
                // Segments in flight come before this error, and may be all that is requested.
                Err(error) => {
                    self.blocks_at_end = true;
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

impl Entity {
    /// Returns the content of a regular file that is in its inode; empty if the file is.
    ///
    /// # Errors
    /// If it is not a regular file, or the inode holds more or fewer bytes than the size needs.
    pub(crate) fn first_chunk(&self) -> Result<Chunk, ReadError> {
        let bytes = match (&self.inline, self.file_type) {
            (InlineContent::Data(data), FileType::Regular) => data.clone(),
            _ => return Err(self.misplaced("it is not a regular file".to_owned())),
        };
        let expected = self.attributes.size.min(self.first_segment());
        if bytes.len() as u64 != expected {
            return Err(self.misplaced(format!(
                "its DATA holds {} bytes, but its size needs {expected}",
                bytes.len()
            )));
        }
        Ok(Chunk { offset: 0, bytes })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_first_difference_from_a_local_file() {
        let mut file = tempfile::tempfile().unwrap();
        let mut content: Vec<u8> = (0..COMPARED_BYTES + 5000).map(|at| at as u8).collect();
        file.write_all(&content).unwrap();
        let chunk = |content: &[u8], offset: usize| Chunk {
            offset: offset as u64,
            bytes: Bytes::copy_from_slice(&content[offset..]),
        };
        assert_eq!(chunk(&content, 7).first_difference(&file), Ok(None));
        let end = content.len();
        for at in [7, 100, COMPARED_BYTES + 7, end - 1] {
            content[at] ^= 1;
            let found = chunk(&content, 7).first_difference(&file);
            assert_eq!(found, Ok(Some(at as u64)));
            content[at] ^= 1;
        }
        // The file is shorter.
        content.push(0);
        let found = chunk(&content, 7).first_difference(&file);
        assert_eq!(found, Ok(Some(end as u64)));
        assert_eq!(
            chunk(&content, end).first_difference(&file),
            Ok(Some(end as u64))
        );
    }
}
