//! Directories as a load writes them, built from the rows: their objects are counted and measured
//! without an exception, as the source need not be asked for them.

use std::sync::Arc;

use clfs_format::{
    BlockId, BlockMap, Content, DIRECT_BLOCKS, DIRECTORY_SEGMENT_BYTES, DataBack, DirEntries,
    DirectorySegment, DirectorySegmenter, ExtendedAttributes, FileType, Filehandle, FormatError,
    Lz4Encoder, ObjectBuffer, directory_segment_offset,
};

use super::measure::{Size, inode_blob};
use super::objects::{indirect_blocks, indirect_bytes};
use crate::encode::EncodeContext;
use crate::entry::{Entry, EntryId};

/// Objects of directories so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct DirectoryTotals {
    /// Inodes.
    pub(super) inodes: u64,
    /// Segments besides those in the inodes.
    pub(super) segments: u64,
    /// Indirect blocks.
    pub(super) indirect: u64,
    /// Bytes of all of these, as they are stored.
    pub(super) bytes: u64,
    /// Bytes of all of these without compression.
    pub(super) plain: u64,
}

/// A directory whose entries are coming in.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) entry: Entry,
    /// Entries so far.
    pub(super) entries: u64,
    /// Bytes of the regular files among them.
    pub(super) file_bytes: u64,
    subdirectories: u32,
    handle: Filehandle,
    segmenter: DirectorySegmenter,
    first: Option<Vec<u8>>,
    segments: u64,
}

/// Builds directories one after the other.
pub(super) struct Directories {
    context: Arc<EncodeContext>,
    lz4: Lz4Encoder,
    pub(super) totals: DirectoryTotals,
}

impl Directories {
    pub(super) fn new(context: Arc<EncodeContext>) -> Self {
        Directories {
            context,
            lz4: Lz4Encoder::new(),
            totals: DirectoryTotals::default(),
        }
    }

    /// Begins a directory; `grandparent` is the directory that its parent lies in.
    pub(super) fn open(&self, entry: Entry, grandparent: EntryId) -> Open {
        let identity = &self.context.identity;
        let handle = |id, parent| identity.filehandle(id, parent, FileType::Directory);
        let own = handle(entry.id, entry.parent);
        Open {
            handle: own,
            segmenter: DirectorySegmenter::new(own, handle(entry.parent, grandparent)),
            entry,
            entries: 0,
            file_bytes: 0,
            subdirectories: 0,
            first: None,
            segments: 0,
        }
    }

    /// Adds an entry.
    pub(super) fn push(&mut self, open: &mut Open, child: &Entry) -> Result<(), FormatError> {
        let file_type = child.attributes.file_type;
        open.entries += 1;
        match file_type {
            FileType::Regular => {
                open.file_bytes = open.file_bytes.saturating_add(child.attributes.size);
            }
            FileType::Directory => open.subdirectories = open.subdirectories.saturating_add(1),
            _ => {}
        }
        let handle = self
            .context
            .identity
            .filehandle(child.id, child.parent, file_type);
        match open.segmenter.push(&child.name, handle)? {
            Some(full) => self.segment(open, full),
            None => Ok(()),
        }
    }

    /// The directory has no more entries.
    pub(super) fn close(&mut self, mut open: Open) -> Result<(), FormatError> {
        let replacement = DirectorySegmenter::new(open.handle, open.handle);
        let rest = std::mem::replace(&mut open.segmenter, replacement).finish();
        self.segment(&mut open, rest.last)?;
        let identity = &self.context.identity;
        let indirect = indirect_blocks(open.segments);
        let mut map = BlockMap::single(open.handle, DIRECTORY_SEGMENT_BYTES as u32);
        let direct = open.segments.min(DIRECT_BLOCKS as u64 - 1);
        map.direct = (1..=direct)
            .map(|block| identity.segment(open.entry.id, block))
            .collect::<Vec<BlockId>>();
        let entries = DirEntries::from_encoded(open.first.take().unwrap_or_default());
        let content = match open.entry.id {
            EntryId::ROOT => Content::Root(
                entries,
                ExtendedAttributes::root_attributes(&identity.mass_uuid(), &identity.wipe_epoch()),
            ),
            _ => Content::Directory(entries),
        };
        let nlink = open.subdirectories.saturating_add(2);
        let size = inode_blob(
            &self.context,
            &mut self.lz4,
            &open.entry,
            map,
            content,
            (rest.size, nlink),
        )?;
        self.totals.inodes += 1;
        self.totals.segments += open.segments;
        self.totals.indirect += indirect.0;
        self.add(size);
        // Pointers are random: they do not compress.
        let stored = indirect_bytes(indirect);
        let plain = stored;
        self.add(Size { plain, stored });
        Ok(())
    }

    fn segment(&mut self, open: &mut Open, bytes: Vec<u8>) -> Result<(), FormatError> {
        if open.first.is_none() {
            open.first = Some(bytes);
            return Ok(());
        }
        open.segments += 1;
        let segment = DirectorySegment {
            entries: DirEntries::from_encoded(bytes),
            data_back: DataBack {
                ctime_seconds: open.entry.attributes.ctime.seconds,
                offset: directory_segment_offset(open.segments),
                owner: open.handle,
            },
        };
        let mut buffer = ObjectBuffer::with_capacity(segment.payload_capacity());
        segment.encode(&mut buffer)?;
        let size = Size::of(buffer, &self.context, &mut self.lz4);
        self.add(size);
        Ok(())
    }

    fn add(&mut self, size: Size) {
        self.totals.bytes += size.stored;
        self.totals.plain += size.plain;
    }
}
