//! Tests with the four containers that CLFSLoad wrote: every object decodes and encodes to the same
//! payload, and the decoded tree equals the source tree.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::golden::*;
use clfs_format::limits::PAYLOAD_BYTES;
use clfs_format::*;
use serde_json::Value;

/// The newest version of every object of a container, by id.
struct Container {
    blobs: BTreeMap<ObjectId, (ObjectName, Vec<u8>)>,
    used: BTreeSet<ObjectId>,
}

impl Container {
    fn open(file: &str) -> Self {
        let mut blobs: BTreeMap<ObjectId, (ObjectName, Vec<u8>)> = BTreeMap::new();
        for (name, blob) in container(file) {
            let parsed = ObjectName::parse(&name).unwrap();
            let payload = unwrap(&blob, PAYLOAD_BYTES).unwrap().into_owned();
            let older = blobs.get(&parsed.id);
            if older.is_none_or(|(older, _)| older.version < parsed.version) {
                blobs.insert(parsed.id, (parsed, payload));
            }
        }
        Self {
            blobs,
            used: BTreeSet::new(),
        }
    }

    /// Decodes an object whose name must contain this type and owner.
    fn get(&mut self, id: ObjectId, object_type: ObjectType, owner: Filehandle) -> Object<'static> {
        let (name, payload) = self.blobs.get(&id).unwrap();
        let kind = NameKind::V2 {
            object_type,
            owner_hash: owner.hash64(),
        };
        assert_eq!(name.kind, kind);
        self.used.insert(id);
        // The test reads each container once, so leaking its payloads is simpler than a lifetime.
        Object::decode(name, payload.clone().leak()).unwrap()
    }

    fn inode(&mut self, handle: Filehandle, owner: Filehandle) -> Inode<'static> {
        let file_type = handle.file_type().unwrap();
        let id = ObjectId::Entity(handle);
        match self.get(id, file_type.object_type(), owner) {
            Object::Inode(inode) => inode,
            other => panic!("{other:?}"),
        }
    }

    /// Returns the segments after the first, in order.
    fn segments(&mut self, inode: &Inode<'_>) -> Vec<Object<'static>> {
        let own = inode.block_map.handle;
        let max_blocks = file_segment_count(inode.attributes.size);
        let mut reader = BlockMapReader::new(&inode.block_map, max_blocks);
        let mut segments = Vec::new();
        loop {
            match reader.next_step().unwrap() {
                BlockStep::Data(id) => {
                    let id = ObjectId::Block(id);
                    segments.push(self.get(id, ObjectType::Segment, own));
                }
                BlockStep::End => return segments,
                BlockStep::Fetch { .. } => panic!("no file here is that large"),
            }
        }
    }
}

#[test]
fn names_and_payloads_round_trip() {
    let mut compressed = 0;
    for (file, _) in CONTAINERS {
        for (name, blob) in container(file) {
            let parsed = ObjectName::parse(&name).unwrap();
            assert_eq!(parsed.to_string(), name);
            let payload = unwrap(&blob, PAYLOAD_BYTES).unwrap();
            let object = Object::decode(&parsed, &payload).unwrap();
            let wrapper = inspect_wrapper(&blob, PAYLOAD_BYTES).unwrap();
            assert!(wrapper.payload == payload);
            assert_eq!(wrapper.deviations, [], "{file} {name}");
            let inspection = Object::inspect(&parsed, &payload);
            assert!(inspection.object.as_ref() == Ok(&object), "{file} {name}");
            assert_eq!(inspection.deviations, [], "{file} {name}");
            assert_eq!(inspection.unknown, [], "{file} {name}");
            let mut buffer = ObjectBuffer::with_capacity(0);
            object.encode(&mut buffer).unwrap();
            assert!(buffer.payload() == &payload[..], "{file} {name}");
            if matches!(payload, Cow::Owned(_)) {
                compressed += 1;
                check_frame(&blob[4..]);
            }
            check_wrap(buffer, &payload, matches!(payload, Cow::Owned(_)));
        }
    }
    assert!(compressed > 2500, "{compressed} compressed blobs");
}

/// Asserts that the frame follows format.md §3 and has no stored blocks.
fn check_frame(frame: &[u8]) {
    let (header, mut rest) = frame.split_at(7);
    assert_eq!(header, [0x04, 0x22, 0x4d, 0x18, 0x40, 0x50, 0x77]);
    while let Some((word, blocks)) = rest.split_first_chunk() {
        // The high bit of a stored block makes the length exceed the frame.
        let length = u32::from_le_bytes(*word) as usize;
        assert!(length <= blocks.len(), "a block of {length:#x} bytes");
        rest = &blocks[length..];
    }
    assert!(rest.is_empty());
}

/// Asserts that the encoded blob has the same payload and is compressed if CLFSLoad's is, except for
/// the smallest objects (a segment of one byte has 96 bytes), which only one of the two compressors
/// may make smaller.
fn check_wrap(buffer: ObjectBuffer, payload: &[u8], compressed: bool) {
    let ours = Lz4Encoder::new().wrap(buffer.clone(), Compression::Lz4);
    assert!(unwrap(&ours, PAYLOAD_BYTES).unwrap() == payload);
    if compressed && payload.len() > 128 {
        assert_eq!(ours[..4], [0, 0, 1, 0]);
    }
    let plain = Lz4Encoder::new().wrap(buffer, Compression::Disabled);
    assert_eq!(plain[..4], [0; 4]);
    assert!(plain[4..] == *payload);
}

#[test]
fn decoded_trees_equal_the_source_trees() {
    for (file, tree) in CONTAINERS {
        let mut container = Container::open(file);
        let hard_links = !(file.contains("plain") || file.contains("nolinks"));
        let tree = json(tree);
        let mut expected: BTreeMap<Vec<u8>, &Value> = BTreeMap::new();
        for entry in tree.as_array().unwrap() {
            expected.insert(bytes(entry, "path_hex"), entry);
        }
        let root = container.inode(Filehandle::ROOT, Filehandle::ROOT);
        check_entry(
            &mut container,
            &root,
            expected.remove(&b""[..]).unwrap(),
            hard_links,
        );
        let mut open = vec![(Vec::new(), Filehandle::ROOT, root)];
        while let Some((path, parent, directory)) = open.pop() {
            for (name, handle) in entries(&mut container, &directory, parent) {
                let mut path = path.clone();
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(&name);
                let owner = owner_in_name(&container, handle, directory.block_map.handle);
                let inode = container.inode(handle, owner);
                let entry = expected.remove(&path).expect("a path of the tree");
                check_entry(&mut container, &inode, entry, hard_links);
                if handle.file_type() == Some(FileType::Directory) {
                    assert_eq!(*inode.name, name);
                    open.push((path, directory.block_map.handle, inode));
                } else {
                    assert_eq!(inode.back[0], owner);
                    assert!(inode.back.contains(&directory.block_map.handle));
                }
            }
        }
        assert!(
            expected.is_empty(),
            "{file}: not in the container: {expected:?}"
        );
        let bucket = ObjectName::bucket();
        let (name, payload) = &container.blobs[&bucket.id];
        let Object::Bucket(bucket) = Object::decode(name, payload).unwrap() else {
            panic!("the bucket's name is the bucket's");
        };
        assert_eq!(bucket.uuid().map(str::len), Some(36));
        assert!(bucket.logs().all(|log| log.ends_with(".txt")));
        // The tree refers to every object.
        assert_eq!(container.used.len() + 1, container.blobs.len(), "{file}");
    }
}

/// Returns the owner of an inode: for a directory its parent, for other entities the first back
/// pointer.
fn owner_in_name(container: &Container, handle: Filehandle, parent: Filehandle) -> Filehandle {
    let (name, payload) = &container.blobs[&ObjectId::Entity(handle)];
    match Object::decode(name, payload).unwrap() {
        Object::Inode(inode) => inode.back.first().copied().unwrap_or(parent),
        other => panic!("{other:?}"),
    }
}

/// Returns the children of a directory, without `.` and `..`. Asserts that those are correct, and that
/// the segmenter splits the entries into the same segments.
fn entries(
    container: &mut Container,
    directory: &Inode<'_>,
    parent: Filehandle,
) -> Vec<(Vec<u8>, Filehandle)> {
    let own = directory.block_map.handle;
    let first = match &directory.content {
        Content::Directory(entries) | Content::Root(entries, _) => entries.as_bytes().to_vec(),
        other => panic!("{other:?}"),
    };
    let mut segments = vec![first];
    for (index, segment) in (1..).zip(container.segments(directory)) {
        let Object::DirectorySegment(segment) = segment else {
            panic!("a directory's segment");
        };
        let back = segment.data_back;
        assert_eq!(back.offset, directory_segment_offset(index));
        assert_eq!(back.owner, own);
        assert_eq!(back.ctime_seconds, directory.attributes.ctime.seconds);
        segments.push(segment.entries.as_bytes().to_vec());
    }
    let mut all = Vec::new();
    for segment in &segments {
        for entry in &DirEntries::from_encoded(&segment[..]) {
            let entry = entry.unwrap();
            all.push((entry.name.to_vec(), entry.handle));
        }
    }
    let children = all.split_off(2);
    assert_eq!(all, [(b".".to_vec(), own), (b"..".to_vec(), parent)]);
    let mut segmenter = DirectorySegmenter::new(own, parent);
    let mut ours = Vec::new();
    for (name, handle) in &children {
        ours.extend(segmenter.push(name, *handle).unwrap());
    }
    let end = segmenter.finish();
    assert_eq!(end.size, directory.attributes.size);
    assert_eq!(end.segments, segments.len() as u64);
    ours.push(end.last);
    assert!(ours == segments);
    children
}

fn check_entry(container: &mut Container, inode: &Inode<'_>, entry: &Value, hard_links: bool) {
    let path = text(entry, "path");
    let attributes = &inode.attributes;
    assert_eq!(u64::from(attributes.mode), number(entry, "mode"), "{path}");
    assert_eq!(u64::from(attributes.uid), number(entry, "uid"), "{path}");
    assert_eq!(u64::from(attributes.gid), number(entry, "gid"), "{path}");
    assert_eq!(attributes.file_id, number(entry, "ino"), "{path}");
    let time = |seconds, nanoseconds| Timestamp {
        seconds: number32(entry, seconds),
        nanoseconds: number32(entry, nanoseconds),
    };
    assert_eq!(attributes.mtime, time("mtime_s", "mtime_ns"), "{path}");
    if !path.is_empty() {
        assert_eq!(attributes.ctime.seconds, number32(entry, "ctime_s"));
    }
    assert_eq!(attributes.dtime, Timestamp::MIN);
    assert_eq!((attributes.flags, attributes.used), (0, attributes.size));
    let file_type = FileType::from_mode(attributes.mode.into()).unwrap();
    assert_eq!(inode.block_map.handle.file_type(), Some(file_type));
    let links = match file_type {
        FileType::Directory => number32(entry, "nlink"),
        _ if hard_links => number32(entry, "nlink"),
        _ => 1,
    };
    assert_eq!(attributes.nlink, links, "{path}");
    if file_type != FileType::Directory {
        assert_eq!(inode.back.len(), links as usize, "{path}");
    }
    let device = match file_type {
        FileType::Block | FileType::Character => {
            (number32(entry, "major"), number32(entry, "minor"))
        }
        _ => (0, 0),
    };
    assert_eq!((attributes.major, attributes.minor), device, "{path}");
    match &inode.content {
        Content::Data(target) if file_type == FileType::Symlink => {
            assert_eq!(**target, bytes(entry, "target_hex"), "{path}");
            assert_eq!(attributes.size, target.len() as u64);
        }
        Content::Data(first) => check_file(container, inode, first, entry),
        _ => {}
    }
}

fn check_file(container: &mut Container, inode: &Inode<'_>, first: &[u8], entry: &Value) {
    let size = number(entry, "size");
    assert_eq!(inode.attributes.size, size);
    assert_eq!(first.len() as u64, file_segment_range(0, size).end);
    let mut content = first.to_vec();
    let segments = container.segments(inode);
    assert_eq!(segments.len() as u64, file_segment_count(size));
    for (index, segment) in (1..).zip(segments) {
        let Object::FileSegment(segment) = segment else {
            panic!("a file's segment");
        };
        let back = segment.data_back;
        let range = file_segment_range(index, size);
        assert_eq!(back.offset, range.start);
        assert_eq!(segment.data.len() as u64, range.end - range.start);
        assert_eq!(back.owner, inode.block_map.handle);
        assert_eq!(back.ctime_seconds, inode.attributes.ctime.seconds);
        content.extend_from_slice(&segment.data);
    }
    assert_eq!(
        sha256(&content),
        text(entry, "sha256"),
        "{}",
        text(entry, "path")
    );
}
