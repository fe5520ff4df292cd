//! A valid container in memory, built with `clfs-format`.

use std::borrow::Cow;
use std::collections::HashMap;

use clfs_format::{
    Attributes, BlockId, BlockMap, BlockMapBuilder, Bucket, Compression, Content, DataBack,
    DirEntries, DirEntry, DirectorySegment, DirectorySegmenter, ExtendedAttributes, FileType,
    Filehandle, FilehandleFields, IndirectBlock, Inode, Lz4Encoder, Object, ObjectBuffer,
    ObjectName, ObjectType, Timestamp, directory_segment_offset, file_segment_count,
    file_segment_range,
};

const CONTAINER_ID: u32 = 0xb60c_2e63;
const DIRECTORY_SEGMENT: u32 = 256 << 10;
const FILE_SEGMENT: u32 = 8 << 20;
const UUID: &str = "01234567-89ab-4cde-8f01-23456789abcd";

/// Blobs under construction.
pub(crate) struct Builder {
    pub(crate) blobs: HashMap<String, Vec<u8>>,
    lz4: Lz4Encoder,
    sequence: u64,
    block: u64,
}

/// A directory's handle, its parent's handle and its entries.
#[derive(Clone)]
pub(crate) struct Directory {
    pub(crate) handle: Filehandle,
    pub(crate) parent: Filehandle,
    pub(crate) name: Vec<u8>,
    pub(crate) entries: Vec<(Vec<u8>, Filehandle)>,
}

impl Directory {
    /// Adds an entry to this directory.
    pub(crate) fn add(&mut self, name: impl AsRef<[u8]>, handle: Filehandle) -> &mut Self {
        self.entries.push((name.as_ref().to_vec(), handle));
        self
    }
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder {
            blobs: HashMap::new(),
            lz4: Lz4Encoder::new(),
            sequence: 1000,
            block: 0,
        }
    }

    fn put(&mut self, name: ObjectName, object: Object<'_>) {
        let mut buffer = ObjectBuffer::with_capacity(0);
        object.encode(&mut buffer).unwrap();
        let blob = self.lz4.wrap(buffer, Compression::Lz4);
        assert!(self.blobs.insert(name.to_string(), blob).is_none());
    }

    /// Returns the handle of a new entity below `parent`. The sequence number of a directory determines its manager.
    pub(crate) fn handle(&mut self, parent: Filehandle, file_type: FileType) -> Filehandle {
        let from_parent = parent.directory_manager();
        let own = (self.sequence % 48) as u8;
        let fields = FilehandleFields {
            container_id: CONTAINER_ID,
            parent_directory_manager: from_parent,
            directory_manager: match file_type {
                FileType::Directory => own,
                _ => from_parent,
            },
            file_type,
            sequence: self.sequence,
            random: 0x1234_5678_9abc_def0 ^ self.sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        };
        self.sequence += 1;
        fields.filehandle().unwrap()
    }

    pub(crate) fn root(&self) -> Directory {
        Directory {
            handle: Filehandle::ROOT,
            parent: Filehandle::ROOT,
            name: b"source".to_vec(),
            entries: Vec::new(),
        }
    }

    /// Adds a directory and its entry in `parent`.
    pub(crate) fn directory(&mut self, parent: &mut Directory, name: &str) -> Directory {
        let handle = self.handle(parent.handle, FileType::Directory);
        parent.add(name, handle);
        Directory {
            handle,
            parent: parent.handle,
            name: name.into(),
            entries: Vec::new(),
        }
    }

    fn block_id(&mut self) -> BlockId {
        self.block += 1;
        BlockId((0xb10c_0000_0000_0000_0000_0000_0000_0000 | u128::from(self.block)).to_be_bytes())
    }

    fn attributes(&self, file_type: FileType, size: u64, nlink: u32) -> Attributes {
        let device = matches!(file_type, FileType::Block | FileType::Character);
        let type_bits = match file_type {
            FileType::Directory => 0o040_000,
            FileType::Regular => 0o100_000,
            FileType::Symlink => 0o120_000,
            FileType::Block => 0o060_000,
            FileType::Character => 0o020_000,
            FileType::Socket => 0o140_000,
            FileType::Fifo => 0o010_000,
        };
        let time = |seconds, nanoseconds| Timestamp {
            seconds,
            nanoseconds,
        };
        Attributes {
            mode: type_bits | 0o644,
            object_type: file_type.object_type().code(),
            uid: 1000,
            gid: 100,
            size,
            mtime: time(1_500_000_001, 1),
            ctime: time(1_500_000_002, 2),
            atime: time(1_500_000_003, 999_999_999),
            used: size,
            fsid: 0xd1bb_369c,
            file_id: self.sequence,
            major: if device { 7 } else { 0 },
            minor: if device { 300 } else { 0 },
            nlink,
            container_id: CONTAINER_ID.into(),
            ..Attributes::default()
        }
    }

    fn data_back(&self, owner: Filehandle, offset: u64) -> DataBack {
        DataBack {
            ctime_seconds: 1_500_000_002,
            offset,
            owner,
        }
    }

    /// Writes an entity other than a directory, with the directories `back` as parents. `content` is that of a
    /// regular file, or the target of a symlink.
    pub(crate) fn entity(
        &mut self,
        handle: Filehandle,
        back: &[Filehandle],
        name: &str,
        content: &[u8],
    ) {
        let file_type = handle.file_type().unwrap();
        let size = content.len() as u64;
        let mut block_map = BlockMap::single(handle, FILE_SEGMENT);
        for index in 1..=file_segment_count(size) {
            let id = self.block_id();
            block_map.direct.push(id);
            let range = file_segment_range(index, size);
            let length = u32::try_from(range.end - range.start).unwrap();
            let mut segment = ObjectBuffer::file_segment(length).unwrap();
            let data = &content[range.start as usize..range.end as usize];
            segment.data_mut().copy_from_slice(data);
            let buffer = segment.finish(self.data_back(handle, range.start));
            let blob = self.lz4.wrap(buffer, Compression::Lz4);
            let name = ObjectName::block(id, ObjectType::Segment, handle);
            self.blobs.insert(name.to_string(), blob);
        }
        let first = &content[..content.len().min(16_384)];
        let inode = Inode {
            attributes: self.attributes(file_type, size, back.len() as u32),
            block_map,
            back: Cow::Borrowed(back),
            name: Cow::Borrowed(name.as_bytes()),
            content: match file_type {
                FileType::Regular | FileType::Symlink => Content::Data(Cow::Borrowed(first)),
                _ => Content::None,
            },
        };
        let name = ObjectName::entity(handle, file_type.object_type(), back[0]);
        self.put(name, Object::Inode(inode));
    }

    /// Splits a directory's entries into segments as loads do, and writes the directory.
    pub(crate) fn finish_directory(&mut self, directory: &Directory) {
        let mut segmenter = DirectorySegmenter::new(directory.handle, directory.parent);
        let mut segments = Vec::new();
        for (name, handle) in &directory.entries {
            segments.extend(segmenter.push(name, *handle).unwrap());
        }
        segments.push(segmenter.finish().last);
        self.write_directory(directory, segments);
    }

    /// Writes one entry per segment, so that few entries need many blocks.
    pub(crate) fn finish_directory_one_entry_per_segment(&mut self, directory: &Directory) {
        let segmenter = DirectorySegmenter::new(directory.handle, directory.parent);
        let mut segments = vec![segmenter.finish().last];
        for (name, handle) in &directory.entries {
            let handle = *handle;
            let mut segment = (name.len() as u32).to_le_bytes().to_vec();
            segment.extend_from_slice(name);
            segment.extend_from_slice(&(handle.as_bytes().len() as u16).to_le_bytes());
            segment.extend_from_slice(handle.as_bytes());
            let entry = DirEntry { name, handle };
            assert_eq!(entry.encoded_length(), segment.len());
            segments.push(segment);
        }
        self.write_directory(directory, segments);
    }

    fn write_directory(&mut self, directory: &Directory, segments: Vec<Vec<u8>>) {
        let handle = directory.handle;
        let size = segments
            .iter()
            .map(|segment| 4 + segment.len() as u64)
            .sum();
        let mut segments = segments.into_iter();
        let first = DirEntries::from_encoded(segments.next().unwrap());
        let mut builder = BlockMapBuilder::new(handle, DIRECTORY_SEGMENT);
        let mut indirect = Vec::new();
        let mut number = 0u64;
        let mut indirect_id = |_| {
            number += 1;
            let hash = u128::from(handle.hash64()) << 32;
            BlockId((0x1d << 120 | hash | u128::from(number)).to_be_bytes())
        };
        for (index, segment) in (1..).zip(segments) {
            let id = self.block_id();
            let segment = DirectorySegment {
                entries: DirEntries::from_encoded(segment),
                data_back: self.data_back(handle, directory_segment_offset(index)),
            };
            let name = ObjectName::block(id, ObjectType::Segment, handle);
            self.put(name, Object::DirectorySegment(segment));
            let mut emit = |block| indirect.push(block);
            builder.push(id, &mut indirect_id, &mut emit).unwrap();
        }
        let block_map = builder.finish(&mut indirect_id, &mut |block| indirect.push(block));
        for block in indirect {
            let name = ObjectName::block(block.id, ObjectType::Indirect, handle);
            let block = IndirectBlock {
                pointers: block.pointers,
                data_back: self.data_back(handle, block.position.offset()),
            };
            self.put(name, Object::IndirectBlock(block));
        }
        let children = directory.entries.iter();
        let children = children.filter(|(_, h)| h.file_type() == Some(FileType::Directory));
        let nlink = 2 + children.count() as u32;
        let root = handle.is_root();
        let inode = Inode {
            attributes: self.attributes(FileType::Directory, size, nlink),
            block_map,
            back: Cow::Borrowed(&[]),
            name: Cow::Borrowed(&directory.name),
            content: match root {
                true => Content::Root(first, ExtendedAttributes::root_attributes(UUID, UUID)),
                false => Content::Directory(first),
            },
        };
        let name = match root {
            true => ObjectName::root(),
            false => ObjectName::entity(handle, ObjectType::Directory, directory.parent),
        };
        self.put(name, Object::Inode(inode));
    }

    /// Writes the bucket object and one log.
    pub(crate) fn finish_bucket(&mut self) {
        let log = "output.txt".to_owned();
        self.blobs.insert(log.clone(), b"a log\n".to_vec());
        let bucket = Bucket::new(UUID, &[log]);
        self.put(ObjectName::bucket(), Object::Bucket(bucket));
    }
}
