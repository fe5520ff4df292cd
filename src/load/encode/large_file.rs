//! Files of several segments. Any thread may read the next segment; the thread that reads the last one
//! encodes the inode.

use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use clfs_format::{
    BlockMapBuilder, Compression, Content, DataBack, FIRST_SEGMENT_BYTES, FileType, Filehandle,
    FinishedIndirect, IndirectBlock, Inode, ObjectBuffer, ObjectName, ObjectType,
    file_segment_count, file_segment_range,
};

use super::attributes::attributes;
use super::file::{OTHER_SEGMENT, ReadName, check_read, read_at};
use super::memory::POOLED_BYTES;
use super::{
    EncodeContext, EncodeError, Encoder, ObjectSink, ReadContent, ReadPolicy, entity_name,
};
use crate::entry::Entry;
use crate::source::{CallKind, EntryStat};

/// Room for an inode: the maximum direct list of a block map, and the rest.
const INODE_BYTES: u64 = FIRST_SEGMENT_BYTES + 24 * 1024;
/// Room for a full indirect block.
const INDIRECT_BYTES: u64 = 80 * 1024;
/// Bytes of a segment without its data.
const SEGMENT_BYTES: u64 = 1024;

/// An open file of several segments.
#[derive(Debug)]
pub struct LargeFile {
    entry: Entry,
    handle: Filehandle,
    back: Vec<Filehandle>,
    file: OwnedFd,
    read_policy: ReadPolicy,
    /// The first segment, which goes into the inode.
    first: Vec<u8>,
    /// Segments that are not finished yet.
    unread: AtomicU64,
    /// A segment could not be read, so the others are skipped.
    abandoned: AtomicBool,
}

/// What remains of a file after one of its segments is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remaining {
    /// Other segments.
    Segments,
    /// Only the inode.
    Inode,
}

impl LargeFile {
    pub(super) fn open(
        context: &EncodeContext,
        name: ReadName<'_>,
        back: &[Filehandle],
        read_policy: ReadPolicy,
    ) -> Result<Self, EncodeError> {
        let entry = name.entry;
        let file = name.open(&context.source)?;
        check_read(&file, &entry.attributes, read_policy)?;
        let mut first = vec![0; FIRST_SEGMENT_BYTES as usize];
        if read_at(&file, &mut first, 0)? != first.len() {
            return Err(EncodeError::Changed(
                EntryStat::examined_open(&file)?.attributes,
            ));
        }
        Ok(LargeFile {
            handle: context
                .identity
                .filehandle(entry.id, entry.parent, FileType::Regular),
            entry: entry.clone(),
            back: back.to_vec(),
            file,
            read_policy,
            first,
            unread: AtomicU64::new(file_segment_count(entry.attributes.size)),
            abandoned: AtomicBool::new(false),
        })
    }

    /// Returns the number of segments without the one in the inode; their indexes begin at 1.
    pub fn segments(&self) -> u64 {
        file_segment_count(self.entry.attributes.size)
    }

    /// Returns the file's entry.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Makes other threads skip their segments.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    /// Returns whether a segment could not be read.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Counts a segment as finished, whether it was read or not. The caller that gets
    /// [`Remaining::Inode`] continues with [`Encoder::large_inode`].
    pub fn segment_finished(&self) -> Remaining {
        match self.unread.fetch_sub(1, Ordering::AcqRel) {
            1 => Remaining::Inode,
            _ => Remaining::Segments,
        }
    }

    fn data_back(&self, offset: u64) -> DataBack {
        DataBack {
            ctime_seconds: self.entry.attributes.ctime.seconds,
            offset,
            owner: self.handle,
        }
    }
}

impl Encoder {
    /// Returns the bytes of memory that segment `index` needs while it is read and compressed.
    pub fn segment_room(&self, file: &LargeFile, index: u64) -> u64 {
        let range = file_segment_range(index, file.entry.attributes.size);
        let memory = match range.end - range.start {
            length if length >= POOLED_BYTES => ObjectBuffer::FILE_SEGMENT_MEMORY as u64,
            length => length + SEGMENT_BYTES,
        };
        // The payload, and as much again while it is compressed.
        match self.context.compression {
            Compression::Disabled => memory,
            Compression::Lz4 => 2 * memory,
        }
    }

    /// Reads and puts segment `index`.
    ///
    /// # Errors
    /// When it cannot be read, or the file is shorter now; the caller then abandons the file.
    pub fn segment<S: ObjectSink>(
        &mut self,
        file: &LargeFile,
        index: u64,
        sink: &S,
    ) -> Result<(), EncodeError> {
        if file.is_abandoned() {
            return Ok(());
        }
        let room = sink.room(self.segment_room(file, index));
        let range = file_segment_range(index, file.entry.attributes.size);
        let length = range.end - range.start;
        let pooled = length >= POOLED_BYTES;
        let context = Arc::clone(&self.context);
        let memory = match pooled {
            true => context.memory.take(),
            false => Vec::new(),
        };
        let mut segment = ObjectBuffer::file_segment_in(memory, length as u32)?;
        let data = segment.data_mut();
        let call = context.source.begin_call(CallKind::Encoder, file.entry.id);
        if read_at(&file.file, data, range.start)? != data.len() {
            return Err(EncodeError::Changed(
                EntryStat::examined_open(&file.file)?.attributes,
            ));
        }
        self.add_source_time(call, length);
        let id = context.identity.segment(file.entry.id, index);
        let name = ObjectName::block(id, ObjectType::Segment, file.handle);
        let segment = segment.finish(file.data_back(range.start));
        match pooled {
            true => self.put_segment(&name, segment, room, sink),
            false => self.put(&name, segment, room, sink),
        }
        Ok(())
    }

    /// Puts the indirect blocks and the inode of a file. All of its segments must be finished.
    ///
    /// # Errors
    /// When the file changed during the read and its [`ReadPolicy`] refuses that.
    pub fn large_inode<S: ObjectSink>(
        &mut self,
        file: &LargeFile,
        sink: &S,
    ) -> Result<ReadContent, EncodeError> {
        let changed = check_read(&file.file, &file.entry.attributes, file.read_policy)?;
        let context = Arc::clone(&self.context);
        let identity = &context.identity;
        let id = file.entry.id;
        let mut indirect_id = |position| identity.indirect(id, position);
        let mut finished = Vec::new();
        let mut map = BlockMapBuilder::new(file.handle, OTHER_SEGMENT);
        for index in 1..=file.segments() {
            let segment = identity.segment(id, index);
            map.push(segment, &mut indirect_id, &mut |block| finished.push(block))?;
            for block in finished.drain(..) {
                self.indirect(block, file.handle, |offset| file.data_back(offset), sink)?;
            }
        }
        let block_map = map.finish(&mut indirect_id, &mut |block| finished.push(block));
        for block in finished {
            self.indirect(block, file.handle, |offset| file.data_back(offset), sink)?;
        }
        let source = &file.entry.attributes;
        let inode = Inode {
            attributes: attributes(identity, source, source.size, file.back.len() as u32),
            block_map,
            back: Cow::Borrowed(&file.back),
            name: Cow::Borrowed(&file.entry.name),
            content: Content::Data(Cow::Borrowed(&file.first)),
        };
        let room = sink.room(INODE_BYTES);
        let owner = file.back.first().copied().unwrap_or(Filehandle::ROOT);
        let name = entity_name(file.handle, FileType::Regular, owner);
        self.put_inode(&name, &inode, room, sink)?;
        Ok(ReadContent {
            bytes: source.size,
            changed,
        })
    }

    /// Puts an indirect block of the entity `owner`.
    pub(super) fn indirect<S: ObjectSink>(
        &mut self,
        block: FinishedIndirect,
        owner: Filehandle,
        data_back: impl FnOnce(u64) -> DataBack,
        sink: &S,
    ) -> Result<(), EncodeError> {
        let room = sink.room(INDIRECT_BYTES);
        let name = ObjectName::block(block.id, ObjectType::Indirect, owner);
        let object = IndirectBlock {
            data_back: data_back(block.position.offset()),
            pointers: block.pointers,
        };
        let mut buffer = ObjectBuffer::with_capacity(object.payload_capacity());
        object.encode(&mut buffer)?;
        self.put(&name, buffer, room, sink);
        Ok(())
    }
}
