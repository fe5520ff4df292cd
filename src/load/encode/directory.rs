//! Directories, the root, and the bucket object.

use std::borrow::Cow;

use clfs_format::{
    BlockMap, BlockMapBuilder, Bucket, Content, DIRECTORY_SEGMENT_BYTES, DataBack, DirEntries,
    DirectorySegment, DirectorySegmenter, ExtendedAttributes, FileType, Filehandle, Inode,
    ObjectBuffer, ObjectName, ObjectType, directory_segment_offset,
};

use super::attributes::attributes;
use super::{EncodeError, Encoder, ObjectSink, entity_name};
use crate::crash_point::{CrashPoint, crash_point};
use crate::entry::{Entry, EntryId};

/// Rows of a directory in one query.
const ENTRIES_AT_ONCE: u32 = 2048;
/// Room for an inode: the first segment, the direct list of a large directory, and the rest.
const INODE_BYTES: u64 = 64 * 1024;
/// Room for a segment and its headers, and as much again while it is compressed.
const SEGMENT_BYTES: u64 = 2 * (DIRECTORY_SEGMENT_BYTES + 1024);

/// The parts of a directory's inode.
struct Parts {
    first: Option<Vec<u8>>,
    size: u64,
    directories: u32,
    block_map: BlockMap,
}

impl Encoder {
    /// Encodes a directory other than the root from the entries in the state.
    pub(super) fn directory<S: ObjectSink>(
        &mut self,
        entry: &Entry,
        sink: &S,
    ) -> Result<(), EncodeError> {
        crash_point(CrashPoint::DirectoryBegun);
        let parent = self.directory_handle(entry.parent)?;
        let handle = self
            .context
            .identity
            .filehandle(entry.id, entry.parent, FileType::Directory);
        let parts = self.segments(entry, handle, parent, sink)?;
        let content = |entries| Content::Directory(entries);
        self.put_directory(entry, handle, parent, parts, content, sink)
    }

    /// Encodes the root. It must be uploaded last, because it makes the container complete.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn root<S: ObjectSink>(&mut self, root: &Entry, sink: &S) -> Result<(), EncodeError> {
        let identity = &self.context.identity;
        let extended =
            ExtendedAttributes::root_attributes(&identity.mass_uuid(), &identity.wipe_epoch());
        let parts = self.segments(root, Filehandle::ROOT, Filehandle::ROOT, sink)?;
        let content = |entries| Content::Root(entries, extended);
        self.put_directory(
            root,
            Filehandle::ROOT,
            Filehandle::ROOT,
            parts,
            content,
            sink,
        )
    }

    /// Encodes the bucket object, which identifies the container and names its logs.
    ///
    /// # Errors
    /// When a log's name is longer than the format allows.
    pub fn bucket<S: ObjectSink>(&mut self, logs: &[String], sink: &S) -> Result<(), EncodeError> {
        let bucket = Bucket::new(&self.context.identity.bucket_uuid(), logs);
        let room = sink.room(INODE_BYTES);
        let mut buffer = ObjectBuffer::with_capacity(1024);
        bucket.encode(&mut buffer)?;
        self.put(&ObjectName::bucket(), buffer, room, sink);
        Ok(())
    }

    /// Encodes the directory's segments, puts all except the first, and returns the parts of the inode.
    fn segments<S: ObjectSink>(
        &mut self,
        entry: &Entry,
        handle: Filehandle,
        parent: Filehandle,
        sink: &S,
    ) -> Result<Parts, EncodeError> {
        let context = std::sync::Arc::clone(&self.context);
        let identity = &context.identity;
        let data_back = |offset| DataBack {
            ctime_seconds: entry.attributes.ctime.seconds,
            offset,
            owner: handle,
        };
        let mut indirect_id = |position| identity.indirect(entry.id, position);
        let mut map = BlockMapBuilder::new(handle, DIRECTORY_SEGMENT_BYTES as u32);
        let mut segmenter = DirectorySegmenter::new(handle, parent);
        let mut first = None;
        let mut blocks: u64 = 0;
        let mut directories: u32 = 0;
        let mut full_segment = |encoder: &mut Encoder, bytes: Vec<u8>| {
            if first.is_none() {
                first = Some(bytes);
                return Ok(());
            }
            blocks += 1;
            let id = identity.segment(entry.id, blocks);
            let room = sink.room(SEGMENT_BYTES);
            let segment = DirectorySegment {
                entries: DirEntries::from_encoded(bytes),
                data_back: data_back(directory_segment_offset(blocks)),
            };
            let mut buffer = ObjectBuffer::with_capacity(segment.payload_capacity());
            segment.encode(&mut buffer)?;
            let name = ObjectName::block(id, ObjectType::Segment, handle);
            encoder.put(&name, buffer, room, sink);
            crash_point(CrashPoint::DirectorySegment);
            let mut finished = Vec::new();
            map.push(id, &mut indirect_id, &mut |block| finished.push(block))?;
            for block in finished {
                encoder.indirect(block, handle, data_back, sink)?;
            }
            Ok::<_, EncodeError>(())
        };
        let mut after = EntryId::new(0);
        loop {
            let children = self
                .reader
                .directory_entries(entry.id, after, ENTRIES_AT_ONCE)?;
            let Some(last) = children.last() else { break };
            after = last.id;
            for child in &children {
                directories += u32::from(child.file_type == FileType::Directory);
                let child_handle =
                    identity.filehandle(child.inode.id, child.inode.parent, child.file_type);
                if let Some(full) = segmenter.push(&child.name, child_handle)? {
                    full_segment(self, full)?;
                }
            }
        }
        let rest = segmenter.finish();
        full_segment(self, rest.last)?;
        let mut finished = Vec::new();
        let block_map = map.finish(&mut indirect_id, &mut |block| finished.push(block));
        for block in finished {
            self.indirect(block, handle, data_back, sink)?;
        }
        Ok(Parts {
            first,
            size: rest.size,
            directories,
            block_map,
        })
    }

    fn put_directory<S: ObjectSink>(
        &mut self,
        entry: &Entry,
        handle: Filehandle,
        parent: Filehandle,
        parts: Parts,
        content: impl FnOnce(DirEntries<'static>) -> Content<'static>,
        sink: &S,
    ) -> Result<(), EncodeError> {
        let room = sink.room(INODE_BYTES);
        // format.md §6: nlink is 2, plus one for the ".." of each child directory.
        let nlink = parts.directories.saturating_add(2);
        let identity = &self.context.identity;
        let inode = Inode {
            attributes: attributes(identity, &entry.attributes, parts.size, nlink),
            block_map: parts.block_map,
            back: Cow::Borrowed(&[]),
            name: Cow::Borrowed(&entry.name),
            content: content(DirEntries::from_encoded(parts.first.unwrap_or_default())),
        };
        let name = match entry.id {
            EntryId::ROOT => ObjectName::root(),
            _ => entity_name(handle, FileType::Directory, parent),
        };
        self.put_inode(&name, &inode, room, sink)
    }
}
