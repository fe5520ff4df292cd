//! The entries of directories, segment by segment.

use std::sync::Arc;

use bytes::Bytes;
use clfs_format::{Claim, FileType, Filehandle, FormatError, Object, ObjectId, RawDirEntries};
use futures::stream::{FuturesOrdered, StreamExt};

use super::blocks::{Blocks, SegmentPlace};
use super::identity::{self, Mismatch};
use super::{Ahead, Entity, InlineContent, ReadError, Reader};

/// Segments of a directory that are downloaded ahead.
const READ_AHEAD: usize = 4;
/// Number of consecutive unreadable segments after which the rest of a directory is abandoned: a map
/// whose blocks refer to each other in a cycle has no end.
const MAX_UNREADABLE: usize = 64;

/// A segment of a directory: consecutive entries.
#[derive(Debug, Clone)]
pub struct Segment {
    /// The blob that holds it.
    pub blob: clfs_format::ObjectName,
    /// The encoded entries.
    pub bytes: Bytes,
    /// Whether it is the segment in the inode.
    pub first: bool,
}

/// An entry: a name and the entity that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedHandle<'a> {
    /// The last component of the path: 1 to 255 bytes without NUL and `/`.
    pub name: &'a [u8],
    /// The entity.
    pub handle: Filehandle,
}

/// An entry that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEntry {
    /// The error; its place is relative to the start of the segment's entries.
    pub error: FormatError,
    /// The name, if it could be decoded.
    pub name: Option<Vec<u8>>,
    /// The bytes of the filehandle, of any length, if they could be decoded.
    pub handle: Option<Vec<u8>>,
}

impl Segment {
    /// Returns the entries in order, including `.` and `..`.
    pub fn entries(&self) -> impl Iterator<Item = Result<NamedHandle<'_>, BadEntry>> {
        RawDirEntries::from_encoded(&self.bytes).map(|item| match item {
            Ok(entry) => Ok(NamedHandle {
                name: entry.name,
                handle: entry.handle,
            }),
            Err(bad) => Err(BadEntry {
                error: bad.error,
                name: bad.name.map(<[u8]>::to_vec),
                handle: bad.handle.map(<[u8]>::to_vec),
            }),
        })
    }
}

/// Reads the segments of a directory.
pub struct EntrySegments {
    reader: Arc<Reader>,
    entity: Arc<Entity>,
    first: bool,
    blocks: Blocks,
    blocks_at_end: bool,
    ahead: FuturesOrdered<Ahead<Segment>>,
    unreadable: usize,
}

impl Reader {
    /// Reads the segments of a directory, in order.
    pub fn entry_segments(self: &Arc<Self>, entity: &Arc<Entity>) -> EntrySegments {
        EntrySegments {
            reader: Arc::clone(self),
            entity: Arc::clone(entity),
            first: true,
            blocks: self.blocks(entity, 0),
            blocks_at_end: false,
            ahead: FuturesOrdered::new(),
            unreadable: 0,
        }
    }

    async fn directory_segment(
        &self,
        entity: &Entity,
        place: SegmentPlace,
    ) -> Result<Segment, ReadError> {
        let fetched = self.fetch_id(&ObjectId::Block(place.id)).await?;
        let segment = match fetched.inspect().object {
            Ok(Object::DirectorySegment(segment)) => segment,
            // A segment of a file, because the name is that of a segment.
            Ok(Object::FileSegment(segment)) => {
                return Err(
                    Mismatch::Other(Claim::FileSegment(segment.data_back)).of(&fetched.name)
                );
            }
            Ok(_) => {
                return Err(ReadError::Misplaced {
                    blob: fetched.name.to_string(),
                    problem: format!("it is used as a segment of the directory {}", entity.blob),
                });
            }
            Err(error) => {
                let fits = |claim: &Claim| matches!(claim, Claim::DirectorySegment(_));
                return Err(identity::other_object(&fetched, error, fits));
            }
        };
        identity::check_block(&segment.data_back, entity.handle, place.offset)
            .map_err(|mismatch| mismatch.of(&fetched.name))?;
        Ok(Segment {
            blob: fetched.name,
            bytes: fetched.payload.slice_ref(segment.entries.as_bytes()),
            first: false,
        })
    }
}

impl EntrySegments {
    /// Returns the next segment, also after an error; none at the end.
    ///
    /// # Errors
    /// If a segment is missing, is damaged or belongs elsewhere, or the entity is not a directory.
    pub async fn next(&mut self) -> Result<Option<Segment>, ReadError> {
        if std::mem::take(&mut self.first) {
            return match (&self.entity.inline, self.entity.file_type) {
                (InlineContent::Entries(bytes), FileType::Directory) => Ok(Some(Segment {
                    blob: self.entity.blob,
                    bytes: bytes.clone(),
                    first: true,
                })),
                _ => {
                    self.blocks_at_end = true;
                    Err(self.entity.misplaced("it is not a directory".to_owned()))
                }
            };
        }
        while self.ahead.len() < READ_AHEAD && !self.blocks_at_end {
            match self.blocks.next().await {
                Ok(Some(place)) => {
                    let (reader, entity) = (Arc::clone(&self.reader), Arc::clone(&self.entity));
                    self.ahead.push_back(Ahead::start(async move {
                        reader.directory_segment(&entity, place).await
                    }));
                }
                Ok(None) => self.blocks_at_end = true,
                // Segments in flight come before this error.
                Err(error) => {
                    self.blocks_at_end = true;
                    self.ahead
                        .push_back(Ahead::start(async move { Err(error) }));
                }
            }
        }
        match self.ahead.next().await {
            None => Ok(None),
            Some(Ok(segment)) => {
                self.unreadable = 0;
                Ok(Some(segment))
            }
            Some(Err(error)) => {
                self.unreadable += 1;
                if self.unreadable >= MAX_UNREADABLE || !error.is_damage() {
                    self.blocks_at_end = true;
                    self.ahead.clear();
                }
                Err(error)
            }
        }
    }
}
