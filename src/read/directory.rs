//! The entries of directories, segment by segment.

use std::sync::Arc;

use bytes::Bytes;
use clfs_format::{Claim, FileType, Filehandle, FormatError, Object, ObjectId, RawDirEntries};
use futures::stream::{FuturesOrdered, StreamExt};

use super::ahead::Ahead;
use super::blocks::{Blocks, SegmentPlace};
use super::identity::{self, Mismatch};
use super::{Entity, First, ReadError, Reader};

/// Segments of one directory that are fetched ahead.
const READ_AHEAD: usize = 4;
/// After so many unreadable segments in a row the rest of a directory is given up: a map that leads
/// in circles would go on for ever.
const MOST_UNREADABLE: usize = 64;

/// A segment of a directory: entries back to back.
#[derive(Debug, Clone)]
pub struct Segment {
    /// The blob that holds it.
    pub blob: clfs_format::ObjectName,
    /// The encoded entries.
    pub bytes: Bytes,
    /// Whether it is the inode's own.
    pub first: bool,
}

/// An entry: a name and what it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedHandle<'a> {
    /// The last component of the path: raw bytes, not empty, without NUL and `/`, at most 255.
    pub name: &'a [u8],
    /// The entity.
    pub handle: Filehandle,
}

/// An entry that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEntry {
    /// The rule; its place counts from the start of the segment's entries.
    pub error: FormatError,
    /// The name, as far as there is one.
    pub name: Option<Vec<u8>>,
    /// The filehandle as it stands, of any length, as far as there is one.
    pub handle: Option<Vec<u8>>,
}

impl Segment {
    /// The entries in order, `.` and `..` among them.
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

/// A directory that is being read.
pub struct EntrySegments {
    reader: Arc<Reader>,
    entity: Arc<Entity>,
    first: bool,
    blocks: Blocks,
    blocks_over: bool,
    ahead: FuturesOrdered<Ahead<Segment>>,
    unreadable: usize,
}

impl Reader {
    /// The segments of a directory, in order.
    pub fn entry_segments(self: &Arc<Self>, entity: &Arc<Entity>) -> EntrySegments {
        EntrySegments {
            reader: Arc::clone(self),
            entity: Arc::clone(entity),
            first: true,
            blocks: self.blocks(entity, 0),
            blocks_over: false,
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
            // The name says a segment, so that this is one of the other kind.
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
                return Err(identity::unlike(&fetched, error, fits));
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
    /// The next segment. After an error the segments behind the damage still come; none at the end.
    ///
    /// # Errors
    /// When a segment is missing, damaged or belongs elsewhere; or the entity is no directory.
    pub async fn next(&mut self) -> Result<Option<Segment>, ReadError> {
        if std::mem::take(&mut self.first) {
            return match (&self.entity.first, self.entity.file_type) {
                (First::Entries(bytes), FileType::Directory) => Ok(Some(Segment {
                    blob: self.entity.blob,
                    bytes: bytes.clone(),
                    first: true,
                })),
                _ => {
                    self.blocks_over = true;
                    Err(self.entity.misplaced("it is no directory".to_owned()))
                }
            };
        }
        while self.ahead.len() < READ_AHEAD && !self.blocks_over {
            match self.blocks.next().await {
                Ok(Some(place)) => {
                    let (reader, entity) = (Arc::clone(&self.reader), Arc::clone(&self.entity));
                    self.ahead.push_back(Ahead::start(async move {
                        reader.directory_segment(&entity, place).await
                    }));
                }
                Ok(None) => self.blocks_over = true,
                // What is on its way belongs before this error.
                Err(error) => {
                    self.blocks_over = true;
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
                if self.unreadable >= MOST_UNREADABLE || !error.is_damage() {
                    self.blocks_over = true;
                    self.ahead.clear();
                }
                Err(error)
            }
        }
    }
}
